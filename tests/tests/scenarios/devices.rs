//! Two devices on one storage: each with a home, a bus and a daemon of its own.

use std::fs;
use std::path::PathBuf;

use mooring_tests::{Daemon, Manifest, World};
use serde_json::Value;

use crate::stage::*;

/// A second device on the storage of a first one, and its daemon.
async fn second(first: &World) -> (World, Daemon) {
    let world = World::new();
    fs::remove_dir(world.storage()).unwrap();
    std::os::unix::fs::symlink(first.storage(), world.storage()).unwrap();
    let daemon = world.daemon().await;
    let storage = first.storage();
    let arguments = [
        "sign-in",
        "local",
        "--identity",
        ALICE,
        "--storage",
        storage.to_str().unwrap(),
        "--yes",
    ];
    let _ = world
        .ctl(&arguments)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(0);
    (world, daemon)
}

async fn devices(world: &World) -> Vec<Value> {
    let told = world.ctl(&["devices", "--json"]).run().await.expect_code(0);
    told.json()["devices"].as_array().unwrap().clone()
}

/// This device's sign-in ID.
async fn sign_in_id(world: &World) -> String {
    let all = devices(world).await;
    let this = all.iter().find(|device| device["this"] == true).unwrap();
    this["sign-in-id"].as_str().unwrap().to_owned()
}

async fn state_of(world: &World, id: &str) -> String {
    let all = devices(world).await;
    let found = all.iter().find(|device| device["sign-in-id"] == id);
    found.unwrap()["state"].as_str().unwrap().to_owned()
}

async fn ask(world: &World, id: &str) {
    let arguments = ["devices", "sign-out", id, "--yes"];
    let _ = world.ctl(&arguments).run().await.expect_code(0);
}

/// Waits for the receipt: then everything else is done.
async fn until_gone(world: &World) {
    let (mut client, manager) = (Client::new(world).await, world.manager().await);
    client
        .until("the receipt", async || {
            let receipts = manager.list_receipts().await.unwrap();
            (receipts.len() == 1).then_some(())
        })
        .await;
}

fn requests(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.storage().join(".mooring/requests")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The device is empty, has its receipt, and all data is in the storage.
async fn left_well(world: &World, before: &Manifest) {
    until_gone(world).await;
    assert_eq!(remains(world), 0);
    before.assert_same(&copies_at(world));
    let receipts = world.manager().await.list_receipts().await.unwrap();
    assert_eq!(receipts.len(), 1);
}

fn copies_at(world: &World) -> Manifest {
    plain(world.manifest(fs::canonicalize(world.storage()).unwrap()))
}

#[tokio::test]
async fn a_device_is_seen_and_signed_out_by_another() {
    let first = World::new();
    let (_daemon, before) = signed_in(&first).await;
    let (target, _other) = second(&first).await;
    let id = sign_in_id(&target).await;
    assert_eq!(state_of(&first, &id).await, "active");
    // Both are on one machine, so both have its name.
    let name = devices(&first).await[0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let twice = first
        .ctl(&["devices", "sign-out", &name, "--yes"])
        .run()
        .await;
    let twice = twice.expect_code(2);
    assert!(twice.stderr.contains(&id), "{}", twice.stderr);

    ask(&first, &id).await;
    assert_eq!(state_of(&first, &id).await, "asked");
    let _ = target.ctl(&["sync"]).run().await;
    left_well(&target, &before).await;
    let left = devices(&first).await;
    assert!(
        left.iter()
            .all(|device| device["sign-in-id"] != id.as_str())
    );
    assert!(
        left.iter().any(|device| device["state"] == "left"),
        "{left:?}"
    );
    assert!(requests(&first).is_empty());
    before.assert_same(&belongings(&first));
}

#[tokio::test]
async fn a_denial_is_seen_by_who_asked_and_a_replay_is_ignored() {
    let first = World::new();
    let (_daemon, before) = signed_in(&first).await;
    let (target, other) = second(&first).await;
    let id = sign_in_id(&target).await;
    assert!(other.terminate().await.success());
    let policy = target.config().join("policy.d");
    fs::create_dir_all(&policy).unwrap();
    fs::write(
        policy.join("50-stays.toml"),
        "[organisation]\nname = \"Harbour\"\ncontact = \"it@harbour.example\"\n\n[[rule]]\n\
         name = \"stays\"\nreason = \"It stays here.\"\nsign-out = \"deny\"\nactors = [\"device\"]\n",
    )
    .unwrap();
    ask(&first, &id).await;
    let request = requests(&first).remove(0);
    let text = fs::read(&request).unwrap();
    let _other = target.daemon().await;
    let mut client = Client::new(&target).await;
    let denied = async || {
        let account = client_account(&target).await;
        account.contains("It stays here.").then_some(())
    };
    client.until("the denial", denied).await;
    assert_eq!(state_of(&first, &id).await, "denied");
    assert!(requests(&first).is_empty());

    // Back again, and one for a sign-in that is no more: ignored and deleted.
    fs::write(&request, &text).unwrap();
    let foreign = String::from_utf8(text)
        .unwrap()
        .replace(&id, &"0".repeat(32));
    let name = request.file_stem().unwrap().to_str().unwrap();
    let fresh = "f".repeat(32);
    let foreign = foreign.replace(name, &fresh);
    fs::write(request.with_file_name(format!("{fresh}.toml")), foreign).unwrap();
    let _ = target.ctl(&["sync", "--wait"]).run().await.expect_code(0);
    client
        .until("an empty folder", async || {
            let _ = target.ctl(&["sync", "--wait"]).run().await.expect_code(0);
            requests(&first).is_empty().then_some(())
        })
        .await;
    before.assert_same(&belongings(&target));
}

async fn client_account(world: &World) -> String {
    let account = world.account(ALICE).await.unwrap();
    account.state_message().await.unwrap()
}

#[tokio::test]
async fn two_that_sign_each_other_out_both_end_well() {
    let first = World::new();
    let (one, before) = signed_in(&first).await;
    let (second, two) = second(&first).await;
    let (a, b) = (sign_in_id(&first).await, sign_in_id(&second).await);
    ask(&first, &b).await;
    ask(&second, &a).await;
    assert!(one.terminate().await.success() && two.terminate().await.success());
    let _both = (first.daemon().await, second.daemon().await);
    left_well(&first, &before).await;
    left_well(&second, &before).await;
}

#[tokio::test]
async fn a_broker_that_dies_in_the_middle_goes_on_with_what_was_asked() {
    for point in [
        "broker/journal-before:1",
        "broker/journal-after:1",
        "broker/journal-after:3",
    ] {
        let first = World::new();
        let (_daemon, before) = signed_in(&first).await;
        let (target, other) = second(&first).await;
        let id = sign_in_id(&target).await;
        assert!(other.terminate().await.success());
        ask(&first, &id).await;
        let fault = target.fault(point);
        let dying = target.daemon_with(&[fault.env()]).await;
        dying.wait().await;
        assert!(fault.struck(), "{point} is never reached");
        let _other = target.daemon().await;
        left_well(&target, &before).await;
    }
}

#[tokio::test]
async fn hostile_documents_do_no_harm() {
    let first = World::new();
    let (_daemon, before) = signed_in(&first).await;
    for folder in ["devices", "requests"] {
        let folder = first.storage().join(".mooring").join(folder);
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link.toml")).unwrap();
        fs::write(folder.join("garbage.toml"), b"\x1b[2J\xff").unwrap();
        let sparse = fs::File::create(folder.join("huge.toml")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        for n in 0..10_000 {
            fs::write(folder.join(format!("n{n}.toml")), b"").unwrap();
        }
    }
    let _ = sync(&first).await.expect_code(0);
    let all = devices(&first).await;
    assert!(all.len() < 300);
    assert!(all.iter().any(|device| device["state"] == "unreadable"));
    before.assert_same(&belongings(&first));
    let _ = sign_out(&first, &[]).await.expect_code(0);
}
