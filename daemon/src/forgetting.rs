//! Forgetting an account without a sign-out: the way out when its storage is gone for good. Nothing is
//! proved, and so nothing is removed: every file stays where it is, and a receipt says so.
//!
//! A draft of the receipt first, then the worker, the receipt, and the rows last: whoever dies in between
//! finds the account, and forgets it again.

use std::sync::Arc;
use std::time::Duration;

use mooring_api::JobOutcome;
use mooring_core::policy::{Actor, Verb};
use mooring_core::receipt::{
    self, Backup, CollectionEntry, GoneBefore, LeftEntry, Proof, Receipt, Revocation, Storage,
    readable, timestamp,
};
use mooring_wire::Left;

use crate::account::{Account, Chosen};
use crate::audit::Subject;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::folders::Mode;
use crate::jobs::forget::receipt_of_given_up;
use crate::jobs::journal::{Entry, SignOut, Work};
use crate::jobs::{Command, resume};
use crate::published::Holder;
use crate::questions::not_denied;
use crate::{random, receipts};

/// How long a worker may take to be there and to put the folders in order.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the storage may take to take the device's name out, if it answers at all.
const WITHDRAWAL: Duration = Duration::from_secs(10);

impl Broker {
    /// Whether policy would let the person drop the account, before anybody is asked for a password.
    /// What it allows is told when it happens.
    ///
    /// # Errors
    /// [`Failure::PolicyDenied`] names who says so, where, why, and whom to ask.
    pub fn expect_no_denial_of_forgetting(&self, account: &Account) -> Result<(), Failure> {
        let decision = self.decide(account, Verb::Forget, Actor::Person);
        not_denied(&decision).inspect_err(|_| self.audit(of_forgetting(account), &decision))
    }

    /// Drops an account that is free, or whose sign-in or sign-out waits. Answers the name of the
    /// receipt.
    ///
    /// # Errors
    /// [`Failure::PolicyDenied`]; [`Failure::Busy`] while something is under way; when the receipt or the
    /// rows cannot be written, and then the account is there still.
    pub async fn forget_account(self: &Arc<Self>, id: &str) -> Result<String, Failure> {
        let account = self.published.borrow().account(id)?.account.clone();
        let decision = self.decide(&account, Verb::Forget, Actor::Person);
        self.audit(of_forgetting(&account), &decision);
        not_denied(&decision)?;
        let job = self.take_from_a_job(id).await?;
        if job.is_none() {
            self.take_from_whoever_hangs(id).await?;
        }
        let forgotten = self.forget_held(&account, job.as_ref()).await;
        if forgotten.is_err() {
            self.give_back(id, job);
        }
        forgotten
    }

    /// Has the job end that can neither be undone nor go on, if there is one. Answers what the journal has
    /// of it.
    async fn take_from_a_job(&self, id: &str) -> Result<Option<Entry>, Failure> {
        let Some(number) = self.published.borrow().stuck_job(id)? else {
            return Ok(None);
        };
        let entries = self.store.jobs()?;
        let entry = entries.into_iter().find(|entry| entry.number == number);
        let entry =
            entry.ok_or_else(|| Failure::Internal("the job is in no journal".to_owned()))?;
        // With its answer nothing of it is at work any more.
        self.ask(number, Command::GiveUp).await?;
        self.requests().remove(&number);
        self.change_account(id, |view| view.holder = Holder::Look);
        Ok(Some(entry))
    }

    /// Takes an account that is free, or that something looks at which hangs: a storage that never
    /// answers must not keep anybody from giving it up.
    async fn take_from_whoever_hangs(&self, id: &str) -> Result<(), Failure> {
        match self.hold(id, Holder::Look).await {
            Err(Failure::Busy(why)) if self.published.borrow().is_looked_at(id) => {
                tracing::warn!(
                    account = id,
                    why,
                    "whatever looks at it is ended with its worker"
                );
                self.workers.drop_running().await;
                self.hold(id, Holder::Look).await.map(drop)
            }
            held => held.map(drop),
        }
    }

    /// What could not be forgotten goes on as it was.
    fn give_back(self: &Arc<Self>, id: &str, job: Option<Entry>) {
        self.change_account(id, |view| view.holder = Holder::Free);
        let Some(entry) = job else {
            return;
        };
        match resume(self, entry) {
            Ok(job) => self.spawn(job),
            Err(error) => tracing::error!(account = id, %error, "the job goes on after a restart"),
        }
    }

    async fn forget_held(&self, account: &Account, job: Option<&Entry>) -> Result<String, Failure> {
        let sign_out = job.and_then(|entry| match &entry.work {
            Work::SignOut(sign_out) => Some((entry, sign_out.as_ref())),
            _ => None,
        });
        let name = match sign_out {
            Some((_, sign_out)) => sign_out.receipt.clone(),
            None => receipts::new_id(self.clock.now(), &account.identity, random::bytes()?),
        };
        let sequence = self.receipt_number().await?;
        let write = |left: Vec<LeftEntry>| -> Result<String, Failure> {
            let receipt = match sign_out {
                Some((entry, sign_out)) if sign_out.removed.is_some() => receipt_of_given_up(
                    account.clone(),
                    sign_out.clone(),
                    (entry.number, entry.uid),
                    left,
                )?,
                sign_out => self.receipt_of(account, sign_out.map(|(_, s)| s), left, &name),
            };
            let receipt = Receipt {
                sequence,
                ..receipt
            };
            receipt.to_toml().map_err(|error| {
                Failure::Internal(format!("the receipt cannot be written: {error}"))
            })
        };
        // First of all a draft: from here on the device knows what happens.
        self.receipts.write_draft(&name, &write(Vec::new())?)?;
        let left = self.release(account).await?;
        self.receipts.write_final(&name, &write(left)?)?;
        // First what everybody sees: nobody writes down again what is about to go.
        let view = self.update(|p| p.accounts.remove(&account.id));
        if let Err(error) = self.store.drop_account(&account.id) {
            self.update(|p| {
                p.accounts
                    .extend(view.map(|view| (account.id.clone(), view)))
            });
            return Err(error.into());
        }
        tracing::warn!(
            account = account.id,
            receipt = name,
            "the account is forgotten"
        );
        if let Some(entry) = job {
            let outcome = JobOutcome {
                error: "Cancelled".to_owned(),
                message: "the account was forgotten".to_owned(),
                receipt: name.clone(),
                ..JobOutcome::default()
            };
            let keep = usize::from(self.rules.in_force().settings.keep_finished);
            self.update(|p| p.end(entry.number, outcome, keep));
        }
        self.withdraw(account).await;
        Ok(name)
    }

    /// Has the worker put the folders in order. Answers what it could not.
    async fn release(&self, account: &Account) -> Result<Vec<LeftEntry>, Failure> {
        let spec = account.spec();
        let _reaching = self.workers.reach(account.ways());
        let releasing = self.workers.call(|live| {
            let spec = spec.clone();
            Box::pin(async move { Ok(live.proxy().release(spec).await?) })
        });
        let report = tokio::time::timeout(PATIENCE, releasing)
            .await
            .map_err(|_| {
                Failure::Busy(
                    "a folder of the account does not answer: nothing was changed".to_owned(),
                )
            })??;
        let entry = |left: Left| LeftEntry {
            path: readable(&left.path),
            reason: left.reason,
        };
        Ok(report.left.into_iter().map(entry).collect())
    }

    /// Whoever still has the storage sees this device go, where that can be.
    async fn withdraw(&self, account: &Account) {
        let withdrawing = self.workers.call(|live| {
            let (storage, sign_in) = (account.storage.clone(), account.sign_in_id.clone());
            Box::pin(async move { Ok(live.proxy().withdraw(&storage, &sign_in).await?) })
        });
        match tokio::time::timeout(WITHDRAWAL, withdrawing).await {
            Ok(Ok(())) => {}
            _ => tracing::info!(account = account.id, "the storage still lists this device"),
        }
    }

    fn receipt_of(
        &self,
        account: &Account,
        sign_out: Option<&SignOut>,
        left: Vec<LeftEntry>,
        name: &str,
    ) -> Receipt {
        let now = self.clock.now();
        let stays = account.collections.iter().map(|chosen| LeftEntry {
            path: readable(&chosen.root),
            reason: "every file in it stays: the account was forgotten".to_owned(),
        });
        let mut remarks = vec![
            "The account was forgotten without a sign-out: nothing was proved, and nothing was \
             removed for it."
                .to_owned(),
        ];
        if sign_out.is_some_and(SignOut::began_to_remove) {
            remarks.push(
                "A sign-out had begun to remove files whose copies it had read back; how many is not \
                 known."
                    .to_owned(),
            );
        }
        let decision = self.decide(account, Verb::Forget, Actor::Person);
        Receipt {
            version: receipt::VERSION,
            id: name.to_owned(),
            identity: account.identity.clone(),
            provider: account.provider.clone(),
            device: account.device.clone(),
            signed_out_at: timestamp(now),
            sequence: 0,
            authorised_by: match self.mode {
                Mode::Session => "whoever runs the daemon".to_owned(),
                Mode::System => "whoever may administer this device".to_owned(),
            },
            policy: decision.explanation.join(" "),
            remarks,
            storage: Storage {
                path: readable(&account.storage),
                id: account.storage_id.clone(),
            },
            proof: Proof {
                level: receipt::FORGOTTEN.to_owned(),
                writers_excluded: false,
                base: String::new(),
                base_blake3: String::new(),
            },
            backup: account.last_backup.as_ref().map(|last| Backup {
                taken_at: timestamp(last.when),
                path: readable(&last.path),
                files: last.files,
                missing: last.missing,
            }),
            revocation: Revocation {
                state: "not-needed".to_owned(),
                detail: "a local account has no session at a provider".to_owned(),
            },
            gone_before: GoneBefore::default(),
            collections: account.collections.iter().map(kept).collect(),
            left: stays.chain(left).collect(),
        }
    }
}

fn of_forgetting(account: &Account) -> Subject<'_> {
    Subject {
        account: &account.id,
        identity: &account.identity,
        provider: &account.provider,
        verb: Verb::Forget,
        actor: Actor::Person,
    }
}

fn kept(chosen: &Chosen) -> CollectionEntry {
    CollectionEntry {
        name: chosen.collection.name().to_owned(),
        root: readable(&chosen.root),
        removed_files: 0,
        removed_bytes: 0,
        kept_files: 0,
        kept_bytes: 0,
    }
}
