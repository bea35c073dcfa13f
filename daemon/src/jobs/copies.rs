//! Jobs about copies: taking a backup, restoring from one, and checking every copy in the storage.
//! Each is one call of the worker that can be made again after a death.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use mooring_api::{JobOutcome, Problem, WhyAnswer};
use mooring_core::receipt::timestamp;
use mooring_wire::reach::{Place, Use};
use mooring_wire::{BackupReport, CheckReport, RestoreReport, WhyReport};

use super::journal::Work;
use super::{Job, ending, failed};
use crate::account::{Account, LastBackup};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::launch::Later;
use crate::workers::{Live, Said};

/// What a job about copies is to do; durable, so that a restart goes on with the same.
pub use super::journal::Copies;

impl Broker {
    /// Begins a backup into a folder of its own below `to`.
    ///
    /// # Errors
    /// [`Failure::Busy`] when another job is under way.
    pub async fn backup(self: &Arc<Self>, id: &str, to: Vec<u8>, uid: u32) -> Result<u64, Failure> {
        let account = self.published.borrow().account(id)?.account.clone();
        // Never the second of the backup before: their folders have different names.
        let last = account.last_backup.map_or(0, |last| last.when);
        let last = last.max(account.backup_begun);
        let name = folder_name(&account.identity, self.clock.now().max(last + 1));
        self.copies(id, Copies::Backup { to, name }, uid).await
    }

    /// Begins a job about copies.
    ///
    /// # Errors
    /// [`Failure::Busy`] when another job is under way.
    pub async fn copies(
        self: &Arc<Self>,
        id: &str,
        copies: Copies,
        uid: u32,
    ) -> Result<u64, Failure> {
        let work = Work::Copies(copies.clone());
        let (job, account) = Job::begin(self, id, uid, work).await?;
        let number = job.number;
        self.spawn(run(job, account, copies));
        Ok(number)
    }

    /// Says how one file stands; while a job has the account, from what is remembered.
    ///
    /// # Errors
    /// The worker's; [`Failure::Busy`] when a job has just begun or is about to end the account.
    pub async fn why(&self, id: &str, file: Vec<u8>) -> Result<WhyAnswer, Failure> {
        let report = match self.looking(id).await {
            Ok(looking) => {
                let ask = move |live: Arc<Live>, id: String| -> Later<'static, _> {
                    let file = file.clone();
                    Box::pin(async move { live.proxy().why(&id, &file).await })
                };
                looking.ask(ask).await?
            }
            Err(Failure::Busy(why)) => self.recall(id, &file, why).await?,
            Err(other) => return Err(other),
        };
        Ok(WhyAnswer {
            state: report.state,
            reason: report.reason,
            next: report.next,
            collection: report.collection,
            copies: report.copies,
            read_back_at: report.read_back_at,
            unseen: report.unseen,
        })
    }

    /// What the worker remembers of a file of an account that a job has.
    async fn recall(&self, id: &str, file: &[u8], busy: String) -> Result<WhyReport, Failure> {
        // A worker that still answers about it could keep an account from being erased.
        if self.published.borrow().ends(id) {
            return Err(Failure::Busy(busy));
        }
        let live = self.workers.live().await?;
        match live.proxy().recall(id, file, &busy).await {
            Ok(mut report) => {
                report.hold();
                Ok(report)
            }
            // A worker that has just started was not told of the account yet.
            Err(mooring_wire::Error::Failed(error)) => {
                tracing::debug!(account = id, error, "nothing is remembered");
                Err(Failure::Busy(busy))
            }
            Err(other) => Err(other.into()),
        }
    }
}

pub(super) async fn run(mut job: Job, account: Account, copies: Copies) {
    let broker = job.broker.clone();
    let done = job.drive(true, work(&broker, &account, &copies)).await;
    let outcome = match done {
        Ok((outcome, taken)) => {
            if let Some(taken) = taken {
                broker.change_account(&account.id, |view| {
                    view.account.backup_begun = taken.when;
                    if taken.missing == 0 {
                        view.account.last_backup = Some(taken);
                    }
                });
            }
            broker.count(&account).await;
            // What lacks something has not come to its stage.
            if outcome.success {
                job.show(|view| view.stage = copies.kind().last_stage());
            }
            outcome
        }
        Err(failure) => {
            // What is wrong with a backup's disk is no trouble of the account.
            if matches!(copies, Copies::Verify) && !matches!(failure, Failure::Cancelled(_)) {
                broker.trouble(&account.id, &failure);
            }
            failed(ending(&failure))
        }
    };
    job.end(account, outcome);
}

async fn work(
    broker: &Broker,
    account: &Account,
    copies: &Copies,
) -> Result<(JobOutcome, Option<LastBackup>), Failure> {
    match copies {
        Copies::Backup { to, name } => {
            let report = backup(broker, account, to, name).await?;
            let taken = taken(&report, broker.clock.now());
            Ok((backed_up(report), Some(taken)))
        }
        Copies::Restore { from, only, to } => {
            let report = restore(broker, account, (from, only, to)).await?;
            Ok((restored(report), None))
        }
        Copies::Verify => Ok((checked(check(broker, account).await?), None)),
    }
}

async fn backup(
    broker: &Broker,
    account: &Account,
    to: &[u8],
    name: &str,
) -> Result<BackupReport, Failure> {
    let _reaching = broker.workers.reach(vec![Place::new(Use::Folder, to)]);
    let (to, name) = (to.to_vec(), name.to_owned());
    let asked = broker.workers.ask(account.spec(), move |live, id| {
        let (to, name) = (to.clone(), name.clone());
        Box::pin(async move { live.proxy().backup(&id, &to, &name).await })
    });
    asked.await
}

async fn restore(
    broker: &Broker,
    account: &Account,
    (from, only, to): (&[u8], &[u8], &[u8]),
) -> Result<RestoreReport, Failure> {
    let mut places = vec![Place::new(Use::Source, from)];
    if !to.is_empty() {
        places.push(Place::new(Use::Folder, to));
    }
    let _reaching = broker.workers.reach(places);
    let (from, only, to) = (from.to_vec(), only.to_vec(), to.to_vec());
    let asked = broker.workers.ask(account.spec(), move |live, id| {
        let (from, only, to) = (from.clone(), only.clone(), to.clone());
        Box::pin(async move { live.proxy().restore(&id, &from, &only, &to).await })
    });
    asked.await
}

async fn check(broker: &Broker, account: &Account) -> Result<CheckReport, Failure> {
    let asked = broker.workers.ask(account.spec(), |live, id| {
        Box::pin(async move { live.proxy().check(&id).await })
    });
    asked.await
}

/// `IDENTITY-YYYYMMDDTHHMMSSZ`.
fn folder_name(identity: &str, now: u64) -> String {
    let safe = |c: char| c.is_alphanumeric() || "._@+-".contains(c);
    let identity: String = identity
        .trim_start_matches('.')
        .chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect();
    let time = timestamp(now).replace(['-', ':'], "");
    format!("{identity}-{time}")
}

fn taken(report: &BackupReport, now: u64) -> LastBackup {
    // The folder's name says when it was begun; a restart in between does not make it younger.
    let name = Path::new(std::ffi::OsStr::from_bytes(&report.path)).file_name();
    let begun = name.and_then(|name| begun(name.to_str()?));
    LastBackup {
        when: begun.unwrap_or(now),
        path: report.path.clone(),
        files: report.files.files,
        bytes: report.files.bytes,
        missing: report.missing_total,
    }
}

/// The time in a folder's name.
fn begun(name: &str) -> Option<u64> {
    let (_, t) = name.rsplit_once('-')?;
    let part = |from: usize, to: usize| t.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(9, 11)?, part(11, 13)?, part(13, 15)?);
    mooring_core::receipt::seconds(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

fn backed_up(report: BackupReport) -> JobOutcome {
    let sentence = |n| match n {
        1 => "The backup is incomplete: 1 file is not in it; everything else is".to_owned(),
        n => format!("The backup is incomplete: {n} files are not in it; everything else is"),
    };
    let mut outcome = JobOutcome {
        path: report.path,
        copied: report.files.files,
        copied_bytes: report.files.bytes,
        left: report.left_out,
        ..told(report.missing, report.missing_total, sentence)
    };
    // Of a backup that is whole there is nothing else to say.
    if outcome.success {
        outcome.message = report.remarks.join(" ");
    }
    outcome
}

fn restored(report: RestoreReport) -> JobOutcome {
    let sentence = |n| match n {
        1 => "1 file could not be restored; everything else was".to_owned(),
        n => format!("{n} files could not be restored; everything else was"),
    };
    JobOutcome {
        copied: report.restored.files,
        copied_bytes: report.restored.bytes,
        adopted: report.equal,
        conflicts: report.conflicts,
        ..told(report.problems, report.problems_total, sentence)
    }
}

fn checked(report: CheckReport) -> JobOutcome {
    let sentence = |n| match n {
        1 => "1 file has no good copy in the storage".to_owned(),
        n => format!("{n} files have no good copy in the storage"),
    };
    JobOutcome {
        copied: report.proven.files,
        copied_bytes: report.proven.bytes,
        held: report.elsewhere,
        ..told(report.problems, report.problems_total, sentence)
    }
}

/// An outcome that succeeded when there are no problems, and otherwise names them.
fn told(
    problems: Vec<(Vec<u8>, String)>,
    total: u64,
    sentence: impl FnOnce(u64) -> String,
) -> JobOutcome {
    let failed = total > 0;
    JobOutcome {
        success: !failed,
        error: if failed { "Failed" } else { "" }.to_owned(),
        message: if failed {
            sentence(total)
        } else {
            String::new()
        },
        problems: problems
            .into_iter()
            .map(|(path, reason)| Problem { path, reason })
            .collect(),
        problems_total: total,
        ..JobOutcome::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_folder_says_who_and_when() {
        let name = folder_name("../alice b", 1_795_446_000);
        assert!(name.starts_with("_alice_b-") && name.ends_with('Z'));
        assert_eq!(begun(&name), Some(1_795_446_000));
        assert!(!name.contains('/') && !name.starts_with('.'));
        assert_eq!(begun("alice-x"), None);
        assert_eq!(begun("ä-2026é123T150000Z"), None);
    }
}
