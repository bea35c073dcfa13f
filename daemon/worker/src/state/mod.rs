//! The worker's state of one account: a SQLite database with the inventory and the latch.
//!
//! Everything is written in transactions with `synchronous=FULL`: what was committed survives a
//! power loss, what was not never happened. Each commit passes [`State::on_commit`] first, so
//! that a test can die there.

mod answers;
mod folders;
mod inventory;
mod removal;
mod repair;
mod schema;
mod tally;

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mooring_core::collection::Collection;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

pub use folders::{Folder, Modes};
pub use inventory::{Item, Key, Proof, Stamp, join, split};
pub use repair::{damage, put_aside};
use tally::Tallies;
pub use tally::Tally;

use crate::error::{Error, Result};

/// The worker's own latch. It only moves forward, but for `Leaving` back to `Active`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Epoch {
    /// The account is being brought.
    New,
    /// The account is in use.
    Active,
    /// A sign-out drains and verifies: nothing is downloaded or deleted here.
    Leaving,
    /// A sign-out removes: a missing local file is never an operation.
    Removing,
}

impl Epoch {
    /// The name in the state and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
            Self::Leaving => "leaving",
            Self::Removing => "removing",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::New, Self::Active, Self::Leaving, Self::Removing]
            .into_iter()
            .find(|epoch| epoch.name() == name)
    }
}

/// Called with a transaction's name before it commits; an error keeps it from happening.
pub type CommitHook = Box<dyn Fn(&'static str) -> io::Result<()> + Send + Sync>;

/// The state of one account.
pub struct State {
    connection: Mutex<Connection>,
    /// The folder of the database, or nothing when it lives in memory.
    home: Option<PathBuf>,
    on_commit: Option<CommitHook>,
    tallies: Tallies,
}

impl State {
    /// Opens (or makes) the state in a folder.
    ///
    /// # Errors
    /// [`Error::State`] when the database is damaged, of a later version, or cannot be opened.
    pub fn open(home: &Path) -> Result<Self> {
        repair::expect_sound_log(home)?;
        let path = home.join("state.db");
        // It names a person's files: theirs alone, wherever the folder is copied to. SQLite takes
        // the permissions over for what it puts beside.
        let made = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        let private = made.and_then(|file| file.set_permissions(Permissions::from_mode(0o600)));
        private.map_err(|e| Error::io("open", &path, e))?;
        let connection = Connection::open(&path);
        let connection = connection.map_err(|source| damaged(Some(home), source))?;
        Self::with_connection(connection, Some(home.to_owned()), None)
    }

    /// A state on a given connection, for simulations.
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn in_memory(connection: Connection, on_commit: CommitHook) -> Result<Self> {
        Self::with_connection(connection, None, Some(on_commit))
    }

    fn with_connection(
        mut connection: Connection,
        home: Option<PathBuf>,
        on_commit: Option<CommitHook>,
    ) -> Result<Self> {
        schema::prepare(&mut connection).map_err(|source| damaged(home.as_deref(), source))?;
        Ok(Self {
            connection: Mutex::new(connection),
            home,
            on_commit,
            tallies: Tallies::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic of another thread leaves no half transaction: dropping one rolls it back.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn damaged(&self, source: rusqlite::Error) -> Error {
        damaged(self.home.as_deref(), source)
    }

    /// Reads within the lock.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        work(&self.lock()).map_err(|source| self.damaged(source))
    }

    /// Does a transaction, durable when this returns.
    pub(crate) fn commit<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut connection = self.lock();
        let transaction = connection
            .transaction()
            .map_err(|source| self.damaged(source))?;
        let value = work(&transaction).map_err(|source| self.damaged(source))?;
        if let Some(hook) = &self.on_commit {
            hook(name).map_err(|e| Error::io("commit to", Path::new(name), e))?;
        }
        mooring_wire::fault::point(mooring_wire::fault::Process::Worker, name);
        transaction
            .commit()
            .map_err(|source| self.damaged(source))?;
        Ok(value)
    }

    /// The latch.
    pub fn epoch(&self) -> Result<Epoch> {
        let name: Option<String> = self.meta("epoch")?;
        match name {
            None => Ok(Epoch::New),
            Some(name) => Epoch::from_name(&name)
                .ok_or_else(|| self.damaged(rusqlite::Error::InvalidParameterName(name))),
        }
    }

    /// Moves the latch, durably.
    pub fn set_epoch(&self, epoch: Epoch) -> Result<()> {
        self.set_meta("epoch", epoch.name())
    }

    /// When the account last synced completely, in seconds since the Unix epoch, or 0.
    pub fn last_sync(&self) -> Result<u64> {
        let seconds: Option<String> = self.meta("last-sync")?;
        Ok(seconds.and_then(|s| s.parse().ok()).unwrap_or(0))
    }

    /// Records a complete sync.
    pub fn set_last_sync(&self, seconds: u64) -> Result<()> {
        self.set_meta("last-sync", &seconds.to_string())
    }

    /// The value under a key.
    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        self.read(|c| {
            c.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .optional()
        })
    }

    /// Sets the value under a key, durably.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        self.commit("commit-meta", |t| {
            t.execute(
                "INSERT INTO meta (key, value) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = ?2",
                [key, value],
            )
            .map(drop)
        })
    }

    /// The folders that Mooring made for a collection's root, outermost first.
    pub fn roots_made(&self, collection: Collection) -> Result<Vec<PathBuf>> {
        use std::os::unix::ffi::OsStringExt;
        self.read(|c| {
            c.prepare_cached("SELECT path FROM root_made WHERE collection = ?1 ORDER BY nr")?
                .query_map([collection as i64], |row| row.get::<_, Vec<u8>>(0))?
                .map(|path| Ok(PathBuf::from(std::ffi::OsString::from_vec(path?))))
                .collect()
        })
    }

    /// Records folders that are about to be made, outermost first.
    pub fn add_roots_made(&self, collection: Collection, paths: &[PathBuf]) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        self.commit("commit-roots", |t| {
            let start: i64 = t.query_row("SELECT COUNT(*) FROM root_made", [], |row| row.get(0))?;
            for (nr, path) in (start..).zip(paths) {
                t.execute(
                    "INSERT OR IGNORE INTO root_made (collection, nr, path) VALUES (?1, ?2, ?3)",
                    params![collection as i64, nr, path.as_os_str().as_bytes()],
                )?;
            }
            Ok(())
        })
    }

    /// Erases the state for good. The next [`State::open`] begins anew.
    ///
    /// # Errors
    /// When a file of it cannot be removed.
    pub fn destroy(self) -> Result<()> {
        let Some(home) = self.home.clone() else {
            return self.commit("commit-destroy", schema::erase);
        };
        // The latch goes with the first file; SQLite finds no database without it.
        drop(
            self.connection
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let path = home.join(name);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("remove", &path, e)),
            }
        }
        repair::erase_aside(&home)?;
        let folder = File::open(&home).and_then(|f| f.sync_all());
        folder.map_err(|e| Error::io("make durable", &home, e))
    }
}

fn damaged(home: Option<&Path>, source: rusqlite::Error) -> Error {
    if let rusqlite::Error::SqliteFailure(e, _) = &source
        && e.code == rusqlite::ErrorCode::DiskFull
    {
        return Error::NoSpace(
            "no space is left for the account's state: free some space and try again".to_owned(),
        );
    }
    if let rusqlite::Error::SqliteFailure(e, _) = &source
        && let Some(home) = home
        && matches!(
            e.code,
            rusqlite::ErrorCode::SystemIoFailure
                | rusqlite::ErrorCode::ReadOnly
                | rusqlite::ErrorCode::CannotOpen
                | rusqlite::ErrorCode::PermissionDenied
        )
    {
        return Error::Disk(format!(
            "the account's state in {} cannot be read or written ({source}): look at the disk and at \
             your rights there, then try again",
            home.display()
        ));
    }
    let path = home.map_or_else(|| "memory".to_owned(), |home| home.display().to_string());
    Error::State { path, source }
}
