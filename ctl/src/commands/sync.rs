//! `sync`: brings an account and its storage in step.

use clap::Args;
use serde_json::{Value, json};
use zbus::OwnedObjectPath;

use crate::bus::{Account, job_number};
use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::job::follow::follow;
use crate::json;
use crate::text;

/// Options of `sync`.
#[derive(Debug, Args)]
pub struct Sync {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
    /// Wait until it is done
    #[arg(long)]
    wait: bool,
}

/// Starts a sync, and follows it when asked to.
///
/// # Errors
/// What the sync ended in.
pub async fn run(context: &Context<'_>, args: Sync) -> Result<Value> {
    let terminal = context.terminal;
    let start = async {
        let account = context.daemon.account(args.account.as_deref()).await?;
        let job = context.daemon.files_proxy(&account).await?.sync().await?;
        Ok((account, job))
    };
    let (account, job) = terminal.patient(start).await.map_err(|f| match f.exit {
        Exit::Cancelled => {
            f.hint("The sync may have begun already: `mooringctl jobs` shows what is under way.")
        }
        _ => f,
    })?;
    if !args.wait {
        let number = job_number(&job);
        terminal.line(&format!("Started as job {number}."));
        return Ok(json!({ "job": json::job_ref(&job), "outcome": null }));
    }
    context.follow_sync(&account, &job).await
}

impl Context<'_> {
    /// Follows a sync to its end, and says what it carried.
    ///
    /// # Errors
    /// What the sync ended in; [`Exit::Blocked`] when files wait.
    pub(super) async fn follow_sync(
        &self,
        account: &Account,
        job: &OwnedObjectPath,
    ) -> Result<Value> {
        let answers = self.answers(&account.state.identity, None);
        let outcome = follow(self.daemon, self.terminal, job, &answers).await?;
        self.carried(&outcome);
        let (job, told) = (json::job_ref(job), json::outcome(&outcome));
        if outcome.pending_total == 0 {
            return Ok(json!({ "job": job, "outcome": told }));
        }
        let files = text::count(outcome.pending_total, "file");
        let waits = format!("not everything was synced: {files} could not be carried over");
        Err(Failure::new(Exit::Blocked, waits)
            .kind("UnsyncedData")
            .hint("The next sync tries again; `mooringctl why FILE` says why.")
            .with("job", job)
            .with("outcome", told))
    }
}
