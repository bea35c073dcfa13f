//! When all has come to rest: bounded, everybody has the same, and nothing goes on moving.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_worker::files::twin::Node;
use mooring_worker::signin;

use crate::act::{Act, At};
use crate::stage::STORAGE;
use crate::world::World;

/// Rounds of syncs in which all must come to rest.
const ROUNDS: usize = 10;
/// Effects that move or make something. A folder that cannot go because something is in it may be
/// tried again and again.
const WRITES: [&str; 7] = [
    "create",
    "write",
    "write-meta",
    "rename",
    "exchange",
    "unlink",
    "make-dir",
];

type Tree = BTreeMap<PathBuf, Node>;

/// Lets everything come to rest, and looks whether it is as it must be.
pub fn come_to_rest(world: &mut World) {
    world.finish();
    let mut before = snapshot(world);
    for round in 0.. {
        assert!(round < ROUNDS, "it never comes to rest");
        for nr in world.signed_in() {
            world.act(Act::Sync(nr));
        }
        let after = snapshot(world);
        if after == before {
            break;
        }
        before = after;
    }
    for nr in world.signed_in() {
        stays_at_rest(world, nr);
    }
    for nr in world.signed_in() {
        same_as_storage(world, nr);
    }
}

/// All names of the collections, everywhere, and the trash.
fn snapshot(world: &World) -> Vec<Tree> {
    let mut all: Vec<_> = world
        .devices
        .iter()
        .map(|d| tree(world, Path::new(d.home)))
        .collect();
    all.push(tree(world, Path::new(STORAGE)));
    all
}

fn tree(world: &World, root: &Path) -> Tree {
    let mut tree = world.twin.tree(root).unwrap_or_default();
    // Receipts and bases are not part of it; uploads under way and markers are Mooring's.
    tree.retain(|path, _| !path.starts_with(".mooring/receipts"));
    tree
}

fn stays_at_rest(world: &mut World, nr: usize) {
    world.twin.advance(10_000_000_000);
    world.twin.fuse().reset();
    let ledger = signin::sync_now(&world.devices[nr].stage.account(), true).unwrap();
    let moved = (
        ledger.uploaded,
        ledger.downloaded,
        ledger.deleted,
        ledger.conflicts,
    );
    assert_eq!(moved, (0, 0, 0, 0), "device {nr}: {ledger:?}");
    assert_eq!(ledger.adopted, 0, "device {nr} adopts over and over");
    let names = world.twin.fuse().names();
    let writes: Vec<_> = names
        .iter()
        .filter(|n| WRITES.contains(&n.as_str()))
        .collect();
    assert!(writes.is_empty(), "device {nr} at rest does {names:?}");
}

fn same_as_storage(world: &World, nr: usize) {
    let account = world.devices[nr].stage.account();
    let ledger = signin::sync_now(&account, true).unwrap();
    assert_eq!(ledger.waiting.total, ledger.waiting.some.len() as u64);
    for collection in [Collection::Photos, Collection::Contacts] {
        let folder = Path::new(collection.folder());
        let here = own_left_out(tree(world, &world.root(At::Device(nr)).join(folder)));
        let there = own_left_out(tree(world, &world.root(At::Storage).join(folder)));
        let mut excused = odd(&here, &there);
        account
            .state
            .each_item(collection, |key, item| {
                if item.held {
                    excused.insert(PathBuf::from(std::ffi::OsStr::from_bytes(&key.path())));
                }
                Ok(())
            })
            .unwrap();
        let root = world.root(At::Device(nr)).join(folder);
        for (path, _) in &ledger.waiting.some {
            let path = Path::new(std::ffi::OsStr::from_bytes(path));
            excused.extend(path.strip_prefix(&root).map(Path::to_owned));
        }
        compare(&here, &there, &excused, nr);
        compare(&there, &here, &excused, nr);
    }
}

fn own_left_out(mut tree: Tree) -> Tree {
    tree.retain(|path, _| {
        path != Path::new(".mooring-collection") && !path.starts_with(".mooring-staging")
    });
    tree
}

/// Names that are no file or folder on a side, or not the same kind on both.
fn odd(here: &Tree, there: &Tree) -> BTreeSet<PathBuf> {
    let mut odd = BTreeSet::new();
    for (path, node) in here.iter().chain(there) {
        let strange = !matches!(node, Node::File(_) | Node::Dir);
        let kinds = [here.get(path), there.get(path)].map(|n| n.map(std::mem::discriminant));
        let differ = kinds[0].is_some() && kinds[1].is_some() && kinds[0] != kinds[1];
        if strange || differ {
            odd.insert(path.clone());
        }
    }
    odd
}

fn compare(one: &Tree, other: &Tree, excused: &BTreeSet<PathBuf>, nr: usize) {
    for (path, node) in one {
        let is_excused = path.ancestors().any(|above| excused.contains(above));
        let holds_one = excused.iter().any(|e| e.starts_with(path));
        if is_excused || (*node == Node::Dir && holds_one) {
            continue;
        }
        assert_eq!(
            Some(node),
            other.get(path),
            "{path:?} of device {nr} and the storage"
        );
    }
}
