//! The text of a backup: `B3SUMS`, which `b3sum -c` accepts, and `NAMES` for what it cannot name.
//!
//! b3sum takes names that are UTF-8 and escapes `\` and line feed. Any other name is stored under
//! a mapped one, and `NAMES` has a line for each such file: the path in the backup, a tab, and the
//! path it had, both percent-encoded.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::path::Path;

use mooring_core::sync::Hash;

use crate::account::Account;
use crate::base::MAX_LINE;
use crate::error::{Error, FileTrouble, Result};
use crate::files::Files;
use crate::hash::{self, Failed, Source};
use crate::place::{os, path};
use crate::pool;
use crate::state::split;

/// The list of hashes.
pub const SUMS: &str = "B3SUMS";
/// The list of mapped names.
pub const NAMES: &str = "NAMES";
/// What a mapped name begins with. A real name that begins like this is mapped as well, so that no
/// two files ever want one name.
const MAPPED: &[u8] = b"mooring-name-";
/// The longest ending that a mapped name keeps.
const MAX_ENDING: usize = 8;
/// Files hashed between two looks at the list.
const BATCH: usize = 256;

/// A line of `B3SUMS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The hash of the file's bytes.
    pub hash: Hash,
    /// Its path in the backup.
    pub path: Vec<u8>,
}

impl Line {
    /// The line as b3sum writes it, its end included.
    pub fn text(&self) -> Vec<u8> {
        let escaped = self.path.iter().any(|b| matches!(b, b'\\' | b'\n'));
        let mut text = Vec::with_capacity(self.path.len() + 70);
        if escaped {
            text.push(b'\\');
        }
        text.extend(blake3::Hash::from_bytes(self.hash).to_hex().bytes());
        text.extend(b"  ");
        for byte in &self.path {
            match byte {
                b'\\' => text.extend(b"\\\\"),
                b'\n' => text.extend(b"\\n"),
                byte => text.push(*byte),
            }
        }
        text.push(b'\n');
        text
    }

    /// Reads a line without its end; `None` when it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (escaped, text) = match text.strip_prefix(b"\\") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (hex, name) = text.split_at_checked(64)?;
        let name = name.strip_prefix(b"  ").filter(|name| !name.is_empty())?;
        let hash = blake3::Hash::from_hex(hex).ok()?.into();
        let path = if escaped {
            unescaped(name)?
        } else {
            name.to_vec()
        };
        Some(Self { hash, path })
    }

    /// Its folder and name in the backup.
    pub fn place(&self) -> (&[u8], &[u8]) {
        split(&self.path)
    }
}

fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(out)
}

/// The name under which a backup stores a name: the same wherever b3sum can take it.
pub fn stored_name(name: &[u8]) -> Vec<u8> {
    // U+FFFD stands for a name that could not be read, and versions differ about carriage returns.
    let plain = std::str::from_utf8(name).is_ok_and(|n| !n.contains(['\u{fffd}', '\r']));
    if plain && !name.starts_with(MAPPED) {
        return name.to_vec();
    }
    let hash = blake3::hash(name).to_hex();
    let mut stored = [MAPPED, &hash.as_bytes()[..32]].concat();
    // The ending tells people and programs what it is.
    if let Some(at) = name.iter().rposition(|b| *b == b'.') {
        let ending = &name[at + 1..];
        let fits = (1..=MAX_ENDING).contains(&ending.len());
        if at > 0 && fits && ending.iter().all(u8::is_ascii_alphanumeric) {
            stored.push(b'.');
            stored.extend(ending);
        }
    }
    stored
}

/// A line of `NAMES`.
pub fn name_line(stored: &[u8], real: &[u8]) -> String {
    let mut line = String::new();
    for (path, end) in [(stored, '\t'), (real, '\n')] {
        for byte in path {
            if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
                line.push(char::from(*byte));
            } else {
                // Writing into a String cannot fail.
                let _ = write!(line, "%{byte:02X}");
            }
        }
        line.push(end);
    }
    line
}

/// Reads a line of `NAMES` without its end: the path in the backup and the real one.
pub fn parse_name(line: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (stored, real) = line.split_once('\t')?;
    Some((decoded(stored)?, decoded(real)?))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    Some(out)
}

/// Hands every line of a list to `each`, in batches.
///
/// # Errors
/// `InvalidData` naming the line that is none; the first error of `each`.
pub fn read_batches(
    file: impl Read,
    mut each: impl FnMut(Vec<Line>) -> Result<()>,
    fail: impl Fn(io::Error) -> Error,
) -> Result<()> {
    let mut reader = BufReader::new(file);
    let mut batch = Vec::new();
    for nr in 1_u64.. {
        let mut text = Vec::new();
        let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut text);
        if read.map_err(&fail)? == 0 {
            break;
        }
        let line = text.strip_suffix(b"\n").and_then(Line::parse);
        let line = line.ok_or_else(|| {
            let what = format!("line {nr} is cut off or no line of b3sum");
            fail(io::Error::new(io::ErrorKind::InvalidData, what))
        })?;
        batch.push(line);
        if batch.len() >= BATCH {
            each(mem::take(&mut batch))?;
        }
    }
    each(batch)
}

/// Hashes every file that the list of a backup names and that is `wanted`, and hands each to
/// `judged` with its size, or with what is wrong with it.
///
/// # Errors
/// What stops the whole; the first error of `judged`.
pub fn check<F: Files>(
    account: &Account<F>,
    (backup, shown): (&F::Dir, &Path),
    from: Source,
    wanted: impl Fn(&[u8]) -> bool,
    mut judged: impl FnMut(Line, std::result::Result<u64, FileTrouble>) -> Result<()>,
) -> Result<()> {
    let files = &account.files;
    let list = shown.join(SUMS);
    let fail = |e| Error::io("read the list", &list, e);
    let file = files.open(backup, SUMS.as_ref()).map_err(fail)?;
    let each = |mut batch: Vec<Line>| {
        account.check_stop()?;
        batch.retain(|line| wanted(&line.path));
        let results = pool::map(files.parallelism(), &batch, |line| {
            hash_one(account, backup, line, from)
        });
        for (line, result) in batch.into_iter().zip(results) {
            let result = match result {
                Ok(size) => Ok(size),
                Err(Failed::One(why)) => Err(why),
                Err(Failed::Stopped) => return Err(Error::Cancelled),
                Err(Failed::All(e)) => {
                    let path = shown.join(path(&line.path));
                    return Err(Error::io("read back", &path, e));
                }
            };
            judged(line, result)?;
        }
        Ok(())
    };
    read_batches(file, each, fail)
}

fn hash_one<F: Files>(
    account: &Account<F>,
    backup: &F::Dir,
    line: &Line,
    from: Source,
) -> std::result::Result<u64, Failed> {
    let (folder, name) = line.place();
    let files = &account.files;
    let missing = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => Failed::one("is in B3SUMS and not in the backup"),
        _ => e.into(),
    };
    let dir = files.open_dir(backup, path(folder)).map_err(missing)?;
    files.stat(&dir, os(name)).map_err(missing)?;
    let reading = hash::hash(files, &dir, os(name), from, &account.stop)?;
    if reading.hash != line.hash {
        return Err(Failed::one("has other bytes than its line in B3SUMS says"));
    }
    Ok(reading.stat.size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn lines_come_back_as_they_were() {
        for name in ["a", "a b", "a\\b", "a\nb", "\\n", "  x ", "日本語"] {
            let line = Line {
                hash: blake3::hash(name.as_bytes()).into(),
                path: name.as_bytes().to_vec(),
            };
            let text = line.text();
            assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 1);
            assert_eq!(Line::parse(text.strip_suffix(b"\n").unwrap()), Some(line));
        }
        for bad in ["", "zz  a", "\\", &format!("{}  ", "0".repeat(64))] {
            assert_eq!(Line::parse(bad.as_bytes()), None, "{bad:?}");
        }
        let bad = format!("\\{}  a\\x", "0".repeat(64));
        assert_eq!(Line::parse(bad.as_bytes()), None);
    }

    #[test]
    fn names_that_b3sum_cannot_take_are_mapped_and_come_back() {
        assert_eq!(stored_name("日 本.jpg".as_bytes()), "日 本.jpg".as_bytes());
        let odd: [&[u8]; 4] = [
            b"\xff.jpg",
            b"a\r",
            "\u{fffd}".as_bytes(),
            b"mooring-name-x",
        ];
        for name in odd {
            let stored = stored_name(name);
            assert!(std::str::from_utf8(&stored).is_ok() && stored != name);
            let line = name_line(&stored, name);
            assert_eq!(
                parse_name(line.strip_suffix('\n').unwrap()),
                Some((stored, name.to_vec()))
            );
        }
        assert!(stored_name(b"\xff.jpg").ends_with(b".jpg"));
        assert_eq!(parse_name("a%f\tb"), None);
        assert_eq!(parse_name("a"), None);
    }
}
