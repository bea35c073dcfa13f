//! What uploads leave in the storage when devices die, and who clears it away.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::sync::{Arc, Mutex};

use mooring_worker::diagnose::diagnose;
use mooring_worker::signin;
use stage::{PHOTOS, STORAGE, Stage};

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
    let own = [
        format!("new-{id}-7"),
        format!("part-{id}-videos-0123"),
        format!("batch-{id}-1-0/new-{id}-8"),
        format!("batch-{id}-1-0"),
    ];
    // An ID that begins like this account's is another's, and what is in a swap is no mere copy.
    let others = [
        format!("new-{id}x-7"),
        format!("batch-{id}-1-1/new-{id}x-7"),
        format!("batch-{id}-1-1/somebody's"),
        format!("batch-{id}x-1-0/new-{id}x-7"),
        "part-other-photos-0123".to_owned(),
        "old-other-1-2".to_owned(),
    ];
    for name in own[..3].iter().chain(&others) {
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
fn a_large_batch_waits_in_a_folder_of_its_own() {
    let stage = in_step();
    for nr in 0..4 {
        let photo = format!("{PHOTOS}/{nr}.jpg");
        stage
            .twin
            .write_durable(photo, format!("photo {nr}"))
            .unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    stage.twin.before("rename", 1, move |twin| {
        let waits = twin.tree(upload("")).unwrap();
        *told.lock().unwrap() = waits.into_keys().collect();
    });
    signin::sync_now(&stage.account(), true).unwrap();
    let seen = seen.lock().unwrap();
    let id = stage.account().spec.id.clone();
    let batch = seen.first().unwrap().to_str().unwrap();
    assert!(batch.starts_with(&format!("batch-{id}-")), "{seen:?}");
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(seen.iter().all(|name| name.starts_with(batch)), "{seen:?}");
    assert!(stage.twin.tree(upload("")).unwrap().is_empty());
}

/// A folder of copies is cleared away, and somebody's file in it is not: nor is the folder then.
#[test]
fn the_batch_of_a_dead_sync_is_swept_up() {
    let stage = in_step();
    let id = stage.account().spec.id.clone();
    let there = |name: &str| stage.twin.exists(upload(name));
    let gone = format!("batch-{id}-1-0");
    let stays = format!("batch-{id}-1-1");
    let copies = [&gone, &stays].map(|batch| format!("{batch}/new-{id}-7"));
    let somebodys = format!("{stays}/notes.txt");
    for name in copies.iter().chain([&somebodys]) {
        stage.twin.write_durable(upload(name), name).unwrap();
    }
    signin::sync_now(&stage.account(), true).unwrap();
    for name in copies.iter().chain([&gone]) {
        assert!(!there(name), "{name}");
    }
    assert!(there(&somebodys));
}

#[test]
fn the_leftovers_of_others_are_told_once_nobody_works_on_them() {
    let stage = in_step();
    let id = stage.account().spec.id.clone();
    for name in [
        "new-other-1",
        "part-other-photos-1",
        "swap-other-1-2",
        "batch-other-1-0/new-other-0",
        "batch-other-1-0/new-other-1",
    ] {
        stage.twin.write_durable(upload(name), name).unwrap();
    }
    let own = upload(&format!("part-{id}-photos-1"));
    stage.twin.write_durable(own, "own").unwrap();
    assert_eq!(told(&stage), None, "they may be under way");
    stage.twin.advance(TWO_DAYS);
    let said = told(&stage).unwrap();
    assert!(said.starts_with("4 unfinished copies"), "{said}");
    // What may be the only version is told apart.
    let found = diagnose(&stage.account());
    let swaps = found.iter().find(|d| d.message.contains("were replacing"));
    let swaps = swaps.unwrap();
    assert!(swaps.message.starts_with("1 files"), "{swaps:?}");
    assert!(swaps.advice.contains("swap- or old-"), "{swaps:?}");
}
