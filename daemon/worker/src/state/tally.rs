//! Numbers over a collection's inventory. They are counted once and then kept, so that recording
//! one file does not cost a look at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mooring_core::collection::Collection;
use rusqlite::{Connection, Row, Transaction, params};

use super::State;
use super::inventory::{Key, number};
use crate::error::Result;

/// Items of one transaction up to which numbers are kept; beyond it counting anew costs no more.
const MAX_FOLLOWED: usize = 128;

/// Numbers over a collection's inventory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Items on this device.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, with a copy that was read back and has not been seen to change since.
    pub verified: u64,
    /// Of these, here before the account came.
    pub here_before: u64,
    /// Items removed by this sign-out.
    pub gone_files: u64,
    /// Their bytes.
    pub gone_bytes: u64,
    /// Items that were gone before this sign-out came to remove them.
    pub gone_before: u64,
}

impl Tally {
    /// These numbers with some items as they are, instead of as they were.
    fn with(self, before: Self, after: Self) -> Self {
        let sum = |all: u64, before: u64, after: u64| (all + after).saturating_sub(before);
        Self {
            files: sum(self.files, before.files, after.files),
            bytes: sum(self.bytes, before.bytes, after.bytes),
            verified: sum(self.verified, before.verified, after.verified),
            here_before: sum(self.here_before, before.here_before, after.here_before),
            gone_files: sum(self.gone_files, before.gone_files, after.gone_files),
            gone_bytes: sum(self.gone_bytes, before.gone_bytes, after.gone_bytes),
            gone_before: sum(self.gone_before, before.gone_before, after.gone_before),
        }
    }

    fn add(&mut self, more: Self) {
        *self = self.with(Self::default(), more);
    }
}

/// The numbers that are known. Changed only while the database is locked.
#[derive(Debug, Default)]
pub(super) struct Tallies(Mutex<BTreeMap<Collection, Tally>>);

impl Tallies {
    fn known(&self) -> MutexGuard<'_, BTreeMap<Collection, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything: it is counted anew when it is asked for.
    pub(super) fn forget(&self) {
        self.known().clear();
    }
}

const NUMBERS: &str = "COUNT(*) FILTER (WHERE gone = 0 AND l_ino NOT NULL),
    TOTAL(l_size) FILTER (WHERE gone = 0 AND l_ino NOT NULL),
    COUNT(*) FILTER (WHERE gone = 0 AND l_ino NOT NULL AND p_ino = r_ino
        AND p_size = r_size AND p_mtime = r_mtime AND p_ctime = r_ctime),
    COUNT(*) FILTER (WHERE gone = 0 AND l_ino NOT NULL AND here_before = 1),
    COUNT(*) FILTER (WHERE gone = 1),
    TOTAL(l_size) FILTER (WHERE gone = 1),
    COUNT(*) FILTER (WHERE gone = 3)
    FROM item WHERE collection = ?1";

fn tally(row: &Row<'_>) -> rusqlite::Result<Tally> {
    Ok(Tally {
        files: number(row, 0)?,
        bytes: row.get::<_, f64>(1)? as u64,
        verified: number(row, 2)?,
        here_before: number(row, 3)?,
        gone_files: number(row, 4)?,
        gone_bytes: row.get::<_, f64>(5)? as u64,
        gone_before: number(row, 6)?,
    })
}

/// The numbers over some items, by collection.
fn over(c: &Connection, keys: &BTreeSet<&Key>) -> rusqlite::Result<BTreeMap<Collection, Tally>> {
    let sql = format!("SELECT {NUMBERS} AND folder = ?2 AND name = ?3");
    let mut one = c.prepare_cached(&sql)?;
    let mut sums = BTreeMap::<_, Tally>::new();
    for key in keys {
        let parameters = params![key.collection as i64, key.folder, key.name];
        let numbers = one.query_row(parameters, tally)?;
        sums.entry(key.collection).or_default().add(numbers);
    }
    Ok(sums)
}

impl State {
    /// Numbers over a collection.
    pub fn tally(&self, collection: Collection) -> Result<Tally> {
        self.read(|c| {
            if let Some(tally) = self.tallies.known().get(&collection) {
                return Ok(*tally);
            }
            let counted = c
                .prepare_cached(&format!("SELECT {NUMBERS}"))?
                .query_row([collection as i64], tally)?;
            self.tallies.known().insert(collection, counted);
            Ok(counted)
        })
    }

    /// A transaction that changes these items and no others, so that the numbers stay known.
    pub(super) fn commit_items<'k>(
        &self,
        name: &'static str,
        keys: impl Iterator<Item = &'k Key>,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<()> {
        let keys: BTreeSet<_> = keys.take(MAX_FOLLOWED + 1).collect();
        let committed = self.commit(name, |t| {
            let known = std::mem::take(&mut *self.tallies.known());
            if known.is_empty() || keys.len() > MAX_FOLLOWED {
                return work(t);
            }
            let before = over(t, &keys)?;
            work(t)?;
            let after = over(t, &keys)?;
            let now = known.into_iter().map(|(collection, tally)| {
                let [before, after] =
                    [&before, &after].map(|o| o.get(&collection).copied().unwrap_or_default());
                (collection, tally.with(before, after))
            });
            self.tallies.known().extend(now);
            Ok(())
        });
        if committed.is_err() {
            // What a failed transaction left is counted anew.
            self.tallies.forget();
        }
        committed
    }
}
