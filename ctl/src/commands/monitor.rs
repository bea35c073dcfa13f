//! `monitor` and `status`: what changes in the daemon, as it changes.
//!
//! Signals only wake; what is so is then read, and the difference is told. A daemon that goes is
//! waited for and never started by looking at it.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::bus::Account;
use crate::commands::{Context, overview, state_words};
use crate::exit::{Exit, Failure, Result};
use crate::job::signals::{Heard, Signals};
use crate::text;

/// Moves the cursor home and clears what is below it.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Options of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Show changes as they come, until Ctrl-C; without a terminal, a line for each
    #[arg(long)]
    pub watch: bool,
}

/// Something that can change: what it is, how a person reads it, and the whole of it.
type Seen = BTreeMap<String, (String, Value)>;

/// Tells every change as a line, or as a document a line, until Ctrl-C.
///
/// # Errors
/// When the bus is gone, or what the daemon answers.
pub async fn run(context: &Context<'_>) -> Result<ExitCode> {
    let mut signals = Signals::new(context.daemon).await?;
    let lines = async {
        let mut before = look(context).await?;
        for (line, document) in before.values() {
            tell(context, line, document);
        }
        loop {
            for heard in signals.next().await? {
                tell_heard(context, &heard);
            }
            if signals.gone() {
                continue;
            }
            // Gone between the signal and the look: the bus tells of it next.
            match look(context).await {
                Ok(now) => {
                    // A word came before what it led to, and is told before it.
                    for heard in signals.heard().await {
                        tell_heard(context, &heard);
                    }
                    differences(&before, &now).for_each(|(l, d)| tell(context, l, d));
                    for (key, (line, document)) in &before {
                        if !now.contains_key(key) {
                            tell_gone(context, key, line, document);
                        }
                    }
                    before = now;
                }
                Err(failure) if passes(&failure) => {}
                Err(failure) => return Err(failure),
            }
        }
    };
    until_stopped(context, lines).await
}

/// Redraws the overview whenever something changes, until Ctrl-C.
///
/// # Errors
/// When the bus is gone, or what the daemon answers.
pub async fn watch(context: &Context<'_>) -> Result<ExitCode> {
    if context.terminal.json() || !std::io::stdout().is_terminal() {
        return run(context).await;
    }
    let mut signals = Signals::new(context.daemon).await?;
    let drawing = async {
        loop {
            context.terminal.raw(CLEAR);
            if signals.gone() {
                context.terminal.line("The daemon is not running.");
            } else {
                match overview::run(context).await {
                    Err(failure) if !passes(&failure) => return Err(failure),
                    Ok(_) | Err(_) => {}
                }
            }
            signals.next().await?;
        }
    };
    until_stopped(context, drawing).await
}

/// What goes while it is looked at, the daemon or an object of it, is told of by the next signal.
fn passes(failure: &Failure) -> bool {
    failure.exit == Exit::Unreachable || failure.kind == "NotFound"
}

/// Ctrl-C is how this is meant to end.
async fn until_stopped(
    context: &Context<'_>,
    work: impl Future<Output = Result<()>>,
) -> Result<ExitCode> {
    match context.terminal.patient(work).await {
        Err(failure) if failure.exit == Exit::Cancelled => Ok(ExitCode::SUCCESS),
        ended => ended.map(|()| ExitCode::SUCCESS),
    }
}

async fn look(context: &Context<'_>) -> Result<Seen> {
    let mut seen = Seen::new();
    let policy = context.daemon.manager.policy_state().await?;
    let line = format!("policy: {}", text::path(policy.as_bytes()));
    seen.insert("policy".to_owned(), (line, json!({ "policy": policy })));
    let accounts = context.daemon.accounts().await?;
    for account in &accounts {
        let document = json!({ "account": crate::json::account(account) });
        let key = format!("account {}", account.state.id);
        seen.insert(key, (account_line(account), document));
    }
    for (path, job) in context.daemon.jobs().await? {
        let owner = accounts.iter().find(|a| a.path == job.account);
        let who = owner.map_or(String::new(), |a| {
            format!(" of {}", text::path(a.state.identity.as_bytes()))
        });
        let stage = match job.stage.as_str() {
            "" => String::new(),
            stage => format!(" [{}]", text::path(stage.as_bytes())),
        };
        let kind = text::path(job.kind.as_bytes());
        let line = format!(
            "job {}, {kind}{who}:{stage} {}",
            job.number,
            overview::describe(&job)
        );
        let document = json!({ "job": crate::json::job(&path, &job) });
        seen.insert(format!("job {:020}", job.number), (line, document));
    }
    Ok(seen)
}

fn account_line(account: &Account) -> String {
    let state = &account.state;
    let who = text::path(state.identity.as_bytes());
    let mut line = format!("account {who}: {}", state_words(&state.state));
    if !state.state_detail.is_empty() {
        line = format!("{line} ({})", text::path(state.state_detail.as_bytes()));
    }
    if !state.state_message.is_empty() {
        line = format!("{line}: {}", text::full(&state.state_message));
    }
    if let Some(files) = &account.files {
        let items: u64 = files.collections.iter().map(|c| c.items).sum();
        let unsynced: u64 = files.collections.iter().map(|c| c.unsynced).sum();
        line = format!("{line}, {}", text::count(items, "file"));
        if unsynced > 0 {
            line = format!("{line}, {} to upload", text::number(unsynced));
        }
    }
    line
}

/// What is new or otherwise than before.
fn differences<'a>(before: &'a Seen, now: &'a Seen) -> impl Iterator<Item = (&'a str, &'a Value)> {
    now.iter()
        .filter(|(key, (_, document))| before.get(*key).map(|(_, d)| d) != Some(document))
        .map(|(_, (line, document))| (line.as_str(), document))
}

fn tell(context: &Context<'_>, line: &str, document: &Value) {
    if context.terminal.json() {
        context.terminal.document(document);
    } else {
        let now = text::timestamp(text::now());
        context.terminal.line(&format!("{now}  {line}"));
    }
}

fn tell_gone(context: &Context<'_>, key: &str, line: &str, document: &Value) {
    let name = line.split(':').next().unwrap_or(key);
    let document = json!({ "gone": document });
    tell(context, &format!("{name}: not here any more"), &document);
}

fn tell_heard(context: &Context<'_>, heard: &Heard) {
    match heard {
        Heard::SigningOut { account, begins } => {
            let line = match begins {
                true => format!("account {account}: apps are told that a sign-out begins"),
                false => format!("account {account}: apps are told that the sign-out was given up"),
            };
            let document = json!({ "signing-out": { "account": account, "begins": begins } });
            tell(context, &line, &document);
        }
        Heard::Daemon { here } => {
            let line = match here {
                true => "the daemon is here",
                false => "the daemon is gone",
            };
            tell(context, line, &json!({ "daemon": { "here": here } }));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_what_is_otherwise_is_told() {
        let seen = |pairs: &[(&str, u64)]| -> Seen {
            pairs
                .iter()
                .map(|(key, n)| ((*key).to_owned(), (format!("{key}: {n}"), json!(n))))
                .collect()
        };
        let (before, now) = (
            seen(&[("a", 1), ("b", 1)]),
            seen(&[("a", 1), ("b", 2), ("c", 1)]),
        );
        let told: Vec<_> = differences(&before, &now).map(|(line, _)| line).collect();
        assert_eq!(told, ["b: 2", "c: 1"]);
    }
}
