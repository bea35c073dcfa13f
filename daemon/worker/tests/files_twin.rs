//! The twin's own promises: what a crash may take, and what it may not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use mooring_worker::files::twin::{Node, TwinFiles, is_dead};
use mooring_worker::files::{Files, Lease};
use nix::errno::Errno;
use proptest::prelude::*;

/// Enough seeds for every outcome to come up.
const SEEDS: u64 = 200;

fn machine() -> TwinFiles {
    let twin = TwinFiles::new();
    twin.mkdir("/a").unwrap();
    twin.mkdir("/b").unwrap();
    twin.settle();
    twin
}

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

fn put(twin: &TwinFiles, folder: &str, file: &str, bytes: &[u8]) -> io::Result<()> {
    let dir = twin.open_root(Path::new(folder))?;
    let mut made = twin.create(&dir, name(file))?;
    made.write_all(bytes)?;
    twin.set_meta(&made, 0o644, 7)?;
    twin.sync_file(&made)?;
    twin.sync_dir(&dir)
}

/// What is at a path after a crash of each seed.
fn outcomes(build: impl Fn(&TwinFiles), path: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS)
        .filter(|seed| *seed != 1)
        .map(|seed| {
            let mut twin = machine();
            build(&twin);
            twin.restart(seed);
            twin.read(path).ok()
        })
        .collect()
}

#[test]
fn what_was_synced_survives_every_seed() {
    let kept = outcomes(|twin| put(twin, "/a", "f", b"content").unwrap(), "/a/f");
    assert_eq!(kept, BTreeSet::from([Some(b"content".to_vec())]));
    let kept = outcomes(
        |twin| twin.write_durable("/c/d/f", b"content").unwrap(),
        "/c/d/f",
    );
    assert_eq!(kept, BTreeSet::from([Some(b"content".to_vec())]));
}

#[test]
fn what_was_not_synced_may_be_lost_or_torn() {
    let big = vec![7; 20_000];
    let unsynced = |twin: &TwinFiles| {
        let dir = twin.open_root(Path::new("/a")).unwrap();
        twin.create(&dir, name("f"))
            .unwrap()
            .write_all(&big)
            .unwrap();
        twin.sync_dir(&dir).unwrap();
    };
    let seen = outcomes(unsynced, "/a/f");
    assert!(!seen.contains(&None), "its name was synced");
    assert!(seen.contains(&Some(Vec::new())));
    assert!(seen.contains(&Some(vec![0; big.len()])));
    assert!(seen.contains(&Some(big.clone())));
    assert!(
        seen.iter()
            .flatten()
            .any(|c| !c.is_empty() && c.len() < big.len()),
        "cut"
    );
    assert!(
        seen.iter()
            .flatten()
            .any(|c| c.contains(&0) && c.contains(&7)),
        "torn"
    );

    let nameless = |twin: &TwinFiles| {
        let dir = twin.open_root(Path::new("/a")).unwrap();
        let mut file = twin.create(&dir, name("f")).unwrap();
        file.write_all(b"content").unwrap();
        twin.sync_file(&file).unwrap();
    };
    let seen = outcomes(nameless, "/a/f");
    assert_eq!(seen, BTreeSet::from([None, Some(b"content".to_vec())]));
}

#[test]
fn a_rename_happens_or_not_and_loses_nothing() {
    let mut seen = BTreeSet::new();
    for seed in (0..SEEDS).filter(|seed| *seed != 1) {
        let mut twin = machine();
        put(&twin, "/a", "f", b"content").unwrap();
        let dirs = ["/a", "/b"].map(|p| twin.open_root(Path::new(p)).unwrap());
        twin.make_dir(&dirs[1], name("new"), 0o700).unwrap();
        let new = twin.open_dir(&dirs[1], Path::new("new")).unwrap();
        twin.rename_new(&dirs[0], name("f"), &new, name("g"))
            .unwrap();
        if seed % 2 == 0 {
            twin.sync_dir(&new).unwrap();
        }
        twin.restart(seed);
        let places = (twin.read("/a/f").ok(), twin.read("/b/new/g").ok());
        assert!(
            places.0.is_some() ^ places.1.is_some(),
            "seed {seed}: {places:?}"
        );
        seen.insert(places.1.is_some());
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn an_exchange_loses_nothing() {
    for seed in (0..SEEDS).filter(|seed| *seed != 1) {
        let mut twin = machine();
        put(&twin, "/a", "one", b"1").unwrap();
        put(&twin, "/b", "two", b"2").unwrap();
        let dirs = ["/a", "/b"].map(|p| twin.open_root(Path::new(p)).unwrap());
        twin.exchange(&dirs[0], name("one"), &dirs[1], name("two"))
            .unwrap();
        twin.restart(seed);
        let both = [twin.read("/a/one").unwrap(), twin.read("/b/two").unwrap()];
        assert!(both == [b"1", b"2"] || both == [b"2", b"1"]);
    }
}

#[test]
fn an_unlink_may_come_undone_until_it_is_synced() {
    let unlink = |twin: &TwinFiles, sync: bool| {
        put(twin, "/a", "f", b"content").unwrap();
        let dir = twin.open_root(Path::new("/a")).unwrap();
        twin.unlink(&dir, name("f")).unwrap();
        if sync {
            twin.sync_dir(&dir).unwrap();
        }
    };
    let seen = outcomes(|twin| unlink(twin, false), "/a/f");
    assert_eq!(seen, BTreeSet::from([None, Some(b"content".to_vec())]));
    assert_eq!(
        outcomes(|twin| unlink(twin, true), "/a/f"),
        BTreeSet::from([None])
    );
}

#[test]
fn changes_in_different_folders_may_be_reordered_and_those_of_a_name_not() {
    let mut seen = BTreeSet::new();
    for seed in (0..SEEDS).filter(|seed| *seed != 1) {
        let mut twin = machine();
        twin.write_durable("/a/f", b"1").unwrap();
        twin.rename("/a/f", "/a/g").unwrap();
        twin.write("/a/f", b"2").unwrap();
        twin.write("/b/late", b"").unwrap();
        twin.restart(seed);
        let old = twin.read("/a/g").is_ok() || twin.read("/a/f").is_ok_and(|c| c == b"1");
        assert!(old, "the second file never takes the place of the first");
        seen.insert((twin.exists("/a/g"), twin.exists("/b/late")));
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn syncing_all_keeps_all_only_where_that_is_known_to_be_enough() {
    for (known_good, seed) in [(true, 0), (true, 5), (true, 6), (false, 0)] {
        let mut twin = machine();
        twin.configure(twin.disk_at("/a").unwrap(), |o| o.known_good = known_good);
        twin.write("/a/deep/f", b"content").unwrap();
        twin.sync_all(&twin.open_root(Path::new("/b")).unwrap())
            .unwrap();
        twin.restart(seed);
        assert_eq!(twin.exists("/a/deep/f"), known_good);
    }
}

#[test]
fn a_killed_process_loses_nothing_but_a_later_power_cut_may() {
    let mut twin = machine();
    twin.write("/a/f", b"content").unwrap();
    twin.restart(1);
    assert_eq!(twin.read("/a/f").unwrap(), b"content");
    twin.restart(0);
    assert!(!twin.exists("/a/f"));
}

#[test]
fn the_dead_do_nothing() {
    let mut twin = machine();
    let dir = twin.open_root(Path::new("/a")).unwrap();
    let mut open = twin.create(&dir, name("open")).unwrap();
    twin.fuse().reset();
    twin.fuse().set(Some(2));
    drop(twin.create(&dir, name("first")).unwrap());
    assert!(is_dead(
        &twin.create(&dir, name("second")).map(drop).unwrap_err()
    ));
    assert_eq!(twin.fuse().names(), ["create", "create"]);
    assert!(is_dead(&twin.stat(&dir, name("first")).unwrap_err()));
    assert!(is_dead(&open.write(b"x").unwrap_err()));
    assert!(is_dead(&twin.fuse().effect("commit").unwrap_err()));
    assert_eq!(twin.fuse().count(), 2);
    assert!(twin.exists("/a/first") && !twin.exists("/a/second"));

    let ghost = twin.clone();
    twin.restart(1);
    assert!(
        is_dead(&ghost.open_root(Path::new("/a")).unwrap_err()),
        "an earlier life"
    );
    assert!(
        is_dead(&twin.stat(&dir, name("first")).unwrap_err()),
        "a handle of it"
    );
    assert!(is_dead(&open.write(b"x").unwrap_err()));
    twin.open_root(Path::new("/a")).unwrap();
    twin.fuse().effect("commit").unwrap();
    assert!(!is_dead(&io::Error::other("another")));
}

#[test]
fn after_a_failed_sync_the_data_never_arrives() {
    let mut twin = machine();
    let dir = twin.open_root(Path::new("/a")).unwrap();
    let mut file = twin.create(&dir, name("f")).unwrap();
    file.write_all(b"content").unwrap();
    twin.fail("sync-all", 1, Errno::EIO as i32);
    assert_eq!(
        twin.sync_all(&dir).unwrap_err().raw_os_error(),
        Some(Errno::EIO as i32)
    );
    twin.sync_all(&dir).unwrap();
    twin.sync_file(&file).unwrap();
    assert_eq!(
        twin.read("/a/f").unwrap(),
        b"content",
        "the cache still has it"
    );
    twin.uncache(&file);
    assert_eq!(twin.read("/a/f").unwrap(), b"");
    twin.restart(0);
    assert_eq!(twin.read("/a/f").unwrap(), b"");
}

#[test]
fn rot_shows_only_to_who_reads_the_storage() {
    let twin = machine();
    twin.write_durable("/a/f", b"content").unwrap();
    twin.rot("/a/f", b"c0ntent").unwrap();
    let dir = twin.open_root(Path::new("/a")).unwrap();
    let mut file = twin.open(&dir, name("f")).unwrap();
    assert_eq!(twin.read("/a/f").unwrap(), b"content");
    twin.uncache(&file);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"c0ntent");
}

#[test]
fn what_shall_fail_fails_once_or_from_then_on() {
    let twin = machine();
    let dir = twin.open_root(Path::new("/a")).unwrap();
    twin.fail("create", 2, Errno::EACCES as i32);
    twin.fail_from("unlink", 1, Errno::EIO as i32);
    twin.create(&dir, name("1")).unwrap();
    let failed = twin.create(&dir, name("2")).map(drop).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::PermissionDenied);
    twin.create(&dir, name("2")).unwrap();
    for _ in 0..2 {
        assert!(twin.unlink(&dir, name("1")).is_err());
    }
    twin.heal();
    twin.unlink(&dir, name("1")).unwrap();
}

#[test]
fn disks_can_be_full_read_only_unplugged_and_replaced() {
    let twin = machine();
    let disk = twin.add_disk();
    twin.mount(disk, "/mnt").unwrap();
    twin.write("/mnt/f", b"12345").unwrap();
    twin.configure(disk, |o| o.capacity = Some(8));
    let root = twin.open_root(Path::new("/mnt")).unwrap();
    assert_eq!(twin.abilities(&root).unwrap().free, 3);
    let mut file = twin.create(&root, name("g")).unwrap();
    assert_eq!(
        file.write(b"1234").unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    file.write_all(b"123").unwrap();

    twin.configure(disk, |o| o.read_only = true);
    let refused = twin.unlink(&root, name("f")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
    twin.unmount("/mnt").unwrap();
    assert!(twin.tree("/mnt").unwrap().is_empty());
    assert_eq!(twin.list(&root).unwrap().len(), 2, "open handles go on");
    twin.configure(disk, |o| o.unplugged = true);
    assert_eq!(
        twin.list(&root).unwrap_err().raw_os_error(),
        Some(Errno::EIO as i32)
    );

    twin.mount(twin.add_disk(), "/mnt").unwrap();
    let other = twin.open_root(Path::new("/mnt")).unwrap();
    assert!(twin.list(&other).unwrap().is_empty());
    let across = twin.rename_new(
        &twin.open_root(Path::new("/a")).unwrap(),
        name("f"),
        &other,
        name("f"),
    );
    assert_eq!(across.unwrap_err().kind(), ErrorKind::CrossesDevices);
}

#[test]
fn abilities_can_be_missing() {
    let mut twin = machine();
    twin.configure(twin.disk_at("/a").unwrap(), |o| {
        (o.leases, o.exchange, o.no_replace) = (false, false, false);
    });
    put(&twin, "/a", "f", b"1").unwrap();
    put(&twin, "/a", "g", b"2").unwrap();
    let dir = twin.open_root(Path::new("/a")).unwrap();
    let file = twin.open(&dir, name("f")).unwrap();
    assert_eq!(twin.lease(&file).unwrap(), Lease::Unsupported);
    let swapped = twin.exchange(&dir, name("f"), &dir, name("g")).unwrap_err();
    assert_eq!(swapped.kind(), ErrorKind::Unsupported);
    let taken = twin
        .rename_new(&dir, name("f"), &dir, name("g"))
        .unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);

    // Between the link and the unlink both names are there.
    twin.fuse().reset();
    twin.fuse().set(Some(2));
    assert!(is_dead(
        &twin
            .rename_new(&dir, name("f"), &dir, name("h"))
            .unwrap_err()
    ));
    twin.restart(1);
    assert_eq!(
        twin.stat_path("/a/f").unwrap(),
        twin.stat_path("/a/h").unwrap()
    );
    assert_eq!(twin.stat_path("/a/f").unwrap().nlink, 2);
}

#[test]
fn other_programs_come_in_between() {
    let twin = machine();
    twin.write_durable("/a/f", b"old").unwrap();
    let dir = twin.open_root(Path::new("/a")).unwrap();
    twin.before("rename", 1, |twin| twin.write("/a/f", b"new").unwrap());
    twin.rename_new(&dir, name("f"), &dir, name("g")).unwrap();
    assert_eq!(twin.read("/a/g").unwrap(), b"new");

    twin.break_next_lease("/a/g").unwrap();
    let file = twin.open(&dir, name("g")).unwrap();
    assert_eq!(twin.lease(&file).unwrap(), Lease::Held);
    assert!(!twin.lease_holds(&file));
    drop(file);
    let file = twin.open(&dir, name("g")).unwrap();
    assert_eq!(
        twin.lease(&file).unwrap(),
        Lease::InUse,
        "who waited has it open now"
    );
    twin.close_writers("/a/g").unwrap();
    assert_eq!(twin.lease(&file).unwrap(), Lease::Held);
    assert_eq!(
        twin.write("/a/g", b"x").unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert!(!twin.lease_holds(&file));
}

#[test]
fn two_writes_can_share_a_stamp_and_an_inode_number_is_used_again() {
    let twin = machine();
    twin.set_granularity(1_000_000_000);
    twin.write("/a/f", b"1").unwrap();
    let first = twin.stat_path("/a/f").unwrap();
    twin.write("/a/f", b"2").unwrap();
    assert_eq!(twin.stat_path("/a/f").unwrap(), first);
    twin.advance(1_000_000_000);
    twin.write("/a/f", b"3").unwrap();
    assert!(twin.stat_path("/a/f").unwrap().mtime > first.mtime);

    twin.settle();
    twin.remove("/a/f").unwrap();
    twin.write("/a/soon", b"").unwrap();
    assert_ne!(
        twin.stat_path("/a/soon").unwrap().ino,
        first.ino,
        "not durably gone yet"
    );
    twin.settle();
    twin.write("/a/later", b"").unwrap();
    assert_eq!(twin.stat_path("/a/later").unwrap().ino, first.ino);
}

#[test]
fn permissions_are_the_owners() {
    let twin = machine();
    twin.write("/a/f", b"x").unwrap();
    let dir = twin.open_root(Path::new("/a")).unwrap();
    twin.chmod("/a/f", 0o200).unwrap();
    let opened = twin.open(&dir, name("f")).map(drop);
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::PermissionDenied);
    twin.chmod("/a", 0o500).unwrap();
    assert_eq!(
        twin.unlink(&dir, name("f")).unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
    twin.chmod("/a", 0o300).unwrap();
    assert_eq!(
        twin.list(&dir).unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
}

#[test]
fn a_tree_shows_everything() {
    let twin = machine();
    twin.write("/a/d/f", b"x").unwrap();
    twin.symlink("d/f", "/a/l").unwrap();
    twin.fifo("/a/p").unwrap();
    twin.hardlink("/a/d/f", "/a/h").unwrap();
    let tree: Vec<(String, Node)> = twin
        .tree("/a")
        .unwrap()
        .into_iter()
        .map(|(path, node)| (path.to_str().unwrap().to_owned(), node))
        .collect();
    let expected = [
        ("d", Node::Dir),
        ("d/f", Node::File(b"x".to_vec())),
        ("h", Node::File(b"x".to_vec())),
        ("l", Node::Symlink("d/f".into())),
        ("p", Node::Special),
    ];
    assert_eq!(tree, expected.map(|(path, node)| (path.to_owned(), node)));
    assert_eq!(twin.read("/a/l").unwrap(), b"x");
    twin.remove("/a/d").unwrap();
    assert!(!twin.exists("/a/d") && twin.read("/a/h").is_ok());
}

#[test]
fn a_rename_in_two_steps_may_leave_both_names_but_never_none() {
    let mut seen = BTreeSet::new();
    for seed in (0..SEEDS).filter(|seed| *seed != 1) {
        let mut twin = machine();
        twin.configure(twin.disk_at("/a").unwrap(), |o| o.no_replace = false);
        put(&twin, "/a", "f", b"content").unwrap();
        let dirs = ["/a", "/b"].map(|p| twin.open_root(Path::new(p)).unwrap());
        twin.rename_new(&dirs[0], name("f"), &dirs[1], name("g"))
            .unwrap();
        twin.restart(seed);
        seen.insert((twin.exists("/a/f"), twin.exists("/b/g")));
    }
    assert_eq!(
        seen,
        BTreeSet::from([(true, false), (true, true), (false, true)])
    );
}

/// One move of a file or folder that is there, a new folder, or a sync of one.
#[derive(Debug, Clone)]
enum Step {
    Move(usize, usize, usize),
    MoveFolder(usize, usize),
    Folder(usize),
    Sync(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4usize, 0..6usize, 0..4usize).prop_map(|(file, dir, to)| Step::Move(file, dir, to)),
        (1..6usize, 0..6usize).prop_map(|(dir, to)| Step::MoveFolder(dir, to)),
        (0..6usize).prop_map(Step::Folder),
        (0..6usize).prop_map(Step::Sync),
    ];
    proptest::collection::vec(step, 1..30)
}

proptest! {
    /// Files that were durable once, and were only ever renamed, are all there after any crash,
    /// whole and under one name each.
    #[test]
    fn files_that_are_only_renamed_are_never_lost(steps in steps(), seed in 2..u64::MAX) {
        let mut twin = machine();
        let mut dirs = vec![twin.open_root(Path::new("/a")).unwrap()];
        let mut parents = vec![0];
        let mut places: Vec<(usize, String)> = Vec::new();
        for file in 0..4 {
            put(&twin, "/a", &format!("{file}"), format!("content {file}").as_bytes()).unwrap();
            places.push((0, file.to_string()));
        }
        for step in steps {
            match step {
                Step::Move(file, dir, to) => {
                    let dir = dir % dirs.len();
                    let (from, old) = places[file].clone();
                    let new = format!("n{to}");
                    let moved = twin.rename_new(&dirs[from], name(&old), &dirs[dir], name(&new));
                    if moved.is_ok() {
                        places[file] = (dir, new);
                    }
                }
                Step::MoveFolder(dir, to) => {
                    let (dir, to) = (dir % dirs.len(), to % dirs.len());
                    let called = format!("d{dir}");
                    let moved =
                        twin.rename_new(&dirs[parents[dir]], name(&called), &dirs[to], name(&called));
                    if moved.is_ok() {
                        parents[dir] = to;
                    }
                }
                Step::Folder(dir) => {
                    parents.push(dir % dirs.len());
                    let parent = dirs[dir % dirs.len()].clone();
                    let new = format!("d{}", dirs.len());
                    twin.make_dir(&parent, name(&new), 0o700).unwrap();
                    dirs.push(twin.open_dir(&parent, Path::new(&new)).unwrap());
                }
                Step::Sync(dir) => twin.sync_dir(&dirs[dir % dirs.len()]).unwrap(),
            }
        }
        twin.restart(seed);
        let mut found: Vec<Vec<u8>> = twin.tree("/a").unwrap().into_values().filter_map(|node| {
            match node { Node::File(bytes) => Some(bytes), _ => None }
        }).collect();
        found.sort();
        let expected: Vec<Vec<u8>> =
            (0..4).map(|file| format!("content {file}").into_bytes()).collect();
        prop_assert_eq!(found, expected);
    }
}
