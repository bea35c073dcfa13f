//! Answering what a job waits for: from the command line where it said so, else by asking the
//! person, else by cancelling what the command began, so that nothing is left waiting for somebody
//! who is not there.

use std::time::Duration;

use mooring_api::{Blocked, Error, RetryOptions};

use crate::bus::JobState;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::job::follow::Follower;
use crate::terminal::{Choice, Tone};
use crate::text;
use crate::{reset, secret};

/// How often the same answer from the command line is tried on one job.
const MAX_GIVEN: u8 = 3;
/// How many names of files are listed.
const MAX_LISTED: usize = 20;

/// What became of a question.
pub enum Reply {
    /// It was answered: wait for the job to react.
    Given,
    /// It has to be looked at anew.
    Again,
    /// The person leaves the job waiting.
    Leave,
}

/// Answers the question that a blocked job asks.
///
/// # Errors
/// [`Exit::Cancelled`] on Ctrl-C at a prompt; else what the daemon answered.
pub async fn answer(follower: &mut Follower<'_>, state: &JobState) -> Result<Reply> {
    follower.view.pause();
    match state.blocked.error.as_str() {
        "IncorrectPassword" | "TooManyAttempts" | "ReauthRequired" => {
            password(follower, state).await
        }
        "UnsyncedData" => unsynced(follower, &state.blocked).await,
        _ => stuck(follower, &state.blocked).await,
    }
}

async fn password(follower: &mut Follower<'_>, state: &JobState) -> Result<Reply> {
    let blocked = &state.blocked;
    let waits_for_first = blocked.error == "ReauthRequired";
    // Somebody else's wrong one says nothing about this one.
    let of_others =
        !follower.answers.begun_here && follower.given == 0 && blocked.next_attempt <= text::now();
    if let Some(password) = &follower.answers.password
        && (waits_for_first || of_others)
        && follower.given < MAX_GIVEN
    {
        // Not refused, only not known (any more): the daemon was restarted meanwhile.
        follower.given += 1;
        return authenticate(follower, password).await;
    }
    if follower.answers.password.is_some() || !follower.terminal.interactive() {
        let mut refused = Failure::of_kind(&blocked.error, &blocked.message);
        let seconds = blocked.next_attempt.saturating_sub(text::now());
        if seconds > 0 {
            refused.hint = format!("The next try is allowed in {}.", text::wait(seconds));
        }
        follower.give_up(refused).await?;
        return Ok(Reply::Given);
    }
    if !waits_for_first {
        let mark = follower.terminal.paint(Tone::Bad, "✗");
        follower
            .view
            .line(&format!("  {mark} {}", text::full(&blocked.message)));
    }
    wait_until(follower, blocked.next_attempt).await?;
    let who = text::path(follower.answers.identity.as_bytes());
    let otherwise = if waits_for_first {
        ""
    } else {
        " (Enter alone to stop, or if it is forgotten)"
    };
    let prompt = format!("Password for {who}{otherwise}: ");
    match follower.terminal.password(&prompt).await? {
        Some(password) => authenticate(follower, &password).await,
        None => without_password(follower, state).await,
    }
}

/// What is left to somebody who does not give the password.
async fn without_password(follower: &mut Follower<'_>, state: &JobState) -> Result<Reply> {
    let choices = [
        Choice {
            key: 'f',
            meaning: "it is forgotten: set a new one by the recovery code, and go on",
        },
        Choice {
            key: 'p',
            meaning: "give the password after all",
        },
        Choice {
            key: 'c',
            meaning: "cancel, and put everything back",
        },
    ];
    match follower.terminal.choose(&choices).await? {
        'f' => forgotten(follower, state).await,
        'p' => Ok(Reply::Again),
        _ => {
            let stopped = Failure::new(Exit::Cancelled, "Stopped. Everything is as it was before.");
            follower.cancel(stopped).await?;
            Ok(Reply::Given)
        }
    }
}

/// Sets a new password and goes on with the same job. Whatever is wrong with the reset is told,
/// and the job still waits.
async fn forgotten(follower: &mut Follower<'_>, state: &JobState) -> Result<Reply> {
    let context = Context {
        daemon: follower.daemon,
        terminal: follower.terminal,
        daemon_wait: follower.answers.daemon_wait,
    };
    let identity = follower.answers.identity;
    let secrets = reset::Secrets::default();
    match reset::reset(&context, &state.account, identity, secrets, true).await {
        Ok(password) => authenticate(follower, &password).await,
        Err(failure) => {
            follower.terminal.failure(&failure);
            Ok(Reply::Again)
        }
    }
}

async fn authenticate(follower: &Follower<'_>, password: &[u8]) -> Result<Reply> {
    let fd = secret::sealed("password", password)?;
    match follower.proxy.authenticate(fd).await {
        Ok(()) => Ok(Reply::Given),
        // The job's state says the same, with the time of the next attempt.
        Err(Error::IncorrectPassword(_) | Error::TooManyAttempts(_)) => Ok(Reply::Again),
        Err(Error::ZBus(e)) if crate::exit::is_gone(&e) => Ok(Reply::Again),
        Err(e) => Err(e.into()),
    }
}

/// Waits until `time` (seconds since the Unix epoch), and says so.
async fn wait_until(follower: &Follower<'_>, time: u64) -> Result<()> {
    let seconds = time.saturating_sub(text::now());
    if seconds == 0 {
        return Ok(());
    }
    follower.view.line(&format!(
        "    The next try is allowed in {}.",
        text::wait(seconds)
    ));
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(seconds)) => Ok(()),
        () = follower.terminal.interrupted() => Err(Failure::new(Exit::Cancelled, "Stopped.")),
    }
}

async fn unsynced(follower: &mut Follower<'_>, blocked: &Blocked) -> Result<Reply> {
    let keep = follower.answers.keep_here && follower.given < MAX_GIVEN;
    if keep {
        follower.given += 1;
        return retry(follower, true).await;
    }
    if !follower.terminal.interactive() {
        let mut failure = Failure::of_kind(&blocked.error, &blocked.message);
        let names = list(&blocked.items, blocked.items_total);
        if !names.is_empty() {
            failure.message = format!("{}\n{}", failure.message, names.join("\n"));
        }
        follower.give_up(failure).await?;
        return Ok(Reply::Given);
    }
    show(follower, blocked);
    let choices = [
        Choice {
            key: 'r',
            meaning: "try again",
        },
        Choice {
            key: 'k',
            meaning: "keep these files on this device, moved to a folder of their own",
        },
        Choice {
            key: 'c',
            meaning: "cancel, and put everything back",
        },
        Choice {
            key: 'l',
            meaning: "leave the job waiting",
        },
    ];
    chosen(follower, blocked, &choices).await
}

async fn stuck(follower: &mut Follower<'_>, blocked: &Blocked) -> Result<Reply> {
    if !follower.terminal.interactive() {
        follower
            .give_up(Failure::of_kind(&blocked.error, &blocked.message))
            .await?;
        return Ok(Reply::Given);
    }
    show(follower, blocked);
    let choices = [
        Choice {
            key: 'r',
            meaning: "try again",
        },
        Choice {
            key: 'c',
            meaning: "cancel, and put everything back",
        },
        Choice {
            key: 'l',
            meaning: "leave the job waiting",
        },
    ];
    chosen(follower, blocked, &choices).await
}

async fn chosen(
    follower: &mut Follower<'_>,
    blocked: &Blocked,
    choices: &[Choice],
) -> Result<Reply> {
    match follower.terminal.choose(choices).await? {
        'r' => retry(follower, false).await,
        'k' => retry(follower, true).await,
        'c' => {
            let mut failure = Failure::of_kind(&blocked.error, &blocked.message);
            failure.exit = Exit::Cancelled;
            follower.cancel(failure).await?;
            Ok(Reply::Given)
        }
        _ => Ok(Reply::Leave),
    }
}

async fn retry(follower: &Follower<'_>, keep_here: bool) -> Result<Reply> {
    match follower
        .proxy
        .retry(RetryOptions {
            keep_here: Some(keep_here),
        })
        .await
    {
        Ok(()) => Ok(Reply::Given),
        Err(Error::ZBus(e)) if crate::exit::is_gone(&e) => Ok(Reply::Again),
        Err(e) => Err(e.into()),
    }
}

fn show(follower: &Follower<'_>, blocked: &Blocked) {
    let mark = follower.terminal.paint(Tone::Warning, "!");
    follower
        .view
        .line(&format!("  {mark} {}", text::full(&blocked.message)));
    for line in list(&blocked.items, blocked.items_total) {
        follower.view.line(&line);
    }
}

/// Names of files, one a line, and how many more there are.
pub fn list(items: &[Vec<u8>], total: u64) -> Vec<String> {
    let mut lines: Vec<String> = items
        .iter()
        .take(MAX_LISTED)
        .map(|item| format!("      {}", text::path(item)))
        .collect();
    let more = total.saturating_sub(lines.len() as u64);
    if more > 0 && !lines.is_empty() {
        lines.push(format!("      and {} more", text::number(more)));
    }
    lines
}
