//! A storage that keeps other names than are written: nothing is merged, nothing is deleted, and
//! what cannot be kept apart waits and is told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use mooring_worker::{leave, signin};
use stage::{PHOTOS, Stage};

/// Longer than any step of a filesystem's time, so that stamps can be relied on.
const LATER: i64 = 10_000_000_000;

fn rewriting() -> Stage {
    let mut stage = Stage::new();
    stage.twin.configure(stage.nas, |disk| {
        disk.rewrites_names = true;
        disk.known_good = false;
        "vfat".clone_into(&mut disk.filesystem);
    });
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    stage
}

/// Nothing goes, whatever is tried, and what waits is told.
fn settles(stage: &Stage) {
    let here = stage.contents(PHOTOS);
    for _ in 0..3 {
        stage.twin.advance(LATER);
        let ledger = signin::sync_now(&stage.account(), true).unwrap();
        assert!(ledger.waiting.total > 0, "not told");
        assert_eq!(ledger.deleted, 0);
    }
    assert_eq!(stage.contents(PHOTOS), here, "changed here");
    let report = leave::drain(&stage.account(), &[]).unwrap();
    assert!(report.unsynced_total > 0, "no blocker");
}

#[test]
fn a_name_that_is_rewritten_waits() {
    for name in ["Photo.jpg", "trip.", "a/B.jpg", "Album/b.jpg", "end./c.jpg"] {
        let stage = rewriting();
        let path = format!("{PHOTOS}/{name}");
        stage.twin.write_durable(&path, "mine").unwrap();
        stage
            .twin
            .write_durable(format!("{PHOTOS}/plain.jpg"), "plain")
            .unwrap();
        settles(&stage);
        assert_eq!(stage.twin.read(&path).unwrap(), b"mine", "{name}");
    }
}

#[test]
fn names_that_are_one_there_are_not_merged() {
    let stage = rewriting();
    for (name, content) in [("a.jpg", "small"), ("A.jpg", "large")] {
        let path = format!("{PHOTOS}/{name}");
        stage.twin.write_durable(path, content).unwrap();
    }
    settles(&stage);
    let stage = rewriting();
    for (name, content) in [("trip/a.jpg", "small"), ("Trip/a.jpg", "large")] {
        let path = format!("{PHOTOS}/{name}");
        stage.twin.write_durable(path, content).unwrap();
    }
    settles(&stage);
}

/// A rename here is carried over by a rename there, which keeps no such name either.
#[test]
fn a_rename_to_a_name_that_is_rewritten_is_taken_back() {
    for name in ["Photo.jpg", "other."] {
        let stage = rewriting();
        let (from, to) = (format!("{PHOTOS}/photo.jpg"), format!("{PHOTOS}/{name}"));
        stage.twin.write_durable(&from, "mine").unwrap();
        stage.twin.advance(LATER);
        signin::sync_now(&stage.account(), true).unwrap();
        let folder = std::path::Path::new(&to).parent().unwrap().to_owned();
        stage.twin.mkdir(folder).unwrap();
        stage.twin.rename(&from, &to).unwrap();
        stage.twin.settle();
        settles(&stage);
        assert_eq!(stage.twin.read(&to).unwrap(), b"mine", "{name}");
    }
}
