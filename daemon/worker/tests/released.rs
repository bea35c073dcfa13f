//! An account that is given up while its storage is gone: wherever a sign-out or a sync died before,
//! nothing of Mooring stays, and every file that was here is here.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::path::Path;

use mooring_worker::files::Files;
use mooring_worker::giving_up::{self, Before};
use mooring_worker::signin;
use stage::{PHOTOS, STORAGE, Stage};

const IN_USE: Before = Before {
    erasing: false,
    brought: true,
};
const STORED: &str = "/mnt/nas/Photos";

/// Gives the account up without its storage, which comes back after that.
fn give_up(stage: &Stage, when: &str) {
    stage.twin.unmount(STORAGE).unwrap();
    let erasing = !stage.twin.exists(format!("{PHOTOS}/.mooring-collection"));
    let before = Before {
        erasing,
        brought: true,
    };
    let left =
        giving_up::release(&stage.account(), before).unwrap_or_else(|e| panic!("{when}: {e}"));
    assert!(left.is_empty(), "{when}: {left:?}");
    assert!(giving_up::settle(&stage.account()).is_err(), "{when}");
    let left = giving_up::discard(&stage.account()).unwrap_or_else(|e| panic!("{when}: {e}"));
    assert!(left.is_empty(), "{when}: {left:?}");
    for own in [".mooring-collection", ".mooring-staging"] {
        assert!(
            !stage.twin.exists(format!("{PHOTOS}/{own}")),
            "{when}: {own}"
        );
    }
    stage.twin.mount(stage.nas, STORAGE).unwrap();
}

#[test]
fn every_point_of_death_of_a_sign_out() {
    for at in 1.. {
        let mut stage = Stage::in_step(&["a.jpg", "trip/b.jpg"]);
        stage.twin.fuse().reset();
        stage.twin.fuse().set(Some(at));
        if stage.sign_out().is_ok() {
            assert!(at > 10, "it has effects");
            break;
        }
        let when = format!("effect {at}");
        stage.twin.restart(1);
        give_up(&stage, &when);
        for name in ["a.jpg", "trip/b.jpg"] {
            let content = format!("content of {name}").into_bytes();
            let here = stage.contents(PHOTOS).get(Path::new(name)) == Some(&content);
            let there = stage.contents(STORED).get(Path::new(name)) == Some(&content);
            assert!(there, "{when}: {name} is not in the storage");
            let names: Vec<_> = stage.contents(PHOTOS).into_keys().collect();
            assert!(
                here || !names.iter().any(|n| n.ends_with(name)),
                "{when}: {names:?}"
            );
        }
    }
}

#[test]
fn every_point_of_death_of_a_sync_that_replaces() {
    for at in 1.. {
        let mut stage = Stage::in_step(&["a.jpg"]);
        let there = Path::new(STORED).join("a.jpg");
        stage.twin.write_durable(&there, "edited there").unwrap();
        stage.twin.fuse().reset();
        stage.twin.fuse().set(Some(at));
        if signin::sync_now(&stage.account(), true).is_ok() {
            assert!(at > 3, "it has effects");
            break;
        }
        let when = format!("effect {at}");
        stage.twin.restart(1);
        give_up(&stage, &when);
        let photos = stage.contents(PHOTOS);
        let all: Vec<&[u8]> = photos.values().map(Vec::as_slice).collect();
        let known: [&[u8]; 2] = [b"content of a.jpg", b"edited there"];
        assert!(
            photos.contains_key(Path::new("a.jpg")),
            "{when}: {photos:?}"
        );
        assert!(
            all.iter().all(|content| known.contains(content)),
            "{when}: {photos:?}"
        );
    }
}

/// A disk that is not mounted leaves an empty folder behind: what Mooring has on it is named, and nothing
/// that is another account's is touched.
#[test]
fn folders_that_are_not_the_accounts_are_named_and_left_alone() {
    let stage = Stage::in_step(&["a.jpg"]);
    let marker = Path::new(PHOTOS).join(".mooring-collection");
    let others = stage.contents(STORED);
    let root = stage.twin.open_root(Path::new(PHOTOS)).unwrap();
    stage
        .twin
        .unlink(&root, marker.file_name().unwrap())
        .unwrap();
    for again in 0..2 {
        let left = giving_up::release(&stage.account(), IN_USE).unwrap();
        assert_eq!(left.len(), 1, "{again}: {left:?}");
        assert_eq!(left[0].path, PHOTOS.as_bytes());
        assert!(left[0].reason.contains("not mounted"), "{left:?}");
    }
    stage.twin.write_durable(&marker, "version = 1\n").unwrap();
    let left = giving_up::release(&stage.account(), IN_USE).unwrap();
    assert!(
        left.len() == 1 && left[0].reason.contains("another account's"),
        "{left:?}"
    );
    let left = giving_up::discard(&stage.account()).unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(stage.twin.exists(&marker), "it may be somebody else's");
    assert_eq!(others, stage.contents(STORED));
}

/// What cannot go back under its name gets one that is seen, and is named; a repetition names it again, and
/// the folder is free for the next account.
#[test]
fn what_cannot_be_put_back_is_set_apart() {
    let stage = Stage::in_step(&["a.jpg"]);
    let staging = Path::new(PHOTOS).join(".mooring-staging");
    let lost = staging.join("of somebody.jpg");
    stage.twin.write_durable(&lost, "lost").unwrap();
    assert!(
        giving_up::release(&stage.account(), IN_USE)
            .unwrap()
            .is_empty()
    );
    for again in 0..2 {
        let left = giving_up::discard(&stage.account()).unwrap();
        assert_eq!(left.len(), 1, "{again}: {left:?}");
        assert!(left[0].path.ends_with(b"/Not put back by Mooring 1"));
        let apart = Path::new("Not put back by Mooring 1/of somebody.jpg");
        assert_eq!(stage.contents(PHOTOS).get(apart).unwrap(), b"lost");
        for own in [".mooring-collection", ".mooring-staging"] {
            assert!(!stage.twin.exists(format!("{PHOTOS}/{own}")), "{own}");
        }
    }
}
