//! Values as rows, and back.

use mooring_core::attempts::Attempts;
use mooring_core::session::Session;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use crate::account::Account;
use crate::jobs::journal::Entry;

/// Storages whose password tries are remembered; the oldest go first.
const MAX_ATTEMPTS: u32 = 1024;

pub(super) fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Damaged {
        what: what.to_owned(),
        source,
    })
}

pub(super) fn written<T: Serialize>(what: &str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Damaged {
        what: what.to_owned(),
        source,
    })
}

pub(super) fn all<T: DeserializeOwned>(
    connection: &Connection,
    what: &str,
    query: &str,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|text| read(what, &text?)).collect()
}

pub(super) fn account(t: &Transaction<'_>, id: &str) -> Result<Option<Account>, Error> {
    let text: Option<String> = t
        .query_row("SELECT data FROM account WHERE id = ?1", [id], |row| {
            row.get(0)
        })
        .optional()?;
    text.map(|text| read("account", &text)).transpose()
}

/// Whoever writes an account may have read it before its identity record moved on: that stays.
pub(super) fn put_account(t: &Transaction<'_>, account: &Account) -> Result<(), Error> {
    let mut account = account.clone();
    if let Some(before) = self::account(t, &account.id)? {
        account.keep_newer_record(&before.record);
    }
    t.execute(
        "INSERT INTO account (id, data) VALUES (?1, ?2)
         ON CONFLICT (id) DO UPDATE SET data = excluded.data",
        params![account.id, written("account", &account)?],
    )?;
    Ok(())
}

pub(super) fn delete_account(t: &Transaction<'_>, id: &str) -> Result<(), Error> {
    // The reference of the job is checked at the end of the transaction.
    t.pragma_update(None, "defer_foreign_keys", "ON")?;
    t.execute("DELETE FROM account WHERE id = ?1", [id])?;
    Ok(())
}

pub(super) fn put_job(t: &Transaction<'_>, job: &Entry) -> Result<(), Error> {
    let number = signed(job.number);
    t.execute(
        "INSERT INTO job (number, account, data) VALUES (?1, ?2, ?3)
         ON CONFLICT (number) DO UPDATE SET data = excluded.data",
        params![number, job.account, written("job", job)?],
    )?;
    t.execute("UPDATE counter SET last_job = max(last_job, ?1)", [number])?;
    Ok(())
}

pub(super) fn delete_job(t: &Transaction<'_>, number: u64) -> Result<(), Error> {
    t.execute("DELETE FROM job WHERE number = ?1", [signed(number)])?;
    Ok(())
}

pub(super) fn attempts(connection: &Connection, storage_id: &str) -> Result<Attempts, Error> {
    let found = connection
        .query_row(
            "SELECT failures, last_failure, not_before FROM attempts WHERE storage_id = ?1",
            [storage_id],
            |row| {
                Ok(Attempts {
                    failures: row.get(0)?,
                    last_failure: row.get::<_, i64>(1)?.unsigned_abs(),
                    not_before: row.get::<_, i64>(2)?.unsigned_abs(),
                })
            },
        )
        .optional()?;
    Ok(found.unwrap_or_default())
}

pub(super) fn put_attempts(
    t: &Transaction<'_>,
    storage_id: &str,
    attempts: Attempts,
) -> Result<(), Error> {
    let Attempts {
        failures,
        last_failure,
        not_before,
    } = attempts;
    t.execute(
        "INSERT INTO attempts (storage_id, failures, last_failure, not_before)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (storage_id) DO UPDATE SET failures = excluded.failures,
         last_failure = excluded.last_failure, not_before = excluded.not_before",
        params![
            storage_id,
            failures,
            signed(last_failure),
            signed(not_before)
        ],
    )?;
    t.execute(
        "DELETE FROM attempts WHERE storage_id NOT IN
         (SELECT storage_id FROM attempts ORDER BY last_failure DESC LIMIT ?1)",
        [MAX_ATTEMPTS],
    )?;
    Ok(())
}

pub(super) fn delete_attempts(t: &Transaction<'_>, storage_id: &str) -> Result<(), Error> {
    t.execute("DELETE FROM attempts WHERE storage_id = ?1", [storage_id])?;
    Ok(())
}

pub(super) fn session(connection: &Connection, account: &str) -> Result<Option<Session>, Error> {
    Ok(connection
        .query_row(
            "SELECT age, seen FROM session WHERE account = ?1",
            [account],
            |row| {
                Ok(Session {
                    age: row.get::<_, i64>(0)?.unsigned_abs(),
                    seen: row.get::<_, i64>(1)?.unsigned_abs(),
                })
            },
        )
        .optional()?)
}

pub(super) fn put_session(
    t: &Transaction<'_>,
    account: &str,
    session: Session,
) -> Result<(), Error> {
    t.execute(
        "INSERT INTO session (account, age, seen) VALUES (?1, ?2, ?3)
         ON CONFLICT (account) DO UPDATE SET age = excluded.age, seen = excluded.seen",
        params![account, signed(session.age), signed(session.seen)],
    )?;
    Ok(())
}

/// SQLite has no unsigned numbers; ours are times and counts, far below the bound.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
