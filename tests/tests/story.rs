//! The main story: sign in, sync, two refusals, a sign-out that is killed in the middle of the
//! removal, and everything back at the next sign-in.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::time::Duration;

use mooring_api::{Error, PlanOptions, SignInOptions};
use mooring_tests::{AUDIT, Daemon, Fault, Manifest, PATIENCE, World, next};

const ALICE: &str = "alice";
const PASSWORD: &str = "correct horse battery staple";

/// Names that Mooring itself keeps in a collection, and the folders that hold them.
fn own(name: &[u8]) -> bool {
    name.split(|b| *b == b'/')
        .any(|part| part.starts_with(b".mooring"))
}

/// What a person has in their account's folders.
fn belongings(world: &World) -> Manifest {
    world.manifest(world.account_folder(ALICE)).without(own)
}

/// What the storage holds of it.
fn copies(world: &World) -> Manifest {
    world.manifest(world.storage()).without(own)
}

/// Alice, signed in with the sample files, all of them in the storage.
async fn signed_in(world: &World) -> (Daemon, Manifest) {
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    let files = world.fill(ALICE);
    let before = belongings(world);
    assert_eq!(before.files() as u64, files);
    let _ = world
        .ctl(&["sync", ALICE, "--wait"])
        .run()
        .await
        .expect_code(0);
    assert_eq!(copies(world).files() as u64, files);
    (daemon, before)
}

async fn sign_out(world: &World) -> mooring_tests::Output {
    world
        .ctl(&["sign-out", ALICE, "--yes"])
        .password(PASSWORD)
        .run()
        .await
}

/// Signs in again and holds what came back to what there was.
async fn everything_comes_back(world: &World, before: &Manifest) {
    let storage = world.storage();
    let mut arguments = vec!["sign-in", "local", "--identity", ALICE, "--storage"];
    arguments.extend([storage.to_str().unwrap(), "--yes"]);
    let told = world
        .ctl(&arguments)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(0);
    let checked = format!("{0} of {0} checked", before.files());
    assert!(told.stdout.contains(&checked), "{}", told.stdout);
    before.assert_same(&belongings(world));
}

#[tokio::test]
async fn a_sign_out_removes_everything_and_a_sign_in_brings_it_back() {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    let stored = copies(&world);
    let _ = sign_out(&world).await.expect_code(0);
    assert!(
        !world.account_folder(ALICE).exists(),
        "the folders the account made are gone"
    );
    assert!(world.account(ALICE).await.is_none());
    stored.assert_same(&copies(&world));
    let receipts = world.manager().await.list_receipts().await.unwrap();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0].removed, before.files() as u64);
    everything_comes_back(&world, &before).await;
    assert!(daemon.terminate().await.success());
}

#[tokio::test]
async fn policy_refuses_while_its_file_is_there() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let manager = world.manager().await;
    let mut changes = manager.receive_policy_state_changed().await;
    let folder = world.config().join("policy.d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(".new"), AUDIT).unwrap();
    fs::rename(folder.join(".new"), folder.join("50-audit.toml")).unwrap();
    wait_for_policy(&manager, &mut changes, "in-force").await;

    let told = sign_out(&world).await.expect_code(3);
    let file = format!("{}:5", folder.join("50-audit.toml").display());
    let audit = [
        "Harbour Lights Ltd",
        "no-sign-out-during-audit",
        &file,
        "it@harbour.example",
    ];
    for word in audit {
        let all = format!("{}{}", told.stdout, told.stderr);
        assert!(all.contains(word), "no {word:?} in:\n{all}");
    }
    before.assert_same(&belongings(&world));

    fs::remove_file(folder.join("50-audit.toml")).unwrap();
    wait_for_policy(&manager, &mut changes, "none").await;
    let plan = world
        .account(ALICE)
        .await
        .unwrap()
        .plan_sign_out(PlanOptions::default())
        .await;
    assert!(plan.unwrap().policy.allowed);
}

async fn wait_for_policy(
    manager: &mooring_api::ManagerProxy<'_>,
    changes: &mut zbus::proxy::PropertyStream<'_, String>,
    state: &str,
) {
    let wait = async {
        while manager.policy_state().await.unwrap() != state {
            next(changes).await.expect("the bus stays");
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the policy is read by itself");
}

#[tokio::test]
async fn a_wrong_password_touches_nothing_and_the_right_one_works_after() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let told = world
        .ctl(&["sign-out", ALICE, "--yes"])
        .password("let me in")
        .run()
        .await;
    let _ = told.expect_code(4);
    before.assert_same(&belongings(&world));
    let account = world.account(ALICE).await.unwrap();
    assert_eq!(account.state().await.unwrap(), "active");
    let _ = sign_out(&world).await.expect_code(0);
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn a_plan_that_was_not_made_is_stale() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let account = world.account(ALICE).await.unwrap();
    let options = mooring_api::SignOutOptions::default();
    let refused = account
        .sign_out("0123456789abcdef0123456789abcdef", options)
        .await;
    assert!(matches!(refused, Err(Error::PlanStale(_))), "{refused:?}");
    before.assert_same(&belongings(&world));
}

/// Starts over with a daemon that is going to die.
async fn with_fault(world: &World, point: &str) -> (Daemon, Manifest, Fault) {
    let (daemon, before) = signed_in(world).await;
    assert!(daemon.terminate().await.success());
    let fault = world.fault(point);
    let daemon = world.daemon_with(&[fault.env()]).await;
    (daemon, before, fault)
}

#[tokio::test]
async fn a_worker_that_dies_while_removing_is_followed_by_another() {
    let world = World::new();
    let (_daemon, before, fault) = with_fault(&world, "worker/unlink:120").await;
    let stored = copies(&world);
    let _ = sign_out(&world).await.expect_code(0);
    assert!(fault.struck());
    assert!(!world.account_folder(ALICE).exists());
    stored.assert_same(&copies(&world));
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn a_power_cut_while_removing_is_gone_on_from_by_itself() {
    let world = World::new();
    let (daemon, before, fault) = with_fault(&world, "worker/unlink:120").await;
    let stored = copies(&world);
    let call = world
        .ctl(&["sign-out", ALICE, "--yes"])
        .password(PASSWORD)
        .start()
        .await;
    wait_for_mark(&fault).await;
    daemon.kill();
    let left = belongings_and_staged(&world);
    assert!(
        left > 0 && left < before.files(),
        "{left} files are left of {}",
        before.files()
    );

    // Nobody calls: the job goes on because the journal says so, and the caller sees its end.
    let _daemon = world.daemon().await;
    let _ = call.output().await.expect_code(0);
    assert!(!world.account_folder(ALICE).exists());
    stored.assert_same(&copies(&world));
    everything_comes_back(&world, &before).await;
}

/// Files that are still on the device, those on their way out included.
fn belongings_and_staged(world: &World) -> usize {
    let marker = |name: &[u8]| name.ends_with(b"/.mooring-collection");
    world
        .manifest(world.account_folder(ALICE))
        .without(marker)
        .files()
}

/// A mark is made by a process that dies in the same breath: there is no event but the file.
async fn wait_for_mark(fault: &Fault) {
    let wait = async {
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while !fault.struck() {
            look.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the point of death is reached");
}

#[tokio::test]
async fn a_second_daemon_is_refused() {
    let world = World::new();
    let daemon = world.daemon().await;
    let second = world.command("mooringd").arg("--session").output().unwrap();
    assert!(!second.status.success());
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(
        told.contains(&daemon.pid().to_string()),
        "it names who runs already: {told}"
    );
    let options = SignInOptions::default();
    let refused = world.manager().await.sign_in("local", ALICE, options).await;
    assert!(
        matches!(refused, Err(Error::InvalidArgument(_))),
        "{refused:?}"
    );
}
