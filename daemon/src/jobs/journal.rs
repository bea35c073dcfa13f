//! What of a job is durable. A process that dies has forgotten the rest, and that is safe: what it
//! proved is proved again.

use mooring_core::collection::Collection;
use mooring_core::receipt::{CollectionEntry, LeftEntry};
use mooring_core::signout::Removal;
use serde::{Deserialize, Serialize};

/// A job in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// The account's ID.
    pub account: String,
    /// The user who began it.
    pub uid: u32,
    /// What it does.
    pub work: Work,
}

/// What a job does, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Work {
    /// Brings an account whose password was right.
    SignIn {
        /// It was cancelled or refused, and is being undone.
        undoing: Option<Ending>,
    },
    /// Brings both sides in step.
    Sync,
    /// Takes a backup, restores from one, or checks the copies.
    Copies(Copies),
    /// Signs an account out.
    SignOut(Box<SignOut>),
}

impl Work {
    /// Whether it takes data anywhere, which a session that is too old does not. Leaving is free.
    pub fn moves_data(&self) -> bool {
        !matches!(self, Self::SignOut(_) | Self::Copies(Copies::Verify))
    }
}

/// A job about copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "copies")]
pub enum Copies {
    /// Takes a backup.
    Backup {
        /// The folder that is to hold it.
        to: Vec<u8>,
        /// The name of the backup's own folder in it.
        name: String,
    },
    /// Restores from a backup.
    Restore {
        /// The backup's folder.
        from: Vec<u8>,
        /// What of it, as a path below; empty for all.
        only: Vec<u8>,
        /// Where to; empty for the account's folders.
        to: Vec<u8>,
    },
    /// Reads every copy back from the storage.
    Verify,
}

/// A sign-out, as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOut {
    /// What was consented to.
    pub digest: String,
    /// The collections whose files stay.
    pub keep: Vec<Collection>,
    /// The receipt's name.
    pub receipt: String,
    /// The person proved who they are, for this digest.
    pub authorised: bool,
    /// It was cancelled or denied, and is being undone.
    pub undoing: Option<Ending>,
    /// How far the removal is.
    pub removal: Removal,
    /// What policy said when the removal began.
    pub policy: String,
    /// The BLAKE3 of the base that the last verification wrote, as hex.
    pub base_blake3: String,
    /// What was removed, once all is.
    pub removed: Option<Removed>,
    /// What was left after everything of the account was erased.
    pub erased: Option<Vec<LeftEntry>>,
    /// The how-manieth receipt of this device its is; 0 until it is written.
    #[serde(default)]
    pub sequence: u64,
    /// Another device asked for it; a person did when none.
    #[serde(default)]
    pub asked: Option<Asked>,
}

impl SignOut {
    /// Whether files may have been removed.
    pub fn began_to_remove(&self) -> bool {
        self.removal != Removal::NotBegun
    }
}

/// The device that asked for a sign-out, and with which request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The request's ID.
    pub request: String,
    /// The name of the device, for people to see.
    pub device: String,
}

/// How a job ends that has still to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The kind of the error, e.g. `Cancelled`.
    pub error: String,
    /// A sentence.
    pub message: String,
}

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// When it was done, in seconds since the Unix epoch.
    pub when: u64,
    /// By collection.
    pub collections: Vec<CollectionEntry>,
    /// What stays on the device.
    pub left: Vec<LeftEntry>,
    /// What was gone before it could be removed.
    #[serde(default)]
    pub gone_before: mooring_core::receipt::GoneBefore,
    /// Whether writers were excluded for every file.
    pub writers_excluded: bool,
    /// Sentences about weaker guarantees.
    pub remarks: Vec<String>,
}
