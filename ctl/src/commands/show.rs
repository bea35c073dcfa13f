//! `show`: one account in full.

use clap::Args;
use mooring_api::CollectionStatus;
use serde_json::Value;

use crate::commands::overview::{last_sync, paused};
use crate::commands::{Context, collection, state_words};
use crate::exit::Result;
use crate::json;
use crate::terminal::Tone;
use crate::text;

/// Options of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
}

/// Shows an account.
///
/// # Errors
/// When there is no such account.
pub async fn run(context: &Context<'_>, args: Show) -> Result<Value> {
    let account = context.daemon.account(args.account.as_deref()).await?;
    let state = &account.state;
    let terminal = context.terminal;
    terminal.line(&terminal.paint(Tone::Strong, &text::path(state.identity.as_bytes())));
    terminal.line("");
    context.field("State", state_words(&state.state));
    if !state.state_detail.is_empty() {
        context.field("", &text::title(&state.state_detail));
    }
    if !state.state_message.is_empty() {
        context.field("", &text::sentence(&state.state_message));
    }
    context.field("ID", &text::path(state.id.as_bytes()));
    context.field("Provider", &text::path(state.provider.as_bytes()));
    context.field("Storage", &text::path(&state.storage));
    if state.signed_in_at > 0 {
        context.field("Signed in", &text::timestamp(state.signed_in_at));
    }
    if let Some(files) = &account.files {
        context.field("Last sync", &last_sync(files.last_sync));
        if let Some(last) = files.last_backup.as_ref().filter(|last| last.when > 0) {
            let (ago, to) = (text::ago(last.when, text::now()), text::path(&last.path));
            context.field("Last backup", &format!("{ago} to {to}"));
        }
        if let Some(words) = paused(files) {
            context.field("Paused", words);
        }
        files
            .collections
            .iter()
            .for_each(|c| show_collection(context, c));
    }
    Ok(json::account(&account))
}

fn show_collection(context: &Context<'_>, c: &CollectionStatus) {
    let terminal = context.terminal;
    terminal.line("");
    terminal.line(&terminal.paint(Tone::Strong, &format!("  {}", collection(&c.name))));
    context.field("Folder", &text::path(&c.root));
    context.field(
        "Files",
        &format!("{}, {}", text::number(c.items), text::size(c.bytes)),
    );
    if c.items > 0 {
        let (safe, all) = (text::number(c.verified), text::number(c.items));
        context.field(
            "Safe",
            &format!("{safe} of {all} read back from the storage"),
        );
    }
    let more = [
        (c.unsynced, "To upload", ""),
        (
            c.held,
            "Held",
            "gone on one side, and not deleted on the other",
        ),
        (c.conflicts, "Conflicts", "both versions are kept"),
        (c.here_before, "Before", "here before the account came"),
        (
            c.skipped,
            "Skipped",
            "never synced or removed: links, sockets and the like",
        ),
    ];
    for (n, label, words) in more.into_iter().filter(|(n, _, _)| *n > 0) {
        let words = if words.is_empty() {
            String::new()
        } else {
            format!(" {words}")
        };
        context.field(label, &format!("{}{words}", text::number(n)));
    }
    if c.mode != "sync" {
        context.field("Mode", &text::title(&c.mode));
    }
}
