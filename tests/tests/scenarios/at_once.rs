//! Two daemons that start in the same instant, and more changes than the kernel can tell of.

use std::fs;
use std::process::Stdio;

use mooring_api::BUS_NAME;
use mooring_tests::{PATIENCE, Process, World};
use nix::sys::signal::{Signal, kill};

use crate::stage::*;

/// Rounds of two starts.
const ROUNDS: usize = 20;

fn start(world: &World, nr: usize) -> (Process, std::path::PathBuf) {
    let said = world.folder().join(format!("said-{nr}"));
    let mut command = world.command("mooringd");
    command
        .arg("--session")
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap());
    (Process::start("mooringd", &mut command), said)
}

#[tokio::test]
async fn of_two_daemons_that_start_at_once_one_serves_and_the_other_says_why_not() {
    let world = World::new();
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    let count = fill(&world);
    let _ = sync(&world).await.expect_code(0);
    let before = belongings(&world);
    assert!(daemon.terminate().await.success());
    let mut named = 0;
    for round in 0..ROUNDS {
        world.bus().wait_for_name(BUS_NAME, false, PATIENCE).await;
        let (mut one, first) = start(&world, 1);
        let (mut other, second) = start(&world, 2);
        let lost_first = tokio::select! {
            () = one.ended() => true,
            () = other.ended() => false,
        };
        let (mut loser, mut winner, said) = match lost_first {
            true => (one, other, first),
            false => (other, one, second),
        };
        let ended = loser.wait(PATIENCE).await;
        let said = fs::read_to_string(said).unwrap();
        assert_eq!(ended.code(), Some(1), "round {round}: {said}");
        assert!(
            said.contains("another mooringd runs already"),
            "round {round}: {said}"
        );
        let pid = format!("process {}", winner.pid());
        named += usize::from(said.contains(&pid));
        world.bus().wait_for_name(BUS_NAME, true, PATIENCE).await;
        let listed = world.ctl(&["status", "--json"]).run().await.expect_code(0);
        assert!(
            listed.stdout.contains(ALICE),
            "round {round}: {}",
            listed.stdout
        );
        if round == 0 {
            let _ = sync(&world).await.expect_code(0);
        }
        winner.signal(Signal::SIGTERM);
        assert!(winner.wait(PATIENCE).await.success());
    }
    println!("{ROUNDS} rounds; the other was named by its number in {named}");
    before.assert_same(&belongings(&world));
    assert_eq!(copies(&world).files(), count);
}

/// What the kernel keeps for one who does not read, before it says only that there was more.
fn most_events() -> usize {
    let text = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    text.trim().parse().unwrap()
}

#[tokio::test]
async fn more_changes_than_the_kernel_tells_of_are_all_found() {
    let world = World::new();
    world.sync_by_itself();
    let daemon = world.daemon().await;
    let mut client = Client::new(&world).await;
    world.sign_in(ALICE, PASSWORD).await;
    fill(&world);
    let same = || {
        let same = belongings(&world) == copies(&world);
        std::future::ready(same.then_some(()))
    };
    client.until("every copy", same).await;

    // Nobody reads what the kernel tells: neither the worker, nor the daemon that holds it at rest.
    let still: Vec<_> = [Some(daemon.pid()), daemon.worker_pid()]
        .into_iter()
        .flatten()
        .collect();
    still
        .iter()
        .for_each(|pid| kill(*pid, Signal::SIGSTOP).unwrap());
    let home = world.account_folder(ALICE);
    let (one, other) = (home.join("Documents/to"), home.join("Documents/fro"));
    write(&one, b"to and fro", 0o600, 1);
    // Each rename is two events; what comes behind the last of them is told to nobody.
    let renames = most_events() + 2;
    for nr in 0..renames {
        let (from, to) = if nr % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        fs::rename(from, to).unwrap();
    }
    write(
        &home.join("Photos/2020/unheard of.jpg"),
        b"unheard of",
        0o644,
        2,
    );
    fs::remove_file(home.join("Photos/2019/IMG_0004.jpg")).unwrap();
    write(
        &home.join("Documents/new/folder/below.txt"),
        b"below",
        0o644,
        3,
    );
    write(
        &world.storage().join("Photos/2020/from there.jpg"),
        b"there",
        0o644,
        4,
    );
    still
        .iter()
        .for_each(|pid| kill(*pid, Signal::SIGCONT).unwrap());

    let lone = home.join("Photos/2020/from there.jpg");
    let all = || {
        let (here, there) = (belongings(&world), copies(&world));
        let gone = !world.storage().join("Photos/2019/IMG_0004.jpg").exists();
        std::future::ready((here == there && gone && lone.exists()).then_some(()))
    };
    client
        .until("all of it on both sides, by itself", all)
        .await;
    assert!(
        world
            .storage()
            .join("Documents/new/folder/below.txt")
            .exists()
    );
    // And what comes then is heard again.
    write(
        &home.join("Documents/new/folder/afterwards"),
        b"after",
        0o644,
        5,
    );
    client.until("what comes then", same).await;
    println!("{renames} renames while nobody read: in step without a restart");
    assert!(daemon.terminate().await.success());
}
