//! Carrying files from one side to the other, a batch at a time: copied beside their place,
//! durable, then put in place without ever replacing what nobody expected, then recorded.

use std::ffi::OsString;
use std::io;

use mooring_core::sync::{Agreed, Hash};

use crate::account::Account;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::{Files, Lease, Stat};
use crate::hash::{self, Failed, Reading};
use crate::place::{Place, os, path};
use crate::pool;
use crate::state::{Item, Key, Proof, Stamp};
use crate::trouble::Ledger;

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
    pub replaces: Option<Stamp>,
    /// What the inventory has about it.
    pub item: Option<Item>,
}

/// A copy that waits beside its place.
struct Staged<'a> {
    load: &'a Load,
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
    let known_good = match way {
        Way::Up => place.there.known_good,
        Way::Down => place.here.known_good,
    };
    let (_, waiting) = sides(place, way);
    let numbered: Vec<_> = loads.iter().enumerate().collect();
    let staged = pool::map(account.files.parallelism(), &numbered, |(nr, load)| {
        stage(account, place, load, *nr, !known_good)
    });
    let mut ready = Vec::new();
    let mut fatal = None;
    for (load, staged) in loads.iter().zip(staged) {
        match staged {
            Ok(staged) => ready.push(staged),
            Err(Failed::One(why)) => ledger.pending(place.shown_key(&load.key), why),
            Err(Failed::Stopped) => fatal = Some(Error::Cancelled),
            Err(Failed::All(e)) => fatal = Some(side_error(account, place, way, &load.key, e)),
        }
    }
    if let Some(e) = fatal {
        for staged in &ready {
            // Not yet in place, so nobody misses them; the first error is the one to tell.
            let _ = account.files.unlink(waiting, &staged.name);
        }
        return Err(e);
    }
    if known_good {
        sync_all(account, place, way)?;
    }
    let mut done = Vec::new();
    for staged in ready {
        match install(account, place, &staged, !known_good) {
            Ok(item) => done.push((staged.load.key.clone(), item)),
            Err(Failed::One(why)) => ledger.pending(place.shown_key(&staged.load.key), why),
            Err(Failed::Stopped) => return Err(Error::Cancelled),
            Err(Failed::All(e)) => {
                return Err(side_error(account, place, way, &staged.load.key, e));
            }
        }
    }
    Ok(done)
}

/// Makes the entries of the batches before durable, so that they may be recorded.
///
/// # Errors
/// When the filesystem fails.
pub fn sync_all<F: Files>(account: &Account<F>, place: &Place<F>, way: Way) -> Result<()> {
    let (dir, shown) = match way {
        Way::Up => (&place.remote, &place.remote_path),
        Way::Down => (&place.local, &place.local_path),
    };
    account.files.sync_all(dir).map_err(|e| Error::io("make durable", shown, e))
}

/// The destination's root and the folder beside it where copies wait.
fn sides<F: Files>(place: &Place<F>, way: Way) -> (&F::Dir, &F::Dir) {
    match way {
        Way::Up => (&place.remote, &place.uploads),
        Way::Down => (&place.local, &place.staging),
    }
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

fn stage<'a, F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    load: &'a Load,
    nr: usize,
    sync: bool,
) -> std::result::Result<Staged<'a>, Failed> {
    let files = &account.files;
    let source_root = match load.way {
        Way::Up => &place.local,
        Way::Down => &place.remote,
    };
    let (_, waiting) = sides(place, load.way);
    let source = files.open_dir(source_root, path(&load.key.folder))?;
    // The account's ID keeps two devices that share a storage apart.
    let name = OsString::from(format!("new-{}-{nr}", account.spec.id));
    let from = (&source, os(&load.key.name));
    let (reading, copy) = hash::copy(files, from, (waiting, &name), sync, &account.stop)?;
    Ok(Staged { load, name, reading, copy })
}

fn install<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    staged: &Staged<'_>,
    sync: bool,
) -> std::result::Result<Item, Failed> {
    let files = &account.files;
    let Load { key, way, replaces, .. } = staged.load;
    let (root, waiting) = sides(place, *way);
    let dir = durable::ensure_dir(files, root, path(&key.folder), sync)?;
    let name = os(&key.name);
    let put = match replaces {
        None => files.rename_new(waiting, &staged.name, &dir, name).map_err(Failed::from),
        Some(expected) => replace(account, place, staged, &dir, *expected),
    };
    if let Err(failed) = put {
        // Still beside its place; the reason it could not go there is the one to tell.
        let _ = files.unlink(waiting, &staged.name);
        return Err(failed);
    }
    if sync {
        files.sync_dir(&dir).map_err(Failed::All)?;
        files.sync_dir(waiting).map_err(Failed::All)?;
    }
    let placed = files.stat(&dir, name).map_err(Failed::All)?;
    let same = (placed.ino, placed.size, placed.mtime)
        == (staged.copy.ino, staged.copy.size, staged.copy.mtime);
    if !same {
        return Err(Failed::one("changed on the other side right after it was carried over"));
    }
    Ok(item(staged, &placed, files.now()))
}

/// Swaps the copy in, and looks at what came out: only the expected file may go.
fn replace<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    staged: &Staged<'_>,
    dir: &F::Dir,
    expected: Stamp,
) -> std::result::Result<(), Failed> {
    let files = &account.files;
    let (_, waiting) = sides(place, staged.load.way);
    let name = os(&staged.load.key.name);
    match files.exchange(waiting, &staged.name, dir, name) {
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {
            return replace_in_two_steps(account, place, staged, dir, expected);
        }
        result => result?,
    }
    if is_expected(files, waiting, &staged.name, expected)? {
        return files.unlink(waiting, &staged.name).map_err(Failed::All);
    }
    // Somebody was faster: swap back, and look again at the next sync.
    files.exchange(waiting, &staged.name, dir, name).map_err(Failed::All)?;
    Err(Failed::one("changed on the other side meanwhile"))
}

/// Where there is no exchange: the old file is moved beside first, so a moment without the name
/// is the worst that can be seen.
fn replace_in_two_steps<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    staged: &Staged<'_>,
    dir: &F::Dir,
    expected: Stamp,
) -> std::result::Result<(), Failed> {
    let files = &account.files;
    let (_, waiting) = sides(place, staged.load.way);
    let name = os(&staged.load.key.name);
    let old = crate::staging::out_name(&staged.load.key.path());
    files.rename_new(dir, name, waiting, &old)?;
    if is_expected(files, waiting, &old, expected)? {
        files.rename_new(waiting, &staged.name, dir, name)?;
        return files.unlink(waiting, &old).map_err(Failed::All);
    }
    files.rename_new(waiting, &old, dir, name)?;
    Err(Failed::one("changed on the other side meanwhile"))
}

/// Whether a displaced file is the one that was to be replaced, and nobody writes to it. The
/// change time is no help: the move itself set it.
fn is_expected<F: Files>(
    files: &F,
    dir: &F::Dir,
    name: &std::ffi::OsStr,
    expected: Stamp,
) -> std::result::Result<bool, Failed> {
    let file = files.open(dir, name).map_err(Failed::All)?;
    let stat = files.stat_file(&file).map_err(Failed::All)?;
    let same = (stat.ino, stat.size, stat.mtime) == (expected.ino, expected.size, expected.mtime);
    Ok(same && files.lease(&file).map_err(Failed::All)? != Lease::InUse)
}

fn item(staged: &Staged<'_>, placed: &Stat, now: i64) -> Item {
    let Staged { load, reading, .. } = staged;
    let hash: Hash = reading.hash;
    let here_and_there = |proof: Proof| match load.way {
        Way::Up => (reading.proof, proof),
        Way::Down => (proof, reading.proof),
    };
    let (local, remote) = here_and_there(Proof { stamp: Stamp::from(placed), at: now });
    Item {
        name: load.key.name.clone(),
        agreed: Agreed { local: hash, remote: hash },
        local: Some(local),
        mode: reading.stat.mode,
        remote: Some(remote),
        // The copy was written, and not yet read back. What was downloaded was read from the
        // storage just now, but perhaps from a cache.
        verified: None,
        here_before: load.item.as_ref().is_some_and(|i| i.here_before),
        gone: false,
    }
}
