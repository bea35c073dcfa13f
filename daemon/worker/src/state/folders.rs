//! The folders that both sides have.

use mooring_core::collection::Collection;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::State;
use super::inventory::below;
use crate::error::Result;

/// A folder that both sides have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its path below the root.
    pub path: Vec<u8>,
    /// The account brought it, or carried it over.
    pub ours: bool,
    /// Its permissions when both sides last agreed; `None` where an earlier version did not look.
    pub modes: Option<Modes>,
}

/// The permission bits of a folder on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// Here.
    pub here: u32,
    /// In the storage.
    pub there: u32,
}

impl State {
    /// The folders of a collection from one on downwards, deepest first.
    pub fn folders_below(&self, collection: Collection, top: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (first, end) = below(top);
        self.read(|c| {
            c.prepare_cached(
                "SELECT path FROM folder WHERE collection = ?1
                 AND (path = ?2 OR (path >= ?3 AND path < ?4)) ORDER BY path DESC",
            )?
            .query_map(params![collection as i64, top, first, end], |row| {
                row.get(0)
            })?
            .collect()
        })
    }

    /// A folder that both sides once had.
    pub fn folder(&self, collection: Collection, path: &[u8]) -> Result<Option<Folder>> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT path, ours, l_mode, r_mode FROM folder WHERE collection = ?1 AND path = ?2",
            )?
            .query_row(params![collection as i64, path], folder)
            .optional()
        })
    }

    /// All folders of a collection, deepest first.
    pub fn folders_deepest_first(&self, collection: Collection) -> Result<Vec<Folder>> {
        let mut all = self.read(|c| {
            c.prepare_cached(
                "SELECT path, ours, l_mode, r_mode FROM folder WHERE collection = ?1 ORDER BY path",
            )?
            .query_map([collection as i64], folder)?
            .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        all.reverse();
        Ok(all)
    }

    /// Forgets a folder: both sides let go of it.
    pub fn forget_folder(&self, collection: Collection, path: &[u8]) -> Result<()> {
        self.commit("commit-forget-folder", |t| {
            t.prepare_cached("DELETE FROM folder WHERE collection = ?1 AND path = ?2")?
                .execute(params![collection as i64, path])
                .map(drop)
        })
    }

    /// Forgets folders, in one transaction.
    pub fn forget_folders(&self, collection: Collection, paths: &[Vec<u8>]) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        self.commit("commit-forget-folders", |t| {
            let mut forget =
                t.prepare_cached("DELETE FROM folder WHERE collection = ?1 AND path = ?2")?;
            paths
                .iter()
                .try_for_each(|path| forget.execute(params![collection as i64, path]).map(drop))
        })
    }
}

pub(super) fn put_folder(
    t: &Transaction<'_>,
    collection: Collection,
    folder: &Folder,
) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO folder (collection, path, ours, l_mode, r_mode)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET l_mode = ?4, r_mode = ?5",
    )?
    .execute(params![
        collection as i64,
        folder.path,
        folder.ours,
        folder.modes.map(|modes| modes.here),
        folder.modes.map(|modes| modes.there),
    ])
    .map(drop)
}

fn folder(row: &Row<'_>) -> rusqlite::Result<Folder> {
    let (here, there): (Option<u32>, Option<u32>) = (row.get(2)?, row.get(3)?);
    Ok(Folder {
        path: row.get(0)?,
        ours: row.get(1)?,
        modes: here.zip(there).map(|(here, there)| Modes { here, there }),
    })
}
