//! `pause`: an account is no longer kept in step by itself.

use clap::Args;
use serde_json::{Value, json};

use crate::commands::Context;
use crate::exit::Result;
use crate::text;

/// Options of `pause` and `resume`.
#[derive(Debug, Args)]
pub struct Which {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
}

impl Which {
    /// The account that was named.
    pub(super) fn which(&self) -> Option<&str> {
        self.account.as_deref()
    }
}

/// Pauses an account. One that is paused already stays so.
///
/// # Errors
/// Whatever the daemon answers.
pub async fn run(context: &Context<'_>, args: Which) -> Result<Value> {
    let account = context.daemon.account(args.which()).await?;
    context.daemon.files_proxy(&account).await?.pause().await?;
    let who = text::path(account.state.identity.as_bytes());
    context.terminal.line(&format!(
        "{who} is paused: nothing is synced by itself until `mooringctl resume`. Signing out still \
         works, and `mooringctl sync` too."
    ));
    Ok(told(&account.state.id, true))
}

/// The document of both commands.
pub(super) fn told(id: &str, paused: bool) -> Value {
    json!({ "account": id, "paused": paused })
}
