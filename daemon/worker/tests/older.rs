//! A side that was set back to older versions: they win, as every edit does, and the newer ones they
//! replace lie in the trash.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeSet;
use std::path::Path;

use mooring_core::collection::Collection;
use mooring_worker::error::Result;
use mooring_worker::files::Files;
use mooring_worker::{signin, trash};
use stage::{PHOTOS, STORAGE, Stage};

const STORED: &str = "/mnt/nas/Photos";
const HOUR: i64 = 3_600 * 1_000_000_000;

/// Puts a version of a file on one side, written an hour before now.
fn set_back(stage: &Stage, root: &str, name: &str, content: &str) {
    let file = Path::new(root).join(name);
    stage.twin.write(&file, content).unwrap();
    let earlier = stage.twin.now() - HOUR;
    stage.twin.set_mtime(&file, earlier).unwrap();
    stage.twin.settle();
}

fn sync(stage: &Stage) -> Result<u64> {
    signin::sync_now(&stage.account(), true).map(|ledger| ledger.waiting.total)
}

/// What the trash holds, contents only. None of it has the name of a file that was deleted.
fn trashed(stage: &Stage) -> BTreeSet<Vec<u8>> {
    let day = |buried: trash::Buried| {
        let folder = buried.key.collection.folder();
        let root = format!("{STORAGE}/.mooring/trash/{}/{folder}", buried.date);
        let path = String::from_utf8(buried.key.path()).unwrap();
        assert!(path.contains(" (conflict laptop "), "{path}");
        stage.twin.read(Path::new(&root).join(path)).unwrap()
    };
    let buried = trash::list(&stage.account()).unwrap();
    buried.into_iter().map(day).collect()
}

#[test]
fn the_newer_version_lies_in_the_trash() {
    for (back, other) in [(PHOTOS, STORED), (STORED, PHOTOS)] {
        let stage = Stage::in_step(&["a.jpg", "b.jpg"]);
        set_back(&stage, back, "a.jpg", "as it was");
        assert_eq!(sync(&stage).unwrap(), 0);
        let now = stage.contents(other);
        assert_eq!(now[Path::new("a.jpg")], b"as it was", "set back: {back}");
        assert_eq!(trashed(&stage), [b"content of a.jpg".to_vec()].into());
        // An edit that goes on in time needs no such copy, and neither does a touch.
        stage.twin.advance(HOUR);
        let file = Path::new(back).join("b.jpg");
        stage.twin.write_durable(&file, "edited").unwrap();
        assert_eq!(sync(&stage).unwrap(), 0);
        stage
            .twin
            .set_mtime(&file, stage.twin.now() - HOUR)
            .unwrap();
        assert_eq!(sync(&stage).unwrap(), 0);
        assert_eq!(trashed(&stage).len(), 1, "set back: {back}");
        assert_eq!(stage.contents(PHOTOS), stage.contents(STORED));
    }
}

/// A folder that was lost and asked about, and is there again as a backup has it.
#[test]
fn what_a_backup_brings_after_a_loss_replaces_nothing_unseen() {
    let names: Vec<String> = (0..30).map(|n| format!("{n:02}.jpg")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let stage = Stage::in_step(&names);
    for name in &names {
        stage.twin.remove(Path::new(PHOTOS).join(name)).unwrap();
    }
    stage.twin.settle();
    let lost = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(lost.held_here, 30);
    for name in &names {
        set_back(&stage, PHOTOS, name, &format!("{name} as it was"));
    }
    assert_eq!(sync(&stage).unwrap(), 0);
    assert_eq!(stage.contents(STORED), stage.contents(PHOTOS));
    let kept: BTreeSet<_> = names
        .iter()
        .map(|name| format!("content of {name}").into_bytes())
        .collect();
    assert_eq!(trashed(&stage), kept);
}

#[test]
fn without_room_in_the_trash_nothing_is_replaced() {
    for (back, other) in [(PHOTOS, STORED), (STORED, PHOTOS)] {
        let stage = Stage::in_step(&["a.jpg"]);
        set_back(&stage, back, "a.jpg", "as it was");
        let used = stage.twin.used(stage.nas);
        stage.twin.configure(stage.nas, |o| o.capacity = Some(used));
        for _ in 0..2 {
            assert_eq!(sync(&stage).unwrap(), 1, "set back: {back}");
            let there = &stage.contents(other)[Path::new("a.jpg")];
            assert_eq!(there, b"content of a.jpg", "set back: {back}");
        }
        stage.twin.configure(stage.nas, |o| o.capacity = None);
        assert_eq!(sync(&stage).unwrap(), 0);
        assert_eq!(trashed(&stage), [b"content of a.jpg".to_vec()].into());
    }
}

#[test]
fn every_point_of_death() {
    for (back, other) in [(PHOTOS, STORED), (STORED, PHOTOS)] {
        for at in 1.. {
            let mut stage = Stage::in_step(&["a.jpg"]);
            set_back(&stage, back, "a.jpg", "as it was");
            stage.twin.fuse().reset();
            stage.twin.fuse().set(Some(at));
            if sync(&stage).is_ok() {
                assert!(at > 3, "it has effects");
                break;
            }
            let when = format!("effect {at}, set back: {back}");
            stage.twin.restart(at);
            let all = stage.everything();
            for content in ["as it was", "content of a.jpg"] {
                assert!(all.contains(content.as_bytes()), "{when}: {content}");
            }
            assert_eq!(sync(&stage).unwrap(), 0, "{when}");
            let now = &stage.contents(other)[Path::new("a.jpg")];
            assert_eq!(now, b"as it was", "{when}");
            let kept = [b"content of a.jpg".to_vec()];
            assert_eq!(trashed(&stage), kept.into(), "{when}");
            let buried = trash::list(&stage.account()).unwrap();
            assert_eq!(buried.len(), 1, "{when}: {buried:?}");
            assert_eq!(buried[0].key.collection, Collection::Photos);
        }
    }
}
