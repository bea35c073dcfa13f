//! Sealed secrets as rows, and the key that they are sealed by.
//!
//! The state itself says which key holds (`sealing.key`): that changes in the same transaction as
//! the rows, so that there is no moment at which a crash could leave rows of two keys.

use std::sync::{PoisonError, RwLockReadGuard};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use zeroize::Zeroizing;

use super::{Error, Store, rows};
use crate::keys::Place;
use crate::sealed::{Key, Kind};

/// Whether secrets can be read and written.
#[derive(Debug, Clone)]
pub enum Sealing {
    /// By this key, which is kept there.
    Open(Key, Place),
    /// Not now: why, and what to do.
    Locked(String),
}

impl Default for Sealing {
    fn default() -> Self {
        Self::Locked("no key was looked for yet".to_owned())
    }
}

impl Sealing {
    fn key(&self, account: &str) -> Result<&Key, Error> {
        match self {
            Self::Open(key, _) => Ok(key),
            Self::Locked(why) => Err(locked(account, why)),
        }
    }
}

fn locked(account: &str, why: &impl ToString) -> Error {
    Error::Locked {
        account: account.to_owned(),
        why: why.to_string(),
    }
}

/// Keeps a secret; the one before goes.
pub(super) fn put(
    t: &Transaction<'_>,
    sealing: &Sealing,
    account: &str,
    kind: Kind,
    secret: &[u8],
) -> Result<(), Error> {
    let key = sealing.key(account)?;
    let sealed = key
        .seal(account, kind, secret)
        .map_err(|error| locked(account, &error))?;
    t.execute(
        "INSERT OR REPLACE INTO sealed (account, kind, key, secret) VALUES (?1, ?2, ?3, ?4)",
        params![account, kind.name(), key.id(), sealed],
    )?;
    Ok(())
}

/// A secret, if it is kept.
pub(super) fn get(
    connection: &Connection,
    sealing: &Sealing,
    account: &str,
    kind: Kind,
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let row: Option<(String, Vec<u8>)> = connection
        .query_row(
            "SELECT key, secret FROM sealed WHERE account = ?1 AND kind = ?2",
            params![account, kind.name()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((id, sealed)) = row else {
        return Ok(None);
    };
    let key = sealing.key(account)?;
    if key.id() != id {
        let error = crate::sealed::Error::OtherKey {
            wanted: id,
            given: key.id().to_owned(),
        };
        return Err(locked(account, &error));
    }
    let opened = key.open(account, kind, &sealed);
    opened.map(Some).map_err(|error| locked(account, &error))
}

/// Everything that is sealed: account, kind.
fn list(connection: &Connection) -> Result<Vec<(String, String)>, Error> {
    let mut statement =
        connection.prepare("SELECT account, kind FROM sealed ORDER BY account, kind")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn set_key(t: &Transaction<'_>, key: &Key) -> Result<(), Error> {
    t.execute("UPDATE sealing SET key = ?1", [key.id()])?;
    Ok(())
}

impl Store {
    pub(super) fn sealing(&self) -> RwLockReadGuard<'_, Sealing> {
        self.sealing.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_sealing(&self, sealing: Sealing) {
        *self.sealing.write().unwrap_or_else(PoisonError::into_inner) = sealing;
    }

    /// The random name of this state, and the ID of the key that its secrets are sealed by; none
    /// before the first.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn sealed_by(&self) -> Result<(String, Option<String>), Error> {
        let query = "SELECT state, key FROM sealing";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(self.connection().query_row(query, [], row)?)
    }

    /// Where the key is kept, or why secrets cannot be read or written.
    ///
    /// # Errors
    /// A sentence for a person.
    pub fn key_place(&self) -> Result<Place, String> {
        match &*self.sealing() {
            Sealing::Open(_, place) => Ok(place.clone()),
            Sealing::Locked(why) => Err(why.clone()),
        }
    }

    /// Notes that there is no key, and why.
    pub fn lock(&self, why: String) {
        self.set_sealing(Sealing::Locked(why));
    }

    /// Opens the secrets with the key that they are sealed by. Without any so far, it is this one
    /// from now on. Records that lie open are sealed.
    ///
    /// # Errors
    /// [`Error::Locked`] when it is another key; when the state cannot be written. Nothing has
    /// changed then.
    pub fn use_key(&self, key: Key, place: Place) -> Result<(), Error> {
        let (state, wanted) = self.sealed_by()?;
        let known = wanted.as_deref() == Some(key.id());
        if let (false, Some(wanted)) = (known, wanted) {
            let given = key.id().to_owned();
            let error = crate::sealed::Error::OtherKey { wanted, given };
            return Err(locked(&state, &error));
        }
        let sealing = Sealing::Open(key.clone(), place);
        let mut moved = 0;
        if !known || rows::has_open_records(&self.connection())? {
            let change = |t: &Transaction<'_>| {
                set_key(t, &key)?;
                moved = rows::seal_records(t, &sealing)?;
                Ok(())
            };
            self.commit_between(change, "seal-before", "seal-after")?;
        }
        self.set_sealing(sealing);
        if moved > 0 {
            tracing::info!(moved, "identity records are sealed from now on");
            self.empty_journal();
        }
        Ok(())
    }

    /// Seals everything by another key, in one transaction. The key before is needed until this
    /// returns, and not any more then. A secret that cannot be opened stops it: nothing is lost by
    /// a change of keys.
    ///
    /// # Errors
    /// [`Error::Locked`]; when the state cannot be written. Nothing has changed then.
    pub fn reseal(&self, new: Key, place: Place) -> Result<usize, Error> {
        let before = self.sealing().clone();
        let sealing = Sealing::Open(new.clone(), place);
        let mut count = 0;
        let change = |t: &Transaction<'_>| {
            for (account, kind) in list(t)? {
                let kind = Kind::named(&kind).ok_or_else(|| {
                    locked(
                        &account,
                        &format!("it has a secret of the unknown kind {kind}"),
                    )
                })?;
                if let Some(secret) = get(t, &before, &account, kind)? {
                    put(t, &sealing, &account, kind, &secret)?;
                    count += 1;
                }
            }
            set_key(t, &new)
        };
        self.commit_between(change, "reseal-before", "reseal-after")?;
        self.set_sealing(sealing);
        self.empty_journal();
        Ok(count)
    }

    /// Why the record of an account cannot be opened, if it is sealed and cannot be.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn record_locked(&self, account: &str) -> Result<Option<String>, Error> {
        match get(
            &self.connection(),
            &self.sealing(),
            account,
            Kind::IdentityRecord,
        ) {
            Ok(_) => Ok(None),
            Err(Error::Locked { why, .. }) => Ok(Some(why)),
            Err(error) => Err(error),
        }
    }

    /// The record of an account, as text.
    ///
    /// # Errors
    /// [`Error::Locked`]; when the state cannot be read.
    pub fn record(&self, account: &str) -> Result<Option<String>, Error> {
        let record = get(
            &self.connection(),
            &self.sealing(),
            account,
            Kind::IdentityRecord,
        )?;
        Ok(record.map(|record| String::from_utf8_lossy(&record).into_owned()))
    }
}

#[cfg(test)]
mod tests;
