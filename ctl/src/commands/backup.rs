//! `backup`: everything of an account as plain files in a dated folder.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::commands::{Context, copies};
use crate::exit::Result;
use crate::text::{self, count, size};

/// Options of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
    /// The folder that is to hold the backup's own dated folder; it must be there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Takes a backup and says what is in it.
///
/// # Errors
/// What the backup ended in; also when a file could not be taken.
pub async fn run(context: &Context<'_>, args: Backup) -> Result<Value> {
    let to = copies::absolute(&args.to)?;
    let account = context.daemon.account(args.account.as_deref()).await?;
    let job = context
        .daemon
        .files_proxy(&account)
        .await?
        .backup(&to)
        .await?;
    copies::follow(context, &account, &job, |outcome| {
        let said = [
            format!(
                "{}, {}, backed up and read back.",
                count(outcome.copied, "file"),
                size(outcome.copied_bytes)
            ),
            format!("  {}", text::path(&outcome.path)),
        ];
        let remark = Some(outcome.message.clone()).filter(|remark| !remark.is_empty());
        said.into_iter().chain(remark).collect()
    })
    .await
}
