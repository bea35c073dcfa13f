//! Reading a copy back from the storage: the only thing that proves that it is there.

use crate::account::Account;
use crate::carry::{LastFolder, Way, sync_all};
use crate::error::{FileTrouble, Result};
use crate::files::{Files, Stat};
use crate::hash::{self, Failed, Source};
use crate::look::{RACY, same_file};
use crate::place::{Place, os, path};
use crate::prove::{self, Check};
use crate::rot;
use crate::state::{Item, Key, Proof, Stamp};
use crate::trouble::Ledger;

/// A file changed later than this before its reading began (ns) may have changed unseen, even
/// where time is counted finely: the kernel's clock for files ticks every few milliseconds.
const TICK: i64 = 20_000_000;
/// The nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;
/// The oldest read-back that a sign-out goes by, in nanoseconds: thirty days. What rots in a storage
/// changes no stamp.
const LATELY: i64 = 30 * 24 * 60 * 60 * SECOND;
/// Copies read back between two commits.
const BATCH: usize = 2048;

/// Whether an earlier read-back still proves the copy: it is the same file by its stamp, and the
/// stamp can be trusted there.
pub fn still_proven(item: &Item, remote: &Stat, known_good: bool) -> bool {
    let Some(proof) = item.verified else {
        return false;
    };
    known_good && proof.stamp == Stamp::from(remote) && settled(&proof.stamp, proof.at)
}

/// [`still_proven`], by a read-back that is not long ago. One that is yet to come was dated by a clock
/// that was wrong.
pub fn proven_lately(item: &Item, remote: &Stat, known_good: bool, now: i64) -> bool {
    let lately = |proof: Proof| proof.at <= now && now.saturating_sub(proof.at) <= LATELY;
    item.verified.is_some_and(lately) && still_proven(item, remote, known_good)
}

/// Whether a file had long been as it is when it was read at `read`, so that no change after that
/// can have the same stamp.
pub fn settled(stamp: &Stamp, read: i64) -> bool {
    // A whole second is chance, or a disk that counts no finer (ext4 with inodes of 128 bytes).
    let step = if stamp.ctime % SECOND == 0 {
        RACY
    } else {
        TICK
    };
    stamp.mtime.max(stamp.ctime) <= read.saturating_sub(step)
}

/// A copy that is not one: the very same file on the same disk.
pub fn same_inode(local: &Stat, remote: &Stat) -> bool {
    (local.dev, local.ino) == (remote.dev, remote.ino)
}

/// Makes what is in the storage durable, whoever wrote it: before a batch is read back, so that it
/// is not read from the cache, and after it, so that what was read is what a power loss leaves.
///
/// # Errors
/// When the storage fails: then nothing of the batch is proven.
pub fn make_durable<F: Files>(account: &Account<F>, place: &Place<F>) -> Result<()> {
    if place.there.known_good {
        sync_all(account, place, Way::Up)
    } else {
        Ok(())
    }
}

/// Reads one copy back. Answers the new proof, which counts once [`make_durable`] went well.
///
/// # Errors
/// [`Failed::One`] when the bytes are not the agreed ones.
pub fn read_back<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
    item: &Item,
) -> std::result::Result<Proof, Failed> {
    match look_at_copy(account, place, &LastFolder::default(), key, item)? {
        Copy::Proven(proof) => Ok(proof),
        Copy::Rotten(_) | Copy::Other => Err(Failed::one(OTHER_BYTES)),
    }
}

/// What reading a copy told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// It has the agreed bytes.
    Proven(Proof),
    /// It has other bytes, and nobody wrote it since: the item, as it is to be recorded so that
    /// the next sync uploads the file anew.
    Rotten(Box<Item>),
    /// Somebody wrote it since: the next sync decides what that means.
    Other,
}

/// Why a file that is its own copy has none.
pub const SAME_FILE: &str = "the copy in the storage is the same file (a hard link)";
/// Why a copy that was read is none.
pub const OTHER_BYTES: &str = "the copy in the storage has other bytes";

/// Reads one copy, and tells rot from a later version of the file.
///
/// # Errors
/// When it cannot be read.
pub fn look_at_copy<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folders: &LastFolder<F::Dir>,
    key: &Key,
    item: &Item,
) -> std::result::Result<Copy, Failed> {
    let dir = folders.get(&key.folder, || {
        account.files.open_dir(&place.remote, path(&key.folder))
    })?;
    // Where a sync of everything is known to be enough, it is made before and after each batch.
    let source = Source::Storage {
        sync: !place.there.known_good,
    };
    let reading = hash::hash(&account.files, &dir, os(&key.name), source, &account.stop)?;
    if reading.hash == item.agreed.remote {
        return Ok(Copy::Proven(reading.proof));
    }
    let rotten = rot::disbelieve(item, reading.proof.stamp);
    Ok(rotten.map_or(Copy::Other, |item| Copy::Rotten(Box::new(item))))
}

/// Reads back every copy that has not been since it was last seen to change, so that a sign-out
/// finds the work done.
///
/// # Errors
/// What stops the whole.
pub fn read_back_new<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    ledger: &mut Ledger,
) -> Result<()> {
    let folders = account.state.item_folders(place.collection)?;
    read_back_in(account, place, folders, ledger)
}

/// [`read_back_new`], in some folders only.
///
/// # Errors
/// As [`read_back_new`].
pub fn read_back_in<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folders: Vec<Vec<u8>>,
    ledger: &mut Ledger,
) -> Result<()> {
    let mut batch = Vec::new();
    for folder in folders {
        for item in account.state.unproven_items(place.collection, &folder)? {
            let key = Key {
                collection: place.collection,
                folder: folder.clone(),
                name: item.name.clone(),
            };
            batch.push(Check {
                key,
                size: item.remote.map_or(0, |known| known.stamp.size),
                item,
                hash_local: false,
                read_back: true,
            });
            if batch.len() >= BATCH {
                read_back_batch(account, place, std::mem::take(&mut batch), ledger)?;
            }
        }
    }
    read_back_batch(account, place, batch, ledger)
}

fn read_back_batch<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    batch: Vec<Check>,
    ledger: &mut Ledger,
) -> Result<()> {
    let done = ledger.read_back;
    account.tell("reading back", (done, 0), (done + batch.len() as u64, 0));
    if batch.is_empty() {
        return Ok(());
    }
    prove::batch(account, place, batch, Vec::new(), |check, proved| {
        match proved {
            Ok(()) => ledger.read_back += 1,
            // Changed or gone in the storage: the next look decides what that means.
            Err(why) => ledger.pending(place.shown_key(&check.key), FileTrouble(why)),
        }
    })
}

/// The item with a new proof, which also tells of the remote file.
pub fn with_proof(item: &Item, proof: Proof) -> Item {
    let remote = match item.remote {
        Some(known) if known.stamp == proof.stamp => Some(known),
        _ => Some(proof),
    };
    Item {
        remote,
        verified: Some(proof),
        ..item.clone()
    }
}

/// Whether the local file is, by its stamp, the one that was hashed.
pub fn local_as_recorded(local: &Stat, item: &Item) -> bool {
    item.local.is_some_and(|known| same_file(local, &known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_counts_whole_seconds_is_given_more_time() {
        let stamp = |ctime| Stamp {
            ino: 1,
            size: 1,
            mtime: 5 * SECOND,
            ctime,
        };
        assert!(settled(&stamp(5 * SECOND + 1), 5 * SECOND + SECOND / 2));
        assert!(!settled(&stamp(5 * SECOND), 5 * SECOND + SECOND / 2));
        assert!(settled(&stamp(5 * SECOND), 7 * SECOND));
    }
}
