//! Forgetting an account without a sign-out: the way out when its storage is gone for good. Nothing is
//! proved, and so nothing is removed: every file stays where it is, and a receipt says so.
//!
//! First the worker puts the folders in order, after which the account could still go on as it was. Then
//! a mark is made durable, and from there on it is forgotten, by whoever comes after a death if need be:
//! markers and state, receipt, and the rows last.

mod receipt;

use std::sync::Arc;
use std::time::Duration;

use mooring_api::JobOutcome;
use mooring_core::account::State;
use mooring_core::policy::{Actor, Verb};
use mooring_core::receipt::{LeftEntry, readable};
use mooring_wire::{EraseReport, Error as WireError};
use tokio::sync::oneshot;

use crate::account::{Account, Forgetting};
use crate::audit::Subject;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::jobs::journal::{Entry, SignOut, Work};
use crate::jobs::{self, Command};
use crate::launch::Later;
use crate::published::{Holder, Published};
use crate::questions::not_denied;
use crate::workers::Live;
use crate::{random, receipts};

/// How long a worker may take to be there and to put the folders in order.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a job may be at the same thing before it counts as one that hangs.
const HANGS: Duration = Duration::from_secs(20);
/// How long the storage may take for anything, if it answers at all.
const STORAGE_PATIENCE: Duration = Duration::from_secs(10);
/// The wait before what failed halfway is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// A job that stands still, and hears whether its account is forgotten.
struct Halted {
    entry: Entry,
    forgotten: Option<oneshot::Sender<()>>,
}

impl Halted {
    fn sign_out(&self) -> Option<&SignOut> {
        match &self.entry.work {
            Work::SignOut(sign_out) => Some(sign_out.as_ref()),
            _ => None,
        }
    }
}

impl Broker {
    /// Whether policy would let the person drop the account, before anybody is asked for a password.
    /// What it allows is told when it happens.
    ///
    /// # Errors
    /// [`Failure::PolicyDenied`] names who says so, where, why, and whom to ask.
    pub fn expect_no_denial_of_forgetting(&self, account: &Account) -> Result<(), Failure> {
        let decision = self.decide(account, Verb::Forget, Actor::Person);
        not_denied(&decision).inspect_err(|_| {
            self.audit(Subject::of(account, Verb::Forget, Actor::Person), &decision)
        })
    }

    /// Drops an account that is free, or whose sign-in or sign-out waits. Answers the name of the
    /// receipt.
    ///
    /// # Errors
    /// [`Failure::PolicyDenied`]; [`Failure::Busy`] while something is under way; when the folders cannot
    /// be put in order, and then the account is as it was; when the receipt or the rows cannot be written,
    /// which is then tried until it can be done.
    pub async fn forget_account(self: &Arc<Self>, id: &str) -> Result<String, Failure> {
        let account = self.published.borrow().account(id)?.account.clone();
        let decision = self.decide(&account, Verb::Forget, Actor::Person);
        self.audit(
            Subject::of(&account, Verb::Forget, Actor::Person),
            &decision,
        );
        not_denied(&decision)?;
        self.end_what_hangs(id).await;
        let job = self.halt_a_job(id).await?;
        if job.is_none() {
            self.take_from_whoever_hangs(id).await?;
        }
        if let Err(failure) = self.prepare_to_forget(id, job.as_ref()).await {
            // A job hears it by itself.
            self.free_from(Holder::Forget, id);
            return Err(failure);
        }
        match self.finish_forgetting(id, job.as_ref()).await {
            Ok((name, account)) => {
                self.leave(&account, job).await;
                Ok(name)
            }
            Err(failure) => {
                let (broker, id) = (self.clone(), id.to_owned());
                self.spawn(async move { broker.go_on_forgetting(&id, job, AGAIN).await });
                Err(Failure::Internal(format!(
                    "the account is forgotten as soon as that can be written down: {failure}"
                )))
            }
        }
    }

    /// Goes on with what a process before began to forget, with its job, which does not begin again; the
    /// account is held for that from now on.
    pub fn resume_forgetting(
        self: &Arc<Self>,
        id: String,
        job: Option<Entry>,
    ) -> Later<'static, ()> {
        let job = job.map(|entry| Halted {
            entry,
            forgotten: None,
        });
        self.change_account(&id, |view| view.holder = Holder::Forget);
        let broker = self.clone();
        Box::pin(async move { broker.go_on_forgetting(&id, job, Duration::ZERO).await })
    }

    async fn go_on_forgetting(&self, id: &str, job: Option<Halted>, mut wait: Duration) {
        loop {
            tokio::time::sleep(wait).await;
            match self.finish_forgetting(id, job.as_ref()).await {
                Ok((_, account)) => return self.leave(&account, job).await,
                Err(failure) => {
                    tracing::error!(account = id, %failure, "not forgotten yet; tried again");
                }
            }
            wait = AGAIN;
        }
    }

    /// Has a job end that nobody can stop and that hangs: a storage that never answers hears of nothing.
    /// One that gets on is left alone.
    async fn end_what_hangs(&self, id: &str) {
        let seen = |p: &Published| {
            let job = p.unstoppable_job(id);
            job.map(|(number, stage, progress)| (number, stage, progress.clone()))
        };
        let before = seen(&self.published.borrow());
        let Some((job, stage, _)) = before else {
            return;
        };
        let mut changes = self.published.subscribe();
        let gets_on = changes.wait_for(|p| seen(p) != before);
        if tokio::time::timeout(HANGS, gets_on).await.is_ok() {
            return;
        }
        tracing::warn!(
            account = id,
            job,
            stage,
            "it hangs, and is ended with its worker"
        );
        let ended = async {
            let ended = changes.wait_for(|p| p.unstoppable_job(id).is_none());
            tokio::time::timeout(HANGS, ended).await.is_ok()
        };
        if !self.workers.give_up_until(id, ended).await {
            tracing::error!(account = id, job, "it does not end");
        }
    }

    /// Has the job stand still that can neither be undone nor go on, if there is one.
    async fn halt_a_job(&self, id: &str) -> Result<Option<Halted>, Failure> {
        let Some(number) = self.published.borrow().stuck_job(id)? else {
            return Ok(None);
        };
        let (forgotten, told) = oneshot::channel();
        self.ask(number, Command::GiveUp(told)).await?;
        let entry = self.store.jobs()?.into_iter().find(|e| e.number == number);
        let entry =
            entry.ok_or_else(|| Failure::Internal("the job is in no journal".to_owned()))?;
        Ok(Some(Halted {
            entry,
            forgotten: Some(forgotten),
        }))
    }

    /// Takes an account that is free, or that something looks at which hangs: a storage that never
    /// answers must not keep anybody from giving it up.
    async fn take_from_whoever_hangs(&self, id: &str) -> Result<(), Failure> {
        match self.hold(id, Holder::Forget).await {
            Err(Failure::Busy(why)) if self.published.borrow().is_looked_at(id) => {
                tracing::warn!(
                    account = id,
                    why,
                    "whatever looks at it is ended with its worker"
                );
                let held = self.hold(id, Holder::Forget);
                self.workers.give_up_until(id, held).await.map(drop)
            }
            held => held.map(drop),
        }
    }

    /// Puts the folders in order, and makes the mark after which there is no way back.
    async fn prepare_to_forget(&self, id: &str, job: Option<&Halted>) -> Result<(), Failure> {
        let mut account = self.published.borrow().account(id)?.account.clone();
        let sign_out = job.and_then(Halted::sign_out);
        let receipt = match sign_out {
            Some(sign_out) => sign_out.receipt.clone(),
            None => receipts::new_id(self.clock.now(), &account.identity, random::bytes()?),
        };
        let sequence = match sign_out.map_or(0, |sign_out| sign_out.sequence) {
            0 => self.receipt_number().await?,
            taken => taken,
        };
        // Where a sign-out has erased already, nothing is there any more.
        let left = match sign_out.is_some_and(|sign_out| sign_out.erased.is_some()) {
            true => Vec::new(),
            false => {
                let erasing = sign_out.is_some_and(|sign_out| sign_out.removed.is_some());
                self.put_in_order(&account, erasing).await?
            }
        };
        let forgetting = Forgetting {
            receipt,
            sequence,
            left,
        };
        account.forgetting = Some(forgetting.clone());
        self.store.save_account(&account)?;
        self.change_account(id, |view| view.account.forgetting = Some(forgetting));
        Ok(())
    }

    async fn put_in_order(
        &self,
        account: &Account,
        erasing: bool,
    ) -> Result<Vec<LeftEntry>, Failure> {
        let spec = account.spec();
        let brought = account.state != State::SigningIn;
        let report = self.on_folders(account, |live| {
            let spec = spec.clone();
            Box::pin(async move { Ok(live.proxy().release(spec, erasing, brought).await?) })
        });
        let mut left = report.await?;
        let settling = self.workers.call(|live| {
            let spec = spec.clone();
            Box::pin(async move { Ok(live.proxy().settle(spec).await?) })
        });
        let why = match tokio::time::timeout(STORAGE_PATIENCE, settling).await {
            Ok(Ok(()) | Err(Failure::Worker(WireError::StorageGone(_)))) => return Ok(left),
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => {
                self.workers.drop_running().await;
                "it does not answer".to_owned()
            }
        };
        let mut uploads = account.storage.clone();
        uploads.extend(b"/.mooring/uploads");
        left.push(LeftEntry {
            path: readable(&uploads),
            reason: format!("a file that was being replaced may wait there: {why}"),
        });
        Ok(left)
    }

    /// Everything after the mark; each step can be done again. Answers the receipt's name, and the account
    /// as it was.
    async fn finish_forgetting(
        &self,
        id: &str,
        job: Option<&Halted>,
    ) -> Result<(String, Account), Failure> {
        let account = self.published.borrow().account(id)?.account.clone();
        let marked = account.forgetting.clone();
        let forgetting = marked.ok_or_else(|| Failure::Internal("there is no mark".to_owned()))?;
        let spec = account.spec();
        let mut left = forgetting.left.clone();
        let discarding = self.on_folders(&account, |live| {
            let spec = spec.clone();
            Box::pin(async move { Ok(live.proxy().discard(spec).await?) })
        });
        left.extend(discarding.await?);
        let text = self.receipt_of_forgotten(&account, job, &forgetting, left)?;
        self.receipts.write_final(&forgetting.receipt, &text)?;
        // First what everybody sees: nobody writes down again what is about to go.
        let view = self.update(|p| p.accounts.remove(id));
        if let Err(error) = self.store.drop_account(id) {
            let back = view.map(|view| (id.to_owned(), view));
            self.update(|p| p.accounts.extend(back));
            return Err(error.into());
        }
        let receipt = forgetting.receipt;
        tracing::warn!(account = id, receipt, "the account is forgotten");
        Ok((receipt, account))
    }

    /// Ends the job of an account that is forgotten, and has whoever has the storage see this device go.
    async fn leave(&self, account: &Account, job: Option<Halted>) {
        if let Some(job) = job {
            self.requests().remove(&job.entry.number);
            // Nobody hears it where the job did not begin again after a death.
            let _ = job.forgotten.map(|forgotten| forgotten.send(()));
            let forgetting = account.forgetting.clone();
            let outcome = JobOutcome {
                error: "Cancelled".to_owned(),
                message: "the account was forgotten".to_owned(),
                receipt: forgetting.map(|f| f.receipt).unwrap_or_default(),
                ..JobOutcome::default()
            };
            let keep = usize::from(self.rules.in_force().settings.keep_finished);
            self.update(|p| p.end(job.entry.number, outcome, keep));
        }
        let withdrawing = self.workers.call(|live| {
            let (storage, sign_in) = (account.storage.clone(), account.sign_in_id.clone());
            Box::pin(async move { Ok(live.proxy().withdraw(&storage, &sign_in).await?) })
        });
        match tokio::time::timeout(STORAGE_PATIENCE, withdrawing).await {
            Ok(Ok(())) => {}
            _ => tracing::info!(account = account.id, "the storage still lists this device"),
        }
    }

    /// Works on an account's folders, up to a bound: nothing of it is at work after that.
    async fn on_folders(
        &self,
        account: &Account,
        call: impl Fn(Arc<Live>) -> Later<'static, Result<EraseReport, Failure>> + Sync,
    ) -> Result<Vec<LeftEntry>, Failure> {
        let _reaching = self.workers.reach(account.ways());
        let calling = self.workers.call(call);
        let Ok(report) = tokio::time::timeout(PATIENCE, calling).await else {
            self.workers.drop_running().await;
            let why = "a folder of the account does not answer: see to its disk, and try again";
            return Err(Failure::Busy(why.to_owned()));
        };
        Ok(report?.left.into_iter().map(jobs::forget::left).collect())
    }
}
