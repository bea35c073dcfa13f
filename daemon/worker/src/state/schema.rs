//! The tables.

use rusqlite::{Connection, Transaction};

/// The version of the tables below, kept in `user_version`.
const VERSION: i64 = 4;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Folders that were made so that a collection's root could exist.
CREATE TABLE root_made (
    collection INTEGER NOT NULL, nr INTEGER NOT NULL, path BLOB NOT NULL,
    PRIMARY KEY (collection, path)) WITHOUT ROWID;

-- Folders that both sides have. `ours` is 1 when the account brought it or carried it over. The
-- permissions are those that both had when they last agreed; NULL when nobody looked yet.
CREATE TABLE folder (
    collection INTEGER NOT NULL, path BLOB NOT NULL, ours INTEGER NOT NULL,
    l_mode INTEGER, r_mode INTEGER,
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
    -- 1 while a deletion of it on one side is being carried over
    burying INTEGER NOT NULL DEFAULT 0,
    -- 1 once this sign-out removed it, 3 when it was gone before
    gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (collection, folder, name)) WITHOUT ROWID;

-- Folders whose files this sign-out is about to remove: what is missing there, it removed.
CREATE TABLE going (
    collection INTEGER NOT NULL, folder BLOB NOT NULL,
    PRIMARY KEY (collection, folder)) WITHOUT ROWID;
";

/// What leads from a version to the next, the first from 1 to 2.
const STEPS: [&str; 3] = [
    "ALTER TABLE folder ADD COLUMN l_mode INTEGER; ALTER TABLE folder ADD COLUMN r_mode INTEGER;",
    // Version 2 wrote each file down, as 2.
    "CREATE TABLE going (
        collection INTEGER NOT NULL, folder BLOB NOT NULL,
        PRIMARY KEY (collection, folder)) WITHOUT ROWID;
     INSERT INTO going SELECT DISTINCT collection, folder FROM item WHERE gone = 2;
     UPDATE item SET gone = 0 WHERE gone = 2;",
    "ALTER TABLE item ADD COLUMN burying INTEGER NOT NULL DEFAULT 0;",
];

/// Sets the connection up and makes the tables where there are none.
pub fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    // WAL with FULL: one fsync a commit, and every commit survives a power loss.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    // The folders for temporary files are outside the fence.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let change: String = match version {
        VERSION => return Ok(()),
        0 => TABLES.to_owned(),
        1..VERSION => STEPS[version as usize - 1..].concat(),
        other => {
            return Err(rusqlite::Error::InvalidParameterName(format!(
                "tables of version {other}, this Mooring knows {VERSION}"
            )));
        }
    };
    // One transaction: a death in the middle leaves the version before, whole.
    let transaction = connection.transaction()?;
    transaction.execute_batch(&change)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Empties every table.
pub fn erase(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "DELETE FROM meta; DELETE FROM root_made; DELETE FROM folder; DELETE FROM item;
         DELETE FROM going;",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The tables of version 1 that later steps change, as they were.
    const FIRST: &str = "
        CREATE TABLE folder (
            collection INTEGER NOT NULL, path BLOB NOT NULL, ours INTEGER NOT NULL,
            PRIMARY KEY (collection, path)) WITHOUT ROWID;
        INSERT INTO folder VALUES (1, x'61', 1);
        CREATE TABLE item (collection INTEGER, folder BLOB, name BLOB, gone INTEGER);
        INSERT INTO item VALUES (1, x'61', x'62', 2), (1, x'61', x'63', 2), (1, x'62', x'62', 1);
        PRAGMA user_version = 1;";

    fn columns(connection: &Connection, table: &str) -> Vec<String> {
        let mut columns = connection
            .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
            .unwrap();
        let names = columns.query_map([], |row| row.get(0)).unwrap();
        names.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn an_earlier_version_becomes_this_one_and_loses_nothing() {
        let mut new = Connection::open_in_memory().unwrap();
        prepare(&mut new).unwrap();
        let mut old = Connection::open_in_memory().unwrap();
        old.execute_batch(FIRST).unwrap();
        for _ in 0..2 {
            prepare(&mut old).unwrap();
            assert_eq!(columns(&old, "folder"), columns(&new, "folder"));
            assert_eq!(columns(&old, "going"), columns(&new, "going"));
            let going: Vec<u8> = old
                .query_row("SELECT folder FROM going", [], |r| r.get(0))
                .unwrap();
            let left: i64 = old
                .query_row("SELECT COUNT(*) FROM item WHERE gone = 2", [], |r| r.get(0))
                .unwrap();
            assert_eq!((going, left), (b"a".to_vec(), 0));
            let row: (i64, Vec<u8>, bool, Option<u32>) = old
                .query_row(
                    "SELECT collection, path, ours, l_mode FROM folder",
                    [],
                    |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
                )
                .unwrap();
            assert_eq!(row, (1, b"a".to_vec(), true, None));
        }
    }

    #[test]
    fn a_later_version_is_refused_and_left_as_it_is() {
        let mut later = Connection::open_in_memory().unwrap();
        later
            .pragma_update(None, "user_version", VERSION + 1)
            .unwrap();
        prepare(&mut later).unwrap_err();
        assert!(columns(&later, "folder").is_empty());
    }
}
