//! Deletions through the whole: carried over, found in the trash, brought back, and a bulk of them
//! answered both ways. Without syncs of its own accord, so that each step is seen.

use std::fs;

use mooring_tests::World;

use crate::stage::{ALICE, PASSWORD};

async fn in_step() -> (World, mooring_tests::Daemon) {
    let world = World::new();
    fs::create_dir_all(world.config()).unwrap();
    let settings = "[sync]\ncontinuous = false\n";
    fs::write(world.config().join("mooring.toml"), settings).unwrap();
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    let photos = world.account_folder(ALICE).join("Photos");
    for n in 0..25 {
        fs::write(photos.join(format!("{n:02}.jpg")), format!("photo {n}")).unwrap();
    }
    sync(&world).await;
    (world, daemon)
}

async fn sync(world: &World) -> serde_json::Value {
    let run = world.ctl(&["sync", "--wait", "--json"]).run().await;
    run.expect_code(0).json()["outcome"].clone()
}

#[tokio::test]
async fn a_deletion_goes_into_the_trash_and_comes_back() {
    let (world, _daemon) = in_step().await;
    let photos = world.account_folder(ALICE).join("Photos");
    let stored = world.storage().join("Photos");
    fs::remove_file(photos.join("00.jpg")).unwrap();
    fs::remove_file(stored.join("01.jpg")).unwrap();
    assert_eq!(sync(&world).await["deleted"], 2);
    assert!(!stored.join("00.jpg").exists() && !photos.join("01.jpg").exists());

    let listed = world
        .ctl(&["undelete", "--json"])
        .run()
        .await
        .expect_code(0)
        .json();
    assert_eq!(listed["trash"].as_array().unwrap().len(), 2);
    for name in ["00.jpg", "01.jpg"] {
        let file = photos.join(name);
        let file = file.to_str().unwrap();
        let _ = world.ctl(&["undelete", file]).run().await.expect_code(0);
    }
    assert_eq!(fs::read(photos.join("00.jpg")).unwrap(), b"photo 0");
    assert_eq!(fs::read(photos.join("01.jpg")).unwrap(), b"photo 1");
    let none = photos.join("never.jpg");
    let none = none.to_str().unwrap();
    assert_ne!(world.ctl(&["undelete", none]).run().await.code, 0);
}

#[tokio::test]
async fn a_bulk_of_deletions_is_a_question() {
    let (world, _daemon) = in_step().await;
    let photos = world.account_folder(ALICE).join("Photos");
    let stored = world.storage().join("Photos");
    for n in 0..24 {
        fs::remove_file(stored.join(format!("{n:02}.jpg"))).unwrap();
    }
    let outcome = sync(&world).await;
    assert_eq!(
        (&outcome["deleted"], &outcome["held"]),
        (&0.into(), &24.into())
    );
    assert_eq!(fs::read_dir(&photos).unwrap().count(), 25 + 2);
    // A question blocks a sign-out, and nothing is lost by asking.
    let _ = world
        .ctl(&["sign-out", ALICE, "--dry-run"])
        .run()
        .await
        .expect_code(5);
    let _ = world.ctl(&["resolve", "--keep"]).run().await.expect_code(0);
    assert!(stored.join("07.jpg").exists());
    for n in 0..24 {
        fs::remove_file(photos.join(format!("{n:02}.jpg"))).unwrap();
    }
    assert_eq!(sync(&world).await["held"], 24);
    let _ = world
        .ctl(&["resolve", "--delete"])
        .run()
        .await
        .expect_code(0);
    assert!(!stored.join("07.jpg").exists());
    assert_eq!(world.ctl(&["resolve"]).run().await.code, 2);
}
