//! The end of a sign-out: receipt, erasure, receipt again, and last the rows.
//!
//! The draft comes first, so that a device that dies in between still knows what happened to the
//! files. Every step can be done again.

use std::collections::BTreeSet;

use mooring_api::JobOutcome;
use mooring_core::account::Event;
use mooring_core::receipt::{
    self, CollectionEntry, GoneBefore, LeftEntry, Proof, Receipt, Revocation, Storage, readable,
    timestamp,
};
use mooring_wire::reach::Use;
use mooring_wire::{Counts, Left, RemoveReport};

use super::Job;
use super::journal::{Removed, SignOut};
use super::sign_out::{Run, Turn};
use crate::account::{Account, Chosen, LastBackup};
use crate::failure::Failure;

impl Run {
    /// What of a worker's report goes into the journal, and from there into the receipt.
    pub(super) fn removed(&self, report: RemoveReport, now: u64) -> Removed {
        let counts = |of: &[(String, Counts)], name: &str| {
            of.iter()
                .find(|(n, _)| n == name)
                .map(|(_, counts)| *counts)
                .unwrap_or_default()
        };
        let entry = |chosen: &Chosen| {
            let name = chosen.collection.name();
            let removed = counts(&report.removed, name);
            let kept = counts(&report.kept, name);
            CollectionEntry {
                name: name.to_owned(),
                root: readable(&chosen.root),
                removed_files: removed.files,
                removed_bytes: removed.bytes,
                kept_files: kept.files,
                kept_bytes: kept.bytes,
            }
        };
        Removed {
            when: now,
            collections: self.account.collections.iter().map(entry).collect(),
            left: report.left.into_iter().map(left).collect(),
            gone_before: GoneBefore {
                files: report.gone_before,
                named: report
                    .gone_before_files
                    .iter()
                    .map(|path| readable(path))
                    .collect(),
            },
            writers_excluded: report.writers_excluded,
            remarks: report.remarks,
        }
    }

    /// Makes the receipt durable everywhere and erases what is left of the account.
    pub(super) async fn forget(&mut self, job: &mut Job) -> Result<Turn, Failure> {
        let (broker, account) = (job.broker.clone(), job.account.clone());
        let id = self.journaled.receipt.clone();
        if self.journaled.sequence == 0 {
            self.journaled.sequence = broker.receipt_number().await?;
        }
        // Whatever a try before could not write down: nothing is erased ahead of the journal.
        self.save(&broker)?;
        if self.journaled.erased.is_none() {
            broker.receipts.write_draft(&id, &self.receipt_text()?)?;
            let (spec, keep) = (self.account.spec(), self.keep());
            let kept = self.account.kept(&broker.folders.home, Use::Source);
            let ways = self.account.ways().into_iter().chain([kept]);
            let _reaching = broker.workers.reach(ways.collect());
            let erasing = broker.workers.call_about(&account, |live| {
                let (spec, keep) = (spec.clone(), keep.clone());
                Box::pin(async move { Ok(live.proxy().erase(spec, keep).await?) })
            });
            let report = job.drive(false, erasing).await?;
            self.journaled.erased = Some(report.left.into_iter().map(left).collect());
            self.save(&broker)?;
        }
        let text = self.receipt_text()?;
        let storage = self.account.storage.clone();
        let sign_in_id = self.account.sign_in_id.clone();
        let storing = broker.workers.call_about(&account, |live| {
            let (storage, id, text) = (storage.clone(), id.clone(), text.clone());
            let sign_in_id = sign_in_id.clone();
            Box::pin(async move {
                live.proxy().store_receipt(&storage, &id, &text).await?;
                // Only now: whoever misses this device finds its receipt.
                Ok(live.proxy().withdraw(&storage, &sign_in_id).await?)
            })
        });
        job.drive(false, storing).await?;
        broker.receipts.write_final(&id, &text)?;
        self.forgotten(job)
    }

    /// Drops the rows: from here on, only the receipt is left.
    pub(super) fn forgotten(&mut self, job: &Job) -> Result<Turn, Failure> {
        let outcome = self.outcome()?;
        job.show(|view| view.stage = mooring_core::signout::Stage::Forgotten.name());
        let ended = job.ended(&outcome);
        job.broker.store.forget(&job.account, &ended)?;
        self.account.apply(Event::Forgotten, "");
        job.broker.update(|p| p.accounts.remove(&job.account));
        Ok(Turn::Ended(Box::new(outcome)))
    }

    fn outcome(&self) -> Result<JobOutcome, Failure> {
        let removed = self.facts_removed()?;
        let sum = |count: fn(&CollectionEntry) -> u64| removed.collections.iter().map(count).sum();
        Ok(JobOutcome {
            success: true,
            message: format!("{} is signed out here", self.account.identity),
            receipt: self.journaled.receipt.clone(),
            removed: sum(|c| c.removed_files),
            kept: sum(|c| c.kept_files),
            left: self.left()?.len() as u64,
            gone_before: removed.gone_before.files,
            ..JobOutcome::default()
        })
    }

    fn receipt_text(&self) -> Result<String, Failure> {
        self.receipt()?
            .to_toml()
            .map_err(|error| Failure::Internal(format!("the receipt cannot be written: {error}")))
    }

    fn receipt(&self) -> Result<Receipt, Failure> {
        let removed = self.facts_removed()?;
        let id = self.journaled.receipt.clone();
        Ok(Receipt {
            version: receipt::VERSION,
            identity: self.account.identity.clone(),
            provider: self.account.provider.clone(),
            device: self.account.device.clone(),
            signed_out_at: timestamp(removed.when),
            sequence: self.journaled.sequence,
            authorised_by: match &self.journaled.asked {
                Some(asked) => format!(
                    "the device {} (request {}), which can write into the storage",
                    asked.device, asked.request
                ),
                None => "password".to_owned(),
            },
            policy: self.journaled.policy.clone(),
            remarks: removed.remarks.clone(),
            storage: Storage {
                path: readable(&self.account.storage),
                id: self.account.storage_id.clone(),
            },
            proof: Proof {
                level: "read-back".to_owned(),
                writers_excluded: removed.writers_excluded,
                base: format!("{id}.base"),
                base_blake3: self.journaled.base_blake3.clone(),
            },
            backup: self
                .account
                .last_backup
                .as_ref()
                .map(LastBackup::in_receipt),
            revocation: Revocation {
                state: "not-needed".to_owned(),
                detail: "a local account has no session at a provider".to_owned(),
            },
            gone_before: removed.gone_before.clone(),
            collections: removed.collections.clone(),
            left: self.left()?,
            id,
        })
    }

    /// Everything known to be left: what the removal named, and what was there at the very end.
    fn left(&self) -> Result<Vec<LeftEntry>, Failure> {
        let removed = &self.facts_removed()?.left;
        let known: BTreeSet<&str> = removed.iter().map(|entry| entry.path.as_str()).collect();
        let later = self.journaled.erased.iter().flatten();
        let new = later.filter(|entry| !known.contains(entry.path.as_str()));
        Ok(removed.iter().chain(new).cloned().collect())
    }

    fn facts_removed(&self) -> Result<&Removed, Failure> {
        // Journaled in the same transaction as `Removal::Done`.
        self.journaled
            .removed
            .as_ref()
            .ok_or_else(|| Failure::Internal("the journal says removed, but not what".to_owned()))
    }
}

/// The receipt of a sign-out that had removed everything and could not end: its account is given up, and
/// what the worker left at last is named, too.
///
/// # Errors
/// When the journal contradicts itself.
pub fn receipt_of_given_up(
    account: Account,
    mut sign_out: SignOut,
    of: (u64, u32),
    last: Vec<LeftEntry>,
) -> Result<Receipt, Failure> {
    sign_out.erased.get_or_insert_default().extend(last);
    let mut receipt = Run::new(account, sign_out, of.0, of.1, None).receipt()?;
    receipt.remarks.push(
        "The account was then forgotten, because its storage was gone: this receipt is not in the \
         storage."
            .to_owned(),
    );
    Ok(receipt)
}

/// What stays, as a receipt names it.
pub fn left(left: Left) -> LeftEntry {
    LeftEntry {
        path: readable(&left.path),
        reason: left.reason,
    }
}
