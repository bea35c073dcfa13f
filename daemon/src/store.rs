//! The broker's durable state: accounts, jobs, password tries, the last good policy. SQLite.
//!
//! Every change is one transaction, durable when the call returns (`synchronous=FULL`). Calls
//! block for the length of an fsync: what follows a change must not be told, or done, before.

mod check;
mod finished;
mod refused;
mod rows;
mod schema;
mod sealed;

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use mooring_core::attempts::Attempts;
use mooring_core::policy::Source;
use mooring_core::session::Session;
use mooring_wire::fault::{self, Process};
use rusqlite::{Connection, OpenFlags, Transaction};

use crate::account::Account;
use crate::jobs::ended::Ended;
use crate::jobs::journal::Entry;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use rows::fuzzed;
pub use sealed::Sealing;

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite says so.
    #[error("the broker's state cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row does not have the form it should.
    #[error("the broker's state is damaged: {what}: {source}")]
    Damaged {
        /// Which row.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A row is not what was written.
    #[error("the broker's state is damaged: what it has of {what} {key} is not what was written")]
    Broken {
        /// What kind of row.
        what: String,
        /// Of what it is.
        key: String,
    },
    /// The file itself is not what was written.
    #[error("the broker's state is damaged: {0}")]
    Pages(String),
    /// It is found damaged before anything was done with it.
    #[error(
        "{path}: {source}. Nothing is done with it, and no file was touched. Move it and the files beside \
         it that begin with its name aside, take `.mooring-collection` out of the account's folders, start \
         again, and sign in to the same folders (`mooringctl sign-in`, with --adopt): what is there is taken up by comparing bytes. A damaged file means a \
         disk to look at"
    )]
    Refused {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The file was written by a newer Mooring.
    #[error("the broker's state is of version {0}, from a newer Mooring")]
    Newer(u32),
    /// A secret cannot be sealed or opened.
    #[error("the secrets of {account} are locked: {why}")]
    Locked {
        /// The account's ID.
        account: String,
        /// Why, and what to do.
        why: String,
    },
    /// No more password tries can be remembered, so that none can be made.
    #[error(
        "wrong passwords of {} storages are waited for, the most: try again in a quarter of an hour",
        rows::MAX_ATTEMPTS
    )]
    TriesFull,
    /// An outcome of a job cannot be encoded.
    #[error("how a job ended cannot be written down: {0}")]
    Outcome(zbus::Error),
    /// The file cannot be opened as what it has to be.
    #[error(
        "the broker's state {path} cannot be opened ({source}). Nothing was changed. If its disk is sound, \
         move it and the files beside it that begin with its name aside, take `.mooring-collection` out of \
         the account's folders, start again, and sign in to the same folders (with --adopt): what is there is taken up by comparing bytes"
    )]
    Open {
        /// The file.
        path: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file cannot be made.
    #[error("the broker's state cannot be made: {0}")]
    Io(#[from] std::io::Error),
}

/// The durable state.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    sealing: RwLock<Sealing>,
}

impl Store {
    /// Opens the state, or makes it. Its secrets are locked until there is a key
    /// ([`Store::use_key`]).
    ///
    /// # Errors
    /// When it cannot be made, is damaged, or comes from a newer Mooring.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let refused = |source| Error::Refused {
            path: shown.clone(),
            source: Box::new(source),
        };
        check::expect_sound_log(path).map_err(refused)?;
        // Made here and not by SQLite, for the mode; its journal takes the mode over.
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let fail = |source| Error::Open {
            path: shown.clone(),
            source,
        };
        let mut connection = Connection::open(path).map_err(fail)?;
        match schema::prepare(&mut connection) {
            Err(Error::Sqlite(source)) => return Err(fail(source)),
            Err(newer @ Error::Newer(_)) => return Err(newer),
            prepared => prepared.map_err(refused)?,
        }
        Ok(Self {
            connection: Mutex::new(connection),
            sealing: RwLock::default(),
        })
    }

    /// What is damaged, or nothing.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn check(&self) -> Result<Option<String>, Error> {
        let path = self.connection().path().map(PathBuf::from);
        let path = path.ok_or_else(|| std::io::Error::other("it is no file"))?;
        // One of its own: whoever reads every page keeps nobody from the rows meanwhile.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let looked =
            check::expect_sound(&connection).and_then(|()| check::expect_whole(&connection));
        match looked {
            Err(e @ (Error::Broken { .. } | Error::Pages(_) | Error::Damaged { .. })) => {
                Ok(Some(e.to_string()))
            }
            looked => looked.map(|()| None),
        }
    }

    /// Every account.
    ///
    /// # Errors
    /// When a row is damaged.
    pub fn accounts(&self) -> Result<Vec<Account>, Error> {
        rows::accounts(&self.connection(), &self.sealing())
    }

    /// Every job that has not ended, oldest first.
    ///
    /// # Errors
    /// When a row is damaged.
    pub fn jobs(&self) -> Result<Vec<Entry>, Error> {
        rows::jobs(&self.connection())
    }

    /// The highest number that a journaled job ever had.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn last_job(&self) -> Result<u64, Error> {
        Ok(rows::last_job(&self.connection())?.unsigned_abs())
    }

    /// Makes an account durable together with the job that brings or changes it.
    ///
    /// # Errors
    /// When it cannot be written; nothing has changed then.
    pub fn save(&self, account: &Account, job: &Entry) -> Result<(), Error> {
        self.commit(|t| {
            rows::put_account(t, &self.sealing(), account)?;
            rows::put_job(t, job)
        })
    }

    /// Makes a job's progress durable.
    ///
    /// # Errors
    /// When it cannot be written; nothing has changed then.
    pub fn save_job(&self, job: &Entry) -> Result<(), Error> {
        self.commit(|t| rows::put_job(t, job))
    }

    /// Makes an account's state durable.
    ///
    /// # Errors
    /// When it cannot be written; nothing has changed then.
    pub fn save_account(&self, account: &Account) -> Result<(), Error> {
        self.commit(|t| rows::put_account(t, &self.sealing(), account))
    }

    /// Makes the identity record of an account durable; of one that is not here, nothing.
    ///
    /// # Errors
    /// When it cannot be written; nothing has changed then.
    pub fn save_record(&self, account: &str, record: &str) -> Result<(), Error> {
        self.commit(|t| {
            let sealing = self.sealing();
            let Some(mut found) = rows::account(t, &sealing, account)? else {
                return Ok(());
            };
            found.record = record.to_owned();
            rows::put_account(t, &sealing, &found)
        })
    }

    /// Ends a job, and leaves the account as given. How it ended is remembered for a while.
    ///
    /// # Errors
    /// When it cannot be written; nothing has changed then.
    pub fn end_job(&self, account: &Account, ended: &Ended) -> Result<(), Error> {
        self.commit(|t| {
            rows::put_account(t, &self.sealing(), account)?;
            rows::delete_job(t, ended.number)?;
            finished::put(t, ended)
        })
    }

    /// How jobs ended that are remembered at this time, oldest first.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn ended(&self, now: u64) -> Result<Vec<Ended>, Error> {
        finished::all(&self.connection(), now)
    }

    /// Counts a refusal, by its reason.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn count_refusal(&self, reason: &str) -> Result<(), Error> {
        self.commit(|t| refused::count(t, reason))
    }

    /// How often something was refused, by reason.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn refusals(&self) -> Result<BTreeMap<String, u64>, Error> {
        refused::all(&self.connection())
    }

    /// Forgets an account, its jobs and, last, the one that ends it. Only how that ended is
    /// remembered for a while.
    ///
    /// # Errors
    /// When it cannot be written; nothing has changed then.
    pub fn forget(&self, account: &str, ended: &Ended) -> Result<(), Error> {
        self.commit(|t| {
            rows::delete_account(t, account)?;
            finished::delete(t, account)?;
            rows::delete_job(t, ended.number)?;
            finished::put(t, ended)
        })?;
        self.empty_journal();
        Ok(())
    }

    /// Drops an account and its job without an end to remember.
    ///
    /// # Errors
    /// When it cannot be written; nothing has changed then.
    pub fn drop_account(&self, account: &str) -> Result<(), Error> {
        self.commit(|t| {
            rows::delete_account(t, account)?;
            rows::delete_jobs_of(t, account)?;
            finished::delete(t, account)
        })?;
        self.empty_journal();
        Ok(())
    }

    /// The journal beside the database still has the rows: empty it. A reader may keep us from
    /// that, and then the next start does it.
    pub fn empty_journal(&self) {
        let emptied = self
            .connection()
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            });
        match emptied {
            Ok(0) => {}
            Ok(_) => tracing::debug!("the journal of the state is in use and was not emptied"),
            Err(error) => tracing::warn!(%error, "the journal of the state was not emptied"),
        }
    }

    /// The tries of the password of a storage.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn attempts(&self, storage_id: &str) -> Result<Attempts, Error> {
        rows::attempts(&self.connection(), storage_id)
    }

    /// Makes the tries of a password durable.
    ///
    /// # Errors
    /// When it cannot be written; the try must not be made then.
    pub fn save_attempts(&self, storage_id: &str, attempts: Attempts) -> Result<(), Error> {
        self.commit(|t| rows::put_attempts(t, storage_id, attempts))
    }

    /// Forgets the tries of a password: it was right.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn clear_attempts(&self, storage_id: &str) -> Result<(), Error> {
        self.commit(|t| rows::delete_attempts(t, storage_id))
    }

    /// How old the session of an account was when that was last written down, if it ever was.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn session(&self, account: &str) -> Result<Option<Session>, Error> {
        rows::session(&self.connection(), account)
    }

    /// Makes the age of an account's session durable.
    ///
    /// # Errors
    /// When it cannot be written, or there is no such account.
    pub fn save_session(&self, account: &str, session: Session) -> Result<(), Error> {
        self.commit(|t| rows::put_session(t, account, session))
    }

    /// The files of the last good policy; none when none was ever kept.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn last_good_policy(&self) -> Result<Option<Vec<Source>>, Error> {
        rows::policy(&self.connection())
    }

    /// Keeps the files of a good policy, or erases what is kept.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_last_good_policy(&self, sources: Option<&[Source]>) -> Result<(), Error> {
        let text = sources
            .map(|s| rows::written(rows::POLICY, "", &s))
            .transpose()?;
        self.commit(|t| {
            t.execute("DELETE FROM last_good_policy", [])?;
            if let Some(text) = &text {
                t.execute(
                    "INSERT INTO last_good_policy (one, sources) VALUES (1, ?1)",
                    [text],
                )?;
            }
            Ok(())
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic in between rolled its transaction back: the connection is whole.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.commit_between(change, "journal-before", "journal-after")
    }

    fn commit_between(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<(), Error>,
        before: &str,
        after: &str,
    ) -> Result<(), Error> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        change(&transaction)?;
        fault::point(Process::Broker, before);
        transaction.commit()?;
        fault::point(Process::Broker, after);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
