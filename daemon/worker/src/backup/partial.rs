//! Backups that do not count yet: their names, and taking them away.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::account::Account;
use crate::files::{Files, Kind};
use crate::place::{os, path};
use crate::state::{join, split};

/// What the names of this account's unfinished backups begin with. Only the holder of the
/// account's lock writes them.
pub(super) fn partial_prefix<F: Files>(account: &Account<F>) -> String {
    format!(".partial-{}-", account.spec.id)
}

pub(super) fn remove_partials<F: Files>(account: &Account<F>, target: &F::Dir) -> io::Result<()> {
    let prefix = partial_prefix(account);
    for entry in account.files.list(target)? {
        let ours = entry.name.as_bytes().starts_with(prefix.as_bytes());
        if ours && entry.stat.kind == Kind::Dir {
            remove_tree(&account.files, target, &entry.name)?;
        }
    }
    Ok(())
}

/// Removes a folder and everything below it.
fn remove_tree<F: Files>(files: &F, at: &F::Dir, name: &OsStr) -> io::Result<()> {
    let top = files.open_dir(at, Path::new(name))?;
    let mut folders = vec![Vec::new()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let dir = files.open_dir(&top, path(&folder))?;
        for entry in files.list(&dir)? {
            if entry.stat.kind == Kind::Dir {
                folders.push(join(&folder, entry.name.as_bytes()));
            } else {
                files.unlink(&dir, &entry.name)?;
            }
        }
    }
    for folder in folders.iter().skip(1).rev() {
        let (parent, name) = split(folder);
        files.remove_dir(&files.open_dir(&top, path(parent))?, os(name))?;
    }
    files.remove_dir(at, name)
}
