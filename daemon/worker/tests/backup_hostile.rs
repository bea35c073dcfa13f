//! Backups and restores when something is wrong: a bad file, a full disk, a person who changes
//! their mind, a storage that is gone, and a backup that somebody tampered with.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::path::Path;
use std::sync::atomic::Ordering;

use mooring_wire::BackupReport;
use mooring_worker::error::{Error, Result};
use mooring_worker::files::twin::TwinFiles;
use mooring_worker::{backup, restore};
use stage::{CONTACTS, PHOTOS, STORAGE, Stage};

const STICK: &str = "/mnt/stick";
const NAME: &str = "alice-20261124T120000Z";
/// More damaged files than a restore keeps in mind.
const MANY: usize = 70_000;

/// Alice signed in, with three files and a stick.
fn stage() -> Stage {
    let mut stage = Stage::new();
    let stick = stage.twin.add_disk();
    stage.twin.mount(stick, STICK).unwrap();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    for (path, bytes) in [
        (format!("{PHOTOS}/a.jpg"), "a"),
        (format!("{PHOTOS}/trip/b.jpg"), "b"),
        (format!("{CONTACTS}/bob.vcf"), "bob"),
    ] {
        stage.twin.write_durable(path, bytes).unwrap();
    }
    stage.twin.settle();
    stage.twin.advance(10_000_000_000);
    stage
}

fn take(stage: &Stage) -> Result<BackupReport> {
    backup::backup(&stage.account(), Path::new(STICK), NAME)
}

fn about(stage: &Stage) -> String {
    let text = stage.twin.read(format!("{STICK}/{NAME}/BACKUP.toml"));
    String::from_utf8(text.unwrap()).unwrap()
}

fn assert_nothing_there(stage: &Stage) {
    let left = stage.twin.tree(STICK).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// Lets the next read fail, right after the `nth` file of the backup was made. The first is the
/// list.
fn bad_sector_after(stage: &Stage, nth: u64) {
    let bad = |twin: &TwinFiles| twin.fail("read", 1, libc::EIO);
    stage.twin.before("create", nth, bad);
}

#[test]
fn a_bad_place_on_the_disk_is_tried_again_and_then_named() {
    let stage = stage();
    bad_sector_after(&stage, 2);
    let report = take(&stage).unwrap();
    assert_eq!((report.files.files, report.missing_total), (3, 0));
    assert!(about(&stage).contains("complete = true"));

    let stage = self::stage();
    // The list, three files, and the two other tries of the first one.
    for nth in [2, 5, 6] {
        bad_sector_after(&stage, nth);
    }
    let report = take(&stage).unwrap();
    assert_eq!((report.files.files, report.missing_total), (2, 1));
    assert!(report.missing[0].1.contains("its disk"), "{report:?}");
    assert!(about(&stage).contains("complete = false"));
    let taken = stage.contents(&format!("{STICK}/{NAME}"));
    assert!(
        !taken.keys().any(|path| path.ends_with("a.jpg")),
        "{taken:?}"
    );
}

#[test]
fn what_may_not_be_read_is_named_and_the_rest_is_taken() {
    let stage = stage();
    stage.twin.chmod(format!("{PHOTOS}/a.jpg"), 0).unwrap();
    stage.twin.chmod(format!("{PHOTOS}/trip"), 0).unwrap();
    let report = take(&stage).unwrap();
    assert_eq!((report.files.files, report.missing_total), (1, 2));
    let named: Vec<&[u8]> = report.missing.iter().map(|(path, _)| &path[..]).collect();
    assert!(named.iter().any(|path| path.ends_with(b"/a.jpg")));
    assert!(named.iter().any(|path| path.ends_with(b"/trip")));
}

#[test]
fn a_disk_that_runs_full_keeps_nothing_and_says_how_much_is_needed() {
    let stage = stage();
    stage.twin.fail("write", 2, libc::ENOSPC);
    match take(&stage) {
        Err(Error::NoSpace(why)) => assert!(why.contains("MB are needed"), "{why}"),
        ended => panic!("{ended:?}"),
    }
    assert_nothing_there(&stage);
    assert_eq!(take(&stage).unwrap().files.files, 3);
}

#[test]
fn cancelled_nothing_is_left_of_it() {
    for nth in 1..=4 {
        let stage = stage();
        let account = stage.account();
        let stop = account.stop.clone();
        let cancel = move |_: &TwinFiles| stop.store(true, Ordering::Relaxed);
        stage.twin.before("create", nth, cancel);
        let ended = backup::backup(&account, Path::new(STICK), NAME);
        assert!(matches!(ended, Err(Error::Cancelled)), "{nth}: {ended:?}");
        assert_nothing_there(&stage);
    }
}

#[test]
fn both_work_when_the_storage_is_gone() {
    let stage = stage();
    stage.twin.unmount(STORAGE).unwrap();
    assert_eq!(take(&stage).unwrap().files.files, 3);
    stage.twin.remove(format!("{PHOTOS}/trip")).unwrap();
    let from = Path::new(STICK).join(NAME);
    let report = restore::restore(&stage.account(), &from, b"", None).unwrap();
    assert_eq!((report.restored.files, report.equal), (1, 2));
    assert_eq!(
        stage.twin.read(format!("{PHOTOS}/trip/b.jpg")).unwrap(),
        b"b"
    );
}

#[test]
fn a_backup_beside_what_it_is_of_says_so() {
    let stage = stage();
    assert!(take(&stage).unwrap().remarks.is_empty());
    stage.twin.mkdir("/home/alice/out").unwrap();
    let at = Path::new("/home/alice/out");
    let report = backup::backup(&stage.account(), at, NAME).unwrap();
    let [said] = &report.remarks[..] else {
        panic!("{report:?}");
    };
    assert!(said.contains("the files here"), "{said}");
    let text = stage
        .twin
        .read(format!("/home/alice/out/{NAME}/BACKUP.toml"));
    assert!(
        String::from_utf8(text.unwrap())
            .unwrap()
            .contains("same disk")
    );
}

/// A folder that claims to be a backup, with this list.
fn tampered(stage: &Stage, list: &[u8]) -> std::path::PathBuf {
    let at = Path::new(STICK).join("evil");
    stage.twin.write_durable(at.join("B3SUMS"), list).unwrap();
    stage
        .twin
        .write_durable(at.join("Photos/x.jpg"), "x")
        .unwrap();
    at
}

fn line(name: &str, bytes: &[u8]) -> String {
    format!("{}  {name}\n", blake3::hash(bytes).to_hex())
}

#[test]
fn a_list_that_names_a_file_twice_restores_it_once() {
    let stage = stage();
    let twice = line("Photos/x.jpg", b"x").repeat(2);
    let from = tampered(&stage, twice.as_bytes());
    let report = restore::restore(&stage.account(), &from, b"", None).unwrap();
    assert_eq!((report.restored.files, report.equal), (1, 1));
    assert_eq!((report.conflicts, report.problems_total), (0, 0));
}

#[test]
fn lists_that_are_none_or_without_end_restore_nothing() {
    let stage = stage();
    let before = stage.everything();
    let endless = line(&format!("Photos/{}", "y".repeat(5 << 20)), b"x");
    let missing: String = (0..MANY)
        .map(|nr| line(&format!("Photos/{nr}"), b"x"))
        .collect();
    let lists: [&[u8]; 6] = [
        endless.as_bytes(),
        missing.as_bytes(),
        b"no list at all",
        b"\xff\xfe\n",
        &[0; 4096],
        // An escape that b3sum has not.
        b"\\0000000000000000000000000000000000000000000000000000000000000000  a\\t\n",
    ];
    for (nr, list) in lists.into_iter().enumerate() {
        let from = tampered(&stage, list);
        let ended = restore::restore(&stage.account(), &from, b"", None);
        assert!(ended.is_err(), "list {nr}");
        assert_eq!(stage.everything(), before, "list {nr}");
    }
}

#[test]
fn names_of_any_bytes_lead_nowhere_else() {
    let stage = stage();
    let before = stage.everything();
    let mut list = Vec::new();
    for name in [
        &b"Photos/a\0b"[..],
        b"Photos/\xff\xfe",
        b"Photos/..",
        b"\x00",
        b"./Photos/x.jpg",
    ] {
        list.extend(blake3::hash(b"x").to_hex().bytes());
        list.extend(b"  ");
        list.extend(name);
        list.push(b'\n');
    }
    list.extend(format!("\\{}", line("Photos/a\\n..\\n/../b", b"x")).bytes());
    let from = tampered(&stage, &list);
    let report = restore::restore(&stage.account(), &from, b"", None).unwrap();
    assert_eq!(
        (report.restored.files, report.problems_total),
        (0, 6),
        "{report:?}"
    );
    assert_eq!(stage.everything(), before);
}

#[test]
fn a_folder_swapped_for_a_link_is_not_followed() {
    let stage = stage();
    let from = tampered(&stage, line("Photos/x.jpg", b"x").as_bytes());
    stage.twin.write_durable("/secret/x.jpg", "x").unwrap();
    // Checked already, and about to be copied: the copy's file is made first.
    stage.twin.before("create", 1, |twin| {
        twin.remove(format!("{STICK}/evil/Photos/x.jpg")).unwrap();
        twin.symlink("/secret/x.jpg", format!("{STICK}/evil/Photos/x.jpg"))
            .unwrap();
    });
    let report = restore::restore(&stage.account(), &from, b"", None).unwrap();
    assert_eq!(
        (report.restored.files, report.problems_total),
        (0, 1),
        "{report:?}"
    );
    assert!(!stage.twin.exists(format!("{PHOTOS}/x.jpg")));
}
