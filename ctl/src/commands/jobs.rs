//! `jobs`: the long operations, and acting on them.

use clap::{Args, Subcommand};
use mooring_api::{Error, RetryOptions};
use serde_json::{Value, json};
use zbus::OwnedObjectPath;

use crate::bus::{JobState, job_path};
use crate::commands::{Context, overview};
use crate::exit::{Exit, Failure, Result};
use crate::job::follow::{Answers, follow};
use crate::json;
use crate::secret::Password;
use crate::table::Align;
use crate::text;

/// Options of `jobs`.
#[derive(Debug, Args)]
pub struct Jobs {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the jobs (the same as no command)
    List,
    /// Watch a job, and answer what it asks
    Follow {
        /// The job's number
        number: u64,
        /// Read the password that it may wait for from this descriptor, up to the end of the line
        #[arg(long, value_name = "N")]
        password_fd: Option<u32>,
    },
    /// Cancel a job, and put everything back
    Cancel {
        /// The job's number
        number: u64,
    },
    /// Let a job that waits try again
    Retry {
        /// The job's number
        number: u64,
        /// Keep the files that cannot be uploaded on this device
        #[arg(long)]
        keep_here: bool,
    },
}

impl Jobs {
    /// The descriptor with the password, if one is named.
    pub fn password_fd(&self) -> Option<u32> {
        match self.command {
            Some(Command::Follow { password_fd, .. }) => password_fd,
            _ => None,
        }
    }
}

/// Lists the jobs, or acts on one.
///
/// # Errors
/// When there is no such job; what it ended in when followed.
pub async fn run(context: &Context<'_>, args: Jobs, given: Option<Password>) -> Result<Value> {
    let terminal = context.terminal;
    match args.command {
        None | Some(Command::List) => terminal.patient(list(context)).await,
        Some(Command::Follow { number, .. }) => watch(context, &job_path(number)?, given)
            .await
            .map_err(|failure| named(failure, number)),
        Some(Command::Cancel { number }) => terminal
            .patient(cancel(context, number))
            .await
            .map_err(|failure| named(failure, number)),
        Some(Command::Retry { number, keep_here }) => terminal
            .patient(retry(context, number, keep_here))
            .await
            .map_err(|failure| named(failure, number)),
    }
}

/// Of a job that is not there, says which.
fn named(failure: Failure, number: u64) -> Failure {
    if failure.kind != "NotFound" || !failure.document.is_empty() {
        return failure;
    }
    let message = format!("There is no job {number}: it never was, or ended long ago.");
    Failure::new(Exit::Failed, message)
        .kind("NotFound")
        .hint("`mooringctl jobs` lists those that are known.")
}

async fn list(context: &Context<'_>) -> Result<Value> {
    let jobs = context.daemon.jobs().await?;
    let accounts = context.daemon.accounts().await?;
    let terminal = context.terminal;
    let who = |job: &JobState| {
        let account = accounts.iter().find(|a| a.path == job.account);
        account.map_or_else(String::new, |a| text::path(a.state.identity.as_bytes()))
    };
    if jobs.is_empty() {
        terminal.line("There are no jobs.");
    } else {
        let mut rows = vec![
            ["Job", "Kind", "Account", "State"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(jobs.iter().map(|(_, job)| {
            vec![
                text::number(job.number),
                text::title(&job.kind),
                who(job),
                overview::describe(job),
            ]
        }));
        let columns = [Align::Right, Align::Left, Align::Left, Align::Left];
        terminal.table(&columns, &rows);
    }
    Ok(json!({ "jobs": jobs.iter().map(|(path, job)| json::job(path, job)).collect::<Vec<_>>() }))
}

async fn watch(
    context: &Context<'_>,
    path: &OwnedObjectPath,
    given: Option<Password>,
) -> Result<Value> {
    let terminal = context.terminal;
    let look = async {
        let job = context.daemon.job_state(path).await?;
        let accounts = context.daemon.accounts().await?;
        let identity = accounts.into_iter().find(|a| a.path == job.account);
        Ok(identity.map_or_else(|| "the account".to_owned(), |a| a.state.identity))
    };
    let identity = terminal.patient(look).await?;
    let daemon_wait = context.daemon_wait;
    let answers = Answers {
        identity: &identity,
        password: given,
        keep_here: false,
        begun_here: false,
        keeps_all: false,
        daemon_wait,
    };
    let outcome = follow(context.daemon, terminal, path, &answers).await?;
    match outcome.message.as_str() {
        "" => terminal.line("Done."),
        message => terminal.line(&text::sentence(message)),
    }
    Ok(json!({ "job": json::job_ref(path), "outcome": json::outcome(&outcome) }))
}

async fn cancel(context: &Context<'_>, number: u64) -> Result<Value> {
    let path = job_path(number)?;
    match context.daemon.job(&path).await?.cancel().await {
        Ok(()) => {}
        Err(Error::Busy(message)) => {
            return Err(Failure::new(Exit::Blocked, text::full(&message))
                .kind("Busy")
                .hint(format!("Watch it with `mooringctl jobs follow {number}`.")));
        }
        Err(e) => return Err(e.into()),
    }
    context
        .terminal
        .line(&format!("Job {number} is being cancelled."));
    Ok(json!({ "job": json::job_ref(&path) }))
}

async fn retry(context: &Context<'_>, number: u64, keep_here: bool) -> Result<Value> {
    let path = job_path(number)?;
    let options = RetryOptions {
        keep_here: Some(keep_here),
    };
    context.daemon.job(&path).await?.retry(options).await?;
    context.terminal.line(&format!(
        "Job {number} tries again. Watch it with `mooringctl jobs follow {number}`."
    ));
    Ok(json!({ "job": json::job_ref(&path) }))
}
