//! The receipt of an account that was forgotten.

use mooring_core::policy::{Actor, Verb};
use mooring_core::receipt::{
    self, CollectionEntry, GoneBefore, LeftEntry, Proof, Receipt, Revocation, Storage, readable,
    timestamp,
};

use super::Halted;
use crate::account::{Account, Chosen, Forgetting, LastBackup};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::folders::Mode;
use crate::jobs::forget::receipt_of_given_up;
use crate::jobs::journal::SignOut;

impl Broker {
    /// Its text.
    ///
    /// # Errors
    /// When the journal contradicts itself.
    pub(super) fn receipt_of_forgotten(
        &self,
        account: &Account,
        job: Option<&Halted>,
        forgetting: &Forgetting,
        left: Vec<LeftEntry>,
    ) -> Result<String, Failure> {
        let sign_out = job.and_then(|job| Some((&job.entry, job.sign_out()?)));
        let receipt = match sign_out {
            Some((entry, sign_out)) if sign_out.removed.is_some() => receipt_of_given_up(
                account.clone(),
                sign_out.clone(),
                (entry.number, entry.uid),
                left,
            )?,
            _ => {
                let sign_out = sign_out.map(|(_, sign_out)| sign_out);
                self.receipt_without_removal(account, sign_out, left, &forgetting.receipt)
            }
        };
        let receipt = Receipt {
            sequence: forgetting.sequence,
            ..receipt
        };
        receipt
            .to_toml()
            .map_err(|error| Failure::Internal(format!("the receipt cannot be written: {error}")))
    }

    fn receipt_without_removal(
        &self,
        account: &Account,
        sign_out: Option<&SignOut>,
        left: Vec<LeftEntry>,
        name: &str,
    ) -> Receipt {
        let now = self.clock.now();
        let began = sign_out.is_some_and(SignOut::began_to_remove);
        let stays = account.collections.iter().map(|chosen| LeftEntry {
            path: readable(&chosen.root),
            reason: match began {
                true => "every file that was still in it stays: the account was forgotten",
                false => "every file in it stays: the account was forgotten",
            }
            .to_owned(),
        });
        let remark = match began {
            true => {
                "The account was forgotten while a sign-out had begun to remove files whose copies it \
                 had read back: how many went is not known, and not counted here. Nothing more was \
                 removed."
            }
            false => {
                "The account was forgotten without a sign-out: nothing was proved, and nothing was \
                 removed for it."
            }
        };
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
            remarks: vec![remark.to_owned()],
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
            backup: account.last_backup.as_ref().map(LastBackup::in_receipt),
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
