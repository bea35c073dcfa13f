//! What waits in the storage, which devices share, beside its place (`beside.rs`). Unfinished copies
//! are of files that their device still has, so they can go; but only that device knows when.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::account::Account;
use crate::beside::{self, Waits};
use crate::durable;
use crate::error::{Error, Result};
use crate::files::{Entry, Files, Kind};
use crate::place::{STORE, open_storage};

/// The folder, in the storage's `.mooring`.
pub const UPLOADS: &str = "uploads";
/// One that was written to within this time (ns) is believed to be under way.
const FRESH: i64 = 24 * 60 * 60 * 1_000_000_000;

/// What nobody works on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// How many unfinished copies.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many files that were being replaced: one may be the only version.
    pub swaps: u64,
}

/// Takes away what an account that ends here left. A storage that is gone keeps no sign-out from
/// ending: what it has stays, and `doctor` of another device names it.
///
/// # Errors
/// When the storage fails.
pub fn sweep_own<F: Files>(account: &Account<F>) -> Result<()> {
    let files = &account.files;
    let storage = match open_storage(account) {
        Ok(storage) => storage,
        Err(Error::StorageGone(why)) => {
            tracing::warn!(why, "unfinished copies in the storage are not looked for");
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    let fail = |e| Error::io("tidy up in", &account.spec.storage, e);
    let Some(dir) = folder(files, &storage).map_err(fail)? else {
        return Ok(());
    };
    let mut swept = false;
    for entry in files.list(&dir).map_err(fail)? {
        let known = beside::known(account, entry.name.as_bytes());
        let own_copy = known.is_some_and(|(waits, own)| own && waits.is_copy());
        if own_copy {
            swept |= beside::sweep(account, &dir, &entry).map_err(fail)?;
        }
    }
    if swept {
        files.sync_dir(&dir).map_err(fail)?;
    }
    Ok(())
}

/// What other devices left unfinished, a day ago or earlier.
///
/// # Errors
/// When the folder cannot be looked at.
pub fn of_others<F: Files>(account: &Account<F>, storage: &F::Dir) -> io::Result<Leftovers> {
    let files = &account.files;
    let mut found = Leftovers::default();
    let Some(dir) = folder(files, storage)? else {
        return Ok(found);
    };
    let known = |entry: &Entry| beside::known(account, entry.name.as_bytes());
    let entries = files.list(&dir)?;
    let mut below = Vec::new();
    for entry in entries.iter().filter(|e| e.stat.kind == Kind::Dir) {
        if known(entry) == Some((Waits::Batch, false))
            && let Some(batch) = durable::open_if_there(files, &dir, Path::new(&entry.name))?
        {
            below.extend(files.list(&batch)?);
        }
    }
    for entry in entries.into_iter().chain(below) {
        let Some((waits, false)) = known(&entry) else {
            continue;
        };
        // Its modification time is the original's until the end; this one tells the last writing.
        let fresh = files.now().saturating_sub(entry.stat.ctime) < FRESH;
        if entry.stat.kind != Kind::File || fresh {
            continue;
        }
        if waits.is_copy() {
            found.files += 1;
            found.bytes += entry.stat.size;
        } else {
            found.swaps += 1;
        }
    }
    Ok(found)
}

fn folder<F: Files>(files: &F, storage: &F::Dir) -> io::Result<Option<F::Dir>> {
    durable::open_if_there(files, storage, &Path::new(STORE).join(UPLOADS))
}
