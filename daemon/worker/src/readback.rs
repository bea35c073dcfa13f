//! Reading a copy back from the storage: the only thing that proves that it is there.

use crate::account::Account;
use crate::carry::{LastFolder, Way, sync_all};
use crate::error::{Error, FileTrouble, Result};
use crate::files::{Files, Stat};
use crate::hash::{self, Failed, Source};
use crate::look::same_file;
use crate::place::{Place, os, path};
use crate::pool;
use crate::rot;
use crate::state::{Item, Key, Proof, Stamp};
use crate::trouble::Ledger;

/// A file changed later than this before its reading began (ns) may have changed unseen, even
/// where time is counted finely: the kernel's clock for files ticks every few milliseconds.
pub const TICK: i64 = 20_000_000;
/// Copies read back between two commits.
const BATCH: usize = 2048;

/// Whether an earlier read-back still proves the copy: it is the same file by its stamp, and the
/// stamp can be trusted there.
pub fn still_proven(item: &Item, remote: &Stat, known_good: bool) -> bool {
    let Some(proof) = item.verified else {
        return false;
    };
    known_good
        && proof.stamp == Stamp::from(remote)
        && proof.stamp.mtime.max(proof.stamp.ctime) <= proof.at.saturating_sub(TICK)
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
            batch.push((key, item));
            if batch.len() >= BATCH {
                read_back_batch(account, place, &std::mem::take(&mut batch), ledger)?;
            }
        }
    }
    read_back_batch(account, place, &batch, ledger)
}

fn read_back_batch<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    batch: &[(Key, Item)],
    ledger: &mut Ledger,
) -> Result<()> {
    account.tell(
        "reading back",
        (ledger.read_back, 0),
        (ledger.read_back + batch.len() as u64, 0),
    );
    if batch.is_empty() {
        return Ok(());
    }
    make_durable(account, place)?;
    let folders = LastFolder::default();
    let proofs = pool::map(account.files.parallelism(), batch, |(key, item)| {
        look_at_copy(account, place, &folders, key, item)
    });
    make_durable(account, place)?;
    let mut proven = Vec::new();
    for ((key, item), proof) in batch.iter().zip(proofs) {
        match proof {
            Ok(Copy::Proven(proof)) => {
                ledger.read_back += 1;
                proven.push((key.clone(), with_proof(item, proof)));
            }
            Ok(Copy::Rotten(item)) => {
                let why = FileTrouble(OTHER_BYTES.to_owned());
                ledger.pending(place.shown_key(key), why);
                proven.push((key.clone(), *item));
            }
            Ok(Copy::Other) => {
                let why = FileTrouble(OTHER_BYTES.to_owned());
                ledger.pending(place.shown_key(key), why);
            }
            // Changed or gone in the storage: the next look decides what that means.
            Err(Failed::One(FileTrouble(why))) => {
                ledger.pending(place.shown_key(key), FileTrouble(why));
            }
            Err(Failed::Stopped) => return Err(Error::Cancelled),
            Err(Failed::All(e)) => {
                return Err(Error::io(
                    "read back",
                    &place.remote_path.join(path(&key.path())),
                    e,
                ));
            }
        }
    }
    account.state.record(&proven, &[])
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
