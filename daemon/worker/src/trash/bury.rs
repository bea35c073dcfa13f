//! Putting files into the trash. What is there is never replaced and never removed: a name that
//! is taken leads to another one. A copy gets its name once it is whole, durable and read back. What
//! bytes a name stands for is noted first (`sums.rs`).

use std::io;

use mooring_core::sync::{Hash, conflict_name};

use super::{Today, open_today, sums};
use crate::account::Account;
use crate::beside::{self, Waits};
use crate::carry::Way;
use crate::conflict::{DIGITS, MANY_DIGITS};
use crate::durable;
use crate::error::FileTrouble;
use crate::files::{Files, Kind, Lease};
use crate::hash::{self, Failed, Source};
use crate::place::{Place, os, path};
use crate::remove::{Fate, IN_USE, take_out};
use crate::staging::{self, date};
use crate::state::{Item, Key, Stamp};

/// Names that are tried for one file, at most: so often may one name be buried on one day.
const TRIES: u32 = 10_000;
/// Under how many of them the copy of an earlier try is looked for.
const FIRST_NAMES: usize = 2;

/// Why a file is put into the trash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It was deleted on the other side.
    Deleted,
    /// Another version takes its place.
    Replaced,
}
use Why::{Deleted, Replaced};

/// Why a file stays when none of them is free.
const FULL: &str = "the trash has no room for another file of this name today, and so it stays";

/// Moves the storage's copy of a file into the trash.
///
/// # Errors
/// [`Failed::One`] when it is not the file that was agreed on any more; it then stays.
pub fn bury_remote<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    storage: &F::Dir,
    key: &Key,
    item: &Item,
) -> Result<(), Failed> {
    let files = &account.files;
    let Some(dir) = durable::open_if_there(files, &place.remote, path(&key.folder))? else {
        return Ok(());
    };
    let name = os(&key.name);
    let before = match files.stat(&dir, name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    let known = item.remote.is_some_and(|p| p.stamp == Stamp::from(&before));
    if before.kind != Kind::File || !known {
        return Err(Failed::one("changed in the storage, and so it stays there"));
    }
    let today = open_today(account, storage, key).map_err(wait_for_room)?;
    let trash = &today.folder;
    let buried = first_free(
        account,
        place,
        &today,
        (key, Deleted),
        &item.agreed.remote,
        |to| files.rename_new(&dir, name, trash, os(to)),
    )?;
    let moved = files.stat(trash, os(&buried.name)).map_err(Failed::All)?;
    if (moved.ino, moved.size, moved.mtime) != (before.ino, before.size, before.mtime) {
        staging::restore_one(account, (trash, os(&buried.name)), &place.remote, key)
            .map_err(Failed::All)?;
        sums::forget(files, &today.sums, &buried);
        return Err(Failed::one("changed in the storage, and so it stays there"));
    }
    files.sync_dir(trash).map_err(Failed::All)?;
    files.sync_dir(&dir).map_err(Failed::All)
}

/// Copies what lies where a way leads to, which has these bytes and is about to be replaced, into
/// the trash. There it has a conflict copy's name: its own would say that it was deleted.
///
/// # Errors
/// [`Failed::One`] when its bytes are others by now, or there is no room for a copy.
pub fn bury_copy<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    (storage, way): (&F::Dir, Way),
    key: &Key,
    hash: &Hash,
) -> Result<(), Failed> {
    let root = place.end(way).root;
    let dir = account.files.open_dir(root, path(&key.folder))?;
    let today = open_today(account, storage, key).map_err(wait_for_room)?;
    copy_into(account, place, (&dir, &today), (key, Replaced), hash).map(drop)
}

/// Takes a file that was deleted in the storage off this device, once a copy of it lies in the
/// trash and was read back.
///
/// # Errors
/// [`Failed::One`] when it is in use or changed, or there is no room for a copy; it then stays.
pub fn bury_local<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    storage: &F::Dir,
    key: &Key,
    item: &Item,
) -> Result<(), Failed> {
    let files = &account.files;
    let Some(dir) = durable::open_if_there(files, &place.local, path(&key.folder))? else {
        return Ok(());
    };
    // Before a copy is made for nothing, and at each sync anew.
    match files.open(&dir, os(&key.name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => {
            let file = file?;
            if files.lease(&file)? == Lease::InUse {
                return Err(Failed::one(&format!("{IN_USE}, and so it stays")));
            }
            files.release(&file);
        }
    }
    let today = open_today(account, storage, key).map_err(wait_for_room)?;
    let reading = copy_into(
        account,
        place,
        (&dir, &today),
        (key, Deleted),
        &item.agreed.local,
    )?;
    let known = Item {
        local: Some(reading.proof),
        mode: reading.stat.mode,
        ..item.clone()
    };
    match take_out(account, place, key, &known, &dir, |_, _| Ok(None)).map_err(Failed::All)? {
        Fate::Removed => {
            files.sync_dir(&dir).map_err(Failed::All)?;
            files.sync_dir(&place.staging).map_err(Failed::All)
        }
        Fate::Stays(FileTrouble(why)) => Err(Failed::one(&format!("{why}, and so it stays"))),
    }
}

/// Copies a file that has these bytes into the trash, durably, and reads the copy back. Answers
/// what was read of the file. One that an earlier try left there counts, once it was read back.
fn copy_into<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    (dir, today): (&F::Dir, &Today<F>),
    (key, why): (&Key, Why),
    hash: &Hash,
) -> Result<hash::Reading, Failed> {
    let files = &account.files;
    let trash = &today.folder;
    let from = (dir, os(&key.name));
    for name in names(account, key, why, hash).take(FIRST_NAMES) {
        let stored = Source::Storage { sync: true };
        let there = Key {
            name,
            ..key.clone()
        };
        if let Ok(copy) = hash::hash(files, trash, os(&there.name), stored, &account.stop)
            && copy.hash == *hash
            && is_noted(account, place, today, &there, hash)?
        {
            files.sync_dir(trash).map_err(Failed::All)?;
            let reading = hash::hash(files, dir, os(&key.name), Source::Cache, &account.stop)?;
            return agreed(reading, hash);
        }
    }
    // Beside the trash until it is whole: what a dead process leaves of it is swept up.
    let waiting = beside::name(account, Waits::New, "trash");
    durable::remove_if_there(files, &place.uploads, &waiting).map_err(Failed::All)?;
    let copied = hash::copy(files, from, (&place.uploads, &waiting), true, &account.stop);
    let (reading, _) = copied.map_err(or_wait)?;
    let stored = Source::Storage { sync: false };
    let back = hash::hash(files, &place.uploads, &waiting, stored, &account.stop);
    let named = agreed(reading, hash)
        .and_then(|_| agreed(back?, hash))
        .and_then(|_| {
            first_free(account, place, today, (key, why), hash, |to| {
                files.rename_new(&place.uploads, &waiting, trash, os(to))
            })
        });
    if let Err(failed) = named {
        // The reason it has no copy is the one to tell; what is left of it is swept up.
        let _ = files.unlink(&place.uploads, &waiting);
        return Err(failed);
    }
    files.sync_dir(trash).map_err(Failed::All)?;
    files.sync_dir(&place.uploads).map_err(Failed::All)?;
    Ok(reading)
}

fn agreed(reading: hash::Reading, hash: &Hash) -> Result<hash::Reading, Failed> {
    if reading.hash == *hash {
        Ok(reading)
    } else {
        Err(Failed::one("changed since it was synced, and so it stays"))
    }
}

/// A storage that is full is no reason to end a sync: the deletion waits.
fn wait_for_room(e: io::Error) -> Failed {
    match is_full(&e) {
        true => Failed::one("the storage has no room to keep it in the trash, and so it stays"),
        false => Failed::from(e),
    }
}

fn or_wait(failed: Failed) -> Failed {
    match failed {
        Failed::All(e) => wait_for_room(e),
        failed => failed,
    }
}

fn is_full(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Notes which bytes are about to lie at a place of today's trash; answers whether they may. Where
/// there is no room even for that, they may, and nobody can check them.
fn is_noted<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    today: &Today<F>,
    key: &Key,
    hash: &Hash,
) -> Result<bool, Failed> {
    match sums::note(account, (&place.uploads, &today.sums), key, hash) {
        Err(e) if is_full(&e) => {
            tracing::warn!("no room to note what goes into the trash: it cannot be checked there");
            Ok(true)
        }
        result => result.map_err(Failed::from),
    }
}

/// Gives a file the first name in today's trash that is free. Answers where it lies.
fn first_free<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    today: &Today<F>,
    (key, why): (&Key, Why),
    hash: &Hash,
    mut give: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Key, Failed> {
    for name in names(account, key, why, hash) {
        let to = Key {
            name,
            ..key.clone()
        };
        // What lies there keeps its own note, or has none.
        match account.files.stat(&today.folder, os(&to.name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            result => {
                result.map_err(Failed::from)?;
                continue;
            }
        }
        if !is_noted(account, place, today, &to, hash)? {
            continue;
        }
        match give(&to.name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|()| to).map_err(wait_for_room),
        }
    }
    Err(Failed::one(FULL))
}

/// The names that a file may get in today's trash: its own if it was deleted, one with its hash, and
/// such with a number.
fn names<F: Files>(
    account: &Account<F>,
    key: &Key,
    why: Why,
    hash: &Hash,
) -> impl Iterator<Item = Vec<u8>> {
    let date = date(account.files.now());
    let device = &account.spec.device;
    let named = move |device: &str, digits| conflict_name(&key.name, device, &date, hash, digits);
    (0..TRIES).map(move |nr| match nr {
        0 if why == Deleted => key.name.clone(),
        0 => named(device, DIGITS),
        1 => named(device, MANY_DIGITS),
        nr => named(&format!("{nr}-{device}"), MANY_DIGITS),
    })
}
