//! Unfinished copies in the storage, which devices share: `new-ACCOUNT-…` and `part-ACCOUNT-…`. Each
//! is a copy of a file that its device still has, so it can go; but only its device knows when.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::account::Account;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::{Files, Kind};
use crate::place::{STORE, open_storage};

/// The folder, in the storage's `.mooring`.
pub const UPLOADS: &str = "uploads";
/// How the names of unfinished copies begin; what is in a swap is none (`staging.rs`).
pub const KINDS: [&str; 2] = ["new-", "part-"];
/// One that was written to within this time (ns) is believed to be under way.
const FRESH: i64 = 24 * 60 * 60 * 1_000_000_000;

/// Unfinished copies that nobody works on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
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
    let own = KINDS.map(|kind| format!("{kind}{}-", account.spec.id));
    let mut swept = false;
    for entry in files.list(&dir).map_err(fail)? {
        let name = entry.name.as_bytes();
        if entry.stat.kind == Kind::File && own.iter().any(|own| name.starts_with(own.as_bytes())) {
            durable::remove_if_there(files, &dir, &entry.name).map_err(fail)?;
            swept = true;
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
    for entry in files.list(&dir)? {
        let name = entry.name.as_bytes();
        let rest = KINDS
            .iter()
            .find_map(|kind| name.strip_prefix(kind.as_bytes()));
        let own = format!("{}-", account.spec.id);
        let theirs = rest.is_some_and(|rest| !rest.starts_with(own.as_bytes()));
        // Its modification time is the original's until the end; this one tells the last writing.
        let fresh = files.now().saturating_sub(entry.stat.ctime) < FRESH;
        if entry.stat.kind == Kind::File && theirs && !fresh {
            found.files += 1;
            found.bytes += entry.stat.size;
        }
    }
    Ok(found)
}

fn folder<F: Files>(files: &F, storage: &F::Dir) -> io::Result<Option<F::Dir>> {
    durable::open_if_there(files, storage, &Path::new(STORE).join(UPLOADS))
}
