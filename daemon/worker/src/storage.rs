//! What a storage holds besides collections: its identity record, and receipts.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::{Receipt, readable};
use mooring_wire::Inspected;

use crate::apart::check_roots;
use crate::base;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::left;
use crate::place::{STORE, read_marker};

/// The identity record's name, in the storage's `.mooring`.
pub(crate) const IDENTITY: &str = "identity.toml";
/// The longest identity record, in bytes.
pub(crate) const MAX_IDENTITY: u64 = 16 * 1024;
/// A disk with less free space than this (bytes) is worth a word.
const LITTLE: u64 = 1024 * 1024 * 1024;

/// Looks at a storage and at local roots; changes nothing.
///
/// # Errors
/// [`Error::StorageGone`] when there is no folder; [`Error::Refused`] for roots that must not be.
pub fn inspect<F: Files>(
    files: &F,
    storage: &Path,
    roots: &[(Collection, PathBuf)],
) -> Result<Inspected> {
    let shown = readable(storage.as_os_str().as_bytes());
    let root = files.open_root(storage).map_err(|e| {
        Error::StorageGone(format!(
            "the storage {shown} cannot be opened ({e}): is it mounted?"
        ))
    })?;
    check_roots(files, storage, roots)?;
    let mut found = Inspected {
        record: read_identity(files, &root, storage)?,
        ..Default::default()
    };
    let there = files
        .abilities(&root)
        .map_err(|e| Error::io("look at", storage, e))?;
    if there.free < LITTLE {
        found
            .warnings
            .push(format!("The storage {shown} has little space left."));
    }
    if there.remote {
        found.warnings.push(format!(
            "The storage {shown} is on another machine ({}): changes by other devices are seen at \
             the next sync.",
            there.filesystem
        ));
    }
    let disk = files
        .stat_dir(&root)
        .map_err(|e| Error::io("look at", storage, e))?
        .dev;
    let mut same_disk = false;
    for (collection, path) in roots {
        match files.open_root(path) {
            Ok(dir) => {
                let look = |e| Error::io("look at", path, e);
                same_disk |= files.stat_dir(&dir).map_err(look)?.dev == disk;
                if !left::is_empty(files, &dir).map_err(look)? {
                    found.not_empty.push(collection.to_string());
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                same_disk |= disk_of_nearest(files, path)? == Some(disk);
            }
            Err(e) => return Err(Error::io("look at", path, e)),
        }
    }
    if same_disk {
        found.warnings.push(format!(
            "The storage {shown} is on the same disk as your folders: its copies do not survive \
             that disk."
        ));
    }
    Ok(found)
}

/// Whether a storage folder lies on a filesystem of the network, or one that may do so.
///
/// # Errors
/// [`Error::StorageGone`] when it cannot be looked at.
pub fn is_remote<F: Files>(files: &F, storage: &Path) -> Result<bool> {
    let looked = files
        .open_root(storage)
        .and_then(|root| files.abilities(&root));
    let abilities = looked.map_err(|error| {
        let shown = readable(storage.as_os_str().as_bytes());
        Error::StorageGone(format!(
            "the storage at {shown} cannot be looked at ({error})"
        ))
    })?;
    Ok(abilities.remote)
}

fn disk_of_nearest<F: Files>(files: &F, path: &Path) -> Result<Option<u64>> {
    for ancestor in path.ancestors() {
        match files
            .open_root(ancestor)
            .and_then(|dir| files.stat_dir(&dir))
        {
            Ok(stat) => return Ok(Some(stat.dev)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("look at", ancestor, e)),
        }
    }
    Ok(None)
}

fn read_identity<F: Files>(files: &F, root: &F::Dir, storage: &Path) -> Result<String> {
    let shown = storage.join(STORE).join(IDENTITY);
    let fail = |e| Error::io("read the identity", &shown, e);
    let store = match files.open_dir(root, Path::new(STORE)) {
        Ok(store) => store,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(e) => return Err(fail(e)),
    };
    let Some(bytes) = durable::read(files, &store, IDENTITY, MAX_IDENTITY).map_err(fail)? else {
        return Ok(String::new());
    };
    String::from_utf8(bytes)
        .map_err(|e| fail(io::Error::new(io::ErrorKind::InvalidData, e.utf8_error())))
}

/// Writes the identity record of a storage that has none.
///
/// # Errors
/// [`Error::Refused`] when there is one.
pub fn create_identity<F: Files>(files: &F, storage: &Path, record: &str) -> Result<()> {
    let fail = |e| Error::io("write the identity in", storage, e);
    let root = files.open_root(storage).map_err(fail)?;
    let store = durable::ensure_dir(files, &root, Path::new(STORE), true).map_err(fail)?;
    files.sync_dir(&root).map_err(fail)?;
    match durable::create(files, &store, IDENTITY, record.as_bytes()) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(Error::Refused(format!(
            "the storage {} got an identity meanwhile: sign in again",
            readable(storage.as_os_str().as_bytes())
        ))),
        result => result.map_err(fail),
    }
}

/// Stores a receipt's text, durably.
///
/// # Errors
/// When the storage is gone or full, or the name cannot be a receipt's.
pub fn store_receipt<F: Files>(files: &F, storage: &Path, id: &str, text: &str) -> Result<()> {
    if !base::is_receipt_id(id) || text.len() as u64 > base::MAX_RECEIPT {
        return Err(Error::Refused(format!(
            "{id:?} is no receipt that can be stored"
        )));
    }
    let gone = |e: io::Error| {
        Error::StorageGone(format!(
            "the receipt cannot be stored in {} ({e}): mount or plug it in and try again",
            readable(storage.as_os_str().as_bytes())
        ))
    };
    let root = files.open_root(storage).map_err(gone)?;
    // Only into a storage that is there: an empty mount point must not become one.
    files.open_dir(&root, Path::new(STORE)).map_err(gone)?;
    if !is_storage_of(files, &root, text).map_err(gone)? {
        return Err(Error::StorageGone(format!(
            "the receipt cannot be stored in {}: another storage is there; mount or plug in the \
             right one and try again",
            readable(storage.as_os_str().as_bytes())
        )));
    }
    let fail = |e| Error::io("store the receipt in", storage, e);
    let dir = base::receipts_in(files, &root).map_err(fail)?;
    let name = format!("{id}.toml");
    durable::replace(files, &dir, &name, |file| {
        io::Write::write_all(file, text.as_bytes())
    })
    .map_err(fail)?;
    Ok(())
}

/// Whether a storage is the one that a receipt is about: a collection's marker in it says so, and
/// none says otherwise.
fn is_storage_of<F: Files>(files: &F, root: &F::Dir, text: &str) -> io::Result<bool> {
    let receipt = Receipt::from_toml(text)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.to_string()))?;
    let mut known = false;
    for entry in &receipt.collections {
        let Ok(collection) = entry.name.parse::<Collection>() else {
            continue;
        };
        let dir = match files.open_dir(root, Path::new(collection.folder())) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            result => result?,
        };
        match read_marker(files, &dir)? {
            Some(marker) if marker.storage_id == receipt.storage.id => known = true,
            Some(_) => return Ok(false),
            None => {}
        }
    }
    Ok(known)
}
