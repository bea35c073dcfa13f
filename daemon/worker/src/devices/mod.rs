//! The devices that share a storage: how each tells that it is there, and how one asks another to
//! sign out.
//!
//! `.mooring/devices/SIGN_IN_ID.toml` says how a sign-in stands, and what became of the last
//! request to it; `.mooring/requests/REQUEST_ID.toml` is one request. Whoever can write into the
//! storage can write both, so every document is read as a stranger's: only small regular files, at
//! most so many, names of people's choosing cleaned. Whatever a document says, all it can start is
//! an ordinary verified sign-out, once.

pub(crate) mod document;
mod presence;
mod requests;

use std::io;
use std::path::Path;

use crate::account::Account;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::{Entry, Files, Kind};
use crate::place::{STORE, open_storage};

pub use document::{Answer, Presence, Request};
pub use presence::{list, tell, withdraw};
pub use requests::{answer, ask, open};

/// The folder of presence documents, in the storage's `.mooring`.
const DEVICES: &str = "devices";
/// The folder of requests, likewise.
pub const REQUESTS: &str = "requests";
/// The longest document, in bytes.
const MAX_DOCUMENT: u64 = 16 * 1024;
/// The most documents of a folder that are read, in the order of their names.
const MAX_DOCUMENTS: usize = 256;
/// The longest sign-in ID or request ID, in bytes.
const MAX_ID: usize = 64;
/// How old a document under way is when whoever wrote it is believed dead (ns). Nothing else
/// here depends on a clock.
const ABANDONED: i64 = 24 * 60 * 60 * 1_000_000_000;

/// Makes the folders, so that they can be watched.
///
/// # Errors
/// When the storage is gone or full.
pub fn prepare<F: Files>(account: &Account<F>) -> Result<()> {
    let storage = open_storage(account)?;
    folder(account, &storage, DEVICES)?;
    folder(account, &storage, REQUESTS).map(drop)
}

/// Whether a text can be a sign-in ID or a request ID, and so a file's name.
fn is_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(allowed)
}

fn file_name(id: &str) -> String {
    format!("{id}.toml")
}

fn folder<F: Files>(account: &Account<F>, storage: &F::Dir, name: &str) -> Result<F::Dir> {
    durable::ensure_dir(&account.files, storage, &Path::new(STORE).join(name), true)
        .map_err(|e| Error::io("make the folder for devices in", &account.spec.storage, e))
}

/// A folder of documents, if it is there.
fn folder_if_there<F: Files>(
    files: &F,
    storage: &F::Dir,
    name: &str,
) -> io::Result<Option<F::Dir>> {
    durable::open_if_there(files, storage, &Path::new(STORE).join(name))
}

/// What a folder of documents holds.
struct Found {
    /// The IDs in the names of documents, in order, at most [`MAX_DOCUMENTS`].
    ids: Vec<String>,
    /// How many more there are.
    more: usize,
}

/// The documents of a folder by name; takes away what a writer left that died long ago.
fn documents<F: Files>(files: &F, dir: &F::Dir) -> io::Result<Found> {
    let mut ids = Vec::new();
    for entry in files.list(dir)? {
        if is_abandoned(files, &entry) {
            durable::remove_if_there(files, dir, &entry.name)?;
            continue;
        }
        let id = entry.name.to_str().and_then(|n| n.strip_suffix(".toml"));
        ids.extend(id.filter(|id| is_id(id)).map(str::to_owned));
    }
    ids.sort_unstable();
    let more = ids.len().saturating_sub(MAX_DOCUMENTS);
    ids.truncate(MAX_DOCUMENTS);
    Ok(Found { ids, more })
}

fn is_abandoned<F: Files>(files: &F, entry: &Entry) -> bool {
    let name = entry.name.as_encoded_bytes();
    name.starts_with(durable::NEW.as_bytes())
        && entry.stat.kind == Kind::File
        && files.now().saturating_sub(entry.stat.mtime) > ABANDONED
}

/// The text of a document; none when it is not there. What is wrong with it is a sentence.
fn read<F: Files>(
    files: &F,
    dir: &F::Dir,
    id: &str,
) -> io::Result<Option<std::result::Result<String, String>>> {
    match durable::read(files, dir, &file_name(id), MAX_DOCUMENT) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => {
            let text = String::from_utf8(bytes).map_err(|_| "is no text".to_owned());
            Ok(Some(text))
        }
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(Some(Err(format!("is {e}")))),
        Err(e) => match crate::error::about_one_file(&e) {
            // Taken away between the look and the reading.
            Some(_) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Some(trouble) => Ok(Some(Err(trouble.0))),
            None => Err(e),
        },
    }
}

/// Puts a document of this device in its place, over an earlier one: at every moment one of the
/// two is there, so that nobody takes this device for gone. Durable when this returns.
fn install<F: Files>(files: &F, dir: &F::Dir, id: &str, text: &str) -> io::Result<()> {
    durable::replace_at_once(files, dir, &file_name(id), text.as_bytes())
}
