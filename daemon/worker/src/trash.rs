//! The trash: what a deletion took away, kept for thirty days in the storage's `.mooring/trash`,
//! as `DATE/COLLECTION/PATH`. A file deleted there goes from here only once a copy of it lies in
//! the trash and was read back.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_core::sync::{Hash, conflict_name};

use crate::account::Account;
use crate::conflict::MANY_DIGITS;
use crate::durable;
use crate::error::{Error, FileTrouble, Result};
use crate::files::{Files, Kind};
use crate::hash::{self, Failed, Source};
use crate::leave::locate;
use crate::place::{Place, STORE, open_storage, os, path, under};
use crate::remove::{Fate, take_out};
use crate::staging::{self, date};
use crate::state::{Item, Key, Stamp, join};

/// How long what was deleted is kept, in days.
const DAYS_KEPT: i64 = 30;
/// A day, in nanoseconds.
const DAY: i64 = 86_400_000_000_000;
/// Entries that a list of the trash holds, at most.
pub const MAX_LISTED: usize = 10_000;

fn trash_path() -> PathBuf {
    Path::new(STORE).join("trash")
}

/// A folder in today's trash for the files of a folder of a collection.
fn open_today<F: Files>(account: &Account<F>, storage: &F::Dir, key: &Key) -> io::Result<F::Dir> {
    let files = &account.files;
    let today = trash_path().join(date(files.now()));
    let below = under(today.join(key.collection.folder()), &key.folder);
    durable::ensure_dir(files, storage, &below, true)
}

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
) -> std::result::Result<(), Failed> {
    let files = &account.files;
    let dir = match files.open_dir(&place.remote, path(&key.folder)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
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
    let trash = open_today(account, storage, key)?;
    let buried = free_name(files, &trash, account, key, &item.agreed.remote)?;
    files.rename_new(&dir, name, &trash, os(&buried))?;
    let moved = files.stat(&trash, os(&buried)).map_err(Failed::All)?;
    if (moved.ino, moved.size, moved.mtime) != (before.ino, before.size, before.mtime) {
        staging::restore_one(account, (&trash, os(&buried)), &place.remote, key)
            .map_err(Failed::All)?;
        return Err(Failed::one("changed in the storage, and so it stays there"));
    }
    files.sync_dir(&trash).map_err(Failed::All)?;
    files.sync_dir(&dir).map_err(Failed::All)
}

/// Takes a file that was deleted in the storage off this device, once a copy of it lies in the
/// trash and was read back.
///
/// # Errors
/// [`Failed::One`] when it is in use or changed; it then stays.
pub fn bury_local<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    storage: &F::Dir,
    key: &Key,
    item: &Item,
) -> std::result::Result<(), Failed> {
    let files = &account.files;
    let dir = match files.open_dir(&place.local, path(&key.folder)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    let trash = open_today(account, storage, key)?;
    let name = free_name(files, &trash, account, key, &item.agreed.local)?;
    let copied = hash::copy(
        files,
        (&dir, os(&key.name)),
        (&trash, os(&name)),
        true,
        &account.stop,
    );
    let (reading, _) = copied?;
    let back = hash::hash(
        files,
        &trash,
        os(&name),
        Source::Storage { sync: false },
        &account.stop,
    );
    if reading.hash != item.agreed.local || back?.hash != reading.hash {
        files.unlink(&trash, os(&name)).map_err(Failed::All)?;
        return Err(Failed::one("changed since it was synced, and so it stays"));
    }
    files.sync_dir(&trash).map_err(Failed::All)?;
    let known = Item {
        local: Some(reading.proof),
        ..item.clone()
    };
    match take_out(account, place, key, &known, &dir, |_| Ok(None)).map_err(Failed::All)? {
        Fate::Removed | Fate::RemovedWithoutLease => {
            files.sync_dir(&dir).map_err(Failed::All)?;
            files.sync_dir(&place.staging).map_err(Failed::All)
        }
        Fate::Stays(FileTrouble(why)) => Err(Failed::one(&format!("{why}, and so it stays"))),
    }
}

/// The file's own name, or one with its hash where that was buried today already.
fn free_name<F: Files>(
    files: &F,
    trash: &F::Dir,
    account: &Account<F>,
    key: &Key,
    hash: &Hash,
) -> io::Result<Vec<u8>> {
    match files.stat(trash, os(&key.name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(key.name.clone()),
        result => result.map(drop)?,
    }
    let date = date(files.now());
    let name = conflict_name(&key.name, &account.spec.device, &date, hash, MANY_DIGITS);
    // The same content, buried twice in a day: the newer copy takes the place of the older.
    durable::remove_if_there(files, trash, os(&name))?;
    Ok(name)
}

/// Something in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buried {
    /// The day it was deleted, `YYYY-MM-DD` in UTC.
    pub date: String,
    /// Where it was.
    pub key: Key,
}

/// What the trash holds of this account's collections, newest day first, at most [`MAX_LISTED`].
///
/// # Errors
/// When the storage is gone.
pub fn list<F: Files>(account: &Account<F>) -> Result<Vec<Buried>> {
    let storage = open_storage(account)?;
    let mut all = Vec::new();
    for day in days(account, &storage)?.into_iter().rev() {
        for (collection, _) in &account.spec.collections {
            let below = trash_path().join(&day).join(collection.folder());
            let root = match account.files.open_dir(&storage, &below) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                result => result.map_err(|e| fail(account, &below, e))?,
            };
            list_below(account, &root, &day, *collection, &mut all)
                .map_err(|e| fail(account, &below, e))?;
            if all.len() >= MAX_LISTED {
                return Ok(all);
            }
        }
    }
    Ok(all)
}

fn list_below<F: Files>(
    account: &Account<F>,
    root: &F::Dir,
    day: &str,
    collection: Collection,
    all: &mut Vec<Buried>,
) -> io::Result<()> {
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let dir = account.files.open_dir(root, path(&folder))?;
        for entry in account.files.list(&dir)? {
            let name = entry.name.as_bytes().to_vec();
            match entry.stat.kind {
                Kind::Dir => folders.push(join(&folder, &name)),
                Kind::File if all.len() < MAX_LISTED => {
                    let key = Key {
                        collection,
                        folder: folder.clone(),
                        name,
                    };
                    all.push(Buried {
                        date: day.to_owned(),
                        key,
                    });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// [`list`] as absolute local paths with their days.
///
/// # Errors
/// When the storage is gone.
pub fn listed<F: Files>(account: &Account<F>) -> Result<Vec<(Vec<u8>, String)>> {
    let shown = |Buried { date, key }: Buried| {
        let root = account.spec.root(key.collection)?;
        Ok((join(root.as_os_str().as_bytes(), &key.path()), date))
    };
    list(account)?.into_iter().map(shown).collect()
}

/// [`undelete`] by an absolute local path. Answers the one under which it will be back.
///
/// # Errors
/// As [`undelete`].
pub fn undelete_path<F: Files>(account: &Account<F>, file: &[u8]) -> Result<Vec<u8>> {
    let key = locate(account, file)?;
    let below = undelete(account, &key)?;
    let root = account.spec.root(key.collection)?;
    Ok(join(root.as_os_str().as_bytes(), &below))
}

/// Brings a file of the trash back into the storage's collection, from where the next sync brings
/// it here. Answers the path it has there now, below the collection.
///
/// # Errors
/// [`Error::Refused`] when the trash has no such file.
pub fn undelete<F: Files>(account: &Account<F>, key: &Key) -> Result<Vec<u8>> {
    let storage = open_storage(account)?;
    let place = crate::place::open(account, key.collection)?;
    let files = &account.files;
    for day in days(account, &storage)?.into_iter().rev() {
        let day = trash_path().join(&day).join(key.collection.folder());
        let below = under(day, &key.folder);
        let dir = match files.open_dir(&storage, &below) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            result => result.map_err(|e| fail(account, &below, e))?,
        };
        match files.stat(&dir, os(&key.name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            result => result.map(drop).map_err(|e| fail(account, &below, e))?,
        }
        return bring_back(account, &place.remote, &dir, key).map_err(|e| fail(account, &below, e));
    }
    Err(Error::Refused(format!(
        "the trash has no {}: `mooringctl undelete` lists what it has",
        readable(&key.path())
    )))
}

fn bring_back<F: Files>(
    account: &Account<F>,
    remote: &F::Dir,
    trash: &F::Dir,
    key: &Key,
) -> io::Result<Vec<u8>> {
    let files = &account.files;
    let to = durable::ensure_dir(files, remote, path(&key.folder), true)?;
    let mut name = key.name.clone();
    match files.rename_new(trash, os(&key.name), &to, os(&name)) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let hash = match hash::hash(files, trash, os(&key.name), Source::Staged, &account.stop)
            {
                Ok(reading) => reading.hash,
                Err(Failed::All(e)) => return Err(e),
                Err(Failed::One(why)) => return Err(io::Error::other(why.0)),
                Err(Failed::Stopped) => return Err(io::Error::other("stopped as asked")),
            };
            let today = date(files.now());
            name = conflict_name(&key.name, &account.spec.device, &today, &hash, MANY_DIGITS);
            files.rename_new(trash, os(&key.name), &to, os(&name))?;
        }
        result => result?,
    }
    files.sync_dir(&to)?;
    files.sync_dir(trash)?;
    Ok(join(&key.folder, &name))
}

/// The days that the trash has, oldest first.
fn days<F: Files>(account: &Account<F>, storage: &F::Dir) -> Result<Vec<String>> {
    let trash = match account.files.open_dir(storage, &trash_path()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(|e| fail(account, &trash_path(), e))?,
    };
    let listed = account.files.list(&trash);
    let mut days: Vec<_> = listed
        .map_err(|e| fail(account, &trash_path(), e))?
        .into_iter()
        .filter(|entry| entry.stat.kind == Kind::Dir)
        .filter_map(|entry| entry.name.into_string().ok())
        .filter(|name| is_day(name))
        .collect();
    days.sort_unstable();
    Ok(days)
}

fn is_day(name: &str) -> bool {
    let bytes = name.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    bytes.len() == 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && digits(0..4)
        && digits(5..7)
        && digits(8..10)
}

/// Empties what has lain in the trash for more than thirty days, by this device's clock.
///
/// # Errors
/// When the storage fails.
pub fn expire<F: Files>(account: &Account<F>) -> Result<()> {
    let storage = open_storage(account)?;
    let days = days(account, &storage)?;
    let last = date(account.files.now().saturating_sub(DAYS_KEPT * DAY));
    for day in days.iter().filter(|day| **day < last) {
        let below = trash_path().join(day);
        empty(account, &storage, &below).map_err(|e| fail(account, &below, e))?;
    }
    Ok(())
}

/// Removes a folder of the trash with all that is in it, deepest first.
fn empty<F: Files>(account: &Account<F>, storage: &F::Dir, below: &Path) -> io::Result<()> {
    let files = &account.files;
    let mut found = vec![below.to_owned()];
    let mut next = 0;
    while let Some(folder) = found.get(next).cloned() {
        next += 1;
        let dir = files.open_dir(storage, &folder)?;
        for entry in files.list(&dir)? {
            match entry.stat.kind {
                Kind::Dir => found.push(folder.join(&entry.name)),
                _ => files.unlink(&dir, &entry.name)?,
            }
        }
    }
    for folder in found.iter().rev() {
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
            continue;
        };
        let dir = files.open_dir(storage, parent)?;
        files.remove_dir(&dir, OsStr::new(name))?;
    }
    Ok(())
}

fn fail<F: Files>(account: &Account<F>, below: &Path, e: io::Error) -> Error {
    Error::io("use the trash", &account.spec.storage.join(below), e)
}
