//! What a script relies on: the exit codes of `mooringctl`, and the keys of its JSON.

use mooring_tests::{Daemon, World};
use serde_json::Value;

use crate::stage::{ALICE, Client, PASSWORD, Stopped, belongings, sign_out, signed_in};

#[tokio::test]
async fn every_exit_code_is_reached() {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    let ctl = |arguments: &[&str]| world.ctl(arguments);
    let _ = ctl(&["show", "nobody"]).run().await.expect_code(1);
    let _ = ctl(&["sign-out", ALICE, "--yes"])
        .run()
        .await
        .expect_code(2);
    let _ = ctl(&["sign-out", ALICE])
        .password(PASSWORD)
        .run()
        .await
        .expect_code(2);
    let _ = ctl(&["no-such-command"]).run().await.expect_code(2);
    let wrong = ctl(&["sign-out", ALICE, "--yes"]).password("wrong");
    let _ = wrong.run().await.expect_code(4);
    let stale = ["--plan", "0123456789abcdef0123456789abcdef"];
    let told = sign_out(&world, &stale).await.expect_code(5);
    assert!(told.stderr.contains("plan"), "{}", told.stderr);
    cancelled_by_somebody_else(&world, &daemon).await;
    before.assert_same(&belongings(&world));
    let _ = sign_out(&world, &["--dry-run"]).await.expect_code(0);
    before.assert_same(&belongings(&world));
    let plan = sign_out(&world, &["--dry-run", "--json"]).await.json();
    let digest = plan["plan"]["digest"].as_str().unwrap();
    let _ = sign_out(&world, &["--plan", digest]).await.expect_code(0);
    assert!(daemon.terminate().await.success());
    let _ = ctl(&[]).run().await.expect_code(6);
    // 3 is policy's own scenario.
}

async fn cancelled_by_somebody_else(world: &World, daemon: &Daemon) {
    let mut client = Client::new(world).await;
    let account = client.account(world).await.unwrap();
    let stopped = Stopped::worker_of(daemon);
    let call = world.ctl(&["sync", ALICE, "--wait"]).start().await;
    let job = client
        .until("a job", async || {
            let job = account.job().await.unwrap();
            (job.as_str() != "/").then_some(job)
        })
        .await;
    client.job(&job).await.cancel().await.unwrap();
    drop(stopped);
    let _ = call.output().await.expect_code(7);
}

/// Whether a JSON object has these keys; it may have more, of later versions.
#[track_caller]
fn expect_keys(value: &Value, expected: &str) {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"));
    let missing: Vec<_> = expected
        .split(' ')
        .filter(|key| !object.contains_key(*key))
        .collect();
    assert!(missing.is_empty(), "no {missing:?} in {value}");
}

#[tokio::test]
async fn json_keeps_its_keys() {
    let world = World::new();
    let (_daemon, _) = signed_in(&world).await;
    let json = async |arguments: &[&str]| {
        let call = world.ctl(&[arguments, &["--json"]].concat());
        call.run().await.expect_code(0).json()
    };
    let account = "collections id identity job last-sync provider signed-in-at state \
                   state-detail state-message storage";
    expect_keys(&json(&["show", ALICE]).await, account);
    let synced = json(&["sync", ALICE, "--wait"]).await;
    expect_keys(&synced, "job outcome");
    expect_keys(&synced["job"], "number path");
    let outcome = "adopted conflicts downloaded error held kept left message moved pending \
                   pending-total receipt removed returned success uploaded";
    expect_keys(&synced["outcome"], outcome);
    let returned =
        "changed-since checked deleted-since expected held missing missing-total receipt";
    expect_keys(&synced["outcome"]["returned"], returned);
    let job = &json(&["jobs"]).await["jobs"][0];
    expect_keys(
        job,
        "account blocked cancellable kind number outcome path progress stage state",
    );
    let policy = json(&["policy", "show"]).await;
    expect_keys(&policy, "effective enforced files problems state");

    let done = sign_out(&world, &["--json"]).await.expect_code(0).json();
    expect_keys(&done, "job outcome plan");
    let plan = "blockers collections digest identity last-sync policy storage verb warnings";
    expect_keys(&done["plan"], plan);
    let collection = "bytes conflicts hard-links held here-before items keep losses name root \
                      stays stays-names to-read-back unsynced";
    expect_keys(&done["plan"]["collections"][0], collection);
    let receipts = json(&["receipts"]).await;
    expect_keys(
        &receipts["receipts"][0],
        "id identity left path removed when",
    );
    let failed = world.ctl(&["show", ALICE, "--json"]).run().await;
    let failed = failed.expect_code(1).json();
    expect_keys(&failed["error"], "exit-code hint kind message");
    assert_eq!(failed["error"]["exit-code"], 1);
}
