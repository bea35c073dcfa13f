//! Bits that turn over in what the daemon itself keeps: its pages, its rows, its log, and the log of a
//! worker's state. The daemon starts as if nothing were, or says what is wrong and does nothing.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use mooring_api::BUS_NAME;
use mooring_tests::{Daemon, Manifest, PATIENCE, Process, World};

use crate::disk::world;
use crate::rot::{doctor, find, flip, gather, nothing_lost, regions};
use crate::stage::{
    ALICE, PASSWORD, belongings, copies, everything_comes_back, sign_out, signed_in, sync, write,
};

/// Starts the daemon, or answers what it said when it refused.
async fn start(world: &World) -> Result<Process, String> {
    world.bus().wait_for_name(BUS_NAME, false, PATIENCE).await;
    let said = world.folder().join("said");
    let mut command = world.command("mooringd");
    command
        .arg("--session")
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap());
    let mut process = Process::start("mooringd", &mut command);
    tokio::select! {
        () = world.bus().wait_for_name(BUS_NAME, true, PATIENCE) => return Ok(process),
        () = process.ended() => {}
    }
    let ended = process.wait(PATIENCE).await;
    assert!(!ended.success(), "a refused start is no success");
    Err(String::from_utf8_lossy(&fs::read(said).unwrap()).into_owned())
}

async fn stop(mut process: Process) {
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(process.wait(PATIENCE).await.success());
}

/// The database as it was, and nothing beside it.
fn put(database: &Path, bytes: &[u8]) {
    for beside in ["-wal", "-shm"] {
        let mut name = database.as_os_str().to_owned();
        name.push(beside);
        let _ = fs::remove_file(name);
    }
    fs::write(database, bytes).unwrap();
}

fn expect_named(said: &str, shown: &str) {
    for word in ["broker.db", "aside", "sign in"] {
        assert!(said.contains(word), "{shown}: no {word:?} in {said}");
    }
}

#[tokio::test]
async fn every_region_of_the_daemons_state_may_rot_and_nothing_is_lost() {
    let world = world();
    let (daemon, before) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    let database = world.state().join("broker.db");
    gather(&database);
    let good = fs::read(&database).unwrap();
    let every = std::env::var("MOORING_ROT_EVERY").map_or(5, |n| n.parse::<usize>().unwrap());
    let (mut named, mut harmless) = (0, 0);
    for at in regions(good.len()).into_iter().step_by(every.max(1)) {
        let shown = format!("byte {at} of {}", good.len());
        put(&database, &good);
        flip(&database, at);
        match start(&world).await {
            Err(said) => {
                expect_named(&said, &shown);
                named += 1;
            }
            Ok(process) => {
                let _ = sync(&world).await.expect_code(0);
                // What is sealed has a check of its own, and its account says so.
                let account = world.account(ALICE).await.unwrap();
                match account.state().await.unwrap().as_str() {
                    "active" => harmless += 1,
                    _ => {
                        let detail = account.state_detail().await.unwrap();
                        assert_eq!(detail, "secrets-locked", "{shown}");
                        named += 1;
                    }
                }
                stop(process).await;
            }
        }
        before.assert_same(&belongings(&world));
        before.assert_same(&copies(&world));
    }
    println!(
        "broker.db of {} bytes: {named} named, {harmless} harmless",
        good.len()
    );
    assert!(named > 0);
}

/// Where a text stands in a file, for the last time.
fn find_text(bytes: &[u8], text: &str) -> usize {
    let windows = bytes.windows(text.len());
    windows
        .enumerate()
        .rfind(|(_, w)| *w == text.as_bytes())
        .map(|(at, _)| at)
        .unwrap()
}

#[tokio::test]
async fn a_row_that_means_something_else_is_not_believed_and_its_account_comes_back() {
    let world = world();
    let (daemon, before) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    let database = world.state().join("broker.db");
    gather(&database);
    let good = fs::read(&database).unwrap();
    // Each is a text that reads well and says something else.
    for (text, at) in [
        ("\"identity\":\"alice\"", 12),
        ("\"signed_in_at\":1", 15),
        ("\"storage\":[", 11),
    ] {
        put(&database, &good);
        flip(&database, find_text(&good, text) + at);
        let said = start(&world).await.expect_err(text);
        expect_named(&said, text);
        assert!(said.contains("account"), "{said}");
        println!("{said}");
    }
    // As it says: aside, and in again.
    let aside = world.folder().join("aside");
    fs::create_dir(&aside).unwrap();
    fs::rename(&database, aside.join("broker.db")).unwrap();
    for name in ["Photos", "Videos", "Documents", "Contacts"] {
        let marker = world.account_folder(ALICE).join(name);
        fs::remove_file(marker.join(".mooring-collection")).unwrap();
    }
    let process = start(&world).await.unwrap();
    let storage = world.storage();
    let storage = storage.to_str().unwrap();
    let call = world.ctl(&[
        "sign-in",
        "local",
        "--identity",
        ALICE,
        "--storage",
        storage,
        "--adopt",
        "--yes",
    ]);
    let _ = call.password(PASSWORD).run().await.expect_code(0);
    before.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));
    let _ = sync(&world).await.expect_code(0);
    let _ = sign_out(&world, &[]).await.expect_code(0);
    before.assert_same(&copies(&world));
    everything_comes_back(&world, &before).await;
    stop(process).await;
}

/// Signed in, and with a few syncs since, so that the logs have something in them.
async fn signed_in_for_a_while(world: &World) -> (Daemon, Manifest) {
    let (daemon, mut before) = signed_in(world).await;
    for nr in 0..3 {
        let name = format!("Documents/later {nr}");
        let path = world.account_folder(ALICE).join(name);
        write(&path, b"later", 0o644, 70 + nr);
        let _ = sync(world).await.expect_code(0);
        before = belongings(world);
    }
    (daemon, before)
}

/// Flips a bit in the head, and in the head and the page of the first, a middle and the last frame.
fn places(log: &[u8]) -> Vec<(usize, bool)> {
    let page = u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
    let frame = 24 + page;
    let frames = (log.len() - 32) / frame;
    assert!(frames > 6, "{frames} frames");
    let in_frame = [5, 9, 17, 24 + 3, 24 + page / 2, frame - 5];
    let early = [0, frames / 3].map(|nr| 32 + nr * frame);
    let early = early
        .into_iter()
        .flat_map(|start| in_frame.map(|at| (start + at, true)));
    let last = 32 + (frames - 1) * frame;
    let head = [2, 10, 17, 26].map(|at| (at, true));
    let last = in_frame.map(|at| (last + at, false));
    head.into_iter().chain(early).chain(last).collect()
}

#[tokio::test]
async fn a_log_that_rots_takes_back_nothing_in_silence() {
    let world = world();
    let (daemon, before) = signed_in_for_a_while(&world).await;
    // As if the power had gone: the logs stay.
    daemon.kill();
    let database = world.state().join("broker.db");
    let log = world.state().join("broker.db-wal");
    let (good, good_log) = (fs::read(&database).unwrap(), fs::read(&log).unwrap());
    let (mut refused, mut warned) = (0, 0);
    for (at, is_sure) in places(&good_log) {
        put(&database, &good);
        fs::write(&log, &good_log).unwrap();
        flip(&log, at);
        let shown = format!("byte {at} of the log of {}", good_log.len());
        match start(&world).await {
            Err(said) => {
                expect_named(&said, &shown);
                assert!(said.contains("its log"), "{shown}: {said}");
                refused += 1;
            }
            Ok(process) => {
                assert!(!is_sure, "{shown} was taken for nothing");
                let said = fs::read_to_string(world.folder().join("said")).unwrap();
                warned += usize::from(said.contains("counts as never made"));
                // The job whose end is not there any more goes on by itself, and may be at it.
                let told = sync(&world).await;
                assert!(matches!(told.code, 0 | 5), "{shown}: {told:?}");
                stop(process).await;
            }
        }
        before.assert_same(&belongings(&world));
        before.assert_same(&copies(&world));
    }
    println!(
        "log of the daemon, {} bytes: {refused} refused, {warned} warned",
        good_log.len()
    );
    assert!(refused > 0 && warned > 0);
}

#[tokio::test]
async fn the_log_of_a_workers_state_that_rots_is_named_and_mended() {
    let world = world();
    let (daemon, before) = signed_in_for_a_while(&world).await;
    daemon.kill();
    let database = find(&world.state().join("accounts"), "state.db");
    let log = database.with_file_name("state.db-wal");
    let (good, good_log) = (fs::read(&database).unwrap(), fs::read(&log).unwrap());
    let mut named = 0;
    for (at, is_sure) in places(&good_log).into_iter().step_by(3) {
        let shown = format!("byte {at} of the log of {}", good_log.len());
        // The worker of the life before has let go once the name is free.
        let process = {
            world.bus().wait_for_name(BUS_NAME, false, PATIENCE).await;
            put(&database, &good);
            fs::write(&log, &good_log).unwrap();
            flip(&log, at);
            start(&world).await.unwrap()
        };
        let told = sync(&world).await;
        nothing_lost(&world, &before, &shown);
        if told.code != 0 {
            assert!(told.stderr.contains("--repair"), "{shown}: {}", told.stderr);
            named += 1;
            let _ = doctor(&world, &["--repair", "--yes"]).await.expect_code(0);
            let _ = sync(&world).await.expect_code(0);
        } else {
            assert!(!is_sure, "{shown} was taken for nothing");
        }
        before.assert_same(&belongings(&world));
        before.assert_same(&copies(&world));
        stop(process).await;
    }
    println!(
        "log of a worker's state, {} bytes: {named} named and mended",
        good_log.len()
    );
    assert!(named > 0);
}
