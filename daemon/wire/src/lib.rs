//! The private contract between the broker and a worker: D-Bus, peer to peer, over a socket pair.
//!
//! The broker calls, the worker answers. Both ends come from one build, so the structures are
//! plain and may change from version to version; [`VERSION`] is compared when a worker starts.
//! No password, token or key crosses here: the worker of a local account needs none.
//! Before the first call the broker says which places the worker may [`reach`].

mod error;
pub mod fault;
pub mod logging;
pub mod reach;
mod types;

pub use error::{Error, Result};
pub use types::ConflictCopy;
pub use types::Diagnosis;
pub use types::{
    AccountSpec, Attached, BackupReport, CheckReport, CollectionFacts, CollectionSpec, Counts,
    DrainReport, EraseReport, Inspected, Left, PlanFacts, Progress, RemoveReport, RestoreReport,
    ReturnCheck, SyncReport, VerifyReport, WhyReport,
};
pub use types::{Device, DeviceRequest, Fenced, HandOver};

use zbus::OwnedFd;

/// Compared by the broker with what `Worker.Hello` answers.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/1");
/// The name of the sealed memory in which a worker leaves what its watch knows (`memfd_create(2)`).
pub const WATCH_MAP: &str = "mooring-watch";
/// The worker's one object.
pub const WORKER_PATH: &str = "/org/mooring1/worker";

/// A worker, as the broker sees it.
///
/// Every method can be repeated after a crash of either side: "already done" is success. Methods
/// that name an account need an earlier [`Worker::attach`] in this worker's life. Those that look at
/// folders answer `Unfenced` for one that is out of the worker's reach.
#[zbus::proxy(
    interface = "org.mooring1.Worker",
    default_path = "/org/mooring1/worker",
    assume_defaults = false
)]
pub trait Worker {
    /// Answers [`VERSION`].
    fn hello(&self) -> Result<String>;

    /// How far this worker is fenced in.
    fn fenced(&self) -> Result<Fenced>;

    /// Looks at a storage folder and at local roots (absolute paths); changes nothing.
    fn inspect(&self, storage: &[u8], roots: Vec<CollectionSpec>) -> Result<Inspected>;

    /// Whether a storage folder lies on a filesystem of the network, or one that may do so.
    fn is_remote(&self, storage: &[u8]) -> Result<bool>;

    /// Writes a new identity record into a storage that has none. `Refused` when there is one.
    fn create_identity(&self, storage: &[u8], record: &str) -> Result<()>;

    /// Puts an identity record in the place of exactly this one, durably. `Refused` when another
    /// is there (a device was faster), and then nothing is changed.
    fn replace_identity(&self, storage: &[u8], expected: &str, record: &str) -> Result<()>;

    /// Opens (or makes) the account's state and takes its lock; waits for a dying predecessor at
    /// most 5 s, then `Busy`. Does not touch collections or storage. An attached account may be
    /// attached again.
    fn attach(&self, spec: AccountSpec) -> Result<Attached>;

    /// Makes roots, markers and folders, brings all data and compares it with the newest receipt
    /// of this device for this identity. `others` are the other accounts here: their folders are
    /// no roots.
    fn sign_in(&self, account: &str, adopt: bool, others: Vec<AccountSpec>) -> Result<SyncReport>;

    /// The devices that use the account's storage, this one first, and those that left.
    fn devices(&self, account: &str) -> Result<Vec<Device>>;

    /// Asks another device, by its sign-in ID, to sign out; answers the request's ID, which is
    /// another one when a request of this device to it is open already.
    fn ask_device(&self, account: &str, target: &str, request: &str) -> Result<String>;

    /// The requests of other devices to this one that were not answered yet; none unless the
    /// account is active.
    fn requests(&self, account: &str) -> Result<Vec<DeviceRequest>>;

    /// Answers a request, durably: it never counts again. `state` is `signing-out`, `blocked`,
    /// `denied` or `cancelled`; a request may be answered again as its sign-out goes on. With
    /// `waiting` it stays open.
    fn answer_request(
        &self,
        account: &str,
        request: &str,
        state: &str,
        message: &str,
    ) -> Result<()>;

    /// Takes a sign-in that has ended out of the storage's list of devices, with the requests to
    /// it.
    fn withdraw(&self, storage: &[u8], sign_in_id: &str) -> Result<()>;

    /// Undoes a sign-in that was cancelled: removes markers and the folders it made where they
    /// are empty, leaves every file where it is and forgets the state.
    fn abandon(&self, account: &str) -> Result<()>;

    /// Puts the folders in order of an account that is given up, whose storage may be gone for good:
    /// what was on its way goes back. The account can go on as it was. Answers what could not be put
    /// in order. A folder that lacks a marker is named, unless its sign-out was `erasing`, or nothing had
    /// been `brought` to it yet.
    fn release(&self, spec: AccountSpec, erasing: bool, brought: bool) -> Result<EraseReport>;

    /// Puts back what waits in the storage of an account that is given up, if it is there.
    fn settle(&self, spec: AccountSpec) -> Result<()>;

    /// After `release`: markers go, every file stays where it is, and the state is forgotten. Answers
    /// what stays besides.
    fn discard(&self, spec: AccountSpec) -> Result<EraseReport>;

    /// Brings both sides in step, and with `read_back` reads new copies back from the storage.
    /// `Refused` once the account is leaving.
    fn sync(&self, account: &str, read_back: bool) -> Result<SyncReport>;

    /// The same, but looks only where `changed` told of changes since the last sync, if the worker
    /// knows that nothing else can have changed, and else at everything.
    fn sync_told(&self, account: &str, read_back: bool) -> Result<SyncReport>;

    /// As `sync`, with the answer to the question about held deletions: carry them over, or bring
    /// the files back.
    fn answer(&self, account: &str, delete: bool, read_back: bool) -> Result<SyncReport>;

    /// Looks at everything the account stands on; changes nothing.
    fn diagnose(&self, account: &str) -> Result<Vec<Diagnosis>>;

    /// Looks what is wrong with the state of an account that is in use, and lets go of it; unless
    /// `dry` puts a damaged or missing state aside and begins a new one, which the next sync fills by
    /// comparing bytes. Answers what is wrong, or the folder it was put into; nothing when all is well.
    fn repair(&self, spec: AccountSpec, dry: bool) -> Result<String>;

    /// What deletions took away in the last thirty days, newest first, at most 10,000: absolute
    /// local paths, each with its day (`YYYY-MM-DD`).
    fn trash(&self, account: &str) -> Result<Vec<(Vec<u8>, String)>>;

    /// The conflict copies on this device, and those of contacts in the storage, at most 10,000.
    fn conflicts(&self, account: &str) -> Result<Vec<ConflictCopy>>;

    /// Brings a file of the trash back into the storage; the next sync brings it here. Takes and
    /// answers an absolute local path: another one where the old name was taken, or where the file
    /// is damaged and comes back all the same. Answers, too, whether it could be checked.
    fn undelete(&self, account: &str, file: &[u8], damaged: bool) -> Result<(Vec<u8>, bool)>;

    /// Watches the folders of an active account, and those of its storage where that is a local
    /// filesystem; from the answer on, `changed` tells of every change, also of a lost watch.
    /// Answers whether all of them are watched: where not, only a look finds changes. Ends by
    /// itself when the account begins to leave.
    fn watch(&self, account: &str) -> Result<bool>;

    /// Ends the watch of an account, so that it can go on in another worker: what changes meanwhile
    /// waits in the kernel. Then this worker watches nothing of the account any more. `Busy` while
    /// something is done with it, or when its watch cannot go; then it goes on here.
    fn hand_over(&self, account: &str) -> Result<HandOver>;

    /// Goes on with a watch that another worker handed over: the kernel's watches and the map.
    /// Answers whether that is done; where not, everything has to be looked at.
    fn take_up(&self, account: &str, watch: OwnedFd, map: OwnedFd) -> Result<bool>;

    /// How the collections stand, from the state alone (no look at the files).
    fn counts(&self, account: &str) -> Result<Vec<CollectionFacts>>;

    /// What a sign-out would do, from a look at the files; changes nothing. Counts what came or changed
    /// `since` then, in seconds since the Unix epoch.
    fn plan(&self, account: &str, keep: Vec<String>, since: u64) -> Result<PlanFacts>;

    /// Sets the durable `leaving` latch, then uploads, in at most three rounds.
    fn drain(&self, account: &str, keep: Vec<String>) -> Result<DrainReport>;

    /// Moves files that block a drain to `~/Kept from ACCOUNT/` (never overwriting) and out of
    /// the inventory. Paths are absolute and must lie in a collection.
    fn keep_here(&self, account: &str, files: Vec<Vec<u8>>) -> Result<u64>;

    /// Reads back every copy that is not known to be good and writes the base of the receipt
    /// into the storage. The proof stays in the worker, until `remove` or its death.
    fn verify(&self, account: &str, keep: Vec<String>, receipt: &str) -> Result<VerifyReport>;

    /// Sets the durable `removing` latch and removes what `verify` proved. Without a proof in
    /// this worker's life: `NotVerified`, and nothing is touched. Afterwards nothing is left to
    /// undo; may answer with `remaining > 0`: verify and remove again.
    fn remove(&self, account: &str, keep: Vec<String>) -> Result<RemoveReport>;

    /// Takes the `leaving` latch back. `Refused` once the account is removing.
    fn stay(&self, account: &str) -> Result<()>;

    /// Stores the text of a receipt in the storage, durably; replaces an earlier one of this id.
    fn store_receipt(&self, storage: &[u8], receipt: &str, text: &str) -> Result<()>;

    /// Removes markers, staging folders and the folders the account made, looks once more what is
    /// left, and forgets the state. Needs no `attach` when the state is already gone.
    fn erase(&self, spec: AccountSpec, keep: Vec<String>) -> Result<EraseReport>;

    /// Takes a backup of the local folders into the folder `name` of `to`. With a folder of this
    /// name from this sign-in there already: checks it, and answers the same.
    fn backup(&self, account: &str, to: &[u8], name: &str) -> Result<BackupReport>;

    /// Brings back from a backup what lies at or below `only` (empty: everything), into the
    /// account's folders or below `to` (empty: none). Overwrites nothing.
    fn restore(&self, account: &str, from: &[u8], only: &[u8], to: &[u8]) -> Result<RestoreReport>;

    /// Reads every copy back from the storage and compares; removes and uploads nothing.
    fn check(&self, account: &str) -> Result<CheckReport>;

    /// How one file (an absolute path) stands, and why.
    fn why(&self, account: &str, file: &[u8]) -> Result<WhyReport>;

    /// What is remembered of one file: looks at neither side, and answers while an operation of
    /// the account is under way. `unseen` says why nobody looks.
    fn recall(&self, account: &str, file: &[u8], unseen: &str) -> Result<WhyReport>;

    /// Stops the operation of this account that is under way; it answers `Cancelled`.
    fn interrupt(&self, account: &str) -> Result<()>;

    /// Something changed in a watched folder, or may have: it is time for a sync.
    #[zbus(signal)]
    fn changed(&self, account: &str) -> Result<()>;

    /// How far an operation is; sent at most ten times a second.
    #[zbus(signal)]
    fn progressed(&self, account: &str, progress: Progress) -> Result<()>;
}
