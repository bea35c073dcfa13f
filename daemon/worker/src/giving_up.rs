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
use crate::durable;
use crate::erase::{clean_root, remove_if_empty};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::place::{self, MARKER, STAGING, os, read_marker};
use crate::staging;
use crate::state::Epoch;
use crate::uploads;

/// Puts back what was on its way in the local roots. Nothing is asked of the storage: it may be gone for
/// good, or never answer. Answers what could not be put in order, and where something may be that is not
/// within reach now; with `lost` nothing is known of what is where.
///
/// Repeating it is harmless, and the account can go on as it was.
///
/// # Errors
/// When the state cannot be read, or a root fails as a whole: its disk is full, for example.
pub fn release<F: Files>(account: &Account<F>, lost: bool) -> Result<Vec<Left>> {
    let mut left = Vec::new();
    let epoch = account.state.epoch()?;
    for (collection, root) in &account.spec.collections {
        match standing(account, *collection, root)? {
            Standing::Ours => left.extend(staging::bring_back(account, *collection)?),
            // It has no names of ours yet, or not any more.
            _ if epoch == Epoch::New && !lost => {}
            Standing::Gone if account.state.roots_made(*collection)?.contains(root) => {
                // Where a sign-out removed, it took this one itself.
                if epoch != Epoch::Removing {
                    left.push(absent(root, "not there now"));
                }
            }
            Standing::Gone => left.push(absent(root, "not there now")),
            Standing::Unmarked if epoch == Epoch::Removing => {}
            Standing::Unmarked => left.push(absent(
                root,
                "there is no marker in it now, as if its disk were not mounted",
            )),
            Standing::Others => left.push(Left {
                path: bytes(root),
                reason: format!("{MARKER} in it is not this account's: left as it is"),
            }),
        }
    }
    Ok(left)
}

/// Puts back what waits in the storage for the end of a replacement, and takes away what this account did
/// not finish there. For a storage that may be there still.
///
/// # Errors
/// When it is not there, or fails.
pub fn settle<F: Files>(account: &Account<F>) -> Result<()> {
    for (collection, _) in &account.spec.collections {
        staging::tidy(account, &place::open(account, *collection)?)?;
    }
    uploads::sweep_own(account)
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
        let cleaned = match clean_root(files, spec, *collection, root) {
            // What could not be put back was named. The folder is free for another account all the same.
            Err(Error::Refused(_)) => {
                left.push(Left {
                    path: bytes(&root.join(STAGING)),
                    reason: "a file that could not be put back is in it".to_owned(),
                });
                take_marker(files, root)
            }
            cleaned => cleaned,
        };
        if let Err(error) = cleaned {
            left.push(Left {
                path: bytes(&root.join(MARKER)),
                reason: format!("could not be taken away: {error}"),
            });
        }
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

fn take_marker<F: Files>(files: &F, path: &Path) -> Result<()> {
    let fail = |e| Error::io("clean up", path, e);
    let root = files.open_root(path).map_err(fail)?;
    durable::remove_if_there(files, &root, os(MARKER.as_bytes())).map_err(fail)?;
    files.sync_dir(&root).map_err(fail)
}

fn absent(root: &Path, how: &str) -> Left {
    Left {
        path: bytes(root),
        reason: format!("{how}; if it comes back, {MARKER} and {STAGING} are in it"),
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}
