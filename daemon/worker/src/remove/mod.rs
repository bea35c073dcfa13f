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

mod report;
mod take;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::{io, mem};

use mooring_core::collection::Collection;
use mooring_wire::RemoveReport;

use crate::account::Account;
use crate::error::{Error, FileTrouble, Result};
use crate::files::Files;
use crate::ignored;
use crate::look::{FolderLook, Odd, walk};
use crate::place::{self, Place, os, path};
use crate::pool;
use crate::staging;
use crate::state::{Epoch, Item, Key, join, split};
use crate::trouble::Named;
use crate::verify::Verified;

use report::report;
use take::remove_one;
pub use take::{Fate, IN_USE, take_out};

/// Files removed between two commits.
const BATCH_FILES: usize = 8 * 1024;
/// Folders open at once, at most.
const BATCH_FOLDERS: usize = 128;
/// Threads that remove, for each processor: what a file took is given back to the disk when it goes,
/// and disks that are told so at once (`discard`) let each one wait.
const THREADS: usize = 4;
/// Set in the state before a file goes from which not every writer is kept out.
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
        // While one batch is made durable and written down, the next one goes.
        let settle = |taken| {
            progress.tell(settle(account, &place, taken)?);
            Ok(())
        };
        pool::behind(account.files.parallelism(), settle, |hand_over| {
            let mut batch = Batch::default();
            walk(account, &place, |look| {
                tell_hidden(account, &place, &look, &mut remaining)?;
                batch.take(look, *collection);
                if batch.tasks.len() >= BATCH_FILES || batch.folders >= BATCH_FOLDERS {
                    let batch = mem::take(&mut batch);
                    hand_over(remove_batch(account, &place, batch, &mut remaining)?)?;
                }
                Ok(())
            })?;
            hand_over(remove_batch(account, &place, batch, &mut remaining)?)
        })?;
        remove_folders(account, &place)?;
    }
    // Spent: another removal needs another proof.
    drop(proof);
    report(account, keep, &collections, remaining)
}

/// A folder or a file that cannot be looked at now, with files of the account in or below it, goes
/// round again: it must not be left as if its files had been looked at.
fn tell_hidden<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    look: &FolderLook<F>,
    remaining: &mut Named,
) -> Result<()> {
    let hides_all = |name: &[u8]| name.is_empty() || name == ignored::FILE.as_bytes();
    for (name, odd) in &look.odd {
        let Odd::Trouble(FileTrouble(why)) = odd else {
            continue;
        };
        let hidden = if hides_all(name) {
            holds_items(account, place.collection, &look.path)?
        } else {
            let key = Key {
                collection: place.collection,
                folder: look.path.clone(),
                name: name.clone(),
            };
            account.state.item(&key)?.is_some_and(|item| is_here(&item))
                || holds_items(account, place.collection, &join(&look.path, name))?
        };
        if hidden {
            remaining.add(place.shown(&look.path, name), why);
        }
    }
    Ok(())
}

/// Whether there are files of the account in or below a folder that are not removed yet.
fn holds_items<F: Files>(account: &Account<F>, collection: Collection, top: &[u8]) -> Result<bool> {
    for folder in account.state.item_folders_below(collection, top)? {
        let items = account.state.items(collection, &folder)?;
        if items.iter().any(is_here) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a file was here and is not removed yet.
fn is_here(item: &Item) -> bool {
    !item.gone && item.local.is_some()
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
    /// The folders that they are missing in.
    lacking: Vec<D>,
    folders: usize,
}

impl<D> Default for Batch<D> {
    fn default() -> Self {
        Self {
            tasks: Vec::new(),
            missing: Vec::new(),
            lacking: Vec::new(),
            folders: 0,
        }
    }
}

impl<D: Clone> Batch<D> {
    fn take<F: Files<Dir = D>>(&mut self, look: FolderLook<F>, collection: Collection) {
        self.folders += 1;
        let missing = self.missing.len();
        self.tasks.reserve(look.names.len());
        for seen in look.names {
            let Some(item) = seen.item.filter(is_here) else {
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
        if self.missing.len() > missing {
            self.lacking.extend(look.local);
        }
    }
}

/// What was taken away and is not written down yet.
struct Taken<D> {
    gone: Vec<Key>,
    /// The folders that were looked at.
    settled: BTreeSet<Vec<u8>>,
    /// Those in which files went, now or before a death.
    changed: Vec<D>,
}

fn remove_batch<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    batch: Batch<F::Dir>,
    remaining: &mut Named,
) -> Result<Taken<F::Dir>> {
    let Batch {
        tasks,
        missing,
        lacking: mut changed,
        ..
    } = batch;
    // What is missing now is told apart by what a predecessor wrote down. Only then is written down
    // what goes next: missing after a crash and not about to go, others took it.
    let mut settled: BTreeSet<_> = missing.iter().map(|key| key.folder.clone()).collect();
    let gone = settle_missing(account, missing)?;
    let going: BTreeMap<_, _> = tasks.iter().map(|t| (&t.key.folder, &t.dir)).collect();
    account
        .state
        .mark_going(place.collection, going.keys().copied())?;
    settled.extend(going.keys().copied().cloned());
    changed.extend(going.into_values().cloned());
    let mut taken = Taken {
        gone,
        settled,
        changed,
    };
    let admitted = Mutex::new(false);
    let threads = match account.files.parallelism() {
        // In order, as a simulation counts on.
        0 | 1 => 1,
        processors => processors * THREADS,
    };
    let fates = pool::map(threads, &tasks, |task| {
        if account.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(Fate::Stays(FileTrouble("stopped as asked".to_owned())));
        }
        remove_one(account, place, task, || admit(account, &admitted))
    });
    let mut fatal = None;
    for (task, fate) in tasks.into_iter().zip(fates) {
        match fate {
            Ok(Fate::Removed) => taken.gone.push(task.key),
            Ok(Fate::Stays(FileTrouble(why))) => {
                remaining.add(place.shown_key(&task.key), &why);
            }
            Err(e) => {
                // What became of that file is not known: its folder is going still.
                taken.settled.remove(&task.key.folder);
                fatal = Some(Error::io("remove", path(&place.shown_key(&task.key)), e));
            }
        }
    }
    let Some(fatal) = fatal else {
        return Ok(taken);
    };
    settle(account, place, taken)?;
    Err(fatal)
}

/// Writes down, once for a batch, that not every writer is kept out.
fn admit<F: Files>(account: &Account<F>, admitted: &Mutex<bool>) -> io::Result<()> {
    let mut admitted = admitted.lock().unwrap_or_else(PoisonError::into_inner);
    if !*admitted {
        let told = account.state.meta(NO_LEASES).and_then(|told| match told {
            Some(_) => Ok(()),
            None => account.state.set_meta(NO_LEASES, "1"),
        });
        told.map_err(io::Error::other)?;
        *admitted = true;
    }
    Ok(())
}

/// Makes durable that files are gone, and only then writes it down: recorded as gone and back after
/// a power loss would be a file that nobody knows about. Answers how many.
fn settle<F: Files>(account: &Account<F>, place: &Place<F>, taken: Taken<F::Dir>) -> Result<u64> {
    sync_folders(account, place, &taken.changed)?;
    account
        .state
        .mark_gone(place.collection, &taken.gone, &taken.settled)?;
    Ok(taken.gone.len() as u64)
}

/// Tells those that a dead predecessor removed, which are answered, from those that somebody else
/// took away: the receipt must not claim them.
pub(crate) fn settle_missing<F: Files>(
    account: &Account<F>,
    missing: Vec<Key>,
) -> Result<Vec<Key>> {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for key in missing {
        if account.state.is_going(key.collection, &key.folder)? {
            ours.push(key);
        } else {
            others.push(key);
        }
    }
    account.state.mark_gone_before(&others)?;
    Ok(ours)
}

/// Makes durable what went from some folders.
fn sync_folders<F: Files>(account: &Account<F>, place: &Place<F>, dirs: &[F::Dir]) -> Result<()> {
    let fail = |e| Error::io("make durable", &place.local_path, e);
    if place.here.known_good {
        return account.files.sync_all(&place.local).map_err(fail);
    }
    for dir in dirs {
        account.files.sync_dir(dir).map_err(fail)?;
    }
    account.files.sync_dir(&place.staging).map_err(fail)
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
        sync_folders(account, place, std::slice::from_ref(&place.local))?;
    }
    account.state.forget_folders(place.collection, &gone)
}
