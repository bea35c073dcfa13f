//! The identity record is replaced as a whole or not at all, whoever else replaces it, and
//! whenever the power goes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mooring_worker::error::{Error, Result};
use mooring_worker::identity::replace_identity;
use mooring_worker::storage;
use stage::{STORAGE, Stage};

const OLD: &str = "generation = 1\n";
const STORE: &str = "/mnt/nas/.mooring";
/// How the power goes: all unsynced lost, only the process dead, and mixtures.
const SEEDS: [u64; 4] = [0, 1, 2, 77];

/// Longer than a page, so that it can be torn.
fn new(who: &str) -> String {
    format!("generation = 2\nby = {who:?}\n# {}\n", "x".repeat(9000))
}

fn replace(stage: &Stage, expected: &str, record: &str) -> Result<()> {
    replace_identity(&stage.twin, Path::new(STORAGE), expected, record)
}

fn record(stage: &Stage) -> String {
    storage::inspect(&stage.twin, Path::new(STORAGE), &[])
        .unwrap()
        .record
}

/// A storage with an identity, whose filesystem can swap entries or not.
fn with_identity(swaps: bool) -> Stage {
    let stage = Stage::new();
    stage.twin.configure(stage.nas, |options| {
        options.exchange = swaps;
        options.no_replace = swaps;
    });
    storage::create_identity(&stage.twin, Path::new(STORAGE), OLD).unwrap();
    stage.twin.settle();
    stage.twin.fuse().reset();
    stage
}

fn names(stage: &Stage) -> Vec<String> {
    let names = stage.contents(STORE).into_keys();
    names
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn only_the_expected_record_is_replaced() {
    for swaps in [true, false] {
        let stage = with_identity(swaps);
        replace(&stage, OLD, &new("laptop")).unwrap();
        assert_eq!(record(&stage), new("laptop"));
        // Done already is success; a second change by who knows the old one only is refused.
        replace(&stage, OLD, &new("laptop")).unwrap();
        let late = replace(&stage, OLD, &new("desktop")).unwrap_err();
        assert!(matches!(late, Error::Refused(_)), "{late}");
        assert_eq!(record(&stage), new("laptop"));
        assert_eq!(names(&stage), ["identity.toml"]);
    }
}

#[test]
fn without_a_storage_nothing_is_made() {
    let stage = Stage::new();
    let gone = replace(&stage, OLD, &new("laptop")).unwrap_err();
    assert!(matches!(gone, Error::StorageGone(_)), "{gone}");
    assert!(!stage.twin.exists(STORE));
}

#[test]
fn every_point_of_death_leaves_one_record_whole() {
    for swaps in [true, false] {
        let whole = with_identity(swaps);
        replace(&whole, OLD, &new("laptop")).unwrap();
        let effects = whole.twin.fuse().count();
        assert!(effects >= 5, "only {effects} effects");
        for seed in SEEDS {
            for at in 1..=effects {
                let mut stage = with_identity(swaps);
                stage.twin.fuse().set(Some(at));
                replace(&stage, OLD, &new("laptop")).expect_err("it was to die");
                stage.twin.restart(seed);
                let left = record(&stage);
                let when = format!("effect {at}, seed {seed}");
                assert!(left == OLD || left == new("laptop"), "{when}: {left:?}");
                replace(&stage, OLD, &new("laptop")).unwrap();
                assert_eq!(record(&stage), new("laptop"), "{when}");
                assert_eq!(names(&stage), ["identity.toml"], "{when}");
                // What was answered for stays, whatever the power takes.
                stage.twin.restart(0);
                assert_eq!(record(&stage), new("laptop"), "{when}");
            }
        }
    }
}

/// Another device replaces the record at every moment of ours: one of the two gets its way, the
/// other hears of it, and the record is one of the two.
#[test]
fn two_devices_at_once() {
    let whole = with_identity(true);
    replace(&whole, OLD, &new("laptop")).unwrap();
    let mut seen = BTreeMap::new();
    for name in whole.twin.fuse().names() {
        let nth = seen
            .entry(name.clone())
            .and_modify(|n| *n += 1)
            .or_insert(1);
        let stage = with_identity(true);
        let theirs = Arc::new(Mutex::new(None));
        let told = theirs.clone();
        stage.twin.before(&name, *nth, move |other| {
            let done = replace_identity(other, Path::new(STORAGE), OLD, &new("desktop"));
            *told.lock().unwrap() = Some(done.is_ok());
        });
        let ours = replace(&stage, OLD, &new("laptop")).is_ok();
        let theirs = theirs.lock().unwrap().expect("the other device was there");
        assert!(ours != theirs, "{name} {nth}: ours {ours}, theirs {theirs}");
        let winner = if ours { "laptop" } else { "desktop" };
        assert_eq!(record(&stage), new(winner), "{name} {nth}");
        assert_eq!(names(&stage), ["identity.toml"], "{name} {nth}");
    }
}
