//! Putting a copy in its place, and never over a file that nobody expected there.

use std::ffi::OsStr;
use std::io;
use std::sync::atomic::AtomicBool;

use super::{Expected, LastFolder, Load, Staged};
use crate::account::Account;
use crate::beside::{self, Waits};
use crate::durable;
use crate::files::{Files, Lease, Stat};
use crate::hash::{self, Failed, Source};
use crate::place::{End, Place, os, path};
use crate::staging;

/// Puts a copy in its place. Answers the folder.
pub(super) fn put<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folders: &LastFolder<F::Dir>,
    staged: &Staged<'_, F::Dir>,
    sync: bool,
) -> std::result::Result<F::Dir, Failed> {
    let files = &account.files;
    let Load {
        key, way, replaces, ..
    } = staged.load;
    let End { root, waiting, .. } = place.end(*way);
    let dir = folders.get(&key.folder, || {
        durable::ensure_dir(files, root, path(&key.folder), sync)
    })?;
    match replaces {
        None => files.rename_new(staged.at, &staged.name, &dir, os(&key.name))?,
        Some(expected) => {
            // A name that says: after a death in the middle, not ours to throw away unseen.
            let name = beside::name_of(account, Waits::Swap, key, &expected.bytes);
            files.rename_new(staged.at, &staged.name, waiting, &name)?;
            let swap = Staged {
                at: waiting,
                name,
                ..*staged
            };
            replace(account, place, &swap, &dir, *expected)?;
        }
    }
    Ok(dir)
}

/// Takes away a copy that could not be put in its place. What lies under its name after a swap may
/// be somebody else's file, or this one with what somebody wrote to it while it was in its place:
/// that one goes back.
pub(super) fn clear_away<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    staged: &Staged<'_, F::Dir>,
) -> io::Result<()> {
    let files = &account.files;
    let key = &staged.load.key;
    let End { root, waiting, .. } = place.end(staged.load.way);
    let swapped = staged
        .load
        .replaces
        .map(|e| beside::name_of(account, Waits::Swap, key, &e.bytes));
    let swapped = swapped.iter().map(|name| (waiting, name));
    for (at, name) in [(staged.at, &staged.name)].into_iter().chain(swapped) {
        match files.stat(at, name) {
            Ok(stat) if is_copy(account, at, name, &stat, staged) => files.unlink(at, name)?,
            Ok(_) => drop(staging::restore_one(account, (at, name), root, key)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whether this is the copy, as it was made.
fn is_copy<F: Files>(
    account: &Account<F>,
    at: &F::Dir,
    name: &OsStr,
    stat: &Stat,
    staged: &Staged<'_, F::Dir>,
) -> bool {
    if (stat.dev, stat.ino) != (staged.copy.dev, staged.copy.ino) {
        return false;
    }
    // Under its first name nobody else ever saw it.
    let on = AtomicBool::new(false);
    let reading = || hash::hash(&account.files, at, name, Source::Staged, &on);
    name == staged.name || reading().is_ok_and(|reading| reading.hash == staged.reading.hash)
}

/// Swaps the copy in, and looks at what came out: only the expected file may go.
fn replace<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    staged: &Staged<'_, F::Dir>,
    dir: &F::Dir,
    expected: Expected,
) -> std::result::Result<(), Failed> {
    let files = &account.files;
    let waiting = place.end(staged.load.way).waiting;
    let name = os(&staged.load.key.name);
    match files.exchange(waiting, &staged.name, dir, name) {
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {
            return replace_in_two_steps(account, place, staged, dir, expected);
        }
        result => result?,
    }
    let is_it = is_expected(account, waiting, &staged.name, expected, staged);
    if let Ok(true) = is_it {
        sweep(account, waiting, &staged.name);
        return Ok(());
    }
    // Somebody was faster, or it cannot be told: swap back, and look again at the next sync.
    files
        .exchange(waiting, &staged.name, dir, name)
        .map_err(Failed::All)?;
    is_it.and(Err(Failed::one("changed on the other side meanwhile")))
}

/// Takes the replaced file away. Its successor is in place, so a file that will not go is no failure:
/// its name says what it is, and the next sync sweeps it ([`staging::tidy`]).
fn sweep<F: Files>(account: &Account<F>, waiting: &F::Dir, name: &OsStr) {
    if let Err(error) = account.files.unlink(waiting, name) {
        let name = name.to_string_lossy();
        tracing::warn!(%error, %name, "a replaced file stays for now");
    }
}

/// Where there is no exchange: the old file is moved beside first, so a moment without the name
/// is the worst that can be seen.
fn replace_in_two_steps<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    staged: &Staged<'_, F::Dir>,
    dir: &F::Dir,
    expected: Expected,
) -> std::result::Result<(), Failed> {
    let files = &account.files;
    let End { root, waiting, .. } = place.end(staged.load.way);
    let name = os(&staged.load.key.name);
    let old = beside::name_of(account, Waits::Old, &staged.load.key, &expected.bytes);
    files.rename_new(dir, name, waiting, &old)?;
    let is_it = is_expected(account, waiting, &old, expected, staged);
    if let Ok(true) = is_it {
        files.rename_new(waiting, &staged.name, dir, name)?;
        sweep(account, waiting, &old);
        return Ok(());
    }
    let back = staging::restore_one(account, (waiting, &old), root, &staged.load.key);
    back.map_err(Failed::All)?;
    is_it.and(Err(Failed::one("changed on the other side meanwhile")))
}

/// Whether a displaced file is the one that was to be replaced, or has no other bytes than its
/// successor, and nobody writes to it. Its bytes decide: the move itself set the change time, and
/// there are programs that set the other one back after they wrote.
fn is_expected<F: Files>(
    account: &Account<F>,
    dir: &F::Dir,
    name: &OsStr,
    Expected { stamp, bytes }: Expected,
    successor: &Staged<'_, F::Dir>,
) -> std::result::Result<bool, Failed> {
    let files = &account.files;
    let file = files.open(dir, name)?;
    let stat = files.stat_file(&file)?;
    if (stat.ino, stat.size, stat.mtime) != (stamp.ino, stamp.size, stamp.mtime) {
        return Ok(false);
    }
    let lease = files.lease(&file)?;
    if lease == Lease::InUse {
        return Ok(false);
    }
    let reading = hash::hash(files, dir, name, Source::Staged, &account.stop)?;
    Ok([bytes, successor.reading.hash].contains(&reading.hash)
        && (lease != Lease::Held || files.lease_holds(&file)))
}
