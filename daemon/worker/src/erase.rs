//! Forgetting: markers, staging folders, and the folders that Mooring made for the roots.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use mooring_core::collection::Collection;
use mooring_wire::Left;

use crate::account::Account;
use crate::beside;
use crate::durable;
use crate::error::{Error, Result, about_one_file};
use crate::files::Files;
use crate::left;
use crate::place::{self, MARKER, STAGING, os, read_marker};
use crate::staging;
use crate::uploads;

/// Takes Mooring's own names out of every local root and removes the roots that it made, where
/// they are empty. Answers what is left below the roots that were not kept, and in the folder for single
/// files that were.
///
/// Repeating it is harmless: what is gone is gone.
///
/// # Errors
/// When a root cannot be looked at, or a file on its way out still waits in a staging folder.
pub fn erase_roots<F: Files>(account: &Account<F>, keep: &[Collection]) -> Result<Vec<Left>> {
    let mut made = BTreeSet::new();
    for (collection, _) in &account.spec.collections {
        // A sync that died may have left files in the staging folder of one that is kept, too. Where
        // a side is gone or erased already, there is nothing to put back.
        match place::open(account, *collection) {
            Ok(place) => staging::tidy(account, &place)?,
            Err(error) => tracing::debug!(%error, %collection, "not tidied up"),
        }
    }
    for (collection, root) in &account.spec.collections {
        clean_root(account, *collection, root)?;
        made.extend(account.state.roots_made(*collection)?);
    }
    uploads::sweep_own(account)?;
    let mut left = Vec::new();
    for collection in account.leaving(keep)? {
        left.extend(left::list(account, collection)?);
    }
    left.extend(left::kept_here(account)?);
    // Longest first: children before their parents.
    for path in made.iter().rev() {
        remove_if_empty(&account.files, path)?;
    }
    Ok(left)
}

/// Takes Mooring's own names out of a root, if it is the account's.
///
/// # Errors
/// [`Error::Refused`] while a file that is somebody's is in the staging folder; when the root fails.
pub fn clean_root<F: Files>(
    account: &Account<F>,
    collection: Collection,
    path: &Path,
) -> Result<()> {
    let files = &account.files;
    let root = match files.open_root(path) {
        Ok(root) => root,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    let fail = |e| Error::io("clean up", path, e);
    match read_marker(files, &root).map_err(fail)? {
        Some(marker) if marker == account.spec.marker(collection, true) => {}
        Some(_) => return Ok(()),
        // Erased already, or taken away by somebody: an empty staging folder may still be there.
        None => {
            return match files.remove_dir(&root, os(STAGING.as_bytes())) {
                Err(e)
                    if about_one_file(&e).is_none()
                        && e.kind() != io::ErrorKind::DirectoryNotEmpty =>
                {
                    Err(fail(e))
                }
                _ => Ok(()),
            };
        }
    }
    match files.open_dir(&root, Path::new(STAGING)) {
        Ok(staging) => {
            for entry in files.list(&staging).map_err(fail)? {
                // Only what was on its way here, and only by this account, can come again.
                let known = beside::known(account, entry.name.as_encoded_bytes());
                let own_copy = known.is_some_and(|(waits, own)| own && waits.is_copy());
                if !own_copy || !beside::sweep(account, &staging, &entry).map_err(fail)? {
                    return Err(Error::Refused(format!(
                        "a file is still in {}/{STAGING}: it was neither removed nor put back; \
                         try again",
                        path.display()
                    )));
                }
            }
            files
                .remove_dir(&root, os(STAGING.as_bytes()))
                .map_err(fail)?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(fail(e)),
    }
    // The marker last: while it is there, a repetition knows the folder as ours.
    durable::remove_if_there(files, &root, os(MARKER.as_bytes())).map_err(fail)?;
    files.sync_dir(&root).map_err(fail)
}

/// Removes a folder that Mooring made; one with something in it stays.
///
/// # Errors
/// When it cannot be removed although it is empty.
pub fn remove_if_empty<F: Files>(files: &F, path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let removed = files.open_root(parent).and_then(|dir| {
        files.remove_dir(&dir, name)?;
        files.sync_dir(&dir)
    });
    match removed {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        // Something else lives there now: it was listed, or is none of ours.
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(e) => Err(Error::io("remove the folder", path, e)),
    }
}
