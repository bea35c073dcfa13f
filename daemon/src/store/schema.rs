//! The tables of the broker's state.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::{Error, check};

/// The version of the tables.
const VERSION: u32 = 2;
/// The version before identity records were sealed: its rows are taken as they are, and sealed as
/// soon as there is a key.
const UNSEALED: u32 = 1;
/// How long another reader of the file (a backup, a curious person) may hold us up.
const BUSY: Duration = Duration::from_secs(5);

/// What varies with a row's meaning is JSON in `data`; what is searched for has its own column.
pub(super) const TABLES: &str = "
    CREATE TABLE account (id TEXT PRIMARY KEY, data TEXT NOT NULL) STRICT;
    CREATE TABLE job (
        number INTEGER PRIMARY KEY,
        account TEXT NOT NULL UNIQUE REFERENCES account (id),
        data TEXT NOT NULL
    ) STRICT;
    CREATE TABLE counter (one INTEGER PRIMARY KEY CHECK (one = 1), last_job INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES (1, 0);
    CREATE TABLE attempts (
        storage_id TEXT PRIMARY KEY,
        failures INTEGER NOT NULL,
        last_failure INTEGER NOT NULL,
        not_before INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE last_good_policy (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        sources TEXT NOT NULL
    ) STRICT;
";

/// What was added since; made wherever it is missing.
pub(super) const ADDED: &str = "
    CREATE TABLE IF NOT EXISTS finished (
        number INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        kind TEXT NOT NULL,
        uid INTEGER NOT NULL,
        stage TEXT NOT NULL,
        ended_at INTEGER NOT NULL,
        outcome BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS session (
        account TEXT PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
        age INTEGER NOT NULL,
        seen INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS sealed (
        account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        secret BLOB NOT NULL,
        PRIMARY KEY (account, kind)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS refused (reason TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS sealing (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        state TEXT NOT NULL,
        key TEXT
    ) STRICT;
    INSERT OR IGNORE INTO sealing VALUES (1, lower(hex(randomblob(16))), NULL);
";

/// Sets a connection up and makes or checks the tables.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Error> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The forgotten is gone from the file too.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // Before anything is written into it.
    check::expect_sound(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match found {
        0 => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        UNSEALED => transaction.pragma_update(None, "user_version", VERSION)?,
        VERSION => {}
        newer => return Err(Error::Newer(newer)),
    }
    transaction.execute_batch(ADDED)?;
    check::seal_once(&transaction)?;
    transaction.commit()?;
    check::expect_whole(connection)?;
    // What an earlier life forgot is gone from the journal, too.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}
