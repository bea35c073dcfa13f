//! The identity record that holds: the one this device knows, or a newer one in the storage.
//!
//! Another device may change the password. So before a password is checked, and whenever the
//! account is looked at, the storage's record is read; it is taken when it is a later one of the
//! same identity. An earlier one is an old password come back, with a storage that was restored,
//! say: it is refused, and told, until whoever knows the later password sets one anew.

use std::time::Duration;

use mooring_core::identity::{Record, Standing};
use mooring_wire::Error as WireError;

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;

/// How long the storage may take to show its record before it counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a person should know of a storage with an earlier record.
const OLDER: &str = "The storage's identity record is older than the one that this device knows, as \
                     if an old password had been put back. It is not taken: set a password with \
                     mooringctl password change, which replaces it.";
/// Why a record that neither follows nor precedes the known one is not taken, and what to do.
const RIVAL: &str = "it differs from the one that this device knows, and neither is newer; sign out \
                     with the password that this device knows, and sign in again";
/// Why a record with another name in it is not taken.
const FOREIGN: &str = "it belongs to another storage or another person";

/// The record that holds, and what the storage says about it.
pub struct Known {
    /// It checks passwords.
    pub record: Record,
    /// Where the storage stands.
    pub storage: InStorage,
}

/// What the storage holds, next to the record that this device knows.
pub enum InStorage {
    /// The same, as this text.
    Same(String),
    /// An earlier one, as this text. It checks no password; a change of the password replaces it.
    Older(String),
    /// Something that is not taken; the sentence says why.
    Refused(String),
    /// It cannot be asked.
    OutOfReach(Failure),
}

impl Broker {
    /// The record of an account, brought up to date with the storage where that can be reached.
    ///
    /// # Errors
    /// [`Failure::NotFound`]; [`Failure::Busy`] while the identity is only being made; and when
    /// the broker's own record is damaged.
    pub async fn known_record(&self, id: &str) -> Result<Known, Failure> {
        let mut account = self.published.borrow().account(id)?.account.clone();
        if account.record.is_empty() {
            account.record = self.unlocked_record(id).await?;
        }
        if account.record.is_empty() {
            return Err(Failure::Busy(format!(
                "the identity {} is being made just now; wait for the sign-in",
                account.identity
            )));
        }
        let known = account.record()?;
        let text = match self.stored_record(&account).await {
            Ok(text) => text,
            Err(failure) => {
                tracing::debug!(account = id, error = %failure, "the storage shows no record");
                return Ok(Known {
                    record: known,
                    storage: InStorage::OutOfReach(failure),
                });
            }
        };
        let refused = |record, word: String| {
            tracing::warn!(
                account = id,
                word,
                "the storage's identity record is not taken"
            );
            Known {
                record,
                storage: InStorage::Refused(word),
            }
        };
        let found = match Record::parse(&text) {
            Ok(found) => found,
            Err(error) => return Ok(refused(known, error.to_string())),
        };
        match known.standing_of(&found) {
            Standing::Same | Standing::Newer => {
                self.take_record(&account, &found)?;
                Ok(Known {
                    record: found,
                    storage: InStorage::Same(text),
                })
            }
            Standing::Older => {
                tracing::warn!(
                    account = id,
                    "the storage's identity record is an earlier one"
                );
                Ok(Known {
                    record: known,
                    storage: InStorage::Older(text),
                })
            }
            Standing::Rival => Ok(refused(known, RIVAL.to_owned())),
            Standing::Foreign => Ok(refused(known, FOREIGN.to_owned())),
        }
    }

    /// Brings the record up to date; what a person should know about it, if anything.
    pub async fn renew_record(&self, id: &str) -> Option<String> {
        match self.known_record(id).await {
            Ok(Known {
                storage: InStorage::Refused(word),
                ..
            }) => Some(format!(
                "The storage's identity record is not taken: {word}."
            )),
            Ok(Known {
                storage: InStorage::Older(_),
                ..
            }) => Some(OLDER.to_owned()),
            Ok(_) => None,
            Err(failure) => {
                tracing::warn!(account = id, error = %failure, "the identity record is not known");
                None
            }
        }
    }

    /// Keeps a record that is at least as new as the one before, in what clients see and durably.
    ///
    /// # Errors
    /// When the record cannot be written as text.
    pub fn take_record(&self, account: &Account, record: &Record) -> Result<(), Failure> {
        let text = record.to_toml()?;
        if account.record == text {
            return Ok(());
        }
        tracing::info!(
            account = account.id,
            generation = record.generation,
            "a newer identity record is taken"
        );
        let taken = text.clone();
        self.change_account(&account.id, |view| view.account.record = taken);
        if let Err(error) = self.store.save_record(&account.id, &text) {
            // The storage has it; the next look at the storage takes it again.
            tracing::error!(account = account.id, %error, "an identity record is not durable");
        }
        Ok(())
    }

    /// The text of the record in the account's storage.
    ///
    /// # Errors
    /// When the storage cannot be reached in time, or has none.
    pub(crate) async fn stored_record(&self, account: &Account) -> Result<String, Failure> {
        let gone = |what: &str| Failure::from(WireError::StorageGone(what.to_owned()));
        let looking = self.workers.call_about(&account.id, |live| {
            let storage = account.storage.clone();
            Box::pin(async move { Ok(live.proxy().inspect(&storage, Vec::new()).await?.record) })
        });
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(Ok(text)) if text.is_empty() => {
                Err(gone("the storage holds no identity: is the disk mounted?"))
            }
            Ok(answer) => answer,
            Err(_) => Err(gone("the storage does not answer: reconnect it")),
        }
    }
}
