//! The places that a worker may reach. They are the first thing on its socket, before D-Bus: it fences
//! itself in with them while it has no other threads.
//!
//! On the socket: the length in bytes (32 bits, little-endian), then each place as one letter, its
//! path and a NUL.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest such message, in bytes: 256 accounts with the longest paths fit.
pub const MAX_BYTES: u32 = 8 * 1024 * 1024;
/// The most places.
pub const MAX_PLACES: usize = 4096;

/// What a worker does at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Everything below it; makes it, where it is missing.
    Root,
    /// Everything below it, where it is there.
    Folder,
    /// Reads what is below it.
    Source,
    /// Removes it, and the empty folders that lead to it.
    Leave,
}

impl Use {
    const ALL: [(u8, Self); 4] = [
        (b'R', Self::Root),
        (b'F', Self::Folder),
        (b'S', Self::Source),
        (b'L', Self::Leave),
    ];

    fn letter(self) -> u8 {
        match self {
            Self::Root => b'R',
            Self::Folder => b'F',
            Self::Source => b'S',
            Self::Leave => b'L',
        }
    }
}

/// A place and its use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What is done there.
    pub used: Use,
    /// An absolute path.
    pub path: PathBuf,
}

impl Place {
    /// A place, by the bytes of its path.
    pub fn new(used: Use, path: &[u8]) -> Self {
        let path = Path::new(OsStr::from_bytes(path)).to_owned();
        Self { used, path }
    }
}

/// All places that a worker may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach(pub BTreeSet<Place>);

impl Reach {
    /// Whether this reaches wherever `other` does.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    /// The message.
    ///
    /// # Errors
    /// When there are too many places, or one cannot be named.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; size_of::<u32>()];
        for place in &self.0 {
            let path = place.path.as_os_str().as_bytes();
            if path.contains(&0) {
                return Err(invalid("a path with a NUL"));
            }
            bytes.push(place.used.letter());
            bytes.extend_from_slice(path);
            bytes.push(0);
        }
        let length = u32::try_from(bytes.len() - size_of::<u32>())
            .ok()
            .filter(|length| *length <= MAX_BYTES && self.0.len() <= MAX_PLACES)
            .ok_or_else(|| invalid("more places than a worker takes"))?;
        bytes[..size_of::<u32>()].copy_from_slice(&length.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the message, and nothing behind it.
    ///
    /// # Errors
    /// When it does not come, or is none.
    pub fn read_from(mut from: impl Read) -> io::Result<Self> {
        let mut length = [0; size_of::<u32>()];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_BYTES {
            return Err(invalid("the list of places is too long"));
        }
        let mut bytes = Vec::new();
        from.take(length.into()).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != u64::from(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::parse(&bytes)
    }

    fn parse(mut rest: &[u8]) -> io::Result<Self> {
        let mut places = BTreeSet::new();
        while let Some((letter, tail)) = rest.split_first() {
            let used = Use::ALL.iter().find(|(l, _)| l == letter);
            let end = tail.iter().position(|b| *b == 0);
            let (Some((_, used)), Some(end)) = (used, end) else {
                return Err(invalid("the list of places cannot be read"));
            };
            let place = Place::new(*used, &tail[..end]);
            if !place.path.is_absolute() || places.len() >= MAX_PLACES {
                return Err(invalid("the list of places is wrong"));
            }
            places.insert(place);
            rest = &tail[end + 1..];
        }
        Ok(Self(places))
    }
}

impl FromIterator<Place> for Reach {
    fn from_iter<I: IntoIterator<Item = Place>>(places: I) -> Self {
        Self(places.into_iter().collect())
    }
}

/// The folder for single files that a person keeps when an account leaves.
pub fn kept_from(home: &Path, identity: &str) -> PathBuf {
    home.join(format!("Kept from {identity}"))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn some() -> Reach {
        [
            Place::new(Use::Root, b"/home/a/Photos"),
            Place::new(Use::Folder, b"/mnt/\xff disk"),
            Place::new(Use::Source, b"/mnt/backup"),
            Place::new(Use::Leave, b"/home/a/Photos"),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn what_is_written_is_read_and_nothing_behind_it() {
        for reach in [some(), Reach::default()] {
            let mut bytes = reach.to_bytes().unwrap();
            bytes.extend_from_slice(b"\0AUTH");
            let mut from = bytes.as_slice();
            assert_eq!(Reach::read_from(&mut from).unwrap(), reach);
            assert_eq!(from, b"\0AUTH");
        }
    }

    #[test]
    fn what_is_broken_off_too_long_or_relative_is_refused() {
        let bytes = some().to_bytes().unwrap();
        for end in 0..bytes.len() {
            Reach::read_from(&bytes[..end]).unwrap_err();
        }
        let long = (MAX_BYTES + 1).to_le_bytes();
        Reach::read_from(long.chain(io::repeat(b'R'))).unwrap_err();
        for wrong in [&b"Rhome\0"[..], b"X/home\0", b"R/home", b"\0"] {
            Reach::parse(wrong).unwrap_err();
        }
        let many = (0..=MAX_PLACES).map(|nr| Place::new(Use::Root, format!("/{nr}").as_bytes()));
        many.collect::<Reach>().to_bytes().unwrap_err();
    }

    #[test]
    fn another_use_of_a_place_is_another_reach() {
        let all = some();
        let mut fewer = all.clone();
        fewer.0.pop_last();
        assert!(all.covers(&fewer) && !fewer.covers(&all));
    }
}
