//! How often something was refused, by reason: a row for each. Nothing depends on it.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction};

use super::Error;

/// Counts one more, up to the most that a row can hold.
pub(super) fn count(t: &Transaction<'_>, reason: &str) -> Result<(), Error> {
    t.execute(
        "INSERT INTO refused (reason, times) VALUES (?1, 1)
         ON CONFLICT (reason) DO UPDATE SET times = times + (times < 9223372036854775807)",
        [reason],
    )?;
    Ok(())
}

/// All counts.
pub(super) fn all(connection: &Connection) -> Result<BTreeMap<String, u64>, Error> {
    let mut statement = connection.prepare("SELECT reason, times FROM refused")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
