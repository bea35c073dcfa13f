//! A name for which something may have to be done, and what is known about its two sides.

use mooring_core::sync::{Agreed, Hash, Op, Phase, Side, decide};

use crate::carry::{Expected, Load, Way};
use crate::files::Stat;
use crate::hash::{CARRIED_MODE, Reading};
use crate::look::Seen;
use crate::state::{Item, Key, Proof, Stamp};

/// A name for which something may have to be done.
pub struct Change {
    /// Which one.
    pub key: Key,
    /// What the listings told.
    pub seen: Seen,
    /// The local side, its hash included once that was needed.
    pub local: Side,
    /// The remote side, likewise.
    pub remote: Side,
    local_read: Option<Proof>,
    remote_read: Option<Proof>,
}

impl Change {
    /// A name as it was seen.
    pub fn new(key: Key, seen: Seen) -> Self {
        let (local, remote) = (seen.local_side(), seen.remote_side());
        Self {
            key,
            seen,
            local,
            remote,
            local_read: None,
            remote_read: None,
        }
    }

    /// What is to be done about it, as far as is known.
    pub fn decide(&self, phase: Phase) -> Option<Op> {
        decide(self.local, self.remote, self.seen.agreed(), phase)
    }

    /// Takes in what reading one side told.
    pub fn learn(&mut self, way: Way, reading: Reading) {
        let side = Side::Content(reading.hash);
        match way {
            Way::Up => {
                self.local = side;
                self.seen.local = Some(reading.stat);
                self.local_read = Some(reading.proof);
            }
            Way::Down => {
                self.remote = side;
                self.seen.remote = Some(reading.stat);
                self.remote_read = Some(reading.proof);
            }
        }
    }

    /// Whether the local file is as agreed, by its stamp or by its bytes.
    pub fn local_is_agreed(&self) -> bool {
        match (self.local, self.seen.agreed()) {
            (Side::AsAgreed, _) => true,
            (Side::Content(hash), Some(agreed)) => hash == agreed.local,
            _ => false,
        }
    }

    /// What reading the remote side told about its bytes.
    pub fn remote_reading(&self) -> Option<(Hash, Proof)> {
        match self.remote {
            Side::Content(hash) => Some(hash).zip(self.remote_read),
            _ => None,
        }
    }

    /// What reading one side told: the local one for `Up`.
    pub fn read(&self, way: Way) -> Option<Proof> {
        match way {
            Way::Up => self.local_read,
            Way::Down => self.remote_read,
        }
    }

    /// The item with what reading the sides told since.
    pub fn item_now(&self) -> Option<Item> {
        self.seen.item.as_ref().map(|item| Item {
            local: self.local_read.or(item.local),
            remote: self.remote_read.or(item.remote),
            ..item.clone()
        })
    }

    /// Whether both files are, by their stamps alone, the ones that were agreed on.
    pub fn stamps_are_known(&self) -> bool {
        let known = |stat: Option<Stat>, proof: Option<Proof>| {
            stat.zip(proof)
                .is_some_and(|(stat, proof)| Stamp::from(&stat) == proof.stamp)
        };
        self.seen.item.as_ref().is_some_and(|item| {
            known(self.seen.local, item.local) && known(self.seen.remote, item.remote)
        })
    }

    /// Whether the local file has a new time or mode, and the same bytes.
    pub fn looks_new(&self) -> bool {
        let (Some(local), Some(remote)) = (self.seen.local, self.seen.remote) else {
            return false;
        };
        let Some(item) = &self.seen.item else {
            return false;
        };
        let moved = item.local.is_none_or(|p| p.stamp.mtime != local.mtime);
        let carried = |stat: &Stat| (stat.mtime, stat.mode & CARRIED_MODE);
        (moved || item.mode != local.mode) && carried(&local) != carried(&remote)
    }

    /// The file as a load, going one way.
    pub fn load(&self, way: Way) -> Load {
        let agreed = self.seen.agreed();
        let source = match way {
            Way::Up => self.seen.local,
            Way::Down => self.seen.remote,
        };
        let (target, side, agreed) = match way {
            Way::Up => (self.seen.remote, self.remote, agreed.map(|a| a.remote)),
            Way::Down => (self.seen.local, self.local, agreed.map(|a| a.local)),
        };
        let bytes = match side {
            Side::Content(hash) => Some(hash),
            _ => agreed,
        };
        Load {
            key: self.key.clone(),
            way,
            replaces: target.zip(bytes).map(|(stat, bytes)| Expected {
                stamp: Stamp::from(&stat),
                bytes,
            }),
            item: self.seen.item.clone(),
            size: source.map_or(0, |stat| stat.size),
        }
    }

    /// The item that both sides agree on now; `None` when a side is absent.
    pub fn agree(self, here_before: bool) -> Option<(Key, Item)> {
        let (local, remote) = (self.seen.local?, self.seen.remote?);
        let agreed = match (self.local, self.remote, self.seen.agreed()) {
            (Side::Content(local), Side::Content(remote), _) => Agreed { local, remote },
            (_, _, Some(agreed)) => agreed,
            _ => return None,
        };
        let old = self.seen.item;
        let item = Item {
            name: self.key.name.clone(),
            agreed,
            local: self.local_read.or(old.as_ref().and_then(|i| i.local)),
            mode: local.mode,
            remote: self.remote_read.or(old.as_ref().and_then(|i| i.remote)),
            // A proof names the remote file it is about; a newer file makes it void by itself.
            verified: old.as_ref().and_then(|i| i.verified),
            here_before: here_before || old.as_ref().is_some_and(|i| i.here_before),
            gone: false,
            held: false,
            burying: false,
        };
        debug_assert!(item.remote.is_none_or(|p| p.stamp.size == remote.size));
        Some((self.key, item))
    }
}
