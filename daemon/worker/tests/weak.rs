//! Storage that can do less, loses what was not made durable, or is not there: never a deletion,
//! never a loss, and all goes on once it is back.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeSet;

use mooring_core::collection::Collection;
use mooring_worker::error::{Error, Result};
use mooring_worker::files::twin::{DiskOptions, TwinFiles};
use mooring_worker::{leave, plan, signin, verify};
use stage::{PHOTOS, STORAGE, Stage, drain_verify_remove};

const COPIES: &str = "/mnt/nas/Photos";
/// Longer than any step of a filesystem's time, so that stamps can be relied on.
const LATER: i64 = 10_000_000_000;

fn write(twin: &TwinFiles, root: &str, name: &str, content: &str) {
    twin.write_durable(format!("{root}/{name}"), content)
        .unwrap();
}

fn sync(stage: &Stage) -> Result<()> {
    signin::sync_now(&stage.account(), true).map(drop)
}

fn in_step(prepare: impl FnOnce(&Stage)) -> Stage {
    let mut stage = Stage::new();
    prepare(&stage);
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    for name in ["a.jpg", "b.jpg", "trip/c.jpg", "trip/deep/d.jpg"] {
        write(&stage.twin, PHOTOS, name, name);
    }
    stage.twin.advance(LATER);
    sync(&stage).unwrap();
    stage.twin.advance(LATER);
    stage
}

fn names(stage: &Stage, root: &str) -> BTreeSet<String> {
    stage
        .contents(root)
        .into_keys()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

fn assert_in_step(stage: &Stage, when: &str) {
    assert_eq!(stage.contents(PHOTOS), stage.contents(COPIES), "{when}");
}

fn assert_there(stage: &Stage, contents: &[&str], when: &str) {
    let all = stage.everything();
    for content in contents {
        assert!(
            all.contains(content.as_bytes()),
            "{when}: {content:?} is lost"
        );
    }
}

type Weaken = fn(&mut DiskOptions);

/// Every way in which a storage, or the home, can be weaker than ext4.
const WEAK: [(&str, Weaken); 7] = [
    ("nothing", |_| ()),
    ("known good", |disk| disk.known_good = false),
    ("leases", |disk| disk.leases = false),
    ("exchange", |disk| disk.exchange = false),
    ("no-replace", |disk| {
        disk.exchange = false;
        disk.no_replace = false;
    }),
    ("remote", |disk| {
        disk.remote = true;
        disk.known_good = false;
    }),
    ("all", |disk| {
        disk.known_good = false;
        disk.remote = true;
        disk.leases = false;
        disk.exchange = false;
        disk.no_replace = false;
    }),
];

/// A whole life on weak disks, with a power cut after the sign-out: what is not here any more is
/// durable there.
#[test]
fn a_whole_life_on_weak_disks() {
    for (here, weaken_here) in WEAK {
        for (there, weaken_there) in WEAK {
            for granularity in [1, 1_000_000_000, 2_000_000_000] {
                let when = format!("lacking {here} here, {there} there, steps of {granularity} ns");
                let mut stage = in_step(|stage| {
                    let home = stage.twin.disk_at("/home").unwrap();
                    stage.twin.configure(home, weaken_here);
                    stage.twin.configure(stage.nas, weaken_there);
                    stage.twin.set_granularity(granularity);
                });
                let mut expected = changes(&mut stage);
                sync(&stage).unwrap();
                sync(&stage).unwrap();
                assert_in_step(&stage, &when);
                write(&stage.twin, PHOTOS, "late.jpg", "late");
                expected.push("late");
                stage.sign_out().unwrap_or_else(|e| panic!("{when}: {e}"));
                assert_eq!(names(&stage, PHOTOS).len(), 0, "{when}");
                stage.twin.restart(0);
                assert_there(&stage, &expected, &when);
                let returned = stage.sign_in(false).unwrap();
                assert_eq!(returned.checked, returned.expected, "{when}");
                assert_in_step(&stage, &when);
            }
        }
    }
}

/// Edits, one-sided and on both sides.
fn changes(stage: &mut Stage) -> Vec<&'static str> {
    write(&stage.twin, PHOTOS, "a.jpg", "a by laptop");
    write(&stage.twin, COPIES, "a.jpg", "a by phone");
    write(&stage.twin, PHOTOS, "b.jpg", "b by laptop");
    write(&stage.twin, COPIES, "trip/c.jpg", "c by phone");
    write(&stage.twin, COPIES, "trip/new.jpg", "new by phone");
    vec![
        "a by laptop",
        "a by phone",
        "b by laptop",
        "c by phone",
        "new by phone",
        "trip/deep/d.jpg",
    ]
}

/// A plan and the counts after a sync say what waits here, although nobody can look there.
#[test]
fn what_waits_is_counted_without_the_storage() {
    let stage = in_step(|_| {});
    write(&stage.twin, PHOTOS, ".mooringignore", "*.tmp\n");
    stage.twin.advance(LATER);
    sync(&stage).unwrap();
    stage.twin.advance(LATER);
    stage
        .twin
        .configure(stage.nas, |disk| disk.unplugged = true);
    let counts = || {
        let account = stage.account();
        let plan = plan::plan(&account, &[]).unwrap();
        assert_eq!(plan.blockers[0].0, "Offline");
        assert!(matches!(sync(&stage), Err(Error::StorageGone(_))));
        let known = plan::from_state(&account).unwrap();
        let waits = known[0].unsynced;
        assert_eq!(plan.collections[0].unsynced, waits, "a sync and a plan");
        (plan.collections[0].items.files, waits)
    };
    assert_eq!(counts(), (5, 0));
    write(&stage.twin, PHOTOS, "a.jpg", "another a");
    write(&stage.twin, PHOTOS, "trip/new/e.jpg", "e");
    write(&stage.twin, PHOTOS, "trip/e.tmp", "ignored");
    assert_eq!(counts(), (6, 2));
    stage.twin.remove(format!("{PHOTOS}/b.jpg")).unwrap();
    assert_eq!(counts(), (5, 2));
    stage
        .twin
        .configure(stage.nas, |disk| disk.unplugged = false);
    sync(&stage).unwrap();
    let known = plan::from_state(&stage.account()).unwrap();
    assert_eq!((known[0].items.files, known[0].unsynced), (5, 0));
}

/// What is kept is not uploaded any more: the receipt counts what is there, and tells what of it has no
/// copy.
#[test]
fn what_is_kept_is_counted_as_it_is_on_the_disk() {
    let stage = in_step(|_| {});
    write(&stage.twin, PHOTOS, "a.jpg", "another a");
    write(&stage.twin, PHOTOS, "new.jpg", "new");
    let (_, report) =
        drain_verify_remove(&stage.account(), &[Collection::Photos], "receipt-x").unwrap();
    let kept: Vec<_> = report.kept.iter().map(|(_, kept)| kept.files).collect();
    assert_eq!(kept, [5]);
    let remark = report.remarks.iter().find(|r| r.contains("kept, 2 have"));
    assert!(remark.is_some(), "{:?}", report.remarks);
}

/// What another program has just copied into the storage is in memory only. It is made durable
/// before what was read of it counts as a copy.
#[test]
fn copies_that_others_wrote_are_made_durable_first() {
    for (there, weaken) in WEAK {
        for (name, folder) in [
            ("x.jpg", ""),
            ("trip/x.jpg", "trip"),
            ("new/er/x.jpg", "new/er"),
        ] {
            for adopted in [false, true] {
                for seed in [0, 2, 77] {
                    let mut stage = in_step(|stage| stage.twin.configure(stage.nas, weaken));
                    let when = format!("{name}, lacking {there}, adopted {adopted}, seed {seed}");
                    stage
                        .twin
                        .write(format!("{COPIES}/{name}"), "theirs")
                        .unwrap();
                    if adopted {
                        write(&stage.twin, PHOTOS, name, "theirs");
                    }
                    sync(&stage).unwrap();
                    stage.twin.advance(LATER);
                    stage.sign_out().unwrap_or_else(|e| panic!("{when}: {e}"));
                    assert!(
                        !stage.twin.exists(format!("{PHOTOS}/{folder}/x.jpg")),
                        "{when}"
                    );
                    stage.twin.restart(seed);
                    assert_there(&stage, &["theirs"], &when);
                }
            }
        }
    }
}

type Deed = fn(&Stage);

/// Ways in which a storage is not there, and how it comes back.
const ABSENT: [(&str, Deed, Deed); 7] = [
    (
        "unmounted",
        |stage| stage.twin.unmount(STORAGE).unwrap(),
        |stage| stage.twin.mount(stage.nas, STORAGE).unwrap(),
    ),
    (
        "unplugged",
        |stage| {
            stage
                .twin
                .configure(stage.nas, |disk| disk.unplugged = true)
        },
        |stage| {
            stage
                .twin
                .configure(stage.nas, |disk| disk.unplugged = false)
        },
    ),
    (
        "another disk",
        |stage| {
            stage.twin.unmount(STORAGE).unwrap();
            stage.twin.mount(stage.twin.add_disk(), STORAGE).unwrap();
            write(
                &stage.twin,
                STORAGE,
                ".mooring/identity.toml",
                "identity = \"bob\"\n",
            );
            let marker = "version = 1\ncollection = \"photos\"\nstorage-id = \"storage-2\"\n";
            write(&stage.twin, COPIES, ".mooring-collection", marker);
            write(&stage.twin, COPIES, "a.jpg", "somebody else's");
        },
        |stage| {
            assert_eq!(
                names(stage, COPIES).len(),
                1,
                "something was written to another disk"
            );
            stage.twin.unmount(STORAGE).unwrap();
            stage.twin.mount(stage.nas, STORAGE).unwrap();
        },
    ),
    (
        "without its folder",
        |stage| stage.twin.rename(COPIES, "/mnt/nas/moved").unwrap(),
        |stage| stage.twin.rename("/mnt/nas/moved", COPIES).unwrap(),
    ),
    (
        "without its marker",
        |stage| {
            stage
                .twin
                .rename("/mnt/nas/Photos/.mooring-collection", "/mnt/nas/moved")
                .unwrap();
        },
        |stage| {
            stage
                .twin
                .rename("/mnt/nas/moved", "/mnt/nas/Photos/.mooring-collection")
                .unwrap();
        },
    ),
    (
        "a folder that nobody may list",
        |stage| stage.twin.chmod(COPIES, 0).unwrap(),
        |stage| stage.twin.chmod(COPIES, 0o755).unwrap(),
    ),
    (
        "listings fail",
        |stage| stage.twin.fail_from("list", 1, libc::EIO),
        |stage| stage.twin.heal(),
    ),
];

#[test]
fn a_storage_that_is_not_there_is_never_a_deletion() {
    for (what, lose, find) in ABSENT {
        let mut stage = in_step(|_| ());
        let before = stage.contents(PHOTOS);
        lose(&stage);
        let account = stage.account();
        let asleep = |e: Error| assert!(!e.to_string().is_empty(), "{what}");
        asleep(sync(&stage).unwrap_err());
        // A plan is an answer, or says why not.
        if let Ok(facts) = plan::plan(&account, &[]) {
            assert!(
                !facts.blockers.is_empty(),
                "{what}: a plan without a blocker"
            );
        }
        asleep(
            drain_verify_remove(&account, &[], "receipt-x")
                .map(drop)
                .unwrap_err(),
        );
        assert_eq!(stage.contents(PHOTOS), before, "{what}");
        find(&stage);
        leave::stay(&account).unwrap();
        drop(account);
        sync(&stage).unwrap();
        assert_eq!(stage.contents(PHOTOS), before, "{what}: after it came back");
        assert_in_step(&stage, what);
        stage.sign_out().unwrap();
        assert_eq!(names(&stage, PHOTOS).len(), 0, "{what}");
        assert_eq!(stage.contents(COPIES), before, "{what}");
    }
}

/// It goes away in the middle, at every effect and look, during sync and during sign-out.
#[test]
fn a_storage_that_goes_away_in_the_middle() {
    let moments = [
        "create", "write", "sync-all", "rename", "exchange", "unlink", "open", "read", "list",
        "stat",
    ];
    for (what, lose, find) in ABSENT.into_iter().take(6) {
        for moment in moments {
            for nth in [1, 2, 5] {
                let mut stage = in_step(|_| ());
                let mut expected = changes(&mut stage);
                expected.push("late");
                write(&stage.twin, PHOTOS, "late.jpg", "late");
                let when = format!("{what} at {moment} {nth}");
                // The stage knows its disk; the hook only has the machine.
                let (nas, lost) = (
                    stage.nas,
                    std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)),
                );
                let gone = lost.clone();
                stage.twin.before(moment, nth, move |twin| {
                    let seen = Stage::seen(twin.clone(), nas);
                    lose(&seen);
                    gone.store(true, std::sync::atomic::Ordering::Relaxed);
                });
                let _ = sync(&stage);
                let out = stage.sign_out().is_ok();
                if lost.load(std::sync::atomic::Ordering::Relaxed) {
                    find(&stage);
                }
                assert_there(&stage, &expected, &when);
                if !out {
                    live_on(&mut stage, &when);
                }
                assert_there(&stage, &expected, &when);
                stage.twin.restart(0);
                assert_there(&stage, &expected, &when);
            }
        }
    }
}

/// Signs out, as often as it takes.
fn live_on(stage: &mut Stage, when: &str) {
    for round in 0.. {
        match stage.sign_out() {
            Ok(()) => return,
            Err(e) => assert!(round < 5, "{when}: {e}"),
        }
    }
}

#[test]
fn a_storage_that_is_full_or_read_only() {
    let full: fn(&mut DiskOptions) = |disk| disk.capacity = Some(0);
    let read_only: fn(&mut DiskOptions) = |disk| disk.read_only = true;
    for (what, weaken) in [("full", full), ("read only", read_only)] {
        let mut stage = in_step(|_| ());
        write(&stage.twin, PHOTOS, "late.jpg", "late");
        stage.twin.configure(stage.nas, weaken);
        let error = sync(&stage).unwrap_err();
        let said = error.to_string().to_lowercase();
        assert!(
            said.contains("space") || said.contains("read-only"),
            "{what}: {said}"
        );
        stage.sign_out().unwrap_err();
        assert_there(&stage, &["late", "a.jpg", "b.jpg"], what);
        assert_eq!(
            names(&stage, PHOTOS).len(),
            5,
            "{what}: something was removed"
        );
        stage
            .twin
            .configure(stage.nas, |disk| *disk = DiskOptions::default());
        stage.sign_out().unwrap();
        stage.twin.restart(0);
        assert_there(&stage, &["late", "a.jpg", "b.jpg"], what);
    }
}

/// The local disk is full, or read only, in the middle of a removal: nothing is lost, and it goes
/// on.
#[test]
fn a_home_that_cannot_be_written() {
    let mut stage = in_step(|_| ());
    let home = stage.twin.disk_at("/home").unwrap();
    stage.twin.before("unlink", 2, move |twin| {
        twin.configure(home, |disk| disk.read_only = true);
    });
    stage.sign_out().unwrap_err();
    assert_there(&stage, &["a.jpg", "b.jpg", "trip/c.jpg"], "read only");
    stage.twin.configure(home, |disk| disk.read_only = false);
    stage.sign_out().unwrap();
    assert_eq!(names(&stage, COPIES).len(), 4);
}

/// The copy silently became another: a sign-out does not go on over it, and says which.
#[test]
fn rot_is_found_before_anything_goes() {
    let stage = in_step(|_| ());
    stage.twin.advance(LATER);
    write(&stage.twin, PHOTOS, "a.jpg", "a by laptop");
    signin::sync_now(&stage.account(), false).unwrap();
    stage
        .twin
        .rot("/mnt/nas/Photos/a.jpg", "a by l#ptop")
        .unwrap();
    let account = stage.account();
    leave::drain(&account, &[]).unwrap();
    let (report, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
    assert!(proof.is_none());
    assert_eq!(report.unproven_total, 1);
    assert!(report.unproven[0].0.ends_with(b"/a.jpg") && !report.unproven[0].1.is_empty());
}
