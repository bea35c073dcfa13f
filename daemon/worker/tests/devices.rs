//! Devices that share a storage see each other, and a request to sign out counts exactly once,
//! whenever the power goes and whatever lies where documents should lie.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeSet;
use std::path::Path;

use mooring_wire::Device;
use mooring_worker::devices::{self, Answer};
use mooring_worker::error::{Error, Result};
use mooring_worker::signin;
use stage::{PHOTOS, STORAGE, Stage};

const DEVICES: &str = "/mnt/nas/.mooring/devices";
const REQUESTS: &str = "/mnt/nas/.mooring/requests";
const LAPTOP: &str = "s0laptop";
const DESKTOP: &str = "s0desktop";
/// How the power goes: all unsynced lost, only the process dead, and mixtures.
const SEEDS: [u64; 4] = [0, 1, 2, 77];
const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;

/// Two devices, signed in and told.
fn two() -> (Stage, Stage) {
    let mut laptop = Stage::new();
    laptop.create_identity().unwrap();
    let mut desktop = laptop.another_device();
    for stage in [&mut laptop, &mut desktop] {
        stage.sign_in(false).unwrap();
        devices::tell(&stage.account()).unwrap();
    }
    laptop.twin.settle();
    laptop.twin.fuse().reset();
    (laptop, desktop)
}

fn said(state: &str, request: &str) -> Answer {
    Answer {
        request: request.into(),
        state: state.into(),
        message: "because".into(),
    }
}

fn listed(stage: &Stage) -> Vec<Device> {
    devices::list(&stage.account()).unwrap()
}

fn seen(by: &Stage, id: &str) -> Device {
    let all = listed(by);
    let found = all.iter().find(|device| device.sign_in_id == id);
    found.unwrap_or_else(|| panic!("no {id}: {all:?}")).clone()
}

fn open(stage: &Stage) -> Vec<String> {
    let requests = devices::open(&stage.account()).unwrap();
    requests.into_iter().map(|request| request.id).collect()
}

fn request(target: &str, id: &str) -> String {
    format!(
        "version = 1\nrequest-id = \"{id}\"\ntarget = \"{target}\"\ndevice = \"desktop\"\n\
         sign-in-id = \"{DESKTOP}\"\nasked-at = 7\n"
    )
}

fn put(stage: &Stage, folder: &str, name: &str, text: &str) {
    let path = Path::new(folder).join(name);
    stage.twin.write_durable(path, text).unwrap();
}

fn names(stage: &Stage, folder: &str) -> BTreeSet<String> {
    let names = stage.contents(folder).into_keys();
    names.map(|path| path.display().to_string()).collect()
}

#[test]
fn devices_see_each_other_and_what_waits() {
    let (laptop, desktop) = two();
    let all = listed(&desktop);
    let names: Vec<_> = all.iter().map(|d| (d.name.as_str(), d.this)).collect();
    assert_eq!(names, [("desktop", true), ("laptop", false)]);
    let before = seen(&desktop, LAPTOP);
    assert_eq!((before.state.as_str(), before.pending), ("active", 0));
    assert_eq!(before.collections, ["photos", "contacts"]);

    // A file that cannot be uploaded waits: the account's state knows since the last sync.
    laptop
        .twin
        .write_durable(format!("{PHOTOS}/a.jpg"), "a")
        .unwrap();
    laptop
        .twin
        .symlink("/etc", format!("{STORAGE}/Photos/a.jpg"))
        .unwrap();
    signin::sync_now(&laptop.account(), false).unwrap();
    devices::tell(&laptop.account()).unwrap();
    assert!(seen(&desktop, LAPTOP).pending > 0);
}

#[test]
fn presence_is_written_when_something_changes_or_daily() {
    let (laptop, _desktop) = two();
    let file = Path::new(DEVICES).join(format!("{LAPTOP}.toml"));
    let text = String::from_utf8(laptop.twin.read(&file).unwrap()).unwrap();
    let inode = || laptop.twin.stat_path(&file).unwrap().ino;
    let first = inode();
    devices::tell(&laptop.account()).unwrap();
    assert_eq!(inode(), first, "written although nothing changed");
    let line = text.lines().find(|l| l.starts_with("last-seen")).unwrap();
    let now: i64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    for other in [now - DAY / 1_000_000_000, now + DAY / 1_000_000_000] {
        let old = text.replace(line, &format!("last-seen = {}", other.max(0)));
        laptop.twin.write_durable(&file, &old).unwrap();
        devices::tell(&laptop.account()).unwrap();
        let told = String::from_utf8(laptop.twin.read(&file).unwrap()).unwrap();
        assert_ne!(told, old, "not written although a day passed");
    }
}

/// The laptop, as its broker drives it: what it decided is durable elsewhere.
fn heed(laptop: &Stage, begun: &mut BTreeSet<String>) -> Result<()> {
    for request in devices::open(&laptop.account())? {
        begun.insert(request.id.clone());
        devices::answer(&laptop.account(), said("denied", &request.id))?;
    }
    Ok(())
}

#[test]
fn a_request_counts_once_whenever_the_power_goes() {
    let story = |laptop: &Stage, desktop: &Stage, begun: &mut BTreeSet<String>| {
        if begun.is_empty() {
            devices::ask(&desktop.account(), LAPTOP, "r1")?;
        }
        heed(laptop, begun)
    };
    let (laptop, desktop) = two();
    story(&laptop, &desktop, &mut BTreeSet::new()).unwrap();
    let effects = laptop.twin.fuse().count();
    assert!(effects > 10, "only {effects} effects");
    for seed in SEEDS {
        for at in 1..=effects {
            let (mut laptop, mut desktop) = two();
            let mut begun = BTreeSet::new();
            laptop.twin.fuse().set(Some(at));
            story(&laptop, &desktop, &mut begun).expect_err("it was to die");
            let name = laptop.twin.fuse().names().last().cloned().unwrap();
            let when = format!("effect {at} ({name}), seed {seed}");
            laptop.twin.restart(seed);
            desktop.twin = laptop.twin.clone();
            let there = seen(&desktop, LAPTOP);
            assert!(
                ["active", "asked", "denied"].contains(&there.state.as_str()),
                "{when}"
            );
            story(&laptop, &desktop, &mut begun).unwrap_or_else(|e| panic!("{when}: {e}"));
            // What was answered before the power went is told at the next sync.
            devices::tell(&laptop.account()).unwrap();
            assert_eq!(begun, BTreeSet::from(["r1".to_owned()]), "{when}");
            assert_eq!(open(&laptop), [""; 0], "{when}");
            assert_eq!(seen(&desktop, LAPTOP).state, "denied", "{when}");
            let left = names(&laptop, REQUESTS);
            assert!(!left.contains("r1.toml"), "{when}: {left:?}");
            // Brought back, it is ignored and deleted.
            put(&laptop, REQUESTS, "r1.toml", &request(LAPTOP, "r1"));
            assert_eq!(open(&laptop), [""; 0], "{when}");
            assert!(!names(&laptop, REQUESTS).contains("r1.toml"), "{when}");
        }
    }
}

#[test]
fn only_requests_to_this_sign_in_count() {
    let (laptop, desktop) = two();
    put(&laptop, REQUESTS, "old.toml", &request("s9laptop", "old"));
    put(&laptop, REQUESTS, "other.toml", &request(DESKTOP, "other"));
    put(&laptop, REQUESTS, "alias.toml", &request(LAPTOP, "r1"));
    put(&laptop, REQUESTS, "r2.toml", &request(LAPTOP, "r2"));
    assert_eq!(open(&laptop), ["r2"]);
    // Whose target is gone goes; another device's stays, and so does what cannot be understood.
    let left = names(&laptop, REQUESTS);
    assert_eq!(
        left,
        ["alias.toml", "other.toml", "r2.toml"]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(open(&desktop), ["other"]);
}

#[test]
fn asking_needs_a_device_that_is_there_and_is_done_once() {
    let (laptop, desktop) = two();
    for target in [DESKTOP, "nobody", "../identity", ""] {
        let refused = devices::ask(&desktop.account(), target, "r1").unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{target}: {refused}");
    }
    assert_eq!(
        devices::ask(&desktop.account(), LAPTOP, "r1").unwrap(),
        "r1"
    );
    assert_eq!(
        devices::ask(&desktop.account(), LAPTOP, "r2").unwrap(),
        "r1"
    );
    assert_eq!(seen(&desktop, LAPTOP).state, "asked");
    assert_eq!(open(&laptop), ["r1"]);
    devices::answer(&laptop.account(), said("blocked", "r1")).unwrap();
    let told = seen(&desktop, LAPTOP);
    assert_eq!(
        (told.state.as_str(), told.message.as_str()),
        ("blocked", "because")
    );
    // The same request goes on, and is told again.
    devices::answer(&laptop.account(), said("signing-out", "r1")).unwrap();
    assert_eq!(seen(&desktop, LAPTOP).state, "signing-out");
    // Answered, another one can be asked.
    assert_eq!(
        devices::ask(&desktop.account(), LAPTOP, "r2").unwrap(),
        "r2"
    );
    assert_eq!(open(&laptop), ["r2"]);
    assert!(devices::answer(&laptop.account(), said("wiped", "r2")).is_err());
}

#[test]
fn what_is_told_to_wait_stays_open_and_says_so() {
    let (laptop, desktop) = two();
    devices::ask(&desktop.account(), LAPTOP, "r1").unwrap();
    for _ in 0..2 {
        devices::answer(&laptop.account(), said("waiting", "r1")).unwrap();
        assert_eq!(open(&laptop), ["r1"]);
        let told = seen(&desktop, LAPTOP);
        assert_eq!(
            (told.state.as_str(), told.message.as_str()),
            ("waiting", "because")
        );
    }
    // Asked again, it is the same request.
    assert_eq!(
        devices::ask(&desktop.account(), LAPTOP, "r2").unwrap(),
        "r1"
    );
    devices::answer(&laptop.account(), said("signing-out", "r1")).unwrap();
    assert_eq!(open(&laptop), [""; 0]);
    assert_eq!(seen(&desktop, LAPTOP).state, "signing-out");
}

#[test]
fn an_answer_without_the_storage_is_kept_and_told_later() {
    let (laptop, desktop) = two();
    devices::ask(&desktop.account(), LAPTOP, "r1").unwrap();
    laptop.twin.unmount(STORAGE).unwrap();
    let gone = devices::answer(&laptop.account(), said("cancelled", "r1")).unwrap_err();
    assert!(matches!(gone, Error::StorageGone(_)), "{gone}");
    laptop.twin.mount(laptop.nas, STORAGE).unwrap();
    assert_eq!(open(&laptop), [""; 0]);
    devices::tell(&laptop.account()).unwrap();
    assert_eq!(seen(&desktop, LAPTOP).state, "cancelled");
    assert!(names(&laptop, REQUESTS).is_empty());
}

#[test]
fn who_leaves_is_seen_by_its_receipt_only() {
    let (mut laptop, desktop) = two();
    put(&laptop, REQUESTS, "r1.toml", &request(LAPTOP, "r1"));
    put(&laptop, REQUESTS, "r2.toml", &request(DESKTOP, "r2"));
    laptop.sign_out().unwrap();
    for _ in 0..2 {
        devices::withdraw(&laptop.twin, Path::new(STORAGE), LAPTOP).unwrap();
    }
    let all = listed(&desktop);
    let shown: Vec<_> = all
        .iter()
        .map(|d| (d.name.as_str(), d.state.as_str()))
        .collect();
    assert_eq!(shown, [("desktop", "asked"), ("laptop", "left")]);
    assert_eq!(all[1].receipt, "receipt-0laptop");
    assert_eq!(
        names(&desktop, REQUESTS),
        BTreeSet::from(["r2.toml".to_owned()])
    );
    assert!(devices::ask(&desktop.account(), LAPTOP, "r3").is_err());
}

#[test]
fn hostile_documents_do_no_harm_and_are_named() {
    let (laptop, _desktop) = two();
    let twin = &laptop.twin;
    twin.symlink("/etc/passwd", format!("{DEVICES}/link.toml"))
        .unwrap();
    twin.fifo(format!("{DEVICES}/pipe.toml")).unwrap();
    twin.mkdir(format!("{DEVICES}/folder.toml")).unwrap();
    put(&laptop, DEVICES, "huge.toml", &"x".repeat(1 << 20));
    put(&laptop, DEVICES, "garbage.toml", "\u{1b}[2J = [");
    put(&laptop, DEVICES, "not ours", "whatever");
    twin.symlink("/etc/passwd", format!("{REQUESTS}/link.toml"))
        .unwrap();
    twin.fifo(format!("{REQUESTS}/pipe.toml")).unwrap();
    put(&laptop, REQUESTS, "huge.toml", &"x".repeat(1 << 20));
    put(&laptop, REQUESTS, "garbage.toml", "version = 1");
    put(&laptop, REQUESTS, "zz.toml", &request(LAPTOP, "zz"));
    assert_eq!(open(&laptop), ["zz"]);
    let unread: BTreeSet<String> = listed(&laptop)
        .into_iter()
        .filter(|device| device.state == "unreadable")
        .map(|device| device.name)
        .collect();
    let expected = ["folder", "garbage", "huge", "link", "pipe"];
    assert_eq!(unread, expected.map(str::to_owned).into());
    for kept in ["link.toml", "pipe.toml", "folder.toml", "huge.toml"] {
        assert!(
            twin.exists(format!("{DEVICES}/{kept}")),
            "{kept} was touched"
        );
    }
    // In this device's own place: it is told in the log, and keeps nobody from leaving.
    twin.remove(format!("{DEVICES}/{LAPTOP}.toml")).unwrap();
    twin.mkdir(format!("{DEVICES}/{LAPTOP}.toml")).unwrap();
    devices::tell(&laptop.account()).unwrap_err();
    devices::withdraw(twin, Path::new(STORAGE), LAPTOP).unwrap();
}

#[test]
fn many_documents_are_read_up_to_a_bound() {
    let (laptop, _desktop) = two();
    for n in 0..2000 {
        put(&laptop, DEVICES, &format!("d{n}.toml"), "no document");
        put(
            &laptop,
            REQUESTS,
            &format!("r{n}.toml"),
            &request("gone", &format!("r{n}")),
        );
    }
    assert!(listed(&laptop).len() < 300);
    assert_eq!(open(&laptop), [""; 0]);
    // Each look takes some of those away that nobody waits for.
    assert_eq!(names(&laptop, REQUESTS).len(), 2000 - 256);
}

#[test]
fn what_a_dead_writer_left_goes_after_a_day() {
    let (laptop, _desktop) = two();
    let new = format!("{REQUESTS}/.mooring-new-r1.toml");
    laptop.twin.write_durable(&new, "half").unwrap();
    open(&laptop);
    assert!(laptop.twin.exists(&new), "somebody may be writing it");
    let then = laptop.twin.stat_path(&new).unwrap().mtime - 2 * DAY;
    laptop.twin.set_mtime(&new, then).unwrap();
    open(&laptop);
    assert!(!laptop.twin.exists(&new));
}
