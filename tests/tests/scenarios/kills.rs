//! Processes that are killed, or told to stop, in the middle of whatever they do.

use std::time::Duration;

use mooring_tests::{Manifest, World};

use crate::aftermath::{Verb, is_back, is_gone, settle};
use crate::stage::{Client, PASSWORD, belongings, sign_in, signed_in};

/// Who is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Worker,
    Broker,
    Both,
}

/// Signs Alice out and kills as soon as the job shows a stage.
async fn kill_at_stage(world: &World, before: &Manifest, victim: Victim, stage: &str) {
    let mut daemon = world.daemon().await;
    let mut client = Client::new(world).await;
    let job = client.begin_sign_out(world).await;
    let stages = job.stages().await.unwrap();
    let reached = |seen: &str| {
        let at = |name: &str| stages.iter().position(|s| s == name);
        at(seen) >= at(stage)
    };
    client
        .until(stage, async || {
            reached(&job.stage().await.unwrap()).then_some(())
        })
        .await;
    match victim {
        Victim::Worker => {
            daemon.kill_worker();
        }
        Victim::Broker => {
            daemon.kill();
            daemon = world.daemon().await;
        }
        Victim::Both => {
            daemon.kill_worker();
            daemon.kill();
            daemon = world.daemon().await;
        }
    }
    settle(world).await;
    is_gone(world, before).await;
    let told = sign_in(world).password(PASSWORD).run().await.expect_code(0);
    is_back(world, before, Some(told)).await;
    assert!(daemon.terminate().await.success());
}

async fn kill_at_every_stage(victim: Victim) {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    for stage in ["planned", "authorised", "backed-up", "verified", "revoked"] {
        kill_at_stage(&world, &before, victim, stage).await;
    }
}

#[tokio::test]
async fn a_worker_may_be_killed_at_every_stage() {
    kill_at_every_stage(Victim::Worker).await;
}

#[tokio::test]
async fn a_broker_may_be_killed_at_every_stage() {
    kill_at_every_stage(Victim::Broker).await;
}

#[tokio::test]
async fn both_may_be_killed_at_every_stage() {
    kill_at_every_stage(Victim::Both).await;
}

#[tokio::test]
async fn a_stop_in_the_middle_is_quick_and_gone_on_from() {
    /// What the service manager is promised, with room for a busy machine.
    const STOP: Duration = Duration::from_secs(5);
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    drop(daemon);
    for verb in [Verb::Sync, Verb::SignOut] {
        let daemon = world.daemon().await;
        let mut client = Client::new(&world).await;
        let account = client.account(&world).await.unwrap();
        let call = verb.start(&world).await;
        client
            .until("a job", async || {
                (account.job().await.ok()?.as_str() != "/").then_some(())
            })
            .await;
        let stopped = tokio::time::timeout(STOP, daemon.terminate()).await;
        assert!(stopped.expect("it ends in time").success());
        let daemon = world.daemon().await;
        // It may have ended in the very moment of the stop: the next life tells how.
        let _ = call.output().await.expect_code(0);
        settle(&world).await;
        match verb {
            Verb::SignOut => is_gone(&world, &before).await,
            _ => before.assert_same(&belongings(&world)),
        }
        drop(daemon);
    }
}
