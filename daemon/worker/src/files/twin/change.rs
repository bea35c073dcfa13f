//! Changes of entries, what has to happen before each, and how they become durable.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::disk::Disk;
use super::inode::{Content, Id, Inodes};
use crate::files::Kind;

/// A name in a folder.
pub(super) type Slot = (Id, OsString);

/// An atomic change of entries: after a crash it has happened, or it has not.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Link { slot: Slot, node: Id },
    Unlink { slot: Slot },
    Move { from: Slot, to: Slot },
    Swap { a: Slot, b: Slot },
}

/// A change that is not durable yet.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub act: Act,
    /// The folders whose sync is still missing.
    unsynced: BTreeSet<Id>,
    /// The nodes it names.
    nodes: BTreeSet<Id>,
    /// The folder that it removes: what was taken out of it was taken out before.
    removes: Option<Id>,
    /// Everything before it happens before it.
    barrier: bool,
    /// The folders it works in have to exist: it would take the last name of something.
    anchored: bool,
}

impl Act {
    /// The same with other names.
    pub(super) fn with_names(self, kept: impl Fn(OsString) -> OsString) -> Self {
        let slot = |(dir, name): Slot| (dir, kept(name));
        match self {
            Self::Link { slot: at, node } => Self::Link {
                slot: slot(at),
                node,
            },
            Self::Unlink { slot: at } => Self::Unlink { slot: slot(at) },
            Self::Move { from, to } => Self::Move {
                from: slot(from),
                to: slot(to),
            },
            Self::Swap { a, b } => Self::Swap {
                a: slot(a),
                b: slot(b),
            },
        }
    }

    fn slots(&self) -> Vec<&Slot> {
        match self {
            Self::Link { slot, .. } | Self::Unlink { slot } => vec![slot],
            Self::Move { from, to } => vec![from, to],
            Self::Swap { a, b } => vec![a, b],
        }
    }

    pub(super) fn apply(&self, inodes: &mut Inodes) {
        match self {
            Self::Link { slot, node } => {
                put(inodes, slot, *node);
                count(inodes, *node, true);
            }
            Self::Unlink { slot } => {
                if let Some(node) = take(inodes, slot) {
                    count(inodes, node, false);
                }
            }
            Self::Move { from, to } => {
                if let Some(node) = take(inodes, from)
                    && let Some(replaced) = put(inodes, to, node)
                {
                    count(inodes, replaced, false);
                }
            }
            Self::Swap { a, b } => {
                if let (Some(one), Some(other)) = (take(inodes, a), take(inodes, b)) {
                    put(inodes, a, other);
                    put(inodes, b, one);
                }
            }
        }
    }
}

fn put(inodes: &mut Inodes, (dir, name): &Slot, node: Id) -> Option<Id> {
    match &mut inodes.get_mut(dir)?.content {
        Content::Dir(entries) => entries.insert(name.clone(), node),
        _ => None,
    }
}

fn take(inodes: &mut Inodes, (dir, name): &Slot) -> Option<Id> {
    match &mut inodes.get_mut(dir)?.content {
        Content::Dir(entries) => entries.remove(name),
        _ => None,
    }
}

fn look(inodes: &Inodes, (dir, name): &Slot) -> Option<Id> {
    inodes.get(dir)?.entries().ok()?.get(name).copied()
}

fn count(inodes: &mut Inodes, node: Id, more: bool) {
    if let Some(inode) = inodes.get_mut(&node) {
        inode.links = if more {
            inode.links + 1
        } else {
            inode.links.saturating_sub(1)
        };
    }
}

impl Change {
    /// What `act` will be, looked at just before it happens.
    pub(super) fn new(act: Act, seen: &Inodes) -> Self {
        let mut nodes: BTreeSet<Id> = act
            .slots()
            .into_iter()
            .filter_map(|slot| look(seen, slot))
            .collect();
        if let Act::Link { node, .. } = act {
            nodes.insert(node);
        }
        let is_dir = |id: &&Id| seen.get(id).is_some_and(|inode| inode.kind() == Kind::Dir);
        let dir = nodes.iter().find(is_dir).copied();
        let moves = matches!(act, Act::Move { .. } | Act::Swap { .. });
        Self {
            unsynced: act.slots().into_iter().map(|(dir, _)| *dir).collect(),
            removes: dir.filter(|_| matches!(act, Act::Unlink { .. })),
            barrier: moves && dir.is_some(),
            anchored: moves
                || dir.is_some()
                || nodes
                    .iter()
                    .any(|id| seen.get(id).is_some_and(|inode| inode.links > 0)),
            nodes,
            act,
        }
    }

    /// The nodes and folders whose times it moves.
    pub(super) fn touched(&self) -> BTreeSet<Id> {
        self.nodes.union(&self.unsynced).copied().collect()
    }

    /// Whether an earlier change has to have happened when this one has.
    fn needs(&self, earlier: &Self) -> bool {
        let (slots, earlier_slots) = (self.act.slots(), earlier.act.slots());
        let makes_folder = matches!(earlier.act, Act::Link { .. })
            && slots.iter().any(|(dir, _)| earlier.nodes.contains(dir));
        self.barrier
            || (self.anchored && makes_folder)
            || slots.iter().any(|slot| earlier_slots.contains(slot))
            || earlier_slots
                .iter()
                .any(|(dir, _)| Some(*dir) == self.removes)
    }
}

impl Disk {
    /// Lets the newest change wait for all before it.
    pub(super) fn order_last(&mut self) {
        if let Some(last) = self.pending.last_mut() {
            last.barrier = true;
        }
    }

    /// Makes a file's content and metadata durable.
    pub(super) fn sync_inode(&mut self, id: Id) {
        self.dirty.remove(&id);
        if let Some(seen) = self.seen.get(&id)
            && let Some(durable) = self.durable.get_mut(&id)
            && !self.lost.contains(&id)
        {
            match seen.kind() {
                Kind::File => {
                    let links = durable.links;
                    *durable = seen.clone();
                    durable.links = links;
                }
                // Its entries are changes of their own.
                _ => durable.mode = seen.mode,
            }
        }
    }

    /// The storage refused some inodes' data: what is cached will not be written again, and the
    /// next sync succeeds without it (fsync(2), EIO).
    pub(super) fn lose(&mut self, ids: impl IntoIterator<Item = Id>) {
        for id in ids {
            if self.dirty.remove(&id) {
                self.lost.insert(id);
            }
        }
    }

    /// Makes a folder's entries durable, with what has to happen before.
    pub(super) fn sync_entries(&mut self, dir: Id) {
        for change in &mut self.pending {
            change.unsynced.remove(&dir);
        }
        self.settle_entries();
    }

    /// Makes everything durable.
    pub(super) fn sync_everything(&mut self) {
        for change in &mut self.pending {
            change.unsynced.clear();
        }
        self.settle_entries();
        for id in std::mem::take(&mut self.dirty) {
            self.sync_inode(id);
        }
    }

    fn settle_entries(&mut self) {
        let mut due: Vec<bool> = self.pending.iter().map(|c| c.unsynced.is_empty()).collect();
        // From the newest on, so that what is needed brings what it needs itself.
        for later in (0..due.len()).rev() {
            for earlier in 0..if due[later] { later } else { 0 } {
                due[earlier] |= self.pending[later].needs(&self.pending[earlier]);
            }
        }
        let mut due = due.into_iter();
        let changes = std::mem::take(&mut self.pending);
        let (done, rest): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|_| due.next().unwrap_or(false));
        self.pending = rest;
        for change in done {
            change.act.apply(&mut self.durable);
            self.reuse(&change);
        }
    }

    /// Gives back the inode numbers of what is gone for good.
    fn reuse(&mut self, change: &Change) {
        for id in &change.nodes {
            let gone = |inodes: &Inodes| inodes.get(id).is_none_or(|inode| inode.links == 0);
            if gone(&self.seen)
                && gone(&self.durable)
                && self.usage.get(id).is_none_or(|usage| usage.handles == 0)
                && !self.pending.iter().any(|later| later.nodes.contains(id))
                && let Some(inode) = self.seen.get(id)
            {
                self.free.insert(inode.ino);
            }
        }
    }

    /// The changes that a crash lets happen: `pick` says which it would like, and only those
    /// stay for which everything needed happens too.
    pub(super) fn surviving(&self, mut pick: impl FnMut() -> bool) -> Vec<Act> {
        let mut happens: Vec<bool> = Vec::with_capacity(self.pending.len());
        for (i, change) in self.pending.iter().enumerate() {
            let possible = (0..i).all(|j| happens[j] || !change.needs(&self.pending[j]));
            happens.push(pick() && possible);
        }
        let picked = self
            .pending
            .iter()
            .zip(happens)
            .filter(|(_, happens)| *happens);
        picked.map(|(change, _)| change.act.clone()).collect()
    }
}
