//! Bits that turn over in what Mooring keeps: its databases, receipts, bases, markers, records and
//! backups. It is found and named, nothing is lost over it, and what can be built anew is.

use std::fs;
use std::path::{Path, PathBuf};

use mooring_tests::{Manifest, World};

use crate::disk::world;
use crate::stage::{
    ALICE, PASSWORD, belongings, copies, everything_comes_back, sign_in, sign_out, signed_in, sync,
    write,
};

/// Turns one bit of a file over.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1 << (at % 8);
    let times = fs::FileTimes::new().set_modified(fs::metadata(path).unwrap().modified().unwrap());
    fs::write(path, bytes).unwrap();
    // Rot tells nobody.
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_times(times).unwrap();
}

/// The one file below a folder whose name ends so.
pub fn find(folder: &Path, ending: &str) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_str().unwrap().ends_with(ending) {
                return entry.path();
            }
        }
    }
    panic!("no {ending} in {}", folder.display());
}

pub async fn doctor(world: &World, more: &[&str]) -> mooring_tests::Output {
    world.ctl(&[&["doctor"], more].concat()).run().await
}

/// Brings a database's journal into it, so that all of it lies in one file.
pub fn gather(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(busy, 0);
}

/// Copies of all contents are on one of the two sides.
pub fn nothing_lost(world: &World, before: &Manifest, shown: &str) {
    let (here, there) = (belongings(world), copies(world));
    for (name, entry) in &before.0 {
        let found = here.0.values().chain(there.0.values());
        assert!(
            found.into_iter().any(|other| other.kind == entry.kind),
            "{shown}: lost: {}",
            name.escape_ascii()
        );
    }
}

/// Every region of the database's pages: the header, the head of each page, its pointers, its middle,
/// and its end.
pub fn regions(size: usize) -> Vec<usize> {
    let page = 4096;
    let header = [0, 16, 18, 28, 40, 47, 59, 60, 96];
    let in_page = [
        0,
        1,
        3,
        5,
        8,
        11,
        page / 2,
        page - 600,
        page - 100,
        page - 3,
    ];
    let pages = (0..size / page).flat_map(|nr| in_page.map(|at| nr * page + at));
    header
        .into_iter()
        .chain(pages.filter(|at| *at >= 100))
        .collect()
}

#[tokio::test]
async fn every_region_of_a_state_may_rot_and_nothing_is_lost() {
    let world = world();
    let (daemon, before) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    let database = find(&world.state().join("accounts"), "state.db");
    gather(&database);
    let good = fs::read(&database).unwrap();
    let every = std::env::var("MOORING_ROT_EVERY").map_or(6, |n| n.parse::<usize>().unwrap());
    let (mut named, mut harmless) = (0, 0);
    for at in regions(good.len()).into_iter().step_by(every.max(1)) {
        let shown = format!("byte {at} of {}", good.len());
        for beside in ["state.db-wal", "state.db-shm"] {
            let _ = fs::remove_file(database.with_file_name(beside));
        }
        fs::write(&database, &good).unwrap();
        flip(&database, at);
        let daemon = world.daemon().await;
        let told = sync(&world).await;
        nothing_lost(&world, &before, &shown);
        before.assert_same(&copies(&world));
        let looked = doctor(&world, &[]).await;
        if told.code == 0 && looked.code == 0 {
            harmless += 1;
        } else {
            named += 1;
            let text = format!("{}{}{}", told.stderr, looked.stdout, looked.stderr);
            assert!(text.contains("--repair"), "{shown}: {text}");
            let mended = doctor(&world, &["--repair", "--yes"]).await.expect_code(0);
            assert!(mended.stdout.contains("lies in"), "{shown}: {mended:?}");
            let _ = sync(&world).await.expect_code(0);
            let _ = doctor(&world, &[]).await.expect_code(0);
        }
        before.assert_same(&belongings(&world));
        before.assert_same(&copies(&world));
        assert!(daemon.terminate().await.success());
    }
    println!(
        "state.db of {} bytes: {named} named and mended, {harmless} harmless",
        good.len()
    );
    assert!(named > 0);
    let _daemon = world.daemon().await;
    let _ = sign_out(&world, &[]).await.expect_code(0);
    before.assert_same(&copies(&world));
    let left = world.manifest(world.state().join("accounts"));
    assert_eq!(
        left.files(),
        0,
        "{left:?}: names of files are erased with the account"
    );
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn a_broken_state_refuses_a_sign_out_and_is_built_anew_when_asked() {
    let world = world();
    let (daemon, mut before) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    let database = find(&world.state().join("accounts"), "state.db");
    gather(&database);
    for broken in [
        &b"no database at all, and long enough to look like one"[..],
        b"",
    ] {
        // What differs on both sides while nobody knows what was agreed is kept twice.
        let differs = world.account_folder(ALICE).join("Documents/twin 1");
        write(&differs, b"edited here, unseen", 0o644, 90);
        if broken.is_empty() {
            fs::remove_file(&database).unwrap();
        } else {
            fs::write(&database, broken).unwrap();
        }
        let daemon = world.daemon().await;
        let told = sync(&world).await.expect_code(1);
        assert!(told.stderr.contains("doctor --repair"), "{}", told.stderr);
        let account = world.account(ALICE).await.unwrap();
        assert_eq!(account.state_detail().await.unwrap(), "state-damaged");
        let told = sign_out(&world, &[]).await;
        assert_ne!(told.code, 0);
        nothing_lost(&world, &before, "a refused sign-out");
        // Nobody is there to ask.
        let _ = doctor(&world, &["--repair"]).await.expect_code(2);
        if !broken.is_empty() {
            assert_eq!(fs::read(&database).unwrap(), broken, "asked first");
        }
        let told = doctor(&world, &["--repair", "--yes"]).await.expect_code(0);
        println!("{}", told.stdout);
        nothing_lost(&world, &before, "repaired");
        assert_eq!(account.state().await.unwrap(), "active");
        before = belongings(&world);
        before.assert_same(&copies(&world));
        assert!(daemon.terminate().await.success());
        gather(&database);
    }
    let _daemon = world.daemon().await;
    let _ = sign_out(&world, &[]).await.expect_code(0);
    before.assert_same(&copies(&world));
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn a_rotten_backup_is_named() {
    let world = world();
    let (_daemon, _) = signed_in(&world).await;
    let to = world.folder().join("backups");
    fs::create_dir(&to).unwrap();
    let call = world.ctl(&["backup", ALICE, "--to", to.to_str().unwrap()]);
    let _ = call.run().await.expect_code(0);
    let backup = fs::read_dir(&to).unwrap().next().unwrap().unwrap().path();
    let out = world.folder().join("restored");
    fs::create_dir(&out).unwrap();
    for (name, at) in [("waves.avi", 1000), ("B3SUMS", 10)] {
        let rotten = find(&backup, name);
        flip(&rotten, at);
        let call = world.ctl(&[
            "restore",
            ALICE,
            "--from",
            backup.to_str().unwrap(),
            "--to",
            out.to_str().unwrap(),
        ]);
        let told = call.run().await;
        println!(
            "{name}: exit {}\n{}\n{}",
            told.code, told.stdout, told.stderr
        );
        assert_ne!(told.code, 0, "{name}");
        let restored = out.join("Videos/waves.avi");
        assert!(
            name != "waves.avi" || !restored.exists(),
            "rot is not brought back as good"
        );
        flip(&rotten, at);
    }
}

#[tokio::test]
async fn rot_in_what_lies_in_the_storage_is_named_and_removes_nothing() {
    let world = world();
    let (daemon, before) = signed_in(&world).await;
    let storage = world.storage();
    let marker = storage.join("Photos/.mooring-collection");
    let at = fs::metadata(&marker).unwrap().len() as usize - 5;
    flip(&marker, at);
    let told = sync(&world).await.expect_code(1);
    println!("marker: {}", told.stderr);
    assert!(told.stderr.contains("marker"), "{}", told.stderr);
    assert_ne!(sign_out(&world, &[]).await.code, 0);
    before.assert_same(&belongings(&world));
    flip(&marker, at);
    let _ = sync(&world).await.expect_code(0);

    let presence = find(&storage.join(".mooring/devices"), ".toml");
    flip(&presence, 5);
    let told = sync(&world).await.expect_code(0);
    println!("presence: {}", told.stdout);
    let told = world.ctl(&["devices"]).run().await;
    println!(
        "devices: exit {} {}\n{}",
        told.code, told.stdout, told.stderr
    );

    let identity = storage.join(".mooring/identity.toml");
    for at in [3, 40, 150] {
        flip(&identity, at);
        let told = sync(&world).await;
        println!("identity {at}: exit {} {}", told.code, told.stderr);
        before.assert_same(&belongings(&world));
        before.assert_same(&copies(&world));
        flip(&identity, at);
    }
    let _ = sync(&world).await.expect_code(0);

    let _ = sign_out(&world, &[]).await.expect_code(0);
    let receipt = find(&world.state().join("receipts"), ".toml");
    let base = find(&storage.join(".mooring/receipts"), ".base");
    for (rotten, at) in [(&receipt, 30), (&base, 100)] {
        flip(rotten, at);
        let looked = doctor(&world, &[]).await;
        println!(
            "{}: exit {} {}",
            rotten.display(),
            looked.code,
            looked.stdout
        );
        let told = sign_in(&world).password(PASSWORD).run().await;
        println!(
            "return: exit {}\n{}\n{}",
            told.code, told.stdout, told.stderr
        );
        let _ = told.expect_code(0);
        before.assert_same(&belongings(&world));
        flip(rotten, at);
        let _ = sign_out(&world, &[]).await.expect_code(0);
        before.assert_same(&copies(&world));
    }
    assert!(daemon.terminate().await.success());
}

#[tokio::test]
async fn a_broken_journal_of_the_daemon_stops_it_with_a_name() {
    let world = world();
    let (daemon, before) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    let database = world.state().join("broker.db");
    let good = fs::read(&database).unwrap();
    fs::write(
        &database,
        b"no database at all, and long enough to look like one",
    )
    .unwrap();
    let mut command = world.command("mooringd");
    let ended = command.arg("--session").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    println!("{said}");
    assert!(!ended.status.success());
    assert!(said.contains("broker.db"), "{said}");
    before.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));
    fs::write(&database, good).unwrap();
    let _daemon = world.daemon().await;
    let _ = sync(&world).await.expect_code(0);
}
