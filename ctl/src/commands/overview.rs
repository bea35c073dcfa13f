//! No command: the accounts at a glance, what needs attention, and what to do next.

use serde_json::{Value, json};
use zbus::OwnedObjectPath;

use crate::bus::{Account, FilesState, JobState};
use crate::commands::{Context, collection, state_words};
use crate::exit::Result;
use crate::json;
use crate::table::{Align, lay_out};
use crate::terminal::Tone;
use crate::text;

/// Shows the overview.
///
/// # Errors
/// Whatever the daemon answers.
pub async fn run(context: &Context<'_>) -> Result<Value> {
    let daemon = context.daemon;
    let version = daemon.manager.version().await?;
    let mode = daemon.manager.mode().await?;
    let policy = daemon.manager.policy_state().await?;
    let accounts = daemon.accounts().await?;
    let jobs: Vec<_> = daemon
        .jobs()
        .await?
        .into_iter()
        .filter(|(_, job)| job.state != "finished")
        .collect();
    let mut attention = attention(&accounts, &jobs, &policy);
    if matches!(policy.as_str(), "none" | "in-force" | "expired") {
        // Rules that contradict each other, required accounts that are not here, and settings.
        let problems = daemon.manager.show_policy().await?.problems;
        attention.extend(problems.iter().map(|problem| text::full(problem)));
    }

    let terminal = context.terminal;
    terminal.line(&terminal.paint(Tone::Strong, "Account & Sync"));
    terminal.line("");
    if accounts.is_empty() {
        welcome(context);
    }
    for account in &accounts {
        show(context, account, &jobs);
    }
    context.field("Policy", policy_words(&policy));
    if !attention.is_empty() {
        terminal.line("");
        terminal.line(&terminal.paint(Tone::Strong, "Needs attention"));
        attention.iter().for_each(|sentence| context.warn(sentence));
    }
    if !accounts.is_empty() {
        terminal.line("");
        let next = "mooringctl show, sync or sign-out, followed by the account's name.";
        terminal.line(&terminal.paint(Tone::Faint, &format!("  Next: {next}")));
    }
    Ok(json!({
        "daemon": { "version": version, "mode": mode },
        "policy": policy,
        "accounts": accounts.iter().map(json::account).collect::<Vec<_>>(),
        "jobs": jobs.iter().map(|(path, job)| json::job(path, job)).collect::<Vec<_>>(),
        "attention": attention,
    }))
}

fn welcome(context: &Context<'_>) {
    let terminal = context.terminal;
    terminal.line("  Nobody is signed in on this device.");
    terminal.line("");
    terminal.line("  Sign in to a folder, a disk or a network share that keeps your files:");
    terminal.line("");
    terminal.line("      mooringctl sign-in local --identity NAME --storage FOLDER");
    terminal.line("");
}

fn show(context: &Context<'_>, account: &Account, jobs: &[(OwnedObjectPath, JobState)]) {
    let terminal = context.terminal;
    let state = &account.state;
    let tone = match state.state.as_str() {
        "active" => Tone::Good,
        "needs-attention" => Tone::Warning,
        _ => Tone::Faint,
    };
    let name = terminal.paint(Tone::Strong, &text::path(state.identity.as_bytes()));
    let words = terminal.paint(tone, state_words(&state.state));
    terminal.line(&format!("  {name}  {words}"));
    context.field("Storage", &text::path(&state.storage));
    if let Some(files) = &account.files {
        context.field("Last sync", &last_sync(files.last_sync));
        if let Some(words) = paused(files) {
            context.field("Paused", words);
        }
        let rows: Vec<Vec<String>> = files
            .collections
            .iter()
            .map(|c| {
                let waiting = match c.unsynced {
                    0 => String::new(),
                    n => format!("{} to upload", text::number(n)),
                };
                vec![
                    format!("{:<10}", collection(&c.name)),
                    text::count(c.items, "file"),
                    text::size(c.bytes),
                    waiting,
                ]
            })
            .collect();
        let columns = [Align::Left, Align::Right, Align::Right, Align::Left];
        for line in lay_out(&columns, &rows) {
            terminal.line(&line);
        }
    }
    if let Some((_, job)) = jobs.iter().find(|(path, _)| *path == state.job) {
        let what = text::title(&job.kind);
        context.field("Job", &format!("{} {}", what, describe(job)));
    }
    terminal.line("");
}

/// What is said of an account that is not synced by itself: paused by a person, or for now.
pub fn paused(files: &FilesState) -> Option<&'static str> {
    if files.paused {
        return Some(
            "nothing is synced by itself, and numbers are as last seen (mooringctl resume)",
        );
    }
    match files.resting.as_deref().unwrap_or_default() {
        "" => None,
        "on-battery" => Some("on battery (mooringctl sync works all the same)"),
        "on-metered" => Some("on a metered network (mooringctl sync works all the same)"),
        _ => Some("for a reason that this version does not know"),
    }
}

/// When an account last synced, in words.
pub fn last_sync(time: u64) -> String {
    match time {
        0 => "never completely".to_owned(),
        time => text::ago(time, text::now()),
    }
}

/// How a job stands, in words.
pub fn describe(job: &JobState) -> String {
    let amount = crate::job::view::amount(&job.progress);
    match job.state.as_str() {
        "blocked" => format!("waits: {}", text::full(&job.blocked.message)),
        "finished" if job.outcome.success => "is done".to_owned(),
        "finished" => format!("ended: {}", text::full(&job.outcome.message)),
        _ if amount.is_empty() => "is running".to_owned(),
        _ => format!("is running: {amount}"),
    }
}

fn policy_words(state: &str) -> &'static str {
    match state {
        "none" => "none",
        "in-force" => "in force (mooringctl policy show)",
        "last-good" => "a file is wrong; the last good policy is in force",
        "expired" => "the signed bundle expired; it stays in force",
        "invalid" => "a file is wrong, and signing in and out is refused until it is corrected",
        _ => "in a state that this version does not know",
    }
}

/// What a person should act on, as sentences.
fn attention(
    accounts: &[Account],
    jobs: &[(OwnedObjectPath, JobState)],
    policy: &str,
) -> Vec<String> {
    let mut out = Vec::new();
    for account in accounts {
        let state = &account.state;
        let who = text::path(state.identity.as_bytes());
        if state.state == "needs-attention" {
            let said = match state.state_message.as_str() {
                "" => text::title(&state.state_detail),
                message => text::full(message),
            };
            out.push(format!("{who}: {said}"));
        } else if state.state == "active" && !state.state_message.is_empty() {
            // A sign-out that another device wants, say.
            out.push(format!("{who}: {}", text::full(&state.state_message)));
        }
        for c in account.files.iter().flat_map(|files| &files.collections) {
            let name = collection(&c.name);
            out.extend(c.bad_lines.iter().map(|line| {
                let line = text::sentence(line);
                format!("{who}, {name}: {line}; until it is mended this line ignores nothing.")
            }));
            if c.held > 0 {
                let n = text::count(c.held, "file");
                out.push(format!(
                    "{who}, {name}: {n} held: gone on one side, and not deleted on the other. \
                     Answer with `mooringctl resolve`, --delete or --keep."
                ));
            }
            if c.conflicts > 0 {
                let n = text::count(c.conflicts, "file");
                out.push(format!(
                    "{who}, {name}: {n} with both versions kept after a conflict: `mooringctl \
                     conflicts` lists them."
                ));
            }
        }
    }
    for (_, job) in jobs.iter().filter(|(_, job)| job.state == "blocked") {
        let what = text::title(&job.kind);
        let said = text::full(&job.blocked.message);
        let n = job.number;
        out.push(format!(
            "{what} waits: {said} Answer with `mooringctl jobs follow {n}`."
        ));
    }
    if matches!(policy, "last-good" | "invalid") {
        out.push("A policy file is wrong: `mooringctl policy show` says where.".to_owned());
    }
    if policy == "expired" {
        out.push("The policy bundle expired: `mooringctl policy show` says more.".to_owned());
    }
    out
}
