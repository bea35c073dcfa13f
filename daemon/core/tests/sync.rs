//! `sync::decide` over random histories: two devices and a storage, edits and deletions at any
//! moment, sign-outs in between. No content is lost that was not overwritten or deleted by a
//! person who had it before their eyes, and everybody ends with the same files.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use mooring_core::sync::{Agreed, Hash, Op, Phase, Side, conflict_name, decide, is_conflict_copy};
use proptest::prelude::*;

type Name = Vec<u8>;
type Files = BTreeMap<Name, Hash>;

#[derive(Debug, Clone)]
enum Act {
    /// A person writes on a device.
    Edit {
        device: usize,
        name: usize,
    },
    /// A person deletes on a device.
    Delete {
        device: usize,
        name: usize,
    },
    /// Somebody edits in the storage itself.
    EditStored {
        name: usize,
    },
    /// Somebody deletes in the storage itself.
    DeleteStored {
        name: usize,
    },
    Sync {
        device: usize,
    },
    /// A device leaves and comes back.
    Leave {
        device: usize,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..2_usize, 0..3_usize).prop_map(|(device, name)| Act::Edit { device, name }),
        1 => (0..2_usize, 0..3_usize).prop_map(|(device, name)| Act::Delete { device, name }),
        1 => (0..3_usize).prop_map(|name| Act::EditStored { name }),
        1 => (0..3_usize).prop_map(|name| Act::DeleteStored { name }),
        3 => (0..2_usize).prop_map(|device| Act::Sync { device }),
        1 => (0..2_usize).prop_map(|device| Act::Leave { device }),
    ];
    prop::collection::vec(act, 1..40)
}

#[derive(Debug, Clone, Default)]
struct Device {
    files: Files,
    agreed: BTreeMap<Name, Agreed>,
}

#[derive(Debug, Default)]
struct World {
    devices: [Device; 2],
    storage: Files,
    /// What exists because somebody wrote it, and nobody replaced or deleted on purpose.
    alive: BTreeSet<Hash>,
    written: u64,
    /// What deletions carried away: kept for thirty days.
    trash: BTreeSet<Hash>,
}

fn side(there: Option<&Hash>) -> Side {
    there.map_or(Side::Absent, |hash| Side::Content(*hash))
}

impl World {
    fn new_content(&mut self) -> Hash {
        self.written += 1;
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.written.to_be_bytes());
        self.alive.insert(hash);
        hash
    }

    /// What a person replaces or deletes here is theirs to lose; copies elsewhere are not touched.
    fn given_up(&mut self, old: Option<Hash>) {
        if let Some(old) = old {
            self.alive.remove(&old);
        }
    }

    fn sync(&mut self, device: usize, phase: Phase) {
        // A conflict copy made in the first pass is an ordinary file of the second.
        for _ in 0..2 {
            let names: BTreeSet<Name> = {
                let d = &self.devices[device];
                d.files
                    .keys()
                    .chain(self.storage.keys())
                    .chain(d.agreed.keys())
                    .cloned()
                    .collect()
            };
            for name in names {
                self.sync_name(device, &name, phase);
            }
        }
    }

    fn sync_name(&mut self, device: usize, name: &Name, phase: Phase) {
        let d = &mut self.devices[device];
        let (local, remote) = (d.files.get(name).copied(), self.storage.get(name).copied());
        let agreed = d.agreed.get(name).copied();
        let both = |hash| Agreed {
            local: hash,
            remote: hash,
        };
        match decide(side(local.as_ref()), side(remote.as_ref()), agreed, phase) {
            None | Some(Op::Hold(_)) => {}
            Some(Op::DeleteLocal) => {
                assert_eq!(phase, Phase::Active, "only an account in use deletes");
                assert_eq!(local, agreed.map(|a| a.local), "deletes an edit");
                self.trash.insert(local.unwrap());
                d.files.remove(name);
                d.agreed.remove(name);
            }
            Some(Op::DeleteRemote) => {
                assert_eq!(phase, Phase::Active, "only an account in use deletes");
                assert_eq!(remote, agreed.map(|a| a.remote), "deletes an edit");
                self.trash.insert(remote.unwrap());
                self.storage.remove(name);
                d.agreed.remove(name);
            }
            Some(Op::Hash) => panic!("every hash is known"),
            Some(Op::Adopt) => {
                d.agreed.insert(name.clone(), both(local.unwrap()));
            }
            Some(Op::Upload) => {
                let hash = local.unwrap();
                let agreed_remote = agreed.map(|a| a.remote);
                assert!(
                    remote.is_none() || remote == agreed_remote,
                    "overwrites blindly"
                );
                self.storage.insert(name.clone(), hash);
                d.agreed.insert(name.clone(), both(hash));
            }
            Some(Op::Download) => {
                assert_eq!(phase, Phase::Active, "a leaving account downloads");
                let hash = remote.unwrap();
                let agreed_local = agreed.map(|a| a.local);
                assert!(
                    local.is_none() || local == agreed_local,
                    "overwrites blindly"
                );
                d.files.insert(name.clone(), hash);
                d.agreed.insert(name.clone(), both(hash));
            }
            Some(Op::SetAside) => {
                let hash = local.unwrap();
                if is_conflict_copy(name) {
                    return;
                }
                let copy = conflict_name(name, &format!("d{device}"), "2026-11-24", &hash, 64);
                d.files.remove(name);
                let before = d.files.insert(copy, hash);
                assert!(before.is_none_or(|b| b == hash));
            }
            Some(Op::Forget) => {
                d.agreed.remove(name);
            }
        }
    }

    /// The sign-out of one device: upload only, then removal of what has a copy.
    fn leave(&mut self, device: usize) {
        for _ in 0..3 {
            self.sync(device, Phase::Leaving);
        }
        let storage = self.storage.clone();
        let d = &mut self.devices[device];
        let agreed = std::mem::take(&mut d.agreed);
        d.files.retain(|name, hash| {
            let proven = agreed.get(name).is_some_and(|a| a.local == *hash)
                && storage
                    .get(name)
                    .is_some_and(|s| Some(s) == agreed.get(name).map(|a| &a.remote));
            !proven
        });
    }

    fn act(&mut self, act: &Act) {
        let name = |nr: &usize| format!("{nr}.txt").into_bytes();
        match act {
            Act::Edit { device, name: nr } => {
                let hash = self.new_content();
                let old = self.devices[*device].files.insert(name(nr), hash);
                self.given_up(old);
            }
            Act::Delete { device, name: nr } => {
                let old = self.devices[*device].files.remove(&name(nr));
                self.given_up(old);
            }
            Act::EditStored { name: nr } => {
                let hash = self.new_content();
                let old = self.storage.insert(name(nr), hash);
                self.given_up(old);
            }
            Act::DeleteStored { name: nr } => {
                let old = self.storage.remove(&name(nr));
                self.given_up(old);
            }
            Act::Sync { device } => self.sync(*device, Phase::Active),
            Act::Leave { device } => self.leave(*device),
        }
    }

    fn everything(&self) -> BTreeSet<Hash> {
        let devices = self.devices.iter().flat_map(|d| d.files.values());
        devices.chain(self.storage.values()).copied().collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_content_is_ever_lost(acts in acts()) {
        let mut world = World::default();
        for act in &acts {
            world.act(act);
            // Not even in the trash: a deletion only ever takes what its person saw deleted.
            let there = world.everything();
            prop_assert!(world.alive.is_subset(&there), "lost after {:?}", act);
        }
    }

    #[test]
    fn running_on_changes_nothing(acts in acts()) {
        let mut world = World::default();
        for act in &acts {
            world.act(act);
        }
        for _ in 0..4 {
            world.sync(0, Phase::Active);
            world.sync(1, Phase::Active);
        }
        let before = (world.devices[0].files.clone(), world.devices[1].files.clone());
        let stored = world.storage.clone();
        world.sync(0, Phase::Active);
        world.sync(1, Phase::Active);
        prop_assert_eq!(&world.storage, &stored);
        prop_assert_eq!(&(world.devices[0].files.clone(), world.devices[1].files.clone()), &before);
        // What both sides have under one name is the same, but for copies of copies.
        for device in &world.devices {
            for (name, hash) in &device.files {
                if let Some(stored) = world.storage.get(name)
                    && !is_conflict_copy(name)
                {
                    prop_assert_eq!(hash, stored);
                }
            }
        }
    }

    #[test]
    fn unhashed_never_decides_what_a_hash_would_not(
        local in 0..4_u8, remote in 0..4_u8, agreed in prop::option::of((1..4_u8, 1..4_u8)),
    ) {
        // 0: absent. What is decided without a hash must hold for every content.
        let content = |n: u8| if n == 0 { Side::Absent } else { Side::Content([n; 32]) };
        let hidden = |n: u8| if n == 0 { Side::Absent } else { Side::Unhashed };
        let agreed = agreed.map(|(l, r)| Agreed { local: [l; 32], remote: [r; 32] });
        let known = decide(content(local), content(remote), agreed, Phase::Active);
        let unknown = decide(hidden(local), hidden(remote), agreed, Phase::Active);
        if unknown != Some(Op::Hash) {
            prop_assert_eq!(unknown, known);
        }
    }
}
