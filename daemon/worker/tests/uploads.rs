//! What uploads leave in the storage when devices die, and who clears it away.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use mooring_worker::diagnose::diagnose;
use mooring_worker::signin;
use stage::{STORAGE, Stage};

/// Longer than a copy under way is left alone, in nanoseconds.
const TWO_DAYS: i64 = 2 * 24 * 60 * 60 * 1_000_000_000;

fn in_step() -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    signin::sync_now(&stage.account(), true).unwrap();
    stage
}

fn upload(name: &str) -> String {
    format!("{STORAGE}/.mooring/uploads/{name}")
}

fn told(stage: &Stage) -> Option<String> {
    let found = diagnose(&stage.account());
    let mut about = found
        .into_iter()
        .filter(|d| d.message.contains("unfinished"));
    let told = about.next().map(|d| d.message);
    assert!(about.next().is_none());
    told
}

#[test]
fn a_sign_out_leaves_none_of_its_own_and_all_of_the_others() {
    let mut stage = in_step();
    let id = stage.account().spec.id.clone();
    let own = [format!("new-{id}-7"), format!("part-{id}-videos-0123")];
    // An ID that begins like this account's is another's, and what is in a swap is no mere copy.
    let others = [
        format!("new-{id}x-7"),
        "part-other-photos-0123".to_owned(),
        "old-other-1-2".to_owned(),
    ];
    for name in own.iter().chain(&others) {
        stage.twin.write_durable(upload(name), name).unwrap();
    }
    stage.sign_out().unwrap();
    for name in own {
        assert!(!stage.twin.exists(upload(&name)), "{name}");
    }
    for name in others {
        assert!(stage.twin.exists(upload(&name)), "{name}");
    }
}

#[test]
fn the_leftovers_of_others_are_told_once_nobody_works_on_them() {
    let stage = in_step();
    let id = stage.account().spec.id.clone();
    for name in ["new-other-1", "part-other-photos-1", "swap-other-1-2"] {
        stage.twin.write_durable(upload(name), name).unwrap();
    }
    let own = upload(&format!("part-{id}-photos-1"));
    stage.twin.write_durable(own, "own").unwrap();
    assert_eq!(told(&stage), None, "they may be under way");
    stage.twin.advance(TWO_DAYS);
    let said = told(&stage).unwrap();
    assert!(said.starts_with("2 unfinished copies"), "{said}");
    // What may be the only version is told apart.
    let found = diagnose(&stage.account());
    let swaps = found.iter().find(|d| d.message.contains("were replacing"));
    let swaps = swaps.unwrap();
    assert!(swaps.message.starts_with("1 files"), "{swaps:?}");
    assert!(swaps.advice.contains("swap- or old-"), "{swaps:?}");
}
