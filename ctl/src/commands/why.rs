//! `why`: how one file stands, why, and what comes next.

use std::path::PathBuf;

use clap::Args;
use mooring_api::WhyAnswer;
use serde_json::Value;

use crate::commands::{Context, copies};
use crate::exit::Result;
use crate::json;
use crate::terminal::Tone;
use crate::text;

/// Options of `why`.
#[derive(Debug, Args)]
pub struct Why {
    /// The file
    file: PathBuf,
}

/// The state of a file that no account knows.
const UNKNOWN: &str = "not-of-any-account";

/// Asks every account about a file; the one that knows it answers.
///
/// # Errors
/// When an account cannot look now.
pub async fn run(context: &Context<'_>, args: Why) -> Result<Value> {
    let file = copies::absolute(&args.file)?;
    let mut answer = WhyAnswer {
        state: UNKNOWN.to_owned(),
        reason: "it lies in no folder of an account".to_owned(),
        ..WhyAnswer::default()
    };
    let mut who = None;
    for account in context.daemon.accounts().await? {
        answer = context
            .daemon
            .files_proxy(&account)
            .await?
            .why(&file)
            .await?;
        if answer.state != UNKNOWN {
            who = Some(account.state.identity);
            break;
        }
    }
    let terminal = context.terminal;
    terminal.line(&terminal.paint(Tone::Strong, &text::path(&file)));
    context.field("State", state_words(&answer.state));
    context.field("Because", &text::full(&answer.reason));
    if !answer.next.is_empty() {
        context.field("Next", &text::full(&answer.next));
    }
    if !answer.unseen.is_empty() {
        context.warn(&format!(
            "This is what is remembered; nobody could look: {}",
            text::sentence(&answer.unseen)
        ));
    }
    if let Some(who) = &who {
        context.field("Account", &text::path(who.as_bytes()));
    }
    for (nr, copy) in answer.copies.iter().enumerate() {
        let label = if nr == 0 { "Lies at" } else { "" };
        context.field(label, &text::path(copy));
    }
    if answer.read_back_at > 0 {
        let ago = text::ago(answer.read_back_at, text::now());
        context.field("Read back", &ago);
    }
    Ok(json::why(&file, who.as_deref(), &answer))
}

fn state_words(state: &str) -> &str {
    match state {
        "in-step" => "in step",
        "waiting-to-upload" => "waiting to upload",
        "changed" => "changed",
        "held" => "held",
        "conflict-copy" => "a conflict copy",
        "skipped" => "skipped",
        "ignored" => "ignored",
        UNKNOWN => "not of any account",
        "unknown" => "not known",
        _ => "in a state that this version does not know",
    }
}
