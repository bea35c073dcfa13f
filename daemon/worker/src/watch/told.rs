//! Where something changed: the folders that a watch heard of, until somebody takes them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::bytes::{In, Out};
use crate::state::join;

/// The most folders that are kept apart; with more, a look at everything is as good.
const MAX_FOLDERS: usize = 4096;

/// Folders below one root in which something changed, parents before children, and whether all
/// that lies below each is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders(BTreeMap<Vec<u8>, bool>);

impl Folders {
    /// Adds a folder, by its path below the root.
    pub fn add(&mut self, folder: Vec<u8>, with_all_below: bool) {
        *self.0.entry(folder).or_default() |= with_all_below;
    }

    /// The folders, and whether all below each is meant.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.0
            .iter()
            .map(|(folder, deep)| (folder.as_slice(), *deep))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all of another's.
    pub fn extend(&mut self, others: &Self) {
        others
            .iter()
            .for_each(|(folder, deep)| self.add(folder.to_vec(), deep));
    }
}

/// What changed below the roots of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// In these folders only, by root.
    In(BTreeMap<PathBuf, Folders>),
    /// Too much to be told one by one.
    Anywhere,
}

impl Default for Told {
    fn default() -> Self {
        Self::In(BTreeMap::new())
    }
}

impl Told {
    /// Something changed in a folder; `child` names a folder of it that came or went.
    pub fn note(&mut self, root: &Path, folder: &[u8], child: Option<&[u8]>) {
        let Self::In(roots) = self else { return };
        let known: usize = roots.values().map(|folders| folders.0.len()).sum();
        if known >= MAX_FOLDERS {
            *self = Self::Anywhere;
            return;
        }
        let folders = roots.entry(root.to_owned()).or_default();
        folders.add(folder.to_vec(), false);
        if let Some(name) = child {
            folders.add(join(folder, name), true);
        }
    }

    /// Adds what was told before and not acted on.
    pub fn extend(&mut self, before: Self) {
        match (&mut *self, before) {
            (Self::In(now), Self::In(before)) => {
                for (root, folders) in before {
                    now.entry(root).or_default().extend(&folders);
                }
            }
            _ => *self = Self::Anywhere,
        }
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::In(roots) if roots.values().all(Folders::is_empty))
    }

    /// Writes it down for another process.
    pub fn write(&self, out: &mut Out) {
        let Self::In(roots) = self else {
            out.number(1);
            return;
        };
        out.number(0);
        out.count(roots.len());
        for (root, folders) in roots {
            out.bytes(root.as_os_str().as_bytes());
            out.count(folders.0.len());
            for (folder, deep) in folders.iter() {
                out.bytes(folder);
                out.number(deep.into());
            }
        }
    }

    /// Reads what was written down; `None` when it is not that.
    pub fn read(written: &mut In<'_>) -> Option<Self> {
        if written.flag()? {
            return Some(Self::Anywhere);
        }
        let mut roots = BTreeMap::new();
        for _ in 0..written.count(MAX_FOLDERS)? {
            let root = PathBuf::from(OsStr::from_bytes(written.bytes()?));
            let mut folders = Folders::default();
            // One more for each name that came or went.
            for _ in 0..written.count(2 * MAX_FOLDERS)? {
                let folder = written.bytes()?.to_vec();
                folders.add(folder, written.flag()?);
            }
            roots.insert(root, folders);
        }
        Some(Self::In(roots))
    }

    /// What was told of one root; `None` when it may be anything.
    pub fn below(&self, root: &Path) -> Option<Folders> {
        match self {
            Self::In(roots) => Some(roots.get(root).cloned().unwrap_or_default()),
            Self::Anywhere => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn folders_are_told_once_and_parents_come_first() {
        let mut told = Told::default();
        let root = Path::new("/photos");
        told.note(root, b"b", Some(b"new"));
        told.note(root, b"", None);
        told.note(root, b"b/new", None);
        told.note(Path::new("/other"), b"x", None);
        let folders = told.below(root).unwrap();
        let all: Vec<_> = folders.iter().collect();
        assert_eq!(all, [(&b""[..], false), (b"b", false), (b"b/new", true)]);
        assert!(told.below(Path::new("/nothing")).unwrap().is_empty());
    }

    #[test]
    fn what_was_told_can_be_written_down() {
        let mut told = Told::default();
        assert!(told.is_empty());
        told.note(Path::new("/photos"), b"b", Some(b"new"));
        told.note(Path::new("/other"), b"", None);
        for told in [told, Told::default(), Told::Anywhere] {
            let mut out = Out::default();
            told.write(&mut out);
            let bytes = out.finish().unwrap();
            let mut written = In::new(&bytes);
            assert_eq!(Told::read(&mut written).unwrap(), told);
            written.end().unwrap();
        }
    }

    #[test]
    fn too_many_folders_are_everything() {
        let mut told = Told::default();
        for nr in 0..=MAX_FOLDERS {
            told.note(Path::new("/r"), nr.to_string().as_bytes(), None);
        }
        assert_eq!(told, Told::Anywhere);
        assert_eq!(told.below(Path::new("/r")), None);
        assert!(!told.is_empty());
        let mut later = Told::default();
        later.note(Path::new("/r"), b"a", None);
        later.extend(told);
        assert_eq!(later, Told::Anywhere);
    }
}
