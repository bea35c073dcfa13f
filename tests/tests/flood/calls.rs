//! Calls without end.

use std::time::{Duration, Instant};

use mooring_tests::{PATIENCE, World};
use zbus::Message;

use crate::client::{Raw, at, call};
use crate::measure::{Answers, MIB, memory, peak};

/// Calls of one flood.
const CALLS: usize = 10_000;
/// Calls a second of the flood that others have to be answered quickly in.
const RATE: usize = 10_000;
/// Seconds of that.
const SECONDS: usize = 5;
/// The daemon reads no more than it answers: what a flood may take of its memory.
const GROWTH: u64 = 16 * MIB;

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

/// Writes calls at [`RATE`], in a hundred parts a second, and reads the answers as they come.
fn pour_evenly(world: &World, message: Message) -> tokio::task::JoinHandle<Duration> {
    let mut client = Raw::connect(world);
    let reading = client.read_on();
    tokio::task::spawn_blocking(move || {
        let since = Instant::now();
        for part in 0..SECONDS * 100 {
            for _ in 0..RATE / 100 {
                client.send(message.data().bytes());
            }
            let due = since + Duration::from_millis(10) * (part as u32 + 1);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        drop(client);
        reading.join().expect("it reads to the end");
        since.elapsed()
    })
}

/// Memory may grow a little, and that is told.
#[track_caller]
fn expect_bounded(before: u64, after: u64) {
    let (kib, then) = (before / 1024, after / 1024);
    println!("memory: {kib} KiB before, {then} KiB at most");
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
    let most = peak(daemon.pid());
    let mut after = Answers::default();
    after.ask(&manager).await;
    expect_bounded(before, most);
    drop(client);
    after.ask(&manager).await;
    after.told("after the flood");
}

#[tokio::test]
async fn others_are_answered_during_ten_thousand_calls_a_second() {
    let world = World::new();
    let daemon = world.daemon().await;
    let manager = world.manager().await;
    let mut quiet = Answers::default();
    for _ in 0..500 {
        quiet.ask(&manager).await;
    }
    quiet.told("quiet");
    for message in [
        call("ListInhibitors", &()),
        at("/", "org.freedesktop.DBus.Peer", "Ping", &()),
        at(
            mooring_api::ROOT_PATH,
            "org.freedesktop.DBus.ObjectManager",
            "GetManagedObjects",
            &(),
        ),
    ] {
        let before = memory(daemon.pid());
        let what = message.header().member().unwrap().to_string();
        let mut taken = None;
        let flood = pour_evenly(&world, message);
        let answers = Answers::while_waiting(&world, async {
            taken = Some(flood.await.unwrap());
        })
        .await;
        let (calls, taken) = (RATE * SECONDS, taken.unwrap());
        // How long it took depends on who else uses this machine, and is told.
        answers.told(&format!("{calls} of {what} in {taken:?}"));
        expect_bounded(before, peak(daemon.pid()));
    }
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
    let after = peak(daemon.pid());
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
    let after = peak(daemon.pid());
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
    let after = peak(daemon.pid());
    assert!(after < before + GROWTH, "{before} -> {after}");
}
