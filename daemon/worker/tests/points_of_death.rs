//! Every point at which the process could die, from the first sign-in to the return: it dies
//! there, starts again, and ends well. No content is ever lost, whatever the power takes with it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_worker::error::Result;
use mooring_worker::signin;
use stage::{CONTACTS, PHOTOS, STORAGE, Stage};

/// How the power goes: all unsynced lost, only the process dead, and mixtures.
const SEEDS: [u64; 4] = [0, 1, 2, 77];

/// Steps of the story. Those of the person and of the other device happen once; the others are
/// Mooring's, and are repeated until they are done.
const STEPS: usize = 10;

fn step(stage: &mut Stage, nr: usize) -> Result<()> {
    match nr {
        0 => stage.create_identity(),
        1 => stage.sign_in(false).map(drop),
        2 => {
            write(stage, PHOTOS, "beach.jpg", "beach");
            write(stage, PHOTOS, "trip/rome 1.jpg", "rome one");
            write(stage, PHOTOS, "trip/deep/er/-rf", "dash");
            write(stage, PHOTOS, "trip/new\nline", "newline");
            write(stage, CONTACTS, "bob.vcf", "card of bob");
            stage.twin.mkdir(format!("{PHOTOS}/empty")).unwrap();
            stage
                .twin
                .symlink("/etc", format!("{PHOTOS}/link"))
                .unwrap();
            stage.twin.settle();
            Ok(())
        }
        3 => signin::sync_now(&stage.account(), true).map(drop),
        4 => {
            // The other device: a new file, an edit, an edit of what is edited here too.
            write(stage, STORAGE, "Photos/from phone.jpg", "phone");
            write(stage, STORAGE, "Photos/trip/rome 1.jpg", "rome by phone");
            write(stage, STORAGE, "Photos/beach.jpg", "beach by phone");
            write(stage, STORAGE, "Contacts/bob.vcf", "card of bob by phone");
            write(stage, PHOTOS, "beach.jpg", "beach by laptop");
            write(stage, CONTACTS, "bob.vcf", "card of bob by laptop");
            Ok(())
        }
        5 => signin::sync_now(&stage.account(), true).map(drop),
        6 => {
            write(stage, PHOTOS, "late.jpg", "late");
            write(stage, PHOTOS, "trip/rome 1.jpg", "rome by laptop, late");
            Ok(())
        }
        7 => stage.sign_out(),
        8 => stage.sign_in(true).map(drop),
        9 => signin::sync_now(&stage.account(), true).map(drop),
        _ => unreachable!(),
    }
}

fn write(stage: &Stage, root: &str, name: &str, content: &str) {
    stage
        .twin
        .write_durable(Path::new(root).join(name), content)
        .unwrap();
}

/// Content that must be somewhere once a step has begun: what a person wrote and did not replace.
fn written(step: usize) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    let mut add = |items: &[&str]| all.extend(items.iter().map(|s| s.as_bytes().to_vec()));
    if step >= 3 {
        add(&["dash", "newline"]);
    }
    if step == 3 || step == 4 {
        add(&["beach", "rome one", "card of bob"]);
    }
    if step >= 5 {
        add(&["phone", "beach by phone", "beach by laptop"]);
        add(&["card of bob by phone", "card of bob by laptop"]);
    }
    if step == 5 || step == 6 {
        add(&["rome by phone"]);
    }
    if step >= 7 {
        add(&["late", "rome by laptop, late"]);
    }
    all
}

/// Goes on from where the journal is, to the end.
fn live(stage: &mut Stage) -> Result<()> {
    while stage.journal.step < STEPS {
        step(stage, stage.journal.step)?;
        stage.journal.step += 1;
    }
    Ok(())
}

fn assert_nothing_lost(stage: &Stage, when: &str) {
    let there = stage.everything();
    for content in written(stage.journal.step) {
        assert!(
            there.contains(&content),
            "{when}: {:?} is lost",
            String::from_utf8_lossy(&content)
        );
    }
}

fn assert_ended_well(stage: &Stage, when: &str) {
    assert_nothing_lost(stage, when);
    let returned = &stage.journal.returned;
    assert!(returned.expected >= 8, "{when}: {returned:?}");
    assert_eq!(returned.checked, returned.expected, "{when}: {returned:?}");
    let photos = stage.contents(PHOTOS);
    assert_eq!(
        photos,
        stage.contents(&format!("{STORAGE}/Photos")),
        "{when}"
    );
    assert_eq!(
        photos[&PathBuf::from("trip/rome 1.jpg")],
        b"rome by laptop, late",
        "{when}"
    );
    assert_eq!(
        photos[&PathBuf::from("trip/new\nline")],
        b"newline",
        "{when}"
    );
    assert_eq!(stage.contents(CONTACTS).len(), 1, "{when}");
    assert!(stage.twin.exists(format!("{PHOTOS}/empty")), "{when}");
    assert!(
        stage.twin.exists(format!("{PHOTOS}/link")),
        "{when}: a link was touched"
    );
}

/// Running on changes nothing.
fn assert_at_rest(stage: &mut Stage, when: &str) {
    for folder in [
        format!("{STORAGE}/.mooring/uploads"),
        format!("{PHOTOS}/.mooring-staging"),
    ] {
        let waits = stage.twin.tree(&folder).unwrap();
        assert!(waits.is_empty(), "{when}: {folder} has {waits:?}");
    }
    let before = (stage.contents(STORAGE), stage.contents(PHOTOS));
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(
        (ledger.uploaded, ledger.downloaded, ledger.conflicts),
        (0, 0, 0),
        "{when}"
    );
    assert_eq!(
        (stage.contents(STORAGE), stage.contents(PHOTOS)),
        before,
        "{when}"
    );
}

#[test]
fn the_story_without_a_death() {
    let mut stage = Stage::new();
    live(&mut stage).unwrap();
    assert_ended_well(&stage, "undisturbed");
    assert_at_rest(&mut stage, "undisturbed");
}

#[test]
fn every_point_of_death() {
    let mut whole = Stage::new();
    live(&mut whole).unwrap();
    let effects = whole.twin.fuse().count();
    assert!(
        effects > 150,
        "only {effects} effects: the counter does not see them"
    );
    for seed in SEEDS {
        for at in 1..=effects {
            let mut stage = Stage::new();
            stage.twin.fuse().set(Some(at));
            live(&mut stage).expect_err("it was to die");
            let name = stage.twin.fuse().names().last().cloned().unwrap();
            let when = format!(
                "effect {at} ({name}) in step {}, seed {seed}",
                stage.journal.step
            );
            stage.twin.restart(seed);
            assert_nothing_lost(&stage, &format!("right after {when}"));
            if let Err(e) = live(&mut stage) {
                panic!("{when}: cannot go on: {e}");
            }
            assert_ended_well(&stage, &when);
            assert_at_rest(&mut stage, &when);
        }
    }
}

/// Dying again and again, a little later each time, still comes to an end.
#[test]
fn dying_over_and_over() {
    for seed in SEEDS {
        let mut stage = Stage::new();
        let mut lives = 0_u64;
        loop {
            stage.twin.fuse().set(Some(5 + lives * 3));
            match live(&mut stage) {
                Ok(()) => break,
                Err(_) => {
                    lives += 1;
                    assert!(lives < 400, "seed {seed}: it never ends");
                    stage.twin.restart(seed.wrapping_mul(lives));
                    assert_nothing_lost(&stage, &format!("life {lives}, seed {seed}"));
                }
            }
        }
        stage.twin.restart(1);
        assert_ended_well(&stage, &format!("seed {seed} after {lives} lives"));
    }
}

/// Kept files stay in place, through every death.
#[test]
fn every_point_of_death_with_a_kept_collection() {
    let story = |stage: &mut Stage| {
        stage.journal.keep = vec![Collection::Contacts];
        while stage.journal.step < 8 {
            step(stage, stage.journal.step)?;
            stage.journal.step += 1;
        }
        Ok::<_, mooring_worker::error::Error>(())
    };
    let mut whole = Stage::new();
    story(&mut whole).unwrap();
    let effects = whole.twin.fuse().count();
    for at in 1..=effects {
        let mut stage = Stage::new();
        stage.twin.fuse().set(Some(at));
        story(&mut stage).expect_err("it was to die");
        let when = format!("effect {at} in step {}", stage.journal.step);
        stage.twin.restart(at);
        assert_nothing_lost(&stage, &when);
        story(&mut stage).unwrap_or_else(|e| panic!("{when}: cannot go on: {e}"));
        assert_eq!(
            stage.contents(CONTACTS).len(),
            1,
            "{when}: a kept file went"
        );
        assert_eq!(stage.contents(PHOTOS).len(), 0, "{when}: a file stayed");
        assert!(stage.twin.exists(format!("{PHOTOS}/link")), "{when}");
        assert!(
            !stage.twin.exists(format!("{CONTACTS}/.mooring-collection")),
            "{when}"
        );
        assert_nothing_lost(&stage, &when);
    }
}
