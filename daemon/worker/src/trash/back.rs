//! Bringing a file back out of the trash, if it still has the bytes that were buried. One that has
//! others comes back only when a person asks for it as it is, and then not under its own name.

use std::io;
use std::os::unix::ffi::OsStrExt;

use mooring_core::receipt::readable;
use mooring_core::sync::{Hash, marked_name};

use super::sums::{self, Noted};
use super::{Found, Trash, fail};
use crate::account::Account;
use crate::conflict::{name_by_content, rename_on};
use crate::durable;
use crate::error::{Error, Result, about_one_file};
use crate::files::{Files, Kind};
use crate::hash::{self, Failed, Source};
use crate::leave::key_of;
use crate::place::{os, path};
use crate::state::{Key, join};

/// What the name of a file says that came back although its bytes are not those that were buried.
const MARK: &str = " (damaged)";

/// What becomes of a file whose bytes are not those that were buried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damaged {
    /// It stays in the trash.
    Stays,
    /// It comes back as it is, under a name that says so.
    ComesBack,
}

/// How a file came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// Where it is now, below the collection; from [`undelete_path`], as an absolute local path.
    pub path: Vec<u8>,
    /// Whether it was found to have the bytes that were buried.
    pub checked: bool,
}

/// [`undelete`] by an absolute local path.
///
/// # Errors
/// As [`undelete`].
pub fn undelete_path<F: Files>(
    account: &Account<F>,
    file: &[u8],
    damaged: Damaged,
) -> Result<Back> {
    let key = key_of(account, file)?;
    let back = undelete(account, &key, damaged)?;
    let root = account.spec.root(key.collection)?;
    Ok(Back {
        path: join(root.as_os_str().as_bytes(), &back.path),
        ..back
    })
}

/// Brings a file of the trash back into the storage's collection, from where the next sync brings
/// it here.
///
/// # Errors
/// [`Error::Refused`] when neither the trash nor the storage has such a file, something is in its
/// way, or it is damaged and that was not agreed to.
pub fn undelete<F: Files>(account: &Account<F>, key: &Key, damaged: Damaged) -> Result<Back> {
    let trash = Trash::open(account)?;
    let place = crate::place::open(account, key.collection)?;
    let Some(found) = trash.find(key)? else {
        return already_back(account, &place.remote, key, damaged);
    };
    let refused = |e| match about_one_file(&e) {
        Some(why) => stays(key, &why.0),
        None => fail(account, &found.below, e),
    };
    let noted = match &found.sums {
        Some(sums) => sums::noted(&account.files, sums, key).map_err(refused)?,
        None => Noted::Nothing,
    };
    let why = flaw(account, &found, key, noted)?;
    let marked = match (&why, damaged) {
        (None, _) => None,
        (Some(why), Damaged::Stays) => return Err(is_damaged(key, why)),
        (Some(_), Damaged::ComesBack) => Some(marked_name(&key.name, MARK)),
    };
    let name = marked.as_ref().unwrap_or(&key.name);
    let path = bring_back(account, &place.remote, &found, key, name).map_err(refused)?;
    if let Some(sums) = &found.sums {
        sums::forget(&account.files, sums, key);
    }
    Ok(Back {
        path,
        checked: why.is_none() && noted != Noted::Nothing,
    })
}

fn stays(key: &Key, why: &str) -> Error {
    Error::Refused(format!(
        "{} cannot come back, it stays in the trash: {why}",
        readable(&key.path())
    ))
}

fn is_damaged(key: &Key, why: &str) -> Error {
    Error::Refused(format!(
        "{} in the trash is damaged ({why}): it stays there. `mooringctl undelete --damaged FILE` \
         brings it back as it is, under the name {}",
        readable(&key.path()),
        readable(&marked_name(&key.name, MARK))
    ))
}

/// What keeps a file of the trash from being what was buried; nothing where that is not known.
fn flaw<F: Files>(
    account: &Account<F>,
    found: &Found<F>,
    key: &Key,
    noted: Noted,
) -> Result<Option<String>> {
    let buried = match noted {
        Noted::Nothing => return Ok(None),
        Noted::Unreadable => {
            let why = "what was noted of its bytes went bad, so they cannot be checked";
            return Ok(Some(why.to_owned()));
        }
        Noted::Bytes(hash) => hash,
    };
    // What the disk has is what counts, and what a sync will read.
    let stored = Source::Storage { sync: true };
    let read = hash::hash(
        &account.files,
        &found.dir,
        os(&key.name),
        stored,
        &account.stop,
    );
    match read {
        Ok(reading) if reading.hash == buried => Ok(None),
        Ok(reading) => Ok(Some(format!(
            "its bytes have the BLAKE3 {}… and not {}…, which was buried",
            short(&reading.hash),
            short(&buried)
        ))),
        Err(Failed::One(why)) => Err(stays(key, &why.0)),
        Err(Failed::Stopped) => Err(Error::Cancelled),
        Err(Failed::All(e)) => Err(fail(account, &found.below, e)),
    }
}

/// Digits of a hash that tell one from another in a sentence.
const SHOWN: usize = 16;

fn short(hash: &Hash) -> String {
    let mut hex = blake3::Hash::from_bytes(*hash).to_hex().to_string();
    hex.truncate(SHOWN);
    hex
}

/// A predecessor that died after the very step has done it.
fn already_back<F: Files>(
    account: &Account<F>,
    remote: &F::Dir,
    key: &Key,
    damaged: Damaged,
) -> Result<Back> {
    let marked = Key {
        name: marked_name(&key.name, MARK),
        ..key.clone()
    };
    let candidates = match damaged {
        Damaged::Stays => vec![key],
        Damaged::ComesBack => vec![key, &marked],
    };
    let there = candidates
        .into_iter()
        .find(|key| is_there(account, remote, key));
    match there {
        // Whether there was a note to check it by is not known any more.
        Some(key) => Ok(Back {
            path: key.path(),
            checked: false,
        }),
        None => Err(Error::Refused(format!(
            "the trash has no {}: `mooringctl undelete` lists what it has",
            readable(&key.path())
        ))),
    }
}

fn is_there<F: Files>(account: &Account<F>, root: &F::Dir, key: &Key) -> bool {
    let dir = account.files.open_dir(root, path(&key.folder));
    let stat = dir.and_then(|dir| account.files.stat(&dir, os(&key.name)));
    stat.is_ok_and(|stat| stat.kind == Kind::File)
}

/// Moves it there, over nothing: a name that is taken leads to one with its hash.
fn bring_back<F: Files>(
    account: &Account<F>,
    remote: &F::Dir,
    found: &Found<F>,
    key: &Key,
    name: &[u8],
) -> io::Result<Vec<u8>> {
    let files = &account.files;
    let trash = &found.dir;
    let to = durable::ensure_dir(files, remote, path(&key.folder), true)?;
    let mut name = name.to_vec();
    match rename_on(files, (trash, os(&key.name)), (&to, os(&name))) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let wanted = Key {
                name,
                ..key.clone()
            };
            name = name_by_content(account, &wanted, (trash, os(&key.name)), &to)?;
        }
        result => result?,
    }
    files.sync_dir(&to)?;
    files.sync_dir(trash)?;
    Ok(join(&key.folder, &name))
}
