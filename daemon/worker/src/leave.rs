//! The steps of a leaving account before the removal: draining, staying after all, and files that
//! a person wants to keep here.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_core::sync::Phase;
use mooring_wire::DrainReport;

use crate::account::Account;
use crate::across;
use crate::conflict::{name_by_content, rename_on, set_free};
use crate::durable;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::place::{self, Place, is_own, os, path};
use crate::state::{Epoch, Key, split};
use crate::sync;

/// Rounds of uploading before the rest is told: files change while they are uploaded.
const ROUNDS: u64 = 3;

/// Sets the latch and uploads what has no copy.
///
/// # Errors
/// What stops the whole; [`Error::Refused`] before the account was ever brought.
pub fn drain<F: Files>(account: &Account<F>, keep: &[Collection]) -> Result<DrainReport> {
    match account.state.epoch()? {
        Epoch::New => {
            return Err(Error::Refused(
                "the account is still being signed in".to_owned(),
            ));
        }
        Epoch::Active => account.state.set_epoch(Epoch::Leaving)?,
        Epoch::Leaving | Epoch::Removing => {}
    }
    let collections = account.leaving(keep)?;
    let mut report = DrainReport::default();
    for _ in 0..ROUNDS {
        let mut ledger = sync::sync(account, &collections, Phase::Leaving)?;
        report.uploaded += ledger.uploaded;
        report.unsynced_total = ledger.waiting.total + ledger.held_there.total;
        report.unsynced = std::mem::take(&mut ledger.waiting.some);
        report.unsynced.append(&mut ledger.held_there.some);
        report.unsynced.truncate(crate::trouble::NAMED);
        if report.unsynced_total == 0 {
            break;
        }
    }
    Ok(report)
}

/// Takes the latch back: the account stays.
///
/// # Errors
/// [`Error::Refused`] once files may have been removed.
pub fn stay<F: Files>(account: &Account<F>) -> Result<()> {
    match account.state.epoch()? {
        Epoch::Removing => Err(Error::Refused(
            "files have already been removed: the sign-out can only go on".to_owned(),
        )),
        Epoch::Leaving => account.state.set_epoch(Epoch::Active),
        Epoch::New | Epoch::Active => Ok(()),
    }
}

/// Moves files to `~/Kept from IDENTITY/`, out of the account's reach. Answers how many.
///
/// # Errors
/// When a path is in no collection, or a file cannot be moved; those before it are moved.
pub fn keep_here<F: Files>(account: &Account<F>, paths: &[Vec<u8>]) -> Result<u64> {
    let target = account.spec.kept_from();
    account
        .files
        .make_root(&target)
        .map_err(|e| Error::io("make the folder", &target, e))?;
    let root = account
        .files
        .open_root(&target)
        .map_err(|e| Error::io("open", &target, e))?;
    let mut moved = 0;
    for shown in paths {
        if shown.ends_with(b"/") {
            let path = readable(shown);
            tracing::warn!(%path, "a folder that cannot be looked into cannot be moved, and stays");
            continue;
        }
        let key = key_of(account, shown)?;
        let place = place::open(account, key.collection)?;
        let fail = |e| Error::io("keep here", path(shown), e);
        let done = set_free(account, &key, || move_one(account, &place, &key, &root))?;
        if done.map_err(fail)? {
            moved += 1;
        }
    }
    Ok(moved)
}

fn move_one<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
    target: &F::Dir,
) -> io::Result<bool> {
    let files = &account.files;
    let from = match files.open_dir(&place.local, path(&key.folder)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result?,
    };
    let mut below = PathBuf::from(key.collection.folder());
    if !key.folder.is_empty() {
        below.push(path(&key.folder));
    }
    let to = durable::ensure_dir(files, target, &below, true)?;
    match rename_on(files, (&from, os(&key.name)), (&to, os(&key.name))) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            return across::move_across(account, place, key, &from, &to);
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            name_by_content(account, key, (&from, os(&key.name)), &to)?;
        }
        result => result?,
    }
    files.sync_dir(&to)?;
    files.sync_dir(&from)?;
    Ok(true)
}

/// The key of an absolute local path.
///
/// # Errors
/// [`Error::Refused`] when it is in no collection.
pub fn key_of<F: Files>(account: &Account<F>, shown: &[u8]) -> Result<Key> {
    let refused = || {
        Error::Refused(format!(
            "{} is no file of a collection of this account",
            readable(shown)
        ))
    };
    for (collection, root) in &account.spec.collections {
        let Some(below) = shown
            .strip_prefix(root.as_os_str().as_bytes())
            .and_then(|rest| rest.strip_prefix(b"/"))
        else {
            continue;
        };
        let (folder, name) = split(below);
        if name.is_empty() || is_own(folder, name) {
            return Err(refused());
        }
        return Ok(Key {
            collection: *collection,
            folder: folder.to_vec(),
            name: name.to_vec(),
        });
    }
    Err(refused())
}
