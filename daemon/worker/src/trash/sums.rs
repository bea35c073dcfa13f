//! What the trash knows of the bytes it holds: a day's `sums` has a small file for each file of that
//! day, named after the hash of its path and holding one line of the kind `b3sum -c` reads. It is
//! durable before the file is there, so that only what an earlier Mooring buried has none.

use std::io::{self, Write};

use mooring_core::sync::Hash;

use crate::account::Account;
use crate::base::MAX_LINE;
use crate::beside::{self, Waits};
use crate::durable;
use crate::files::Files;
use crate::state::{Key, join};
use crate::sums::Line;

/// The folder of a day that holds them; no collection's folder is called so.
pub(super) const FOLDER: &str = "sums";

/// What is noted of a file of the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// Nothing: an earlier Mooring buried it, or there was no room for a note.
    Nothing,
    /// The bytes that were buried.
    Bytes(Hash),
    /// The note itself went bad.
    Unreadable,
}

/// The path of a file below a day's folder.
fn below(key: &Key) -> Vec<u8> {
    join(key.collection.folder().as_bytes(), &key.path())
}

/// A hash, so that neither lengths nor a file that has a folder's name are in its way.
fn name(key: &Key) -> String {
    blake3::hash(&below(key)).to_hex().to_string()
}

/// What is noted of the file that a day's trash has at this place.
pub(super) fn noted<F: Files>(files: &F, sums: &F::Dir, key: &Key) -> io::Result<Noted> {
    let bytes = match durable::read(files, sums, &name(key), MAX_LINE) {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(Noted::Unreadable),
        result => result?,
    };
    let Some(bytes) = bytes else {
        return Ok(Noted::Nothing);
    };
    let line = bytes.strip_suffix(b"\n").and_then(Line::parse);
    Ok(match line {
        Some(line) if line.path == below(key) => Noted::Bytes(line.hash),
        _ => Noted::Unreadable,
    })
}

/// Notes, durably, which bytes are about to lie at this place of a day's trash. Answers whether that
/// is what is noted there now: not where others were noted before.
pub(super) fn note<F: Files>(
    account: &Account<F>,
    (uploads, sums): (&F::Dir, &F::Dir),
    key: &Key,
    hash: &Hash,
) -> io::Result<bool> {
    let files = &account.files;
    let is_this = |noted| noted == Noted::Bytes(*hash);
    match noted(files, sums, key)? {
        Noted::Nothing => {}
        before => return Ok(is_this(before)),
    }
    // Beside the trash until it is whole: what a dead process leaves of it is swept up.
    let waiting = beside::name(account, Waits::New, "sum");
    durable::remove_if_there(files, uploads, &waiting)?;
    let line = Line {
        hash: *hash,
        path: below(key),
    };
    let mut file = files.create(uploads, &waiting)?;
    let written = file
        .write_all(&line.text())
        .and_then(|()| file.flush())
        .and_then(|()| files.sync_file(&file));
    let put = written.and_then(|()| files.rename_new(uploads, &waiting, sums, name(key).as_ref()));
    match put {
        Ok(()) => {
            files.sync_dir(sums)?;
            Ok(true)
        }
        Err(e) => {
            // The first error is the one to tell; what is left of it is swept up.
            let _ = files.unlink(uploads, &waiting);
            if e.kind() == io::ErrorKind::AlreadyExists {
                // Another device, just now.
                return noted(files, sums, key).map(is_this);
            }
            Err(e)
        }
    }
}

/// Forgets what is noted of a place that the file has left. A note that stays does no harm: other
/// bytes get another name in that day's trash.
pub(super) fn forget<F: Files>(files: &F, sums: &F::Dir, key: &Key) {
    if let Err(error) = durable::remove_if_there(files, sums, name(key).as_ref()) {
        tracing::debug!(%error, "the note of a file that left the trash stays");
    }
}
