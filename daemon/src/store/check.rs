//! Whether the state is what was written: SQLite's log and pages by their own checks, and each row by
//! its seal. What is not is never acted upon.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use mooring_core::seal;
use mooring_core::wal::{self, Standing};
use rusqlite::{Connection, Transaction, params};

use super::rows::{self, ATTEMPTS, COUNTER, SESSION};
use super::{Error, rows::POLICY};

/// Where SQLite keeps the log of a database.
fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Passes when SQLite's log has all that was committed. Before SQLite opens it: it would take what
/// went bad for never written, and make room.
pub(super) fn expect_sound_log(database: &Path) -> Result<(), Error> {
    let log = log_of(database);
    let file = match File::open(&log) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    match wal::look(BufReader::new(file))? {
        Standing::Whole => Ok(()),
        Standing::Torn => {
            tracing::warn!(log = %log.display(), "{}", wal::TORN);
            Ok(())
        }
        Standing::Rotten(frame) => Err(Error::Pages(wal::rotten(frame))),
    }
}

/// SQLite's own check, indexes included.
pub(super) fn expect_sound(connection: &Connection) -> Result<(), Error> {
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        Ok(())
    } else {
        Err(Error::Pages(said))
    }
}

/// Passes when every row is what was written.
pub(super) fn expect_whole(connection: &Connection) -> Result<(), Error> {
    rows::account_rows(connection)?;
    rows::jobs(connection)?;
    rows::last_job(connection)?;
    rows::policy(connection)?;
    for storage in keys(connection, "SELECT storage_id FROM attempts")? {
        rows::attempts(connection, &storage)?;
    }
    for account in keys(connection, "SELECT account FROM session")? {
        rows::session(connection, &account)?;
    }
    Ok(())
}

fn keys(connection: &Connection, query: &str) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(query)?;
    let keys = statement.query_map([], |row| row.get(0))?;
    Ok(keys.collect::<rusqlite::Result<_>>()?)
}

/// Seals the rows of a state that has no seals yet: one of before there were any, or an empty one.
pub(super) fn seal_once(t: &Transaction<'_>) -> Result<(), Error> {
    let query = "SELECT 1 FROM pragma_table_info('counter') WHERE name = 'sum'";
    if t.prepare(query)?.exists([])? {
        return Ok(());
    }
    t.execute_batch(
        "ALTER TABLE counter ADD COLUMN sum TEXT NOT NULL DEFAULT '';
         ALTER TABLE attempts ADD COLUMN sum TEXT NOT NULL DEFAULT '';
         ALTER TABLE session ADD COLUMN sum TEXT NOT NULL DEFAULT '';",
    )?;
    seal_texts(t)?;
    let numbers = [
        (
            "SELECT rowid, '', last_job, 0, 0 FROM counter",
            COUNTER,
            1,
            "counter",
        ),
        (
            "SELECT rowid, storage_id, failures, last_failure, not_before FROM attempts",
            ATTEMPTS,
            3,
            "attempts",
        ),
        (
            "SELECT rowid, account, age, seen, 0 FROM session",
            SESSION,
            2,
            "session",
        ),
    ];
    for (query, kind, count, table) in numbers {
        let mut statement = t.prepare(query)?;
        let rows = statement.query_map([], |row| {
            let numbers: [i64; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, numbers))
        })?;
        for (row, key, numbers) in rows.collect::<rusqlite::Result<Vec<_>>>()? {
            let sum = rows::sum(kind, &key, &numbers[..count]);
            t.execute(
                &format!("UPDATE {table} SET sum = ?2 WHERE rowid = ?1"),
                params![row, sum],
            )?;
        }
    }
    Ok(())
}

fn seal_texts(t: &Transaction<'_>) -> Result<(), Error> {
    let texts = [
        (
            "SELECT rowid, id, 0, data FROM account",
            rows::ACCOUNT,
            "account",
            "data",
        ),
        (
            "SELECT rowid, account, number, data FROM job",
            rows::JOB,
            "job",
            "data",
        ),
        (
            "SELECT rowid, '', 0, sources FROM last_good_policy",
            POLICY,
            "last_good_policy",
            "sources",
        ),
    ];
    for (query, kind, table, column) in texts {
        let mut statement = t.prepare(query)?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        for row in rows.collect::<rusqlite::Result<Vec<(i64, String, i64, String)>>>()? {
            let (row, key, number, text) = row;
            let key = if kind == rows::JOB {
                rows::job_key(number, &key)
            } else {
                key
            };
            t.execute(
                &format!("UPDATE {table} SET {column} = ?2 WHERE rowid = ?1"),
                params![row, seal::seal(kind, &key, &text)],
            )?;
        }
    }
    Ok(())
}
