//! `resume`: a paused account is kept in step by itself again.

use serde_json::Value;

use crate::commands::Context;
use crate::commands::pause::{Which, told};
use crate::exit::Result;
use crate::text;

/// Resumes an account. One that is not paused stays so.
///
/// # Errors
/// Whatever the daemon answers.
pub async fn run(context: &Context<'_>, args: Which) -> Result<Value> {
    let account = context.daemon.account(args.which()).await?;
    context.daemon.files_proxy(&account).await?.resume().await?;
    let who = text::path(account.state.identity.as_bytes());
    context
        .terminal
        .line(&format!("{who} is kept in step again, beginning now."));
    Ok(told(&account.state.id, false))
}
