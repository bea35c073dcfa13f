//! The ends of jobs as rows, and back.

use rusqlite::{Connection, Transaction, params};
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{LE, to_bytes};

use super::Error;
use super::rows::signed;
use crate::jobs::ended::{Ended, MAX_REMEMBERED, REMEMBERED_SECONDS};

/// The encoding of outcomes: that of the bus, which is their only definition.
fn encoding() -> Context {
    Context::new(LE, 0)
}

/// Remembers an end, and lets go of those that are too old or too many.
pub(super) fn put(t: &Transaction<'_>, ended: &Ended) -> Result<(), Error> {
    let outcome = to_bytes(encoding(), &ended.outcome).map_err(Error::Outcome)?;
    t.execute(
        "INSERT OR REPLACE INTO finished (number, account, kind, uid, stage, ended_at, outcome)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            signed(ended.number),
            ended.account,
            ended.kind,
            ended.uid,
            ended.stage,
            signed(ended.when),
            outcome.bytes(),
        ],
    )?;
    t.execute(
        "DELETE FROM finished WHERE ended_at <= ?1 OR number NOT IN
         (SELECT number FROM finished ORDER BY ended_at DESC, number DESC LIMIT ?2)",
        params![
            signed(ended.when.saturating_sub(REMEMBERED_SECONDS)),
            MAX_REMEMBERED
        ],
    )?;
    Ok(())
}

/// Lets go of the ends of an account's jobs: their outcomes name its files.
pub(super) fn delete(t: &Transaction<'_>, account: &str) -> Result<(), Error> {
    t.execute("DELETE FROM finished WHERE account = ?1", [account])?;
    Ok(())
}

/// The ends that are remembered still, oldest first. One that cannot be read is passed over: it is
/// a memory, and nothing depends on it.
pub(super) fn all(connection: &Connection, now: u64) -> Result<Vec<Ended>, Error> {
    let mut statement = connection.prepare(
        "SELECT number, account, kind, uid, stage, ended_at, outcome FROM finished
         WHERE ended_at > ?1 ORDER BY ended_at, number",
    )?;
    let oldest = signed(now.saturating_sub(REMEMBERED_SECONDS));
    let rows = statement.query_map([oldest], |row| {
        let ended = Ended {
            number: row.get::<_, i64>(0)?.unsigned_abs(),
            account: row.get(1)?,
            kind: row.get(2)?,
            uid: row.get(3)?,
            stage: row.get(4)?,
            when: row.get::<_, i64>(5)?.unsigned_abs(),
            outcome: Default::default(),
        };
        Ok((ended, row.get::<_, Vec<u8>>(6)?))
    })?;
    let mut all = Vec::new();
    for row in rows {
        let (ended, outcome) = row?;
        match Data::new(outcome, encoding()).deserialize() {
            Ok((outcome, _)) => all.push(Ended { outcome, ..ended }),
            Err(error) => tracing::warn!(%error, job = ended.number, "the end of a job is lost"),
        }
    }
    Ok(all)
}
