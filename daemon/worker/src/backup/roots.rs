//! The folders that a backup takes from, and the one that a person named for it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;

use crate::account::Account;
use crate::apart;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::place;

/// A local root, opened, with its marker in it.
pub struct Root<D> {
    /// Of this collection.
    pub collection: Collection,
    /// The folder.
    pub dir: D,
    /// Its path.
    pub path: PathBuf,
}

/// Opens the local roots; the storage need not be there.
///
/// # Errors
/// [`Error::HomeGone`] when one is not there, or is somebody else's.
pub fn open_roots<F: Files>(account: &Account<F>) -> Result<Vec<Root<F::Dir>>> {
    let collections = account.spec.collections.iter();
    collections
        .map(|(collection, _)| open_own(account, *collection))
        .collect()
}

/// Opens the local root of a collection; the storage need not be there.
///
/// # Errors
/// [`Error::HomeGone`] when it is not there, or is somebody else's.
pub fn open_own<F: Files>(account: &Account<F>, collection: Collection) -> Result<Root<F::Dir>> {
    let path = account.spec.root(collection)?;
    let gone = |why: String| {
        let shown = readable(path.as_os_str().as_bytes());
        Error::HomeGone(format!("{shown} {why}; nothing was changed"))
    };
    let dir = account.files.open_root(path);
    let dir = dir.map_err(|e| gone(format!("cannot be opened ({e})")))?;
    let marker = place::read_marker(&account.files, &dir)
        .map_err(|e| gone(format!("has a marker that cannot be read ({e})")))?;
    if marker != Some(account.spec.marker(collection, true)) {
        return Err(gone("does not have this account's marker".to_owned()));
    }
    Ok(Root {
        collection,
        dir,
        path: path.to_owned(),
    })
}

/// Opens a folder that a person named, which must have nothing to do with the account's own.
///
/// # Errors
/// [`Error::Refused`] when it is not there, or inside or around a root or the storage.
pub fn open_apart<F: Files>(account: &Account<F>, what: &str, at: &Path) -> Result<F::Dir> {
    let dir = account.files.open_root(at).map_err(|e| {
        Error::Refused(format!(
            "{what}, {}, cannot be opened ({e}): plug in its disk, or make the folder",
            readable(at.as_os_str().as_bytes())
        ))
    })?;
    let mut others = vec![("the storage".to_owned(), account.spec.storage.as_path())];
    for (collection, root) in &account.spec.collections {
        others.push((format!("the folder for {collection}"), root));
    }
    apart::check_apart(&account.files, (what, at), &others)?;
    Ok(dir)
}
