//! The base of a receipt: every file of a sign-out with its hashes, one line each, in the storage
//! beside the receipt. The next sign-in proves from it that all came back.
//!
//! A line is `LOCAL REMOTE SIZE MTIME MODE FATE COLLECTION/PATH`: two BLAKE3 hashes in hex, bytes,
//! nanoseconds, octal, `removed` or `kept`, and the path with control characters, backslashes and
//! other bytes than UTF-8 as `\xNN`. The first line names the format.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use mooring_core::collection::Collection;
use mooring_core::receipt::{readable, unreadable};
use mooring_core::sync::{Agreed, Hash};

use crate::account::Account;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::place::{STORE, open_storage};
use crate::state::{Item, Key, split};

/// The first line.
const HEAD: &str = "mooring base 1";
/// The longest receipt that is stored or read, in bytes: it names everything that was left.
pub const MAX_RECEIPT: u64 = 64 * 1024 * 1024;
/// The longest line that is read, in bytes. Paths may be longer than `PATH_MAX`, folder in folder,
/// and each of their bytes may be escaped.
pub const MAX_LINE: u64 = 4 * 1024 * 1024;

/// The folder for receipts and bases in the storage.
pub fn receipts_dir<F: Files>(account: &Account<F>) -> Result<F::Dir> {
    let storage = open_storage(account)?;
    receipts_in(&account.files, &storage)
        .map_err(|e| Error::io("open the receipts of", &account.spec.storage, e))
}

/// The folder for receipts below an open storage.
pub fn receipts_in<F: Files>(files: &F, storage: &F::Dir) -> io::Result<F::Dir> {
    durable::ensure_dir(files, storage, &Path::new(STORE).join("receipts"), true)
}

/// Whether a receipt's name can be a file name of ours: no path, nothing hidden.
pub fn is_receipt_id(id: &str) -> bool {
    const MAX: usize = 128;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_@+.".contains(&b);
    !id.is_empty() && id.len() <= MAX && !id.starts_with('.') && id.bytes().all(allowed)
}

/// Writes the base of a receipt, durably. Answers its BLAKE3 as hex.
///
/// # Errors
/// When the storage is gone or full.
pub fn write<F: Files>(account: &Account<F>, keep: &[Collection], receipt: &str) -> Result<String> {
    if !is_receipt_id(receipt) {
        return Err(Error::Refused(format!(
            "{receipt:?} cannot be the name of a receipt"
        )));
    }
    let dir = receipts_dir(account)?;
    let name = format!("{receipt}.base");
    let mut hash = None;
    let mut trouble = None;
    let written = durable::replace(&account.files, &dir, &name, |file| {
        let mut out = Hashing {
            out: BufWriter::new(file),
            hasher: blake3::Hasher::new(),
        };
        writeln!(out, "{HEAD}")?;
        for (collection, _) in &account.spec.collections {
            let fate = if keep.contains(collection) {
                "kept"
            } else {
                "removed"
            };
            let lines = account.state.each_item(*collection, |key, item| {
                write_line(&mut out, &key, &item, fate)
                    .map_err(|e| Error::io("write the base in", &account.spec.storage, e))
            });
            if let Err(e) = lines {
                trouble = Some(e);
                return Err(io::Error::other("stopped"));
            }
        }
        out.out.flush()?;
        hash = Some(out.hasher.finalize().to_hex().to_string());
        Ok(())
    });
    if let Some(e) = trouble {
        return Err(e);
    }
    written.map_err(|e| Error::io("write the base in", &account.spec.storage, e))?;
    hash.ok_or_else(|| Error::NotVerified("the base was not written".to_owned()))
}

struct Hashing<W: Write> {
    out: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn write_line(out: &mut impl Write, key: &Key, item: &Item, fate: &str) -> io::Result<()> {
    // Held because it was deleted here: it neither leaves this device nor has to come back.
    let Some(local) = item.local else {
        return Ok(());
    };
    writeln!(
        out,
        "{} {} {} {} {:o} {fate} {}/{}",
        blake3::Hash::from_bytes(item.agreed.local).to_hex(),
        blake3::Hash::from_bytes(item.agreed.remote).to_hex(),
        local.stamp.size,
        local.stamp.mtime,
        item.mode,
        key.collection,
        readable(&key.path())
    )
}

/// A line of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The hashes that both sides had.
    pub agreed: Agreed,
    /// Whether the file stayed on the device.
    pub kept: bool,
    /// Where it was.
    pub key: Key,
}

/// Reads a base, line by line, and compares its hash with the receipt's when all is read.
///
/// # Errors
/// `InvalidData` when it is no base, or not the one that the receipt names. What `each` was told
/// before counts for nothing then.
pub fn read(
    file: impl io::Read,
    blake3_hex: &str,
    mut each: impl FnMut(Line) -> io::Result<()>,
) -> io::Result<()> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut reader = BufReader::new(file);
    let mut hasher = blake3::Hasher::new();
    let mut line = Vec::new();
    for nr in 1.. {
        line.clear();
        io::Read::take(&mut reader, MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        hasher.update(&line);
        let text = line
            .strip_suffix(b"\n")
            .and_then(|l| std::str::from_utf8(l).ok());
        let text = text.ok_or_else(|| bad(format!("line {nr} is too long, cut or no text")))?;
        if nr == 1 {
            if text != HEAD {
                return Err(bad(format!("the first line is not {HEAD:?}")));
            }
            continue;
        }
        each(parse(text).ok_or_else(|| bad(format!("line {nr} is malformed")))?)?;
    }
    let same =
        blake3::Hash::from_hex(blake3_hex).is_ok_and(|expected| expected == hasher.finalize());
    if same {
        Ok(())
    } else {
        Err(bad("its hash is not the one in the receipt".to_owned()))
    }
}

/// Whether a path can be one below a root: no file was ever found under another, and a storage that
/// others can write may say anything.
fn is_plain(path: &[u8]) -> bool {
    path.split(|b| *b == b'/')
        .all(|part| !matches!(part, b"" | b"." | b"..") && !part.contains(&0))
}

fn parse(text: &str) -> Option<Line> {
    let mut parts = text.splitn(7, ' ');
    let mut hash =
        || -> Option<Hash> { Some(*blake3::Hash::from_hex(parts.next()?).ok()?.as_bytes()) };
    let agreed = Agreed {
        local: hash()?,
        remote: hash()?,
    };
    let (_size, _mtime, _mode) = (parts.next()?, parts.next()?, parts.next()?);
    let kept = match parts.next()? {
        "kept" => true,
        "removed" => false,
        _ => return None,
    };
    let (collection, shown) = parts.next()?.split_once('/')?;
    let path = unreadable(shown).filter(|path| is_plain(path))?;
    let (folder, name) = split(&path);
    let key = Key {
        collection: collection.parse().ok()?,
        folder: folder.to_vec(),
        name: name.to_vec(),
    };
    Some(Line { agreed, kept, key })
}
