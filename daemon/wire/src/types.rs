//! The structures that broker and worker exchange. Paths are absolute unless said otherwise.

use serde::{Deserialize, Serialize};
use zbus::Type;

/// A collection of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CollectionSpec {
    /// `photos`, `videos`, `documents` or `contacts`.
    pub name: String,
    /// The local folder.
    pub root: Vec<u8>,
}

/// An account, as the broker's state has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AccountSpec {
    /// The immutable ID.
    pub id: String,
    /// The identity, e.g. `alice`.
    pub identity: String,
    /// The folder that is the storage.
    pub storage: Vec<u8>,
    /// The random ID of the storage, from its identity record.
    pub storage_id: String,
    /// The random ID of this sign-in.
    pub sign_in_id: String,
    /// The name of this device.
    pub device: String,
    /// The ID of the receipt with which this device left the storage last; empty when it has none.
    pub left_with: String,
    /// Its collections.
    pub collections: Vec<CollectionSpec>,
}

/// What `inspect` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Inspected {
    /// The text of the storage's identity record (TOML); empty when it has none.
    pub record: String,
    /// The names of the asked collections whose local folder holds files.
    pub not_empty: Vec<String>,
    /// Sentences a person should know.
    pub warnings: Vec<String>,
}

/// What `attach` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Attached {
    /// `new`, `active`, `leaving` or `removing`: the worker's own latch.
    pub epoch: String,
    /// When the account last synced completely, in seconds since the Unix epoch, or 0.
    pub last_sync: u64,
}

/// How far a worker is fenced in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Fenced {
    /// Whether its files and folders are all that it reaches.
    pub holds: bool,
    /// How, or why not, as a sentence.
    pub message: String,
}

/// What `hand_over` leaves.
#[derive(Debug, Default, Serialize, Deserialize, Type)]
pub struct HandOver {
    /// Whether something changed that may not have been acted on.
    pub changed: bool,
    /// The kernel's watches (inotify) and the map to them (a sealed memfd), or nothing: then nothing
    /// was watched.
    pub watch: Vec<zbus::OwnedFd>,
}

/// Numbers about a set of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Counts {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How a collection stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CollectionFacts {
    /// `photos`, `videos`, `documents` or `contacts`.
    pub name: String,
    /// Files in the inventory that are on this device.
    pub items: Counts,
    /// Files here without a current copy in the storage.
    pub unsynced: u64,
    /// Files whose deletion on one side was not carried to the other.
    pub held: u64,
    /// Conflict copies among the items.
    pub conflicts: u64,
    /// Items whose copy was read back.
    pub verified: u64,
    /// Items that were here before the account came.
    pub here_before: u64,
    /// Names that are never synced or removed.
    pub skipped: u64,
    /// From `counts` only: lines of `.mooringignore` files that ignore nothing, at most 20, as
    /// `FILE:LINE: WHY`.
    pub bad_lines: Vec<String>,
    /// From `plan` only: items with further hard links.
    pub hard_links: u64,
    /// From `plan` only: some of the skipped names, at most 20, as paths below the root.
    pub skipped_names: Vec<Vec<u8>>,
    /// From `plan` only: what a copy cannot carry, as sentences.
    pub losses: Vec<String>,
}

/// What `plan` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct PlanFacts {
    /// One for each collection of the account, kept ones too.
    pub collections: Vec<CollectionFacts>,
    /// Why a sign-out could not go on now: kind (`UnsyncedData`, `Offline`) and sentence.
    pub blockers: Vec<(String, String)>,
    /// Sentences a person should know (same disk, snapshots, …).
    pub warnings: Vec<String>,
    /// Files, of collections that do not stay, which came or changed since the moment asked about, as
    /// far as their times tell.
    pub since: u64,
}

/// How far an operation is. Totals are 0 while unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Progress {
    /// A word or two for people, e.g. `uploading`, `reading back`, `removing`.
    pub activity: String,
    /// Files done.
    pub done: u64,
    /// Files in all.
    pub total: u64,
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// How what came back compares with the receipt before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ReturnCheck {
    /// The receipt compared with; empty when there was none.
    pub receipt: String,
    /// Files named by the base.
    pub expected: u64,
    /// Of these, here with the same bytes.
    pub checked: u64,
    /// Of these, changed, moved or ignored (`.mooringignore`) in the storage since.
    pub changed_since: u64,
    /// Of these, deleted in the storage since: the trash has a file of that name.
    pub deleted_since: u64,
    /// Of these, deleted on one side since, and held until a person says.
    pub held: u64,
    /// Of these, not here: at most 100 paths.
    pub missing: Vec<Vec<u8>>,
    /// How many in all. With nothing expected, what is missing is the receipt of this device's
    /// last sign-out: the storage may be older than it.
    pub missing_total: u64,
}

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SyncReport {
    /// Files uploaded.
    pub uploaded: u64,
    /// Files downloaded.
    pub downloaded: u64,
    /// Files renamed because they were on the other side, without a transfer.
    pub moved: u64,
    /// Files found equal, without a transfer.
    pub adopted: u64,
    /// Conflict copies made.
    pub conflicts: u64,
    /// Files held.
    pub held: u64,
    /// Deletions carried over.
    pub deleted: u64,
    /// Copies read back.
    pub read_back: u64,
    /// Files that could not be synced now: at most 100 absolute paths, each with the reason.
    pub pending: Vec<(Vec<u8>, String)>,
    /// How many in all.
    pub pending_total: u64,
    /// For a sign-in: the comparison with the receipt.
    pub returned: ReturnCheck,
}

/// What is still without a copy after a drain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct DrainReport {
    /// Files uploaded.
    pub uploaded: u64,
    /// Absolute paths with reasons, at most 100.
    pub unsynced: Vec<(Vec<u8>, String)>,
    /// How many in all.
    pub unsynced_total: u64,
}

/// What `verify` proved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct VerifyReport {
    /// Files with a proven copy.
    pub proven: Counts,
    /// Of these, read back now.
    pub read_back: Counts,
    /// Files whose copy is missing or different (absolute paths with reasons, at most 100): drain
    /// again.
    pub unproven: Vec<(Vec<u8>, String)>,
    /// How many in all.
    pub unproven_total: u64,
    /// BLAKE3 of the base that was written, as hex.
    pub base_blake3: String,
}

/// A name that stays on the device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Left {
    /// The absolute path.
    pub path: Vec<u8>,
    /// Why, e.g. `symbolic link`, `arrived after the last upload`.
    pub reason: String,
}

/// What a removal did. Numbers are of the whole sign-out, over crashes and repetitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct RemoveReport {
    /// Removed, by collection.
    pub removed: Vec<(String, Counts)>,
    /// Kept in place, by collection.
    pub kept: Vec<(String, Counts)>,
    /// Files that were in use or changed and have to go through drain and verify again.
    pub remaining: u64,
    /// Their absolute paths with reasons, at most 100.
    pub remaining_files: Vec<(Vec<u8>, String)>,
    /// Everything that stays, all of it.
    pub left: Vec<Left>,
    /// Files that were verified and gone before they could be removed: somebody else took them.
    pub gone_before: u64,
    /// Their absolute paths, at most 100.
    pub gone_before_files: Vec<Vec<u8>>,
    /// Whether writers were excluded by leases for every file.
    pub writers_excluded: bool,
    /// Sentences for the receipt about weaker guarantees of the filesystems here.
    pub remarks: Vec<String>,
}

/// What `backup` took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct BackupReport {
    /// The backup's folder.
    pub path: Vec<u8>,
    /// Files in it, each read back from its disk.
    pub files: Counts,
    /// Names that are never taken (symlinks, sockets, …).
    pub left_out: u64,
    /// Files that could not be taken (absolute paths with reasons, at most 100).
    pub missing: Vec<(Vec<u8>, String)>,
    /// How many in all. Above 0, the backup is incomplete.
    pub missing_total: u64,
    /// Sentences about where it lies that a person should know.
    pub remarks: Vec<String>,
}

/// What `restore` brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct RestoreReport {
    /// Files brought back.
    pub restored: Counts,
    /// Of these, under a conflict copy's name, because the name had other bytes.
    pub conflicts: u64,
    /// Files that were there already with the same bytes.
    pub equal: u64,
    /// Files that could not be brought back (paths with reasons, at most 100).
    pub problems: Vec<(Vec<u8>, String)>,
    /// How many in all.
    pub problems_total: u64,
}

/// What `check` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CheckReport {
    /// Files whose copy was read back now and has the same bytes.
    pub proven: Counts,
    /// Files of the inventory that only the storage has: not looked into.
    pub elsewhere: u64,
    /// What is missing, different or unreadable (absolute paths with reasons, at most 100).
    pub problems: Vec<(Vec<u8>, String)>,
    /// How many in all.
    pub problems_total: u64,
}

/// What `why` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct WhyReport {
    /// `in-step`, `waiting-to-upload`, `changed`, `held`, `conflict-copy`, `skipped`,
    /// `ignored`, `not-of-any-account` or, where it could not look, `unknown`.
    pub state: String,
    /// Why, as a sentence's middle.
    pub reason: String,
    /// What comes next, as a sentence, or empty.
    pub next: String,
    /// The collection, or empty.
    pub collection: String,
    /// Where the file and its copy are, absolute.
    pub copies: Vec<Vec<u8>>,
    /// When the copy in the storage was last read back, in seconds since the Unix epoch, or 0.
    pub read_back_at: u64,
    /// Why this is only what is remembered, and not what is there; empty when it looked.
    pub unseen: String,
}

/// A conflict copy: one of two versions of a file that were both kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ConflictCopy {
    /// Where it is, absolute.
    pub path: Vec<u8>,
    /// The file of the plain name, absolute; empty when it is not there.
    pub original: Vec<u8>,
    /// The device that kept it.
    pub device: String,
    /// The day it was kept, `YYYY-MM-DD`.
    pub date: String,
    /// Its size, in bytes.
    pub size: u64,
    /// The size of the file of the plain name, or 0.
    pub original_size: u64,
    /// When it was modified, in seconds since the Unix epoch.
    pub modified: u64,
    /// When the file of the plain name was, or 0.
    pub original_modified: u64,
}

/// What `erase` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct EraseReport {
    /// What is left, looked at after everything else.
    pub left: Vec<Left>,
}

/// How one part of what an account stands on is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Diagnosis {
    /// Which part.
    pub area: String,
    /// `ok`, `warning` or `bad`.
    pub state: String,
    /// What was found, as a sentence.
    pub message: String,
    /// What to do, or empty.
    pub advice: String,
}

/// A device that uses a storage, one that left it, or a document that cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Device {
    /// Its name, cleaned; of a document that cannot be read, the document's.
    pub name: String,
    /// The random ID of its sign-in; empty for one that left.
    pub sign_in_id: String,
    /// Whether it is this one.
    pub this: bool,
    /// Who is signed in there.
    pub identity: String,
    /// The names of its collections.
    pub collections: Vec<String>,
    /// Files there without a copy in the storage.
    pub pending: u64,
    /// Deletions there that wait for an answer.
    pub held: u64,
    /// When it was last seen, or left, by its own clock, in seconds since the Unix epoch.
    pub last_seen: u64,
    /// `active`, `asked`, `signing-out`, `blocked`, `denied`, `cancelled`, `left`, `unreadable`.
    pub state: String,
    /// A sentence about the state, or empty.
    pub message: String,
    /// Of one that left, its receipt.
    pub receipt: String,
}

/// A request of another device to sign out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct DeviceRequest {
    /// Its random ID.
    pub id: String,
    /// The name of the device that asks, cleaned, for people to see.
    pub device: String,
    /// Its sign-in ID, likewise, or empty.
    pub sign_in_id: String,
}
