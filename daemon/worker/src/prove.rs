//! Proving a batch of copies: each is read back from the storage, and the file here is hashed where
//! its stamp is not the recorded one.

use crate::account::Account;
use crate::carry::LastFolder;
use crate::error::{Error, FileTrouble, Result};
use crate::files::Files;
use crate::hash::{self, Failed, Reading, Source};
use crate::place::{Place, os, path};
use crate::pool;
use crate::readback::{Copy, OTHER_BYTES, look_at_copy, make_durable, with_proof};
use crate::state::{Item, Key};

/// A file that needs more than a look at its stamps.
pub struct Check {
    /// The file.
    pub key: Key,
    /// What is recorded of it.
    pub item: Item,
    /// The file here has to be hashed.
    pub hash_local: bool,
    /// The copy has to be read back.
    pub read_back: bool,
    /// The size of the file here, in bytes.
    pub size: u64,
}

/// What a batch came to, file by file.
pub type Proved = std::result::Result<(), String>;

/// Does what the checks ask for, and records it with `more`: the new proofs, and of a copy that
/// went bad that nothing is proven any more, so that the next sync uploads the file anew. `told` is
/// called for each, with why it is not proven where it is not.
///
/// # Errors
/// What stops the whole.
pub fn batch<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    checks: Vec<Check>,
    more: Vec<(Key, Item)>,
    mut told: impl FnMut(&Check, Proved),
) -> Result<()> {
    let reads_back = checks.iter().any(|check| check.read_back);
    if reads_back {
        make_durable(account, place)?;
    }
    let folders = LastFolder::default();
    let results = pool::map(account.files.parallelism(), &checks, |check| {
        prove(account, place, &folders, check)
    });
    if reads_back {
        make_durable(account, place)?;
    }
    let mut items = more;
    for (check, result) in checks.into_iter().zip(results) {
        match result {
            Ok(Found::Proven(item)) => {
                told(&check, Ok(()));
                items.push((check.key, *item));
            }
            Ok(Found::Rotten(item)) => {
                told(&check, Err(OTHER_BYTES.to_owned()));
                items.push((check.key, *item));
            }
            Err(Failed::One(FileTrouble(why))) => told(&check, Err(why)),
            Err(Failed::Stopped) => return Err(Error::Cancelled),
            Err(Failed::All(e)) => {
                let shown = place.remote_path.join(path(&check.key.path()));
                return Err(Error::io("read back", &shown, e));
            }
        }
    }
    account.state.record(&items, &[])
}

/// What is to be recorded of a file.
enum Found {
    Proven(Box<Item>),
    Rotten(Box<Item>),
}

fn prove<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folders: &LastFolder<F::Dir>,
    check: &Check,
) -> std::result::Result<Found, Failed> {
    let mut item = check.item.clone();
    // The copy first: that it went bad is recorded, whatever is wrong here besides.
    if check.read_back {
        match look_at_copy(account, place, folders, &check.key, &check.item)? {
            Copy::Proven(proof) => item = with_proof(&item, proof),
            Copy::Rotten(item) => return Ok(Found::Rotten(item)),
            Copy::Other => return Err(Failed::one(OTHER_BYTES)),
        }
    }
    if check.hash_local {
        let local = hash_local(account, place, check)?;
        item.local = Some(local.proof);
        item.mode = local.stat.mode;
    }
    Ok(Found::Proven(Box::new(item)))
}

fn hash_local<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    check: &Check,
) -> std::result::Result<Reading, Failed> {
    let files = &account.files;
    let dir = files.open_dir(&place.local, path(&check.key.folder))?;
    let name = os(&check.key.name);
    let reading = hash::hash(files, &dir, name, Source::Cache, &account.stop)?;
    if reading.hash != check.item.agreed.local {
        return Err(Failed::one("changed here since it was uploaded"));
    }
    Ok(reading)
}
