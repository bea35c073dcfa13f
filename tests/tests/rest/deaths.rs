//! Workers that die around the hand-over: nothing is missed.

use std::fs;

use crate::stage::*;

async fn through(point: &str) {
    let world = restless();
    let fault = world.fault(point);
    let daemon = world.daemon_with(&[fault.env()]).await;
    world.sign_in(ALICE, PASSWORD).await;
    write(&world, "Documents/first", "1");
    until(point, || {
        // What is taken up has to be handed over first.
        if daemon.worker_pid().is_none() {
            write(&world, "Documents/wakes it", "2");
        }
        fault.struck()
    })
    .await;
    write(&world, "Documents/while it dies", "3");
    in_step(&world).await;
    rested(&daemon).await;
    let after = arrives(&world, "Documents/after", "4");
    println!("{point}: {after:?}");
    let found = fs::read(there(&world, "Documents/while it dies")).unwrap();
    assert_eq!(found, b"3");
}

#[tokio::test]
async fn a_worker_may_die_before_it_hands_over() {
    through("worker/hand-over-before:1").await;
}

#[tokio::test]
async fn a_worker_may_die_when_it_has_handed_over() {
    through("worker/hand-over-after:1").await;
}

#[tokio::test]
async fn a_worker_may_die_when_it_takes_up() {
    through("worker/take-up:1").await;
}

#[tokio::test]
async fn a_broker_killed_at_rest_looks_at_everything() {
    let (world, daemon) = at_rest().await;
    daemon.kill();
    write(&world, "Documents/nobody heard", "5");
    let daemon = world.daemon().await;
    in_step(&world).await;
    rested(&daemon).await;
}
