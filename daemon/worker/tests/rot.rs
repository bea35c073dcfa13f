//! Copies that are none: bytes that went bad in the storage, and hard links of the original. The
//! good bytes are uploaded anew, the bad ones kept, and the sign-out goes on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use mooring_worker::signin;
use stage::real::Real;
use stage::{PHOTOS, STORAGE, Stage, drain_verify_remove};
use std::fs;
use std::os::unix::fs::MetadataExt;

const HERE: &str = "/home/alice/Accounts/alice/Photos/trip/a.jpg";
const THERE: &str = "/mnt/nas/Photos/trip/a.jpg";
/// Longer than any step of a filesystem's time, so that stamps can be relied on.
const LATER: i64 = 10_000_000_000;

/// An account with one photo, in step; `read_back` says whether its copy was read.
fn in_step(known_good: bool, read_back: bool) -> Stage {
    let mut stage = Stage::new();
    stage
        .twin
        .configure(stage.nas, |disk| disk.known_good = known_good);
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    stage.twin.write_durable(HERE, "first").unwrap();
    stage.twin.advance(LATER);
    signin::sync_now(&stage.account(), read_back).unwrap();
    stage.twin.advance(LATER);
    stage
}

fn trashed(stage: &Stage) -> Vec<Vec<u8>> {
    let trash = stage.contents(&format!("{STORAGE}/.mooring/trash"));
    let files = trash
        .into_iter()
        .filter(|(path, _)| !path.components().any(|c| c.as_os_str() == "sums"));
    files.map(|(_, bytes)| bytes).collect()
}

#[test]
fn a_sign_out_heals_a_rotten_copy() {
    for (known_good, read_back) in [(true, false), (false, false), (false, true)] {
        let stage = in_step(known_good, read_back);
        stage.twin.rot(THERE, "rot!!").unwrap();
        let (_, report) = drain_verify_remove(&stage.account(), &[], "receipt-x").unwrap();
        let when = format!("known good {known_good}, read back {read_back}");
        assert_eq!(report.remaining, 0, "{when}: {report:?}");
        assert!(!stage.twin.exists(HERE), "{when}");
        assert_eq!(stage.twin.read(THERE).unwrap(), b"first", "{when}");
        assert_eq!(trashed(&stage), [b"rot!!".to_vec()], "{when}");
        let copies = stage.contents(&format!("{STORAGE}/Photos"));
        assert_eq!(copies.len(), 1, "{when}: {copies:?}");
    }
}

#[test]
fn a_sync_never_brings_rot_here() {
    let stage = in_step(true, false);
    stage.twin.rot(THERE, "rot!!").unwrap();
    // The first reads the copy back and finds out; the second mends.
    let found = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(found.waiting.total, 1, "{found:?}");
    let mended = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((mended.waiting.total, mended.downloaded), (0, 0));
    assert_eq!(stage.twin.read(HERE).unwrap(), b"first");
    assert_eq!(stage.twin.read(THERE).unwrap(), b"first");
    assert_eq!(trashed(&stage), [b"rot!!".to_vec()]);
}

/// What was really written by another device is no rot.
#[test]
fn an_edit_in_the_storage_is_no_rot() {
    let stage = in_step(true, true);
    stage.twin.write_durable(THERE, "FIRST").unwrap();
    signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(stage.twin.read(HERE).unwrap(), b"FIRST");
    assert!(trashed(&stage).is_empty());
}

/// The power goes at every step of the mending: the good bytes stay here, the bad ones somewhere.
#[test]
fn mending_survives_a_death_anywhere() {
    for at in 1.. {
        let mut stage = in_step(true, false);
        stage.twin.rot(THERE, "rot!!").unwrap();
        signin::sync_now(&stage.account(), true).unwrap();
        let fuse = stage.twin.fuse().clone();
        fuse.set(Some(fuse.count() + at));
        let died = signin::sync_now(&stage.account(), true).is_err();
        stage.twin.restart(at);
        let when = format!("at effect {at}");
        assert_eq!(stage.twin.read(HERE).unwrap(), b"first", "{when}");
        let there = stage.everything();
        assert!(there.contains(b"rot!!".as_slice()), "{when}: rot is lost");
        for _ in 0..3 {
            stage.twin.advance(LATER);
            signin::sync_now(&stage.account(), true).unwrap();
        }
        assert_eq!(stage.twin.read(HERE).unwrap(), b"first", "{when}");
        assert_eq!(stage.twin.read(THERE).unwrap(), b"first", "{when}");
        assert_eq!(stage.contents(PHOTOS).len(), 1, "{when}");
        if !died {
            return;
        }
    }
}

#[test]
fn a_hard_link_becomes_a_copy() {
    let mut real = Real::new();
    real.sign_in(false).unwrap();
    let (here, there) = (real.photos().join("a.jpg"), real.copies().join("a.jpg"));
    fs::write(&here, "first").unwrap();
    assert_eq!(real.sync().unwrap(), 0);
    // A tool that saves space by linking equal files.
    fs::remove_file(&there).unwrap();
    fs::hard_link(&here, &there).unwrap();
    assert_eq!(real.sync().unwrap(), 0);
    let ino = |path| fs::metadata(path).unwrap().ino();
    assert_ne!(ino(&here), ino(&there));
    assert_eq!(fs::metadata(&here).unwrap().nlink(), 1);

    // Likewise when it is found at the sign-out only.
    fs::remove_file(&there).unwrap();
    fs::hard_link(&here, &there).unwrap();
    let report = real.sign_out(&[]).unwrap();
    assert_eq!((report.remaining, report.removed[0].1.files), (0, 1));
    assert!(!here.exists());
    assert_eq!(fs::read(&there).unwrap(), b"first");
}
