//! `.mooringignore`: what it names stays where it is, on both sides, through a sync, a sign-out and
//! every point of death.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::path::Path;

use mooring_core::collection::Collection;
use mooring_worker::error::Result;
use mooring_worker::state::Key;
use mooring_worker::{plan, signin, sync, why};
use stage::{PHOTOS, STORAGE, Stage};

const STORED: &str = "/mnt/nas/Photos";
const FILE: &str = ".mooringignore";

fn write(stage: &Stage, root: &str, name: &str, content: &str) {
    stage
        .twin
        .write_durable(Path::new(root).join(name), content)
        .unwrap();
}

fn signed_in() -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    stage
}

fn sync_now(stage: &Stage) -> Result<()> {
    signin::sync_now(&stage.account(), true).map(drop)
}

fn stored(stage: &Stage, name: &str) -> bool {
    stage.twin.exists(format!("{STORED}/{name}"))
}

fn photo(folder: &str, name: &str) -> Key {
    Key {
        collection: Collection::Photos,
        folder: folder.into(),
        name: name.into(),
    }
}

#[test]
fn ignored_names_are_carried_neither_way_and_the_file_itself_is() {
    let stage = signed_in();
    write(&stage, PHOTOS, FILE, "*.tmp\ncache/\n");
    write(&stage, PHOTOS, "a.jpg", "a");
    write(&stage, PHOTOS, "a.tmp", "here only");
    write(&stage, PHOTOS, "cache/deep/x.jpg", "cached");
    write(&stage, PHOTOS, "trip/.mooringignore", "!keep.tmp\n");
    write(&stage, PHOTOS, "trip/keep.tmp", "kept");
    write(&stage, STORED, "there.tmp", "there only");
    sync_now(&stage).unwrap();
    assert!(stored(&stage, FILE) && stored(&stage, "a.jpg") && stored(&stage, "trip/keep.tmp"));
    assert!(!stored(&stage, "a.tmp") && !stored(&stage, "cache"));
    assert!(!stage.twin.exists(format!("{PHOTOS}/there.tmp")));
}

/// Another device learns what is ignored from the storage, before its own file has come.
#[test]
fn the_storages_file_counts_until_it_has_come_here() {
    let stage = signed_in();
    write(&stage, PHOTOS, FILE, "*.tmp\n");
    sync_now(&stage).unwrap();
    write(&stage, STORED, "there.tmp", "there only");
    let mut other = stage.another_device();
    other.sign_in(false).unwrap();
    let root = "/home/other/Accounts/alice/Photos";
    assert!(other.twin.exists(format!("{root}/{FILE}")));
    assert!(!other.twin.exists(format!("{root}/there.tmp")));
}

#[test]
fn what_becomes_ignored_stays_on_both_sides_and_is_let_go() {
    let stage = signed_in();
    write(&stage, PHOTOS, "a.raw", "raw");
    write(&stage, PHOTOS, "cache/x.jpg", "cached");
    sync_now(&stage).unwrap();
    write(&stage, PHOTOS, FILE, "*.raw\n/cache\n");
    sync_now(&stage).unwrap();
    let state = &stage.account().state;
    assert!(state.item(&photo("", "a.raw")).unwrap().is_none());
    assert!(state.item(&photo("cache", "x.jpg")).unwrap().is_none());
    let folder = state.folder(Collection::Photos, b"cache").unwrap();
    assert_eq!(folder, None);
    // Neither a deletion nor an edit is carried over from here on.
    stage.twin.remove(format!("{PHOTOS}/a.raw")).unwrap();
    write(&stage, PHOTOS, "cache/x.jpg", "edited");
    sync_now(&stage).unwrap();
    assert_eq!(stage.contents(STORED)[Path::new("a.raw")], b"raw");
    assert_eq!(stage.contents(STORED)[Path::new("cache/x.jpg")], b"cached");
    // Ignored no longer, both sides are looked at as if they had never met.
    write(&stage, PHOTOS, FILE, "");
    sync_now(&stage).unwrap();
    assert_eq!(stage.contents(PHOTOS), stage.contents(STORED));
    let all = stage.everything();
    for content in ["raw", "cached", "edited"] {
        assert!(all.contains(content.as_bytes()), "{content} is lost");
    }
}

#[test]
fn a_sign_out_leaves_ignored_names_and_says_so() {
    let mut stage = signed_in();
    write(&stage, PHOTOS, "trip/a.raw", "raw");
    write(&stage, PHOTOS, "a.jpg", "a");
    write(&stage, PHOTOS, "cache/x.jpg", "cached");
    sync_now(&stage).unwrap();
    // So late that the drain is the first to see it.
    write(&stage, PHOTOS, FILE, "*.raw\ncache/\n");
    let facts = plan::plan(&stage.account(), &[]).unwrap();
    let photos = facts.collections.iter().find(|c| c.name == "photos");
    assert_eq!(photos.unwrap().skipped, 2);
    assert!(facts.warnings.iter().any(|w| w.contains(FILE)), "{facts:?}");

    let account = stage.account();
    let (_, report) = stage::drain_verify_remove(&account, &[], "receipt").unwrap();
    let left: Vec<_> = report
        .left
        .iter()
        .map(|left| {
            (
                String::from_utf8(left.path.clone()).unwrap(),
                left.reason.as_str(),
            )
        })
        .collect();
    let ignored = "ignored by .mooringignore";
    assert_eq!(
        left,
        [
            (format!("{PHOTOS}/cache"), ignored),
            (format!("{PHOTOS}/trip/a.raw"), ignored)
        ]
    );
    let photos = stage.contents(PHOTOS);
    assert_eq!(photos[Path::new("trip/a.raw")], b"raw");
    assert_eq!(photos[Path::new("cache/x.jpg")], b"cached");
    assert_eq!(photos.len(), 2, "{photos:?}");
    stage.journal.removal_done = Some(report);
}

#[test]
fn a_bad_line_is_named_and_the_others_count() {
    let stage = signed_in();
    write(&stage, PHOTOS, FILE, "[z-a]\n*.tmp\n");
    write(&stage, PHOTOS, "x.tmp", "x");
    sync_now(&stage).unwrap();
    assert!(!stored(&stage, "x.tmp"));
    let bad = sync::bad_lines(&stage.account(), Collection::Photos).unwrap();
    assert_eq!(bad.len(), 1);
    assert!(
        bad[0].starts_with(&format!("{PHOTOS}/{FILE}:1: ")),
        "{bad:?}"
    );
    let told = mooring_worker::diagnose::diagnose(&stage.account());
    assert!(told.iter().any(|d| d.message == bad[0]), "{told:?}");
    write(&stage, PHOTOS, FILE, "*.tmp\n");
    sync_now(&stage).unwrap();
    assert!(
        sync::bad_lines(&stage.account(), Collection::Photos)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_folder_as_it_is() {
    let stage = signed_in();
    write(&stage, PHOTOS, "trip/a.jpg", "a");
    write(&stage, PHOTOS, "trip/.mooringignore", "*.tmp\n");
    sync_now(&stage).unwrap();
    stage
        .twin
        .chmod(format!("{PHOTOS}/trip/{FILE}"), 0)
        .unwrap();
    write(&stage, PHOTOS, "trip/secret.tmp", "secret");
    stage.twin.remove(format!("{PHOTOS}/trip/a.jpg")).unwrap();
    stage.twin.settle();
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(ledger.waiting.total, 1, "{ledger:?}");
    assert!(!stored(&stage, "trip/secret.tmp") && stored(&stage, "trip/a.jpg"));
}

#[test]
fn why_names_file_and_line() {
    let stage = signed_in();
    write(&stage, PHOTOS, FILE, "# mine\n*.tmp\ncache/\n");
    write(&stage, PHOTOS, "x.tmp", "x");
    write(&stage, PHOTOS, "cache/deep/y.jpg", "y");
    for (name, line) in [("x.tmp", 2), ("cache/deep/y.jpg", 3)] {
        let report = why::why(&stage.account(), &Path::new(PHOTOS).join(name)).unwrap();
        assert_eq!(report.state, "ignored");
        let said = format!("line {line} of {PHOTOS}/{FILE} says so");
        assert_eq!(report.reason, said);
    }
    write(&stage, PHOTOS, "z.jpg", "z");
    let report = why::why(&stage.account(), &Path::new(PHOTOS).join("z.jpg")).unwrap();
    assert_eq!(report.state, "waiting-to-upload");
}

#[test]
fn every_point_of_death_while_names_become_ignored() {
    let story = || {
        let stage = signed_in();
        write(&stage, PHOTOS, "a.raw", "raw");
        write(&stage, PHOTOS, "cache/x.jpg", "cached");
        write(&stage, PHOTOS, "a.jpg", "a");
        sync_now(&stage).unwrap();
        write(&stage, PHOTOS, FILE, "*.raw\ncache/\n");
        stage.twin.fuse().reset();
        stage
    };
    let live = |stage: &mut Stage| {
        if stage.journal.step == 0 {
            sync_now(stage)?;
            stage.journal.step = 1;
        }
        stage.sign_out()
    };
    let mut whole = story();
    live(&mut whole).unwrap();
    for seed in [0, 1, 77] {
        for at in 1..=whole.twin.fuse().count() {
            let mut stage = story();
            stage.twin.fuse().set(Some(at));
            live(&mut stage).expect_err("it was to die");
            stage.twin.restart(seed);
            let when = format!("effect {at}, seed {seed}");
            live(&mut stage).unwrap_or_else(|e| panic!("{when}: cannot go on: {e}"));
            let photos = stage.contents(PHOTOS);
            assert_eq!(photos.len(), 2, "{when}: {photos:?}");
            assert!(
                stage.contents(&format!("{STORAGE}/Photos")).len() == 4,
                "{when}"
            );
        }
    }
}

/// Somebody writes down what is to stay on each device, and takes it out of the storage: what is
/// here stays, although the rules come with the very sync that sees it gone.
#[test]
fn rules_that_come_with_deletions_count_for_them() {
    let stage = signed_in();
    for name in ["a.raw", "a.jpg", "trip/b.raw", "trip/b.jpg", "cache/c.jpg"] {
        write(&stage, PHOTOS, name, &format!("content of {name}"));
    }
    sync_now(&stage).unwrap();
    write(&stage, STORED, FILE, "*.raw\n/cache\n");
    for name in [
        "a.raw",
        "a.jpg",
        "trip/b.raw",
        "trip/b.jpg",
        "cache/c.jpg",
        "cache",
    ] {
        stage.twin.remove(format!("{STORED}/{name}")).unwrap();
    }
    stage.twin.settle();
    for _ in 0..2 {
        sync_now(&stage).unwrap();
        let left: Vec<_> = stage.contents(PHOTOS).into_keys().collect();
        let names = [".mooringignore", "a.raw", "cache/c.jpg", "trip/b.raw"];
        assert_eq!(left, names.map(Path::new));
        assert!(!stored(&stage, "a.raw") && !stored(&stage, "cache"));
    }
}

/// Rules that cannot come keep every deletion below them waiting, and no others.
#[test]
fn deletions_wait_for_rules_that_do_not_come() {
    let stage = signed_in();
    for name in ["trip/a.raw", "other/b.jpg", "trip/.mooringignore"] {
        write(&stage, PHOTOS, name, &format!("# content of {name}"));
    }
    sync_now(&stage).unwrap();
    write(&stage, STORED, "trip/.mooringignore", "*.raw\n");
    for name in ["trip/a.raw", "other/b.jpg"] {
        stage.twin.remove(format!("{STORED}/{name}")).unwrap();
    }
    stage.twin.settle();
    // Somebody has the file of rules open here, so that it cannot be replaced.
    let rules = format!("{PHOTOS}/trip/{FILE}");
    stage.twin.open_writer(&rules).unwrap();
    sync_now(&stage).unwrap();
    assert!(stage.twin.exists(format!("{PHOTOS}/trip/a.raw")));
    assert!(!stage.twin.exists(format!("{PHOTOS}/other/b.jpg")));
    stage.twin.close_writers(&rules).unwrap();
    sync_now(&stage).unwrap();
    assert!(stage.twin.exists(format!("{PHOTOS}/trip/a.raw")));
    assert_eq!(
        stage.contents(PHOTOS)[Path::new("trip/.mooringignore")],
        b"*.raw\n"
    );
}
