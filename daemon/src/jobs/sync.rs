//! Brings both sides of an account in step, once.

use std::sync::Arc;

use mooring_api::{ConflictCopy, JobOutcome, ReturnCheck};
use mooring_wire::SyncReport;

use super::journal::Work;
use super::{Job, Kind, ending, failed};
use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;

/// What a sync does besides. After a restart a sync goes on without it: the question is still
/// there, and the file still in the trash.
#[derive(Debug, Clone)]
pub enum Wish {
    /// Nothing.
    Sync,
    /// Carries the held deletions over, or brings their files back.
    Answer {
        /// Carries them over.
        delete: bool,
    },
    /// Brings a file back from the trash.
    Undelete {
        /// Where it was.
        file: Vec<u8>,
        /// Even if it is damaged; then its name says so.
        damaged: bool,
    },
}

/// What is said of a file that came back without a check.
const UNCHECKED: &str = "it was not checked: it was back already, or the trash does not know which \
                         bytes it had (an earlier Mooring, or a full storage, notes none)";

impl Broker {
    /// Begins a sync.
    ///
    /// # Errors
    /// [`Failure::Busy`] when another job is under way.
    pub async fn sync(self: &Arc<Self>, id: &str, uid: u32) -> Result<u64, Failure> {
        self.begin_sync(id, uid, Wish::Sync).await
    }

    /// What deletions took away, newest first: where it was, and the day.
    ///
    /// # Errors
    /// When the storage cannot be reached.
    pub async fn trash(&self, id: &str) -> Result<Vec<(Vec<u8>, String)>, Failure> {
        let looking = self.looking(id).await?;
        looking
            .ask(|live, id| Box::pin(async move { live.proxy().trash(&id).await }))
            .await
    }

    /// The conflict copies of an account.
    ///
    /// # Errors
    /// When its folders cannot be looked at.
    pub async fn conflicts(&self, id: &str) -> Result<Vec<ConflictCopy>, Failure> {
        let looking = self.looking(id).await?;
        let found = looking
            .ask(|live, id| Box::pin(async move { live.proxy().conflicts(&id).await }))
            .await?;
        Ok(found.into_iter().map(conflict_copy).collect())
    }

    /// Begins a sync, with something more that a person wishes.
    ///
    /// # Errors
    /// [`Failure::Busy`] when another job is under way.
    pub async fn begin_sync(
        self: &Arc<Self>,
        id: &str,
        uid: u32,
        wish: Wish,
    ) -> Result<u64, Failure> {
        let (job, account) = Job::begin(self, id, uid, Work::Sync).await?;
        let number = job.number;
        self.spawn(run(job, account, wish));
        Ok(number)
    }
}

fn conflict_copy(found: mooring_wire::ConflictCopy) -> ConflictCopy {
    let mooring_wire::ConflictCopy {
        path,
        original,
        device,
        date,
        size,
        original_size,
        modified,
        original_modified,
    } = found;
    ConflictCopy {
        path,
        original,
        device,
        date,
        size,
        original_size,
        modified,
        original_modified,
    }
}

pub(super) async fn run(mut job: Job, account: Account, wish: Wish) {
    let broker = job.broker.clone();
    let synced = job.drive(true, sync(&broker, &account, &wish)).await;
    let outcome = match synced {
        Ok((report, back)) => {
            broker.recovered(&account.id);
            broker.count(&account).await;
            // Files that wait, or wait for an answer, are not in step.
            if report.pending_total == 0 && report.held == 0 {
                job.show(|view| view.stage = Kind::Sync.last_stage());
            }
            let mut outcome = outcome(report);
            if let Some((path, checked)) = back {
                outcome.path = path;
                if !checked && outcome.message.is_empty() {
                    outcome.message = UNCHECKED.to_owned();
                }
            }
            outcome
        }
        Err(failure) => {
            if !matches!(failure, Failure::Cancelled(_)) {
                broker.trouble(&account.id, &failure);
            }
            broker.count_after(&account, &failure).await;
            failed(ending(&failure))
        }
    };
    job.end(account, outcome);
}

/// Answers, too, as what a file came back from the trash, if one did, and whether it was checked.
async fn sync(
    broker: &Broker,
    account: &Account,
    wish: &Wish,
) -> Result<(SyncReport, Option<(Vec<u8>, bool)>), Failure> {
    let read_back = broker.rules.in_force().settings.read_back;
    let wish = wish.clone();
    let asked = broker.workers.ask(account.spec(), move |live, id| {
        let wish = wish.clone();
        Box::pin(async move {
            let (worker, mut back) = (live.proxy(), None);
            let report = match &wish {
                Wish::Answer { delete } => worker.answer(&id, *delete, read_back).await?,
                Wish::Sync => worker.sync(&id, read_back).await?,
                Wish::Undelete { file, damaged } => {
                    back = Some(worker.undelete(&id, file, *damaged).await?);
                    worker.sync(&id, read_back).await?
                }
            };
            Ok((report, back))
        })
    });
    asked.await
}

/// The outcome of a sync or of a sign-in.
pub(super) fn outcome(report: SyncReport) -> JobOutcome {
    let why = report.pending.first().map_or("", |(_, why)| why.as_str());
    let message = match report.pending_total {
        0 => String::new(),
        1 => format!("1 file could not be synced now ({why}); the next sync tries again"),
        n => format!(
            "{n} files could not be synced now (the first of them: {why}); the next sync tries again"
        ),
    };
    let mooring_wire::ReturnCheck {
        receipt,
        expected,
        checked,
        changed_since,
        deleted_since,
        held,
        missing,
        missing_total,
    } = report.returned;
    JobOutcome {
        success: true,
        message,
        uploaded: report.uploaded,
        downloaded: report.downloaded,
        moved: report.moved,
        adopted: report.adopted,
        conflicts: report.conflicts,
        held: report.held,
        deleted: report.deleted,
        pending: report.pending.into_iter().map(|(path, _)| path).collect(),
        pending_total: report.pending_total,
        returned: ReturnCheck {
            receipt,
            expected,
            checked,
            changed_since,
            deleted_since,
            held,
            missing,
            missing_total,
        },
        ..JobOutcome::default()
    }
}
