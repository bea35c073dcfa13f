//! What a crash leaves of a filesystem.

use std::collections::BTreeSet;

use super::change::Act;
use super::disk::{Disk, ROOT};
use super::inode::{Content, Id, Inode, Inodes};

/// The unit in which content reaches the storage.
const PAGE: usize = 4096;

/// Numbers from a seed (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..n`; 0 when `n` is 0.
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % (n as u64).max(1)).unwrap_or(0)
    }

    fn coin(&mut self) -> bool {
        self.roll() & 1 == 1
    }
}

/// How a process ends.
pub(super) enum Crash {
    /// The process alone dies; the system goes on, and will write what it holds.
    Killed,
    /// The power goes: what is not durable is lost.
    AllLost,
    /// The power goes: what is not durable has reached the storage, or not, or in part.
    Mixed(Dice),
}

impl Disk {
    /// What the cache holds is dropped, and read from the storage anew.
    pub(super) fn uncache(&mut self, id: Id) {
        let stored = self.stored.remove(&id);
        if let (Some(bytes), Some(durable)) = (stored, self.durable.get_mut(&id)) {
            durable.content = Content::File(bytes);
        }
        if self.dirty.contains(&id) {
            return;
        }
        if let (Some(seen), Some(durable)) = (self.seen.get_mut(&id), self.durable.get(&id)) {
            seen.content.clone_from(&durable.content);
        }
    }

    pub(super) fn crash(&mut self, crash: &mut Crash) {
        match crash {
            Crash::Killed => {
                for usage in self.usage.values_mut() {
                    usage.handles = 0;
                    usage.writers = 0;
                    usage.end_leases();
                }
            }
            Crash::AllLost => self.rebuild(Vec::new(), |_, _| {}),
            Crash::Mixed(dice) => {
                let acts = self.surviving(|| dice.coin());
                self.rebuild(acts, |kept, written| tear(kept, written, dice));
            }
        }
    }

    fn rebuild(&mut self, acts: Vec<Act>, mut tear: impl FnMut(&mut Inode, &Inode)) {
        let mut inodes = std::mem::take(&mut self.durable);
        for act in acts {
            act.apply(&mut inodes);
        }
        for id in std::mem::take(&mut self.dirty) {
            if let (Some(kept), Some(written)) = (inodes.get_mut(&id), self.seen.get(&id))
                && !self.lost.contains(&id)
            {
                tear(kept, written);
            }
        }
        for (id, bytes) in std::mem::take(&mut self.stored) {
            if let Some(inode) = inodes.get_mut(&id) {
                inode.content = Content::File(bytes);
            }
        }
        let reachable = reachable(&inodes);
        inodes.retain(|id, _| reachable.contains(id));
        self.pending.clear();
        self.lost.clear();
        self.usage.clear();
        self.seen = inodes.clone();
        self.durable = inodes;
    }
}

/// What the root leads to. The rest is what a check of the filesystem would throw away.
fn reachable(inodes: &Inodes) -> BTreeSet<Id> {
    let mut reached = BTreeSet::from([ROOT]);
    let mut todo = vec![ROOT];
    while let Some(id) = todo.pop() {
        if let Some(Content::Dir(entries)) = inodes.get(&id).map(|inode| &inode.content) {
            todo.extend(entries.values().filter(|child| reached.insert(**child)));
        }
    }
    reached
}

/// Mixes the durable form of a file with what was written since.
fn tear(kept: &mut Inode, written: &Inode, dice: &mut Dice) {
    if dice.coin() {
        kept.mode = written.mode;
        kept.mtime = written.mtime;
    }
    let (Content::File(old), Content::File(new)) = (&mut kept.content, &written.content) else {
        return;
    };
    match dice.below(6) {
        0 => {}
        1 => old.clone_from(new),
        // The length arrived without the data.
        2 => *old = vec![0; new.len()],
        3 => old.clear(),
        // The first pages arrived, cut somewhere.
        4 => *old = new[..dice.below(new.len())].to_vec(),
        // Some pages arrived; between them is what was there before.
        _ => {
            old.resize(new.len(), 0);
            for (to, from) in old.chunks_mut(PAGE).zip(new.chunks(PAGE)) {
                if dice.coin() {
                    to.copy_from_slice(from);
                }
            }
        }
    }
}
