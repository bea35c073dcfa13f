//! Every operation of a whole life fails once: nothing is lost, it is said clearly, and the same
//! steps, repeated, end well. Then the power goes, and what was removed here is there.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeMap;

use mooring_worker::error::{Error, Result};
use mooring_worker::files::twin::DiskOptions;
use mooring_worker::signin;
use stage::{CONTACTS, PHOTOS, STORAGE, Stage};

/// What a system call may answer.
const ERRNOS: [(i32, &str); 5] = [
    (libc::EIO, "EIO"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EDQUOT, "EDQUOT"),
    (libc::EACCES, "EACCES"),
    (libc::EROFS, "EROFS"),
];
/// What only looks.
const LOOKS: [&str; 8] = [
    "open-root",
    "open-dir",
    "open",
    "read",
    "list",
    "stat",
    "lease",
    "abilities",
];
/// How often a look can fail, spread over the whole life.
const LOOKS_TRIED: u64 = 24;
/// A step that fails is repeated; more often than this it would never end.
const PATIENCE: usize = 6;
const STEPS: usize = 8;
/// Longer than any step of a filesystem's time, so that stamps can be relied on.
const LATER: i64 = 10_000_000_000;

fn write(stage: &Stage, path: &str, content: &str) {
    stage.twin.write_durable(path, content).unwrap();
}

/// The life of an account. Even steps are Mooring's and are repeated; odd ones are the person's.
fn step(stage: &mut Stage, nr: usize) -> Result<()> {
    match nr {
        0 => {
            stage.create_identity()?;
            stage.sign_in(false).map(drop)
        }
        1 => {
            write(stage, &format!("{PHOTOS}/a.jpg"), "a");
            write(stage, &format!("{PHOTOS}/trip/b.jpg"), "b");
            write(stage, &format!("{CONTACTS}/bob.vcf"), "bob");
            stage.twin.advance(LATER);
            Ok(())
        }
        2 => sync(stage),
        3 => {
            write(stage, &format!("{STORAGE}/Photos/a.jpg"), "a by phone");
            write(stage, &format!("{PHOTOS}/trip/b.jpg"), "b by laptop");
            write(stage, &format!("{CONTACTS}/bob.vcf"), "bob by laptop");
            write(
                stage,
                &format!("{STORAGE}/Contacts/bob.vcf"),
                "bob by phone",
            );
            write(stage, &format!("{STORAGE}/Photos/new/c.jpg"), "c");
            stage.twin.advance(LATER);
            Ok(())
        }
        4 => sync(stage),
        5 => {
            write(stage, &format!("{PHOTOS}/new/late.jpg"), "late");
            Ok(())
        }
        6 => stage.sign_out(),
        _ => {
            // What is durable is all that is left; then all comes back.
            stage.twin.restart(0);
            Ok(())
        }
    }
}

fn sync(stage: &Stage) -> Result<()> {
    signin::sync_now(&stage.account(), true).map(drop)
}

/// What was written and not replaced, once a step is over or has failed.
fn written(step: usize) -> Vec<&'static str> {
    match step {
        0 => vec![],
        1 | 2 => vec!["a", "b", "bob"],
        3 | 4 => vec![
            "a by phone",
            "b by laptop",
            "bob by laptop",
            "bob by phone",
            "c",
        ],
        _ => vec![
            "a by phone",
            "b by laptop",
            "bob by laptop",
            "bob by phone",
            "c",
            "late",
        ],
    }
}

fn assert_nothing_lost(stage: &Stage, step: usize, when: &str) {
    let all = stage.everything();
    for content in written(step) {
        assert!(
            all.contains(content.as_bytes()),
            "{when}, in step {step}: {content:?} is lost"
        );
    }
}

/// An error that a person can do something with: a sentence, with a path where there is one.
fn assert_clear(e: &Error, when: &str) {
    let said = e.to_string();
    assert!(
        said.len() > 20 || matches!(e, Error::Refused(_)),
        "{when}: {said:?}"
    );
    if let Error::Io { path, .. } = e {
        assert!(
            path.starts_with('/') || path.starts_with("commit-"),
            "{when}: {said:?}"
        );
    }
}

/// A whole life; whatever fails is repeated.
fn live(stage: &mut Stage, when: &str) {
    for nr in 0..STEPS {
        for round in 0.. {
            let done = step(stage, nr);
            assert_nothing_lost(stage, nr, when);
            match done {
                Ok(()) => break,
                Err(e) => {
                    assert_clear(&e, when);
                    assert!(round < PATIENCE, "{when}, step {nr}: it never ends: {e}");
                }
            }
        }
    }
    stage.twin.heal();
    assert_eq!(
        stage.contents(PHOTOS).len(),
        0,
        "{when}: {:?}",
        stage.contents(PHOTOS)
    );
    assert_eq!(stage.contents(CONTACTS).len(), 0, "{when}");
    let returned = stage.sign_in(true).unwrap();
    assert_eq!(returned.checked, returned.expected, "{when}: {returned:?}");
    // Five files were here, or four where a download had to wait for the next sync, which did not come.
    assert!(returned.expected >= 4, "{when}: {returned:?}");
    assert_nothing_lost(stage, STEPS, when);
    assert_eq!(
        stage.contents(PHOTOS),
        stage.contents(&format!("{STORAGE}/Photos")),
        "{when}"
    );
}

fn stage(weaken: fn(&mut DiskOptions)) -> Stage {
    let stage = Stage::new();
    let home = stage.twin.disk_at("/home").unwrap();
    stage.twin.configure(home, weaken);
    stage.twin.configure(stage.nas, weaken);
    stage
}

/// How many effects of each name a whole life has.
fn effects(weaken: fn(&mut DiskOptions)) -> BTreeMap<String, u64> {
    let mut stage = stage(weaken);
    // The restart at its end begins a new count.
    for nr in 0..STEPS - 1 {
        step(&mut stage, nr).unwrap();
    }
    let mut counts = BTreeMap::new();
    // Transactions are part of the count, and cannot fail by themselves.
    for name in stage
        .twin
        .fuse()
        .names()
        .into_iter()
        .filter(|name| !name.starts_with("commit"))
    {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

const GOOD: fn(&mut DiskOptions) = |_| ();
const WEAK: fn(&mut DiskOptions) = |disk| {
    disk.known_good = false;
    disk.exchange = false;
    disk.no_replace = false;
    disk.leases = false;
};

fn each_effect_fails_once(weaken: fn(&mut DiskOptions)) {
    let mut number = 0;
    for (name, count) in effects(weaken) {
        for nth in 1..=count {
            // Two errors for each place, all of them in turn.
            for (errno, shown) in [ERRNOS[0], ERRNOS[1 + number % 4]] {
                let mut stage = stage(weaken);
                stage.twin.fail(&name, nth, errno);
                live(
                    &mut stage,
                    &format!("{name} {nth} of {count} fails with {shown}"),
                );
            }
            number += 1;
        }
    }
}

#[test]
fn each_effect_fails_once_on_good_disks() {
    each_effect_fails_once(GOOD);
}

#[test]
fn each_effect_fails_once_on_weak_disks() {
    each_effect_fails_once(WEAK);
}

#[test]
fn each_kind_of_look_fails_once() {
    let mut number = 0;
    for name in LOOKS {
        for nth in (0..LOOKS_TRIED).map(|n| 1 + n * n / 2 + n) {
            let (errno, shown) = ERRNOS[number % ERRNOS.len()];
            number += 1;
            let mut stage = stage(GOOD);
            stage.twin.fail(name, nth, errno);
            live(&mut stage, &format!("{name} {nth} fails with {shown}"));
        }
    }
}

/// A filesystem that is broken for a while: everything of a kind fails, until it is healed.
#[test]
fn a_disk_that_fails_for_a_while() {
    for (name, count) in effects(GOOD) {
        for (errno, shown) in ERRNOS {
            let nth = 1 + count / 2;
            let mut stage = stage(GOOD);
            stage.twin.fail_from(&name, nth, errno);
            let when = format!("{name} from {nth} on fails with {shown}");
            for nr in 0..STEPS - 1 {
                if let Err(e) = step(&mut stage, nr) {
                    assert_clear(&e, &when);
                    assert_nothing_lost(&stage, nr, &when);
                    // Once more while it is broken, then healed.
                    let _ = step(&mut stage, nr);
                    assert_nothing_lost(&stage, nr, &when);
                    stage.twin.heal();
                    for round in 0.. {
                        match step(&mut stage, nr) {
                            Ok(()) => break,
                            Err(e) => assert!(round < PATIENCE, "{when}, step {nr}: {e}"),
                        }
                    }
                }
                assert_nothing_lost(&stage, nr, &when);
            }
            stage.twin.heal();
            stage.twin.restart(0);
            assert_nothing_lost(&stage, STEPS, &when);
        }
    }
}

/// The process dies at every effect, on disks that can do little.
#[test]
fn each_point_of_death_on_weak_disks() {
    let effects: u64 = {
        let mut stage = stage(WEAK);
        (0..STEPS - 1).for_each(|nr| step(&mut stage, nr).unwrap());
        stage.twin.fuse().count()
    };
    for at in 1..=effects {
        // The power is gone with all, or with some, or only the process is dead: in turn.
        for seed in [[0, 1, at][usize::try_from(at % 3).unwrap()]] {
            let mut stage = stage(WEAK);
            stage.twin.fuse().set(Some(at));
            let mut nr = 0;
            let mut deaths = 0;
            while nr < STEPS {
                match step(&mut stage, nr) {
                    Ok(()) => nr += 1,
                    Err(e) => {
                        let name = stage.twin.fuse().names().last().cloned();
                        let when = format!("dead at {at} ({name:?}), step {nr}, seed {seed}");
                        deaths += 1;
                        assert!(deaths < PATIENCE, "{when}: it cannot go on: {e}");
                        stage.twin.restart(seed);
                        if nr % 2 == 0 && nr > 0 {
                            assert_nothing_lost(&stage, nr - 1, &when);
                        }
                    }
                }
            }
            let when = format!("after a death at {at}, seed {seed}");
            assert_nothing_lost(&stage, STEPS, &when);
            let returned = stage.sign_in(true).unwrap();
            assert_eq!(returned.checked, returned.expected, "{when}: {returned:?}");
        }
    }
}
