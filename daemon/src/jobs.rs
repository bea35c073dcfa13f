//! Jobs: long operations that outlive the call that began them, and a restart.
//!
//! A job is a task that owns its account while it runs. What it has to remember is in the
//! [`journal`]; everything else it finds out again. It hears from people through [`Request`]s.

mod authorise;
pub mod copies;
pub mod ended;
pub(crate) mod forget;
pub mod journal;
mod kind;
pub mod sign_in;
pub mod sign_out;
pub mod sync;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use mooring_api::{Blocked, JobOutcome, Progress};
use mooring_core::identity::Password;
use tokio::sync::{mpsc, oneshot};

use crate::account::Account;
use crate::broker::Broker;
use crate::bus::error::to_api;
use crate::failure::Failure;
use crate::launch::Later;
use crate::published::{Holder, JobState, JobView};
use crate::workers::shorten;

use journal::{Ending, Entry, Work};
pub use kind::Kind;

/// The most jobs that may be under way.
pub const MAX_OPEN_JOBS: usize = 64;
/// Requests to one job that may wait.
const MAX_REQUESTS: usize = 8;
/// How often a cancelled operation is told to stop, until it does.
const INTERRUPT_EVERY: Duration = Duration::from_secs(1);
/// The most files that are named to clients.
pub const MAX_ITEMS: usize = 100;

/// What a person wants of a job.
#[derive(Debug)]
pub enum Command {
    /// Stop, and undo what can be undone.
    Cancel,
    /// Try again.
    Retry {
        /// Move the files that block to a folder of their own.
        keep_here: bool,
    },
    /// The password.
    Authenticate(Password),
    /// Stand still, for the account is being forgotten. Only a job that waits, and can neither be undone
    /// nor go on, does; with the answer nothing of it is at work any more. Once that has happened it
    /// is told here, and ends without a trace; it waits on when nobody can tell it any more.
    GiveUp(oneshot::Receiver<()>),
}

/// A command and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// What is wanted.
    pub command: Command,
    /// The answer.
    pub reply: oneshot::Sender<Result<(), Failure>>,
}

impl Request {
    fn answer(self, answer: Result<(), Failure>) {
        // Whoever asked may be gone; then nobody misses the answer.
        let _ = self.reply.send(answer);
    }
}

/// A job, as its task sees it.
pub struct Job {
    /// The broker.
    pub broker: Arc<Broker>,
    /// The job's number.
    pub number: u64,
    /// The account's ID.
    pub account: String,
    requests: mpsc::Receiver<Request>,
}

/// What a job looks like when it begins.
pub struct Opening {
    /// Its number.
    pub number: u64,
    /// What it does.
    pub kind: Kind,
    /// The account's ID.
    pub account: String,
    /// The user who began it.
    pub uid: u32,
}

impl Job {
    /// Begins a job of an account at rest: takes the account, writes the job down, opens it.
    ///
    /// # Errors
    /// [`Failure::Busy`] when another job is under way, or there are too many.
    async fn begin(
        broker: &Arc<Broker>,
        id: &str,
        uid: u32,
        work: Work,
    ) -> Result<(Self, Account), Failure> {
        broker.published.borrow().expect_room(MAX_OPEN_JOBS)?;
        if work.moves_data() {
            let account = broker.published.borrow().account(id)?.account.clone();
            broker.expect_fresh(&account)?;
        }
        let (number, kind) = (broker.next_job(), work.kind());
        let account = broker.hold(id, Holder::Job(number)).await?;
        let entry = Entry {
            number,
            account: id.to_owned(),
            uid,
            work,
        };
        if let Err(error) = broker.store.save_job(&entry) {
            broker.change_account(id, |view| view.holder = Holder::Free);
            return Err(error.into());
        }
        let opening = Opening {
            number,
            kind,
            account: id.to_owned(),
            uid,
        };
        Ok((Self::open(broker, opening), account))
    }

    /// Opens a job: visible, and in possession of its account.
    pub fn open(broker: &Arc<Broker>, opening: Opening) -> Self {
        let Opening {
            number,
            kind,
            account,
            uid,
        } = opening;
        let (sender, requests) = mpsc::channel(MAX_REQUESTS);
        broker.requests().insert(number, sender);
        let view = JobView {
            kind,
            account: account.clone(),
            uid,
            stage: "",
            state: JobState::Running,
            progress: Progress::default(),
            blocked: Blocked::default(),
            cancellable: true,
            stopping: false,
            outcome: JobOutcome::default(),
            ended: 0,
        };
        broker.update(|p| {
            if let Some(held) = p.account_mut(&account) {
                held.holder = Holder::Job(number);
            }
            p.jobs.insert(number, view.into());
        });
        tracing::info!(job = number, kind = kind.name(), account, "begins");
        Self {
            broker: broker.clone(),
            number,
            account,
            requests,
        }
    }

    /// Changes the job as clients see it.
    pub fn show(&self, change: impl FnOnce(&mut JobView)) {
        self.broker.update(|p| {
            if let Some(view) = p.job_mut(self.number) {
                change(view);
            }
        });
    }

    /// Shows that the job works.
    pub fn show_running(&self) {
        self.show(|view| {
            view.state = JobState::Running;
            view.blocked = Blocked::default();
        });
    }

    /// Shows that the job waits, and for what.
    pub fn show_blocked(&self, blocked: Blocked) {
        tracing::info!(
            job = self.number,
            error = blocked.error,
            message = blocked.message,
            "waits"
        );
        self.show(|view| {
            view.state = JobState::Blocked;
            view.blocked = blocked;
            view.progress = Progress::default();
        });
    }

    /// Does some work, and hears requests meanwhile. A `Cancel` stops it when `cancellable`.
    ///
    /// # Errors
    /// The work's, or [`Failure::Cancelled`].
    pub async fn drive<T>(
        &mut self,
        cancellable: bool,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.show(|view| view.cancellable = cancellable);
        let broker = self.broker.clone();
        let account = self.account.clone();
        let mut work = pin!(work);
        let mut cancelled = false;
        let mut again = tokio::time::interval(INTERRUPT_EVERY);
        loop {
            tokio::select! {
                done = &mut work => {
                    self.show(|view| view.stopping = false);
                    return if cancelled { Err(cancelled_by_person()) } else { done };
                }
                Some(request) = self.requests.recv() => match request.command {
                    Command::Cancel if cancellable => {
                        cancelled = true;
                        self.show(|view| view.stopping = true);
                        again.reset_immediately();
                        request.answer(Ok(()));
                    }
                    Command::Cancel => request.answer(Err(too_late())),
                    Command::Retry { .. } | Command::Authenticate(_) => {
                        request.answer(Err(waits_for_nothing()));
                    }
                    Command::GiveUp(_) => request.answer(Err(at_work())),
                },
                _ = again.tick(), if cancelled => broker.workers.interrupt(&account).await,
            }
        }
    }

    /// Waits for the next request.
    ///
    /// # Errors
    /// Never while the job is open; the broker holds the other end.
    pub async fn request(&mut self) -> Result<Request, Failure> {
        match self.requests.recv().await {
            Some(request) => Ok(request),
            None => Err(Failure::Internal("the job is closed".to_owned())),
        }
    }

    /// Blocks on a failure until a person wants to try again.
    ///
    /// # Errors
    /// [`Failure::Cancelled`] when the person cancels instead and the job is `cancellable`;
    /// [`Failure::GivenUp`]: then the job returns at once, and touches nothing.
    pub async fn block(&mut self, blocked: Blocked, cancellable: bool) -> Result<bool, Failure> {
        self.show(|view| view.cancellable = cancellable);
        self.show_blocked(blocked);
        loop {
            let request = self.request().await?;
            match request.command {
                Command::Cancel if cancellable => {
                    self.show_running();
                    request.answer(Ok(()));
                    return Err(cancelled_by_person());
                }
                Command::Cancel => request.answer(Err(too_late())),
                Command::Authenticate(_) => request.answer(Err(waits_for_nothing())),
                Command::GiveUp(_) if cancellable => request.answer(Err(at_work())),
                Command::GiveUp(forgotten) => {
                    let _ = request.reply.send(Ok(()));
                    if self.stands_still(forgotten).await {
                        return Err(Failure::GivenUp);
                    }
                }
                Command::Retry { keep_here } => {
                    self.show_running();
                    request.answer(Ok(()));
                    return Ok(keep_here);
                }
            }
        }
    }

    /// Stands still until it is known whether the account is forgotten.
    async fn stands_still(&mut self, mut forgotten: oneshot::Receiver<()>) -> bool {
        loop {
            tokio::select! {
                told = &mut forgotten => return told.is_ok(),
                Some(request) = self.requests.recv() => {
                    let why = "the account of the job is being forgotten".to_owned();
                    request.answer(Err(Failure::Busy(why)));
                }
            }
        }
    }

    /// Ends the job of an account that goes on: as it stands now, durably where that can be had.
    pub fn end(self, account: Account, outcome: JobOutcome) {
        let current = self
            .broker
            .change_account(&account.id, |_| {})
            .unwrap_or(account);
        let ended = self.ended(&outcome);
        if let Err(error) = self.broker.store.end_job(&current, &ended) {
            // The next start does it once more, and finds it done.
            tracing::error!(%error, job = self.number, "the end of a job is not durable");
        }
        self.finish(outcome);
    }

    /// Ends the job; its account is free.
    pub fn finish(self, outcome: JobOutcome) {
        tracing::info!(
            job = self.number,
            success = outcome.success,
            error = outcome.error,
            message = outcome.message,
            "ends"
        );
        let keep = usize::from(self.broker.rules.in_force().settings.keep_finished);
        self.broker.update(|p| {
            if let Some(held) = p.account_mut(&self.account)
                && held.holder == Holder::Job(self.number)
            {
                held.holder = Holder::Free;
            }
            p.end(self.number, outcome, keep);
        });
        self.broker.requests().remove(&self.number);
        // What could not be heeded while the job was under way.
        self.broker.noticed.look_for_requests(&self.account);
    }
}

impl Broker {
    /// Asks something of a job and waits for its answer.
    ///
    /// # Errors
    /// [`Failure::InvalidArgument`] when the job has ended; otherwise the job's.
    pub async fn ask(&self, number: u64, command: Command) -> Result<(), Failure> {
        let ended = || Failure::InvalidArgument(format!("job {number} has ended"));
        let sender = self.requests().get(&number).cloned().ok_or_else(ended)?;
        let (reply, answer) = oneshot::channel();
        sender
            .try_send(Request { command, reply })
            .map_err(|_| Failure::Busy(format!("job {number} has too many requests already")))?;
        drop(sender);
        answer.await.map_err(|_| ended())?
    }
}

/// Opens a journaled job and answers the work that goes on with it.
///
/// # Errors
/// When its account is not there: the journal is damaged.
pub fn resume(broker: &Arc<Broker>, entry: Entry) -> Result<Later<'static, ()>, Failure> {
    let account = broker
        .published
        .borrow()
        .account(&entry.account)?
        .account
        .clone();
    let opening = Opening {
        number: entry.number,
        kind: entry.work.kind(),
        account: entry.account.clone(),
        uid: entry.uid,
    };
    let job = Job::open(broker, opening);
    Ok(match entry.work.clone() {
        Work::SignIn { .. } => Box::pin(sign_in::resume(job, account, entry)),
        Work::Sync => Box::pin(sync::run(job, account, sync::Wish::Sync)),
        Work::Copies(copies) => Box::pin(copies::run(job, account, copies)),
        Work::SignOut(journaled) => Box::pin(sign_out::resume(job, account, *journaled, entry.uid)),
    })
}

/// What a failure looks like to whoever has to decide.
pub fn blocked_by(failure: &Failure) -> Blocked {
    let Ending { error, message } = ending(failure);
    Blocked {
        error,
        message,
        next_attempt: failure.next_attempt(),
        ..Blocked::default()
    }
}

/// How a job ends that failed.
pub fn ending(failure: &Failure) -> Ending {
    let error = to_api(failure);
    let mut message = error.message().to_owned();
    shorten(&mut message);
    Ending {
        error: error.kind().to_owned(),
        message,
    }
}

/// The outcome of a job that did not do what was asked.
pub fn failed(ending: Ending) -> JobOutcome {
    JobOutcome {
        error: ending.error,
        message: ending.message,
        ..JobOutcome::default()
    }
}

fn cancelled_by_person() -> Failure {
    Failure::Cancelled("cancelled".to_owned())
}

fn too_late() -> Failure {
    Failure::Busy("this can no longer be taken back: it can only go on".to_owned())
}

fn at_work() -> Failure {
    Failure::Busy(
        "the job is under way: cancel it, or wait until it can neither be cancelled nor go on"
            .to_owned(),
    )
}

fn waits_for_nothing() -> Failure {
    Failure::InvalidArgument("the job does not wait for this".to_owned())
}
