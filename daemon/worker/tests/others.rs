//! What others do around a sign-out: files and folders that come and go meanwhile, folders swapped
//! for links, another storage in the place of this one, another disk to keep files on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::path::Path;

use mooring_worker::files::twin::TwinFiles;
use mooring_worker::state::Epoch;
use mooring_worker::{leave, remove, signin, storage, verify};
use stage::{PHOTOS, STORAGE, Stage, drain_verify_remove};

const HERE: &str = "/home/alice/Accounts/alice/Photos/trip/a.jpg";
const TRIP: &str = "/home/alice/Accounts/alice/Photos/trip";
/// Longer than any step of a filesystem's time, so that stamps can be relied on.
const LATER: i64 = 10_000_000_000;

fn write(twin: &TwinFiles, path: &str, content: &str) {
    twin.write_durable(path, content).unwrap();
}

/// An account with two photos in a folder, in step and read back.
fn in_step() -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    write(&stage.twin, HERE, "first");
    write(&stage.twin, &format!("{TRIP}/b.jpg"), "second");
    stage.twin.advance(LATER);
    signin::sync_now(&stage.account(), true).unwrap();
    stage.twin.advance(LATER);
    stage
}

/// What the person deletes while files are removed is not claimed, and named.
#[test]
fn what_others_took_away_is_told_apart() {
    for (moment, nth) in [("list", 5), ("open", 3), ("lease", 1), ("rename", 1)] {
        let stage = in_step();
        let account = stage.account();
        leave::drain(&account, &[]).unwrap();
        let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
        stage.twin.before(moment, nth, |twin| {
            twin.rename(HERE, "/home/alice/mine.jpg").unwrap();
        });
        remove::remove(&account, proof.unwrap(), &[]).unwrap();
        let (_, report) = drain_verify_remove(&account, &[], "receipt-x").unwrap();
        assert_eq!(report.remaining, 0, "{moment}");
        assert_eq!(report.removed[0].1.files, 1, "{moment}: {report:?}");
        assert_eq!(report.gone_before, 1, "{moment}: {report:?}");
        assert_eq!(report.gone_before_files, [HERE.as_bytes().to_vec()]);
    }
}

/// What a worker removed that died before it could say so is not taken for somebody's deletion.
#[test]
fn what_a_dead_worker_removed_is_claimed() {
    for at in 1.. {
        let mut stage = in_step();
        let account = stage.account();
        leave::drain(&account, &[]).unwrap();
        let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
        let fuse = stage.twin.fuse().clone();
        fuse.set(Some(fuse.count() + at));
        let died = remove::remove(&account, proof.unwrap(), &[]).is_err();
        drop(account);
        stage.twin.restart(at);
        let (_, report) = drain_verify_remove(&stage.account(), &[], "receipt-x").unwrap();
        assert_eq!(report.removed[0].1.files, 2, "at effect {at}: {report:?}");
        assert_eq!(report.gone_before, 0, "at effect {at}: {report:?}");
        if !died {
            return;
        }
    }
}

/// A folder that a person makes while files are removed is theirs, also where one of the account's
/// had been.
#[test]
fn a_new_folder_stays() {
    let stage = in_step();
    let account = stage.account();
    leave::drain(&account, &[]).unwrap();
    let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
    // One file stays for another round, in which the folders are looked at again.
    stage.twin.open_writer(HERE).unwrap();
    let report = remove::remove(&account, proof.unwrap(), &[]).unwrap();
    assert_eq!(report.remaining, 1);
    stage.twin.mkdir(format!("{PHOTOS}/mine")).unwrap();
    stage.twin.close_writers(HERE).unwrap();
    let (_, report) = drain_verify_remove(&account, &[], "receipt-x").unwrap();
    assert_eq!(report.remaining, 0);
    assert!(stage.twin.exists(format!("{PHOTOS}/mine")), "{report:?}");
    assert!(!stage.twin.exists(TRIP));
    assert!(!stage.twin.exists(format!("{STORAGE}/Photos/mine")));
    assert_eq!(report.left.len(), 1, "{report:?}");

    stage.twin.mkdir(TRIP).unwrap();
    assert!(account.state.epoch().unwrap() == Epoch::Removing);
    drain_verify_remove(&account, &[], "receipt-x").unwrap();
    assert!(stage.twin.exists(TRIP), "made anew, it is the person's");
}

/// The file cannot go back: its folder is a link by now. It is never followed.
#[test]
fn a_file_whose_folder_became_a_link_is_put_beside() {
    for die in [false, true] {
        let mut stage = in_step();
        let account = stage.account();
        leave::drain(&account, &[]).unwrap();
        let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
        write(&stage.twin, "/home/alice/elsewhere/note", "theirs");
        stage.twin.break_next_lease(HERE).unwrap();
        let fuse = stage.twin.fuse().clone();
        stage.twin.before("lease-holds", 1, move |twin| {
            twin.rename(TRIP, "/home/alice/moved").unwrap();
            twin.symlink("/home/alice/elsewhere", TRIP).unwrap();
            twin.settle();
            if die {
                fuse.set(Some(fuse.count() + 2));
            }
        });
        let removed = remove::remove(&account, proof.unwrap(), &[]);
        drop(account);
        if die {
            removed.unwrap_err();
            stage.twin.restart(0);
            let (_, report) = drain_verify_remove(&stage.account(), &[], "receipt-x").unwrap();
            assert_eq!(report.remaining, 0, "{report:?}");
        } else {
            let report = removed.unwrap();
            let told = &report.remaining_files[0].1;
            assert!(told.contains("it is now"), "{told}");
        }
        assert_eq!(stage.contents("/home/alice/elsewhere").len(), 1);
        let beside: Vec<_> = stage
            .contents(PHOTOS)
            .into_iter()
            .filter(|(path, _)| path.to_str().unwrap().contains("conflict"))
            .collect();
        assert_eq!(beside.len(), 1, "die {die}: {beside:?}");
        assert_eq!(beside[0].1, b"first");
        let staged = stage.contents(&format!("{PHOTOS}/.mooring-staging"));
        assert!(staged.is_empty(), "{staged:?}");
    }
}

/// Another disk has taken the storage's place: it gets no receipt that is not about it.
#[test]
fn a_receipt_goes_into_its_own_storage_only() {
    let mut stage = in_step();
    stage.sign_out().unwrap();
    let receipts = format!("{STORAGE}/.mooring/receipts");
    let name = "receipt-0laptop";
    let text = stage.twin.read(format!("{receipts}/{name}.toml")).unwrap();
    let text = String::from_utf8(text).unwrap();
    let store = |twin: &TwinFiles| storage::store_receipt(twin, Path::new(STORAGE), name, &text);
    store(&stage.twin).unwrap();

    stage.twin.unmount(STORAGE).unwrap();
    let other = stage.twin.add_disk();
    stage.twin.mount(other, STORAGE).unwrap();
    stage.twin.mkdir(format!("{STORAGE}/.mooring")).unwrap();
    store(&stage.twin).unwrap_err();
    let marker = "version = 1\ncollection = \"photos\"\nstorage-id = \"storage-2\"\n";
    write(
        &stage.twin,
        &format!("{STORAGE}/Photos/.mooring-collection"),
        marker,
    );
    store(&stage.twin).unwrap_err();
    assert!(!stage.twin.exists(&receipts));
}

/// Files that are kept here on another disk than they are on.
#[test]
fn a_file_is_kept_on_another_disk() {
    const KEPT: &str = "/home/alice/Kept from alice/Photos/trip/a.jpg";
    for at in 1.. {
        let mut stage = in_step();
        let disk = stage.twin.add_disk();
        stage
            .twin
            .mount(disk, "/home/alice/Kept from alice")
            .unwrap();
        write(&stage.twin, HERE, "newer");
        stage.twin.advance(LATER);
        let account = stage.account();
        let fuse = stage.twin.fuse().clone();
        fuse.set(Some(fuse.count() + at));
        let died = leave::keep_here(&account, &[HERE.as_bytes().to_vec()]).is_err();
        drop(account);
        stage.twin.restart(at);
        let there = stage.everything();
        assert!(there.contains(b"newer".as_slice()), "at effect {at}: lost");
        if !died {
            assert_eq!(stage.twin.read(KEPT).unwrap(), b"newer");
            assert!(!stage.twin.exists(HERE));
            return;
        }
    }
}

/// While a program writes to it, it stays where it is.
#[test]
fn a_file_in_use_is_not_moved_to_another_disk() {
    let stage = in_step();
    let disk = stage.twin.add_disk();
    stage
        .twin
        .mount(disk, "/home/alice/Kept from alice")
        .unwrap();
    stage.twin.open_writer(HERE).unwrap();
    leave::keep_here(&stage.account(), &[HERE.as_bytes().to_vec()]).unwrap_err();
    assert_eq!(stage.twin.read(HERE).unwrap(), b"first");
}
