//! `reauthenticate`: proves who the person is, so that a session that became too old goes on.

use clap::Args;
use serde_json::{Value, json};

use crate::commands::{Context, password};
use crate::exit::Result;
use crate::secret::Password;
use crate::terminal::Tone;
use crate::text;

/// Options of `reauthenticate`.
#[derive(Debug, Args)]
pub struct Reauthenticate {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
    /// Read the password from this descriptor, up to the end of the line
    #[arg(long, value_name = "N")]
    pub password_fd: Option<u32>,
}

/// Gives the password, and begins the session anew.
///
/// # Errors
/// [`crate::exit::Exit::NotAuthorized`] for a wrong password; else what the daemon answers.
pub async fn run(
    context: &Context<'_>,
    args: Reauthenticate,
    given: Option<Password>,
) -> Result<Value> {
    password::need(context, given.as_ref())?;
    let account = context.daemon.account(args.account.as_deref());
    let account = context.terminal.patient(account).await?;
    let identity = &account.state.identity;
    let proxy = context.daemon.account_proxy(&account).await?;
    password::call(context, identity, given.as_ref(), async |fd| {
        proxy.reauthenticate(fd).await
    })
    .await?;
    let mark = context.terminal.paint(Tone::Good, "✓");
    let who = text::path(identity.as_bytes());
    context.terminal.line(&format!(
        "{mark} {who} proved who they are. What waited for it goes on."
    ));
    Ok(json!({ "account": account.state.id, "reauthenticated": true }))
}
