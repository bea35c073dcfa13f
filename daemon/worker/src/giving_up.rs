//! Giving an account up without a sign-out: every file stays, and Mooring's own names go.
//!
//! First what was on its way is put back, and nothing else is touched: an account whose folders cannot be
//! put in order stays as it is. Then the storage is tidied up, where that can be. Only then do the
//! markers go.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use mooring_core::collection::Collection;
use mooring_wire::Left;

use crate::account::Account;
use crate::conflict::rename_on;
use crate::erase::{clean_root, remove_if_empty};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::place::{self, MARKER, STAGING, os, read_marker};
use crate::staging;
use crate::state::Epoch;
use crate::uploads;

/// The name of a folder with what could not be put back, and how many there may be.
const APART: &str = "Not put back by Mooring";
const MAX_APART: u32 = 100;

/// What became of the account before it is given up, as the broker knows.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// A sign-out had removed everything: the markers, and the folders that it made, may be gone.
    pub erasing: bool,
    /// A sign-in had come to its end: each folder had a marker.
    pub brought: bool,
}

/// Puts back what was on its way in the local roots. Nothing is asked of the storage: it may be gone for
/// good, or never answer. Answers what could not be put in order, and where something may be that is not
/// within reach now.
///
/// Repeating it is harmless, and the account can go on as it was.
///
/// # Errors
/// When the state cannot be read, or a root fails as a whole: its disk is full, for example.
pub fn release<F: Files>(account: &Account<F>, before: Before) -> Result<Vec<Left>> {
    let mut left = Vec::new();
    let epoch = account.state.epoch()?;
    for (collection, root) in &account.spec.collections {
        let how = match standing(account, *collection, root)? {
            Standing::Ours => {
                left.extend(staging::bring_back(account, *collection)?);
                continue;
            }
            // It has no names of ours yet.
            _ if epoch == Epoch::New && !before.brought => continue,
            Standing::Gone | Standing::Unmarked if before.erasing => continue,
            Standing::Gone => "not there now",
            Standing::Unmarked => "there is no marker in it now, as if its disk were not mounted",
            Standing::Others => {
                left.push(Left {
                    path: bytes(root),
                    reason: format!(
                        "{MARKER} in it is another account's, or damaged: left as it is, and {STAGING} \
                         too, if it is there"
                    ),
                });
                continue;
            }
        };
        left.push(Left {
            path: bytes(root),
            reason: format!("{how}; if it comes back, {MARKER} and {STAGING} are in it"),
        });
    }
    Ok(left)
}

/// Puts back what waits in the storage for the end of a replacement, and takes away what this account did
/// not finish there. For a storage that may be there still.
///
/// # Errors
/// The first, when it is not there, or fails; the other collections are looked at all the same.
pub fn settle<F: Files>(account: &Account<F>) -> Result<()> {
    let mut settled = Ok(());
    for (collection, _) in &account.spec.collections {
        let tidied =
            place::open(account, *collection).and_then(|place| staging::tidy(account, &place));
        settled = settled.and(tidied);
    }
    settled.and(uploads::sweep_own(account))
}

/// Takes Mooring's own names out of the local roots. Answers what stays.
///
/// Repeating it is harmless: what is gone is gone.
///
/// # Errors
/// When the state cannot be read.
pub fn discard<F: Files>(account: &Account<F>) -> Result<Vec<Left>> {
    let (files, spec) = (&account.files, &account.spec);
    let mut left = Vec::new();
    let mut made = BTreeSet::new();
    for (collection, root) in &spec.collections {
        made.extend(account.state.roots_made(*collection)?);
        let cleaned = match clean_root(account, *collection, root) {
            // Under a name that is seen and synced, so that the next account there can have the folder.
            Err(Error::Refused(_)) => {
                set_apart(files, root).and_then(|()| clean_root(account, *collection, root))
            }
            cleaned => cleaned,
        };
        if let Err(error) = cleaned {
            left.push(Left {
                path: bytes(&root.join(MARKER)),
                reason: format!("it and {STAGING} could not be taken away: {error}"),
            });
        }
        // Also what was set apart before a death.
        left.extend(set_apart_in(files, root));
    }
    for path in made.iter().rev() {
        if let Err(error) = remove_if_empty(files, path) {
            tracing::warn!(%error, "a folder that was made stays");
        }
    }
    Ok(left)
}

/// How a local root stands.
enum Standing {
    Ours,
    /// It is not there.
    Gone,
    /// It is there, without a marker.
    Unmarked,
    /// It has the marker of another account.
    Others,
}

fn standing<F: Files>(
    account: &Account<F>,
    collection: Collection,
    path: &Path,
) -> Result<Standing> {
    let root = match account.files.open_root(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Standing::Gone),
        root => root.map_err(|e| Error::io("open", path, e))?,
    };
    let marker = match read_marker(&account.files, &root) {
        // Whatever it says: it is not this account's.
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(Standing::Others),
        marker => marker.map_err(|e| Error::io("look at", path, e))?,
    };
    Ok(match marker {
        Some(marker) if marker == account.spec.marker(collection, true) => Standing::Ours,
        Some(_) => Standing::Others,
        None => Standing::Unmarked,
    })
}

/// Gives the staging folder of a root a name of its own.
fn set_apart<F: Files>(files: &F, path: &Path) -> Result<()> {
    let fail = |e| Error::io("set apart what is left in", path, e);
    let root = files.open_root(path).map_err(fail)?;
    let staging = os(STAGING.as_bytes());
    for n in 1..=MAX_APART {
        let name = format!("{APART} {n}");
        match rename_on(files, (&root, staging), (&root, os(name.as_bytes()))) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => {
                renamed.map_err(fail)?;
                return files.sync_dir(&root).map_err(fail);
            }
        }
    }
    Err(fail(io::ErrorKind::AlreadyExists.into()))
}

fn set_apart_in<F: Files>(files: &F, path: &Path) -> Vec<Left> {
    let Ok(listed) = files.open_root(path).and_then(|root| files.list(&root)) else {
        return Vec::new();
    };
    let names = listed.into_iter().map(|entry| entry.name);
    let apart = names.filter(|name| name.as_encoded_bytes().starts_with(APART.as_bytes()));
    let left = apart.map(|name| Left {
        path: bytes(&path.join(name)),
        reason: "what could not be put back under its name is in it".to_owned(),
    });
    left.collect()
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}
