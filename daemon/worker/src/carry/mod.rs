//! Carrying files from one side to the other, a batch at a time: copied beside their place,
//! durable, then put in place without ever replacing what nobody expected, then recorded.

mod batch;
mod put;
mod room;

use std::ffi::OsString;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mooring_core::sync::{Agreed, Hash};

use crate::account::Account;
use crate::beside::{self, Waits};
use crate::error::{Error, Result};
use crate::files::{Files, Stat};
use crate::hash::{self, Failed, Reading};
use crate::large;
use crate::names;
use crate::place::{End, Place, os, path};
use crate::pool;
use crate::state::{Item, Key, Proof, Stamp};
use crate::trouble::Ledger;

use batch::Batch;
use put::{clear_away, put};

/// After so many bytes the disk is put to work on them, while more are copied.
const AHEAD: u64 = 64 * 1024 * 1024;

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From this device to the storage.
    Up,
    /// From the storage to this device.
    Down,
}

/// A file to be carried.
#[derive(Debug, Clone)]
pub struct Load {
    /// Which one.
    pub key: Key,
    /// Which way.
    pub way: Way,
    /// What is to be replaced on the other side; `None`: the name is free there.
    pub replaces: Option<Expected>,
    /// What the inventory has about it.
    pub item: Option<Item>,
    /// Its size in bytes where it comes from, as it was seen.
    pub size: u64,
}

/// The file that a copy is to replace.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// As it was seen.
    pub stamp: Stamp,
    /// Its bytes.
    pub bytes: Hash,
}

/// A copy that waits beside its place.
struct Staged<'a, D> {
    load: &'a Load,
    /// The folder it waits in, and its name there.
    at: &'a D,
    name: OsString,
    reading: Reading,
    /// The copy itself, as it was when its bytes had been written.
    copy: Stat,
}

/// Carries a batch, all one way. Answers the inventory's new items: they may be recorded once
/// [`sync_all`] has made them durable. Files that cannot be carried go into the ledger.
///
/// # Errors
/// What stops the whole batch: a full disk, a dead one, a wish to stop.
pub fn carry<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    way: Way,
    loads: &[Load],
    ledger: &mut Ledger,
) -> Result<Vec<(Key, Item)>> {
    if loads.is_empty() {
        return Ok(Vec::new());
    }
    let End {
        waiting,
        known_good,
        shown,
        ..
    } = place.end(way);
    let loads = room::that_may_fit(account, place, way, loads, ledger)?;
    let copies = if known_good { loads.len() } else { 0 };
    let fail = |e| Error::io("make a folder for copies to", shown, e);
    let batch = Batch::make(account, waiting, copies).map_err(fail)?;
    let ready = stage_all(account, place, (way, &batch), loads, ledger)?;
    if known_good {
        sync_all(account, place, way)?;
    }
    let folders = LastFolder::default();
    let installed = pool::map(account.files.parallelism(), &ready, |staged| {
        install(account, place, &folders, staged, !known_good)
    });
    let mut done = Vec::new();
    for (staged, installed) in ready.iter().zip(installed) {
        match installed {
            Ok(item) => done.push((staged.load.key.clone(), item)),
            Err(Failed::One(why)) => ledger.pending(place.shown_key(&staged.load.key), why),
            Err(Failed::Stopped) => return Err(Error::Cancelled),
            Err(Failed::All(e)) => {
                return Err(side_error(account, place, way, &staged.load.key, e));
            }
        }
    }
    batch.remove(&account.files).map_err(fail)?;
    names::take_back_rewritten(account, place, way, done, ledger)
}

/// Copies a batch beside its places, while the disk writes what was copied before.
fn stage_all<'a, F: Files>(
    account: &Account<F>,
    place: &'a Place<F>,
    (way, batch): (Way, &'a Batch<'_, F>),
    loads: Vec<&'a Load>,
    ledger: &mut Ledger,
) -> Result<Vec<Staged<'a, F::Dir>>> {
    let End {
        root, known_good, ..
    } = place.end(way);
    let files = &account.files;
    let threads = files.parallelism();
    // A few small files are not worth a thread that has nothing to do.
    let ahead = known_good && loads.iter().map(|load| load.size).sum::<u64>() >= AHEAD;
    let numbered: Vec<_> = loads.iter().copied().enumerate().collect();
    let folders = LastFolder::default();
    let told = LargeBytes::new(account, way, &loads, ledger);
    let (staged, written) = pool::beside(
        if ahead { threads } else { 1 },
        || files.sync_all(root),
        |write| {
            let copied = AtomicU64::new(0);
            pool::map_by(threads, &numbered, |thread, (nr, load)| {
                let load_at = (*load, *nr, batch.of(thread));
                let staged = stage(account, place, (&folders, &told), load_at, !known_good);
                let before = copied.fetch_add(load.size, Ordering::Relaxed);
                if before / AHEAD != (before + load.size) / AHEAD {
                    write();
                }
                staged
            })
        },
    );
    let mut ready = Vec::new();
    let mut fatal = written
        .err()
        .map(|e| Error::io("make durable", place.end(way).shown, e));
    for (load, staged) in loads.into_iter().zip(staged) {
        match staged {
            Ok(staged) => ready.push(staged),
            Err(Failed::One(why)) => ledger.pending(place.shown_key(&load.key), why),
            Err(Failed::Stopped) => fatal = Some(Error::Cancelled),
            Err(Failed::All(e)) => fatal = Some(side_error(account, place, way, &load.key, e)),
        }
    }
    let Some(e) = fatal else {
        return Ok(ready);
    };
    for staged in ready.iter().filter(|s| !is_large(account, s.load)) {
        // Not yet in place, so nobody misses them; the first error is the one to tell. Large ones are
        // found whole by the next try, which also takes the batch's folders away.
        let _ = files.unlink(staged.at, &staged.name);
    }
    Err(e)
}

/// Makes the entries of the batches before durable, so that they may be recorded.
///
/// # Errors
/// When the filesystem fails.
pub fn sync_all<F: Files>(account: &Account<F>, place: &Place<F>, way: Way) -> Result<()> {
    let End { root, shown, .. } = place.end(way);
    account
        .files
        .sync_all(root)
        .map_err(|e| Error::io("make durable", shown, e))
}

fn side_error<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    way: Way,
    key: &Key,
    e: io::Error,
) -> Error {
    let (doing, root) = match way {
        Way::Up => ("upload", account.spec.storage.join(key.collection.folder())),
        Way::Down => ("download", place.local_path.clone()),
    };
    Error::io(doing, &root.join(path(&key.path())), e)
}

/// The folder that was opened last. Files come folder by folder, so most need no opening.
pub(crate) struct LastFolder<D>(Mutex<Option<(Vec<u8>, D)>>);

impl<D> Default for LastFolder<D> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<D: Clone> LastFolder<D> {
    /// The folder of a path, opened if it is another than the last.
    pub(crate) fn get(&self, path: &[u8], open: impl FnOnce() -> io::Result<D>) -> io::Result<D> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((there, dir)) = &*last
            && there == path
        {
            return Ok(dir.clone());
        }
        let dir = open()?;
        *last = Some((path.to_vec(), dir.clone()));
        Ok(dir)
    }
}

fn stage<'a, F: Files>(
    account: &Account<F>,
    place: &'a Place<F>,
    (folders, told): (&LastFolder<F::Dir>, &LargeBytes<'_, F>),
    (load, nr, at): (&'a Load, usize, &'a F::Dir),
    sync: bool,
) -> std::result::Result<Staged<'a, F::Dir>, Failed> {
    let files = &account.files;
    let source_root = match load.way {
        Way::Up => &place.local,
        Way::Down => &place.remote,
    };
    let waiting = place.end(load.way).waiting;
    let folder = &load.key.folder;
    let source = folders.get(folder, || files.open_dir(source_root, path(folder)))?;
    let from = (&source, os(&load.key.name));
    let stop = &account.stop;
    let (at, name, (reading, copy)) = if is_large(account, load) {
        let name = large::part_name(account, &load.key);
        let tell = |more| told.tell(more);
        let copied = large::copy(files, from, (waiting, &name), sync, stop, &tell)?;
        (waiting, name, copied)
    } else {
        let name = beside::name(account, Waits::New, nr);
        let copied = hash::copy(files, from, (at, &name), sync, stop)?;
        (at, name, copied)
    };
    Ok(Staged {
        load,
        at,
        name,
        reading,
        copy,
    })
}

fn is_large<F: Files>(account: &Account<F>, load: &Load) -> bool {
    load.size >= account.files.large().from
}

/// How much of a batch's large files is carried.
struct LargeBytes<'a, F: Files> {
    account: &'a Account<F>,
    activity: &'static str,
    /// Files carried before this batch, and with it.
    files: (u64, u64),
    total: u64,
    done: AtomicU64,
}

impl<'a, F: Files> LargeBytes<'a, F> {
    fn new(account: &'a Account<F>, way: Way, loads: &[&Load], ledger: &Ledger) -> Self {
        let done = ledger.uploaded + ledger.downloaded;
        let large = loads.iter().filter(|load| is_large(account, load));
        Self {
            account,
            activity: match way {
                Way::Up => "uploading",
                Way::Down => "downloading",
            },
            files: (done, done + loads.len() as u64),
            total: large.map(|load| load.size).sum(),
            done: AtomicU64::new(0),
        }
    }

    fn tell(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        let (before, with) = self.files;
        self.account
            .tell(self.activity, (before, done), (with, self.total));
    }
}

fn install<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folders: &LastFolder<F::Dir>,
    staged: &Staged<'_, F::Dir>,
    sync: bool,
) -> std::result::Result<Item, Failed> {
    let files = &account.files;
    let Load { key, way, .. } = staged.load;
    let waiting = place.end(*way).waiting;
    let dir = match put(account, place, folders, staged, sync) {
        Ok(dir) => dir,
        Err(failed) => {
            // The reason it could not go to its place is the one to tell.
            clear_away(account, place, staged).map_err(Failed::All)?;
            return Err(failed);
        }
    };
    if sync {
        files.sync_dir(&dir).map_err(Failed::All)?;
        files.sync_dir(waiting).map_err(Failed::All)?;
    }
    let placed = files.stat(&dir, os(&key.name)).map_err(Failed::All)?;
    let same = (placed.ino, placed.size, placed.mtime)
        == (staged.copy.ino, staged.copy.size, staged.copy.mtime);
    if !same {
        return Err(Failed::one(
            "changed on the other side right after it was carried over",
        ));
    }
    Ok(item(staged, &placed, files.now()))
}

fn item<D>(staged: &Staged<'_, D>, placed: &Stat, now: i64) -> Item {
    let Staged { load, reading, .. } = staged;
    let hash: Hash = reading.hash;
    let here_and_there = |proof: Proof| match load.way {
        Way::Up => (reading.proof, proof),
        Way::Down => (proof, reading.proof),
    };
    let (local, remote) = here_and_there(Proof {
        stamp: Stamp::from(placed),
        at: now,
    });
    Item {
        name: load.key.name.clone(),
        agreed: Agreed {
            local: hash,
            remote: hash,
        },
        local: Some(local),
        // As it is here: the device's disk may show no modes, or take no set-group-ID from a storage.
        mode: match load.way {
            Way::Up => reading.stat.mode,
            Way::Down => placed.mode,
        },
        remote: Some(remote),
        // The copy was written, and not yet read back. What was downloaded was read from the
        // storage just now, but perhaps from a cache.
        verified: None,
        here_before: load.item.as_ref().is_some_and(|i| i.here_before),
        gone: false,
        held: false,
        burying: false,
    }
}
