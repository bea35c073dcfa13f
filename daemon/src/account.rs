//! An account as the broker keeps it, and its one way of changing state.

use std::path::Path;

use mooring_core::account::{Event, State, transition};
use mooring_core::collection::Collection;
use mooring_core::identity::{Record, Standing};
use mooring_core::receipt::{Backup, LeftEntry, readable, timestamp};
use mooring_wire::reach::{Place, Use, kept_from};
use serde::{Deserialize, Serialize};

use crate::bus::error::sayable;

/// A collection that an account brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Which.
    pub collection: Collection,
    /// Its local folder, an absolute path.
    pub root: Vec<u8>,
}

/// Where the worker works for an account with these collections and this storage.
pub fn places(collections: &[Chosen], storage: &[u8]) -> Vec<Place> {
    let roots = collections.iter();
    let roots = roots.map(|chosen| Place::new(Use::Root, &chosen.root));
    roots.chain([Place::new(Use::Folder, storage)]).collect()
}

/// A backup that was taken, as far as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBackup {
    /// When, in seconds since the Unix epoch.
    pub when: u64,
    /// Its folder.
    pub path: Vec<u8>,
    /// Files in it, each read back from its disk.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that could not be taken.
    pub missing: u64,
}

impl LastBackup {
    /// As a receipt tells it.
    pub fn in_receipt(&self) -> Backup {
        Backup {
            taken_at: timestamp(self.when),
            path: readable(&self.path),
            files: self.files,
            missing: self.missing,
        }
    }
}

/// An account on this device. The durable part; what only lives in the process is in `published`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The immutable ID, safe in an object path.
    pub id: String,
    /// The kind of provider: `local`.
    pub provider: String,
    /// Who is signed in.
    pub identity: String,
    /// The storage's folder, an absolute path.
    pub storage: Vec<u8>,
    /// The storage's random ID.
    pub storage_id: String,
    /// The random ID of this sign-in.
    pub sign_in_id: String,
    /// The name of this device.
    pub device: String,
    /// The ID of the receipt with which this device left the storage last; empty when it has none.
    #[serde(default)]
    pub left_with: String,
    /// Its collections.
    pub collections: Vec<Chosen>,
    /// Whether folders with files in them may be taken up.
    pub adopt: bool,
    /// The identity record, as TOML; checks the password of a sign-out.
    pub record: String,
    /// When this device signed in, in seconds since the Unix epoch.
    pub signed_in_at: u64,
    /// Where it stands.
    pub state: State,
    /// A sentence about the state, or empty.
    pub message: String,
    /// Whether it is not kept in step by itself.
    #[serde(default)]
    pub paused: bool,
    /// The last backup that is complete. One that lacks files is none to count on.
    #[serde(default)]
    pub last_backup: Option<LastBackup>,
    /// When the last backup that has a folder was begun, complete or not, in seconds since the
    /// Unix epoch: the next one's folder needs another name.
    #[serde(default)]
    pub backup_begun: u64,
    /// Set once it is being forgotten, and nothing keeps it from that any more.
    #[serde(default)]
    pub forgetting: Option<Forgetting>,
}

/// An account that is being forgotten: what was on its way is back, and its markers go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgetting {
    /// The name of the receipt.
    pub receipt: String,
    /// Its number.
    pub sequence: u64,
    /// What could not be put in order.
    pub left: Vec<LeftEntry>,
}

impl Account {
    /// The account for the worker.
    pub fn spec(&self) -> mooring_wire::AccountSpec {
        mooring_wire::AccountSpec {
            id: self.id.clone(),
            identity: self.identity.clone(),
            storage: self.storage.clone(),
            storage_id: self.storage_id.clone(),
            sign_in_id: self.sign_in_id.clone(),
            device: self.device.clone(),
            left_with: self.left_with.clone(),
            collections: self.collections.iter().map(Chosen::spec).collect(),
        }
    }

    /// Where the worker works for the account.
    pub fn places(&self) -> Vec<Place> {
        places(&self.collections, &self.storage)
    }

    /// The folder for single files that a person keeps here, in a home.
    pub fn kept(&self, home: &Path, used: Use) -> Place {
        let path = kept_from(home, &self.identity);
        Place { used, path }
    }

    /// Where it also has to work when the account's folders are to go.
    pub fn ways(&self) -> Vec<Place> {
        let roots = self.collections.iter();
        let ways = roots.map(|chosen| Place::new(Use::Leave, &chosen.root));
        ways.collect()
    }

    /// The record that checks the password.
    ///
    /// # Errors
    /// When the record is damaged: it was read once, so only the broker's state can have done it.
    pub fn record(&self) -> Result<Record, mooring_core::identity::Error> {
        Record::parse(&self.record)
    }

    /// Keeps an earlier record of this account if it is the newer one: whoever changed something
    /// else may have looked before the password was changed.
    pub fn keep_newer_record(&mut self, before: &str) {
        if self.record == before {
            return;
        }
        let Ok(earlier) = Record::parse(before) else {
            return;
        };
        let newer = match self.record() {
            Ok(now) => now.standing_of(&earlier) == Standing::Newer,
            Err(_) => true,
        };
        if newer {
            self.record = before.to_owned();
        }
    }

    /// Takes an event, and logs the change. An event that makes no sense here is a mistake of the
    /// program: it is logged, and the state stays.
    pub fn apply(&mut self, event: Event, message: &str) {
        match transition(self.state, event) {
            Ok(state) => {
                if state != self.state {
                    tracing::info!(account = self.id, from = %self.state, to = %state, message);
                }
                self.state = state;
                self.message = sayable(message.to_owned());
            }
            Err(error) => tracing::error!(account = self.id, %error, "illegal change of state"),
        }
    }
}

impl Chosen {
    /// The collection for the worker.
    pub fn spec(&self) -> mooring_wire::CollectionSpec {
        mooring_wire::CollectionSpec {
            name: self.collection.name().to_owned(),
            root: self.root.clone(),
        }
    }
}
