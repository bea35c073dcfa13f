//! `restore`: files from a backup, without ever overwriting one.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::Args;
use mooring_api::RestoreOptions;
use serde_json::Value;

use crate::commands::{Context, copies};
use crate::exit::Result;
use crate::text::{count, size};

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
    /// The backup: the dated folder that has a B3SUMS in it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Only this file or folder, as a path in the backup, e.g. Photos/2024
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// Restore below this folder instead of into the account's own; it must be there
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Restores from a backup and says what came back.
///
/// # Errors
/// What it ended in; also when a file could not be restored.
pub async fn run(context: &Context<'_>, args: Restore) -> Result<Value> {
    let from = copies::absolute(&args.from)?;
    let to = args.to.as_deref().map(copies::absolute).transpose()?;
    // `Photos/` and `./Photos` mean `Photos`.
    let path = args.path.map(|path| {
        let parts = path.components();
        let plain: PathBuf = parts
            .filter(|part| !matches!(part, std::path::Component::CurDir))
            .collect();
        plain.as_os_str().as_bytes().to_vec()
    });
    let account = context.daemon.account(args.account.as_deref()).await?;
    let job = context
        .daemon
        .files_proxy(&account)
        .await?
        .restore(&from, RestoreOptions { path, to })
        .await?;
    copies::follow(context, &account, &job, |outcome| {
        let mut said = vec![format!(
            "{}, {}, restored; {} there already.",
            count(outcome.copied, "file"),
            size(outcome.copied_bytes),
            count(outcome.adopted, "file")
        )];
        if outcome.conflicts > 0 {
            said.push(format!(
                "{} with another name, because there is another version: both are kept.",
                count(outcome.conflicts, "file")
            ));
        }
        said
    })
    .await
}
