//! Verifying: each file that is to be removed has a copy whose bytes were read back from the
//! storage. The proof is a value, [`Verified`], that only this module makes and that does not
//! outlive the process.

use std::mem;

use mooring_core::collection::Collection;
use mooring_wire::{Counts, VerifyReport};

use crate::account::Account;
use crate::base;
use crate::error::{Error, Result};
use crate::files::{Files, Stat};
use crate::look::{FolderLook, Seen, walk};
use crate::place::{self, Place};
use crate::prove::{self, Check};
use crate::readback::{SAME_FILE, local_as_recorded, proven_lately, same_inode};
use crate::staging;
use crate::state::{Epoch, Item, Key};
use crate::trouble::Named;

/// Files looked into between two commits.
const BATCH: usize = 2048;

/// The proof that everything a removal would touch has a copy that was read back.
#[derive(Debug)]
pub struct Verified {
    keep: Vec<Collection>,
}

impl Verified {
    /// Whether this is a proof for a removal that keeps these collections.
    pub fn covers(&self, keep: &[Collection]) -> bool {
        self.keep == keep
    }
}

/// Verifies every collection that is not kept, and writes the base of the receipt.
///
/// Answers no proof when something is unproven.
///
/// # Errors
/// What stops the whole; [`Error::Refused`] while the account is not leaving.
pub fn verify<F: Files>(
    account: &Account<F>,
    keep: &[Collection],
    receipt: &str,
) -> Result<(VerifyReport, Option<Verified>)> {
    let epoch = account.state.epoch()?;
    if epoch < Epoch::Leaving {
        return Err(Error::Refused(
            "only an account that is leaving is verified".to_owned(),
        ));
    }
    account.state.expect_whole()?;
    let mut books = Books {
        epoch,
        proven: Counts::default(),
        read_back: Counts::default(),
        unproven: Named::default(),
        absent: Vec::new(),
    };
    for collection in account.leaving(keep)? {
        let place = place::open(account, collection)?;
        staging::tidy(account, &place)?;
        let mut checks = Vec::new();
        walk(account, &place, |look| {
            // Names that another program made there are no use if the power takes them back.
            if let (false, Some(dir)) = (place.there.known_good, &look.remote) {
                let fail = |e| Error::io("make durable", &place.remote_path, e);
                account.files.sync_dir(dir).map_err(fail)?;
            }
            examine_folder(account, &place, look, &mut checks, &mut books);
            if checks.len() + books.absent.len() >= BATCH {
                settle(account, &place, mem::take(&mut checks), &mut books)?;
            }
            Ok(())
        })?;
        settle(account, &place, checks, &mut books)?;
    }
    let mut report = VerifyReport {
        proven: books.proven,
        read_back: books.read_back,
        unproven: books.unproven.some,
        unproven_total: books.unproven.total,
        base_blake3: String::new(),
    };
    if report.unproven_total > 0 {
        return Ok((report, None));
    }
    report.base_blake3 = base::write(account, keep, receipt)?;
    let proof = Verified {
        keep: keep.to_vec(),
    };
    Ok((report, Some(proof)))
}

struct Books {
    epoch: Epoch,
    proven: Counts,
    read_back: Counts,
    unproven: Named,
    /// Items that are not on this device any more.
    absent: Vec<(Key, Item)>,
}

impl Books {
    fn proven(&mut self, size: u64) {
        self.proven.files += 1;
        self.proven.bytes += size;
    }
}

fn examine_folder<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    look: FolderLook<F>,
    checks: &mut Vec<Check>,
    books: &mut Books,
) {
    for ignored in look.ignored {
        // Let go of by the next drain, so that the receipt does not claim what stays.
        if ignored.item.is_some_and(|item| !item.gone) {
            let shown = place.shown(&look.path, &ignored.name);
            books
                .unproven
                .add(shown, "is ignored by .mooringignore now");
        }
    }
    for seen in look.names {
        let Seen {
            name,
            local,
            remote,
            item,
        } = seen;
        // What is not in the inventory is not removed, so it needs no proof: it stays, named.
        let Some(item) = item.filter(|item| !item.gone) else {
            continue;
        };
        let Some(local) = local else {
            // It left before the removal began: the receipt must not claim it.
            if books.epoch == Epoch::Leaving && item.local.is_some() {
                let folder = look.path.clone();
                let key = Key {
                    collection: place.collection,
                    folder,
                    name,
                };
                books.absent.push((
                    key,
                    Item {
                        local: None,
                        ..item
                    },
                ));
            }
            continue;
        };
        let shown = place.shown(&look.path, &name);
        let Some(remote) = remote else {
            books.unproven.add(shown, "the storage has no copy");
            continue;
        };
        if same_inode(&local, &remote) {
            books.unproven.add(shown, SAME_FILE);
            continue;
        }
        let check = check(account, place, &look.path, item, &local, &remote);
        if check.hash_local || check.read_back {
            checks.push(check);
        } else {
            books.proven(local.size);
        }
    }
    account.tell(
        "reading back",
        (books.proven.files, books.proven.bytes),
        (0, 0),
    );
}

fn check<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folder: &[u8],
    item: Item,
    local: &Stat,
    remote: &Stat,
) -> Check {
    Check {
        hash_local: !local_as_recorded(local, &item),
        read_back: !proven_lately(&item, remote, place.there.known_good, account.files.now()),
        key: Key {
            collection: place.collection,
            folder: folder.to_vec(),
            name: item.name.clone(),
        },
        item,
        size: local.size,
    }
}

fn settle<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    checks: Vec<Check>,
    books: &mut Books,
) -> Result<()> {
    let absent = mem::take(&mut books.absent);
    prove::batch(account, place, checks, absent, |check, proved| {
        match proved {
            Ok(()) => {
                books.proven(check.size);
                if check.read_back {
                    books.read_back.files += 1;
                    books.read_back.bytes += check.size;
                }
            }
            // Where the copy went bad, the next drain uploads it anew.
            Err(why) => books.unproven.add(place.shown_key(&check.key), &why),
        }
    })
}
