//! Files that were moved or renamed on one side are renamed on the other: no second transfer, and
//! nothing that counts as a deletion.
//!
//! Names that are gone and names that are new wait for the end of the walk. Those with the same
//! bytes are one file. Dying between the rename and its record costs a look at both sides: equal
//! bytes are adopted.

use std::io;
use std::mem;

use mooring_core::moves::{Found, Pairs, Trace, pairs, worth_reading};
use mooring_core::sync::{Hash, Op, Phase, Side};

use super::Run;
use crate::carry::{self, Way};
use crate::change::Change;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::{Files, Kind, Lease, Stat};
use crate::hash::{CARRIED_MODE, Failed};
use crate::names;
use crate::place::{End, os, path};
use crate::staging;
use crate::state::{Item, Key, Proof, Stamp};

/// Names of a kind that wait for their counterpart, at most. Further ones are carried over and
/// deleted like any others.
const MAX_WAITING: usize = 32 * 1024;
/// Renames between two commits.
const BATCH: usize = 2048;

/// Names that may be halves of moves which happened on one side.
#[derive(Default)]
pub(super) struct Halves {
    lost: Vec<Change>,
    found: Vec<Change>,
}

/// A name that is gone, the new one, and the item of the former as it is known now.
struct Move<'a> {
    item: Item,
    from: &'a Change,
    to: &'a Change,
}

impl<F: Files> Run<'_, F> {
    /// Keeps a change that may be half of a move; gives back any other.
    pub(super) fn half_of_a_move(&mut self, op: Op, change: Change) -> Option<Change> {
        let Some(seen) = (self.phase == Phase::Active).then_some(&change.seen) else {
            return Some(change);
        };
        let is_new = seen.item.is_none();
        let asked = seen.item.as_ref().is_some_and(|item| item.held);
        let [here, there] = &mut self.halves;
        let half = match op {
            Op::Upload if is_new && change.local == Side::Unhashed => &mut here.found,
            Op::Download if is_new && change.remote == Side::Unhashed => &mut there.found,
            Op::DeleteRemote if !asked => &mut here.lost,
            Op::DeleteLocal if !asked => &mut there.lost,
            _ => return Some(change),
        };
        if half.len() >= MAX_WAITING {
            return Some(change);
        }
        half.push(change);
        None
    }

    /// Carries the moves over. What turns out to be none is carried or deleted as ever.
    pub(super) fn carry_moves(&mut self) -> Result<()> {
        let [here, there] = mem::take(&mut self.halves);
        self.carry_moves_one_way(Way::Up, here)?;
        self.carry_moves_one_way(Way::Down, there)
    }

    fn carry_moves_one_way(&mut self, way: Way, halves: Halves) -> Result<()> {
        let Halves { lost, mut found } = halves;
        let traces: Vec<_> = lost.iter().map(|change| lost_trace(change, way)).collect();
        let (known, unread) = self.read_found(way, &traces, &mut found)?;
        let Pairs { moved, waiting } = pairs(&traces, &known);
        let mut done = vec![false; lost.len()];
        let mut settled = unread;
        for batch in moved.chunks(BATCH) {
            let moves: Vec<_> = batch
                .iter()
                .filter_map(|(from, to)| {
                    let (from, to) = (&lost[*from], &found[*to]);
                    let item = from.item_now()?;
                    Some(Move { item, from, to })
                })
                .collect();
            let carried = self.rename_batch(way, &moves)?;
            for ((from, to), carried) in batch.iter().zip(carried) {
                // A name whose move failed is carried over as a new one, and the old one is looked
                // at again by the next sync: never the deletion before the copy.
                done[*from] = true;
                settled[*to] = carried;
            }
        }
        for (nr, change) in lost.iter().enumerate() {
            if !done[nr] && !waiting.contains(&nr) {
                let op = match way {
                    Way::Up => Op::DeleteRemote,
                    Way::Down => Op::DeleteLocal,
                };
                let load = self.delete(change, op);
                self.answered.extend(load);
            }
        }
        for (change, settled) in found.into_iter().zip(settled) {
            if !settled {
                self.gather(change)?;
            }
        }
        Ok(())
    }

    /// Reads the new names that may be moved files. Answers what is known of each, and which of
    /// them cannot be read now.
    fn read_found(
        &mut self,
        way: Way,
        lost: &[Option<(Trace, Hash)>],
        found: &mut [Change],
    ) -> Result<(Vec<Found>, Vec<bool>)> {
        let traces: Vec<_> = found
            .iter()
            .map(|change| trace(seen_on(change, way)))
            .collect();
        let seen: Vec<_> = traces.iter().flatten().copied().collect();
        // A new name always has a file.
        debug_assert_eq!(seen.len(), found.len());
        let needed: Vec<_> = worth_reading(lost, &seen)
            .into_iter()
            .map(|nr| (nr, way))
            .collect();
        let unread = self.hash_sides(found, &needed)?;
        let mut known = vec![Found::Other; found.len()];
        for (nr, _) in needed {
            let side = match way {
                Way::Up => found[nr].local,
                Way::Down => found[nr].remote,
            };
            known[nr] = match side {
                Side::Content(hash) => Found::Read(seen[nr], hash),
                _ => Found::Unreadable(seen[nr]),
            };
        }
        Ok((known, unread))
    }

    /// Renames a batch on the side that a way leads to, and records what is durable. Answers which
    /// were renamed.
    fn rename_batch(&mut self, way: Way, moves: &[Move<'_>]) -> Result<Vec<bool>> {
        let mut carried = vec![false; moves.len()];
        let mut records = Vec::new();
        for (nr, one) in moves.iter().enumerate() {
            self.account.check_stop()?;
            match self.rename(way, one) {
                Ok(item) => {
                    carried[nr] = true;
                    records.push((one.from.key.clone(), one.to.key.clone(), item));
                }
                Err(Failed::One(why)) => tracing::debug!(?way, why = why.0, "not renamed"),
                Err(Failed::Stopped) => return Err(Error::Cancelled),
                Err(Failed::All(e)) => {
                    let root = self.place.end(way).shown;
                    let shown = root.join(path(&one.to.key.path()));
                    return Err(Error::io("rename", &shown, e));
                }
            }
        }
        if way == Way::Up && !self.place.there.known_good {
            self.take_back_rewritten(moves, &mut carried, &mut records)?;
        }
        if !records.is_empty() {
            carry::sync_all(self.account, self.place, way)?;
            self.account.state.record_moved(&records)?;
        }
        self.ledger.moved += records.len() as u64;
        Ok(carried)
    }

    /// Puts back what the storage keeps under another name than it was given: recorded so, it would
    /// look deleted there. The upload that follows tells.
    fn take_back_rewritten(
        &self,
        moves: &[Move<'_>],
        carried: &mut [bool],
        records: &mut Vec<(Key, Key, Item)>,
    ) -> Result<()> {
        let (files, remote) = (&self.account.files, &self.place.remote);
        let mut storage = names::Kept::default();
        for (one, carried) in moves.iter().zip(carried).filter(|(_, carried)| **carried) {
            let (from, to) = (&one.from.key, &one.to.key);
            let kept = storage.has(files, remote, to).and_then(|kept| {
                if !kept {
                    let dir = files.open_dir(remote, path(&to.folder))?;
                    self.undo(remote, (&dir, to), from)?;
                }
                Ok(kept)
            });
            let shown = || self.place.remote_path.join(path(&to.path()));
            *carried = kept.map_err(|e| Error::io("look at", &shown(), e))?;
            if !*carried {
                records.retain(|(_, new, _)| new != to);
            }
        }
        Ok(())
    }

    /// Renames one file if it is, at this moment, the one that was agreed on.
    fn rename(&self, way: Way, one: &Move<'_>) -> std::result::Result<Item, Failed> {
        let files = &self.account.files;
        let End {
            root, known_good, ..
        } = self.place.end(way);
        let known = match way {
            Way::Up => one.item.remote,
            Way::Down => one.item.local,
        };
        let (from, to) = (&one.from.key, &one.to.key);
        let from_dir = files.open_dir(root, path(&from.folder))?;
        let before = files.stat(&from_dir, os(&from.name))?;
        let known = known.filter(|p| before.kind == Kind::File && p.stamp == Stamp::from(&before));
        let Some(known) = known else {
            return Err(Failed::one("changed meanwhile"));
        };
        if way == Way::Down {
            // Whoever writes to it would find the name gone; it waits for a quiet moment.
            let file = files.open(&from_dir, os(&from.name))?;
            if files.lease(&file)? == Lease::InUse {
                return Err(Failed::one("a program has it open for writing"));
            }
            files.release(&file);
        }
        let to_dir = durable::ensure_dir(files, root, path(&to.folder), !known_good)?;
        files.rename_new(&from_dir, os(&from.name), &to_dir, os(&to.name))?;
        let after = files.stat(&to_dir, os(&to.name)).map_err(Failed::All)?;
        if !is_same(&before, &after) {
            self.undo(root, (&to_dir, to), from).map_err(Failed::All)?;
            return Err(Failed::one("changed meanwhile"));
        }
        if !known_good {
            // The new name first: at no moment is there none.
            files.sync_dir(&to_dir).map_err(Failed::All)?;
            files.sync_dir(&from_dir).map_err(Failed::All)?;
        }
        let renamed = |proof: Proof| Proof {
            stamp: Stamp::from(&after),
            at: proof.at,
        };
        Ok(moved_item(way, one, &before, renamed(known), renamed))
    }

    /// Puts back what turned out to be another file.
    fn undo(&self, root: &F::Dir, (dir, to): (&F::Dir, &Key), from: &Key) -> io::Result<()> {
        staging::restore_one(self.account, (dir, os(&to.name)), root, from)?;
        self.account.files.sync_dir(dir)
    }
}

/// The inventory's item under the new name. `renamed` is what a proof about the file that was
/// renamed is now: the rename moved its change time and nothing else, and because that is newer
/// than the reading, the removal reads the copy once more before it counts on it.
fn moved_item(
    way: Way,
    one: &Move<'_>,
    before: &Stat,
    other_side: Proof,
    renamed: impl Fn(Proof) -> Proof,
) -> Item {
    let Move { item, to, .. } = one;
    let read = to.read(way);
    let (local, remote, verified, mode) = match way {
        Way::Up => {
            let verified = item
                .verified
                .filter(|proof| proof.stamp == Stamp::from(before));
            let mode = to.seen.local.map_or(item.mode, |stat| stat.mode);
            (read, Some(other_side), verified.map(renamed), mode)
        }
        Way::Down => (Some(other_side), read, None, item.mode),
    };
    Item {
        name: to.key.name.clone(),
        local,
        remote,
        verified,
        mode,
        held: false,
        burying: false,
        ..item.clone()
    }
}

fn is_same(before: &Stat, after: &Stat) -> bool {
    (before.dev, before.ino, before.size, before.mtime)
        == (after.dev, after.ino, after.size, after.mtime)
}

fn seen_on(change: &Change, way: Way) -> Option<Stat> {
    match way {
        Way::Up => change.seen.local,
        Way::Down => change.seen.remote,
    }
}

fn trace(stat: Option<Stat>) -> Option<Trace> {
    stat.map(|stat| Trace {
        size: stat.size,
        mtime: stat.mtime,
        mode: stat.mode & CARRIED_MODE,
    })
}

/// What the file of a name that is gone was like on the side where it is gone.
fn lost_trace(change: &Change, way: Way) -> Option<(Trace, Hash)> {
    let item = change.item_now()?;
    let (proof, mode, bytes) = match way {
        Way::Up => (item.local?, item.mode, item.agreed.local),
        Way::Down => (item.remote?, change.seen.local?.mode, item.agreed.remote),
    };
    let trace = Trace {
        size: proof.stamp.size,
        mtime: proof.stamp.mtime,
        mode: mode & CARRIED_MODE,
    };
    Some((trace, bytes))
}
