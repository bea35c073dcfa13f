//! The folders that a restore writes to: the account's own, or some below a folder that a person
//! named.

use std::io;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;

use crate::account::Account;
use crate::apart;
use crate::backup;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::place::STAGING;

/// A folder that files of one collection go to.
pub(super) struct Target<D> {
    pub(super) collection: Collection,
    pub(super) dir: D,
    pub(super) path: PathBuf,
    /// Where copies wait for their place.
    pub(super) waiting: D,
    pub(super) known_good: bool,
    /// The folder was made for the restore.
    made: bool,
}

/// The account's own folders.
pub(super) fn own<F: Files>(account: &Account<F>) -> Result<Vec<Target<F::Dir>>> {
    let roots = backup::open_roots(account)?;
    roots
        .into_iter()
        .map(|root| {
            let waiting = durable::ensure_dir(&account.files, &root.dir, Path::new(STAGING), true);
            target(
                account,
                (root.collection, false),
                root.dir,
                root.path,
                waiting,
            )
        })
        .collect()
}

/// Folders below one that a person named.
pub(super) fn below<F: Files>(
    account: &Account<F>,
    from: &Path,
    to: &Path,
) -> Result<Vec<Target<F::Dir>>> {
    let dir = backup::open_apart(account, "the folder to restore to", to)?;
    let backup = [("the backup".to_owned(), from)];
    apart::check_apart(&account.files, ("the folder to restore to", to), &backup)?;
    account
        .spec
        .collections
        .iter()
        .map(|(collection, _)| {
            let at = to.join(collection.folder());
            let folder = Path::new(collection.folder());
            let fail = |e| Error::io("make the folder", &at, e);
            let there = durable::open_if_there(&account.files, &dir, folder).map_err(fail)?;
            let made = there.is_none();
            let root = match there {
                Some(root) => root,
                None => durable::ensure_dir(&account.files, &dir, folder, true).map_err(fail)?,
            };
            let waiting = durable::ensure_dir(&account.files, &dir, Path::new(STAGING), true);
            target(account, (*collection, made), root, at, waiting)
        })
        .collect()
}

fn target<F: Files>(
    account: &Account<F>,
    (collection, made): (Collection, bool),
    dir: F::Dir,
    path: PathBuf,
    waiting: io::Result<F::Dir>,
) -> Result<Target<F::Dir>> {
    let waiting = waiting.map_err(|e| Error::io("make the staging folder for", &path, e))?;
    let abilities = account.files.abilities(&dir);
    let known_good = abilities
        .map_err(|e| Error::io("look at", &path, e))?
        .known_good;
    Ok(Target {
        collection,
        dir,
        path,
        waiting,
        known_good,
        made,
    })
}

/// In a folder that is not the account's, the staging folder is not to stay, and neither are folders
/// into which nothing came.
pub(super) fn remove_waiting<F: Files>(
    account: &Account<F>,
    to: &Path,
    targets: &[Target<F::Dir>],
) -> Result<()> {
    let fail = |e| Error::io("tidy up in", to, e);
    let files = &account.files;
    let dir = files.open_root(to).map_err(fail)?;
    let empty = match targets.first() {
        Some(target) => files.list(&target.waiting).map_err(fail)?.is_empty(),
        None => false,
    };
    // What another account's restore has in it is not ours to touch.
    if empty {
        files.remove_dir(&dir, STAGING.as_ref()).map_err(fail)?;
    }
    for target in targets.iter().filter(|target| target.made) {
        let folder = target.collection.folder().as_ref();
        // Where something came into it, it stays.
        let _ = durable::remove_dir_if_empty(files, &dir, folder).map_err(fail)?;
    }
    files.sync_dir(&dir).map_err(fail)
}
