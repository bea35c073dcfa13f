//! Calls without end.

use std::time::{Duration, Instant};

use mooring_tests::{PATIENCE, World};
use zbus::Message;

use crate::client::{Raw, at, call};
use crate::measure::{Answers, MIB, memory};

/// Calls of one flood.
const CALLS: usize = 10_000;
/// What a flood may take of the daemon's memory: zbus makes a task of each call before anybody can
/// refuse it, some 4 KiB each while they wait.
const GROWTH: u64 = 96 * MIB;

/// Writes messages in turn as fast as they are taken, and reads nothing meanwhile.
fn pour(
    world: &World,
    messages: Vec<Message>,
    count: usize,
) -> tokio::task::JoinHandle<(Raw, Duration)> {
    let mut client = Raw::connect(world);
    tokio::task::spawn_blocking(move || {
        let since = Instant::now();
        for message in messages.iter().cycle().take(count) {
            client.send(message.data().bytes());
        }
        (client, since.elapsed())
    })
}

/// Memory may grow a little, and that is told.
#[track_caller]
fn expect_bounded(before: u64, after: u64) {
    let (kib, then) = (before / 1024, after / 1024);
    println!("memory: {kib} KiB before, {then} KiB after");
    assert!(after < before + GROWTH, "{before} -> {after}");
}

#[tokio::test]
async fn others_are_answered_during_a_flood_of_one_that_never_reads() {
    let world = World::new();
    let daemon = world.daemon().await;
    let mut quiet = Answers::default();
    let manager = world.manager().await;
    for _ in 0..50 {
        quiet.ask(&manager).await;
    }
    quiet.told("quiet");
    let before = memory(daemon.pid());
    let flood = pour(&world, vec![call("ListInhibitors", &())], CALLS);
    let mut poured = None;
    let answers = Answers::while_waiting(&world, async {
        poured = Some(flood.await.unwrap());
    })
    .await;
    let (client, taken) = poured.unwrap();
    answers.told(&format!("{CALLS} calls in {taken:?}"));
    let peak = memory(daemon.pid());
    let mut after = Answers::default();
    after.ask(&manager).await;
    expect_bounded(before, peak);
    drop(client);
    after.ask(&manager).await;
    after.told("after the flood");
}

#[tokio::test]
async fn what_is_not_there_is_answered_during_a_flood_too() {
    let world = World::new();
    let daemon = world.daemon().await;
    let before = memory(daemon.pid());
    let unknown = vec![
        at("/org/mooring1", "org.example.Nothing", "Nothing", &()),
        at("/nowhere", "org.mooring1.Manager", "Reload", &()),
        call("Reload", &(1, "x")),
        call("ReadReceipt", &"x".repeat(64 * 1024)),
    ];
    let flood = pour(&world, unknown, CALLS / 4);
    let mut client = None;
    let answers = Answers::while_waiting(&world, async {
        client = Some(flood.await.unwrap().0);
    })
    .await;
    answers.told("calls of what is not there");
    let after = memory(daemon.pid());
    expect_bounded(before, after);
}

#[tokio::test]
async fn a_thousand_clients_vanish_in_the_middle_of_their_calls() {
    let world = World::new();
    let daemon = world.daemon().await;
    let before = memory(daemon.pid());
    let inhibit = call("Inhibit", &("sign-out", "ghost", "gone already", "block"));
    let messages = [call("ShowPolicy", &()), call("Diagnose", &()), inhibit];
    let vanishing = async {
        for _ in 0..1000 {
            let mut client = Raw::connect(&world);
            for message in &messages {
                client.send(message.data().bytes());
            }
            tokio::task::yield_now().await;
        }
    };
    Answers::while_waiting(&world, vanishing)
        .await
        .told("1000 that vanish");
    // Their locks went with them; the last ones may be about to.
    let manager = world.manager().await;
    let gone = async {
        while !manager
            .list_inhibitors()
            .await
            .is_ok_and(|all| all.is_empty())
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    let after = memory(daemon.pid());
    expect_bounded(before, after);
}

#[tokio::test]
async fn signals_at_the_daemon_are_nothing() {
    let world = World::new();
    let daemon = world.daemon().await;
    let before = memory(daemon.pid());
    let signal = Message::signal("/org/mooring1", "org.mooring1.Job", "Finished")
        .destination(mooring_api::BUS_NAME)
        .build(&vec![7_u8; 10_000])
        .unwrap();
    let flood = pour(&world, vec![signal], CALLS);
    let answers = Answers::while_waiting(&world, async {
        drop(flood.await.unwrap());
    })
    .await;
    answers.told(&format!("{CALLS} signals"));
    let after = memory(daemon.pid());
    assert!(after < before + GROWTH, "{before} -> {after}");
}
