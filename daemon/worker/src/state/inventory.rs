//! The inventory: what both sides agreed on, name by name.

use mooring_core::collection::Collection;
use mooring_core::sync::{Agreed, Hash};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::State;
use super::folders::{Folder, put_folder};
use super::removal::fate;
use crate::error::Result;
use crate::files::Stat;

/// What tells a file from its later versions, as far as a filesystem can. The device number is no
/// part of it: it changes when a disk is plugged in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds.
    pub mtime: i64,
    /// Inode change time, nanoseconds.
    pub ctime: i64,
}

impl From<&Stat> for Stamp {
    fn from(stat: &Stat) -> Self {
        Self {
            ino: stat.ino,
            size: stat.size,
            mtime: stat.mtime,
            ctime: stat.ctime,
        }
    }
}

/// A stamp and the moment (ns) at which reading its bytes began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The file whose bytes were read.
    pub stamp: Stamp,
    /// When the reading began.
    pub at: i64,
}

/// Where an item is: collection, folder below its root (bytes, empty for the root), name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The collection.
    pub collection: Collection,
    /// The folder's path below the root.
    pub folder: Vec<u8>,
    /// The file's name.
    pub name: Vec<u8>,
}

impl Key {
    /// The path below the collection's root.
    pub fn path(&self) -> Vec<u8> {
        join(&self.folder, &self.name)
    }
}

/// A path below a root, from a folder and a name.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_vec();
    }
    [folder, b"/", name].concat()
}

/// The folder and the name of a path below a root: what [`join`] puts together.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// An item of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name in its folder.
    pub name: Vec<u8>,
    /// The bytes both sides agreed on.
    pub agreed: Agreed,
    /// The local file, when it was hashed; `None` when it is not on this device.
    pub local: Option<Proof>,
    /// Its permission bits.
    pub mode: u32,
    /// The remote file, when it was hashed; `None` when unknown.
    pub remote: Option<Proof>,
    /// The remote file, when its bytes were read back from the storage.
    pub verified: Option<Proof>,
    /// It was here before the account came.
    pub here_before: bool,
    /// This sign-out removed it.
    pub gone: bool,
    /// It was deleted on one side, and that waits for a person's answer.
    pub held: bool,
    /// It was deleted on one side, and just now that is being carried over. Found so by a later
    /// process, it tells that a death came between: then only the very file that was to go is that
    /// file, and another one with its bytes was brought back by somebody.
    pub burying: bool,
}

impl Item {
    /// Whether its deletion was begun by a process that died in it, and what one side has now was
    /// brought back since. `stable` says on which sides, this device's first, an inode is the same
    /// at each mount; elsewhere the size and time have to do.
    pub fn came_back(
        &self,
        local: Option<&Stat>,
        remote: Option<&Stat>,
        stable: [bool; 2],
    ) -> bool {
        let (there, known, stable) = match (local, remote) {
            (Some(there), None) => (there, self.local, stable[0]),
            (None, Some(there)) => (there, self.remote, stable[1]),
            _ => return false,
        };
        let there = Stamp::from(there);
        let is_it = |known: Stamp| match stable {
            // A power loss may take the change time back to an earlier one, and never further.
            true => {
                let ctime = there.ctime.min(known.ctime);
                Stamp { ctime, ..known } == there
            }
            false => (known.size, known.mtime) == (there.size, there.mtime),
        };
        self.burying && !known.is_some_and(|proof| is_it(proof.stamp))
    }
}

const COLUMNS: &str = "name, local_hash, remote_hash,
    l_ino, l_size, l_mtime, l_ctime, l_hashed, mode,
    r_ino, r_size, r_mtime, r_ctime, r_hashed,
    p_ino, p_size, p_mtime, p_ctime, p_at, here_before, gone, held, burying";

impl State {
    /// The items of one folder, ordered by name as bytes.
    pub fn items(&self, collection: Collection, folder: &[u8]) -> Result<Vec<Item>> {
        self.read(|c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM item WHERE collection = ?1 AND folder = ?2 ORDER BY name"
            ))?
            .query_map(params![collection as i64, folder], item)?
            .collect()
        })
    }

    /// The items of one folder that are on this device and whose copy, as it was last seen, was
    /// not read back.
    pub fn unproven_items(&self, collection: Collection, folder: &[u8]) -> Result<Vec<Item>> {
        self.read(|c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM item WHERE collection = ?1 AND folder = ?2
                 AND l_ino NOT NULL AND (p_ino = r_ino AND p_size = r_size
                    AND p_mtime = r_mtime AND p_ctime = r_ctime) IS NOT TRUE"
            ))?
            .query_map(params![collection as i64, folder], item)?
            .collect()
        })
    }

    /// One item.
    pub fn item(&self, key: &Key) -> Result<Option<Item>> {
        self.read(|c| find(c, key))
    }

    /// Many items, each in the place of its key, as they are at one moment.
    pub fn items_at<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Result<Vec<Option<Item>>> {
        self.read(|c| {
            // The database is locked once for all of them, and not for each.
            let view = c.unchecked_transaction()?;
            let found = keys.map(|key| find(&view, key)).collect();
            view.finish()?;
            found
        })
    }

    /// The folders of a collection that hold items, ordered.
    pub fn item_folders(&self, collection: Collection) -> Result<Vec<Vec<u8>>> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT DISTINCT folder FROM item WHERE collection = ?1 ORDER BY folder",
            )?
            .query_map([collection as i64], |row| row.get(0))?
            .collect()
        })
    }

    /// The folders that hold items, of one folder and those below it, ordered.
    pub fn item_folders_below(&self, collection: Collection, top: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (first, end) = below(top);
        self.read(|c| {
            c.prepare_cached(
                "SELECT DISTINCT folder FROM item WHERE collection = ?1
                 AND (folder = ?2 OR (folder >= ?3 AND folder < ?4)) ORDER BY folder",
            )?
            .query_map(params![collection as i64, top, first, end], |row| {
                row.get(0)
            })?
            .collect()
        })
    }

    /// Calls `each` for every item of a collection, ordered by folder and name.
    pub fn each_item(
        &self,
        collection: Collection,
        mut each: impl FnMut(Key, Item) -> Result<()>,
    ) -> Result<()> {
        // Folder by folder: the lock is free in between, and memory stays bounded.
        for folder in self.item_folders(collection)? {
            for item in self.items(collection, &folder)? {
                let key = Key {
                    collection,
                    folder: folder.clone(),
                    name: item.name.clone(),
                };
                each(key, item)?;
            }
        }
        Ok(())
    }

    /// Records items and folders in one transaction.
    pub fn record(&self, items: &[(Key, Item)], folders: &[(Collection, Folder)]) -> Result<()> {
        if items.is_empty() && folders.is_empty() {
            return Ok(());
        }
        let keys = items.iter().map(|(key, _)| key);
        self.commit_items("commit-items", keys, |t| {
            for (collection, folder) in folders {
                put_folder(t, *collection, folder)?;
            }
            items.iter().try_for_each(|(key, item)| put(t, key, item))
        })
    }

    /// Records items under new names, and forgets the old ones, in one transaction.
    pub fn record_moved(&self, moves: &[(Key, Key, Item)]) -> Result<()> {
        let keys = moves.iter().flat_map(|(old, new, _)| [old, new]);
        self.commit_items("commit-moved", keys, |t| {
            for (old, new, item) in moves {
                t.prepare_cached(
                    "DELETE FROM item WHERE collection = ?1 AND folder = ?2 AND name = ?3",
                )?
                .execute(params![old.collection as i64, old.folder, old.name])?;
                put(t, new, item)?;
            }
            Ok(())
        })
    }

    /// How many deletions of a collection wait for an answer.
    pub fn questions(&self, collection: Collection) -> Result<u64> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT COUNT(*) FROM item WHERE collection = ?1 AND held = 1 AND gone = 0",
            )?
            .query_row([collection as i64], |row| number(row, 0))
        })
    }

    /// Forgets items: both sides let go of them.
    pub fn forget(&self, keys: &[Key]) -> Result<()> {
        self.each_key("commit-forget", keys, |t, key| {
            t.prepare_cached(
                "DELETE FROM item WHERE collection = ?1 AND folder = ?2 AND name = ?3",
            )?
            .execute(params![key.collection as i64, key.folder, key.name])
        })
    }

    pub(super) fn each_key(
        &self,
        commit: &'static str,
        keys: &[Key],
        change: impl Fn(&Transaction<'_>, &Key) -> rusqlite::Result<usize>,
    ) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.commit_items(commit, keys.iter(), |t| {
            keys.iter().try_for_each(|key| change(t, key).map(drop))
        })
    }
}

/// The bounds between which the paths below a folder lie: the first possible one, and the first
/// behind the last. Everything lies below the root.
pub(super) fn below(folder: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match folder {
        // A name has at most 255 bytes, so that no path comes behind these.
        [] => (Vec::new(), vec![u8::MAX; 256]),
        _ => ([folder, b"/"].concat(), [folder, b"0"].concat()),
    }
}

fn find(c: &Connection, key: &Key) -> rusqlite::Result<Option<Item>> {
    c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM item WHERE collection = ?1 AND folder = ?2 AND name = ?3"
    ))?
    .query_row(params![key.collection as i64, key.folder, key.name], item)
    .optional()
}

fn put(c: &Connection, key: &Key, item: &Item) -> rusqlite::Result<()> {
    let (l, r, p) = (item.local, item.remote, item.verified);
    let part = |proof: Option<Proof>, field: fn(&Proof) -> i64| proof.as_ref().map(field);
    // SQLite has signed integers only: the same 64 bits, read back by `number`.
    let fields: [fn(&Proof) -> i64; 5] = [
        |p| p.stamp.ino as i64,
        |p| p.stamp.size as i64,
        |p| p.stamp.mtime,
        |p| p.stamp.ctime,
        |p| p.at,
    ];
    let [l, r, p] = [l, r, p].map(|proof| fields.map(|field| part(proof, field)));
    c.prepare_cached(
        "INSERT OR REPLACE INTO item (collection, folder, name, local_hash, remote_hash,
            l_ino, l_size, l_mtime, l_ctime, l_hashed, mode,
            r_ino, r_size, r_mtime, r_ctime, r_hashed,
            p_ino, p_size, p_mtime, p_ctime, p_at, here_before, gone, held, burying)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
            ?19, ?20, ?21, ?22, ?23, ?24, ?25)",
    )?
    .execute(params![
        key.collection as i64,
        key.folder,
        key.name,
        item.agreed.local,
        item.agreed.remote,
        l[0],
        l[1],
        l[2],
        l[3],
        l[4],
        item.mode,
        r[0],
        r[1],
        r[2],
        r[3],
        r[4],
        p[0],
        p[1],
        p[2],
        p[3],
        p[4],
        item.here_before,
        item.gone,
        item.held,
        item.burying,
    ])
    .map(drop)
}

fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item {
        name: row.get(0)?,
        agreed: Agreed {
            local: row.get::<_, Hash>(1)?,
            remote: row.get::<_, Hash>(2)?,
        },
        local: proof(row, 3)?,
        mode: row.get(8)?,
        remote: proof(row, 9)?,
        verified: proof(row, 14)?,
        here_before: row.get(19)?,
        gone: matches!(row.get(20)?, fate::REMOVED | fate::GONE_BEFORE),
        held: row.get(21)?,
        burying: row.get(22)?,
    })
}

fn proof(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Proof>> {
    let Some(ino) = row.get::<_, Option<i64>>(at)? else {
        return Ok(None);
    };
    Ok(Some(Proof {
        stamp: Stamp {
            ino: ino as u64,
            size: number(row, at + 1)?,
            mtime: row.get(at + 2)?,
            ctime: row.get(at + 3)?,
        },
        at: row.get(at + 4)?,
    }))
}

pub(super) fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(at)? as u64)
}
