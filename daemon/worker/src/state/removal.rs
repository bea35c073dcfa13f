//! What a removal writes down, so that after a crash it can be told what this sign-out took away and
//! what others did.
//!
//! Before the first file of a folder goes, the folder is written down as going: a file that is then
//! missing was removed. Once its unlinks are durable, its files are, and the folder is struck out.

use std::collections::{BTreeMap, BTreeSet};

use mooring_core::collection::Collection;
use rusqlite::{Transaction, params};

use super::State;
use super::inventory::{Key, join, number};
use crate::error::Result;

/// What the column `gone` says.
pub(super) mod fate {
    /// It is here, as far as is known.
    pub const HERE: i64 = 0;
    /// This sign-out removed it.
    pub const REMOVED: i64 = 1;
    /// Somebody else took it away before it could be removed.
    pub const GONE_BEFORE: i64 = 3;
}

impl State {
    /// Writes folders down whose files this sign-out is about to remove.
    pub fn mark_going<'a>(
        &self,
        collection: Collection,
        mut folders: impl ExactSizeIterator<Item = &'a Vec<u8>>,
    ) -> Result<()> {
        if folders.len() == 0 {
            return Ok(());
        }
        self.commit("commit-going", |t| {
            let mut mark = t.prepare_cached(
                "INSERT OR IGNORE INTO going (collection, folder) VALUES (?1, ?2)",
            )?;
            folders
                .try_for_each(|folder| mark.execute(params![collection as i64, folder]).map(drop))
        })
    }

    /// Whether this sign-out was about to remove the files of a folder.
    pub fn is_going(&self, collection: Collection, folder: &[u8]) -> Result<bool> {
        self.read(|c| {
            c.prepare_cached("SELECT 1 FROM going WHERE collection = ?1 AND folder = ?2")?
                .exists(params![collection as i64, folder])
        })
    }

    /// Marks items as removed by this sign-out, and strikes folders out of those whose files are
    /// going: what is there of them is here still.
    pub fn mark_gone(
        &self,
        collection: Collection,
        gone: &[Key],
        settled: &BTreeSet<Vec<u8>>,
    ) -> Result<()> {
        if gone.is_empty() && settled.is_empty() {
            return Ok(());
        }
        self.commit_items("commit-gone", gone.iter(), |t| {
            let mut folders = BTreeMap::<&[u8], Vec<&Key>>::new();
            for key in gone {
                folders.entry(&key.folder).or_default().push(key);
            }
            for (folder, keys) in &folders {
                mark_folder_gone(t, collection, folder, keys)?;
            }
            let mut strike =
                t.prepare_cached("DELETE FROM going WHERE collection = ?1 AND folder = ?2")?;
            settled
                .iter()
                .try_for_each(|folder| strike.execute(params![collection as i64, folder]).map(drop))
        })
    }

    /// Marks items as gone before this sign-out came to remove them.
    pub fn mark_gone_before(&self, keys: &[Key]) -> Result<()> {
        self.each_key("commit-gone-before", keys, |t, key| {
            set_fate(t, key, fate::GONE_BEFORE)
        })
    }

    /// Paths below a collection's root of what was gone before it could be removed, ordered, at
    /// most `limit`.
    pub fn gone_before(&self, collection: Collection, limit: usize) -> Result<Vec<Vec<u8>>> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT folder, name FROM item WHERE collection = ?1 AND gone = ?2
                 ORDER BY folder, name LIMIT ?3",
            )?
            .query_map(
                params![
                    collection as i64,
                    fate::GONE_BEFORE,
                    i64::try_from(limit).unwrap_or(i64::MAX)
                ],
                |row| Ok(join(&row.get::<_, Vec<u8>>(0)?, &row.get::<_, Vec<u8>>(1)?)),
            )?
            .collect()
        })
    }
}

/// Marks items of one folder as removed. Mostly they are all that is left of it, and one statement
/// does for all of them; where it would take more with it, they are marked one by one.
fn mark_folder_gone(
    t: &Transaction<'_>,
    collection: Collection,
    folder: &[u8],
    keys: &[&Key],
) -> rusqlite::Result<()> {
    let here = t
        .prepare_cached(
            "SELECT COUNT(*) FROM item WHERE collection = ?1 AND folder = ?2 AND gone = ?3",
        )?
        .query_row(params![collection as i64, folder, fate::HERE], |row| {
            number(row, 0)
        })?;
    if here != keys.len() as u64 {
        return keys
            .iter()
            .try_for_each(|key| set_fate(t, key, fate::REMOVED).map(drop));
    }
    t.prepare_cached(
        "UPDATE item SET gone = ?4 WHERE collection = ?1 AND folder = ?2 AND gone = ?3",
    )?
    .execute(params![
        collection as i64,
        folder,
        fate::HERE,
        fate::REMOVED
    ])
    .map(drop)
}

fn set_fate(t: &Transaction<'_>, key: &Key, fate: i64) -> rusqlite::Result<usize> {
    t.prepare_cached(
        "UPDATE item SET gone = ?4 WHERE collection = ?1 AND folder = ?2 AND name = ?3",
    )?
    .execute(params![key.collection as i64, key.folder, key.name, fate])
}
