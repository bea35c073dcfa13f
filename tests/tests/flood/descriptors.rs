//! Descriptors without end.

use std::os::fd::AsRawFd;

use mooring_tests::{PATIENCE, World};
use nix::unistd::Pid;

use crate::client::{Raw, call};
use crate::measure::{Answers, descriptors, memory};

/// How many descriptors the daemon may have in the tests that take them away.
const FEW: usize = 96;

/// What one client can make the daemon hold: 32 calls under way, at most 4 descriptors each, and some
/// for the daemon's own use meanwhile.
const MOST_HELD: usize = 32 * 4 + 8;

/// Bounds the descriptors of a running process.
fn limit(pid: Pid, most: usize) {
    let limited = std::process::Command::new("prlimit")
        .args([
            "--pid",
            &pid.to_string(),
            &format!("--nofile={most}:{most}"),
        ])
        .status();
    let limited = limited.expect("prlimit is missing; run: apt-get install util-linux");
    assert!(limited.success());
}

/// Sign-ins with a password that never comes: each holds a descriptor until the daemon gives up.
fn silent_sign_in(kept: &std::io::PipeReader) -> (Vec<u8>, i32) {
    let options = mooring_api::SignInOptions {
        storage: Some(b"/nowhere".to_vec()),
        password: Some(
            kept.try_clone()
                .map(std::os::fd::OwnedFd::from)
                .unwrap()
                .into(),
        ),
        ..Default::default()
    };
    let message = call("SignIn", &("local", "mallory", options));
    (message.data().bytes().to_vec(), kept.as_raw_fd())
}

#[tokio::test]
async fn who_hoards_descriptors_takes_them_from_nobody_else() {
    let world = World::new();
    let daemon = world.daemon().await;
    let manager = world.manager().await;
    let (before, memory_before) = (descriptors(daemon.pid()), memory(daemon.pid()));
    let (silent, _kept) = std::io::pipe().unwrap();
    let (bytes, fd) = silent_sign_in(&silent);
    let mut client = Raw::connect(&world);
    for _ in 0..500 {
        client.send_with(&bytes, &[fd]);
    }
    let mut answers = Answers::default();
    answers.ask(&manager).await;
    let most = descriptors(daemon.pid());
    println!("descriptors: {before} before, {most} with 500 passwords that never come");
    answers.told("with 500 passwords that never come");
    assert!(most < before + MOST_HELD, "{before} -> {most}");
    drop(client);
    assert!(memory(daemon.pid()) < memory_before + 48 * crate::measure::MIB);
}

#[tokio::test]
async fn a_daemon_without_descriptors_says_so_and_the_next_goes_on() {
    let world = World::new();
    let mut daemon = world.daemon().await;
    let manager = world.manager().await;
    limit(daemon.pid(), FEW);
    let (silent, _kept) = std::io::pipe().unwrap();
    let (bytes, fd) = silent_sign_in(&silent);
    let mut clients: Vec<Raw> = (0..40).map(|_| Raw::connect(&world)).collect();
    for _ in 0..4 {
        for client in &mut clients {
            client.send_with(&bytes, &[fd]);
        }
    }
    let ended = tokio::select! {
        answer = tokio::time::timeout(PATIENCE, manager.list_inhibitors()) => {
            answer.expect("an answer in time").is_err()
        }
        () = daemon.ended() => true,
    };
    drop(clients);
    if ended {
        // What came with a message is lost, and with it the connection: it says so and ends, and
        // the service manager starts it again.
        daemon.ended().await;
        assert!(
            daemon.log().contains("file descriptors"),
            "{}",
            daemon.log()
        );
        drop(daemon);
        daemon = world.daemon().await;
    }
    let manager = world.manager().await;
    manager
        .inhibit("sign-out", "app", "why", "delay")
        .await
        .unwrap();
    drop(daemon);
}
