//! `sign-in`: makes an identity or proves one, and brings its files.

mod request;

use std::ffi::OsString;

use clap::Args;
use mooring_api::JobOutcome;
use serde_json::{Value, json};
use zbus::OwnedObjectPath;

use self::request::{Request, prepare};
use crate::commands::{Context, password};
use crate::exit::{Exit, Failure, Result};
use crate::job::answer::list;
use crate::job::follow::follow;
use crate::json;
use crate::secret::{Password, RecoveryPipe};
use crate::terminal::{Tone, tty_line};
use crate::text::{self, count, number};

/// Options of `sign-in`.
#[derive(Debug, Args)]
pub struct SignIn {
    /// The kind of account; `local`: a folder, a disk or a network share holds the files
    #[arg(value_parser = ["local"])]
    provider: String,
    /// Who signs in; may be left out when the storage knows
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// The folder that keeps the account's files
    #[arg(long, value_name = "FOLDER")]
    storage: OsString,
    /// A collection to bring, and its folder here: photos, videos, documents or contacts
    ///
    /// May be given more than once. Without it all four are brought, to ~/Accounts/NAME.
    #[arg(long = "collection", value_name = "NAME[=FOLDER]")]
    collections: Vec<OsString>,
    /// What this device is called; the host's name by default
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Take up folders that have files already; nothing in them is overwritten
    #[arg(long)]
    adopt: bool,
    /// Answer yes to every question; never stands for a password
    #[arg(long)]
    yes: bool,
    /// Read the password from this descriptor, up to the end of the line
    #[arg(long, value_name = "N")]
    pub password_fd: Option<u32>,
}

/// Signs in.
///
/// # Errors
/// [`Exit::Failed`] when files named by the receipt of the last sign-out did not come back; else
/// what the daemon answers.
pub async fn run(context: &Context<'_>, args: SignIn, given: Option<Password>) -> Result<Value> {
    let terminal = context.terminal;
    password::need(context, given.as_ref())?;
    let request = terminal.patient(prepare(context, &args)).await?;
    let chosen = match given {
        None if request.create => Some(password::choose(context, &request.identity).await?),
        given => given,
    };
    let (job, code) = start(context, &args, &request, chosen.as_ref()).await?;
    if request.create {
        show_code(context, &args, &request, code.as_deref()).await?;
    }
    let answers = context.answers(&request.identity, chosen);
    let end = follow(context.daemon, terminal, &job, &answers).await;
    if end.is_err() && code.is_some() {
        // The storage may have its identity although the rest failed.
        context.warn("If the storage has an account now, the recovery code above belongs to it.");
    }
    let outcome = end?;
    let document = document(&job, &request, &outcome);
    summary(context, &request, &outcome);
    returned(context, &outcome, document)
}

fn document(job: &OwnedObjectPath, request: &Request, outcome: &JobOutcome) -> Value {
    json!({
        "identity": request.identity,
        "created": request.create,
        "job": json::job_ref(job),
        "outcome": json::outcome(outcome),
    })
}

/// Starts the job. Answers it, and the recovery code when a new identity was made.
async fn start(
    context: &Context<'_>,
    args: &SignIn,
    request: &Request,
    given: Option<&Password>,
) -> Result<(OwnedObjectPath, Option<zeroize::Zeroizing<String>>)> {
    let pipe = std::cell::RefCell::new(None);
    let started = password::call(context, &request.identity, given, async |fd| {
        let mut options = request.options();
        options.password = Some(fd);
        options.adopt = Some(request.adopt);
        options.create = Some(request.create);
        options.device = args.device.clone();
        if request.create {
            let (ours, theirs) =
                RecoveryPipe::new().map_err(|f| mooring_api::Error::Failed(f.message))?;
            pipe.replace(Some(ours));
            options.recovery_code = Some(theirs);
        }
        context
            .daemon
            .manager
            .sign_in(&args.provider, &request.identity, options)
            .await
    })
    .await;
    let code = match pipe.take() {
        Some(pipe) => pipe.code().await,
        None => None,
    };
    match started {
        Ok(job) => Ok((job, code)),
        Err(failure) => {
            // The identity may stand although the rest failed: then this is its only code.
            if let Some(code) = code {
                print_code(context, &request.identity, &code);
            }
            Err(failure)
        }
    }
}

async fn show_code(
    context: &Context<'_>,
    args: &SignIn,
    request: &Request,
    code: Option<&String>,
) -> Result<()> {
    let Some(code) = code else {
        context.warn(
            "No recovery code arrived. If the password is forgotten, nothing opens this account: \
             sign out and make it anew before you rely on it.",
        );
        return Ok(());
    };
    print_code(context, &request.identity, code);
    match args.yes {
        true => Ok(()),
        false => written_down(context).await,
    }
}

/// Waits, where there is somebody, until the recovery code is written down.
///
/// # Errors
/// When the terminal fails.
pub async fn written_down(context: &Context<'_>) -> Result<()> {
    if context.terminal.interactive() {
        match context
            .terminal
            .ask("Press Enter when you have written it down. ")
            .await
        {
            Err(f) if f.exit != Exit::Cancelled => return Err(f),
            _ => {}
        }
    }
    Ok(())
}

/// To a person, and never into a log by accident: on the terminal itself.
pub fn print_code(context: &Context<'_>, identity: &str, code: &str) {
    let who = text::path(identity.as_bytes());
    tty_line("");
    tty_line(
        &context
            .terminal
            .paint(Tone::Strong, &format!("  Recovery code for {who}")),
    );
    tty_line("");
    tty_line(&format!("      {code}"));
    tty_line("");
    tty_line("  Write it down and keep it in a safe place. It sets a new password when yours is");
    tty_line("  forgotten. It is shown this once, and kept nowhere.");
    tty_line("");
}

fn summary(context: &Context<'_>, request: &Request, outcome: &JobOutcome) {
    let terminal = context.terminal;
    let who = text::path(request.identity.as_bytes());
    terminal.line("");
    terminal.line(&terminal.paint(Tone::Strong, &format!("Signed in as {who}.")));
    context.carried(outcome);
}

/// Whether all that left this device came back.
fn returned(context: &Context<'_>, outcome: &JobOutcome, document: Value) -> Result<Value> {
    let check = &outcome.returned;
    if check.expected == 0 {
        return match check.missing_total {
            0 => Ok(document),
            _ => Err(told(without_receipt(&check.receipt), document)),
        };
    }
    let of = format!(
        "{} of {} checked",
        number(check.checked),
        number(check.expected)
    );
    let since = |n: u64, what: &str| match n {
        0 => String::new(),
        n => format!(", {} {what} in the storage since", number(n)),
    };
    let changed = since(check.changed_since, "changed or moved")
        + &since(
            check.deleted_since,
            "deleted (`mooringctl undelete` lists them)",
        );
    if check.missing_total == 0 && check.held > 0 {
        let held = count(check.held, "file");
        context.terminal.line(&format!(
            "{of}{changed}, {held} held: deleted here or in the storage since the sign-out; \
             `mooringctl resolve` says what is to become of them."
        ));
        return Ok(document);
    }
    if check.missing_total == 0 {
        let mark = context.terminal.paint(Tone::Good, "✓");
        context.terminal.line(&format!(
            "{mark} {of}{changed}: all that left this device is back."
        ));
        return Ok(document);
    }
    let missing = count(check.missing_total, "file");
    context.terminal.line(&format!("{of}{changed}. Not there:"));
    for line in list(&check.missing, check.missing_total) {
        context.terminal.line(&line);
    }
    let failure = Failure::new(Exit::Failed, format!("{missing} did not come back."))
        .kind("Missing")
        .hint(format!(
            "The receipt names what was there: `mooringctl receipts show {}`.",
            text::path(check.receipt.as_bytes())
        ));
    Err(told(failure, document))
}

/// With the document of what was done all the same.
fn told(mut failure: Failure, document: Value) -> Failure {
    if let Value::Object(map) = document {
        failure.document = map;
    }
    failure
}

/// The storage may be older than the last sign-out: then nobody can say that all came back.
fn without_receipt(receipt: &str) -> Failure {
    let receipt = text::path(receipt.as_bytes());
    Failure::new(
        Exit::Failed,
        format!(
            "The storage lacks the receipt of the last sign-out from this device, {receipt}: it may \
             have been restored from an older copy, and nothing could be compared."
        ),
    )
    .kind("Missing")
    .hint(format!(
        "What the storage has is here. What left is in `mooringctl receipts show {receipt}`."
    ))
}
