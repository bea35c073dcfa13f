//! What a folder holds, so that before and after can be compared byte for byte.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// At most so many differences are told.
const MAX_TOLD: usize = 20;

/// What kind of thing a name stands for, with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file: its size and the BLAKE3 of its bytes.
    File(u64, blake3::Hash),
    /// A folder.
    Folder,
    /// A symbolic link and where it points to.
    Link(Vec<u8>),
    /// A socket, pipe or device.
    Other,
}

/// Everything that must survive about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// When a file was modified, in nanoseconds since the Unix epoch; 0 for all else.
    pub modified: i128,
}

/// All names below a folder, as bytes relative to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest(pub BTreeMap<Vec<u8>, Entry>);

impl Manifest {
    /// Reads everything below `folder`; a folder that is not there is an empty one.
    ///
    /// # Panics
    /// When something in it cannot be read.
    pub fn of(folder: &Path) -> Self {
        let mut manifest = Self::default();
        if folder.exists() {
            manifest.add(folder, &[]);
        }
        manifest
    }

    fn add(&mut self, root: &Path, below: &[u8]) {
        let folder = root.join(OsStr::from_bytes(below));
        let names = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in names {
            let entry = entry.unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
            let mut name = below.to_vec();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend(entry.file_name().into_vec());
            // A daemon at work takes its own away between the listing and the reading.
            let Some(read) = read(&entry.path()) else {
                continue;
            };
            let is_folder = read.kind == Kind::Folder;
            self.0.insert(name.clone(), read);
            if is_folder {
                self.add(root, &name);
            }
        }
    }

    /// The same without the names for which `drop` says true (and whatever lies below them only if
    /// `drop` says so too).
    #[must_use]
    pub fn without(mut self, drop: impl Fn(&[u8]) -> bool) -> Self {
        self.0.retain(|name, _| !drop(name));
        self
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.0
            .values()
            .filter(|entry| matches!(entry.kind, Kind::File(..)))
            .count()
    }

    /// What differs, a sentence each; empty when nothing does.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut told = Vec::new();
        for (name, entry) in &self.0 {
            let shown = name.escape_ascii();
            match after.0.get(name) {
                None => told.push(format!("gone: {shown}")),
                Some(other) if other != entry => {
                    told.push(format!("changed: {shown}: {entry:?} is now {other:?}"));
                }
                Some(_) => {}
            }
        }
        let new = after.0.keys().filter(|name| !self.0.contains_key(*name));
        told.extend(new.map(|name| format!("new: {}", name.escape_ascii())));
        told
    }

    /// Compares.
    ///
    /// # Panics
    /// With what differs, if anything does.
    #[track_caller]
    pub fn assert_same(&self, after: &Self) {
        let differences = self.differences(after);
        if differences.is_empty() {
            return;
        }
        let mut text = format!("{} differences", differences.len());
        for difference in differences.iter().take(MAX_TOLD) {
            let _ = write!(text, "\n  {difference}");
        }
        panic!("{text}");
    }
}

/// What a name stands for; `None` when it is gone.
fn read(path: &Path) -> Option<Entry> {
    match try_read(path) {
        Ok(entry) => Some(entry),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => panic!("{}: {e}", path.display()),
    }
}

fn try_read(path: &Path) -> io::Result<Entry> {
    let meta = fs::symlink_metadata(path)?;
    let kind = if meta.is_file() {
        let mut hasher = blake3::Hasher::new();
        let mut file = fs::File::open(path)?;
        let size = io::copy(&mut file, &mut hasher)?;
        Kind::File(size, hasher.finalize())
    } else if meta.is_dir() {
        Kind::Folder
    } else if meta.is_symlink() {
        let target = fs::read_link(path)?;
        Kind::Link(target.into_os_string().into_vec())
    } else {
        Kind::Other
    };
    // A folder's time moves with every name in it, and a link's with its making: nobody keeps them.
    let modified = match kind {
        Kind::File(..) => i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
        _ => 0,
    };
    Ok(Entry {
        kind,
        mode: meta.mode() & 0o7777,
        modified,
    })
}
