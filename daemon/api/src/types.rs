//! The structured values of the bus. Every dictionary is `a{sv}` with kebab-case keys.

use serde::{Deserialize, Serialize};
use zbus::{DeserializeDict, OwnedFd, SerializeDict, Type};

/// A collection as a person asks for it at sign-in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CollectionSpec {
    /// `photos`, `videos`, `documents` or `contacts`.
    pub name: String,
    /// The local folder, absolute; empty for the default, `~/Accounts/IDENTITY/NAME`.
    pub root: Vec<u8>,
}

/// Options of `Manager.Inspect` and `Manager.SignIn`.
///
/// `Inspect` needs `storage` and looks at `collections` and `identity`; it ignores the rest.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case", deny_unknown_fields)]
pub struct SignInOptions {
    /// The folder that is the storage, absolute.
    pub storage: Option<Vec<u8>>,
    /// The collections to bring; none given means all four with their default folders.
    pub collections: Option<Vec<CollectionSpec>>,
    /// Consent to take up folders that already have files (matched by hash, nothing overwritten).
    pub adopt: Option<bool>,
    /// Consent to make a new identity when the storage has none.
    pub create: Option<bool>,
    /// The password: the read end of a pipe, or a sealed memfd.
    pub password: Option<OwnedFd>,
    /// Where a new identity's recovery code is written, followed by a newline: the write end of a
    /// pipe. Needed when a new identity is made. The code is never shown again.
    pub recovery_code: Option<OwnedFd>,
    /// The name of this device, as other devices see it; the host name by default.
    pub device: Option<String>,
    /// For `Inspect`: whose default folders to look at; by default those of the identity that the
    /// storage holds. `SignIn` has an argument for it.
    pub identity: Option<String>,
}

/// What `Manager.Inspect` found at a storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct AccountFound {
    /// Whether the storage holds an identity already.
    pub exists: bool,
    /// That identity, or empty.
    pub identity: String,
    /// The local folders of the asked collections that are not empty (consent to `adopt` needed).
    pub not_empty: Vec<CollectionSpec>,
    /// The folders that would be used, defaults filled in.
    pub collections: Vec<CollectionSpec>,
    /// Things a person should know, as sentences (the storage lies on the same disk, …).
    pub warnings: Vec<String>,
}

/// The state of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct CollectionStatus {
    /// `photos`, `videos`, `documents` or `contacts`.
    pub name: String,
    /// The local folder.
    pub root: Vec<u8>,
    /// `sync`.
    pub mode: String,
    /// Files in the inventory that are on this device.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files here without a current copy in the storage, as last seen.
    pub unsynced: u64,
    /// Files whose deletion on one side was not carried to the other.
    pub held: u64,
    /// Conflict copies made and still here.
    pub conflicts: u64,
    /// Files whose copy in the storage was read back.
    pub verified: u64,
    /// Files that were here before the account came.
    pub here_before: u64,
    /// Names that are never synced or removed (symlinks, sockets, …).
    pub skipped: u64,
    /// Lines of `.mooringignore` files that ignore nothing because they cannot be understood, at
    /// most 20, as `FILE:LINE: WHY`.
    pub bad_lines: Vec<String>,
}

/// Options of `Account.PlanSignOut`. As of all calls that say what becomes of files, an option that does
/// not exist is an error: a mistyped `keep` must not remove what was to stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case", deny_unknown_fields)]
pub struct PlanOptions {
    /// Collections whose files stay; `all` for every one.
    pub keep: Option<Vec<String>>,
}

/// What a sign-out would do with one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct PlanCollection {
    /// `photos`, `videos`, `documents` or `contacts`.
    pub name: String,
    /// The local folder.
    pub root: Vec<u8>,
    /// True when its files stay on this device.
    pub keep: bool,
    /// Files that the account owns here, and so removes.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, files that were here before the account came.
    pub here_before: u64,
    /// Files still to be uploaded before anything is removed.
    pub unsynced: u64,
    /// Files whose copy in the storage has still to be read back.
    pub to_read_back: u64,
    /// Files whose deletion on one side was not carried to the other.
    pub held: u64,
    /// Conflict copies, which are files like any other here.
    pub conflicts: u64,
    /// Files with further hard links, whose content outlives the removal.
    pub hard_links: u64,
    /// Names that are neither uploaded nor removed (symlinks, sockets, …): they stay.
    pub stays: u64,
    /// Some of these names, at most 20, as paths below the folder.
    pub stays_names: Vec<Vec<u8>>,
    /// What a copy in the storage cannot carry, as sentences (extended attributes, ACLs, holes).
    pub losses: Vec<String>,
}

/// Why a sign-out cannot go on now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Blocker {
    /// The kind of the error that `SignOut` would end in, e.g. `UnsyncedData`.
    pub error: String,
    /// A sentence: what, where, what to do.
    pub message: String,
}

/// A rule that denied something.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct Denial {
    /// Who says so.
    pub organisation: String,
    /// The rule's name.
    pub rule: String,
    /// The file that holds the rule.
    pub file: String,
    /// The line in that file, counted from 1.
    pub line: u32,
    /// Why.
    pub reason: String,
    /// Whom to call.
    pub contact: String,
}

/// What policy decides about a verb.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct PolicyDecision {
    /// The verb asked about, e.g. `sign-out`.
    pub verb: String,
    /// The actor asked about: `person`, `device` or `organisation`.
    pub actor: String,
    /// Whether it may happen.
    pub allowed: bool,
    /// What happens to the data: `remove`, `keep` or `ask`.
    pub data: String,
    /// The rules that deny it (or that contradict each other); empty when allowed.
    pub denials: Vec<Denial>,
    /// How the decision came to be, as sentences, most important first.
    pub explanation: Vec<String>,
    /// Of `ExplainPolicy` only, and where rules ask for it: what is known of the device and its person.
    pub known: String,
    /// False in session mode, where the person owns the daemon and the policy is advice.
    pub enforced: bool,
}

/// What a sign-out would do: what a person consents to, and what they should know.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct Plan {
    /// Names what is consented to; goes into `SignOut`.
    pub digest: String,
    /// `sign-out`.
    pub verb: String,
    /// The account's identity.
    pub identity: String,
    /// The storage that holds the copies.
    pub storage: Vec<u8>,
    /// What happens to each collection.
    pub collections: Vec<PlanCollection>,
    /// What stands in the way now.
    pub blockers: Vec<Blocker>,
    /// Things a person should know, as sentences.
    pub warnings: Vec<String>,
    /// What policy says, and who said it.
    pub policy: PolicyDecision,
    /// When the account last synced completely, or 0.
    pub last_sync: u64,
}

/// Options of `Account.SignOut`.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case", deny_unknown_fields)]
pub struct SignOutOptions {
    /// Collections whose files stay; the same as in the plan.
    pub keep: Option<Vec<String>>,
    /// The password: the read end of a pipe, or a sealed memfd. Without one the job waits at
    /// `authorised` for `Authenticate`.
    pub password: Option<OwnedFd>,
}

/// Options of `Account.ChangePassword`; both are needed.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct ChangePasswordOptions {
    /// The password that holds now: the read end of a pipe, or a sealed memfd.
    pub password: Option<OwnedFd>,
    /// The password that is to hold: likewise.
    pub new_password: Option<OwnedFd>,
}

/// Options of `Account.ResetPassword`; all are needed.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct ResetPasswordOptions {
    /// The recovery code, in any case and spacing: the read end of a pipe, or a sealed memfd.
    pub recovery_code: Option<OwnedFd>,
    /// The password that is to hold: likewise.
    pub new_password: Option<OwnedFd>,
    /// Where the next recovery code is written, followed by a newline: the write end of a pipe. It
    /// comes before the change is made, and is void when the call then fails and says so.
    pub new_recovery_code: Option<OwnedFd>,
}

/// Options of `Job.Retry`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case", deny_unknown_fields)]
pub struct RetryOptions {
    /// Leave the files that block the job on this device, moved to `~/Kept from ACCOUNT/`.
    pub keep_here: Option<bool>,
}

/// How far a job is. Totals are 0 while they are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct Progress {
    /// What is being done, e.g. `uploading`, `reading back`, `removing`.
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

/// What a job waits for. All empty when it does not wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct Blocked {
    /// The kind of the error, e.g. `IncorrectPassword`; `ReauthRequired` when a password has not
    /// been given yet.
    pub error: String,
    /// A sentence: what, where, what to do.
    pub message: String,
    /// When the next attempt is allowed; 0 for now.
    pub next_attempt: u64,
    /// The files in question, at most 100, as absolute paths.
    pub items: Vec<Vec<u8>>,
    /// How many there are in all.
    pub items_total: u64,
}

/// How the files that came back compare with the receipt of the sign-out before.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct ReturnCheck {
    /// The receipt compared with; empty when this device had none for the account.
    pub receipt: String,
    /// Files named by the receipt's base.
    pub expected: u64,
    /// Of these, back with the same bytes.
    pub checked: u64,
    /// Of these, changed or moved in the storage since (by another device).
    pub changed_since: u64,
    /// Of these, deleted in the storage since (by another device): the trash has a file of that name.
    pub deleted_since: u64,
    /// Of these, deleted on one side since: held until `Account.Resolve` says.
    pub held: u64,
    /// Of these, not there: their paths, at most 100.
    pub missing: Vec<Vec<u8>>,
    /// How many are missing in all. With nothing expected, what is missing is the receipt of this device's
    /// last sign-out: the storage may be older than it.
    pub missing_total: u64,
}

/// A file with something wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Problem {
    /// Its absolute path.
    pub path: Vec<u8>,
    /// What is wrong, as a sentence's middle.
    pub reason: String,
}

/// Options of `Files.Restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case", deny_unknown_fields)]
pub struct RestoreOptions {
    /// What to restore, as a path below the backup's folder; everything without one.
    pub path: Option<Vec<u8>>,
    /// The folder to restore below; without one, the account's own folders.
    pub to: Option<Vec<u8>>,
}

/// The last backup of an account; all 0 and empty when none was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct LastBackup {
    /// When it was begun.
    pub when: u64,
    /// Its folder.
    pub path: Vec<u8>,
    /// Files in it. Each was read back from its disk and compared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that could not be taken.
    pub missing: u64,
}

/// A conflict copy: one of two versions of a file that were both kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
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

/// How one file stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct WhyAnswer {
    /// `in-step`, `waiting-to-upload`, `changed`, `held`, `conflict-copy`, `skipped`,
    /// `ignored`, `not-of-any-account` or, where it could not look, `unknown`.
    pub state: String,
    /// Why, as a sentence's middle.
    pub reason: String,
    /// What comes next, as a sentence, or empty.
    pub next: String,
    /// The collection, or empty.
    pub collection: String,
    /// Where the file and its copy are.
    pub copies: Vec<Vec<u8>>,
    /// When the copy in the storage was last read back, or 0.
    pub read_back_at: u64,
    /// Why this is only what is remembered, and not what is there; empty when it looked.
    pub unseen: String,
}

/// How a job ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct JobOutcome {
    /// Whether it did what was asked.
    pub success: bool,
    /// The kind of the error when it did not, e.g. `Cancelled`.
    pub error: String,
    /// A sentence about the outcome.
    pub message: String,
    /// The receipt of a sign-out, for `Manager.ReadReceipt`.
    pub receipt: String,
    /// Files uploaded.
    pub uploaded: u64,
    /// Files downloaded.
    pub downloaded: u64,
    /// Files renamed on one side because they were on the other, without a transfer.
    pub moved: u64,
    /// Files found equal on both sides, without a transfer.
    pub adopted: u64,
    /// Conflict copies made.
    pub conflicts: u64,
    /// Files held: deleted on one side, kept on the other. Of a check, files that are only in the
    /// storage.
    pub held: u64,
    /// Deletions carried over to the other side, into the trash.
    pub deleted: u64,
    /// Files that could not be synced now, at most 100, as absolute paths.
    pub pending: Vec<Vec<u8>>,
    /// How many in all.
    pub pending_total: u64,
    /// Files removed.
    pub removed: u64,
    /// Files kept in place.
    pub kept: u64,
    /// Names left behind and named in the receipt. Of a backup, names that were left out of it.
    pub left: u64,
    /// Files that somebody else took off the device before they could be removed.
    pub gone_before: u64,
    /// The folder of a backup that was taken. Of an undelete, the file as it is here again.
    pub path: Vec<u8>,
    /// Files backed up or restored, or, by `verify`, found with a good copy.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Of `backup`, `restore` and `verify`: files with something wrong, at most 100.
    pub problems: Vec<Problem>,
    /// How many in all.
    pub problems_total: u64,
    /// For a sign-in: whether all came back.
    pub returned: ReturnCheck,
}

/// A receipt kept on this device.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct ReceiptSummary {
    /// The receipt's name, for `Manager.ReadReceipt`.
    pub id: String,
    /// The account's identity.
    pub identity: String,
    /// When the sign-out ended.
    pub when: u64,
    /// Files removed.
    pub removed: u64,
    /// Names left behind.
    pub left: u64,
    /// The file that holds it.
    pub path: Vec<u8>,
}

/// The policy in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct PolicyStatus {
    /// `none` (no files), `in-force`, `last-good` (a file is bad, the last good policy holds),
    /// `expired` (the signed bundle should have been renewed; it stays in force) or
    /// `invalid` (a file is bad and there is no last good policy: sign-out is refused).
    pub state: String,
    /// The files it was read from.
    pub files: Vec<String>,
    /// What is wrong, one sentence a fault with file, line and column.
    pub problems: Vec<String>,
    /// The united policy, as TOML.
    pub effective: String,
    /// False in session mode: advice to the person who owns the daemon.
    pub enforced: bool,
    /// The version of the signed bundle in force; 0 when there is none.
    pub bundle_version: u64,
    /// When it has to have been renewed, in seconds since the Unix epoch.
    pub bundle_expires: u64,
    /// Whose it is.
    pub bundle_organisation: String,
    /// The key that signed it, by the name of its file.
    pub bundle_key: String,
}

/// A signed bundle of policy files, by `Manager.CheckBundle`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct BundleCheck {
    /// What is wrong with it; when no key vouches for it, there is nothing else.
    pub findings: Vec<Finding>,
    /// Whose it is.
    pub organisation: String,
    /// Its version.
    pub version: u64,
    /// When it has to have been renewed, in seconds since the Unix epoch.
    pub expires: u64,
    /// The key that signed it, by the name of its file.
    pub key: String,
    /// Its files.
    pub files: Vec<String>,
}

/// What a policy file would change, by `Manager.SimulatePolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct PolicySimulation {
    /// What is wrong with the file, or with the policy in force; then there is nothing else.
    pub findings: Vec<Finding>,
    /// The file in force that it would take the place of; empty when there is none of its name.
    pub replaces: String,
    /// What would be decided otherwise: the first of it, at most 4 MiB.
    pub changes: Vec<PolicyChange>,
    /// How many changes there are in all.
    pub changes_total: u64,
    /// Contradictions between rules that would be new, as sentences.
    pub conflicts: Vec<String>,
    /// Accounts that would be required and are not on this device, as sentences.
    pub missing: Vec<String>,
}

/// Something that policy would decide otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct PolicyChange {
    /// The account's ID.
    pub account: String,
    /// Its identity.
    pub identity: String,
    /// The verb, e.g. `sign-out`.
    pub verb: String,
    /// Who would do it: `person`, `device` or `organisation`.
    pub actor: String,
    /// What changes: the verb, or a key of a rule.
    pub what: String,
    /// How it is now, e.g. `allowed`.
    pub before: String,
    /// How it would be, e.g. `denied`, or `needs a backup`.
    pub after: String,
    /// Who would say so, where and why, as sentences.
    pub because: Vec<String>,
}

/// A remark of `Manager.CheckPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Finding {
    /// The line, counted from 1; 0 when it concerns the whole file.
    pub line: u32,
    /// The column, counted from 1; 0 when it concerns the whole line.
    pub column: u32,
    /// What is wrong, and what to do.
    pub message: String,
}

/// A lock that an app holds so that a sign-out waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Inhibitor {
    /// `sign-out`.
    pub what: String,
    /// Who holds it.
    pub who: String,
    /// Why.
    pub why: String,
    /// `delay` or `block`.
    pub mode: String,
    /// The process that took it, or 0.
    pub pid: u32,
}

/// How one part of what the daemon and its accounts stand on is.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
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

/// A device that uses the account's storage, one that left it, or a document that cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "kebab-case")]
pub struct Device {
    /// Its name; of a document that cannot be read, the document's.
    pub name: String,
    /// The random ID of its sign-in; empty for one that left.
    pub sign_in_id: String,
    /// Whether it is this one.
    pub this: bool,
    /// Who is signed in there.
    pub identity: String,
    /// The names of its collections.
    pub collections: Vec<String>,
    /// Files there without a copy in the storage, when it was last seen.
    pub pending: u64,
    /// Deletions there that wait for an answer, likewise.
    pub held: u64,
    /// When it was last seen, or left, by its own clock: written when anything else changes, or
    /// daily.
    pub last_seen: u64,
    /// `active`; `asked` to sign out and not answered yet; the answer to the last request:
    /// `waiting`, `signing-out`, `blocked`, `denied` or `cancelled`; `left`; or `unreadable`.
    pub state: String,
    /// A sentence about the state, or empty.
    pub message: String,
    /// Of one that left, its receipt in the storage.
    pub receipt: String,
}
