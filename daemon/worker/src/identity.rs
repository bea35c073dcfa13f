//! Replacing the identity record of a storage: compare and swap.
//!
//! Several devices share the storage, so the record is replaced only if it still is the one that
//! the caller decided upon. Whenever the power goes, the storage holds the old record or the new
//! one, whole.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_core::receipt::readable;

use crate::durable::{self, NEW};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::place::STORE;
use crate::storage::{IDENTITY, MAX_IDENTITY};

/// Hexadecimal digits that tell the temporary names of two changes apart.
const NAME_DIGITS: usize = 16;

/// Puts `record` in the place of `expected`, durably. That it is there already is success.
///
/// # Errors
/// [`Error::StorageGone`] when there is no storage; [`Error::Refused`] when the record is not the
/// expected one (any more), and then nothing was changed.
pub fn replace_identity<F: Files>(
    files: &F,
    storage: &Path,
    expected: &str,
    record: &str,
) -> Result<()> {
    let shown = readable(storage.as_os_str().as_bytes());
    let gone = |e: io::Error| {
        Error::StorageGone(format!(
            "the storage {shown} cannot be opened ({e}): mount or plug it in and try again"
        ))
    };
    let changed = || {
        Error::Refused(format!(
            "the identity in the storage {shown} was changed meanwhile: start again"
        ))
    };
    let fail = |e| Error::io("replace the identity in", storage, e);
    if record.len() as u64 > MAX_IDENTITY {
        return Err(Error::Refused("this is no identity record".to_owned()));
    }
    let root = files.open_root(storage).map_err(gone)?;
    let store = files.open_dir(&root, Path::new(STORE)).map_err(gone)?;
    let there = || durable::read(files, &store, IDENTITY, MAX_IDENTITY);
    let now = there().map_err(fail)?;
    if now.as_deref() != Some(record.as_bytes()) {
        if now.as_deref() != Some(expected.as_bytes()) {
            return Err(changed());
        }
        let new = temporary_name(record);
        if let Err(e) = write(files, &store, &new, record) {
            // The error is what to tell; the next change takes a leftover away.
            let _ = durable::remove_if_there(files, &store, OsStr::new(&new));
            return Err(fail(e));
        }
        if !swap(files, &store, &new, expected.as_bytes()).map_err(fail)? {
            return Err(changed());
        }
    }
    // A predecessor may have died between the swap and this.
    files.sync_dir(&store).map_err(fail)?;
    // Where entries cannot be swapped, another device may have been just as fast.
    if there().map_err(fail)?.as_deref() != Some(record.as_bytes()) {
        return Err(changed());
    }
    tidy(files, &store).map_err(fail)
}

/// Each change has a name of its own: two devices must not write into one file.
fn temporary_name(record: &str) -> String {
    let hash = blake3::hash(record.as_bytes()).to_hex();
    format!("{NEW}{IDENTITY}-{}", &hash[..NAME_DIGITS])
}

fn write<F: Files>(files: &F, store: &F::Dir, name: &str, record: &str) -> io::Result<()> {
    durable::remove_if_there(files, store, OsStr::new(name))?;
    let mut file = files.create(store, OsStr::new(name))?;
    file.write_all(record.as_bytes())?;
    file.flush()?;
    files.sync_file(&file)?;
    files.sync_dir(store)
}

/// Whether the swap was made: not when what it displaced was not `expected`, and then what was
/// displaced is back.
fn swap<F: Files>(files: &F, store: &F::Dir, new: &str, expected: &[u8]) -> io::Result<bool> {
    let (new_name, identity) = (OsStr::new(new), OsStr::new(IDENTITY));
    let is_expected = |name: &str| -> io::Result<bool> {
        Ok(durable::read(files, store, name, MAX_IDENTITY)?.as_deref() == Some(expected))
    };
    match files.exchange(store, new_name, store, identity) {
        Ok(()) if is_expected(new)? => Ok(true),
        Ok(()) => {
            files.exchange(store, new_name, store, identity)?;
            files.sync_dir(store)?;
            files.unlink(store, new_name)?;
            Ok(false)
        }
        // One look just before is all that there is; the caller looks again afterwards.
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {
            if is_expected(IDENTITY)? {
                files.rename_over(store, new_name, identity)?;
                return Ok(true);
            }
            files.unlink(store, new_name)?;
            Ok(false)
        }
        Err(e) => Err(e),
    }
}

/// Takes away what this change displaced, and what changes that died left. A change that another
/// device is making right now expects a record that is no longer there: it fails either way.
fn tidy<F: Files>(files: &F, store: &F::Dir) -> io::Result<()> {
    let prefix = format!("{NEW}{IDENTITY}-");
    for entry in files.list(store)? {
        if entry.name.as_bytes().starts_with(prefix.as_bytes()) {
            durable::remove_if_there(files, store, &entry.name)?;
        }
    }
    files.sync_dir(store)
}
