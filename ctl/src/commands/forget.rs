//! `forget`: drops an account without a sign-out, for when its storage is gone for good.

use clap::Args;
use serde_json::{Value, json};

use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::text;

/// Options of `forget`.
#[derive(Debug, Args)]
pub struct Forget {
    /// The identity or the ID
    account: String,
    /// Answer yes to the question
    #[arg(long)]
    yes: bool,
}

/// Says what it means, asks, and forgets.
///
/// # Errors
/// [`Exit::PolicyDenied`], [`Exit::Blocked`] while something is under way; [`Exit::Cancelled`] when the
/// answer is no.
pub async fn run(context: &Context<'_>, args: Forget) -> Result<Value> {
    let terminal = context.terminal;
    let account = context.daemon.account(Some(&args.account));
    let account = terminal.patient(account).await?;
    let who = text::path(account.state.identity.as_bytes());
    terminal.line(&format!(
        "Forgetting {who} drops what Mooring knows of the account. Every file stays where it is, here \
         and in the storage; nothing is checked, and nothing is removed."
    ));
    context.warn(
        "Where the storage can still be reached, `mooringctl sign-out` is the way: it makes sure that \
         every file is there.",
    );
    if !args.yes {
        let question = format!("Forget {who}?");
        if !terminal.interactive() {
            let asked = format!("{question} There is no terminal to answer on.");
            return Err(Failure::usage(asked).hint("Add --yes to agree in advance."));
        }
        if !terminal.confirm(&question).await? {
            return Err(Failure::new(Exit::Cancelled, "Nothing was changed."));
        }
    }
    let proxy = context.daemon.account_proxy(&account).await?;
    let forget = async { Ok(proxy.forget().await?) };
    let receipt = terminal.patient(forget).await?;
    let id = text::path(receipt.as_bytes());
    terminal.line(&format!(
        "{who} is forgotten. Receipt: mooringctl receipts show {id}"
    ));
    Ok(json!({ "account": account.state.id, "receipt": receipt }))
}
