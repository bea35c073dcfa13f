//! The steps of a sign-out, one function each: what is asked of the worker, and what its answer
//! means. Their order is not decided here.

use std::sync::Arc;

use mooring_core::account::Event;
use mooring_core::signout::{MAX_ROUNDS, Removal};
use mooring_wire::Error as WireError;
use mooring_wire::reach::Use;

use super::{Run, Turn, removal};
use crate::devices::word;
use crate::failure::Failure;
use crate::jobs::journal::Ending;
use crate::jobs::{Job, MAX_ITEMS, failed};
use crate::workers::{Live, Said};

impl Run {
    pub(super) async fn authorise(&mut self, job: &mut Job) -> Result<(), Failure> {
        let identity = self.account.identity.clone();
        let record = job.authorise(&identity, self.password.take()).await?;
        self.account.record = record.to_toml()?;
        self.journaled.authorised = true;
        self.save(&job.broker)
    }

    pub(super) async fn drain(&mut self, job: &mut Job, live: &Arc<Live>) -> Result<(), Failure> {
        let drain = live.proxy().drain(&self.account.id, self.keep());
        let report = self.call(job, live, self.cancellable(), drain).await?;
        if report.unsynced_total == 0 {
            self.drained = true;
        } else {
            self.not_there_yet(report.unsynced, report.unsynced_total);
        }
        Ok(())
    }

    pub(super) async fn verify(&mut self, job: &mut Job, live: &Arc<Live>) -> Result<(), Failure> {
        let receipt = self.journaled.receipt.clone();
        let verify = live.proxy().verify(&self.account.id, self.keep(), &receipt);
        let report = self.call(job, live, self.cancellable(), verify).await?;
        if report.unproven_total == 0 {
            self.proven = true;
            self.journaled.base_blake3 = report.base_blake3;
        } else {
            self.not_there_yet(report.unproven, report.unproven_total);
        }
        Ok(())
    }

    pub(super) async fn remove(
        &mut self,
        job: &mut Job,
        live: &Arc<Live>,
        policy: String,
    ) -> Result<(), Failure> {
        if self.journaled.removal == Removal::NotBegun {
            self.journaled.policy = policy;
        }
        self.journaled.removal = Removal::Begun;
        self.save(&job.broker)?;
        let remove = live.proxy().remove(&self.account.id, self.keep());
        match self.call(job, live, false, remove).await {
            Ok(report) if report.remaining == 0 => {
                let removed = self.removed(report, job.broker.clock.now());
                self.journaled.removed = Some(removed);
                self.journaled.removal = Removal::Done;
                self.save(&job.broker)
            }
            Ok(report) => {
                self.not_there_yet(report.remaining_files, report.remaining);
                Ok(())
            }
            Err(Failure::Worker(WireError::NotVerified(message))) => {
                tracing::warn!(job = self.number, message, "the proof no longer fits");
                self.not_there_yet(Vec::new(), 0);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Another round is needed: upload and read back again.
    fn not_there_yet(&mut self, files: Vec<(Vec<u8>, String)>, total: u64) {
        self.drained = false;
        self.proven = false;
        self.rounds = self.rounds.saturating_add(1).min(MAX_ROUNDS);
        self.files = files;
        self.files_total = total;
    }

    pub(super) async fn ask_about_unsynced(&mut self, job: &mut Job) -> Result<(), Failure> {
        let unsynced = self.unsynced();
        job.broker.count_refusal_as(&unsynced.error);
        self.tell_asker(job, word::BLOCKED, &unsynced.message)
            .await?;
        let keep_here = job.block(unsynced, self.cancellable()).await?;
        self.rounds = 0;
        if keep_here && !self.files.is_empty() {
            let moved = self.keep_here(job).await?;
            tracing::info!(job = self.number, moved, "files are kept here");
        }
        Ok(())
    }

    /// Moves the files that stand in the way out of the account's reach. Answers how many.
    async fn keep_here(&self, job: &mut Job) -> Result<u64, Failure> {
        let files: Vec<_> = self.files.iter().map(|(path, _)| path.clone()).collect();
        let broker = job.broker.clone();
        let kept = self.account.kept(&broker.folders.home, Use::Root);
        let _reaching = broker.workers.reach(vec![kept]);
        let moving = broker.workers.ask(self.account.spec(), move |live, id| {
            let files = files.clone();
            Box::pin(async move { live.proxy().keep_here(&id, files).await })
        });
        job.drive(false, moving).await
    }

    fn unsynced(&self) -> mooring_api::Blocked {
        let reason = self.files.first().map_or("", |(_, reason)| reason.as_str());
        let message = match self.files_total {
            0 => "the copies could not be proved to be good".to_owned(),
            1 => format!("1 file has no proven copy in the storage: {reason}"),
            n => format!("{n} files have no proven copy in the storage; the first: {reason}"),
        };
        mooring_api::Blocked {
            error: "UnsyncedData".to_owned(),
            message,
            next_attempt: 0,
            items: self
                .files
                .iter()
                .take(MAX_ITEMS)
                .map(|(path, _)| path.clone())
                .collect(),
            items_total: self.files_total,
        }
    }

    /// Calls the worker; one that dies over it is put away.
    async fn call<T: Said>(
        &self,
        job: &mut Job,
        live: &Arc<Live>,
        cancellable: bool,
        call: impl Future<Output = mooring_wire::Result<T>>,
    ) -> Result<T, Failure> {
        let call = async {
            let mut said = call.await?;
            said.hold();
            Ok(said)
        };
        let called = job.drive(cancellable, call).await;
        if let Err(failure) = &called
            && failure.calls_for_another_worker()
        {
            if live.is_replaced() {
                return Err(Failure::WorkerReplaced);
            }
            tracing::warn!(
                job = self.number,
                generation = live.generation,
                %failure,
                "the worker is gone"
            );
            job.broker.workers.retire(live, failure).await;
            if job.broker.workers.is_given_up(&job.account) {
                return Err(Failure::Ended);
            }
        }
        called
    }

    /// Puts everything back: the account stays.
    pub(super) async fn undo(&mut self, job: &mut Job, ending: Ending) -> Result<Turn, Failure> {
        let broker = job.broker.clone();
        job.show(|view| view.cancellable = false);
        // Before anything else, and until it can be: a restart must not go on with what was cancelled.
        self.save(&broker)?;
        // Before the person proved who they are, no worker was asked to do anything.
        if self.journaled.authorised {
            let spec = self.account.spec();
            let id = job.account.clone();
            let stay = broker.workers.call_about(&id, |live| {
                let spec = spec.clone();
                Box::pin(async move {
                    let id = spec.id.clone();
                    let attached = live.attach(spec).await?;
                    if removal(&attached)? == Removal::NotBegun {
                        live.proxy().stay(&id).await?;
                        return Ok(true);
                    }
                    Ok(false)
                })
            });
            let stayed = match job.drive(false, stay).await {
                // Nothing was removed, as the journal knows; what the worker's state was is for
                // `doctor --repair`, which waits for the end of this.
                Err(Failure::Worker(WireError::StateDamaged(why)))
                    if self.journaled.removal == Removal::NotBegun =>
                {
                    tracing::warn!(job = self.number, why, "undone without the worker's state");
                    true
                }
                stayed => stayed?,
            };
            if !stayed {
                // The worker's latch is right: something is removed already.
                self.journaled.undoing = None;
                self.save(&broker)?;
                return Ok(Turn::Again);
            }
        }
        self.tell_asker_of_end(job, &ending).await?;
        self.account.apply(Event::SignOutUndone, "");
        let outcome = failed(ending);
        broker.store.end_job(&self.account, &job.ended(&outcome))?;
        let account = self.account.clone();
        broker.change_account(&job.account, |view| view.account = account);
        // They are told of a sign-out once it is authorised, by an earlier process perhaps.
        if self.journaled.authorised {
            self.tell_apps(job, false);
        }
        Ok(Turn::Ended(Box::new(outcome)))
    }
}
