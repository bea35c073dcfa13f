//! Both sides have content of their own under one name: both are kept.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use mooring_core::collection::Collection;
use mooring_core::sync::{Hash, Phase, Side, conflict_name, is_conflict_copy};

use crate::account::Account;
use crate::carry::{Load, Way};
use crate::change::Change;
use crate::durable;
use crate::error::{Error, FileTrouble, Result, about_one_file};
use crate::files::Files;
use crate::hash::{self, Failed, Source};
use crate::place::{self, Place, STORE, os, path};
use crate::staging;
use crate::state::{Epoch, Item, Key};
use crate::sync::Work;
use crate::trouble::Ledger;

/// Digits of the hash in a conflict copy's name.
pub const DIGITS: usize = 8;
/// Digits where that name is taken by other content.
pub const MANY_DIGITS: usize = 64;

/// Gives the local file a name of its own; both names are ordinary files from then on.
///
/// # Errors
/// What stops the whole sync.
pub fn set_aside<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    phase: Phase,
    change: Change,
    work: &mut Work,
    ledger: &mut Ledger,
) -> Result<()> {
    let key = &change.key;
    let shown = place.shown_key(key);
    let hash = match (change.local, change.seen.agreed()) {
        (Side::Content(hash), _) => hash,
        (Side::AsAgreed, Some(agreed)) => agreed.local,
        _ => return Ok(()),
    };
    if is_conflict_copy(&key.name) {
        let why = "changed on both sides, and is a conflict copy already: keep one by hand";
        ledger.pending(shown, FileTrouble(why.to_owned()));
        return Ok(());
    }
    if key.collection == Collection::Contacts && phase != Phase::Leaving {
        return set_aside_in_store(account, place, change, &hash, work, ledger);
    }
    let name = match set_free(account, key, || rename(account, place, key, &hash))? {
        Ok(name) => name,
        Err(e) => match about_one_file(&e) {
            Some(why) => {
                ledger.pending(shown, why);
                return Ok(());
            }
            None => return Err(Error::io("set aside", path(&shown), e)),
        },
    };
    ledger.conflicts += 1;
    ledger.copies_here += 1;
    let aside = Key {
        name,
        ..key.clone()
    };
    work.ups.push(Load {
        key: aside,
        way: Way::Up,
        replaces: None,
        item: None,
        size: change.seen.local.map_or(0, |stat| stat.size),
    });
    if let (Phase::Leaving, Some(item)) = (phase, &change.seen.item) {
        work.agreed.push((
            key.clone(),
            Item {
                local: None,
                ..item.clone()
            },
        ));
    }
    if phase != Phase::Leaving {
        let mut down = change.load(Way::Down);
        down.replaces = None;
        work.downs.push(down);
    }
    Ok(())
}

/// Does what takes a file from its name, so that it is the account's no more. What was agreed on is
/// forgotten first: whoever dies in between must not take the free name for a deletion. While files
/// are being removed nothing is, and there the file has to be known until it is gone.
///
/// # Errors
/// When the state fails; inside, what the work ended in: then all is remembered as it was.
pub fn set_free<F: Files, T>(
    account: &Account<F>,
    key: &Key,
    work: impl FnOnce() -> io::Result<T>,
) -> Result<io::Result<T>> {
    let forget = || account.state.forget(std::slice::from_ref(key));
    if account.state.epoch()? == Epoch::Removing {
        let done = work();
        if done.is_ok() {
            forget()?;
        }
        return Ok(done);
    }
    let Some(item) = account.state.item(key)? else {
        return Ok(work());
    };
    forget()?;
    let done = work();
    if done.is_err() {
        account.state.record(&[(key.clone(), item)], &[])?;
    }
    Ok(done)
}

fn rename<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
    hash: &Hash,
) -> io::Result<Vec<u8>> {
    let dir = account.files.open_dir(&place.local, path(&key.folder))?;
    name_as_copy(account, key, hash, (&dir, os(&key.name)), &dir)
}

/// Moves a file to a folder under the name of a conflict copy of `key`, which is answered.
///
/// # Errors
/// Those of the rename; `AlreadyExists` where even the long name is taken.
pub fn name_as_copy<F: Files>(
    account: &Account<F>,
    key: &Key,
    hash: &Hash,
    from: (&F::Dir, &OsStr),
    to: &F::Dir,
) -> io::Result<Vec<u8>> {
    let date = staging::date(account.files.now());
    let copy = |digits| {
        let name = conflict_name(&key.name, &account.spec.device, &date, hash, digits);
        rename_on(&account.files, from, (to, os(&name))).map(|()| name)
    };
    match copy(DIGITS) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => copy(MANY_DIGITS),
        result => result,
    }
}

/// Reads a file that nobody writes any more, and moves it to a folder under the name of a conflict
/// copy of `key` with that content, which is answered.
///
/// # Errors
/// Those of the reading and of the rename.
pub fn name_by_content<F: Files>(
    account: &Account<F>,
    key: &Key,
    from: (&F::Dir, &OsStr),
    to: &F::Dir,
) -> io::Result<Vec<u8>> {
    let reading = hash::hash(
        &account.files,
        from.0,
        from.1,
        Source::Staged,
        &account.stop,
    );
    let hash = match reading {
        Ok(reading) => reading.hash,
        Err(Failed::All(e)) => return Err(e),
        Err(Failed::One(why)) => return Err(io::Error::other(why.0)),
        Err(Failed::Stopped) => return Err(io::Error::other("stopped as asked")),
    };
    name_as_copy(account, key, &hash, from, to)
}

/// Renames, and replaces nothing. Where a filesystem renames by link and unlink, a process that
/// died between the two left one file under both names: that rename is finished.
///
/// # Errors
/// Those of the rename; `AlreadyExists` where the name is another file's.
pub fn rename_on<F: Files>(
    files: &F,
    (from, name): (&F::Dir, &OsStr),
    (to, new): (&F::Dir, &OsStr),
) -> io::Result<()> {
    match files.rename_new(from, name, to, new) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let (one, other) = (files.stat(from, name)?, files.stat(to, new)?);
            match (one.dev, one.ino) == (other.dev, other.ino) {
                true => files.unlink(from, name),
                false => Err(e),
            }
        }
        result => result,
    }
}

/// A second card for one person would show up in every address book: the losing card is kept in
/// the storage's `.mooring/conflicts` instead.
fn set_aside_in_store<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    change: Change,
    hash: &Hash,
    work: &mut Work,
    ledger: &mut Ledger,
) -> Result<()> {
    let files = &account.files;
    let key = &change.key;
    let below = Path::new(STORE)
        .join("conflicts")
        .join(key.collection.folder());
    let shown = account.spec.storage.join(&below);
    let fail = |e| Error::io("keep a conflict in", &shown, e);
    let storage = place::open_storage(account)?;
    let dir = durable::ensure_dir(files, &storage, &below, true).map_err(fail)?;
    let date = staging::date(files.now());
    let name = conflict_name(&key.name, &account.spec.device, &date, hash, MANY_DIGITS);
    let kept = keep_copy(account, place, key, (&dir, os(&name)), hash);
    match kept {
        Ok(()) => {}
        Err(Failed::One(why)) => {
            ledger.pending(place.shown_key(key), why);
            return Ok(());
        }
        Err(Failed::Stopped) => return Err(Error::Cancelled),
        Err(Failed::All(e)) => return Err(fail(e)),
    }
    ledger.conflicts += 1;
    work.downs.push(change.load(Way::Down));
    Ok(())
}

/// Copies the local file, durably, and makes sure that the copy has the bytes it is named after.
fn keep_copy<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
    (dir, name): (&F::Dir, &OsStr),
    hash: &Hash,
) -> std::result::Result<(), Failed> {
    let files = &account.files;
    // One of an earlier try may be there, whole or torn.
    durable::remove_if_there(files, dir, name).map_err(Failed::All)?;
    let source = files.open_dir(&place.local, path(&key.folder))?;
    let (reading, _) = hash::copy(
        files,
        (&source, os(&key.name)),
        (dir, name),
        true,
        &account.stop,
    )?;
    if reading.hash != *hash {
        files.unlink(dir, name).map_err(Failed::All)?;
        return Err(Failed::one("changed while it was read"));
    }
    files.sync_dir(dir).map_err(Failed::All)
}
