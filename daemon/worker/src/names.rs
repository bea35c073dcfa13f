//! Storages that keep another name than was written: case folded (vfat, exFAT), composed otherwise
//! (HFS+), without dots and spaces at the end. There two names of this device can be one, so what
//! was put there under a rewritten name is taken back: it is told, and never merged.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io;

use crate::account::Account;
use crate::carry::Way;
use crate::error::{Error, FileTrouble, Result};
use crate::files::Files;
use crate::place::{Place, os, path};
use crate::state::{Item, Key, split};
use crate::trouble::Ledger;

/// Why a name waits.
pub const REWRITTEN: &str =
    "the storage writes the name otherwise or takes it for another one: rename it here";

/// Whether a folder lists the last name of a path exactly so. The root always does.
///
/// # Errors
/// When the folder above cannot be listed.
pub fn is_listed<F: Files>(files: &F, root: &F::Dir, below: &[u8]) -> io::Result<bool> {
    if below.is_empty() {
        return Ok(true);
    }
    let (parent, name) = split(below);
    let dir = files.open_dir(root, path(parent))?;
    let listed = files.list(&dir)?;
    Ok(listed.iter().any(|entry| entry.name == os(name)))
}

/// Takes back what was just uploaded and got another name, or lies in a folder that did. Only
/// where filesystems are not known to keep names as they are.
///
/// # Errors
/// When the storage fails.
pub fn take_back_rewritten<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    way: Way,
    done: Vec<(Key, Item)>,
    ledger: &mut Ledger,
) -> Result<Vec<(Key, Item)>> {
    if way == Way::Down || place.there.known_good {
        return Ok(done);
    }
    let fail = |e| Error::io("list", &place.remote_path, e);
    let mut storage = Kept::default();
    let mut exact = Vec::new();
    for (key, item) in done {
        if storage
            .has(&account.files, &place.remote, &key)
            .map_err(fail)?
        {
            exact.push((key, item));
            continue;
        }
        take_back(account, place, &key, &item).map_err(fail)?;
        ledger.pending(place.shown_key(&key), FileTrouble(REWRITTEN.to_owned()));
    }
    Ok(exact)
}

/// The names that a storage kept, folder by folder, as they were when first asked for.
#[derive(Default)]
pub struct Kept(BTreeMap<Vec<u8>, Option<HashSet<OsString>>>);

impl Kept {
    /// Whether the storage lists this very name, in a folder of this very name.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn has<F: Files>(&mut self, files: &F, remote: &F::Dir, key: &Key) -> io::Result<bool> {
        if !self.0.contains_key(&key.folder) {
            let names = names_in(files, remote, &key.folder)?;
            self.0.insert(key.folder.clone(), names);
        }
        let names = self.0.get(&key.folder).and_then(Option::as_ref);
        Ok(names.is_some_and(|names| names.contains(os(&key.name))))
    }
}

/// The names in a folder; `None` when the folder itself has another name.
fn names_in<F: Files>(
    files: &F,
    root: &F::Dir,
    folder: &[u8],
) -> io::Result<Option<HashSet<OsString>>> {
    let mut below = folder;
    while !below.is_empty() {
        if !is_listed(files, root, below)? {
            return Ok(None);
        }
        below = split(below).0;
    }
    let dir = files.open_dir(root, path(folder))?;
    let names = files.list(&dir)?.into_iter().map(|entry| entry.name);
    Ok(Some(names.collect()))
}

/// Removes a copy that was put there just now; the file here is untouched.
fn take_back<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
    item: &Item,
) -> io::Result<()> {
    let files = &account.files;
    let dir = files.open_dir(&place.remote, path(&key.folder))?;
    let there = files.stat(&dir, os(&key.name))?;
    // By whatever name: only the copy itself.
    let ours = item
        .remote
        .is_some_and(|put| (put.stamp.ino, put.stamp.size) == (there.ino, there.size));
    if ours {
        files.unlink(&dir, os(&key.name))?;
        files.sync_dir(&dir)?;
    }
    Ok(())
}
