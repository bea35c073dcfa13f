//! The conflict copies that wait for a person: files of which two versions were kept. Looks, and
//! changes nothing.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::sync::{ConflictName, conflict_parts};
use mooring_wire::ConflictCopy;

use crate::account::Account;
use crate::error::{Error, Result, about_one_file};
use crate::files::{Entry, Files, Kind, seconds};
use crate::place::{STORE, is_own, open_storage, os, path};
use crate::state::join;

/// Conflict copies that a list holds, at most.
pub const MAX_LISTED: usize = 10_000;

/// The conflict copies in the account's folders, and those of contacts, which the storage keeps,
/// ordered by path; at most [`MAX_LISTED`].
///
/// # Errors
/// When a folder of the account is gone or a disk fails. A storage that is gone is passed over.
pub fn list<F: Files>(account: &Account<F>) -> Result<Vec<ConflictCopy>> {
    let storage = open_storage(account).ok();
    let mut found = Vec::new();
    for (collection, local_path) in &account.spec.collections {
        let fail = |e| Error::io("look at", local_path, e);
        let local = account.files.open_root(local_path).map_err(fail)?;
        let here = Place {
            root: &local,
            shown: local_path,
        };
        below(account, &here, &here, &mut found).map_err(fail)?;
        let kept = Path::new(STORE).join("conflicts").join(collection.folder());
        let Some(storage) = &storage else { continue };
        let shown = account.spec.storage.join(&kept);
        let fail = |e| Error::io("look at", &shown, e);
        match account.files.open_dir(storage, &kept) {
            Ok(root) => {
                let there = Place {
                    root: &root,
                    shown: &shown,
                };
                below(account, &there, &here, &mut found).map_err(fail)?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(fail(e)),
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A root, open, and its path.
struct Place<'a, F: Files> {
    root: &'a F::Dir,
    shown: &'a PathBuf,
}

/// Looks through every folder of one root. What a copy is of lies in `originals`.
fn below<F: Files>(
    account: &Account<F>,
    copies: &Place<'_, F>,
    originals: &Place<'_, F>,
    found: &mut Vec<ConflictCopy>,
) -> io::Result<()> {
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let listed = account
            .files
            .open_dir(copies.root, path(&folder))
            .and_then(|dir| account.files.list(&dir));
        let entries = match listed {
            Ok(entries) => entries,
            // A sync tells which folders cannot be looked into.
            Err(e) if about_one_file(&e).is_some() && !folder.is_empty() => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let name = entry.name.as_bytes();
            match entry.stat.kind {
                Kind::Dir if !is_own(&folder, name) => folders.push(join(&folder, name)),
                Kind::File => {
                    let Some(parts) = conflict_parts(name) else {
                        continue;
                    };
                    if found.len() >= MAX_LISTED {
                        return Ok(());
                    }
                    let copy = join(&folder, name);
                    found.push(ConflictCopy {
                        path: join(copies.shown.as_os_str().as_bytes(), &copy),
                        ..described(account, originals, &folder, &entry, parts)
                    });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn described<F: Files>(
    account: &Account<F>,
    originals: &Place<'_, F>,
    folder: &[u8],
    entry: &Entry,
    parts: ConflictName,
) -> ConflictCopy {
    let files = &account.files;
    // A long name was cut, and a person may have moved it: then there is none to compare with.
    let original = files
        .open_dir(originals.root, path(folder))
        .and_then(|dir| files.stat(&dir, os(&parts.original)))
        .ok()
        .filter(|stat| stat.kind == Kind::File);
    let below = join(folder, &parts.original);
    let shown = join(originals.shown.as_os_str().as_bytes(), &below);
    ConflictCopy {
        path: Vec::new(),
        original: original.map(|_| shown).unwrap_or_default(),
        device: parts.device,
        date: parts.date,
        size: entry.stat.size,
        original_size: original.map_or(0, |stat| stat.size),
        modified: seconds(entry.stat.mtime),
        original_modified: original.map_or(0, |stat| seconds(stat.mtime)),
    }
}
