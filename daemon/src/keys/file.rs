//! Keys in files: `ID.key`, its bytes and nothing else, in a folder of the state.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::durable;
use crate::failure::Failure;
use crate::sealed::{KEY_BYTES, Key};

const SUFFIX: &str = "key";
/// What others must not be able to do with a key file.
const OTHERS: u32 = 0o077;

/// The folder of key files.
#[derive(Debug)]
pub(super) struct KeyFiles(PathBuf);

impl KeyFiles {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.0.join(id).with_extension(SUFFIX)
    }

    /// The key of this ID, if there is a file of it.
    ///
    /// # Errors
    /// When the file holds something else, or others can read it.
    pub(super) fn get(&self, id: &str) -> Result<Option<Key>, Failure> {
        let path = self.path(id);
        let key = match read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(Failure::at(&path))?,
        };
        if key.id() == id {
            return Ok(Some(key));
        }
        let said = format!("{} holds another key ({})", path.display(), key.id());
        Err(Failure::SecretsLocked(said))
    }

    /// The first key that is whole.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn any(&self) -> Result<Option<Key>, Failure> {
        for id in self.ids()? {
            match self.get(&id) {
                Ok(Some(key)) => return Ok(Some(key)),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a key file is passed over"),
            }
        }
        Ok(None)
    }

    /// Writes a key down, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn add(&self, key: &Key) -> Result<(), Failure> {
        make_folder(&self.0).map_err(Failure::at(&self.0))?;
        let path = self.path(key.id());
        write(&path, key).map_err(Failure::at(&path))?;
        self.make_durable()
    }

    /// Removes every key but one.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub(super) fn keep_only(&self, id: &str) -> Result<(), Failure> {
        let others: Vec<String> = self.ids()?.into_iter().filter(|i| i != id).collect();
        if others.is_empty() {
            return Ok(());
        }
        for other in others {
            let path = self.path(&other);
            fs::remove_file(&path).map_err(Failure::at(&path))?;
            tracing::info!(key = other, "a key that seals nothing any more is gone");
        }
        self.make_durable()
    }

    /// The IDs of what is in the folder, by the names.
    fn ids(&self) -> Result<Vec<String>, Failure> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Failure::at(&self.0))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let path = entry.map_err(Failure::at(&self.0))?.path();
            let is_key = path.extension().is_some_and(|suffix| suffix == SUFFIX);
            if let (true, Some(id)) = (is_key, path.file_stem().and_then(|s| s.to_str())) {
                ids.push(id.to_owned());
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn make_durable(&self) -> Result<(), Failure> {
        durable::sync_folder(&self.0).map_err(Failure::at(&self.0))
    }
}

/// Makes the folder, and its name durable.
fn make_folder(path: &Path) -> io::Result<()> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
    made?;
    path.parent().map_or(Ok(()), durable::sync_folder)
}

fn write(path: &Path, key: &Key) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(key.bytes())?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<Key> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.mode() & OTHERS != 0 {
        let said = "others can read it: chmod 600, and rotate the key (mooringd --rotate-key)";
        return Err(io::Error::new(ErrorKind::PermissionDenied, said));
    }
    // One more than there may be, so that a longer one is told apart.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Key::from_bytes(&bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}
