//! Rot in the trash: a file that is not what was deleted does not come back under its name.

use std::fs;

use crate::disk::world;
use crate::rot::{find, flip};
use crate::stage::{ALICE, signed_in, sync};

#[tokio::test]
async fn a_rotten_file_of_the_trash_is_named_and_comes_back_only_when_asked() {
    let world = world();
    let (_daemon, _) = signed_in(&world).await;
    let home = world.account_folder(ALICE);
    let photo = find(&home.join("Photos"), "IMG_0007.jpg");
    let good = fs::read(&photo).unwrap();
    fs::remove_file(&photo).unwrap();
    let _ = sync(&world).await.expect_code(0);
    let trash = world.storage().join(".mooring/trash");
    let buried = find(&trash, "IMG_0007.jpg");
    let sums = fs::read_dir(&trash)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("sums");
    let sum = fs::read_dir(sums).unwrap().next().unwrap().unwrap().path();
    println!("noted: {}", fs::read_to_string(&sum).unwrap());
    flip(&buried, 1000);
    let file = photo.to_str().unwrap();

    let told = world.ctl(&["undelete", file]).run().await;
    println!("exit {}: {}", told.code, told.stderr);
    assert_ne!(told.code, 0);
    assert!(
        told.stderr.contains("damaged") && told.stderr.contains("--damaged"),
        "{told:?}"
    );
    assert!(buried.exists() && !photo.exists(), "it stays in the trash");

    let _ = world
        .ctl(&["undelete", file, "--damaged"])
        .run()
        .await
        .expect_code(0);
    let back = photo.with_file_name("IMG_0007 (damaged).jpg");
    let bad = fs::read(&back).unwrap();
    assert_eq!(bad.len(), good.len());
    assert_ne!(bad, good);
    assert!(!photo.exists() && !sum.exists());

    // What an earlier Mooring buried has no note: it comes back, and that it was not checked is said.
    let other = find(&home.join("Photos"), "IMG_0009.jpg");
    let content = fs::read(&other).unwrap();
    fs::remove_file(&other).unwrap();
    let _ = sync(&world).await.expect_code(0);
    let sums = sum.parent().unwrap();
    fs::remove_dir_all(sums).unwrap();
    let told = world
        .ctl(&["undelete", other.to_str().unwrap()])
        .run()
        .await
        .expect_code(0);
    assert!(told.stdout.contains("not checked"), "{}", told.stdout);
    assert_eq!(fs::read(&other).unwrap(), content);
}
