//! Storage that is not what it was: unplugged, another one, full, read-only; and a device whose own
//! disk is gone. Nothing is ever lost or removed over it, and it goes on when it is put right.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;

use mooring_api::{PlanOptions, RetryOptions, SignOutOptions};
use mooring_tests::{Manifest, World};

use crate::disk::{Disk, show_at, world};
use crate::stage::{
    ALICE, Client, PASSWORD, belongings, copies, everything_comes_back, fill, piped, plain,
    sign_in, sign_out, signed_in, sync, write,
};

/// What the account says of itself.
async fn state(world: &World) -> (String, String, String) {
    let account = world.account(ALICE).await.unwrap();
    (
        account.state().await.unwrap(),
        account.state_detail().await.unwrap(),
        account.state_message().await.unwrap(),
    )
}

async fn expect_attention(world: &World, reason: &str, said: &str) {
    let (state, detail, message) = state(world).await;
    assert_eq!(
        (state.as_str(), detail.as_str()),
        ("needs-attention", reason),
        "{message}"
    );
    assert!(message.contains(said), "no {said:?} in {message:?}");
}

#[tokio::test]
async fn an_unplugged_storage_removes_nothing_and_goes_on_when_it_is_back() {
    let world = world();
    let disk = Disk::new(&world, "disk", &world.storage(), "32M");
    let (daemon, before) = signed_in(&world).await;
    disk.pull();
    write(
        &world.account_folder(ALICE).join("Documents/new"),
        b"new",
        0o644,
        1,
    );
    let all = belongings(&world);
    let told = sync(&world).await.expect_code(1);
    let report = world.ctl(&["report", "--json"]).run().await.expect_code(0);
    assert_eq!(report.json()["accounts"][0]["waiting"], 1, "the new one");
    let plan = world.account(ALICE).await.unwrap();
    let plan = plan.plan_sign_out(PlanOptions::default()).await.unwrap();
    let there = plan.collections.iter().map(|c| (c.items, c.unsynced));
    let there = there.fold((0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
    assert_eq!(there, (before.files() as u64 + 1, 1));
    let place = world.storage().display().to_string();
    assert!(
        told.stderr.contains(&place) && told.stderr.contains("mount"),
        "{}",
        told.stderr
    );
    expect_attention(&world, "storage-gone", &place).await;
    let told = sign_out(&world, &[]).await.expect_code(5);
    assert!(told.stderr.contains(&place), "{}", told.stderr);
    // A plan is a look, and a look at nothing has put nothing right.
    expect_attention(&world, "storage-gone", &place).await;
    all.assert_same(&belongings(&world));
    assert!(
        world.manifest(world.storage()).0.is_empty(),
        "nothing is made where it was"
    );

    // A restart finds it gone, too, and waits.
    assert!(daemon.terminate().await.success());
    let _daemon = world.daemon().await;
    let _ = sync(&world).await.expect_code(1);
    all.assert_same(&belongings(&world));
    assert!(
        world.manifest(world.storage()).0.is_empty(),
        "nothing is made where it was"
    );
    disk.plug_in();
    let _ = sync(&world).await.expect_code(0);
    assert_eq!(state(&world).await.0, "active");
    all.assert_same(&copies(&world));
    assert_eq!(all.files(), before.files() + 1);
}

#[tokio::test]
async fn a_sign_out_waits_for_an_unplugged_storage() {
    let world = world();
    let disk = Disk::new(&world, "disk", &world.storage(), "32M");
    let (_daemon, before) = signed_in(&world).await;
    let mut client = Client::new(&world).await;
    let account = client.account(&world).await.unwrap();
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    let job = account
        .sign_out(&plan.digest, SignOutOptions::default())
        .await
        .unwrap();
    let job = client.job(&job).await;
    client.blocked(&job).await;
    disk.pull();
    job.authenticate(piped(PASSWORD)).await.unwrap();
    client
        .until("that it waits for the storage", async || {
            (job.blocked().await.unwrap().error == "Offline").then_some(())
        })
        .await;
    before.assert_same(&belongings(&world));
    job.retry(RetryOptions::default()).await.unwrap();
    assert_eq!(client.blocked(&job).await.error, "Offline");
    before.assert_same(&belongings(&world));
    disk.plug_in();
    job.retry(RetryOptions::default()).await.unwrap();
    let outcome = client.outcome(&job).await;
    assert!(outcome.success, "{outcome:?}");
    assert_eq!((outcome.removed, outcome.left), (before.files() as u64, 0));
    before.assert_same(&copies(&world));
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn a_storage_unplugged_while_removing_stops_the_removal() {
    let world = world();
    let disk = Disk::new(&world, "disk", &world.storage(), "32M");
    let (_daemon, before) = signed_in(&world).await;
    let mut client = Client::new(&world).await;
    let held = world.account_folder(ALICE).join("Videos/waves.avi");
    let writer = File::options().append(true).open(&held).unwrap();
    let job = client.begin_sign_out(&world).await;
    assert_eq!(client.blocked(&job).await.error, "UnsyncedData");
    disk.pull();
    drop(writer);
    job.retry(RetryOptions::default()).await.unwrap();
    client
        .until("that it waits for the storage", async || {
            (job.blocked().await.unwrap().error == "Offline").then_some(())
        })
        .await;
    assert!(held.exists(), "no copy can be seen, and so it stays");
    disk.plug_in();
    job.retry(RetryOptions::default()).await.unwrap();
    assert!(client.outcome(&job).await.success);
    before.assert_same(&copies(&world));
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn another_storage_in_its_place_is_refused() {
    let world = world();
    let disk = Disk::new(&world, "disk", &world.storage(), "32M");
    let (_daemon, before) = signed_in(&world).await;
    let other = Disk::new(&world, "other disk", &world.folder().join("other"), "32M");
    let arguments = [
        "sign-in",
        "local",
        "--identity",
        "bob",
        "--yes",
        "--storage",
    ];
    let arguments = [&arguments[..], &[other.at.to_str().unwrap()]].concat();
    let _ = world
        .ctl(&arguments)
        .password("bob's password")
        .run()
        .await
        .expect_code(0);
    let others = world.manifest(&other.system);
    disk.pull();
    let shown = show_at(&other.system, &disk.at);
    let told = sync(&world).await.expect_code(1);
    assert!(told.stderr.contains("another storage"), "{}", told.stderr);
    expect_attention(&world, "storage-gone", "another storage").await;
    let account = world.account(ALICE).await.unwrap();
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    assert_eq!(plan.blockers[0].error, "Offline", "{:?}", plan.blockers);
    before.assert_same(&belongings(&world));
    others.assert_same(&world.manifest(&other.system));
    drop(shown);
    disk.plug_in();
    let told = world.ctl(&["doctor"]).run().await.expect_code(0);
    assert!(told.stdout.contains("last synced"), "{}", told.stdout);
    let _ = sync(&world).await.expect_code(0);
    before.assert_same(&copies(&world));
}

/// Of a storage that is older than the last sign-out nobody says that all is back.
#[tokio::test]
async fn a_storage_without_the_last_receipt_is_told_at_the_return() {
    let world = world();
    let (_daemon, before) = signed_in(&world).await;
    let receipts = || -> BTreeSet<PathBuf> {
        let listed = fs::read_dir(world.storage().join(".mooring/receipts")).unwrap();
        let paths = listed.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .collect()
    };
    let _ = sign_out(&world, &[]).await.expect_code(0);
    let first = receipts();
    let back = sign_in(&world).password(PASSWORD).run().await;
    let _ = back.expect_code(0);
    let _ = sign_out(&world, &[]).await.expect_code(0);
    let newest = receipts().difference(&first).next().unwrap().clone();
    fs::remove_file(&newest).unwrap();
    let told = sign_in(&world)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(1);
    let id = newest.file_stem().unwrap().to_str().unwrap();
    assert!(told.stderr.contains(id), "{}", told.stderr);
    assert!(!told.stdout.contains("is back"), "{}", told.stdout);
    before.assert_same(&belongings(&world));
}

/// The same but for the modes of folders, which only a return has written down.
#[track_caller]
fn same_files(before: &Manifest, after: &Manifest) {
    let differences = before.differences(after);
    assert!(
        differences.iter().all(|d| d.contains("kind: Folder")),
        "{differences:?}"
    );
}

/// Whoever removed a collection's folder, and did not mean to, is told the way back.
#[tokio::test]
async fn a_root_that_was_removed_is_filled_anew_when_asked() {
    let world = world();
    let (_daemon, before) = signed_in(&world).await;
    let photos = world.account_folder(ALICE).join("Photos");
    for emptied in [false, true] {
        std::fs::remove_dir_all(&photos).unwrap();
        if emptied {
            std::fs::create_dir(&photos).unwrap();
        }
        let told = sync(&world).await.expect_code(1);
        assert!(told.stderr.contains("resolve --keep"), "{told:?}");
        expect_attention(&world, "home-gone", "resolve --keep").await;
        let told = world.ctl(&["resolve", ALICE, "--delete", "--yes"]).run();
        assert_ne!(
            told.await.code,
            0,
            "a folder that is not there says nothing"
        );
        same_files(&before, &copies(&world));
        let _ = world
            .ctl(&["resolve", ALICE, "--keep"])
            .run()
            .await
            .expect_code(0);
        same_files(&before, &belongings(&world));
        same_files(&before, &copies(&world));
        assert_eq!(state(&world).await.0, "active");
    }
}

#[tokio::test]
async fn a_full_storage_is_told_and_gone_on_with_when_there_is_room() {
    let world = world();
    let disk = Disk::new(&world, "disk", &world.storage(), "2M");
    let (_daemon, before) = signed_in(&world).await;
    let large = world.account_folder(ALICE).join("Videos/large.avi");
    write(&large, &vec![3; 4 << 20], 0o644, 7);
    let all = belongings(&world);
    let told = sync(&world).await.expect_code(1);
    assert!(told.stderr.contains("no space is left"), "{}", told.stderr);
    expect_attention(&world, "no-space", "no space is left").await;
    all.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));

    let mut client = Client::new(&world).await;
    let job = client.begin_sign_out(&world).await;
    let blocked = client.blocked(&job).await;
    assert!(blocked.message.contains("no space is left"), "{blocked:?}");
    assert!(job.cancellable().await.unwrap());
    all.assert_same(&belongings(&world));
    disk.resize("32M");
    job.retry(RetryOptions::default()).await.unwrap();
    let outcome = client.outcome(&job).await;
    assert!(outcome.success, "{outcome:?}");
    all.assert_same(&copies(&world));
    everything_comes_back(&world, &all).await;
}

#[tokio::test]
async fn a_full_device_is_told_at_the_sign_in_and_gone_on_with() {
    let world = world();
    let home = Disk::new(&world, "device", &world.home().join("Accounts"), "32M");
    let (_daemon, before) = signed_in(&world).await;
    let _ = sign_out(&world, &[]).await.expect_code(0);
    home.resize("300k");
    let mut client = Client::new(&world).await;
    let call = sign_in(&world).password(PASSWORD).run().await;
    let told = call.expect_code(1);
    assert!(told.stderr.contains("no space is left"), "{}", told.stderr);
    // Nobody was there to make room: it was cancelled, and is as if it had never been.
    client
        .until("that it is undone", async || {
            world.account(ALICE).await.is_none().then_some(())
        })
        .await;
    before.assert_same(&copies(&world));
    home.resize("32M");
    let _ = sign_in(&world)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(0);
    before.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));
}

#[tokio::test]
async fn a_read_only_storage_keeps_everything_here() {
    let world = world();
    let disk = Disk::new(&world, "disk", &world.storage(), "32M");
    let (_daemon, before) = signed_in(&world).await;
    disk.set_read_only(true);
    write(
        &world.account_folder(ALICE).join("Documents/new"),
        b"new",
        0o644,
        1,
    );
    let all = belongings(&world);
    let told = sync(&world).await.expect_code(1);
    assert!(
        told.stderr.to_lowercase().contains("read-only"),
        "{}",
        told.stderr
    );
    all.assert_same(&belongings(&world));
    let mut client = Client::new(&world).await;
    let job = client.begin_sign_out(&world).await;
    let blocked = client.blocked(&job).await;
    assert!(
        blocked.message.to_lowercase().contains("read-only"),
        "{blocked:?}"
    );
    all.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));
    disk.set_read_only(false);
    job.retry(RetryOptions::default()).await.unwrap();
    assert!(client.outcome(&job).await.success);
    all.assert_same(&copies(&world));
    everything_comes_back(&world, &all).await;
}

#[tokio::test]
async fn a_device_disk_that_is_gone_is_no_deletion() {
    let world = world();
    let home = Disk::new(&world, "device", &world.home().join("Accounts"), "32M");
    let (_daemon, before) = signed_in(&world).await;
    home.pull();
    let told = sync(&world).await.expect_code(1);
    assert!(told.stderr.contains("Accounts/alice"), "{}", told.stderr);
    expect_attention(&world, "home-gone", "Accounts/alice").await;
    before.assert_same(&copies(&world));
    let _ = sign_out(&world, &[]).await.expect_code(1);
    // Not even where an empty folder stands in its place.
    for name in ["Photos", "Videos", "Documents", "Contacts"] {
        fs::create_dir_all(world.account_folder(ALICE).join(name)).unwrap();
    }
    let told = sync(&world).await.expect_code(1);
    assert!(told.stderr.contains("marker"), "{}", told.stderr);
    before.assert_same(&copies(&world));
    assert_eq!(
        belongings(&world).files(),
        0,
        "nothing is brought into the empty folders"
    );
    home.plug_in();
    let _ = sync(&world).await.expect_code(0);
    assert_eq!(state(&world).await.0, "active");
    before.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));
}

#[tokio::test]
async fn a_storage_inside_a_collection_is_refused_through_a_bind_mount_too() {
    let world = world();
    let _daemon = world.daemon().await;
    fill(&world);
    let before = plain(world.manifest(world.home()));
    let photos = world.account_folder(ALICE).join("Photos");
    let _shown = show_at(&photos, &world.storage());
    let told = sign_in(&world).password(PASSWORD).run().await;
    assert_ne!(told.code, 0, "{told:?}");
    assert!(world.account(ALICE).await.is_none());
    before.assert_same(&plain(world.manifest(world.home())));
}
