//! `doctor`: how everything is that the daemon and the accounts stand on, and what to do.

use clap::Args;
use mooring_api::Diagnosis;
use serde_json::{Value, json};

use crate::bus::Account;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::terminal::Tone;
use crate::text;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Build Mooring's own state of an account anew where it is damaged; asks first
    #[arg(long)]
    repair: bool,
    /// Answer yes to the questions
    #[arg(long, requires = "repair")]
    yes: bool,
}

/// Looks at everything; with `--repair` it mends first what can be built anew.
///
/// # Errors
/// [`Exit::Failed`] when something is bad.
pub async fn run(context: &Context<'_>, args: Doctor) -> Result<Value> {
    let terminal = context.terminal;
    let mut repaired = Vec::new();
    if args.repair {
        for account in terminal.patient(context.daemon.accounts()).await? {
            repaired.extend(repair(context, &account, args.yes).await?);
        }
        if repaired.is_empty() {
            terminal.line("No account's state had to be built anew.");
        }
    }
    let diagnose = async { Ok(context.daemon.manager.diagnose().await?) };
    let found = terminal.patient(diagnose).await?;
    let mut document = report(context, &found)?;
    if args.repair {
        document["repaired"] = Value::from(repaired);
    }
    Ok(document)
}

/// Builds the state of an account anew if it is damaged and the person agrees; answers what was done.
async fn repair(context: &Context<'_>, account: &Account, yes: bool) -> Result<Option<Value>> {
    let terminal = context.terminal;
    let who = text::path(account.state.identity.as_bytes());
    let proxy = context.daemon.account_proxy(account).await?;
    let look = async { Ok(proxy.repair(true).await?) };
    let wrong = terminal.patient(look).await?;
    if wrong.is_empty() {
        return Ok(None);
    }
    terminal.line(&format!(
        "The state of {who} is damaged: {}",
        text::full(&wrong)
    ));
    terminal.line(
        "It can be put aside and built anew: both sides are compared byte by byte, what is on one side \
         only is brought to the other, and of what differs both versions are kept. No file is removed; \
         what was deleted on one side and not yet on the other comes back.",
    );
    if !yes
        && !terminal
            .confirm(&format!("Build the state of {who} anew?"))
            .await?
    {
        return Err(Failure::new(Exit::Cancelled, "Nothing was changed."));
    }
    let mend = async { Ok(proxy.repair(false).await?) };
    let aside = terminal.patient(mend).await?;
    terminal.line(&format!(
        "The damaged state lies in {} now.",
        text::full(&aside)
    ));
    let start = async { Ok(context.daemon.files_proxy(account).await?.sync().await?) };
    let job = terminal.patient(start).await?;
    context.follow_sync(account, &job).await?;
    Ok(Some(json!({ "account": account.state.id, "aside": aside })))
}

/// Shows what was found.
fn report(context: &Context<'_>, found: &[Diagnosis]) -> Result<Value> {
    let terminal = context.terminal;
    for finding in found {
        let tone = match finding.state.as_str() {
            "ok" => Tone::Good,
            "warning" => Tone::Warning,
            _ => Tone::Bad,
        };
        let state = format!("{:<8}", text::path(finding.state.as_bytes()));
        let area = text::path(finding.area.as_bytes());
        let message = text::full(&finding.message);
        terminal.line(&format!(
            "{} {area}: {message}",
            terminal.paint(tone, &state)
        ));
        if !finding.advice.is_empty() {
            let advice = text::full(&finding.advice);
            terminal.line(&terminal.paint(Tone::Faint, &format!("         {advice}")));
        }
    }
    let findings = found.iter().map(|finding| {
        json!({
            "area": finding.area,
            "state": finding.state,
            "message": finding.message,
            "advice": finding.advice,
        })
    });
    let findings = Value::from(findings.collect::<Vec<_>>());
    match found.iter().filter(|f| f.state == "bad").count() {
        0 => Ok(json!({ "findings": findings })),
        n => {
            let said = format!("{} to put right.", text::count(n as u64, "thing"));
            Err(Failure::new(Exit::Failed, said).with("findings", findings))
        }
    }
}
