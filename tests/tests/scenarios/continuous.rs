//! An account that is kept in step by itself: no command brings a file anywhere here.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mooring_tests::{Daemon, PATIENCE, World};

use crate::stage::*;

/// Alice's world, kept in step by itself, and a client that hears all of it.
async fn in_step() -> (World, Daemon, Client) {
    let world = World::new();
    world.sync_by_itself();
    let daemon = world.daemon().await;
    let mut client = Client::new(&world).await;
    world.sign_in(ALICE, PASSWORD).await;
    fill(&world);
    client.until("every copy", same_on_both_sides(&world)).await;
    (world, daemon, client)
}

fn same_on_both_sides(world: &World) -> impl AsyncFnMut() -> Option<()> {
    || {
        let same = belongings(world) == copies(world);
        std::future::ready(same.then_some(()))
    }
}

/// A name in a collection, here and in the storage.
fn both(world: &World, name: &str) -> (PathBuf, PathBuf) {
    (
        world.account_folder(ALICE).join(name),
        world.storage().join(name),
    )
}

/// Waits until files have these contents.
async fn until(client: &mut Client, all: &[(&PathBuf, &[u8])]) {
    let there = async || {
        let same = |(path, content): &(&PathBuf, &[u8])| {
            fs::read(path).is_ok_and(|found| found == *content)
        };
        all.iter().all(same).then_some(())
    };
    client.until("the files", there).await;
}

#[tokio::test]
async fn what_changes_on_one_side_comes_to_the_other_by_itself() {
    let (world, _daemon, mut client) = in_step().await;
    let (here, there) = both(&world, "Documents/new/folder/letter.txt");
    write(&here, b"Dear all", 0o640, 50);
    until(&mut client, &[(&there, b"Dear all")]).await;

    let (here, there) = both(&world, "Photos/2031/from elsewhere.jpg");
    write(&there, b"a picture", 0o644, 51);
    until(&mut client, &[(&here, b"a picture")]).await;
    // In a folder that came by itself.
    let (here, there) = both(&world, "Photos/2031/second.jpg");
    write(&here, b"another", 0o644, 52);
    until(&mut client, &[(&there, b"another")]).await;

    let manager = world.manager().await;
    assert!(manager.list_receipts().await.unwrap().is_empty());
    let _ = sign_out(&world, &[]).await.expect_code(0);
    assert!(!world.account_folder(ALICE).exists());
}

#[tokio::test]
async fn what_changes_on_both_sides_is_kept_twice() {
    let (world, daemon, mut client) = in_step().await;
    let (here, there) = both(&world, "Documents/script");
    let files = belongings(&world).files();
    assert!(daemon.terminate().await.success());
    write(&here, b"#!/bin/sh\n: here\n", 0o755, 60);
    write(&there, b"#!/bin/sh\n: there\n", 0o755, 61);
    let _daemon = world.daemon().await;
    client
        .until("both versions on both sides", async || {
            let (ours, theirs) = (belongings(&world), copies(&world));
            (ours == theirs && ours.files() == files + 1).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_paused_account_rests_until_it_is_resumed() {
    let (world, daemon, mut client) = in_step().await;
    let _ = world.ctl(&["pause", ALICE]).run().await.expect_code(0);
    let told = world.ctl(&["show", ALICE]).run().await.expect_code(0);
    assert!(told.stdout.contains("Paused"), "{}", told.stdout);

    let heard = |daemon: &Daemon| daemon.log().matches("something changed").count();
    let before = heard(&daemon);
    let (here, there) = both(&world, "Documents/later");
    write(&here, b"not yet", 0o644, 70);
    let (came, from) = both(&world, "Documents/from there");
    write(&from, b"not yet either", 0o644, 71);
    // The one trace of a change that is not acted on is in the journal.
    let wait = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while heard(&daemon) == before {
            look.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("noticed");
    assert!(daemon.terminate().await.success());
    let _daemon = world.daemon().await;
    let _ = world.ctl(&["show", ALICE]).run().await.expect_code(0);
    assert!(!there.exists() && !came.exists());

    let _ = world.ctl(&["resume", ALICE]).run().await.expect_code(0);
    let all: [(&PathBuf, &[u8]); 2] = [(&there, b"not yet"), (&came, b"not yet either")];
    until(&mut client, &all).await;
}

#[tokio::test]
async fn a_paused_account_signs_out_with_what_was_never_synced() {
    let (world, _daemon, _client) = in_step().await;
    let _ = world.ctl(&["pause", ALICE]).run().await.expect_code(0);
    let (here, there) = both(&world, "Documents/last words");
    write(&here, b"kept", 0o644, 80);
    let _ = sign_out(&world, &[]).await.expect_code(0);
    assert!(!here.exists());
    assert_eq!(fs::read(there).unwrap(), b"kept");
}

#[tokio::test]
async fn a_storage_that_was_away_is_synced_when_it_is_back() {
    let (world, _daemon, mut client) = in_step().await;
    let away = world.folder().join("away");
    fs::rename(world.storage(), &away).unwrap();
    let (here, there) = both(&world, "Documents/meanwhile");
    write(&here, b"while it was away", 0o644, 90);
    let account = client.account(&world).await.unwrap();
    client
        .until("the trouble", async || {
            let state = account.state().await.unwrap();
            (state == "needs-attention").then_some(())
        })
        .await;
    let files = world.files(ALICE).await.unwrap();
    client
        .until("the count of what waits", async || {
            let all = files.collections().await.unwrap();
            let waits = all.iter().map(|c| c.unsynced).sum::<u64>();
            (waits == 1).then_some(())
        })
        .await;
    fs::rename(&away, world.storage()).unwrap();
    until(&mut client, &[(&there, b"while it was away")]).await;
    client
        .until("the recovery", async || {
            (account.state().await.unwrap() == "active").then_some(())
        })
        .await;
    // And watched again.
    let (here, there) = both(&world, "Documents/after");
    write(&there, b"as before", 0o644, 91);
    until(&mut client, &[(&here, b"as before")]).await;
}

#[tokio::test]
async fn a_killed_worker_is_followed_by_one_that_watches() {
    let (world, daemon, mut client) = in_step().await;
    assert!(daemon.kill_worker());
    let (here, there) = both(&world, "Documents/after the worker");
    write(&here, b"still", 0o644, 95);
    until(&mut client, &[(&there, b"still")]).await;
}
