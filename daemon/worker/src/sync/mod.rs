//! Bringing both sides of the collections in step: look, decide, carry, record, in batches.

mod flush;
mod folders;
mod held;
mod ignored;
mod looked;
mod modes;
mod moves;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mooring_core::collection::Collection;
use mooring_core::sync::{Op, Phase, is_conflict_copy};

use crate::account::Account;
use crate::carry::{Load, Way};
use crate::change::Change;
use crate::delete::{Answer, Deletion, Deletions};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::large;
use crate::look::{FolderLook, Odd, walk};
use crate::offline;
use crate::partial;
use crate::place::{self, Place};
use crate::rot;
use crate::staging;
use crate::state::{Epoch, Folder, Item, Key, Stamp};
use crate::trouble::Ledger;
use crate::watch::Folders;

use ignored::Passed;
pub use ignored::bad_lines;
pub use looked::Looked;
use moves::Halves;

pub(crate) use flush::Work;

/// Files in a batch, at most.
const BATCH_FILES: usize = 16 * 1024;
/// Bytes in a batch, about; a larger file is a batch of its own.
const BATCH_BYTES: u64 = 1024 * 1024 * 1024;

/// What a sync is asked to do.
#[derive(Clone, Copy)]
struct Order<'a> {
    collections: &'a [Collection],
    phase: Phase,
    /// What a person said about held deletions.
    answer: Option<Answer>,
    /// The folders to look at, if not all are.
    told: Option<&'a BTreeMap<Collection, Folders>>,
}

/// Brings every collection of a list in step.
///
/// # Errors
/// What stops the whole: a missing side, a full disk, a wish to stop, an account that leaves
/// while `phase` is [`Phase::Active`].
pub fn sync<F: Files>(
    account: &Account<F>,
    collections: &[Collection],
    phase: Phase,
) -> Result<Ledger> {
    sync_with(account, collections, phase, None).map(|(ledger, _)| ledger)
}

/// [`sync`], with an answer to the question about held deletions. Answers also what was found
/// where, so that a later sync can be limited to what changed since.
///
/// # Errors
/// As [`sync`].
pub fn sync_with<F: Files>(
    account: &Account<F>,
    collections: &[Collection],
    phase: Phase,
    answer: Option<Answer>,
) -> Result<(Ledger, Looked)> {
    let mut looked = Looked::default();
    let order = Order {
        collections,
        phase,
        answer,
        told: None,
    };
    let ledger = sync_in(account, order, &mut looked)?;
    Ok((ledger, looked))
}

/// Brings the collections of an account in use in step that have told folders, and looks at no
/// others. `looked` is what the looks before found, and is kept up to date.
///
/// # Errors
/// As [`sync`]; then `looked` is of no use any more.
pub fn sync_told<F: Files>(
    account: &Account<F>,
    told: &BTreeMap<Collection, Folders>,
    looked: &mut Looked,
) -> Result<Ledger> {
    let collections: Vec<_> = told.keys().copied().collect();
    let order = Order {
        collections: &collections,
        phase: Phase::Active,
        answer: None,
        told: Some(told),
    };
    sync_in(account, order, looked)
}

fn sync_in<F: Files>(
    account: &Account<F>,
    order: Order<'_>,
    looked: &mut Looked,
) -> Result<Ledger> {
    let epoch = account.state.epoch()?;
    if order.phase != Phase::Leaving && epoch >= Epoch::Leaving {
        return Err(Error::Refused(
            "the account is signing out: nothing is downloaded".to_owned(),
        ));
    }
    let done = sync_all(account, order, looked);
    done.inspect_err(|e| {
        // Where it was the storage that failed, what is here can be counted all the same.
        if matches!(
            e,
            Error::StorageGone(_) | Error::NoSpace(_) | Error::Disk(_)
        ) {
            count_what_waits(account);
        }
    })
}

fn sync_all<F: Files>(
    account: &Account<F>,
    order: Order<'_>,
    looked: &mut Looked,
) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    // Every side is opened before anything is done: all of the storage is there, or nothing moves.
    let places = order
        .collections
        .iter()
        .map(|collection| place::open(account, *collection))
        .collect::<Result<Vec<_>>>()?;
    for place in &places {
        let waiting = ledger.waiting.total;
        let held = ledger.held_here + ledger.held_there.total;
        sync_place(account, place, order, &mut ledger, looked)?;
        let unsynced = ledger.waiting.total - waiting;
        let held = ledger.held_here + ledger.held_there.total - held;
        let [copies, skipped] = looked.numbers(place.collection);
        if unsynced == 0 {
            large::sweep(account, place)?;
        }
        remember_numbers(account, place.collection, [unsynced, held, copies, skipped])?;
    }
    Ok(ledger)
}

/// A sync that ends early has not looked at everything: what waits is counted here alone, so that
/// it is told.
fn count_what_waits<F: Files>(account: &Account<F>) {
    for (collection, _) in &account.spec.collections {
        let counted = offline::count(account, *collection).and_then(|here| {
            let [_, held, conflicts, skipped] = numbers(account, *collection)?;
            remember_numbers(
                account,
                *collection,
                [here.unsynced, held, conflicts, skipped],
            )
        });
        if let Err(error) = counted {
            // The sync itself failed, and says why; these are numbers for people.
            tracing::warn!(%collection, %error, "what waits is not counted");
        }
    }
}

/// Set in the state when a collection's folder had files before the account came.
pub fn adopted_key(collection: Collection) -> String {
    format!("adopted.{collection}")
}

/// Keeps what only a look at the files tells: unsynced, held, conflict copies, skipped.
fn remember_numbers<F: Files>(
    account: &Account<F>,
    collection: Collection,
    numbers: [u64; 4],
) -> Result<()> {
    let key = format!("numbers.{collection}");
    let text = numbers.map(|n| n.to_string()).join(" ");
    if account.state.meta(&key)?.as_deref() == Some(&text) {
        return Ok(());
    }
    account.state.set_meta(&key, &text)
}

/// The numbers of the last look: unsynced, held, conflict copies, skipped.
///
/// # Errors
/// When the state cannot be read.
pub fn numbers<F: Files>(account: &Account<F>, collection: Collection) -> Result<[u64; 4]> {
    let text = account
        .state
        .meta(&format!("numbers.{collection}"))?
        .unwrap_or_default();
    let mut numbers = text.split(' ').map(|n| n.parse().unwrap_or(0));
    Ok(std::array::from_fn(|_| numbers.next().unwrap_or(0)))
}

/// Work that was gathered, and the books.
struct Run<'a, F: Files> {
    account: &'a Account<F>,
    place: &'a Place<F>,
    phase: Phase,
    removing: bool,
    /// The account is being brought to a folder that had files: what both sides have was here.
    adopting: bool,
    ledger: &'a mut Ledger,
    changes: Vec<Change>,
    bytes: u64,
    folders: Vec<(Collection, Folder)>,
    /// The sides on which folders were made since the last flush.
    unsynced_folders: BTreeSet<Way>,
    /// Items of which something is to be remembered without moving bytes.
    noted: Vec<(Key, Item)>,
    answer: Option<Answer>,
    /// Files that come back, because that was the answer.
    answered: Vec<Load>,
    deletions: Deletions,
    /// Files of rules that the storage has and that do not count here until they come.
    rules_to_come: Vec<(Key, Stamp)>,
    /// Deletions that they may be about.
    deferred: Vec<Deletion>,
    /// Folders that both sides had, and the side that still has them.
    gone_folders: Vec<(Vec<u8>, Way)>,
    seen_folders: HashSet<Vec<u8>>,
    ignored: Passed,
    looked: &'a mut Looked,
    /// The folders that are looked at, if not all are.
    told: Option<&'a Folders>,
    /// Halves of moves that happened here, and of those that happened there.
    halves: [Halves; 2],
}

fn sync_place<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    order: Order<'_>,
    ledger: &mut Ledger,
    looked: &mut Looked,
) -> Result<()> {
    let told = order.told.and_then(|told| told.get(&place.collection));
    staging::tidy(account, place)?;
    let deletions = Deletions::new(account)?;
    let mut run = Run {
        account,
        place,
        phase: order.phase,
        removing: account.state.epoch()? == Epoch::Removing,
        adopting: account.state.epoch()? == Epoch::New
            && account
                .state
                .meta(&adopted_key(place.collection))?
                .is_some(),
        ledger,
        changes: Vec::new(),
        bytes: 0,
        folders: Vec::new(),
        unsynced_folders: BTreeSet::new(),
        noted: Vec::new(),
        answer: order.answer,
        answered: Vec::new(),
        deletions,
        rules_to_come: Vec::new(),
        deferred: Vec::new(),
        gone_folders: Vec::new(),
        seen_folders: HashSet::new(),
        ignored: Passed::default(),
        looked,
        told,
        halves: Default::default(),
    };
    match told {
        None => walk(account, place, |look| run.take(look))?,
        Some(told) => {
            run.looked.forget(place.collection, told);
            partial::walk_told(account, place, told, |look| run.take(look))?;
        }
    }
    run.flush()?;
    run.carry_moves()?;
    run.flush()?;
    run.take_deferred()?;
    run.let_go_of_ignored_folders()?;
    run.end()
}

impl<F: Files> Run<'_, F> {
    fn take(&mut self, look: FolderLook<F>) -> Result<()> {
        let before = [self.ledger.copies_here, self.ledger.skipped];
        let folder = look.path.clone();
        self.take_look(look)?;
        let found = [
            self.ledger.copies_here - before[0],
            self.ledger.skipped - before[1],
        ];
        self.looked.found(self.place.collection, folder, found);
        Ok(())
    }

    fn take_look(&mut self, look: FolderLook<F>) -> Result<()> {
        self.match_folder(&look)?;
        self.look_for_rules(&look);
        self.pass_over(&look.path, look.ignored, look.bad_lines)?;
        for (name, odd) in look.odd {
            match odd {
                Odd::Stays(_) => self.ledger.skipped += 1,
                Odd::Trouble(why) => self
                    .ledger
                    .pending(self.place.shown(&look.path, &name), why),
            }
        }
        for seen in look.names {
            self.ledger.seen += 1;
            // What this sign-out removed, told already or not, is not missed, and what arrives now
            // stays and is named.
            let is_gone = seen.local.is_none() || seen.item.as_ref().is_none_or(|item| item.gone);
            if self.removing && is_gone {
                continue;
            }
            self.ledger.copies_here +=
                u64::from(seen.local.is_some() && is_conflict_copy(&seen.name));
            let key = Key {
                collection: self.place.collection,
                folder: look.path.clone(),
                name: seen.name.clone(),
            };
            self.take_change(Change::new(key, seen))?;
        }
        Ok(())
    }

    fn take_change(&mut self, change: Change) -> Result<()> {
        if rot::is_no_copy(&change) {
            return self.gather(change);
        }
        let Some(op) = change.decide(self.phase) else {
            self.let_go(&change);
            return Ok(());
        };
        if let Op::Hold(held) = op {
            self.hold(&change, held);
            return Ok(());
        }
        let Some(change) = self.half_of_a_move(op, change) else {
            return Ok(());
        };
        if matches!(op, Op::DeleteLocal | Op::DeleteRemote) {
            let load = self.delete(&change, op);
            self.answered.extend(load);
            return Ok(());
        }
        self.gather(change)
    }

    /// Adds to the batch, which is done once it is full.
    fn gather(&mut self, change: Change) -> Result<()> {
        let sides = [change.seen.local, change.seen.remote];
        self.bytes += sides
            .into_iter()
            .flatten()
            .map(|s| s.size)
            .max()
            .unwrap_or(0);
        self.changes.push(change);
        if self.changes.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }
}
