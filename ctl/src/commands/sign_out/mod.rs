//! `sign-out`: the plan on one screen, consent, the password, the stages, the receipt.

mod plan;

use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use mooring_api::{JobOutcome, Plan, PlanOptions, SignOutOptions};
use serde_json::{Value, json};
use zbus::OwnedObjectPath;

use crate::bus::Account;
use crate::commands::{Context, password};
use crate::exit::{Exit, Failure, Result};
use crate::job::follow::{Answers, follow};
use crate::json;
use crate::secret::Password;
use crate::terminal::Tone;
use crate::text::{self, count, number};

/// Options of `sign-out`.
#[derive(Debug, Args)]
pub struct SignOut {
    /// The identity or the ID
    account: String,
    /// Show what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on only if the plan still has this digest: the same collections, removed or kept, the same
    /// storage and losses, and the same policy; files may have come and gone
    #[arg(long, value_name = "DIGEST")]
    plan: Option<String>,
    /// Leave the files of this collection on the device (`all` for every one)
    #[arg(long, value_name = "COLLECTION")]
    keep: Vec<String>,
    /// Answer yes to every question; never stands for a password
    #[arg(long)]
    yes: bool,
    /// Read the password from this descriptor, up to the end of the line
    #[arg(long, value_name = "N")]
    pub password_fd: Option<u32>,
    /// Keep files that cannot be uploaded on this device, in a folder of their own
    #[arg(long)]
    keep_here: bool,
}

/// Signs out.
///
/// # Errors
/// What stands in the way, or what the job ended in.
pub async fn run(context: &Context<'_>, args: SignOut, given: Option<Password>) -> Result<Value> {
    let terminal = context.terminal;
    let (account, plan) = terminal.patient(look(context, &args)).await?;
    let document = json::plan(&plan);
    let prepared = terminal
        .patient(consent(context, &args, &plan, given.as_ref()))
        .await;
    if let Err(refusal) = prepared {
        if !args.dry_run && is_by_policy(&refusal) {
            ask_all_the_same(context, &args, &account, &plan).await?;
        }
        return Err(refusal.with("plan", document));
    }
    if args.dry_run {
        return Ok(json!({ "plan": document }));
    }
    let done = leave(context, &args, &account, &plan, given).await;
    let (job, outcome) = done.map_err(|f| f.with("plan", document.clone()))?;
    summary(context, &plan, &outcome).await?;
    Ok(json!({
        "plan": document,
        "job": json::job_ref(&job),
        "outcome": json::outcome(&outcome),
    }))
}

fn is_by_policy(refusal: &Failure) -> bool {
    matches!(refusal.kind.as_str(), "PolicyDenied" | "BackupRequired")
}

/// A plan is no attempt. This was one, and where refused ones are audited and counted it is to be
/// found: so the daemon is asked, and refuses.
async fn ask_all_the_same(
    context: &Context<'_>,
    args: &SignOut,
    account: &Account,
    plan: &Plan,
) -> Result<()> {
    let proxy = context.daemon.account_proxy(account).await?;
    let keep = (!args.keep.is_empty()).then(|| args.keep.clone());
    let options = SignOutOptions {
        keep,
        password: None,
    };
    match proxy.sign_out(&plan.digest, options).await {
        // Allowed since: then it is not what the person was told, and nothing was changed yet.
        Ok(job) => Ok(context.daemon.job(&job).await?.cancel().await?),
        // The plan has told it already.
        Err(_) => Ok(()),
    }
}

async fn look(context: &Context<'_>, args: &SignOut) -> Result<(Account, Plan)> {
    let account = context.daemon.account(Some(&args.account)).await?;
    let keep = (!args.keep.is_empty()).then(|| args.keep.clone());
    let proxy = context.daemon.account_proxy(&account).await?;
    let plan = proxy.plan_sign_out(PlanOptions { keep }).await?;
    plan::show(context, &plan);
    Ok((account, plan))
}

/// Stops unless the plan can be followed, is the one that was meant, and is agreed to.
async fn consent(
    context: &Context<'_>,
    args: &SignOut,
    plan: &Plan,
    given: Option<&Password>,
) -> Result<()> {
    if args
        .plan
        .as_ref()
        .is_some_and(|digest| *digest != plan.digest)
    {
        return Err(Failure::of_kind(
            "PlanStale",
            "The plan is not the one that --plan names any more. Nothing was changed.",
        ));
    }
    passable(context, args, plan)?;
    if args.dry_run {
        return Ok(());
    }
    password::need(context, given)?;
    let question = question(plan);
    if args.yes {
        return Ok(());
    }
    if !context.terminal.interactive() {
        return Err(
            Failure::usage(format!("{question} There is no terminal to answer on."))
                .hint("Add --yes to agree in advance."),
        );
    }
    match context.terminal.confirm(&question).await? {
        true => Ok(()),
        false => Err(Failure::new(Exit::Cancelled, "Nothing was changed.")),
    }
}

/// Whether nothing stands in the way. Unsynced files do not, where there is somebody or an option
/// to say what becomes of them: the job asks.
fn passable(context: &Context<'_>, args: &SignOut, plan: &Plan) -> Result<()> {
    if let Some(denial) = plan.blockers.iter().find(|b| b.error == "PolicyDenied") {
        return Err(Failure::of_kind(&denial.error, &denial.message));
    }
    if !plan.policy.allowed {
        let message = match plan.policy.denials.first() {
            Some(d) => format!("{} does not allow this: {}", d.organisation, d.reason),
            None => "Policy does not allow this.".to_owned(),
        };
        return Err(Failure::of_kind("PolicyDenied", &message));
    }
    let answered = !args.dry_run && (args.keep_here || context.terminal.interactive());
    let open = plan
        .blockers
        .iter()
        .find(|b| !(answered && b.error == "UnsyncedData"));
    match open {
        None => Ok(()),
        Some(blocker) => {
            let mut failure = Failure::of_kind(&blocker.error, &blocker.message);
            failure.exit = Exit::Blocked;
            Err(failure)
        }
    }
}

fn question(plan: &Plan) -> String {
    let who = text::path(plan.identity.as_bytes());
    let (removed, kept) = plan::totals(plan);
    match (removed.files, kept.files) {
        (0, 0) => format!("Sign out {who}?"),
        (0, kept) => format!(
            "Sign out {who} and keep {} on this device?",
            count(kept, "file")
        ),
        (n, _) => format!(
            "Sign out {who} and remove {} from this device?",
            count(n, "file")
        ),
    }
}

async fn leave(
    context: &Context<'_>,
    args: &SignOut,
    account: &Account,
    plan: &Plan,
    given: Option<Password>,
) -> Result<(OwnedObjectPath, JobOutcome)> {
    let proxy = context.daemon.account_proxy(account).await?;
    let job = password::call(context, &plan.identity, given.as_ref(), async |fd| {
        let keep = (!args.keep.is_empty()).then(|| args.keep.clone());
        proxy
            .sign_out(
                &plan.digest,
                SignOutOptions {
                    keep,
                    password: Some(fd),
                },
            )
            .await
    })
    .await?;
    if context.terminal.interactive() {
        context.terminal.line("");
    }
    let answers = Answers {
        identity: &plan.identity,
        password: given,
        keep_here: args.keep_here,
        begun_here: true,
        keeps_all: plan.collections.iter().all(|collection| collection.keep),
        daemon_wait: context.daemon_wait,
    };
    let outcome = follow(context.daemon, context.terminal, &job, &answers).await?;
    Ok((job, *outcome))
}

async fn summary(context: &Context<'_>, plan: &Plan, outcome: &JobOutcome) -> Result<()> {
    let terminal = context.terminal;
    let who = text::path(plan.identity.as_bytes());
    terminal.line("");
    terminal.line(&terminal.paint(
        Tone::Strong,
        &format!("{who} is signed out of this device."),
    ));
    let mut parts = vec![format!("{} removed", count(outcome.removed, "file"))];
    if outcome.kept > 0 {
        parts.push(format!("{} kept", number(outcome.kept)));
    }
    if outcome.gone_before > 0 {
        parts.push(format!(
            "{} gone before that and named in the receipt",
            number(outcome.gone_before)
        ));
    }
    if outcome.left > 0 {
        parts.push(format!(
            "{} left behind and named in the receipt",
            number(outcome.left)
        ));
    }
    terminal.line(&format!("{}.", parts.join(", ")));
    // The sign-out is done, whatever becomes of the list: without a path the name has to do.
    let receipts = context
        .daemon
        .manager
        .list_receipts()
        .await
        .unwrap_or_default();
    let id = text::path(outcome.receipt.as_bytes());
    // The daemon of a device keeps it where only that daemon can look.
    let readable = |path: &[u8]| match File::open(OsStr::from_bytes(path)) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::PermissionDenied,
    };
    let place = receipts
        .iter()
        .find(|r| r.id == outcome.receipt && readable(&r.path))
        .map(|r| text::path(&r.path));
    match (place, id.is_empty()) {
        (Some(path), _) => terminal.line(&format!("Receipt: {path}")),
        (None, false) => terminal.line(&format!("Receipt: mooringctl receipts show {id}")),
        (None, true) => {}
    }
    Ok(())
}
