//! The safe removal. A file goes only when, at that moment, all of this holds:
//!
//! - the account holds a [`Verified`] proof, and its latch durably says `removing`;
//! - the copy in the storage is, by a listing made just before, the one that was read back (or is
//!   read back again, where stamps prove little);
//! - nobody has the file open for writing (a read lease), and it is the file whose bytes were
//!   hashed: same inode, size and times;
//! - moved into the staging folder, it is still that file, and nobody has asked to write to it;
//!   where stamps do not tell of every write, it is hashed there once more.
//!
//! Otherwise it stays or goes back, and is told.

use std::ffi::OsStr;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_wire::{Counts, RemoveReport};

use crate::account::Account;
use crate::error::{Error, FileTrouble, Result};
use crate::files::{Files, Lease, Stat};
use crate::hash::{self, Failed, Source};
use crate::ignored;
use crate::left;
use crate::look::{FolderLook, Odd, walk};
use crate::place::{self, Place, os, path};
use crate::pool;
use crate::readback::{TICK, read_back, same_inode, still_proven};
use crate::staging;
use crate::state::{Epoch, Item, Key, Stamp, join, split};
use crate::trouble::{NAMED, Named};
use crate::verify::Verified;

/// Files removed between two commits.
const BATCH_FILES: usize = 8 * 1024;
/// Folders open at once, at most.
const BATCH_FOLDERS: usize = 128;
/// Set in the state once a file went without a lease.
const NO_LEASES: &str = "writers-not-excluded";

/// Removes what was proven.
///
/// Files that are in use or have changed stay and are counted as `remaining`: drain, verify and
/// remove again.
///
/// # Errors
/// [`Error::NotVerified`] when the proof is for another removal; what stops the whole.
pub fn remove<F: Files>(
    account: &Account<F>,
    proof: Verified,
    keep: &[Collection],
) -> Result<RemoveReport> {
    if !proof.covers(keep) {
        return Err(Error::NotVerified(
            "the proof is for a sign-out that keeps others".to_owned(),
        ));
    }
    // From here on a missing local file is never an operation, whatever dies.
    if account.state.epoch()? != Epoch::Removing {
        account.state.set_epoch(Epoch::Removing)?;
    }
    let collections = account.leaving(keep)?;
    let mut remaining = Named::default();
    let mut progress = Progress::new(account, &collections)?;
    for collection in &collections {
        let place = place::open(account, *collection)?;
        staging::tidy(account, &place)?;
        let mut batch = Batch::default();
        walk(account, &place, |look| {
            tell_hidden(account, &place, &look, &mut remaining)?;
            batch.take(look, *collection);
            if batch.tasks.len() >= BATCH_FILES || batch.folders >= BATCH_FOLDERS {
                let batch = mem::take(&mut batch);
                progress.tell(remove_batch(account, &place, batch, &mut remaining)?);
            }
            Ok(())
        })?;
        progress.tell(remove_batch(account, &place, batch, &mut remaining)?);
        remove_folders(account, &place)?;
    }
    // Spent: another removal needs another proof.
    drop(proof);
    report(account, keep, &collections, remaining)
}

/// A folder that cannot be looked into now, with files of the account in or below it, goes round
/// again: it must not be left as if its files had been looked at.
fn tell_hidden<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    look: &FolderLook<F>,
    remaining: &mut Named,
) -> Result<()> {
    let hides = |name: &[u8]| name.is_empty() || name == ignored::FILE.as_bytes();
    for (name, odd) in &look.odd {
        let Odd::Trouble(FileTrouble(why)) = odd else {
            continue;
        };
        if hides(name) && holds_items(account, place.collection, &look.path)? {
            remaining.add(place.shown(&look.path, name), why);
        }
    }
    Ok(())
}

/// Whether there are files of the account in or below a folder that are not removed yet.
fn holds_items<F: Files>(account: &Account<F>, collection: Collection, top: &[u8]) -> Result<bool> {
    for folder in account.state.item_folders_below(collection, top)? {
        let items = account.state.items(collection, &folder)?;
        if items.iter().any(|item| !item.gone && item.local.is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn report<F: Files>(
    account: &Account<F>,
    keep: &[Collection],
    collections: &[Collection],
    remaining: Named,
) -> Result<RemoveReport> {
    let mut report = RemoveReport {
        remaining: remaining.total,
        remaining_files: remaining.some,
        writers_excluded: account.state.meta(NO_LEASES)?.is_none(),
        ..RemoveReport::default()
    };
    if !report.writers_excluded {
        report.remarks.push(
            "The filesystem gives no leases, or none that keep every program out: programs that \
             were writing to a file while it was removed were not excluded. Each file was read \
             once more right before it went."
                .to_owned(),
        );
    }
    for collection in collections {
        let tally = account.state.tally(*collection)?;
        let counts = Counts {
            files: tally.gone_files,
            bytes: tally.gone_bytes,
        };
        report.removed.push((collection.to_string(), counts));
        report.gone_before += tally.gone_before;
        let root = account.spec.root(*collection)?.as_os_str().as_bytes();
        let room = NAMED.saturating_sub(report.gone_before_files.len());
        let named = account.state.gone_before(*collection, room)?;
        let named = named.iter().map(|below| join(root, below));
        report.gone_before_files.extend(named);
        report.left.extend(left::list(account, *collection)?);
    }
    for collection in keep {
        let tally = account.state.tally(*collection)?;
        let counts = Counts {
            files: tally.files,
            bytes: tally.bytes,
        };
        report.kept.push((collection.to_string(), counts));
    }
    Ok(report)
}

/// How far the removal is.
struct Progress<'a, F: Files> {
    account: &'a Account<F>,
    done: u64,
    total: u64,
}

impl<'a, F: Files> Progress<'a, F> {
    fn new(account: &'a Account<F>, collections: &[Collection]) -> Result<Self> {
        let mut progress = Self {
            account,
            done: 0,
            total: 0,
        };
        for collection in collections {
            let tally = account.state.tally(*collection)?;
            progress.done += tally.gone_files;
            progress.total += tally.gone_files + tally.files;
        }
        progress.tell(0);
        Ok(progress)
    }

    fn tell(&mut self, more: u64) {
        self.done += more;
        self.account
            .tell("removing", (self.done, 0), (self.total, 0));
    }
}

/// A file to be removed.
struct Task<D> {
    key: Key,
    item: Item,
    dir: D,
    /// The storage's folder, where the copy was seen.
    remote: Option<D>,
}

struct Batch<D> {
    tasks: Vec<Task<D>>,
    /// Not here any more: a dead predecessor removed them and could not say so, or somebody else.
    missing: Vec<Key>,
    folders: usize,
}

impl<D> Default for Batch<D> {
    fn default() -> Self {
        Self {
            tasks: Vec::new(),
            missing: Vec::new(),
            folders: 0,
        }
    }
}

impl<D: Clone> Batch<D> {
    fn take<F: Files<Dir = D>>(&mut self, look: FolderLook<F>, collection: Collection) {
        self.folders += 1;
        for seen in look.names {
            let Some(item) = seen.item.filter(|item| !item.gone && item.local.is_some()) else {
                continue;
            };
            let key = Key {
                collection,
                folder: look.path.clone(),
                name: seen.name,
            };
            match (&look.local, seen.local) {
                (Some(dir), Some(_)) => {
                    self.tasks.push(Task {
                        key,
                        item,
                        dir: dir.clone(),
                        remote: look.remote.clone().filter(|_| seen.remote.is_some()),
                    });
                }
                _ => self.missing.push(key),
            }
        }
    }
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is gone.
    Removed,
    /// Removed where no lease could be had, or none that keeps every writer out.
    RemovedWithoutLease,
    /// It is where it was.
    Stays(FileTrouble),
}

fn remove_batch<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    batch: Batch<F::Dir>,
    remaining: &mut Named,
) -> Result<u64> {
    let going: Vec<_> = batch.tasks.iter().map(|task| task.key.clone()).collect();
    // Written down before: what is missing after a crash and was not about to go, others took.
    account.state.mark_going(&going)?;
    let fates = pool::map(account.files.parallelism(), &batch.tasks, |task| {
        if account.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(Fate::Stays(FileTrouble("stopped as asked".to_owned())));
        }
        remove_one(account, place, task)
    });
    let (mut gone, mut staying) = (settle_missing(account, batch.missing)?, Vec::new());
    let mut fatal = None;
    let mut without_lease = false;
    for (task, fate) in batch.tasks.iter().zip(fates) {
        match fate {
            Ok(Fate::Removed) => gone.push(task.key.clone()),
            Ok(Fate::RemovedWithoutLease) => {
                without_lease = true;
                gone.push(task.key.clone());
            }
            Ok(Fate::Stays(FileTrouble(why))) => {
                remaining.add(place.shown_key(&task.key), &why);
                staying.push(task.key.clone());
            }
            Err(e) => fatal = Some(Error::io("remove", path(&place.shown_key(&task.key)), e)),
        }
    }
    if without_lease && account.state.meta(NO_LEASES)?.is_none() {
        account.state.set_meta(NO_LEASES, "1")?;
    }
    sync_folders(account, place, batch.tasks.iter().map(|task| &task.dir))?;
    account.state.mark_gone(&gone, &staying)?;
    fatal.map_or(Ok(gone.len() as u64), Err)
}

/// Tells those that a dead predecessor removed, which are answered, from those that somebody else
/// took away: the receipt must not claim them.
pub(crate) fn settle_missing<F: Files>(
    account: &Account<F>,
    missing: Vec<Key>,
) -> Result<Vec<Key>> {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for key in missing {
        if account.state.is_going(&key)? {
            ours.push(key);
        } else {
            others.push(key);
        }
    }
    account.state.mark_gone_before(&others)?;
    Ok(ours)
}

/// Makes the unlinks durable: recorded as gone and back after a power loss would be a file that
/// nobody knows about.
fn sync_folders<'a, F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    dirs: impl Iterator<Item = &'a F::Dir>,
) -> Result<()> {
    let fail = |e| Error::io("make durable", &place.local_path, e);
    if place.here.known_good {
        return account.files.sync_all(&place.local).map_err(fail);
    }
    for dir in dirs {
        account.files.sync_dir(dir).map_err(fail)?;
    }
    account.files.sync_dir(&place.staging).map_err(fail)
}

/// Removes one file, or says why it stays.
fn remove_one<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    task: &Task<F::Dir>,
) -> io::Result<Fate> {
    take_out(account, place, &task.key, &task.item, &task.dir, |before| {
        copy_is_missing(account, place, task, before)
    })
}

/// Takes one file off this device if, at this moment, it is the one whose bytes are known, nobody
/// writes to it, and `missing` finds its copy; or says why it stays.
///
/// # Errors
/// When the disk fails. The file is then where it was, or in the staging folder, from which the
/// next start puts it back.
pub fn take_out<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
    item: &Item,
    dir: &F::Dir,
    missing: impl FnOnce(&Stat) -> io::Result<Option<FileTrouble>>,
) -> io::Result<Fate> {
    let files = &account.files;
    let name = os(&key.name);
    let stays = |why: &str| Ok(Fate::Stays(FileTrouble(why.to_owned())));

    let file = match files.open(dir, name) {
        Ok(file) => file,
        Err(e) => return one_file(e),
    };
    let lease = files.lease(&file)?;
    if lease == Lease::InUse {
        return stays("a program has it open for writing");
    }
    let before = files.stat_file(&file)?;
    if !item
        .local
        .is_some_and(|known| known.stamp == Stamp::from(&before))
    {
        return stays("changed since it was verified");
    }
    if let Some(why) = missing(&before)? {
        return Ok(Fate::Stays(why));
    }
    let out = staging::out_name(&key.path());
    if let Err(e) = files.rename_new(dir, name, &place.staging, &out) {
        return one_file(e);
    }
    // From here on the file goes, or goes back.
    let staged = files.stat(&place.staging, &out)?;
    // The lease is on the file that was opened: of another one it says nothing.
    let same = (staged.dev, staged.ino) == (before.dev, before.ino);
    let proven = lease == Lease::Held
        // Elsewhere a program that had it mapped, and is done, may have left no trace.
        && place.here.known_good
        // The move itself sets the change time.
        && (staged.size, staged.mtime) == (before.size, before.mtime)
        && settled(&before, item)
        && files.lease_holds(&file);
    if same && (proven || has_agreed_bytes(account, place, &out, item, lease, &file)?) {
        files.unlink(&place.staging, &out)?;
        let excluded = lease == Lease::Held && place.here.excludes_mapped;
        return Ok(if excluded {
            Fate::Removed
        } else {
            Fate::RemovedWithoutLease
        });
    }
    files.release(&file);
    match staging::restore_one(account, (&place.staging, &out), &place.local, key)? {
        None => stays("changed while it was being removed"),
        Some(there) => stays(&format!(
            "changed while it was being removed, and its name or folder was taken: it is now {}",
            readable(&place.shown(b"", &there))
        )),
    }
}

fn one_file(e: io::Error) -> io::Result<Fate> {
    crate::error::about_one_file(&e).map(Fate::Stays).ok_or(e)
}

/// Whether the recorded hash was taken when the file had long been as it is.
fn settled(before: &Stat, item: &Item) -> bool {
    item.local
        .is_some_and(|known| before.mtime.max(before.ctime) <= known.at.saturating_sub(TICK))
}

/// Reads the staged file once more: stamps do not tell enough here.
fn has_agreed_bytes<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    out: &OsStr,
    item: &Item,
    lease: Lease,
    file: &F::File,
) -> io::Result<bool> {
    let files = &account.files;
    if lease == Lease::Held && !files.lease_holds(file) {
        return Ok(false);
    }
    match hash::hash(files, &place.staging, out, Source::Staged, &account.stop) {
        Ok(reading) => {
            Ok(reading.hash == item.agreed.local
                && (lease != Lease::Held || files.lease_holds(file)))
        }
        Err(Failed::All(e)) => Err(e),
        Err(Failed::One(_) | Failed::Stopped) => Ok(false),
    }
}

/// Why the copy does not count, if it does not.
fn copy_is_missing<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    task: &Task<F::Dir>,
    local: &Stat,
) -> io::Result<Option<FileTrouble>> {
    let why = |why: &str| Ok(Some(FileTrouble(why.to_owned())));
    let Some(dir) = &task.remote else {
        return why("the storage has no copy");
    };
    // Looked at once more, right before the original goes.
    let remote = match account.files.stat(dir, os(&task.key.name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return why("the storage has no copy"),
        result => &result?,
    };
    if same_inode(local, remote) {
        return why("the copy in the storage is the same file (a hard link)");
    }
    if still_proven(&task.item, remote, place.there.known_good) {
        return Ok(None);
    }
    if task
        .item
        .verified
        .is_none_or(|proof| proof.stamp != Stamp::from(remote))
    {
        return why("the copy in the storage changed after it was read back");
    }
    match read_back(account, place, &task.key, &task.item) {
        Ok(_) => Ok(None),
        Err(Failed::One(trouble)) => Ok(Some(trouble)),
        Err(Failed::All(e)) => Err(e),
        Err(Failed::Stopped) => why("stopped as asked"),
    }
}

/// Removes the empty folders that the account brought or carried over.
pub fn remove_folders<F: Files>(account: &Account<F>, place: &Place<F>) -> Result<()> {
    let files = &account.files;
    let mut gone = Vec::new();
    for folder in account.state.folders_deepest_first(place.collection)? {
        if !folder.ours {
            continue;
        }
        let shown = place.local_path.join(path(&folder.path));
        let (parent, name) = split(&folder.path);
        let removed = files
            .open_dir(&place.local, path(parent))
            .and_then(|dir| files.remove_dir(&dir, os(name)));
        match removed {
            Ok(()) => gone.push(folder.path),
            // Not empty, gone or out of reach: the list of what is left tells.
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(e) if crate::error::about_one_file(&e).is_some() => {}
            Err(e) => return Err(Error::io("remove the folder", &shown, e)),
        }
    }
    if !gone.is_empty() {
        sync_folders(account, place, std::iter::once(&place.local))?;
    }
    account.state.forget_folders(place.collection, &gone)
}
