//! Deletions carried over: into the trash, never over an edit, never in bulk without a question,
//! and through every point of death.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::sync::Phase;
use mooring_worker::delete::Answer;
use mooring_worker::error::Result;
use mooring_worker::state::Key;
use mooring_worker::{plan, signin, sync, trash};
use stage::{CONTACTS, PHOTOS, STORAGE, Stage};

const STORED: &str = "/mnt/nas/Photos";
const BOTH: [Collection; 2] = [Collection::Photos, Collection::Contacts];

fn write(stage: &Stage, root: &str, name: &str, content: &str) {
    stage
        .twin
        .write_durable(Path::new(root).join(name), content)
        .unwrap();
}

fn remove(stage: &Stage, root: &str, name: &str) {
    stage.twin.remove(Path::new(root).join(name)).unwrap();
    stage.twin.settle();
}

/// A signed-in device with some files in step.
fn in_step(names: &[&str]) -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    for name in names {
        write(&stage, PHOTOS, name, &format!("content of {name}"));
    }
    signin::sync_now(&stage.account(), true).unwrap();
    stage
}

fn trashed(stage: &Stage) -> BTreeSet<PathBuf> {
    trash::list(&stage.account())
        .unwrap()
        .into_iter()
        .map(|buried| PathBuf::from(String::from_utf8(buried.key.path()).unwrap()))
        .collect()
}

#[test]
fn a_deletion_is_carried_over_and_can_be_undone() {
    let stage = in_step(&["here.jpg", "there.jpg", "stays.jpg"]);
    remove(&stage, PHOTOS, "here.jpg");
    remove(&stage, STORED, "there.jpg");
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.deleted, ledger.waiting.total), (2, 0), "{ledger:?}");
    assert_eq!(stage.contents(PHOTOS).len(), 1);
    assert_eq!(stage.contents(STORED).len(), 1);
    assert_eq!(
        trashed(&stage),
        ["here.jpg", "there.jpg"].map(PathBuf::from).into()
    );

    let key = Key {
        collection: Collection::Photos,
        folder: Vec::new(),
        name: b"there.jpg".to_vec(),
    };
    assert_eq!(
        trash::undelete(&stage.account(), &key).unwrap(),
        b"there.jpg"
    );
    signin::sync_now(&stage.account(), true).unwrap();
    let photos = stage.contents(PHOTOS);
    assert_eq!(photos[Path::new("there.jpg")], b"content of there.jpg");
    assert!(
        trash::undelete(&stage.account(), &key).is_err(),
        "it is not there twice"
    );
}

#[test]
fn an_edit_wins_over_a_deletion() {
    let stage = in_step(&["a.jpg", "b.jpg"]);
    remove(&stage, PHOTOS, "a.jpg");
    write(&stage, STORED, "a.jpg", "edited there");
    remove(&stage, STORED, "b.jpg");
    write(&stage, PHOTOS, "b.jpg", "edited here");
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(ledger.deleted, 0);
    let photos = stage.contents(PHOTOS);
    assert_eq!(photos[Path::new("a.jpg")], b"edited there");
    assert_eq!(photos[Path::new("b.jpg")], b"edited here");
    assert_eq!(photos, stage.contents(STORED));
}

#[test]
fn a_deleted_folder_goes_on_the_other_side_and_may_be_made_anew() {
    let stage = in_step(&["trip/one.jpg", "trip/deep/two.jpg"]);
    for name in ["trip/one.jpg", "trip/deep/two.jpg", "trip/deep", "trip"] {
        remove(&stage, PHOTOS, name);
    }
    signin::sync_now(&stage.account(), true).unwrap();
    assert!(!stage.twin.exists(format!("{STORED}/trip")));
    stage.twin.mkdir(format!("{PHOTOS}/trip")).unwrap();
    stage.twin.settle();
    signin::sync_now(&stage.account(), true).unwrap();
    assert!(stage.twin.exists(format!("{STORED}/trip")));
    assert!(stage.twin.exists(format!("{PHOTOS}/trip")));
}

#[test]
fn too_many_deletions_are_a_question_with_two_answers() {
    let names: Vec<String> = (0..30).map(|n| format!("{n:02}.jpg")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (answer, left) in [(Answer::Delete, 5), (Answer::Keep, 30)] {
        let stage = in_step(&names);
        for name in &names[..25] {
            remove(&stage, PHOTOS, name);
        }
        for _ in 0..2 {
            let ledger = signin::sync_now(&stage.account(), true).unwrap();
            assert_eq!((ledger.deleted, ledger.held_here), (0, 25));
            assert_eq!(stage.contents(STORED).len(), 30);
        }
        let account = stage.account();
        assert_eq!(account.state.questions(Collection::Photos).unwrap(), 25);
        let plan = plan::plan(&account, &[]).unwrap();
        assert_eq!(plan.blockers.len(), 1, "{plan:?}");
        sync::sync_with(&account, &BOTH, Phase::Active, Some(answer)).unwrap();
        assert_eq!(account.state.questions(Collection::Photos).unwrap(), 0);
        assert_eq!(stage.contents(STORED).len(), left);
        assert_eq!(stage.contents(PHOTOS).len(), left);
        assert_eq!(plan::plan(&account, &[]).unwrap().blockers, []);
    }
}

#[test]
fn a_day_has_one_budget_for_all_syncs() {
    let names: Vec<String> = (0..30).map(|n| format!("{n:02}.jpg")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let stage = in_step(&names);
    let mut deleted = 0;
    for name in &names[..22] {
        remove(&stage, STORED, name);
        deleted += signin::sync_now(&stage.account(), true).unwrap().deleted;
    }
    assert_eq!(deleted, 20);
    assert_eq!(stage.contents(PHOTOS).len(), 10);
    stage.twin.advance(25 * 3_600 * 1_000_000_000);
    remove(&stage, STORED, names[25]);
    assert_eq!(signin::sync_now(&stage.account(), true).unwrap().deleted, 1);
    // What became a question stays one, however many days pass.
    assert_eq!(
        stage.account().state.questions(Collection::Photos).unwrap(),
        2
    );
}

#[test]
fn a_file_in_use_is_not_deleted() {
    let stage = in_step(&["open.jpg"]);
    remove(&stage, STORED, "open.jpg");
    stage
        .twin
        .open_writer(format!("{PHOTOS}/open.jpg"))
        .unwrap();
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.deleted, ledger.waiting.total), (0, 1));
    assert!(stage.twin.exists(format!("{PHOTOS}/open.jpg")));
}

#[test]
fn the_trash_is_emptied_after_thirty_days() {
    let stage = in_step(&["old.jpg", "new.jpg"]);
    remove(&stage, PHOTOS, "old.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    stage.twin.advance(20 * 86_400 * 1_000_000_000);
    remove(&stage, PHOTOS, "new.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(trashed(&stage).len(), 2);
    stage.twin.advance(12 * 86_400 * 1_000_000_000);
    signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(trashed(&stage), [PathBuf::from("new.jpg")].into());
}

const STEPS: usize = 7;

fn step(stage: &mut Stage, nr: usize) -> Result<()> {
    match nr {
        0 => stage.create_identity(),
        1 => stage.sign_in(false).map(drop),
        2 => {
            for name in ["a", "b", "trip/c", "trip/d", "e", "f"] {
                write(stage, PHOTOS, name, &format!("content of {name}"));
            }
            write(stage, CONTACTS, "bob.vcf", "card");
            Ok(())
        }
        3 => signin::sync_now(&stage.account(), true).map(drop),
        4 => {
            remove(stage, PHOTOS, "a");
            for name in ["trip/c", "trip/d", "trip"] {
                remove(stage, PHOTOS, name);
            }
            remove(stage, STORED, "b");
            remove(stage, STORAGE, "Contacts/bob.vcf");
            write(stage, PHOTOS, "e", "e, edited here");
            remove(stage, STORED, "e");
            Ok(())
        }
        5 => signin::sync_now(&stage.account(), true).map(drop),
        6 => signin::sync_now(&stage.account(), true).map(drop),
        _ => unreachable!(),
    }
}

fn live(stage: &mut Stage) -> Result<()> {
    while stage.journal.step < STEPS {
        step(stage, stage.journal.step)?;
        stage.journal.step += 1;
    }
    Ok(())
}

fn assert_nothing_lost(stage: &Stage, when: &str) {
    // What was deleted there by hand is gone there; the copy here is what must survive.
    let all = stage.everything();
    let mut wanted: Vec<&str> = Vec::new();
    if stage.journal.step >= 3 {
        wanted.extend([
            "content of a",
            "content of b",
            "content of trip/c",
            "content of f",
            "card",
        ]);
    }
    if stage.journal.step >= 5 {
        wanted.push("e, edited here");
    }
    for content in wanted {
        assert!(
            all.contains(content.as_bytes()),
            "{when}: {content:?} is lost"
        );
    }
}

fn assert_ended_well(stage: &Stage, when: &str) {
    assert_nothing_lost(stage, when);
    let photos: Vec<_> = stage.contents(PHOTOS).into_keys().collect();
    assert_eq!(photos, ["e", "f"].map(PathBuf::from), "{when}");
    assert_eq!(stage.contents(STORED), stage.contents(PHOTOS), "{when}");
    assert_eq!(stage.contents(CONTACTS).len(), 0, "{when}");
    assert!(
        !stage.twin.exists(format!("{STORED}/trip")),
        "{when}: an empty folder stays"
    );
}

#[test]
fn every_point_of_death_of_deletions() {
    let mut whole = Stage::new();
    live(&mut whole).unwrap();
    assert_ended_well(&whole, "undisturbed");
    let effects = whole.twin.fuse().count();
    for seed in [0, 1, 5, 91] {
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
            assert_nothing_lost(&stage, &when);
            live(&mut stage).unwrap_or_else(|e| panic!("{when}: cannot go on: {e}"));
            assert_ended_well(&stage, &when);
        }
    }
}
