//! Processes that die: at named points, and whenever they are killed. Whatever dies, the job ends
//! by itself, nothing is lost, and the receipt is right.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mooring_api::Error;
use mooring_tests::{Daemon, Fault, Manifest, Output, PATIENCE, World};

use crate::stage::{
    ALICE, Client, PASSWORD, belongings, copies, fill, piped, remains, sign_in, signed_in, write,
};

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

/// One verb of Alice's life, by its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    SignIn,
    Sync,
    SignOut,
}

impl Verb {
    async fn start(self, world: &World) -> mooring_tests::Running {
        let ctl = match self {
            Self::SignIn => sign_in(world).password(PASSWORD),
            Self::Sync => world.ctl(&["sync", ALICE, "--wait"]),
            Self::SignOut => world.ctl(&["sign-out", ALICE, "--yes"]).password(PASSWORD),
        };
        ctl.start().await
    }
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

/// Waits until no job of Alice's is under way, and gives the password to one that has lost it.
async fn settle(world: &World) {
    let mut client = Client::new(world).await;
    let Some(account) = client.account(world).await else {
        return;
    };
    let connection = client.connection.clone();
    client
        .until("the end of a job that goes on by itself", async || {
            let path = match account.job().await {
                Ok(path) if path.as_str() == "/" => return Some(()),
                Ok(path) => path,
                // It is signed out.
                Err(_) => return Some(()),
            };
            let builder = mooring_api::JobProxy::builder(&connection).path(path);
            let job = builder.build().await.unwrap();
            let Ok(blocked) = job.blocked().await else {
                return None;
            };
            match blocked.error.as_str() {
                "" => None,
                "ReauthRequired" => {
                    match job.authenticate(piped(PASSWORD)).await {
                        // It went on before it heard of this.
                        Ok(()) | Err(Error::InvalidArgument(_)) => None,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                _ => panic!("{blocked:?}"),
            }
        })
        .await;
}

/// What must hold after a sign-out, whatever died.
async fn is_gone(world: &World, before: &Manifest) {
    before.assert_same(&copies(world));
    assert_eq!(remains(world), 0, "files are left on the device");
    let left = world.manifest(world.account_folder(ALICE));
    let left: Vec<_> = left
        .0
        .keys()
        .map(|name| String::from_utf8_lossy(name))
        .collect();
    assert!(
        !world.account_folder(ALICE).exists(),
        "left on the device: {left:?}"
    );
    assert!(world.account(ALICE).await.is_none());
    let manager = world.manager().await;
    let receipt = manager.list_receipts().await.unwrap().remove(0);
    assert_eq!(
        (receipt.removed, receipt.left),
        (before.files() as u64, 0),
        "what the receipt says"
    );
    let text = manager.read_receipt(&receipt.id).await.unwrap();
    let sum = |key: &str| -> u64 {
        text.lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
            .map(|number| number.parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(sum("removed-files"), before.files() as u64, "{text}");
    assert_eq!(sum("removed-bytes"), bytes(before), "{text}");
    assert_eq!(sum("kept-files"), 0, "{text}");
}

fn bytes(manifest: &Manifest) -> u64 {
    let sizes = manifest.0.values().map(|entry| match entry.kind {
        mooring_tests::Kind::File(size, _) => size,
        _ => 0,
    });
    sizes.sum()
}

/// What must hold after a sign-in that brought everything back.
async fn is_back(world: &World, before: &Manifest, told: Option<Output>) {
    before.assert_same(&belongings(world));
    before.assert_same(&copies(world));
    if let Some(told) = told {
        let checked = format!("{0} of {0} checked", before.files());
        assert!(told.stdout.contains(&checked), "{told:?}");
    }
    let account = world.account(ALICE).await.unwrap();
    assert_eq!(account.state().await.unwrap(), "active");
    let again = world.ctl(&["sync", ALICE, "--wait"]).run().await;
    let told = again.expect_code(0).stdout;
    assert!(told.contains("Nothing had to be carried over."), "{told}");
    before.assert_same(&belongings(world));
    before.assert_same(&copies(world));
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
        let _ = call.output().await.expect_code(0);
        match verb {
            Verb::SignOut => is_gone(&world, &before).await,
            _ => before.assert_same(&belongings(&world)),
        }
        drop(daemon);
    }
}
