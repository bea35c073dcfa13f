//! Others are faster: the person and other devices change files while they are carried, and the
//! power goes right then. Whatever anybody wrote is still somewhere.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use mooring_worker::files::twin::TwinFiles;
use mooring_worker::{signin, storage};
use stage::{PHOTOS, STORAGE, Stage};
use std::path::Path;

const HERE: &str = "/home/alice/Accounts/alice/Photos/a.jpg";
const THERE: &str = "/mnt/nas/Photos/a.jpg";
/// Longer than any step of a filesystem's time, so that stamps can be relied on.
const LATER: i64 = 10_000_000_000;

/// An account with one photo, in step.
fn in_step() -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    write(&stage.twin, HERE, "first");
    sync(&stage);
    stage.twin.advance(LATER);
    stage
}

fn write(twin: &TwinFiles, path: &str, content: &str) {
    twin.write_durable(path, content).unwrap();
}

/// Saves as most editors do: a new file takes the old one's name.
fn save(twin: &TwinFiles, path: &str, content: &str) {
    let beside = "/home/alice/.beside";
    let beside = if path.starts_with(STORAGE) {
        "/mnt/nas/.beside"
    } else {
        beside
    };
    write(twin, beside, content);
    twin.rename(beside, path).unwrap();
}

fn sync(stage: &Stage) {
    signin::sync_now(&stage.account(), true).unwrap();
}

fn assert_all_there(stage: &Stage, contents: &[&str], when: &str) {
    let there = stage.everything();
    for content in contents {
        assert!(
            there.contains(content.as_bytes()),
            "{when}: {content:?} is lost"
        );
    }
}

/// What somebody does to the file that is about to be replaced. Answers nothing: it only must not
/// be lost.
type Deed = fn(&TwinFiles, &str);

const DEEDS: [(&str, Deed); 6] = [
    ("edited", |twin, path| write(twin, path, "theirs")),
    // As containers of encrypted disks are, and photos whose tags are edited in place.
    (EDITED_UNSEEN, |twin, path| {
        let before = twin.stat_path(path).unwrap();
        write(twin, path, "FIRST");
        twin.set_mtime(path, before.mtime).unwrap();
    }),
    ("saved anew", |twin, path| save(twin, path, "theirs")),
    ("saved so that nobody may read it", |twin, path| {
        save(twin, path, "theirs");
        twin.chmod(path, 0).unwrap();
    }),
    ("replaced by a link", |twin, path| {
        twin.rename(path, format!("{path}.moved")).unwrap();
        twin.symlink("/somewhere", path).unwrap();
    }),
    ("replaced by a FIFO", |twin, path| {
        twin.rename(path, format!("{path}.moved")).unwrap();
        twin.fifo(path).unwrap();
    }),
];

const EDITED_UNSEEN: &str = "edited, with size and time as they were";

#[test]
fn what_is_displaced_unexpectedly_stays() {
    for (exchange, down, target, source) in [
        (true, true, HERE, THERE),
        (true, false, THERE, HERE),
        (false, true, HERE, THERE),
        (false, false, THERE, HERE),
    ] {
        for (what, deed) in DEEDS {
            let stage = in_step();
            let home = stage.twin.disk_at("/home/alice").unwrap();
            for disk in [home, stage.nas] {
                stage.twin.configure(disk, |disk| disk.exchange = exchange);
            }
            write(&stage.twin, source, "second");
            // Without an exchange: the copy gets its name, then the old file is moved beside.
            let (effect, nth) = if exchange {
                ("exchange", 1)
            } else {
                ("rename", 2)
            };
            stage
                .twin
                .before(effect, nth, move |twin| deed(twin, target));
            let when = format!(
                "{what}, {}, exchange {exchange}",
                if down { "download" } else { "upload" }
            );
            // It may fail and say so; nothing may be gone.
            let _ = signin::sync_now(&stage.account(), true);
            assert!(stage.twin.exists(target), "{when}: the name is gone");
            if what == EDITED_UNSEEN {
                assert_all_there(&stage, &["second", "FIRST"], &when);
            } else if what.contains("saved") || what == "edited" {
                assert_all_there(&stage, &["second", "theirs"], &when);
            } else {
                let kind = stage.twin.stat_path(target).unwrap().kind;
                assert_ne!(
                    kind,
                    mooring_worker::files::Kind::File,
                    "{when}: the link is gone"
                );
            }
        }
    }
}

/// The power goes while somebody else's version lies in the staging folder.
#[test]
fn what_is_displaced_unexpectedly_survives_a_death() {
    for (target, source) in [(HERE, THERE), (THERE, HERE)] {
        for seed in [0, 1, 2, 77] {
            let mut stage = in_step();
            write(&stage.twin, source, "second");
            let fuse = stage.twin.fuse().clone();
            stage.twin.before("exchange", 1, move |twin| {
                save(twin, target, "theirs");
                twin.settle();
                // The exchange itself, and the end.
                fuse.set(Some(fuse.count() + 2));
            });
            signin::sync_now(&stage.account(), true).unwrap_err();
            stage.twin.restart(seed);
            let when = format!("{target} seed {seed}");
            assert_all_there(
                &stage,
                &["second", "theirs"],
                &format!("{when}, right after"),
            );
            sync(&stage);
            sync(&stage);
            assert_all_there(&stage, &["second", "theirs"], &when);
        }
    }
}

#[test]
fn saving_twice_while_it_is_replaced() {
    for (target, source) in [(HERE, THERE), (THERE, HERE)] {
        let stage = in_step();
        write(&stage.twin, source, "second");
        stage
            .twin
            .before("exchange", 1, move |twin| save(twin, target, "theirs"));
        stage.twin.before("exchange", 2, move |twin| {
            save(twin, target, "theirs, again")
        });
        let _ = signin::sync_now(&stage.account(), true);
        assert_all_there(&stage, &["second", "theirs, again"], target);
        sync(&stage);
        assert_all_there(&stage, &["second", "theirs, again"], target);
    }
}

/// The swap back fails: what came out stays where the next start finds it.
#[test]
fn a_swap_back_that_fails() {
    for errno in [libc::EIO, libc::ENOSPC, libc::EACCES, libc::EROFS] {
        for (target, source) in [(HERE, THERE), (THERE, HERE)] {
            let stage = in_step();
            write(&stage.twin, source, "second");
            stage
                .twin
                .before("exchange", 1, move |twin| save(twin, target, "theirs"));
            stage.twin.fail("exchange", 2, errno);
            let _ = signin::sync_now(&stage.account(), true);
            let when = format!("{target}, errno {errno}");
            assert_all_there(&stage, &["second", "theirs"], &when);
            stage.twin.heal();
            sync(&stage);
            sync(&stage);
            assert_all_there(&stage, &["second", "theirs"], &when);
        }
    }
}

/// Where time is counted in steps of two seconds, an edit may leave no trace in the stamps.
#[test]
fn an_edit_within_one_step_of_coarse_time() {
    const STEP: i64 = 2_000_000_000;
    for (target, source) in [(HERE, THERE), (THERE, HERE)] {
        let stage = in_step();
        stage.twin.set_granularity(STEP);
        stage
            .twin
            .advance(LATER - stage.twin.stat_path(HERE).unwrap().mtime % STEP);
        write(&stage.twin, source, "second");
        // Touched, with the agreed bytes; then edited in the same step, at the same length.
        write(&stage.twin, target, "first");
        stage
            .twin
            .before("exchange", 1, move |twin| write(twin, target, "FIRST"));
        let _ = signin::sync_now(&stage.account(), true);
        assert_all_there(&stage, &["second", "FIRST"], target);
    }
}

/// Two devices make the identity of a new storage at the same time: one of them wins, and only
/// that one is told so.
#[test]
fn two_identities_at_once() {
    let temporary = format!("{STORAGE}/.mooring/.mooring-new-identity.toml");
    for (effect, nth) in [("create", 1), ("write", 1), ("sync-file", 1), ("rename", 1)] {
        for whole in [true, false] {
            let stage = Stage::new();
            let temporary = temporary.clone();
            let (sent, other) = std::sync::mpsc::channel();
            stage.twin.before(effect, nth, move |twin| {
                let theirs = "identity = \"bob\"\n";
                if whole {
                    let made = storage::create_identity(twin, Path::new(STORAGE), theirs);
                    sent.send(made.is_ok()).unwrap();
                } else if twin.remove(&temporary).is_ok() {
                    // The other device has come just as far.
                    write(twin, &temporary, theirs);
                }
            });
            let mine = "identity = \"alice\"\n";
            let made = storage::create_identity(&stage.twin, Path::new(STORAGE), mine).is_ok();
            let when = format!("{effect}, whole {whole}");
            assert!(
                !(made && other.try_recv().unwrap_or(false)),
                "{when}: both made it"
            );
            let text = stage.twin.read(format!("{STORAGE}/.mooring/identity.toml"));
            assert!(
                !made || text.unwrap() == mine.as_bytes(),
                "{when}: told so, and it is not"
            );
        }
    }
}

/// Two devices in step with one storage, each syncing in the middle of the other's sync.
#[test]
fn two_devices_at_once() {
    for exchange in [true, false] {
        for effect in ["create", "sync-all", "rename", "exchange", "unlink"] {
            for nth in 1..4 {
                two_devices(exchange, effect, nth);
            }
        }
    }
}

fn two_devices(exchange: bool, effect: &str, nth: u64) {
    let stage = in_step();
    stage
        .twin
        .configure(stage.nas, |disk| disk.exchange = exchange);
    let mut other = stage.another_device();
    other.sign_in(false).unwrap();
    let theirs = "/home/other/Accounts/alice/Photos";
    stage.twin.advance(LATER);
    write(&stage.twin, HERE, "by the laptop");
    write(
        &stage.twin,
        &format!("{PHOTOS}/new.jpg"),
        "new by the laptop",
    );
    write(&stage.twin, &format!("{theirs}/a.jpg"), "by the desktop");
    write(
        &stage.twin,
        &format!("{theirs}/new.jpg"),
        "new by the desktop",
    );

    let account = other.account();
    stage
        .twin
        .before(effect, nth, move |_| drop(signin::sync_now(&account, true)));
    let _ = signin::sync_now(&stage.account(), true);
    let when = format!("exchange {exchange}, at {effect} {nth}");
    let all = [
        "by the laptop",
        "new by the laptop",
        "by the desktop",
        "new by the desktop",
    ];
    assert_all_there(&stage, &all, &when);
    for _ in 0..3 {
        // Either may meet a file that the other has just taken; the next time it is in step.
        let _ = signin::sync_now(&stage.account(), true);
        let _ = signin::sync_now(&other.account(), true);
    }
    assert_all_there(&stage, &all, &when);
    let (here, there) = (
        stage.contents(PHOTOS),
        stage.contents(&format!("{STORAGE}/Photos")),
    );
    assert_eq!(here, there, "{when}: the laptop is not in step");
    assert_eq!(
        stage.contents(theirs),
        there,
        "{when}: the desktop is not in step"
    );
}
