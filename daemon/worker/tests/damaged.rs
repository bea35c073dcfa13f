//! What Mooring itself wrote, damaged, huge, or replaced by something else: said, never followed,
//! and never a reason to delete anything or to keep a person from their data.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::path::Path;

use mooring_core::collection::Collection;
use mooring_worker::error::Error;
use mooring_worker::files::twin::TwinFiles;
use mooring_worker::state::{Epoch, State};
use mooring_worker::{signin, storage};
use stage::real::Real;
use stage::{CONTACTS, PHOTOS, STORAGE, Stage};

const COPIES: &str = "/mnt/nas/Photos";
/// Longer than any step of a filesystem's time, so that stamps can be relied on.
const LATER: i64 = 10_000_000_000;
/// Longer than any small file of Mooring's may be.
const HUGE: usize = 100 * 1024;

fn write(twin: &TwinFiles, path: &str, content: &[u8]) {
    twin.write_durable(path, content).unwrap();
}

fn in_step() -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    write(&stage.twin, &format!("{PHOTOS}/a.jpg"), b"a");
    write(&stage.twin, &format!("{CONTACTS}/bob.vcf"), b"bob");
    stage.twin.advance(LATER);
    signin::sync_now(&stage.account(), true).unwrap();
    stage.twin.advance(LATER);
    stage
}

/// What may have become of a small file.
type Damage = (&'static str, fn(&TwinFiles, &str));

const DAMAGE: [Damage; 8] = [
    ("empty", |twin, path| write(twin, path, b"")),
    ("cut", |twin, path| {
        let whole = twin.read(path).unwrap();
        write(twin, path, &whole[..whole.len() / 2]);
    }),
    ("no text", |twin, path| write(twin, path, &[0xff; 64])),
    ("huge", |twin, path| write(twin, path, &vec![b'\n'; HUGE])),
    ("missing", |twin, path| twin.remove(path).unwrap()),
    ("a link", |twin, path| {
        twin.rename(path, "/mnt/moved")
            .or_else(|_| twin.remove(path))
            .unwrap();
        twin.symlink("/etc/passwd", path).unwrap();
    }),
    ("a FIFO", |twin, path| {
        twin.remove(path).unwrap();
        twin.fifo(path).unwrap();
    }),
    ("a folder", |twin, path| {
        twin.remove(path).unwrap();
        twin.mkdir(path).unwrap();
    }),
];

#[test]
fn a_damaged_marker_stops_everything() {
    for root in [PHOTOS, COPIES] {
        for (what, damage) in DAMAGE {
            let mut stage = in_step();
            let marker = format!("{root}/.mooring-collection");
            let whole = stage.twin.read(&marker).unwrap();
            damage(&stage.twin, &marker);
            let when = format!("the marker in {root} is {what}");
            let before = (stage.contents(PHOTOS), stage.contents(COPIES));
            let error = signin::sync_now(&stage.account(), true).unwrap_err();
            assert!(
                matches!(error, Error::StorageGone(_) | Error::HomeGone(_)),
                "{when}: {error}"
            );
            stage.sign_out().unwrap_err();
            assert_eq!(
                (stage.contents(PHOTOS), stage.contents(COPIES)),
                before,
                "{when}"
            );
            // Put back by hand, all goes on.
            let _ = stage.twin.remove(&marker);
            write(&stage.twin, &marker, &whole);
            stage.sign_out().unwrap_or_else(|e| panic!("{when}: {e}"));
        }
    }
}

#[test]
fn a_damaged_receipt_or_base_keeps_nobody_out() {
    for name in ["receipt-0laptop.toml", "receipt-0laptop.base"] {
        for (what, damage) in DAMAGE {
            for keep in [vec![], vec![Collection::Contacts]] {
                let mut stage = in_step();
                stage.journal.keep = keep.clone();
                stage.sign_out().unwrap();
                damage(&stage.twin, &format!("{STORAGE}/.mooring/receipts/{name}"));
                let when = format!("{name} is {what}, kept {keep:?}");
                let returned = stage
                    .sign_in(true)
                    .unwrap_or_else(|e| panic!("{when}: {e}"));
                assert_eq!(returned.checked, returned.expected, "{when}");
                assert_eq!(stage.contents(PHOTOS).len(), 1, "{when}");
                assert_eq!(stage.contents(CONTACTS).len(), 1, "{when}");
                stage.sign_out().unwrap_or_else(|e| panic!("{when}: {e}"));
            }
        }
    }
}

/// A base is a list from a storage that others can write: hostile paths in it lead nowhere.
#[test]
fn a_hostile_base_leads_nowhere() {
    let mut stage = in_step();
    stage.journal.keep = vec![Collection::Contacts];
    stage.sign_out().unwrap();
    write(&stage.twin, "/home/alice/secret.txt", b"secret");
    let hash = blake3::hash(b"secret").to_hex();
    let mut base = String::from("mooring base 1\n");
    for path in [
        "../../../secret.txt",
        "/etc/passwd",
        "",
        "a//b",
        ".",
        "..",
        "\\x00",
        "a\\x2f..\\x2fb",
    ] {
        base.push_str(&format!("{hash} {hash} 6 0 600 kept contacts/{path}\n"));
    }
    let receipts = format!("{STORAGE}/.mooring/receipts");
    let receipt = stage
        .twin
        .read(format!("{receipts}/receipt-0laptop.toml"))
        .unwrap();
    let receipt = String::from_utf8(receipt).unwrap();
    let old = stage.journal.verified.base_blake3.clone();
    let receipt = receipt.replace(&old, blake3::hash(base.as_bytes()).to_hex().as_str());
    write(
        &stage.twin,
        &format!("{receipts}/receipt-0laptop.toml"),
        receipt.as_bytes(),
    );
    write(
        &stage.twin,
        &format!("{receipts}/receipt-0laptop.base"),
        base.as_bytes(),
    );

    let returned = stage.sign_in(true).unwrap();
    // One such line, and nothing of it is believed.
    assert_eq!(returned.expected, 0);
    signin::sync_now(&stage.account(), true).unwrap();
    stage.sign_out().unwrap();
    assert_eq!(
        stage.twin.read("/home/alice/secret.txt").unwrap(),
        b"secret"
    );
    assert_eq!(stage.contents(&format!("{STORAGE}/Contacts")).len(), 1);
}

#[test]
fn a_damaged_identity_is_said() {
    for (what, damage) in DAMAGE {
        let stage = in_step();
        let path = format!("{STORAGE}/.mooring/identity.toml");
        damage(&stage.twin, &path);
        let found = storage::inspect(&stage.twin, Path::new(STORAGE), &[]);
        match (what, found) {
            // To be judged by who knows the format.
            ("empty" | "cut" | "missing", Ok(_)) => {}
            (_, Err(e)) => assert!(e.to_string().contains("identity"), "{what}: {e}"),
            (_, Ok(found)) => panic!("{what}: {found:?}"),
        }
    }
}

/// Something else lies where the staging folder should be.
#[test]
fn a_staging_folder_that_is_none() {
    let damage: [Damage; 3] = [
        ("a link", |twin, path| {
            twin.symlink("/home/alice/elsewhere", path).unwrap()
        }),
        ("a file", |twin, path| write(twin, path, b"a file")),
        ("a FIFO", |twin, path| twin.fifo(path).unwrap()),
    ];
    for (what, damage) in damage {
        for path in [
            format!("{PHOTOS}/.mooring-staging"),
            format!("{STORAGE}/.mooring/uploads"),
        ] {
            let mut stage = in_step();
            write(&stage.twin, "/home/alice/elsewhere/out-x", b"somebody's");
            stage.twin.remove(&path).unwrap();
            damage(&stage.twin, &path);
            let before = stage.contents(PHOTOS);
            signin::sync_now(&stage.account(), true).unwrap_err();
            stage.sign_out().unwrap_err();
            assert_eq!(stage.contents(PHOTOS), before, "{what} at {path}");
            let there = stage.twin.read("/home/alice/elsewhere/out-x").unwrap();
            assert_eq!(there, b"somebody's", "{what} at {path}");
        }
    }
}

/// Files in the staging folder that nobody knows any more get a name again, and are not removed.
#[test]
fn strangers_in_the_staging_folder() {
    let mut stage = in_step();
    for name in [
        "out-0123",
        "old-a0laptop-0123-4567",
        "swap-a0laptop-0123-4567",
    ] {
        write(
            &stage.twin,
            &format!("{PHOTOS}/.mooring-staging/{name}"),
            name.as_bytes(),
        );
    }
    signin::sync_now(&stage.account(), true).unwrap();
    let photos = stage.contents(PHOTOS);
    assert_eq!(photos.len(), 4, "{photos:?}");
    stage.sign_out().unwrap();
    assert_eq!(stage.contents(COPIES), photos);
}

/// What may become of a database.
type Deed = (&'static str, fn(&Path));

#[test]
fn a_damaged_or_later_state_is_said_and_nothing_else_happens() {
    let damages: [Deed; 4] = [
        ("no database", |db| {
            std::fs::write(db, vec![0x5a; 8192]).unwrap()
        }),
        ("cut", |db| {
            let whole = std::fs::read(db).unwrap();
            std::fs::write(db, &whole[..whole.len() / 2 - 100]).unwrap();
        }),
        ("of a later version", |db| {
            let connection = rusqlite::Connection::open(db).unwrap();
            connection.pragma_update(None, "user_version", 99).unwrap();
        }),
        ("with another latch", |db| {
            let connection = rusqlite::Connection::open(db).unwrap();
            connection
                .execute("UPDATE meta SET value = 'other' WHERE key = 'epoch'", [])
                .unwrap();
        }),
    ];
    for (what, damage) in damages {
        let real = Real::new();
        real.sign_in(false).unwrap();
        std::fs::write(real.photos().join("a.jpg"), "a").unwrap();
        real.sync().unwrap();
        let home = real.path("state-0");
        damage(&home.join("state.db"));
        for left in ["state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(home.join(left));
        }
        let opened = State::open(&home).and_then(|state| {
            state.epoch()?;
            state.item_folders(Collection::Photos)
        });
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::State { .. }), "{what}: {error}");
        assert!(error.to_string().contains("state"), "{what}: {error}");
        assert_eq!(
            std::fs::read(real.photos().join("a.jpg")).unwrap(),
            b"a",
            "{what}"
        );
    }
}

/// The state is lost between two lives, even in the middle of a removal: everything is found
/// again, nothing is deleted on either side.
#[test]
fn a_state_that_is_lost() {
    let real = Real::new();
    real.sign_in(false).unwrap();
    for name in ["a.jpg", "b.jpg"] {
        std::fs::write(real.photos().join(name), name).unwrap();
    }
    real.sync().unwrap();
    let account = real.account();
    account.state.set_epoch(Epoch::Removing).unwrap();
    drop(account);
    std::fs::remove_file(real.photos().join("a.jpg")).unwrap();
    std::fs::remove_dir_all(real.path("state-0")).unwrap();
    assert_eq!(real.account().state.epoch().unwrap(), Epoch::New);
    real.sign_in(true).unwrap();
    real.sync().unwrap();
    for root in [real.photos(), &real.copies()] {
        assert_eq!(stage::real::contents(root).len(), 2, "{}", root.display());
    }
}
