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
use mooring_worker::files::Files;
use mooring_worker::state::Key;
use mooring_worker::trash::Damaged;
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

fn trashed(stage: &Stage) -> BTreeSet<PathBuf> {
    trash::list(&stage.account())
        .unwrap()
        .into_iter()
        .map(|buried| PathBuf::from(String::from_utf8(buried.key.path()).unwrap()))
        .collect()
}

fn undelete(stage: &Stage, key: &Key) -> Vec<u8> {
    let back = trash::undelete(&stage.account(), key, Damaged::Stays).unwrap();
    back.path
}

#[test]
fn a_deletion_is_carried_over_and_can_be_undone() {
    let stage = Stage::in_step(&["here.jpg", "there.jpg", "stays.jpg"]);
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
    assert_eq!(undelete(&stage, &key), b"there.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    let photos = stage.contents(PHOTOS);
    assert_eq!(photos[Path::new("there.jpg")], b"content of there.jpg");
    // As a job does that a crash made begin again.
    assert_eq!(undelete(&stage, &key), b"there.jpg");
}

#[test]
fn an_edit_wins_over_a_deletion() {
    let stage = Stage::in_step(&["a.jpg", "b.jpg"]);
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
    let stage = Stage::in_step(&["trip/one.jpg", "trip/deep/two.jpg"]);
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
        let stage = Stage::in_step(&names);
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
    let stage = Stage::in_step(&names);
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

/// A guard against mass deletion whose book is damaged asks, and does not begin a new day.
#[test]
fn a_damaged_book_allows_nothing() {
    for damage in [
        "nonsense",
        "1:99999999999999999999999999",
        "12",
        "1:18446744073709551615 x:1",
    ] {
        let stage = Stage::in_step(&["a.jpg", "b.jpg"]);
        stage.account().state.set_meta("deletions", damage).unwrap();
        remove(&stage, PHOTOS, "a.jpg");
        let ledger = signin::sync_now(&stage.account(), true).unwrap();
        assert_eq!(
            (ledger.deleted, ledger.held_here),
            (0, 1),
            "{damage}: {ledger:?}"
        );
        assert_eq!(stage.contents(STORED).len(), 2, "{damage}");
    }
}

#[test]
fn a_file_in_use_is_not_deleted() {
    let stage = Stage::in_step(&["open.jpg"]);
    remove(&stage, STORED, "open.jpg");
    stage
        .twin
        .open_writer(format!("{PHOTOS}/open.jpg"))
        .unwrap();
    for _ in 0..30 {
        let ledger = signin::sync_now(&stage.account(), true).unwrap();
        assert_eq!((ledger.deleted, ledger.waiting.total), (0, 1));
        assert!(stage.twin.exists(format!("{PHOTOS}/open.jpg")));
        assert_eq!(trashed(&stage), BTreeSet::new(), "no copy for nothing");
        stage.twin.advance(3_600 * 1_000_000_000);
    }
    // What stays is no deletion: after thirty tries the day's share is there still.
    stage
        .twin
        .close_writers(format!("{PHOTOS}/open.jpg"))
        .unwrap();
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.deleted, ledger.waiting.total), (1, 0));
    assert_eq!(trashed(&stage), [PathBuf::from("open.jpg")].into());
}

/// Whoever dies right after a file went into the trash finds it again when somebody has brought it
/// back meanwhile: with the same bytes, and yet no file that was ever deleted.
#[test]
fn what_was_brought_back_after_a_death_stays() {
    for (deleted, there) in [(PHOTOS, STORED), (STORED, PHOTOS)] {
        let die = |at| {
            let mut stage = Stage::in_step(&["a.jpg", "b.jpg"]);
            remove(&stage, deleted, "a.jpg");
            stage.twin.fuse().reset();
            stage.twin.fuse().set(Some(at));
            let died = signin::sync_now(&stage.account(), true).is_err();
            stage.twin.restart(1);
            died.then_some(stage)
        };
        let known = |stage: &Stage| {
            let items = stage.account().state.items(Collection::Photos, b"");
            items.unwrap().iter().any(|item| item.name == b"a.jpg")
        };
        let stage = (1..).map_while(die).filter(known).last().unwrap();
        assert!(!stage.twin.exists(format!("{there}/a.jpg")));
        write(&stage, there, "a.jpg", "content of a.jpg");
        for _ in 0..2 {
            let ledger = signin::sync_now(&stage.account(), true).unwrap();
            assert_eq!((ledger.deleted, ledger.waiting.total), (0, 0));
        }
        assert_eq!(stage.contents(PHOTOS).len(), 2, "deleted in {deleted}");
        assert_eq!(stage.contents(STORED).len(), 2, "deleted in {deleted}");
    }
}

/// What could not go yet is deleted still, whatever happens to it meanwhile that is no edit.
#[test]
fn a_deletion_that_was_refused_is_carried_over_later() {
    let stage = Stage::in_step(&["open.jpg"]);
    let file = format!("{PHOTOS}/open.jpg");
    remove(&stage, STORED, "open.jpg");
    stage.twin.open_writer(&file).unwrap();
    assert_eq!(signin::sync_now(&stage.account(), true).unwrap().deleted, 0);
    stage.twin.close_writers(&file).unwrap();
    stage.twin.chmod(&file, 0o640).unwrap();
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.deleted, ledger.uploaded), (1, 0), "{ledger:?}");
    assert!(!stage.twin.exists(&file));
}

/// A sync that ends early counts what it deleted, and no more; and each collection's are counted
/// once.
#[test]
fn only_what_went_is_counted() {
    let names: Vec<String> = (0..30).map(|n| format!("{n:02}.jpg")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let stage = Stage::in_step(&names);
    for name in &names[..15] {
        remove(&stage, STORED, name);
    }
    stage.twin.fail_from("sync-dir", 4, nix::libc::EIO);
    signin::sync_now(&stage.account(), true).unwrap_err();
    stage.twin.heal();
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.deleted, ledger.held_there.total), (15, 0));

    let stage = Stage::in_step(&names);
    for name in 0..10 {
        write(&stage, CONTACTS, &format!("{name}.vcf"), "card");
    }
    signin::sync_now(&stage.account(), true).unwrap();
    for (name, card) in names.iter().zip(0..10) {
        remove(&stage, PHOTOS, name);
        remove(&stage, CONTACTS, &format!("{card}.vcf"));
    }
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.deleted, ledger.held_here), (20, 0));
}

/// Lives through so many days, with a sync on each.
fn days(stage: &Stage, days: u32) {
    for _ in 0..days {
        stage.twin.advance(86_400 * 1_000_000_000);
        signin::sync_now(&stage.account(), true).unwrap();
    }
}

#[test]
fn the_trash_is_emptied_after_thirty_days() {
    let stage = Stage::in_step(&["old.jpg", "new.jpg"]);
    remove(&stage, PHOTOS, "old.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    days(&stage, 20);
    remove(&stage, PHOTOS, "new.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    days(&stage, 10);
    assert_eq!(trashed(&stage).len(), 2);
    days(&stage, 2);
    assert_eq!(trashed(&stage), [PathBuf::from("new.jpg")].into());
    days(&stage, 20);
    assert_eq!(trashed(&stage), BTreeSet::new());
}

#[test]
fn a_clock_that_jumps_empties_nothing() {
    let year = 366 * 86_400 * 1_000_000_000;
    let stage = Stage::in_step(&["old.jpg", "new.jpg"]);
    remove(&stage, PHOTOS, "old.jpg");
    days(&stage, 5);
    for jump in [year, year, -3 * year, year] {
        stage.twin.advance(jump);
        signin::sync_now(&stage.account(), true).unwrap();
    }
    assert_eq!(trashed(&stage), [PathBuf::from("old.jpg")].into());
    // What comes later into a day's folder that was seen for long begins its own thirty days.
    days(&stage, 20);
    let today =
        mooring_core::receipt::timestamp(u64::try_from(stage.twin.now() / 1_000_000_000).unwrap());
    let today = format!("{STORAGE}/.mooring/trash/{}", &today[..10]);
    stage
        .twin
        .rename(format!("{STORAGE}/.mooring/trash/2023-11-15"), &today)
        .unwrap();
    remove(&stage, PHOTOS, "new.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    days(&stage, 29);
    assert_eq!(trashed(&stage).len(), 2);
    days(&stage, 3);
    assert_eq!(trashed(&stage).len(), 0);
}

/// A clock that goes back and forth between two dates, as one without a battery does at each start,
/// makes no days.
#[test]
fn a_clock_that_swings_empties_nothing() {
    let year = 366 * 86_400 * 1_000_000_000;
    let stage = Stage::in_step(&["old.jpg"]);
    remove(&stage, PHOTOS, "old.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    for _ in 0..40 {
        for jump in [2 * year, -year, year, -2 * year] {
            stage.twin.advance(jump);
            signin::sync_now(&stage.account(), true).unwrap();
        }
    }
    stage.twin.advance(2 * year);
    signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(trashed(&stage), [PathBuf::from("old.jpg")].into());
    days(&stage, 31);
    assert_eq!(trashed(&stage), BTreeSet::new());
}

#[test]
fn a_name_in_the_trash_is_never_taken_from_another_file() {
    let stage = Stage::in_step(&["a.jpg"]);
    let (mut there, day) = (
        Vec::new(),
        format!("{STORAGE}/.mooring/trash/2023-11-14/Photos"),
    );
    // Somebody's file has the very name that the buried one would get: with its hash.
    let hash = blake3::hash(b"content of a.jpg").to_hex();
    for name in [
        "a.jpg".to_owned(),
        format!("a (conflict laptop 2023-11-14 {hash}).jpg"),
    ] {
        write(&stage, &day, &name, &format!("not that, {name}"));
        there.push(format!("not that, {name}").into_bytes());
    }
    remove(&stage, STORED, "a.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(stage.contents(PHOTOS).len(), 0);
    there.push(b"content of a.jpg".to_vec());
    let buried: BTreeSet<_> = stage.contents(&day).into_values().collect();
    assert_eq!(buried, there.into_iter().collect());
}

#[test]
fn a_deletion_that_cannot_be_kept_in_the_trash_waits() {
    let stage = Stage::in_step(&["a.jpg", "b.jpg"]);
    remove(&stage, STORED, "a.jpg");
    let all_there = |when: &str| assert_eq!(stage.contents(PHOTOS).len(), 2, "{when}");

    let used = stage.twin.used(stage.nas);
    stage.twin.configure(stage.nas, |o| o.capacity = Some(used));
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.deleted, ledger.waiting.total), (0, 1), "{ledger:?}");
    all_there("a full storage");
    stage.twin.configure(stage.nas, |o| o.capacity = None);

    // A link where the trash or one of its days should be leads nowhere.
    let trash = format!("{STORAGE}/.mooring/trash");
    stage.twin.mkdir("/elsewhere/2023-11-14").unwrap();
    stage.twin.mkdir("/elsewhere/2023-11-15").unwrap();
    stage.twin.symlink("/elsewhere", &trash).unwrap();
    for _ in 0..2 {
        let ledger = signin::sync_now(&stage.account(), true).unwrap();
        assert_eq!((ledger.deleted, ledger.waiting.total), (0, 1), "{ledger:?}");
        all_there("the trash is a link");
        stage.twin.advance(86_400 * 1_000_000_000);
    }
    stage.twin.remove(&trash).unwrap();
    stage.twin.mkdir(&trash).unwrap();
    stage
        .twin
        .symlink("/elsewhere", format!("{trash}/2023-11-16"))
        .unwrap();
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.deleted, ledger.waiting.total), (0, 1), "{ledger:?}");
    all_there("a day is a link");
    assert_eq!(stage.contents("/elsewhere").len(), 0);
    stage.twin.remove(format!("{trash}/2023-11-16")).unwrap();

    // Another filesystem where a day should be: nothing goes over the border.
    let disk = stage.twin.add_disk();
    stage
        .twin
        .mount(disk, format!("{trash}/2023-11-16"))
        .unwrap();
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!((ledger.deleted, ledger.waiting.total), (0, 1), "{ledger:?}");
    all_there("a day is a mount");
    stage.twin.unmount(format!("{trash}/2023-11-16")).unwrap();

    stage.twin.fail("read", 3, nix::libc::EIO);
    let _ = signin::sync_now(&stage.account(), true);
    stage.twin.heal();
    assert!(stage.everything().contains(&b"content of a.jpg"[..]));

    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(ledger.waiting.total, 0, "{ledger:?}");
    assert_eq!(trashed(&stage), [PathBuf::from("a.jpg")].into());
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

/// A file that was deleted on both kinds of ways, and what lies in the trash.
fn buried() -> (Stage, Vec<(Key, PathBuf)>) {
    let stage = Stage::in_step(&["here.jpg", "there.jpg", "stays.jpg"]);
    remove(&stage, PHOTOS, "here.jpg");
    remove(&stage, STORED, "there.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    let there = stage.contents(&format!("{STORAGE}/.mooring/trash"));
    let files = trash::list(&stage.account()).unwrap().into_iter();
    let files = files.map(|buried| {
        let name = PathBuf::from(String::from_utf8(buried.key.name.clone()).unwrap());
        let path = there.keys().find(|path| path.ends_with(&name)).unwrap();
        let below = Path::new(STORAGE).join(".mooring/trash").join(path);
        (buried.key, below)
    });
    let files = files.collect();
    (stage, files)
}

#[test]
fn a_rotten_file_of_the_trash_does_not_come_back_under_its_name() {
    let (stage, files) = buried();
    assert_eq!(files.len(), 2);
    for (key, path) in files {
        stage
            .twin
            .write_durable(&path, "rotten in the trash")
            .unwrap();
        let refused = trash::undelete(&stage.account(), &key, Damaged::Stays).unwrap_err();
        assert!(refused.to_string().contains("--damaged"), "{refused}");
        assert!(stage.twin.exists(&path), "it stays where it is");
        let back = trash::undelete(&stage.account(), &key, Damaged::ComesBack).unwrap();
        let name = String::from_utf8(back.path).unwrap();
        assert!(name.ends_with(" (damaged).jpg"), "{name}");
        assert!(!back.checked);
        signin::sync_now(&stage.account(), true).unwrap();
        let photos = stage.contents(PHOTOS);
        assert_eq!(photos[Path::new(&name)], b"rotten in the trash");
    }
}

#[test]
fn what_an_earlier_mooring_buried_comes_back_unchecked_and_a_rotten_note_is_told() {
    let (stage, files) = buried();
    let sums: Vec<_> = stage
        .contents(&format!("{STORAGE}/.mooring/trash"))
        .into_iter()
        .filter(|(path, _)| path.components().any(|c| c.as_os_str() == "sums"))
        .collect();
    assert_eq!(sums.len(), 2, "{sums:?}");
    for (path, line) in sums {
        let text = String::from_utf8(line).unwrap();
        let sum = Path::new(STORAGE).join(".mooring/trash").join(path);
        if text.ends_with("Photos/here.jpg\n") {
            stage.twin.remove(&sum).unwrap();
        } else {
            let rotten = text.replacen("Photos", "Phltos", 1);
            stage.twin.write_durable(&sum, &rotten).unwrap();
        }
    }
    for (key, _) in files {
        let back = trash::undelete(&stage.account(), &key, Damaged::Stays);
        if key.name == b"here.jpg" {
            let (path, checked) = (b"here.jpg".to_vec(), false);
            assert_eq!(back.unwrap(), trash::Back { path, checked });
        } else {
            let refused = back.unwrap_err().to_string();
            assert!(refused.contains("noted"), "{refused}");
        }
    }
}

#[test]
fn two_files_of_one_name_and_day_are_each_checked_by_their_own_bytes() {
    let stage = Stage::in_step(&["a.jpg"]);
    remove(&stage, PHOTOS, "a.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    write(&stage, PHOTOS, "a.jpg", "another photo");
    signin::sync_now(&stage.account(), true).unwrap();
    remove(&stage, STORED, "a.jpg");
    signin::sync_now(&stage.account(), true).unwrap();
    let all = trash::list(&stage.account()).unwrap();
    assert_eq!(all.len(), 2);
    for buried in all {
        let back = trash::undelete(&stage.account(), &buried.key, Damaged::Stays).unwrap();
        assert!(back.checked, "{back:?}");
    }
    signin::sync_now(&stage.account(), true).unwrap();
    let contents: BTreeSet<_> = stage.contents(PHOTOS).into_values().collect();
    let wanted = ["content of a.jpg", "another photo"].map(|text| text.as_bytes().to_vec());
    assert_eq!(contents, wanted.into());
}
