//! The tables.

use rusqlite::{Connection, Transaction};

/// The version of the tables below, kept in `user_version`.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Folders that were made so that a collection's root could exist.
CREATE TABLE root_made (
    collection INTEGER NOT NULL, nr INTEGER NOT NULL, path BLOB NOT NULL,
    PRIMARY KEY (collection, path)) WITHOUT ROWID;

-- Folders that both sides have. `ours` is 1 when the account brought it or carried it over.
CREATE TABLE folder (
    collection INTEGER NOT NULL, path BLOB NOT NULL, ours INTEGER NOT NULL,
    PRIMARY KEY (collection, path)) WITHOUT ROWID;

-- The inventory: files on which both sides agreed.
CREATE TABLE item (
    collection INTEGER NOT NULL, folder BLOB NOT NULL, name BLOB NOT NULL,
    local_hash BLOB NOT NULL, remote_hash BLOB NOT NULL,
    -- the local file with local_hash: stamp, and when it was hashed (ns); NULL when absent here
    l_ino INTEGER, l_size INTEGER, l_mtime INTEGER, l_ctime INTEGER, l_hashed INTEGER,
    mode INTEGER NOT NULL,
    -- the remote file with remote_hash, likewise
    r_ino INTEGER, r_size INTEGER, r_mtime INTEGER, r_ctime INTEGER, r_hashed INTEGER,
    -- the remote stamp whose bytes were read back, and when that reading began (ns)
    p_ino INTEGER, p_size INTEGER, p_mtime INTEGER, p_ctime INTEGER, p_at INTEGER,
    here_before INTEGER NOT NULL DEFAULT 0,
    -- 1 while a deletion of it on one side waits for an answer
    held INTEGER NOT NULL DEFAULT 0,
    -- 1 once this sign-out removed it, 2 while it is about to, 3 when it was gone before
    gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (collection, folder, name)) WITHOUT ROWID;
";

/// Sets the connection up and makes the tables where there are none.
pub fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    // WAL with FULL: one fsync a commit, and every commit survives a power loss.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.set_prepared_statement_cache_capacity(32);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        VERSION => Ok(()),
        0 => {
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()
        }
        other => Err(rusqlite::Error::InvalidParameterName(format!(
            "tables of version {other}, this Mooring knows {VERSION}"
        ))),
    }
}

/// Empties every table.
pub fn erase(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "DELETE FROM meta; DELETE FROM root_made; DELETE FROM folder; DELETE FROM item;",
    )
}
