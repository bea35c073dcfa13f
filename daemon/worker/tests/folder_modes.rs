//! Permissions of folders that change after both sides have them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use mooring_worker::signin;
use stage::Stage;
use std::path::Path;

const HERE: &str = "/home/alice/Accounts/alice/Photos/trip";
const THERE: &str = "/mnt/nas/Photos/trip";

/// An account with one photo in a folder, in step, and looked at once more.
fn in_step(known_good: bool) -> Stage {
    let mut stage = Stage::new();
    stage
        .twin
        .configure(stage.nas, |disk| disk.known_good = known_good);
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    stage
        .twin
        .write_durable(format!("{HERE}/a.jpg"), "first")
        .unwrap();
    sync(&stage);
    sync(&stage);
    stage
}

fn sync(stage: &Stage) {
    let ledger = signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(ledger.waiting.total, 0, "{ledger:?}");
}

fn mode(stage: &Stage, path: impl AsRef<Path>) -> u32 {
    stage.twin.stat_path(path).unwrap().mode & 0o7777
}

fn modes(stage: &Stage) -> [u32; 2] {
    [mode(stage, HERE), mode(stage, THERE)]
}

#[test]
fn whoever_changes_it_changes_it_on_both_sides() {
    for known_good in [true, false] {
        let stage = in_step(known_good);
        stage.twin.chmod(HERE, 0o750).unwrap();
        sync(&stage);
        assert_eq!(modes(&stage), [0o750, 0o750]);
        stage.twin.chmod(THERE, 0o711).unwrap();
        sync(&stage);
        assert_eq!(modes(&stage), [0o711, 0o711]);
        // Both: nobody is let in whom one side keeps out.
        stage.twin.chmod(HERE, 0o770).unwrap();
        stage.twin.chmod(THERE, 0o705).unwrap();
        sync(&stage);
        assert_eq!(modes(&stage), [0o700, 0o700]);
        let settled = stage.twin.fuse().count();
        sync(&stage);
        assert_eq!(modes(&stage), [0o700, 0o700]);
        let again = stage.twin.fuse().count();
        sync(&stage);
        let steady = stage.twin.fuse().count();
        assert_eq!(steady - again, again - settled, "nothing is written anew");
    }
}

#[test]
fn a_sign_out_carries_it_up_and_a_return_brings_it_back() {
    let mut stage = in_step(true);
    stage.twin.chmod(HERE, 0o755).unwrap();
    stage.sign_out().unwrap();
    assert_eq!(mode(&stage, THERE), 0o755);
    stage.sign_in(false).unwrap();
    assert_eq!(mode(&stage, HERE), 0o755);
}

/// The power goes at every step: afterwards the new mode is on both sides, never the old one.
#[test]
fn a_death_anywhere_does_not_change_it_back() {
    for at in 1.. {
        let mut stage = in_step(true);
        stage.twin.chmod(HERE, 0o750).unwrap();
        stage.twin.settle();
        let fuse = stage.twin.fuse().clone();
        fuse.set(Some(fuse.count() + at));
        let died = signin::sync_now(&stage.account(), true).is_err();
        stage.twin.restart(at);
        sync(&stage);
        sync(&stage);
        assert_eq!(modes(&stage), [0o750, 0o750], "at effect {at}");
        if !died {
            return;
        }
    }
}
