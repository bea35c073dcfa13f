//! The way out when a storage is gone for good: the account goes, and every file stays.

use std::fs;

use mooring_tests::{Manifest, World};

use crate::stage::*;

/// Everything below the account's folders, Mooring's own names included.
fn all(world: &World) -> Manifest {
    Manifest::of(&world.account_folder(ALICE))
}

async fn forget(world: &World) -> mooring_tests::Output {
    world.ctl(&["forget", ALICE, "--yes"]).run().await
}

#[tokio::test]
async fn an_account_whose_storage_is_lost_is_forgotten_and_every_file_stays() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    fs::rename(world.storage(), world.folder().join("lost")).unwrap();
    let out = world.ctl(&["sign-out", ALICE, "--keep", "all", "--yes"]);
    let _ = out.password(PASSWORD).run().await.expect_code(5);
    // Nobody is asked, and nobody agreed.
    let _ = world.ctl(&["forget", ALICE]).run().await.expect_code(2);
    let told = forget(&world).await.expect_code(0);
    assert!(told.stdout.contains("Every file stays"), "{}", told.stdout);
    assert!(world.account(ALICE).await.is_none());
    // Not one of ours, and all of theirs.
    before.assert_same(&all(&world));
    assert!(
        !world
            .state()
            .join("accounts")
            .read_dir()
            .unwrap()
            .any(|_| true)
    );
    let receipt = last_receipt(&world).await;
    assert!(
        receipt.contains("level = \"none\"") && receipt.contains("nothing was proved"),
        "{receipt}"
    );
    // The same folders, another storage.
    fs::create_dir(world.storage()).unwrap();
    let again = world.ctl(&[
        "sign-in",
        "local",
        "--identity",
        ALICE,
        "--storage",
        world.storage().to_str().unwrap(),
        "--adopt",
        "--yes",
    ]);
    let _ = again.password(PASSWORD).run().await.expect_code(0);
    before.assert_same(&copies(&world));
}

/// A sign-out that has begun to remove can only go on; without its storage it cannot. What is still here
/// stays, what was on its way out goes back, and the receipt says that something was removed.
#[tokio::test]
async fn a_sign_out_that_can_never_end_is_forgotten() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let held = world.account_folder(ALICE).join("Videos/waves.avi");
    let writer = fs::File::options().append(true).open(&held).unwrap();
    let mut client = Client::new(&world).await;
    let job = client.begin_sign_out(&world).await;
    assert_eq!(client.blocked(&job).await.error, "UnsyncedData");
    assert!(!job.cancellable().await.unwrap(), "the others are removed");
    let lost = world.folder().join("lost");
    fs::rename(world.storage(), &lost).unwrap();
    drop(writer);
    let told = forget(&world).await.expect_code(0);
    assert!(world.account(ALICE).await.is_none(), "{told:?}");
    assert_eq!(all(&world).files(), 1);
    assert!(held.exists());
    let jobs = world
        .ctl(&["jobs", "--json"])
        .run()
        .await
        .expect_code(0)
        .json();
    for job in jobs["jobs"].as_array().unwrap() {
        assert_eq!(job["state"], "finished", "{jobs}");
    }
    let receipt = last_receipt(&world).await;
    assert!(receipt.contains("had begun to remove"), "{receipt}");
    // It is found again after all: nothing of it was ever in danger.
    fs::rename(&lost, world.storage()).unwrap();
    before.assert_same(&copies(&world));
    let back = sign_in(&world).password(PASSWORD).run().await;
    let _ = back.expect_code(0);
    before.assert_same(&belongings(&world));
}

#[tokio::test]
async fn what_policy_keeps_here_is_not_forgotten() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let rules = world.config().join("policy.d/10.toml");
    fs::create_dir_all(rules.parent().unwrap()).unwrap();
    let stays = "[organisation]\nname = \"Harbour\"\ncontact = \"it@harbour.example\"\n\
        [[rule]]\nname = \"stays\"\nreason = \"So it is.\"\nrequire-account = \"alice\"\n";
    fs::write(rules, stays).unwrap();
    world.manager().await.reload().await.unwrap();
    let refused = forget(&world).await.expect_code(3);
    assert!(refused.stderr.contains("Harbour"), "{}", refused.stderr);
    before.assert_same(&belongings(&world));
    let _ = sync(&world).await.expect_code(0);
}
