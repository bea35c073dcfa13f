//! Everything that clients can see, in one plain value.
//!
//! Whoever changes something changes this; one task in `bus` compares it with what it told last
//! and tells the difference. Nothing here is durable: what is, is in `store`.

use std::collections::BTreeMap;
use std::sync::Arc;

use mooring_api::{Blocked, CollectionStatus, JobOutcome, Progress};
use mooring_core::rest::{Rest, Surroundings};

use crate::account::Account;
use crate::bus::error::sayable;
use crate::failure::Failure;
use crate::jobs::Kind;

/// The most characters of an account's ID that are shown in an error.
const MAX_SHOWN_ID: usize = 64;

/// What an account is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nothing: a job may begin.
    Free,
    /// A look that makes no job, e.g. a plan.
    Look,
    /// A sync by itself, which makes room for anything else.
    Background,
    /// A job, by number.
    Job(u64),
    /// Whoever forgets it.
    Forget,
}

/// An account as clients see it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountView {
    /// The durable part.
    pub account: Account,
    /// What it is busy with.
    pub holder: Holder,
    /// Whether something waits for a sync by itself to make room.
    pub wanted: bool,
    /// How its collections stood when last looked at.
    pub collections: Vec<CollectionStatus>,
    /// When it last synced completely, in seconds since the Unix epoch, or 0.
    pub last_sync: u64,
    /// Whether its storage is on the network, while that matters and is known.
    pub remote: Option<bool>,
    /// Why nothing is synced by itself now, although it is not paused.
    pub rest: Option<Rest>,
}

impl AccountView {
    /// An account that nothing is known of but what is durable.
    pub fn new(account: Account) -> Self {
        Self {
            account: Account {
                // An earlier version may have kept what no bus carries.
                message: sayable(account.message),
                ..account
            },
            holder: Holder::Free,
            wanted: false,
            collections: Vec::new(),
            last_sync: 0,
            remote: None,
            rest: None,
        }
    }
}

/// Whether a job goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It works.
    Running,
    /// It waits; [`JobView::blocked`] says for what.
    Blocked,
    /// It has ended; [`JobView::outcome`] says how.
    Finished,
}

impl JobState {
    /// The name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Blocked => "blocked",
            Self::Finished => "finished",
        }
    }
}

/// A job as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// What it does.
    pub kind: Kind,
    /// The account's ID.
    pub account: String,
    /// The user who began it.
    pub uid: u32,
    /// The stage last reached, or empty.
    pub stage: &'static str,
    /// Whether it goes on.
    pub state: JobState,
    /// How far it is.
    pub progress: Progress,
    /// What it waits for.
    pub blocked: Blocked,
    /// Whether it can still be undone.
    pub cancellable: bool,
    /// Whether it was cancelled over what it is at, and stops as soon as it hears of it.
    pub stopping: bool,
    /// How it ended.
    pub outcome: JobOutcome,
    /// The how-manieth it was to end; 0 while it goes on.
    pub ended: u64,
}

/// Everything that clients can see. A copy shares what does not change.
#[derive(Clone, Default)]
pub struct Published {
    /// Counts the changes.
    pub version: u64,
    /// Accounts by ID.
    pub accounts: BTreeMap<String, Arc<AccountView>>,
    /// Jobs by number, the ended ones too.
    pub jobs: BTreeMap<u64, Arc<JobView>>,
    /// `none`, `in-force`, `last-good`, `invalid` or `expired`.
    pub policy_state: &'static str,
    /// What the device runs on and how it is connected, as far as that is asked for.
    pub surroundings: Surroundings,
}

impl Published {
    /// The account of this ID.
    ///
    /// # Errors
    /// [`Failure::NotFound`].
    pub fn account(&self, id: &str) -> Result<&AccountView, Failure> {
        let view = self.accounts.get(id).map(|view| &**view);
        view.ok_or_else(|| missing(id))
    }

    /// The account of this ID, to change it; none when it is not there.
    pub fn account_mut(&mut self, id: &str) -> Option<&mut AccountView> {
        self.accounts.get_mut(id).map(Arc::make_mut)
    }

    /// The job of this number, to change it; none when it is not there.
    pub fn job_mut(&mut self, number: u64) -> Option<&mut JobView> {
        self.jobs.get_mut(&number).map(Arc::make_mut)
    }

    /// Whether somebody looks at the account right now, or a sync by itself is under way: both
    /// end soon.
    pub fn is_looked_at(&self, id: &str) -> bool {
        self.accounts
            .get(id)
            .is_some_and(|view| matches!(view.holder, Holder::Look | Holder::Background))
    }

    /// Whether a job has the account that may take it off this device.
    pub fn ends(&self, id: &str) -> bool {
        let holder = self.accounts.get(id).map(|view| view.holder);
        let Some(Holder::Job(number)) = holder else {
            return false;
        };
        self.jobs
            .get(&number)
            .is_some_and(|job| job.kind.ends_accounts())
    }

    /// Asks a sync by itself, if there is one, to make room.
    pub fn want(&mut self, id: &str) {
        if let Some(view) = self.accounts.get_mut(id)
            && view.holder == Holder::Background
        {
            Arc::make_mut(view).wanted = true;
        }
    }

    /// Takes a free account for `holder`.
    ///
    /// # Errors
    /// [`Failure::Busy`] when something holds it, [`Failure::NotFound`] when it is not there.
    pub fn hold(&mut self, id: &str, holder: Holder) -> Result<Account, Failure> {
        let view = self.accounts.get_mut(id).ok_or_else(|| missing(id))?;
        match view.holder {
            Holder::Free => {
                Arc::make_mut(view).holder = holder;
                Ok(view.account.clone())
            }
            _ => Err(busy(view)),
        }
    }

    /// The job of an account that can neither be undone nor go on: it may take the account off this
    /// device, waits, and cannot be cancelled. None where no job has the account. A look is no job.
    ///
    /// # Errors
    /// [`Failure::Busy`] when it is another one, [`Failure::NotFound`] when there is no such account.
    pub fn stuck_job(&self, id: &str) -> Result<Option<u64>, Failure> {
        let view = self.account(id)?;
        let Holder::Job(number) = view.holder else {
            return Ok(None);
        };
        let is_stuck = |job: &JobView| {
            job.state == JobState::Blocked && !job.cancellable && job.kind.ends_accounts()
        };
        match self.jobs.get(&number) {
            Some(job) if is_stuck(job) => Ok(Some(number)),
            _ => Err(busy(view)),
        }
    }

    /// The job of an account that is at something which a person cannot stop: that it was cancelled over,
    /// or that may take the account off this device and cannot be cancelled any more. With it, what
    /// changes while it gets on.
    pub fn unstoppable_job(&self, id: &str) -> Option<(u64, &'static str, &Progress)> {
        let Holder::Job(number) = self.accounts.get(id)?.holder else {
            return None;
        };
        let job = self.jobs.get(&number)?;
        let goes_on = !job.cancellable && job.kind.ends_accounts();
        let is_at_it = job.state == JobState::Running && (job.stopping || goes_on);
        is_at_it.then_some((number, job.stage, &job.progress))
    }

    /// A job has ended.
    pub fn end(&mut self, number: u64, outcome: JobOutcome, keep: usize) {
        let ended = self.next_end();
        if let Some(view) = self.job_mut(number) {
            view.ended = ended;
            view.state = JobState::Finished;
            view.blocked = Blocked::default();
            view.cancellable = false;
            view.stopping = false;
            view.outcome = outcome;
        }
        self.prune(keep);
    }

    /// Checks that one more job may begin.
    ///
    /// # Errors
    /// [`Failure::Busy`] when as many as `most` are under way.
    pub fn expect_room(&self, most: usize) -> Result<(), Failure> {
        let open = self
            .jobs
            .values()
            .filter(|job| job.state != JobState::Finished)
            .count();
        if open < most {
            Ok(())
        } else {
            Err(Failure::Busy(format!(
                "{open} jobs are under way, which is the most"
            )))
        }
    }

    /// The turn of the next job to end.
    pub fn next_end(&self) -> u64 {
        let last = self.jobs.values().map(|job| job.ended).max();
        last.unwrap_or(0).saturating_add(1)
    }

    /// Drops those jobs beyond `keep` that ended first: a long one may have the lowest number, and be
    /// the one whose end nobody has heard of.
    pub fn prune(&mut self, keep: usize) {
        let ended = self.jobs.iter();
        let mut ended: Vec<(u64, u64)> = ended
            .filter(|(_, job)| job.state == JobState::Finished)
            .map(|(number, job)| (job.ended, *number))
            .collect();
        ended.sort_unstable();
        for (_, number) in ended.iter().take(ended.len().saturating_sub(keep)) {
            self.jobs.remove(number);
        }
    }
}

/// Why an account that is held cannot be taken.
fn busy(view: &AccountView) -> Failure {
    let identity = &view.account.identity;
    Failure::Busy(match view.holder {
        Holder::Job(number) => {
            format!("job {number} of {identity} is under way; wait for it or cancel it")
        }
        Holder::Forget => format!("{identity} is being forgotten"),
        _ => format!("{identity} is being looked at; try again in a moment"),
    })
}

fn missing(id: &str) -> Failure {
    // Whatever a client asked for: an ID that is one has 17 characters.
    let shown: String = id.chars().take(MAX_SHOWN_ID).collect();
    Failure::NotFound(format!("there is no account {shown} here"))
}
