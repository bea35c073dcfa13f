//! Following a job to its end: through questions, Ctrl-C and a daemon that restarts.

use std::time::Duration;

use mooring_api::{Blocked, Error, JobOutcome, JobProxy};
use tokio::sync::watch::Receiver;
use zbus::OwnedObjectPath;

use crate::bus::{Daemon, JobState, job_number};
use crate::exit::{Exit, Failure, Result};
use crate::job::answer::{self, Reply};
use crate::job::view::View;
use crate::job::watch::Heard;
use crate::json;
use crate::secret::Password;
use crate::terminal::{Choice, Terminal, Tone};
use crate::text;

/// How long an answer may take to show in the job's state before the question counts as asked
/// again: longer than the checking of any password.
const ANSWER_GRACE: Duration = Duration::from_secs(30);

/// How often the daemon may vanish before it counts as broken.
const MAX_LOST: u8 = 10;
/// How long the bus may take to tell that the daemon is gone.
const TOLD_GRACE: Duration = Duration::from_secs(1);

/// What the command line said ahead of the questions a job may ask.
pub struct Answers<'a> {
    /// Whose password is asked for.
    pub identity: &'a str,
    /// The password of `--password-fd`: then it is never asked for.
    pub password: Option<Password>,
    /// `--keep-here`: files that cannot be uploaded stay on this device.
    pub keep_here: bool,
    /// This command began the job: without somebody to answer, it takes it back.
    pub begun_here: bool,
    /// A sign-out leaves all files on this device.
    pub keeps_all: bool,
    /// How long a vanished daemon is waited for.
    pub daemon_wait: Duration,
}

/// One job being followed.
pub struct Follower<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) terminal: &'a Terminal,
    pub(super) answers: &'a Answers<'a>,
    pub(super) path: &'a OwnedObjectPath,
    pub(super) proxy: JobProxy<'static>,
    pub(super) view: View<'a>,
    /// How often each kind of answer was given ahead.
    pub(super) given: u8,
    /// How often the daemon was lost.
    lost: u8,
    /// Why this program cancelled the job, when it did.
    reason: Option<Failure>,
}

enum Look {
    State(Box<JobState>),
    Ended(Box<JobOutcome>),
    Gone,
}

/// Follows the job at `path` until it has done what was asked.
///
/// # Errors
/// What the job ended in, as an exit code; [`Exit::Cancelled`] also when the person leaves while it
/// goes on, because nobody may go by what is not done; [`Exit::Unreachable`] when the daemon
/// vanished and did not come back.
pub async fn follow<'a>(
    daemon: &'a Daemon,
    terminal: &'a Terminal,
    path: &'a OwnedObjectPath,
    answers: &'a Answers<'a>,
) -> Result<Box<JobOutcome>> {
    let mut follower = Follower {
        daemon,
        terminal,
        answers,
        path,
        proxy: daemon.job(path).await?,
        view: View::new(terminal, answers.keeps_all),
        given: 0,
        lost: 0,
        reason: None,
    };
    follower
        .run()
        .await
        .map_err(|f| f.with("job", json::job_ref(path)))
}

impl Follower<'_> {
    async fn run(&mut self) -> Result<Box<JobOutcome>> {
        let mut heard = self.daemon.watch.subscribe();
        let mut answered: Option<Blocked> = None;
        loop {
            // First mark, then read: what changes after the mark wakes the wait below.
            heard.borrow_and_update();
            let state = match self.look(&heard).await? {
                Look::Gone => {
                    answered = None;
                    self.wait_for_daemon(&mut heard).await?;
                    continue;
                }
                Look::Ended(outcome) => return self.conclude(*outcome),
                Look::State(state) => state,
            };
            self.view.show(&state);
            if state.state == "finished" {
                return self.conclude(state.outcome);
            }
            if state.state != "blocked" {
                answered = None;
            } else if answered.as_ref() != Some(&state.blocked) {
                match answer::answer(self, &state).await {
                    Ok(Reply::Given) => answered = Some(state.blocked.clone()),
                    Ok(Reply::Again) => continue,
                    Ok(Reply::Leave) => return Err(self.left()),
                    Err(f) if f.exit == Exit::Cancelled => {
                        if !self.interrupted(&state).await? {
                            return Err(self.left());
                        }
                        continue;
                    }
                    Err(f) => return Err(f),
                }
            }
            tokio::select! {
                changed = heard.changed() => if changed.is_err() { return Err(bus_gone()) },
                () = self.terminal.interrupted() => {
                    if !self.interrupted(&state).await? {
                        return Err(self.left());
                    }
                }
                () = tokio::time::sleep(ANSWER_GRACE), if answered.is_some() => answered = None,
            }
        }
    }

    async fn look(&self, heard: &Receiver<Heard>) -> Result<Look> {
        match self.daemon.job_state(self.path).await {
            Ok(state) => Ok(Look::State(Box::new(state))),
            Err(f) if f.exit == Exit::Unreachable => Ok(Look::Gone),
            Err(f) if f.kind == "NotFound" => match heard.borrow().outcome(self.path) {
                Some(outcome) => Ok(Look::Ended(Box::new(outcome.clone()))),
                None => Err(Failure::new(
                    Exit::Failed,
                    "The daemon does not know this job any more.",
                )
                .kind("NotFound")
                .hint(
                    "`mooringctl` shows how the accounts stand, `mooringctl receipts` what \
                           was signed out.",
                )),
            },
            Err(f) => Err(f),
        }
    }

    /// Waits, a bounded time, for a daemon that vanished.
    async fn wait_for_daemon(&mut self, heard: &mut Receiver<Heard>) -> Result<()> {
        self.view.pause();
        let limit = self.answers.daemon_wait;
        let gone = || {
            let number = job_number(self.path);
            let start = Failure::unreachable("").hint;
            Failure::unreachable(
                "The daemon went away while the job was under way. What was done so far is \
                 written down, and it carries on from there when it is started again.",
            )
            .hint(format!(
                "{start} Then look with `mooringctl jobs follow {number}`."
            ))
        };
        if limit.is_zero() || self.lost >= MAX_LOST {
            return Err(gone());
        }
        self.lost += 1;
        // The word that it is gone may still be on its way; without it, it is back already.
        let told = heard.wait_for(|h| h.gone || h.closed);
        let told = tokio::time::timeout(TOLD_GRACE, told).await.is_ok();
        if !told {
            return Ok(());
        }
        let note = format!(
            "The daemon went away; waiting {} for it.",
            text::wait(limit.as_secs())
        );
        self.view.line(&format!(
            "  {} {note}",
            self.terminal.paint(Tone::Warning, "!")
        ));
        let back = heard.wait_for(|h| h.closed || !h.gone);
        tokio::select! {
            back = tokio::time::timeout(limit, back) => match back {
                Ok(Ok(h)) if !h.closed => {}
                Ok(_) => return Err(bus_gone()),
                Err(_) => return Err(gone()),
            },
            () = self.terminal.interrupted() => return Err(gone()),
        }
        self.view.line("  The daemon is back.");
        Ok(())
    }

    /// Asks what Ctrl-C means. True: go on watching.
    async fn interrupted(&mut self, state: &JobState) -> Result<bool> {
        self.view.pause();
        if !self.terminal.interactive() {
            if !state.cancellable || !self.answers.begun_here {
                return Ok(false);
            }
            let stopped = Failure::new(
                Exit::Cancelled,
                "Cancelled. Everything is as it was before.",
            );
            self.cancel(stopped).await?;
            return Ok(true);
        }
        self.terminal.line("");
        let undo = Choice {
            key: 'c',
            meaning: "cancel, and put everything back",
        };
        let leave = Choice {
            key: 'l',
            meaning: "leave it running, and stop watching",
        };
        let watch = Choice {
            key: 'w',
            meaning: "go on watching",
        };
        let chosen = if state.cancellable {
            self.terminal.choose(&[undo, leave, watch]).await
        } else {
            self.terminal
                .line("Files are being removed already, so this can no longer be undone.");
            self.terminal.choose(&[leave, watch]).await
        };
        match chosen {
            Ok('c') => {
                let stopped = Failure::new(
                    Exit::Cancelled,
                    "Cancelled. Everything is as it was before.",
                );
                self.cancel(stopped).await?;
                Ok(true)
            }
            Ok('w') => Ok(true),
            Ok(_) => Ok(false),
            // Pressed once more: the person wants out, and that harms nothing.
            Err(f) if f.exit == Exit::Cancelled => Ok(false),
            Err(f) => Err(f),
        }
    }

    /// Ends with a reason because nobody is there to answer: takes back what this command began, and
    /// leaves what others did as it is.
    pub(super) async fn give_up(&mut self, reason: Failure) -> Result<()> {
        if self.answers.begun_here {
            return self.cancel(reason).await;
        }
        let number = job_number(self.path);
        let mut hint =
            format!("The job still waits: answer with `mooringctl jobs follow {number}`");
        if matches!(reason.kind.as_str(), "ReauthRequired" | "IncorrectPassword") {
            hint.push_str(" in a terminal or with --password-fd");
        }
        Err(reason.hint(format!(
            "{hint}, or end it with `mooringctl jobs cancel {number}`."
        )))
    }

    /// Cancels the job; `reason` is what the command then ends with.
    pub(super) async fn cancel(&mut self, reason: Failure) -> Result<()> {
        match self.proxy.cancel().await {
            Ok(()) => {
                self.reason.get_or_insert(reason);
                Ok(())
            }
            Err(Error::Busy(_)) if self.terminal.interactive() => {
                self.view
                    .line("Files are being removed already, so this can no longer be undone.");
                Ok(())
            }
            Err(Error::Busy(_)) => {
                let number = job_number(self.path);
                Err(reason.hint(format!(
                    "The job can no longer be undone and waits: `mooringctl jobs follow {number}`."
                )))
            }
            // It ended in the meantime, or the daemon is gone: the next look tells.
            Err(Error::NotFound(_)) => Ok(()),
            Err(Error::ZBus(e)) if crate::exit::is_gone(&e) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn left(&mut self) -> Failure {
        self.view.pause();
        let number = job_number(self.path);
        Failure::new(
            Exit::Cancelled,
            format!("Left running as job {number}; how it ends is not known yet."),
        )
        .kind("Left")
        .hint(format!(
            "Watch it again with `mooringctl jobs follow {number}`."
        ))
    }

    fn conclude(&mut self, outcome: JobOutcome) -> Result<Box<JobOutcome>> {
        self.view.pause();
        if outcome.success {
            return Ok(Box::new(outcome));
        }
        for problem in &outcome.problems {
            let (path, why) = (text::path(&problem.path), text::sentence(&problem.reason));
            self.terminal.line(&format!("  {path}: {why}"));
        }
        if outcome.problems_total > 0 {
            let told = outcome.problems.len() as u64;
            if let more @ 1.. = outcome.problems_total.saturating_sub(told) {
                self.terminal
                    .line(&format!("  and {} more", text::number(more)));
            }
            // The files are named; the daemon's log has no more to say.
            let failure = Failure::of_kind(&outcome.error, &outcome.message).hint("");
            return Err(failure.with("outcome", json::outcome(&outcome)));
        }
        let failure = match self.reason.take() {
            Some(reason) if outcome.error == "Cancelled" => reason,
            _ => Failure::of_kind(&outcome.error, &outcome.message),
        };
        Err(failure.with("outcome", json::outcome(&outcome)))
    }
}

fn bus_gone() -> Failure {
    Failure::unreachable("The bus went away.")
        .hint("The daemon carries on where it stopped when the session is back.")
}
