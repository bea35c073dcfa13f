//! How jobs ended, remembered for a while: whoever followed one over a restart of the daemon hears
//! its end still.

use mooring_api::{Blocked, JobOutcome, Progress};

use super::{Job, Kind};
use crate::bus::error::sayable;
use crate::published::{JobState, JobView};

/// How long an end is remembered, in seconds.
pub const REMEMBERED_SECONDS: u64 = 24 * 60 * 60;
/// The most ends that are remembered; the oldest go first.
pub const MAX_REMEMBERED: u32 = 256;

/// A job that has ended, as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its number.
    pub number: u64,
    /// What it was, e.g. `sync`.
    pub kind: String,
    /// The account's ID.
    pub account: String,
    /// The user who began it.
    pub uid: u32,
    /// The stage that it reached, or empty.
    pub stage: String,
    /// When it ended, in seconds since the Unix epoch.
    pub when: u64,
    /// How.
    pub outcome: JobOutcome,
}

impl Ended {
    /// The job as clients see it; none when it is of a kind that this version does not know.
    pub fn view(self) -> Option<JobView> {
        let kind = Kind::named(&self.kind)?;
        let stages = kind.stages();
        let stage = stages.iter().find(|stage| **stage == self.stage);
        Some(JobView {
            kind,
            account: self.account,
            uid: self.uid,
            stage: stage.copied().unwrap_or_default(),
            state: JobState::Finished,
            progress: Progress::default(),
            blocked: Blocked::default(),
            cancellable: false,
            stopping: false,
            outcome: JobOutcome {
                message: sayable(self.outcome.message),
                ..self.outcome
            },
            ended: 0,
        })
    }
}

impl Job {
    /// The end of this job, to be made durable together with what it did.
    pub fn ended(&self, outcome: &JobOutcome) -> Ended {
        let published = self.broker.published.borrow();
        let view = published.jobs.get(&self.number);
        Ended {
            number: self.number,
            kind: view.map_or("", |view| view.kind.name()).to_owned(),
            account: self.account.clone(),
            uid: view.map_or(self.broker.uid, |view| view.uid),
            stage: view.map_or("", |view| view.stage).to_owned(),
            when: self.broker.clock.now(),
            outcome: outcome.clone(),
        }
    }
}
