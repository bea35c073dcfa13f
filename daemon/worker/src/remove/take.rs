//! One file on its way out: looked at, leased, moved aside, looked at once more, and only then gone.

use std::ffi::OsStr;
use std::io;

use mooring_core::receipt::readable;

use super::Task;
use crate::account::Account;
use crate::error::FileTrouble;
use crate::files::{Files, Lease, Stat};
use crate::hash::{self, Failed, Source};
use crate::place::{Place, os};
use crate::readback::{SAME_FILE, read_back, same_inode, settled, still_proven};
use crate::staging;
use crate::state::{Item, Key, Stamp};

/// Why a file stays that somebody writes to.
pub const IN_USE: &str = "a program has it open for writing";

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is gone.
    Removed,
    /// It is where it was.
    Stays(FileTrouble),
}

/// Removes one file, or says why it stays. `admit` writes down that a file goes from which not
/// every writer is kept out; it does so before the file goes, so that no death hides it.
pub(super) fn remove_one<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    task: &Task<F::Dir>,
    admit: impl FnOnce() -> io::Result<()>,
) -> io::Result<Fate> {
    let missing = |before: &Stat, lease| {
        let missing = copy_is_missing(account, place, task, before)?;
        if missing.is_none() && !(lease == Lease::Held && place.here.excludes_mapped) {
            admit()?;
        }
        Ok(missing)
    };
    take_out(account, place, &task.key, &task.item, &task.dir, missing)
}

/// Takes one file off this device if, at this moment, it is the one whose bytes are known, nobody
/// writes to it, and `missing`, which is told what lease there is, finds its copy; or says why it
/// stays.
///
/// # Errors
/// When the disk fails. The file is then where it was, or in the staging folder, from which the
/// next start puts it back.
pub fn take_out<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
    item: &Item,
    dir: &F::Dir,
    missing: impl FnOnce(&Stat, Lease) -> io::Result<Option<FileTrouble>>,
) -> io::Result<Fate> {
    let files = &account.files;
    let name = os(&key.name);
    let stays = |why: &str| Ok(Fate::Stays(FileTrouble(why.to_owned())));

    let file = match files.open(dir, name) {
        Ok(file) => file,
        Err(e) => return one_file(e),
    };
    let lease = files.lease(&file)?;
    if lease == Lease::InUse {
        return stays(IN_USE);
    }
    let before = files.stat_file(&file)?;
    let Some(known) = item.local else {
        return stays("changed since it was verified");
    };
    // The change time moves when another name of the same file comes or goes, as right before this,
    // when that one was removed. Then its bytes decide.
    let ctime = known.stamp.ctime;
    let now = Stamp::from(&before);
    if (Stamp { ctime, ..now }, item.mode) != (known.stamp, before.mode) {
        return stays("changed since it was verified");
    }
    if let Some(why) = missing(&before, lease)? {
        return Ok(Fate::Stays(why));
    }
    let out = staging::out_name(&key.path());
    if let Err(e) = files.rename_new(dir, name, &place.staging, &out) {
        return one_file(e);
    }
    // From here on the file goes, or goes back.
    let staged = files.stat(&place.staging, &out)?;
    // The lease is on the file that was opened: of another one it says nothing.
    let same = (staged.dev, staged.ino) == (before.dev, before.ino);
    let proven = lease == Lease::Held
        // Elsewhere a program that had it mapped, and is done, may have left no trace.
        && place.here.known_good
        // The move itself sets the change time.
        && (staged.size, staged.mtime) == (before.size, before.mtime)
        && now == known.stamp
        && settled(&now, known.at)
        && files.lease_holds(&file);
    if same && (proven || has_agreed_bytes(account, place, &out, item, lease, &file)?) {
        if lease != Lease::Held {
            // A server that is told to remove an open file keeps it under another name.
            drop(file);
        }
        files.unlink(&place.staging, &out)?;
        return Ok(Fate::Removed);
    }
    files.release(&file);
    match staging::restore_one(account, (&place.staging, &out), &place.local, key)? {
        None => stays("changed while it was being removed"),
        Some(there) => stays(&format!(
            "changed while it was being removed, and its name or folder was taken: it is now {}",
            readable(&place.shown(b"", &there))
        )),
    }
}

fn one_file(e: io::Error) -> io::Result<Fate> {
    crate::error::about_one_file(&e).map(Fate::Stays).ok_or(e)
}

/// Reads the staged file once more: stamps do not tell enough here.
fn has_agreed_bytes<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    out: &OsStr,
    item: &Item,
    lease: Lease,
    file: &F::File,
) -> io::Result<bool> {
    let files = &account.files;
    if lease == Lease::Held && !files.lease_holds(file) {
        return Ok(false);
    }
    match hash::hash(files, &place.staging, out, Source::Staged, &account.stop) {
        Ok(reading) => {
            Ok(reading.hash == item.agreed.local
                && (lease != Lease::Held || files.lease_holds(file)))
        }
        Err(Failed::All(e)) => Err(e),
        Err(Failed::One(_) | Failed::Stopped) => Ok(false),
    }
}

/// Why the copy does not count, if it does not.
fn copy_is_missing<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    task: &Task<F::Dir>,
    local: &Stat,
) -> io::Result<Option<FileTrouble>> {
    let why = |why: &str| Ok(Some(FileTrouble(why.to_owned())));
    let Some(dir) = &task.remote else {
        return why("the storage has no copy");
    };
    // Looked at once more, right before the original goes.
    let remote = match account.files.stat(dir, os(&task.key.name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return why("the storage has no copy"),
        result => &result?,
    };
    if same_inode(local, remote) {
        return why(SAME_FILE);
    }
    if still_proven(&task.item, remote, place.there.known_good) {
        return Ok(None);
    }
    if task
        .item
        .verified
        .is_none_or(|proof| proof.stamp != Stamp::from(remote))
    {
        return why("the copy in the storage changed after it was read back");
    }
    match read_back(account, place, &task.key, &task.item) {
        Ok(_) => Ok(None),
        Err(Failed::One(trouble)) => Ok(Some(trouble)),
        Err(Failed::All(e)) => Err(e),
        Err(Failed::Stopped) => why("stopped as asked"),
    }
}
