//! Backups, restores and checks on the real binaries; `b3sum` says whether a backup is whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use mooring_tests::World;

use crate::stage::*;

/// A folder for backups, apart from everything.
fn stick(world: &World) -> PathBuf {
    let stick = world.folder().join("stick");
    fs::create_dir(&stick).unwrap();
    stick
}

/// The one backup there is.
fn the_backup(stick: &Path) -> PathBuf {
    let all: Vec<_> = fs::read_dir(stick)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

#[tokio::test]
async fn b3sum_accepts_a_backup_and_a_restore_brings_it_back() {
    let world = World::new();
    let (_daemon, _) = signed_in(&world).await;
    let documents = world.account_folder(ALICE).join("Documents");
    for (day, name) in [&b"back\\slash"[..], b"\xff\xfe.txt", b"\r", b" x ", b"\\n"]
        .into_iter()
        .enumerate()
    {
        let path = documents.join(OsStr::from_bytes(name));
        write(&path, name, 0o640, day as u32 + 60);
    }
    let before = belongings(&world);
    let stick = stick(&world);
    let to = stick.to_str().unwrap();
    let told = world
        .ctl(&["backup", ALICE, "--to", to, "--json"])
        .run()
        .await;
    let told = told.expect_code(0).json();
    assert_eq!(told["outcome"]["copied"], before.files());
    let backup = the_backup(&stick);
    let sums = Command::new("b3sum")
        .args(["--check", "B3SUMS"])
        .current_dir(&backup)
        .output()
        .expect("b3sum is needed: tests/setup.sh test");
    let said = String::from_utf8_lossy(&sums.stdout).into_owned();
    assert!(
        sums.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&sums.stderr)
    );
    assert_eq!(said.lines().count(), before.files() + 2, "{said}");

    let from = backup.to_str().unwrap();
    fs::remove_dir_all(documents.join("deep")).unwrap();
    fs::remove_file(documents.join(OsStr::from_bytes(b"\xff\xfe.txt"))).unwrap();
    let restored = world.ctl(&["restore", ALICE, "--from", from]).run().await;
    let _ = restored.expect_code(0);
    before.assert_same(&belongings(&world));

    // Elsewhere there is only what was asked for.
    let elsewhere = world.folder().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let to = elsewhere.to_str().unwrap();
    let some = [
        "restore", ALICE, "--from", from, "--path", "Videos", "--to", to,
    ];
    let _ = world.ctl(&some).run().await.expect_code(0);
    let names = fs::read_dir(&elsewhere).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["Videos"]);
    // The lists of files are nobody else's, whatever the folder allows.
    let accounts = fs::read_dir(world.state().join("accounts")).unwrap();
    let modes: Vec<_> = accounts
        .map(|entry| entry.unwrap().path().join("state.db"))
        .map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o600]);

    let refused = world.storage();
    let refused = refused.to_str().unwrap();
    let _ = world
        .ctl(&["backup", "--to", refused])
        .run()
        .await
        .expect_code(2);
    let shown = world
        .ctl(&["show", "--json"])
        .run()
        .await
        .expect_code(0)
        .json();
    assert_eq!(shown["last-backup"]["files"], before.files());
    let plan = world.ctl(&["sign-out", ALICE, "--dry-run"]).run().await;
    assert!(
        plan.stdout.contains("Last backup: less than an hour ago"),
        "{}",
        plan.stdout
    );
    // What came after it is counted, and the receipt says what there is.
    let later = SystemTime::now() + Duration::from_secs(3_600);
    let new = File::create(documents.join("later.txt")).unwrap();
    new.set_modified(later).unwrap();
    drop(new);
    let plan = world.ctl(&["sign-out", ALICE, "--dry-run"]).run().await;
    let told = plan.stdout.replace('\n', " ");
    assert!(told.contains("came or changed since"), "{told}");
    let out = world.ctl(&["sign-out", ALICE, "--yes", "--json"]);
    let out = out.password(PASSWORD).run().await.expect_code(0).json();
    let id = out["outcome"]["receipt"].as_str().unwrap().to_owned();
    let receipt = world.ctl(&["receipts", "show", &id]).run().await;
    let receipt = receipt.expect_code(0).stdout;
    assert!(
        receipt.contains("[backup]") && receipt.contains(from),
        "{receipt}"
    );
}

#[tokio::test]
async fn verify_names_what_is_wrong_and_why_says_what_comes_next() {
    let world = World::new();
    let (_daemon, _) = signed_in(&world).await;
    let _ = world.ctl(&["verify"]).run().await.expect_code(0);
    let file = world.account_folder(ALICE).join("Videos/waves.avi");
    let shown = file.to_str().unwrap();
    let why = world
        .ctl(&["why", shown, "--json"])
        .run()
        .await
        .expect_code(0)
        .json();
    assert_eq!(why["state"], "in-step");
    assert_eq!(why["account"], ALICE);
    assert!(why["read-back-at"].as_u64().unwrap() > 0);
    let nothing = world.ctl(&["why", "/etc/hostname", "--json"]).run().await;
    assert_eq!(nothing.expect_code(0).json()["state"], "not-of-any-account");

    let copy = world.storage().join("Videos/waves.avi");
    fs::remove_file(&copy).unwrap();
    fs::write(&copy, b"other bytes").unwrap();
    let wrong = world.ctl(&["verify", ALICE]).run().await.expect_code(1);
    assert!(
        wrong.stdout.contains("Videos/waves.avi"),
        "{}",
        wrong.stdout
    );
}
