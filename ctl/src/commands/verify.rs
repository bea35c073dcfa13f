//! `verify`: every copy is read back from the storage, now, and compared.

use clap::Args;
use serde_json::Value;

use crate::commands::{Context, copies};
use crate::exit::Result;
use crate::text::{count, size};

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
}

/// Checks an account's copies and names what is wrong.
///
/// # Errors
/// When anything is missing, different or unreadable.
pub async fn run(context: &Context<'_>, args: Verify) -> Result<Value> {
    let account = context.daemon.account(args.account.as_deref()).await?;
    let files = context.daemon.files_proxy(&account).await?;
    let job = files.verify().await?;
    copies::follow(context, &account, &job, |outcome| {
        let (files, bytes) = (count(outcome.copied, "file"), size(outcome.copied_bytes));
        vec![format!(
            "{files}, {bytes}, read back from the storage: the same bytes as here."
        )]
    })
    .await
}
