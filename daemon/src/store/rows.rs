//! Values as rows, and back.

use std::collections::BTreeSet;

use mooring_core::attempts::Attempts;
use mooring_core::policy::Source;
use mooring_core::seal;
use mooring_core::session::Session;
use rusqlite::{Connection, OptionalExtension, Params, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use super::sealed::{self, Sealing};
use crate::account::Account;
use crate::jobs::journal::Entry;
use crate::sealed::Kind;

/// What rows are called, in their seals and in messages.
pub(super) const ACCOUNT: &str = "account";
pub(super) const JOB: &str = "job";
pub(super) const ATTEMPTS: &str = "password tries";
pub(super) const SESSION: &str = "age of a session";
pub(super) const POLICY: &str = "last good policy";
pub(super) const COUNTER: &str = "number of the last job";
/// Storages whose password tries are remembered. The oldest go first, of those that nobody waits for.
pub(super) const MAX_ATTEMPTS: u32 = 1024;

/// What is in a row that was sealed under this key (`core/seal.rs`).
pub(super) fn read<T: DeserializeOwned>(what: &str, key: &str, sealed: &str) -> Result<T, Error> {
    let text = seal::open(what, key, sealed).map_err(|_| broken(what, key))?;
    serde_json::from_str(text).map_err(|source| Error::Damaged {
        what: what.to_owned(),
        source,
    })
}

pub(super) fn written<T: Serialize>(what: &str, key: &str, value: &T) -> Result<String, Error> {
    let text = serde_json::to_string(value).map_err(|source| Error::Damaged {
        what: what.to_owned(),
        source,
    })?;
    Ok(seal::seal(what, key, &text))
}

pub(super) fn broken(what: &str, key: &str) -> Error {
    Error::Broken {
        what: what.to_owned(),
        key: key.to_owned(),
    }
}

/// Passes when the numbers of a row are those that were written with this sum.
pub(super) fn expect_sum(what: &str, key: &str, numbers: &[i64], sum: &str) -> Result<(), Error> {
    if self::sum(what, key, numbers) == sum {
        Ok(())
    } else {
        Err(broken(what, key))
    }
}

pub(super) fn sum(what: &str, key: &str, numbers: &[i64]) -> String {
    let words: Vec<String> = numbers.iter().map(i64::to_string).collect();
    seal::sum(what, key, &words.join(" "))
}

/// The accounts as their rows have them, ordered by their IDs: a record that is sealed is not in them.
pub(super) fn account_rows(connection: &Connection) -> Result<Vec<Account>, Error> {
    let mut statement = connection.prepare("SELECT id, data FROM account ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (id, data): (String, String) = row?;
        read(ACCOUNT, &id, &data)
    })
    .collect()
}

/// The accounts, ordered by their IDs, with their records where those can be opened.
pub(super) fn accounts(connection: &Connection, sealing: &Sealing) -> Result<Vec<Account>, Error> {
    let mut accounts = account_rows(connection)?;
    for account in &mut accounts {
        unseal(connection, sealing, account)?;
    }
    Ok(accounts)
}

/// Puts the record in that is sealed. While it is locked, the account is without.
fn unseal(connection: &Connection, sealing: &Sealing, account: &mut Account) -> Result<(), Error> {
    if !account.record.is_empty() {
        return Ok(());
    }
    match sealed::get(connection, sealing, &account.id, Kind::IdentityRecord) {
        Ok(Some(record)) => account.record = String::from_utf8_lossy(&record).into_owned(),
        Ok(None) | Err(Error::Locked { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The jobs, oldest first.
pub(super) fn jobs(connection: &Connection) -> Result<Vec<Entry>, Error> {
    entries(connection, "ORDER BY number", [])
}

/// Journaled jobs; `which` is the rest of the query.
fn entries(connection: &Connection, which: &str, of: impl Params) -> Result<Vec<Entry>, Error> {
    let query = format!("SELECT number, account, data FROM job {which}");
    let mut statement = connection.prepare(&query)?;
    let rows = statement.query_map(of, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.map(|row| {
        let (number, account, data): (i64, String, String) = row?;
        read(JOB, &job_key(number, &account), &data)
    })
    .collect()
}

pub(super) fn job_key(number: i64, account: &str) -> String {
    format!("{number} {account}")
}

/// The highest number that a journaled job ever had.
pub(super) fn last_job(connection: &Connection) -> Result<i64, Error> {
    let found = connection.query_row("SELECT last_job, sum FROM counter", [], |row| {
        Ok((row.get(0)?, row.get::<_, String>(1)?))
    });
    let (number, sum) = found?;
    expect_sum(COUNTER, "", &[number], &sum)?;
    Ok(number)
}

fn account_row(t: &Transaction<'_>, id: &str) -> Result<Option<Account>, Error> {
    let text: Option<String> = t
        .query_row("SELECT data FROM account WHERE id = ?1", [id], |row| {
            row.get(0)
        })
        .optional()?;
    text.map(|text| read(ACCOUNT, id, &text)).transpose()
}

pub(super) fn account(
    t: &Transaction<'_>,
    sealing: &Sealing,
    id: &str,
) -> Result<Option<Account>, Error> {
    let mut found = account_row(t, id)?;
    if let Some(account) = &mut found {
        unseal(t, sealing, account)?;
    }
    Ok(found)
}

/// Whoever writes an account may have read it before its identity record moved on: that stays.
///
/// A record that was not changed stays as it is, sealed or not: nothing else about an account needs
/// the key.
pub(super) fn put_account(
    t: &Transaction<'_>,
    sealing: &Sealing,
    account: &Account,
) -> Result<(), Error> {
    let mut account = account.clone();
    let row = account_row(t, &account.id)?;
    let mut before = row.as_ref().map_or_else(String::new, |r| r.record.clone());
    if let Some(row) = &row {
        let mut opened = row.clone();
        unseal(t, sealing, &mut opened)?;
        account.keep_newer_record(&opened.record);
        before = opened.record;
    }
    let record = std::mem::take(&mut account.record);
    let changed = !record.is_empty() && record != before;
    if !changed && let Some(row) = row {
        account.record = row.record;
    }
    t.execute(
        "INSERT INTO account (id, data) VALUES (?1, ?2)
         ON CONFLICT (id) DO UPDATE SET data = excluded.data",
        params![account.id, written(ACCOUNT, &account.id, &account)?],
    )?;
    if changed {
        let record = record.as_bytes();
        sealed::put(t, sealing, &account.id, Kind::IdentityRecord, record)?;
    }
    Ok(())
}

/// Whether a record lies open in its row, as before there was a key.
pub(super) fn has_open_records(connection: &Connection) -> Result<bool, Error> {
    let accounts = account_rows(connection)?;
    Ok(accounts.iter().any(|account| !account.record.is_empty()))
}

/// Seals every record that lies open in its row.
pub(super) fn seal_records(t: &Transaction<'_>, sealing: &Sealing) -> Result<usize, Error> {
    let accounts = account_rows(t)?;
    let open: Vec<Account> = accounts
        .into_iter()
        .filter(|account| !account.record.is_empty())
        .collect();
    for account in &open {
        put_account_sealed(t, sealing, account)?;
    }
    Ok(open.len())
}

fn put_account_sealed(
    t: &Transaction<'_>,
    sealing: &Sealing,
    account: &Account,
) -> Result<(), Error> {
    let record = account.record.as_bytes();
    sealed::put(t, sealing, &account.id, Kind::IdentityRecord, record)?;
    let without = Account {
        record: String::new(),
        ..account.clone()
    };
    t.execute(
        "UPDATE account SET data = ?2 WHERE id = ?1",
        params![account.id, written(ACCOUNT, &account.id, &without)?],
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
    // Of an account there is one job at a time: another row is that of one whose end could not be
    // written down. One that takes an account away is never taken for that.
    let which = "WHERE account = ?1 AND number <> ?2";
    let others = entries(t, which, params![job.account, number])?;
    for stale in others
        .iter()
        .filter(|other| !other.work.kind().ends_accounts())
    {
        delete_job(t, stale.number)?;
    }
    t.execute(
        "INSERT INTO job (number, account, data) VALUES (?1, ?2, ?3)
         ON CONFLICT (number) DO UPDATE SET data = excluded.data",
        params![
            number,
            job.account,
            written(JOB, &job_key(number, &job.account), job)?
        ],
    )?;
    let last = last_job(t)?.max(number);
    t.execute(
        "UPDATE counter SET last_job = ?1, sum = ?2",
        params![last, sum(COUNTER, "", &[last])],
    )?;
    Ok(())
}

pub(super) fn delete_job(t: &Transaction<'_>, number: u64) -> Result<(), Error> {
    t.execute("DELETE FROM job WHERE number = ?1", [signed(number)])?;
    Ok(())
}

pub(super) fn delete_jobs_of(t: &Transaction<'_>, account: &str) -> Result<(), Error> {
    t.execute("DELETE FROM job WHERE account = ?1", [account])?;
    Ok(())
}

pub(super) fn policy(connection: &Connection) -> Result<Option<Vec<Source>>, Error> {
    let query = "SELECT sources FROM last_good_policy";
    let text: Option<String> = connection
        .query_row(query, [], |row| row.get(0))
        .optional()?;
    text.map(|text| read(POLICY, "", &text)).transpose()
}

pub(super) fn attempts(connection: &Connection, storage_id: &str) -> Result<Attempts, Error> {
    let found: Option<([i64; 3], String)> = connection
        .query_row(
            "SELECT failures, last_failure, not_before, sum FROM attempts WHERE storage_id = ?1",
            [storage_id],
            |row| Ok(([row.get(0)?, row.get(1)?, row.get(2)?], row.get(3)?)),
        )
        .optional()?;
    let Some((numbers, sum)) = found else {
        return Ok(Attempts::default());
    };
    expect_sum(ATTEMPTS, storage_id, &numbers, &sum)?;
    let [failures, last_failure, not_before] = numbers;
    Ok(Attempts {
        failures: u32::try_from(failures).map_err(|_| broken(ATTEMPTS, storage_id))?,
        last_failure: last_failure.unsigned_abs(),
        not_before: not_before.unsigned_abs(),
    })
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
    make_room(t, storage_id, last_failure)?;
    let numbers = [
        i64::from(failures),
        signed(last_failure),
        signed(not_before),
    ];
    t.execute(
        "INSERT INTO attempts (storage_id, failures, last_failure, not_before, sum)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (storage_id) DO UPDATE SET failures = excluded.failures,
         last_failure = excluded.last_failure, not_before = excluded.not_before, sum = excluded.sum",
        params![
            storage_id,
            numbers[0],
            numbers[1],
            numbers[2],
            sum(ATTEMPTS, storage_id, &numbers)
        ],
    )?;
    Ok(())
}

/// Makes room for the tries of one more storage. Never at the cost of one whose wait goes on, or of
/// an account here: tries at other storages would give back those at this one.
fn make_room(t: &Transaction<'_>, storage_id: &str, now: u64) -> Result<(), Error> {
    let others: Vec<(String, i64)> = {
        let mut statement =
            t.prepare("SELECT storage_id, not_before FROM attempts ORDER BY last_failure")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let is_there = others.iter().any(|(id, _)| id == storage_id);
    if is_there || others.len() < MAX_ATTEMPTS as usize {
        return Ok(());
    }
    let here: BTreeSet<String> = account_rows(t)?.into_iter().map(|a| a.storage_id).collect();
    // A counter's name ends with the storage's ID.
    let is_here = |id: &str| here.contains(id.rsplit('/').next().unwrap_or(id));
    let over = |not_before: i64| not_before <= signed(now);
    let oldest = others
        .iter()
        .find(|(id, until)| over(*until) && !is_here(id));
    let (oldest, _) = oldest.ok_or(Error::TriesFull)?;
    delete_attempts(t, oldest)
}

pub(super) fn delete_attempts(t: &Transaction<'_>, storage_id: &str) -> Result<(), Error> {
    t.execute("DELETE FROM attempts WHERE storage_id = ?1", [storage_id])?;
    Ok(())
}

pub(super) fn session(connection: &Connection, account: &str) -> Result<Option<Session>, Error> {
    let found: Option<([i64; 2], String)> = connection
        .query_row(
            "SELECT age, seen, sum FROM session WHERE account = ?1",
            [account],
            |row| Ok(([row.get(0)?, row.get(1)?], row.get(2)?)),
        )
        .optional()?;
    let Some((numbers, sum)) = found else {
        return Ok(None);
    };
    expect_sum(SESSION, account, &numbers, &sum)?;
    let [age, seen] = numbers.map(i64::unsigned_abs);
    Ok(Some(Session { age, seen }))
}

pub(super) fn put_session(
    t: &Transaction<'_>,
    account: &str,
    session: Session,
) -> Result<(), Error> {
    let numbers = [signed(session.age), signed(session.seen)];
    t.execute(
        "INSERT INTO session (account, age, seen, sum) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account) DO UPDATE SET age = excluded.age, seen = excluded.seen,
         sum = excluded.sum",
        params![
            account,
            numbers[0],
            numbers[1],
            sum(SESSION, account, &numbers)
        ],
    )?;
    Ok(())
}

/// SQLite has no unsigned numbers; ours are times and counts, far below the bound.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A kind of row and its text: no text opens that was not sealed, and one that is understood is
/// written as it is understood. The same for a secret that is sealed by a key.
#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::expect_used)]
pub(crate) fn fuzzed(bytes: &[u8]) {
    let Some((chosen, rest)) = bytes.split_first() else {
        return;
    };
    let key = crate::sealed::Key::from_bytes(&[7; crate::sealed::KEY_BYTES]).expect("a key");
    assert!(key.open("a", Kind::IdentityRecord, rest).is_err());
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    match chosen % 3 {
        0 => understood::<Account>(ACCOUNT, text),
        1 => understood::<Entry>(JOB, text),
        _ => understood::<Vec<Source>>(POLICY, text),
    }
}

#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::expect_used)]
fn understood<T: Serialize + DeserializeOwned + PartialEq>(what: &str, text: &str) {
    assert!(read::<T>(what, "k", text).is_err(), "nobody sealed it");
    if let Ok(value) = read::<T>(what, "k", &seal::seal(what, "k", text)) {
        let again = written(what, "k", &value).expect("what was read can be written");
        assert!(read::<T>(what, "k", &again).is_ok_and(|again| again == value));
    }
}
