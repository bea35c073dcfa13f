//! Renames: a file that was moved on one side is renamed on the other, without a transfer and
//! without a deletion, through every point of death.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_worker::error::Result;
use mooring_worker::state::Key;
use mooring_worker::{leave, signin, trash};
use stage::{PHOTOS, STORAGE, Stage};

const STORED: &str = "/mnt/nas/Photos";
/// As many as a large folder of photos has.
const MANY: usize = 10_000;

fn write(stage: &Stage, root: &str, name: &str, content: &str) {
    stage
        .twin
        .write_durable(Path::new(root).join(name), content)
        .unwrap();
}

fn rename(stage: &Stage, root: &str, from: &str, to: &str) {
    let root = Path::new(root);
    stage.twin.rename(root.join(from), root.join(to)).unwrap();
    stage.twin.settle();
}

/// How many of the effects since the fuse was reset made or wrote files.
fn copies(stage: &Stage) -> usize {
    let made = |name: &&String| matches!(name.as_str(), "create" | "write");
    stage.twin.fuse().names().iter().filter(made).count()
}

fn trash_is_empty(stage: &Stage) -> bool {
    trash::list(&stage.account()).unwrap().is_empty()
}

fn photo(folder: &str, name: &str) -> Key {
    Key {
        collection: Collection::Photos,
        folder: folder.into(),
        name: name.into(),
    }
}

#[test]
fn a_rename_on_either_side_is_carried_over_without_a_copy() {
    for (here, there) in [(PHOTOS, STORED), (STORED, PHOTOS)] {
        let stage = Stage::in_step(&["a.jpg", "trip/b.jpg", "stays.jpg"]);
        rename(&stage, here, "a.jpg", "trip/other name.jpg");
        rename(&stage, here, "trip/b.jpg", "b.jpg");
        stage.twin.fuse().reset();
        let ledger = signin::sync_now(&stage.account(), false).unwrap();
        assert_eq!((ledger.moved, ledger.waiting.total), (2, 0), "{ledger:?}");
        assert_eq!(
            (ledger.uploaded, ledger.downloaded, ledger.deleted),
            (0, 0, 0)
        );
        assert_eq!(copies(&stage), 0);
        assert!(trash_is_empty(&stage));
        assert_eq!(stage.contents(here), stage.contents(there));
        let moved = stage.contents(there);
        assert_eq!(moved[Path::new("b.jpg")], b"content of trip/b.jpg");
        assert_eq!(moved[Path::new("trip/other name.jpg")], b"content of a.jpg");
        let state = &stage.account().state;
        assert!(state.item(&photo("", "a.jpg")).unwrap().is_none());
        let item = state.item(&photo("trip", "other name.jpg")).unwrap();
        assert!(item.unwrap().local.is_some());
        let again = signin::sync_now(&stage.account(), true).unwrap();
        assert_eq!((again.moved, again.uploaded, again.downloaded), (0, 0, 0));
    }
}

/// The removal counts on no reading that is older than the rename.
#[test]
fn a_renamed_file_is_read_back_again_before_it_is_removed() {
    let mut stage = Stage::in_step(&["a.jpg"]);
    rename(&stage, PHOTOS, "a.jpg", "b.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    let item = stage.account().state.item(&photo("", "b.jpg")).unwrap();
    assert!(item.unwrap().verified.is_some());
    stage.sign_out().unwrap();
    assert_eq!(stage.journal.verified.read_back.files, 1);
    assert_eq!(stage.contents(PHOTOS).len(), 0);
    assert_eq!(
        stage.contents(STORED)[Path::new("b.jpg")],
        b"content of a.jpg"
    );
}

#[test]
fn a_folder_of_ten_thousand_files_moves_without_a_transfer_or_a_question() {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    for nr in 0..MANY {
        let name = format!("{PHOTOS}/2025/{nr:05}.jpg");
        stage.twin.write(name, format!("photo {nr}")).unwrap();
    }
    stage.twin.settle();
    signin::sync_now(&stage.account(), false).unwrap();
    rename(&stage, PHOTOS, "2025", "Twenty twenty-five");
    stage.twin.fuse().reset();
    let ledger = signin::sync_now(&stage.account(), false).unwrap();
    assert_eq!(ledger.moved, MANY as u64);
    assert_eq!(
        (ledger.uploaded, ledger.deleted, ledger.held_here),
        (0, 0, 0)
    );
    assert_eq!(copies(&stage), 0);
    assert_eq!(stage.contents(STORED), stage.contents(PHOTOS));
    assert!(!stage.twin.exists(format!("{STORED}/2025")));
    assert_eq!(
        stage.account().state.questions(Collection::Photos).unwrap(),
        0
    );
}

#[test]
fn a_file_that_was_also_edited_is_no_move() {
    let stage = Stage::in_step(&["a.jpg"]);
    rename(&stage, PHOTOS, "a.jpg", "b.jpg");
    write(&stage, PHOTOS, "b.jpg", "edited of a.jpg!");
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.moved, ledger.uploaded, ledger.deleted), (0, 1, 1));
    assert_eq!(
        stage.contents(STORED)[Path::new("b.jpg")],
        b"edited of a.jpg!"
    );
    assert!(!trash_is_empty(&stage));
}

/// The copy there was edited by another device: that edit is newer than the rename here.
#[test]
fn a_rename_here_and_an_edit_there_keep_both() {
    let stage = Stage::in_step(&["a.jpg"]);
    rename(&stage, PHOTOS, "a.jpg", "b.jpg");
    write(&stage, STORED, "a.jpg", "edited there");
    signin::sync_now(&stage.account(), true).unwrap();
    let photos = stage.contents(PHOTOS);
    assert_eq!(photos[Path::new("a.jpg")], b"edited there");
    assert_eq!(photos[Path::new("b.jpg")], b"content of a.jpg");
    assert_eq!(photos, stage.contents(STORED));
}

#[test]
fn two_files_of_the_same_bytes_find_a_name_each() {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    write(&stage, PHOTOS, "one.jpg", "same");
    write(&stage, PHOTOS, "two.jpg", "same");
    signin::sync_now(&stage.account(), true).unwrap();
    rename(&stage, PHOTOS, "one.jpg", "x.jpg");
    rename(&stage, PHOTOS, "two.jpg", "y.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    let expected: Vec<_> = ["x.jpg", "y.jpg"].map(PathBuf::from).into();
    assert_eq!(
        stage.contents(STORED).into_keys().collect::<Vec<_>>(),
        expected
    );
    assert_eq!(stage.contents(PHOTOS), stage.contents(STORED));
}

/// A leaving account uploads and does nothing else there.
#[test]
fn a_leaving_account_uploads_a_renamed_file() {
    let stage = Stage::in_step(&["a.jpg"]);
    rename(&stage, PHOTOS, "a.jpg", "b.jpg");
    let report = leave::drain(&stage.account(), &[]).unwrap();
    assert_eq!((report.uploaded, report.unsynced_total), (1, 0));
    assert_eq!(stage.contents(STORED).len(), 2);
}

/// Somebody else's file that has just got the new name there is not touched.
#[test]
fn a_name_that_is_taken_meanwhile_is_left_alone() {
    let stage = Stage::in_step(&["a.jpg"]);
    rename(&stage, PHOTOS, "a.jpg", "b.jpg");
    let nas = stage.nas;
    stage.twin.before("rename", 1, move |twin| {
        let seen = Stage::seen(twin.clone(), nas);
        write(&seen, STORED, "b.jpg", "of the phone");
    });
    signin::sync_now(&stage.account(), true).unwrap();
    signin::sync_now(&stage.account(), true).unwrap();
    let stored = stage.contents(STORED);
    assert!(
        stored.values().any(|bytes| bytes == b"of the phone"),
        "{stored:?}"
    );
    assert!(
        stored.values().any(|bytes| bytes == b"content of a.jpg"),
        "{stored:?}"
    );
    assert_eq!(stored, stage.contents(PHOTOS));
}

const STEPS: usize = 4;

/// Renames here and there, one step of the person's between two syncs.
fn step(stage: &Stage, nr: usize) -> Result<()> {
    match nr {
        0 | 2 => {
            let (root, names) = if nr == 0 {
                (PHOTOS, [("trip", "journey"), ("a.jpg", "journey/a.jpg")])
            } else {
                (STORED, [("journey", "voyage"), ("b.jpg", "c.jpg")])
            };
            for (from, to) in names {
                rename(stage, root, from, to);
            }
            Ok(())
        }
        _ => signin::sync_now(&stage.account(), true).map(drop),
    }
}

#[test]
fn every_point_of_death_of_a_rename() {
    let story = || Stage::in_step(&["trip/one.jpg", "trip/deep/two.jpg", "a.jpg", "b.jpg"]);
    let live = |stage: &mut Stage| {
        while stage.journal.step < STEPS {
            step(stage, stage.journal.step)?;
            stage.journal.step += 1;
        }
        Ok::<_, mooring_worker::error::Error>(())
    };
    let mut whole = story();
    let before = whole.everything();
    whole.twin.fuse().reset();
    live(&mut whole).unwrap();
    let effects = whole.twin.fuse().count();
    let expected = whole.contents(PHOTOS);
    assert_eq!(expected.len(), 4);
    assert!(expected.contains_key(Path::new("voyage/deep/two.jpg")));
    for seed in [0, 1, 2, 77] {
        for at in 1..=effects {
            let mut stage = story();
            stage.twin.fuse().reset();
            stage.twin.fuse().set(Some(at));
            live(&mut stage).expect_err("it was to die");
            let name = stage.twin.fuse().names().last().cloned().unwrap();
            let when = format!("effect {at} ({name}), seed {seed}");
            stage.twin.restart(seed);
            assert!(
                before.is_subset(&stage.everything()),
                "{when}: content is lost"
            );
            live(&mut stage).unwrap_or_else(|e| panic!("{when}: cannot go on: {e}"));
            let ledger = signin::sync_now(&stage.account(), true).unwrap();
            assert_eq!(ledger.waiting.total, 0, "{when}: {ledger:?}");
            assert_eq!(stage.contents(PHOTOS), expected, "{when}");
            assert_eq!(
                stage.contents(&format!("{STORAGE}/Photos")),
                expected,
                "{when}"
            );
        }
    }
}
