//! `resolve`: answers the question about deletions that were not carried over.

use clap::Args;
use serde_json::Value;

use crate::commands::Context;
use crate::exit::Result;

/// Options of `resolve`.
#[derive(Debug, Args)]
pub struct Resolve {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
    #[command(flatten)]
    answer: Answer,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Answer {
    /// Delete the files on the other side too; the trash keeps them for 30 days
    #[arg(long)]
    delete: bool,
    /// Bring the files back to where they were deleted
    #[arg(long)]
    keep: bool,
}

/// Gives the answer, and follows the sync that carries it out.
///
/// # Errors
/// What the sync ended in.
pub async fn run(context: &Context<'_>, args: Resolve) -> Result<Value> {
    let answer = if args.answer.delete { "delete" } else { "keep" };
    let start = async {
        let account = context.daemon.account(args.account.as_deref()).await?;
        let job = context
            .daemon
            .files_proxy(&account)
            .await?
            .resolve(answer)
            .await?;
        Ok((account, job))
    };
    let (account, job) = context.terminal.patient(start).await?;
    context.follow_sync(&account, &job).await
}
