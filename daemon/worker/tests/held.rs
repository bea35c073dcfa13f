//! Coming back to files that a sign-out kept, and to a storage that went on meanwhile: what one
//! side deleted is held, never quietly brought back and never deleted; edits win; both are kept.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use mooring_core::collection::Collection;
use mooring_worker::{leave, signin};
use stage::{PHOTOS, STORAGE, Stage};

const COPIES: &str = "/mnt/nas/Photos";
/// Longer than any step of a filesystem's time, so that stamps can be relied on.
const LATER: i64 = 10_000_000_000;

fn write(stage: &Stage, root: &str, name: &str, content: &str) {
    stage
        .twin
        .write_durable(format!("{root}/{name}"), content)
        .unwrap();
}

fn read(stage: &Stage, root: &str, name: &str) -> Option<String> {
    let bytes = stage.twin.read(format!("{root}/{name}")).ok()?;
    Some(String::from_utf8(bytes).unwrap())
}

/// Signed out, with six photos kept in place.
fn kept() -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    for name in [
        "same",
        "gone here",
        "gone there",
        "gone",
        "edited",
        "edited both",
    ] {
        write(&stage, PHOTOS, name, "old");
    }
    signin::sync_now(&stage.account(), true).unwrap();
    stage.twin.advance(LATER);
    stage.journal.keep = vec![Collection::Photos];
    stage.sign_out().unwrap();
    assert_eq!(stage.contents(PHOTOS).len(), 6);
    assert!(!stage.twin.exists(format!("{PHOTOS}/.mooring-collection")));
    assert!(!stage.twin.exists(format!("{PHOTOS}/.mooring-staging")));
    stage.twin.advance(LATER);
    stage
}

#[test]
fn what_one_side_deleted_is_held() {
    let mut stage = kept();
    stage.twin.remove(format!("{PHOTOS}/gone here")).unwrap();
    stage.twin.remove(format!("{COPIES}/gone there")).unwrap();
    for root in [PHOTOS, COPIES] {
        stage.twin.remove(format!("{root}/gone")).unwrap();
    }
    write(&stage, PHOTOS, "edited", "by laptop");
    write(&stage, PHOTOS, "edited both", "by laptop");
    write(&stage, COPIES, "edited both", "by phone");

    stage.sign_in(true).unwrap();
    for _ in 0..3 {
        let ledger = signin::sync_now(&stage.account(), true).unwrap();
        assert_eq!((ledger.held_here, ledger.held_there.total), (1, 1));
        assert_eq!(read(&stage, PHOTOS, "gone here"), None);
        assert_eq!(read(&stage, COPIES, "gone here").as_deref(), Some("old"));
        assert_eq!(read(&stage, PHOTOS, "gone there").as_deref(), Some("old"));
        assert_eq!(read(&stage, COPIES, "gone there"), None);
    }
    assert_eq!(read(&stage, COPIES, "edited").as_deref(), Some("by laptop"));
    assert_eq!(
        read(&stage, PHOTOS, "edited both").as_deref(),
        Some("by phone")
    );
    let photos = stage.contents(PHOTOS);
    assert!(
        photos.values().any(|bytes| bytes == b"by laptop"),
        "{photos:?}"
    );
    assert!(
        photos
            .keys()
            .any(|path| path.to_str().unwrap().contains("(conflict laptop"))
    );

    // A sign-out does not go on over what is held, and names it; kept here, it does.
    stage.journal.keep = vec![];
    stage.sign_out().unwrap_err();
    let account = stage.account();
    let drained = leave::drain(&account, &[]).unwrap();
    assert_eq!(drained.unsynced_total, 1);
    let held = drained.unsynced[0].0.clone();
    assert!(held.ends_with(b"/gone there"));
    assert_eq!(leave::keep_here(&account, &[held]).unwrap(), 1);
    drop(account);
    stage.sign_out().unwrap();
    assert_eq!(stage.contents(PHOTOS).len(), 0);
    let kept = read(&stage, "/home/alice/Kept from alice/Photos", "gone there");
    assert_eq!(kept.as_deref(), Some("old"));
    assert_eq!(read(&stage, COPIES, "gone here").as_deref(), Some("old"));
}

/// What was held and then edited is an edit.
#[test]
fn an_edit_of_what_is_held_wins() {
    let mut stage = kept();
    stage.twin.remove(format!("{PHOTOS}/gone here")).unwrap();
    stage.twin.remove(format!("{COPIES}/gone there")).unwrap();
    stage.sign_in(true).unwrap();
    write(&stage, COPIES, "gone here", "by phone");
    write(&stage, PHOTOS, "gone there", "by laptop");
    stage.twin.advance(LATER);
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.held_here, ledger.held_there.total), (0, 0));
    assert_eq!(
        read(&stage, PHOTOS, "gone here").as_deref(),
        Some("by phone")
    );
    assert_eq!(
        read(&stage, COPIES, "gone there").as_deref(),
        Some("by laptop")
    );
}

/// Files are kept here without ever replacing one, and only files of a collection.
#[test]
fn keeping_here_replaces_nothing() {
    let mut stage = kept();
    stage.sign_in(true).unwrap();
    let account = stage.account();
    write(
        &stage,
        "/home/alice/Kept from alice/Photos",
        "same",
        "somebody's",
    );
    let path = |name: &str| format!("{PHOTOS}/{name}").into_bytes();
    assert_eq!(leave::keep_here(&account, &[path("same")]).unwrap(), 1);
    assert_eq!(
        stage.contents("/home/alice/Kept from alice/Photos").len(),
        2
    );
    for hostile in [
        "../../x",
        "..",
        ".",
        "",
        "/same",
        ".mooring-collection",
        ".mooring-staging",
    ] {
        let kept = leave::keep_here(&account, &[path(hostile)]);
        assert!(kept.is_err() || kept.unwrap() == 0, "{hostile:?}");
    }
    assert!(leave::keep_here(&account, &[b"/home/alice/x".to_vec()]).is_err());
    assert!(stage.twin.exists(format!("{PHOTOS}/.mooring-collection")));
    assert_eq!(read(&stage, STORAGE, "Photos/same").as_deref(), Some("old"));
}
