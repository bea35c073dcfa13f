//! What others do between two steps: a person, an editor, another device, a crash. Nothing that is
//! ignored travels, and the receipt says what was removed, no more and no less.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeMap;
use std::path::Path;

use mooring_core::collection::Collection;
use mooring_worker::files::twin::TwinFiles;
use mooring_worker::watch::Folders;
use mooring_worker::{leave, remove, signin, verify};
use stage::{PHOTOS, Stage, drain_verify_remove};

const STORED: &str = "/mnt/nas/Photos";
const RULES: &str = ".mooringignore";
/// Longer than any step of a filesystem's time.
const LATER: i64 = 10_000_000_000;
/// Everything of a life is over long before so many effects.
const MANY: u64 = 10_000;

fn write(twin: &TwinFiles, root: &str, name: &str, content: &str) {
    twin.write_durable(Path::new(root).join(name), content)
        .unwrap();
}

fn in_step(files: &[(&str, &str)]) -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    for (name, content) in files {
        write(&stage.twin, PHOTOS, name, content);
    }
    stage.twin.advance(LATER);
    signin::sync_now(&stage.account(), true).unwrap();
    stage.twin.advance(LATER);
    stage
}

fn stored(stage: &Stage, name: &str) -> bool {
    stage.twin.exists(format!("{STORED}/{name}"))
}

fn here(stage: &Stage, name: &str) -> bool {
    stage.twin.exists(format!("{PHOTOS}/{name}"))
}

/// Dies at every effect of a sign-out, lets somebody act, goes on, and compares what the report
/// says was removed with what is gone.
fn counts_after_each_death(act: impl Fn(&Stage, &[&str])) {
    let names = ["a.jpg", "trip/b.jpg", "trip/c.jpg"];
    for at in 1..MANY {
        let mut stage = in_step(&names.map(|name| (name, name)));
        let fuse = stage.twin.fuse().clone();
        fuse.set(Some(fuse.count() + at));
        let died = drain_verify_remove(&stage.account(), &[], "receipt-x").is_err();
        stage.twin.restart(at);
        stage.twin.advance(LATER);
        if !died {
            return;
        }
        let gone: Vec<_> = names.into_iter().filter(|n| !here(&stage, n)).collect();
        act(&stage, &gone);
        let (_, report) = drain_verify_remove(&stage.account(), &[], "receipt-x").unwrap();
        let still_here = names.iter().filter(|n| here(&stage, n)).count() as u64;
        let removed: u64 = report.removed.iter().map(|(_, counts)| counts.files).sum();
        assert_eq!(
            removed + report.gone_before + still_here,
            3,
            "died at effect {at}, {gone:?} were gone: {report:?}"
        );
    }
    panic!("it never ended");
}

#[test]
fn what_was_removed_is_told_although_it_is_ignored_by_now() {
    counts_after_each_death(|stage, _| write(&stage.twin, STORED, RULES, "*\n"));
    counts_after_each_death(|stage, _| write(&stage.twin, STORED, RULES, "trip/\n"));
}

#[test]
fn what_was_removed_is_told_although_another_device_deletes_it_meanwhile() {
    counts_after_each_death(|stage, gone| {
        // What was on its way out goes back: it is not gone, and was not removed.
        let all_here: Vec<_> = stage.contents(PHOTOS).into_values().collect();
        for name in gone
            .iter()
            .filter(|n| !all_here.contains(&n.as_bytes().to_vec()))
        {
            stage.twin.remove(format!("{STORED}/{name}")).unwrap();
        }
        stage.twin.settle();
    });
}

#[test]
fn what_is_ignored_after_the_proof_stays_and_is_named() {
    for root in [PHOTOS, STORED] {
        let stage = in_step(&[("a.jpg", "a"), ("trip/b.raw", "b"), ("trip/c.jpg", "c")]);
        let account = stage.account();
        assert_eq!(leave::drain(&account, &[]).unwrap().unsynced_total, 0);
        let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
        write(&stage.twin, root, RULES, "*.raw\n!c.jpg\n");
        let report = remove::remove(&account, proof.unwrap(), &[]).unwrap();
        assert_eq!((report.remaining, report.removed[0].1.files), (0, 2));
        assert!(here(&stage, "trip/b.raw") && stored(&stage, "trip/b.raw"));
        let named = |left: &&mooring_wire::Left| left.path.ends_with(b"trip/b.raw");
        let left = report.left.iter().find(named).expect("it is named");
        assert!(left.reason.contains(RULES), "{left:?}");
    }
}

/// A folder that cannot be looked into for a moment is no reason to leave its files behind.
#[test]
fn what_is_hidden_for_a_moment_goes_round_again() {
    let stage = in_step(&[(RULES, "*.tmp\n"), ("a.jpg", "a"), ("trip/b.jpg", "b")]);
    let account = stage.account();
    assert_eq!(leave::drain(&account, &[]).unwrap().unsynced_total, 0);
    let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
    let rules = format!("{PHOTOS}/{RULES}");
    stage.twin.open_writer(&rules).unwrap();
    let report = remove::remove(&account, proof.unwrap(), &[]).unwrap();
    assert!(report.remaining > 0, "everything is left: {report:?}");
    stage.twin.close_writers(&rules).unwrap();
    let (_, report) = drain_verify_remove(&account, &[], "receipt-x").unwrap();
    assert_eq!((report.remaining, report.removed[0].1.files), (0, 3));
    assert_eq!(report.left, []);
}

/// A program that is in the middle of writing the rules has emptied the file first.
#[test]
fn rules_that_are_being_written_do_not_count() {
    let stage = in_step(&[(RULES, "secret/\n"), ("secret/x", "x"), ("a.jpg", "a")]);
    assert!(!stored(&stage, "secret"));
    let rules = format!("{PHOTOS}/{RULES}");
    stage.twin.write_durable(&rules, "").unwrap();
    stage.twin.open_writer(&rules).unwrap();
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert!(!stored(&stage, "secret"), "uploaded by half a rule");
    assert_eq!(ledger.waiting.total, 1, "{ledger:?}");
    assert!(leave::drain(&stage.account(), &[]).unwrap().unsynced_total > 0);
    assert!(!stored(&stage, "secret"), "uploaded by half a rule");
    leave::stay(&stage.account()).unwrap();

    stage.twin.write_durable(&rules, "secret/\n").unwrap();
    stage.twin.close_writers(&rules).unwrap();
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(ledger.waiting.total, 0, "{ledger:?}");
    assert!(!stored(&stage, "secret"));
}

/// An editor that saves by renaming leaves a moment without the file, whenever that is.
#[test]
fn rules_that_vanish_during_the_look_count_still() {
    for operation in ["open", "stat", "list", "read", "open-dir"] {
        for nth in 1..12 {
            let stage = in_step(&[(RULES, "secret/\n"), ("secret/x", "x"), ("a.jpg", "a")]);
            stage.twin.before(operation, nth, |twin| {
                twin.remove(format!("{PHOTOS}/{RULES}")).unwrap();
                twin.settle();
            });
            signin::sync_now(&stage.account(), true).unwrap();
            let when = format!("{operation} {nth}");
            assert!(!stored(&stage, "secret"), "uploaded: {when}");
        }
    }
}

/// The trash of a day has a file where the name is a folder's by now.
#[test]
fn a_return_is_not_kept_from_by_what_lies_in_the_trash() {
    let mut stage = in_step(&[("x", "file")]);
    stage.twin.remove(format!("{PHOTOS}/x")).unwrap();
    stage.twin.settle();
    signin::sync_now(&stage.account(), true).unwrap();
    write(&stage.twin, PHOTOS, "x/y.jpg", "y");
    stage.twin.advance(LATER);
    signin::sync_now(&stage.account(), true).unwrap();
    stage.sign_out().unwrap();
    stage.twin.remove(format!("{STORED}/x/y.jpg")).unwrap();
    stage.twin.settle();
    let returned = stage.sign_in(false).unwrap();
    assert_eq!((returned.expected, returned.missing_total), (1, 1));
}

#[test]
fn what_another_device_ignores_by_now_is_not_missed() {
    let mut stage = in_step(&[("a.jpg", "a"), ("trip/b.raw", "b"), ("cache/c.jpg", "c")]);
    stage.sign_out().unwrap();
    write(&stage.twin, STORED, RULES, "*.raw\ncache/\n");
    let returned = stage.sign_in(false).unwrap();
    assert_eq!((returned.expected, returned.checked), (3, 1));
    assert_eq!((returned.missing_total, returned.changed_since), (0, 2));
    assert!(stored(&stage, "trip/b.raw") && stored(&stage, "cache/c.jpg"));
}

/// Only the folder of the rules is told of; what they are about lies below it.
#[test]
fn new_rules_count_below_the_folder_that_was_told() {
    let stage = in_step(&[(RULES, "*.raw\n"), ("trip/a.raw", "a"), ("trip/b.jpg", "b")]);
    let account = stage.account();
    let (_, mut looked) = signin::sync_answering(&account, true, None).unwrap();
    let told = || {
        let mut folders = Folders::default();
        folders.add(Vec::new(), false);
        BTreeMap::from([(Collection::Photos, folders)])
    };
    write(&stage.twin, PHOTOS, RULES, "b.jpg\n");
    stage.twin.advance(LATER);
    signin::sync_told(&account, true, &told(), &mut looked).unwrap();
    assert!(stored(&stage, "trip/a.raw"), "ignored no longer");
    // Let go of, so that a deletion stays here.
    stage.twin.remove(format!("{PHOTOS}/trip/b.jpg")).unwrap();
    stage.twin.settle();
    signin::sync_now(&account, true).unwrap();
    assert!(stored(&stage, "trip/b.jpg"));
}

/// Two devices with one host name and one user name have the same folders, too.
#[test]
fn what_a_namesake_kept_is_no_deletion_of_a_device_that_never_had_it() {
    let names = ["a.jpg", "trip/b.jpg"];
    let mut stage = in_step(&names.map(|name| (name, name)));
    stage.journal.keep = vec![Collection::Photos];
    stage.sign_out().unwrap();
    // What follows happens on the other device, whose home is empty.
    for name in names {
        stage.twin.remove(format!("{PHOTOS}/{name}")).unwrap();
    }
    for folder in [format!("{PHOTOS}/trip"), PHOTOS.to_owned()] {
        stage.twin.remove(folder).unwrap();
    }
    stage.twin.settle();
    let returned = stage.sign_in(false).unwrap();
    assert_eq!(returned.held, 0, "{returned:?}");
    assert!(names.iter().all(|name| here(&stage, name)));
}

/// Where no lease keeps writers out, no death in the middle of the removal hides it.
#[test]
fn no_death_hides_that_writers_were_not_kept_out() {
    for at in 1..MANY {
        let mut stage = in_step(&[("a.jpg", "a"), ("trip/b.jpg", "b")]);
        let disk = stage.twin.disk_at(PHOTOS).unwrap();
        stage.twin.configure(disk, |disk| disk.leases = false);
        let fuse = stage.twin.fuse().clone();
        fuse.set(Some(fuse.count() + at));
        let died = drain_verify_remove(&stage.account(), &[], "receipt-x").is_err();
        stage.twin.restart(1);
        // Whatever goes from here on goes with a lease.
        stage.twin.configure(disk, |disk| disk.leases = true);
        let gone = !here(&stage, "a.jpg") || !here(&stage, "trip/b.jpg");
        let (_, report) = drain_verify_remove(&stage.account(), &[], "receipt-x").unwrap();
        if gone {
            assert!(!report.writers_excluded, "died at effect {at}: {report:?}");
        }
        if !died {
            return;
        }
    }
    panic!("it never ended");
}

/// Each name that goes moves the change time of those that are left.
#[test]
fn all_names_of_one_file_go_at_once() {
    let stage = in_step(&[("1.jpg", "the same")]);
    for name in ["2.jpg", "3.jpg", "4.jpg", "5.jpg"] {
        let [one, other] = ["1.jpg", name].map(|name| format!("{PHOTOS}/{name}"));
        stage.twin.hardlink(one, other).unwrap();
    }
    stage.twin.settle();
    stage.twin.advance(LATER);
    signin::sync_now(&stage.account(), true).unwrap();
    stage.twin.advance(LATER);
    let (_, report) = drain_verify_remove(&stage.account(), &[], "receipt-x").unwrap();
    assert_eq!((report.remaining, report.removed[0].1.files), (0, 5));
    assert!(stage.contents(PHOTOS).is_empty());
}

/// What has become another kind of thing in the storage is not left as if it had been looked at.
#[test]
fn a_folder_that_is_a_file_in_the_storage_goes_round_again() {
    let stage = in_step(&[("a.jpg", "a"), ("trip/b.jpg", "b"), ("c.jpg", "c")]);
    let account = stage.account();
    assert_eq!(leave::drain(&account, &[]).unwrap().unsynced_total, 0);
    let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
    stage.twin.remove(format!("{STORED}/trip")).unwrap();
    write(&stage.twin, STORED, "trip", "a file");
    stage.twin.remove(format!("{STORED}/c.jpg")).unwrap();
    stage.twin.mkdir(format!("{STORED}/c.jpg")).unwrap();
    let report = remove::remove(&account, proof.unwrap(), &[]).unwrap();
    assert_eq!(report.remaining, 2, "{report:?}");
    assert!(here(&stage, "trip/b.jpg") && here(&stage, "c.jpg"));
}

/// The power goes in the middle of a sync, and the collection that it was about is kept: what lay in
/// its staging folder goes back, and the sign-out ends.
#[test]
fn a_dead_sync_of_a_kept_collection_holds_nothing_up() {
    const CARD: &str = "/home/alice/Accounts/alice/Contacts/bob.vcf";
    const STORED_CARD: &str = "/mnt/nas/Contacts/bob.vcf";
    for exchanges in [true, false] {
        for at in 1..MANY {
            let mut stage = in_step(&[("a.jpg", "a")]);
            for disk in [stage.twin.disk_at(PHOTOS).unwrap(), stage.nas] {
                stage.twin.configure(disk, |disk| disk.exchange = exchanges);
            }
            stage.twin.write_durable(CARD, "bob").unwrap();
            signin::sync_now(&stage.account(), true).unwrap();
            stage.twin.advance(LATER);
            stage
                .twin
                .write_durable(STORED_CARD, "bob, by phone")
                .unwrap();
            let fuse = stage.twin.fuse().clone();
            fuse.set(Some(fuse.count() + at));
            let died = signin::sync_now(&stage.account(), true).is_err();
            stage.twin.restart(1);
            stage.journal.keep = vec![Collection::Contacts];
            stage.sign_out().unwrap();
            let all = stage.everything();
            assert!(all.contains(&b"bob, by phone"[..]), "died at effect {at}");
            assert!(stage.twin.exists(CARD), "died at effect {at}");
            let staging = "/home/alice/Accounts/alice/Contacts/.mooring-staging";
            assert!(!stage.twin.exists(staging), "died at effect {at}");
            if !died {
                break;
            }
        }
    }
}

/// A root that somebody removed is filled anew when asked, whatever dies meanwhile: at no moment is
/// what is missing there taken for deletions.
#[test]
fn no_death_makes_deletions_of_a_root_that_is_filled_anew() {
    let names = [("a.jpg", "a"), ("trip/b.jpg", "b")];
    for at in 1..MANY {
        let mut stage = in_step(&names);
        stage.twin.remove(PHOTOS).unwrap();
        stage.twin.settle();
        let keep = Some(mooring_worker::delete::Answer::Keep);
        let fuse = stage.twin.fuse().clone();
        fuse.set(Some(fuse.count() + at));
        let died = signin::sync_answering(&stage.account(), true, keep).is_err();
        stage.twin.restart(at);
        // The daemon syncs by itself, too, before the person answers again.
        let _ = signin::sync_now(&stage.account(), true);
        signin::sync_answering(&stage.account(), true, keep).unwrap();
        for (name, _) in names {
            assert!(
                here(&stage, name) && stored(&stage, name),
                "died at effect {at}"
            );
        }
        if !died {
            return;
        }
    }
    panic!("it never ended");
}
