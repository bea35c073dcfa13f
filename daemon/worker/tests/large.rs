//! Large files: an interruption costs what was not yet written, whatever ended it; the bytes are
//! those of the source in any case, and nothing unfinished stays. (On the simulated disk a file is
//! large from 16 KiB on, and made durable every 4 KiB.)

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use mooring_worker::account::Account;
use mooring_worker::backup;
use mooring_worker::error::{Error, Result};
use mooring_worker::files::twin::TwinFiles;
use mooring_worker::signin;
use stage::{PHOTOS, STORAGE, Stage};

const SEEDS: [u64; 4] = [0, 1, 2, 77];
/// Twelve steps.
const LENGTH: usize = 48 * 1024;
const LATER: i64 = 10_000_000_000;

/// Bytes of which no two steps are the same.
fn film(length: usize) -> Vec<u8> {
    let hash = |nr: usize| *blake3::hash(&nr.to_le_bytes()).as_bytes();
    (0..length / 32).flat_map(hash).collect()
}

/// Alice signed in, with a large file that is not in the storage yet.
fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    put(&stage, PHOTOS, &film(LENGTH));
    stage
}

fn put(stage: &Stage, root: &str, bytes: &[u8]) {
    let path = format!("{root}/film.mov");
    stage.twin.write_durable(path, bytes).unwrap();
    stage.twin.settle();
    stage.twin.advance(LATER);
    stage.twin.fuse().reset();
}

fn sync(account: &Account<TwinFiles>) -> Result<()> {
    signin::sync_now(account, true).map(drop)
}

/// Effects of a name since the fuse was reset.
fn count(stage: &Stage, name: &str) -> usize {
    let names = stage.twin.fuse().names();
    names.into_iter().filter(|effect| effect == name).count()
}

/// Everything unfinished, on both sides.
fn parts(stage: &Stage) -> Vec<String> {
    let both: BTreeMap<_, _> = [STORAGE, PHOTOS]
        .into_iter()
        .flat_map(|root| stage.twin.tree(root).unwrap())
        .collect();
    let names = both.into_keys().map(|path| path.display().to_string());
    names.filter(|name| name.contains("part-")).collect()
}

fn assert_carried(stage: &Stage, bytes: &[u8], when: &str) {
    for root in [PHOTOS.to_owned(), format!("{STORAGE}/Photos")] {
        let there = stage.twin.read(format!("{root}/film.mov")).unwrap();
        assert!(there == bytes, "{when}: other bytes in {root}");
    }
    assert_eq!(parts(stage), Vec::<String>::new(), "{when}");
}

/// Stops an account's work in front of an effect, as `Cancel` does.
fn stop_before(stage: &Stage, account: &Account<TwinFiles>, name: &str, nth: u64) {
    let stop = account.stop.clone();
    let stopped = move |_: &TwinFiles| stop.store(true, Ordering::Relaxed);
    stage.twin.before(name, nth, stopped);
}

#[test]
fn every_point_of_death_of_an_upload() {
    let whole = stage();
    sync(&whole.account()).unwrap();
    assert_carried(&whole, &film(LENGTH), "undisturbed");
    let effects = whole.twin.fuse().count();
    assert!(effects > 30, "only {effects} effects");
    for seed in SEEDS {
        for at in 1..=effects {
            let mut stage = stage();
            stage.twin.fuse().set(Some(at));
            sync(&stage.account()).expect_err("it was to die");
            stage.twin.restart(seed);
            let when = format!("effect {at}, seed {seed}");
            let copy = format!("{STORAGE}/Photos/film.mov");
            if stage.twin.exists(&copy) {
                assert!(stage.twin.read(&copy).unwrap() == film(LENGTH), "{when}");
            }
            sync(&stage.account()).unwrap_or_else(|e| panic!("{when}: {e}"));
            assert_carried(&stage, &film(LENGTH), &when);
            // What is in the storage is there, and not only in its cache.
            stage.twin.restart(0);
            assert_carried(
                &stage,
                &film(LENGTH),
                &format!("{when}, and the power went"),
            );
        }
    }
}

#[test]
fn what_is_durable_is_not_written_again() {
    let whole = stage();
    sync(&whole.account()).unwrap();
    let from_scratch = count(&whole, "write");
    for seed in [0, 1] {
        let mut stage = stage();
        let names = {
            sync(&stage.account()).unwrap();
            stage.twin.fuse().names()
        };
        let writes = names
            .iter()
            .enumerate()
            .filter(|(_, name)| *name == "write");
        let tenth = writes.map(|(at, _)| at as u64 + 1).nth(9).unwrap();
        stage = self::stage();
        stage.twin.fuse().set(Some(tenth));
        sync(&stage.account()).expect_err("it was to die");
        stage.twin.restart(seed);
        assert_eq!(parts(&stage).len(), 1, "seed {seed}");
        sync(&stage.account()).unwrap();
        let again = count(&stage, "write");
        assert!(
            again + 8 <= from_scratch,
            "{again} of {from_scratch} writes"
        );
        assert_eq!(count(&stage, "resume"), 1);
        assert_carried(&stage, &film(LENGTH), "taken up");
    }
}

#[test]
fn cancelled_it_goes_on_and_says_how_far_it_is() {
    let stage = stage();
    let account = stage.account();
    stop_before(&stage, &account, "write", 8);
    let ended = sync(&account);
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    drop(account);
    // The whole of the source had been read before it was looked at again whether to stop.
    let written = count(&stage, "write");
    stage.twin.fuse().reset();
    let mut account = stage.account();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    account.report = Box::new(move |progress| tell.lock().unwrap().push(progress));
    sync(&account).unwrap();
    assert!(count(&stage, "write") < written);
    assert_carried(&stage, &film(LENGTH), "taken up");
    let told = told.lock().unwrap();
    let mut bytes = told.iter().filter(|p| p.total_bytes == LENGTH as u64);
    assert!(bytes.any(|p| p.done_bytes > 0 && p.activity == "uploading"));
}

#[test]
fn another_source_takes_over_only_what_is_the_same() {
    let film = film(LENGTH);
    let mut edited = film.clone();
    edited[20_000] ^= 1;
    let longer = [&film[..], &film[..8192]].concat();
    for bytes in [&edited, &film[..32 * 1024], &longer] {
        let mut stage = stage();
        let account = stage.account();
        stop_before(&stage, &account, "write", 11);
        sync(&account).expect_err("it was to stop");
        drop(account);
        stage.twin.restart(1);
        put(&stage, PHOTOS, bytes);
        sync(&stage.account()).unwrap();
        assert_carried(&stage, bytes, "another source");
    }
}

#[test]
fn what_others_put_under_its_name_is_never_written_into() {
    for what in ["link", "hard link", "other bytes"] {
        let mut stage = stage();
        let account = stage.account();
        stop_before(&stage, &account, "write", 3);
        sync(&account).expect_err("it was to stop");
        drop(account);
        stage.twin.restart(1);
        let part = format!("{STORAGE}/{}", parts(&stage)[0]);
        let victim = format!("{STORAGE}/victim");
        stage.twin.write_durable(&victim, film(LENGTH / 2)).unwrap();
        stage.twin.remove(&part).unwrap();
        match what {
            "link" => stage.twin.symlink(&victim, &part).unwrap(),
            "hard link" => stage.twin.hardlink(&victim, &part).unwrap(),
            _ => stage.twin.write_durable(&part, "hostile").unwrap(),
        }
        sync(&stage.account()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_carried(&stage, &film(LENGTH), what);
        assert!(
            stage.twin.read(&victim).unwrap() == film(LENGTH / 2),
            "{what}"
        );
    }
}

#[test]
fn a_full_disk_keeps_nothing_of_it() {
    let stage = stage();
    stage.twin.fail("write", 9, libc::ENOSPC);
    let ended = sync(&stage.account());
    assert!(matches!(ended, Err(Error::NoSpace(_))), "{ended:?}");
    assert_eq!(parts(&stage), Vec::<String>::new());
    sync(&stage.account()).unwrap();
    assert_carried(&stage, &film(LENGTH), "with room again");
}

/// One file that is larger than all that is free keeps no other one waiting, and a sign-out names it.
#[test]
fn a_file_that_there_is_no_room_for_keeps_no_other_waiting() {
    let stage = stage();
    let (nas, used) = (stage.nas, stage.twin.used(stage.nas));
    let capacity = |more: u64| {
        stage
            .twin
            .configure(nas, |disk| disk.capacity = Some(used + more))
    };
    capacity(LENGTH as u64 / 2);
    let small = format!("{PHOTOS}/zebra.jpg");
    stage.twin.write_durable(&small, "zebra").unwrap();
    let ended = sync(&stage.account());
    assert!(
        matches!(&ended, Err(Error::NoSpace(why)) if why.contains("film.mov")),
        "{ended:?}"
    );
    let stored = |name: &str| stage.twin.exists(format!("{STORAGE}/Photos/{name}"));
    assert!(stored("zebra.jpg") && !stored("film.mov"));
    assert_eq!(parts(&stage), Vec::<String>::new());

    let account = stage.account();
    let drained = mooring_worker::leave::drain(&account, &[]).unwrap();
    assert_eq!(drained.unsynced_total, 1, "{drained:?}");
    assert!(drained.unsynced[0].0.ends_with(b"film.mov"), "{drained:?}");
    assert!(
        drained.unsynced[0].1.contains("no space is left"),
        "{drained:?}"
    );
    mooring_worker::leave::stay(&account).unwrap();
    capacity(4 * LENGTH as u64);
    sync(&account).unwrap();
    assert_carried(&stage, &film(LENGTH), "with room again");
}

#[test]
fn an_unfinished_download_goes_with_the_account() {
    let mut stage = stage();
    sync(&stage.account()).unwrap();
    let newer: Vec<u8> = film(LENGTH).into_iter().rev().collect();
    let new = format!("{STORAGE}/Photos/new.mov");
    stage.twin.write_durable(new, &newer).unwrap();
    stage.twin.settle();
    stage.twin.advance(LATER);
    let account = stage.account();
    stop_before(&stage, &account, "write", 5);
    sync(&account).expect_err("it was to stop");
    drop(account);
    let unfinished = parts(&stage);
    assert!(
        unfinished.iter().any(|part| part.contains("staging")),
        "{unfinished:?}"
    );
    stage.sign_out().unwrap();
    assert!(!stage.twin.exists(PHOTOS));
    let kept = stage.contents(&format!("{STORAGE}/Photos"));
    assert!(kept[Path::new("new.mov")] == newer);
}

#[test]
fn holes_stay_holes_in_the_storage_and_in_a_backup() {
    let stage = stage();
    let mut bytes = vec![0; 1024 * 1024];
    bytes[700_000..700_100].fill(7);
    put(&stage, PHOTOS, &bytes);
    let film = format!("{PHOTOS}/film.mov");
    stage.twin.set_holes(&film, true).unwrap();
    stage.twin.advance(LATER);
    // A disk on which the bytes would not fit.
    stage
        .twin
        .configure(stage.nas, |disk| disk.capacity = Some(100 * 1024));
    let stick = stage.twin.add_disk();
    stage.twin.mount(stick, "/mnt/stick").unwrap();
    stage
        .twin
        .configure(stick, |disk| disk.capacity = Some(100 * 1024));
    sync(&stage.account()).unwrap();
    assert_carried(&stage, &bytes, "with holes");
    let report = backup::backup(&stage.account(), Path::new("/mnt/stick"), "alice-1").unwrap();
    assert_eq!((report.files.files, report.missing_total), (1, 0));
    let copy = "/mnt/stick/alice-1/Photos/film.mov";
    assert!(stage.twin.read(copy).unwrap() == bytes);
    assert_eq!(stage.twin.stat_path(copy).unwrap().blocks, 0);
}
