//! Processes that die at named points, in every verb of a life. Whatever dies, the job ends by
//! itself, nothing is lost, and the receipt is right.

use std::fs;
use std::path::PathBuf;

use mooring_tests::{Daemon, Fault, Output, PATIENCE, World};

use crate::aftermath::{Verb, is_back, is_gone, settle};
use crate::stage::{ALICE, belongings, copies, fill, signed_in, write};

/// The mark of a point of death; removed, so that the same point can strike again.
fn fresh(world: &World, point: &str) -> Fault {
    let fault = world.fault(point);
    let value = fault.env().1.to_str().unwrap().to_owned();
    let mark = PathBuf::from(value.split_once('@').unwrap().1);
    if fault.struck() {
        fs::remove_file(mark).unwrap();
    }
    fault
}

/// Does a verb with a daemon that is going to die at a point, and again as long as needed.
/// Answers the daemon that lives, and what the command told that saw the end.
async fn through_death(world: &World, verb: Verb, point: &str) -> (Daemon, Option<Output>) {
    let fault = fresh(world, point);
    let mut daemon = world.daemon_with(&[fault.env()]).await;
    let mut call = tokio::spawn(verb.start(world).await.output());
    let told = if point.starts_with("broker/") {
        // The command may give up before the end of the daemon is seen.
        let told = tokio::select! {
            () = daemon.ended() => None,
            told = &mut call => Some(told.unwrap()),
        };
        assert!(
            fault.struck(),
            "{verb:?}: {point} is never reached\n{told:?}"
        );
        // Its name is gone from the bus a moment before its lock is free.
        let _ = daemon.wait().await;
        daemon = world.daemon().await;
        match told {
            Some(told) => told,
            None => call.await.unwrap(),
        }
    } else {
        call.await.unwrap()
    };
    assert!(
        fault.struck(),
        "{verb:?}: {point} is never reached\n{told:?}"
    );
    if told.code == 0 {
        return (daemon, Some(told));
    }
    // The command lost its daemon before it knew of a job. Either the job goes on by itself, or it
    // never began.
    assert!(point.starts_with("broker/"), "{point}: {told:?}");
    settle(world).await;
    let wants_account = verb != Verb::SignOut;
    if verb != Verb::Sync && world.account(ALICE).await.is_some() == wants_account {
        return (daemon, None);
    }
    let told = verb.start(world).await.output().await.expect_code(0);
    (daemon, Some(told))
}

/// New, changed and re-timed files, so that a sync has something to do.
fn live(world: &World, round: u32) {
    let home = world.account_folder(ALICE);
    for n in 0..12 {
        let name = format!("Documents/round {round}/{n}");
        write(
            &home.join(name),
            format!("{round}-{n}").as_bytes(),
            0o644,
            n,
        );
    }
    let photo = home.join("Photos/2019/IMG_0000.jpg");
    write(
        &photo,
        format!("edited {round}").as_bytes(),
        0o644,
        100 + round,
    );
}

/// A life: each round syncs, signs out and signs in again, with a death in each of the three.
async fn rounds(points: &[[&str; 3]]) {
    let world = World::new();
    let (daemon, _) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    for (round, [sync, sign_out, sign_in]) in (0..).zip(points) {
        live(&world, round);
        let before = belongings(&world);
        let (daemon, _) = through_death(&world, Verb::Sync, sync).await;
        before.assert_same(&belongings(&world));
        before.assert_same(&copies(&world));
        assert!(daemon.terminate().await.success());

        println!("{round}: {sync}, {sign_out}, {sign_in}");
        let (daemon, _) = through_death(&world, Verb::SignOut, sign_out).await;
        is_gone(&world, &before).await;
        assert!(daemon.terminate().await.success());

        let (daemon, told) = through_death(&world, Verb::SignIn, sign_in).await;
        is_back(&world, &before, told).await;
        assert!(daemon.terminate().await.success());
    }
}

#[tokio::test]
async fn a_worker_may_die_over_any_file() {
    rounds(&[
        ["worker/create:1", "worker/rename:1", "worker/create:1"],
        ["worker/create:6", "worker/rename:30", "worker/create:30"],
        ["worker/create:13", "worker/rename:70", "worker/create:70"],
        [
            "worker/write-meta:1",
            "worker/unlink:1",
            "worker/write-meta:1",
        ],
        [
            "worker/write-meta:12",
            "worker/unlink:40",
            "worker/write-meta:60",
        ],
        ["worker/rename:1", "worker/unlink:90", "worker/rename:1"],
        ["worker/rename:9", "worker/remove-dir:1", "worker/rename:99"],
    ])
    .await;
}

#[tokio::test]
async fn a_worker_may_die_over_any_batch() {
    rounds(&[
        [
            "worker/sync-all:1",
            "worker/sync-all:1",
            "worker/commit-roots:2",
        ],
        [
            "worker/sync-all:2",
            "worker/sync-all:3",
            "worker/commit-meta:2",
        ],
        [
            "worker/commit-items:1",
            "worker/commit-gone:1",
            "worker/write-meta:9",
        ],
        [
            "worker/exchange:1",
            "worker/commit-gone:2",
            "worker/rename:45",
        ],
        [
            "worker/commit-meta:1",
            "worker/commit-meta:1",
            "worker/commit-meta:1",
        ],
        [
            "worker/make-dir:1",
            "worker/commit-meta:2",
            "worker/commit-meta:3",
        ],
        [
            "worker/sync-all:2",
            "worker/remove-dir:2",
            "worker/commit-roots:1",
        ],
        [
            "worker/commit-items:2",
            "worker/remove-dir:4",
            "worker/commit-roots:3",
        ],
    ])
    .await;
}

#[tokio::test]
async fn folders_made_before_a_death_in_a_sign_in_are_the_accounts_own() {
    let (sync, sign_out) = ("worker/commit-items:1", "worker/commit-gone:1");
    rounds(&[
        [sync, sign_out, "worker/sync-all:1"],
        [sync, sign_out, "worker/commit-items:4"],
        [sync, sign_out, "worker/make-dir:12"],
        [sync, sign_out, "worker/rename:1"],
    ])
    .await;
}

#[tokio::test]
async fn a_broker_may_die_before_and_after_every_word_in_its_journal() {
    let (before, after) = ("broker/journal-before", "broker/journal-after");
    let at = |point: &str, n: u32| format!("{point}:{n}");
    let mut points = Vec::new();
    for n in 1..=4 {
        points.push([at(before, n.min(2)), at(before, n), at(before, n.min(2))]);
        points.push([at(after, n.min(2)), at(after, n), at(after, n.min(2))]);
    }
    let points: Vec<[&str; 3]> = points
        .iter()
        .map(|[a, b, c]| [a.as_str(), b.as_str(), c.as_str()])
        .collect();
    rounds(&points).await;
}

#[tokio::test]
async fn a_first_sign_in_may_die_before_the_account_is_durable() {
    for point in [
        "broker/journal-before:1",
        "worker/create:1",
        "worker/make-dir:2",
    ] {
        let world = World::new();
        let (daemon, _) = through_death(&world, Verb::SignIn, point).await;
        fill(&world);
        let before = belongings(&world);
        let _ = crate::stage::sync(&world).await.expect_code(0);
        before.assert_same(&copies(&world));
        assert!(
            tokio::time::timeout(PATIENCE, daemon.terminate())
                .await
                .unwrap()
                .success()
        );
    }
}
