//! Forgetting an account without a sign-out: the way out when its storage is gone for good. Nothing is
//! proved, and so nothing is removed: every file stays where it is, and a receipt says so.
//!
//! The worker first, the receipt next, the rows last: whoever dies in between finds the account, and
//! forgets it again.

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
use crate::jobs::journal::{SignOut, Work};
use crate::published::Holder;
use crate::questions::not_denied;
use crate::{random, receipts};

/// How long the worker may take to put the folders in order, and the storage to take the device's name
/// out. What comes later is not waited for: the storage may be one that never answers.
const PATIENCE: Duration = Duration::from_secs(30);

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
    pub async fn forget_account(&self, id: &str) -> Result<String, Failure> {
        let account = self.published.borrow().account(id)?.account.clone();
        let decision = self.decide(&account, Verb::Forget, Actor::Person);
        self.audit(of_forgetting(&account), &decision);
        not_denied(&decision)?;
        let job = self.take_from_a_job_that_waits(id)?;
        let account = match job {
            Some(_) => account,
            None => self.hold(id, Holder::Look).await?,
        };
        let forgotten = self.forget_held(&account, job).await;
        if forgotten.is_err() {
            // Its job has ended; the account is free for another try.
            self.change_account(id, |view| view.holder = Holder::Free);
        }
        forgotten
    }

    /// Takes the account from a job that only waits, which ends with that.
    fn take_from_a_job_that_waits(&self, id: &str) -> Result<Option<u64>, Failure> {
        let job = self.update(|p| p.take_from_a_job(id))?;
        if let Some(number) = job {
            // Without anybody to hear, its task ends by itself, wherever it waits.
            self.requests().remove(&number);
        }
        Ok(job)
    }

    async fn forget_held(&self, account: &Account, job: Option<u64>) -> Result<String, Failure> {
        let journaled = self
            .store
            .jobs()?
            .into_iter()
            .find_map(|entry| match entry.work {
                Work::SignOut(sign_out) if entry.account == account.id => Some(*sign_out),
                _ => None,
            });
        let (left, trouble) = self.release(account).await;
        let name = receipts::new_id(self.clock.now(), &account.identity, random::bytes()?);
        let receipt = Receipt {
            sequence: self.receipt_number().await?,
            ..self.receipt_of(account, journaled.as_ref(), left, trouble, name)
        };
        let text = receipt.to_toml().map_err(|error| {
            Failure::Internal(format!("the receipt cannot be written: {error}"))
        })?;
        self.receipts.write_final(&receipt.id, &text)?;
        self.store.drop_account(&account.id)?;
        tracing::warn!(
            account = account.id,
            receipt = receipt.id,
            "the account is forgotten"
        );
        let keep = usize::from(self.rules.in_force().settings.keep_finished);
        self.update(|p| {
            p.accounts.remove(&account.id);
            if let Some(number) = job {
                let outcome = JobOutcome {
                    error: "Cancelled".to_owned(),
                    message: "the account was forgotten".to_owned(),
                    ..JobOutcome::default()
                };
                p.end(number, outcome, keep);
            }
        });
        Ok(receipt.id)
    }

    /// Has the worker put the folders in order. Answers what it could not, and whether it could at all.
    async fn release(&self, account: &Account) -> (Vec<Left>, Option<String>) {
        let spec = account.spec();
        let releasing = self.workers.call(|live| {
            let spec = spec.clone();
            Box::pin(async move { Ok(live.proxy().release(spec).await?) })
        });
        let released = match tokio::time::timeout(PATIENCE, releasing).await {
            Ok(Ok(report)) => (report.left, None),
            Ok(Err(failure)) => (Vec::new(), Some(failure.to_string())),
            Err(_) => (Vec::new(), Some("a folder does not answer".to_owned())),
        };
        // Whoever still has the storage sees this device go, where that can be.
        let withdrawing = self.workers.call(|live| {
            let (storage, sign_in) = (account.storage.clone(), account.sign_in_id.clone());
            Box::pin(async move { Ok(live.proxy().withdraw(&storage, &sign_in).await?) })
        });
        match tokio::time::timeout(PATIENCE, withdrawing).await {
            Ok(Ok(())) => {}
            _ => tracing::info!(account = account.id, "the storage still lists this device"),
        }
        released
    }

    fn receipt_of(
        &self,
        account: &Account,
        sign_out: Option<&SignOut>,
        left: Vec<Left>,
        trouble: Option<String>,
        name: String,
    ) -> Receipt {
        let now = self.clock.now();
        let removed = sign_out.and_then(|sign_out| sign_out.removed.as_ref());
        let stays = account.collections.iter().map(|chosen| LeftEntry {
            path: readable(&chosen.root),
            reason: "every file in it stays: the account was forgotten".to_owned(),
        });
        let left = left.into_iter().map(|left| LeftEntry {
            path: readable(&left.path),
            reason: left.reason,
        });
        let mut remarks = vec![
            "The account was forgotten without a sign-out: nothing was proved, and nothing was \
             removed for it."
                .to_owned(),
        ];
        if sign_out.is_some_and(|sign_out| sign_out.began_to_remove()) && removed.is_none() {
            remarks.push(
                "A sign-out had begun to remove files whose copies it had read back; how many is not \
                 known."
                    .to_owned(),
            );
        }
        remarks.extend(trouble.map(|why| {
            format!("What Mooring keeps of it on this device is not all in order: {why}.")
        }));
        let entries = removed.map(|removed| removed.collections.clone());
        Receipt {
            version: receipt::VERSION,
            id: name,
            identity: account.identity.clone(),
            provider: account.provider.clone(),
            device: account.device.clone(),
            signed_out_at: timestamp(now),
            sequence: 0,
            authorised_by: "whoever may administer this device".to_owned(),
            policy: String::new(),
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
            collections: entries.unwrap_or_else(|| account.collections.iter().map(kept).collect()),
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
