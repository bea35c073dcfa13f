//! Moving a file to another disk: copied, made durable and read back there, and only then taken out
//! here by the steps of the safe removal. Whatever dies in between, one of the two is whole.

use std::ffi::OsStr;
use std::io;

use mooring_core::sync::{Agreed, Hash};

use crate::account::Account;
use crate::conflict::{name_as_copy, rename_on};
use crate::durable::{self, NEW};
use crate::error::FileTrouble;
use crate::files::Files;
use crate::hash::{self, Failed, Reading, Source};
use crate::place::{Place, os};
use crate::remove::{Fate, take_out};
use crate::state::{Item, Key};

/// Moves the file of a key from its folder into another on another disk; `false` when it is not
/// there any more.
///
/// # Errors
/// When it cannot be copied, or changes or is in use meanwhile: it is then still where it was.
pub fn move_across<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
    from: &F::Dir,
    to: &F::Dir,
) -> io::Result<bool> {
    let files = &account.files;
    match files.stat(from, os(&key.name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result.map(drop)?,
    }
    let reading = copy_into(account, key, from, to).map_err(to_io)?;
    let known = known_now(key, &reading);
    let taken = take_out(account, place, key, &known, from, |_, _| Ok(None))?;
    if let Fate::Stays(FileTrouble(why)) = taken {
        // The copy may be of a version that is not the last: both stay.
        return Err(io::Error::other(format!("{why}; a copy of it is kept")));
    }
    files.sync_dir(from)?;
    files.sync_dir(&place.staging)?;
    Ok(true)
}

/// Copies a file into a folder of another disk under a free name, and reads it back from there.
fn copy_into<F: Files>(
    account: &Account<F>,
    key: &Key,
    from: &F::Dir,
    to: &F::Dir,
) -> std::result::Result<Reading, Failed> {
    let files = &account.files;
    let waiting = format!("{NEW}{}", account.spec.id);
    let waiting = OsStr::new(&waiting);
    durable::remove_if_there(files, to, waiting)?;
    let source = (from, os(&key.name));
    let (reading, _) = hash::copy(files, source, (to, waiting), true, &account.stop)?;
    let back = hash::hash(
        files,
        to,
        waiting,
        Source::Storage { sync: true },
        &account.stop,
    );
    if !matches!(&back, Ok(back) if back.hash == reading.hash) {
        files.unlink(to, waiting).map_err(Failed::All)?;
        back?;
        return Err(Failed::one("the copy on the other disk has other bytes"));
    }
    give_name(account, key, to, waiting, &reading.hash)?;
    files.sync_dir(to).map_err(Failed::All)?;
    Ok(reading)
}

/// Gives a copy the file's own name, or a conflict copy's where that is taken.
fn give_name<F: Files>(
    account: &Account<F>,
    key: &Key,
    to: &F::Dir,
    waiting: &OsStr,
    hash: &Hash,
) -> io::Result<()> {
    let files = &account.files;
    match rename_on(files, (to, waiting), (to, os(&key.name))) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            name_as_copy(account, key, hash, (to, waiting), to).map(drop)
        }
        result => result,
    }
}

/// What is known about a file that was just read, whether or not the inventory has it.
fn known_now(key: &Key, reading: &Reading) -> Item {
    Item {
        name: key.name.clone(),
        agreed: Agreed {
            local: reading.hash,
            remote: reading.hash,
        },
        local: Some(reading.proof),
        mode: reading.stat.mode,
        remote: None,
        verified: None,
        here_before: false,
        gone: false,
        held: false,
        burying: false,
    }
}

fn to_io(failed: Failed) -> io::Error {
    match failed {
        Failed::All(e) => e,
        Failed::One(FileTrouble(why)) => io::Error::other(why),
        Failed::Stopped => io::Error::other("stopped as asked"),
    }
}
