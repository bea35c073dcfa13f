//! What lies where: every regular file below some folders, by its bytes. Own code throughout; a file
//! is read again whenever anything about it moved.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::ledger::Hash;

/// What says that a file is the one that was read: device, inode, size, and both times.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

/// From this age on a file's times tell every change.
const SETTLED: Duration = Duration::from_millis(500);

/// Remembers what was read.
#[derive(Debug, Default)]
pub struct Scanner {
    read: HashMap<Stamp, Hash>,
}

impl Scanner {
    /// Every regular file below a folder. Links are not followed; a folder that is not there has none.
    ///
    /// # Errors
    /// When something that is there cannot be read.
    pub fn files(&mut self, root: &Path) -> io::Result<BTreeMap<PathBuf, Hash>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let path = entry?.path();
                let Some(meta) = there(fs::symlink_metadata(&path))? else {
                    continue;
                };
                if meta.is_dir() {
                    folders.push(path);
                } else if meta.is_file()
                    && let Some(hash) = there(self.hash(&path, &meta))?
                {
                    found.insert(path, hash);
                }
            }
        }
        Ok(found)
    }

    fn hash(&mut self, path: &Path, meta: &fs::Metadata) -> io::Result<Hash> {
        let stamp = (
            meta.dev(),
            meta.ino(),
            meta.size(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        );
        if let Some(hash) = self.read.get(&stamp) {
            return Ok(*hash);
        }
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut fs::File::open(path)?, &mut hasher)?;
        let hash = hasher.finalize();
        // Two writes within one tick of the filesystem's clock have one time.
        let age = SystemTime::now().duration_since(meta.modified()?);
        if age.is_ok_and(|age| age > SETTLED) {
            self.read.insert(stamp, hash);
        }
        Ok(hash)
    }
}

fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
