//! What a person merely moved is moved on the other side: no byte is carried twice.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use mooring_tests::World;

use crate::stage::{ALICE, PASSWORD, belongings, copies, everything_comes_back, sign_out, write};

/// Files in the folder that is renamed.
const MANY: u32 = 500;

/// The inode of every name in a folder.
fn inodes(folder: &Path) -> BTreeMap<OsString, u64> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name(), entry.metadata().unwrap().ino()))
        .collect()
}

async fn sync(world: &World) -> serde_json::Value {
    let run = world.ctl(&["sync", ALICE, "--wait", "--json"]).run().await;
    run.expect_code(0).json()["outcome"].clone()
}

async fn in_step() -> (World, mooring_tests::Daemon) {
    let world = World::new();
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    let photos = world.account_folder(ALICE).join("Photos");
    for n in 0..MANY {
        let name = photos.join(format!("holiday/IMG_{n:04}.jpg"));
        write(&name, format!("photo {n}").as_bytes(), 0o644, n);
    }
    assert_eq!(sync(&world).await["uploaded"], MANY);
    (world, daemon)
}

#[tokio::test]
async fn a_renamed_folder_of_many_files_is_renamed_there() {
    let (world, _daemon) = in_step().await;
    let (here, there) = (
        world.account_folder(ALICE).join("Photos"),
        world.storage().join("Photos"),
    );
    let before = inodes(&there.join("holiday"));
    assert_eq!(before.len(), MANY as usize);
    fs::rename(here.join("holiday"), here.join("Italy 2019")).unwrap();
    let outcome = sync(&world).await;
    let counts = ["moved", "uploaded", "downloaded", "deleted", "held"].map(|n| &outcome[n]);
    assert_eq!(counts, [MANY, 0, 0, 0, 0], "{outcome}");
    // The very files, under their new names; nothing of them in the trash.
    assert_eq!(inodes(&there.join("Italy 2019")), before);
    assert!(!there.join("holiday").exists());
    assert!(!world.storage().join(".mooring/trash").exists());
    belongings(&world).assert_same(&copies(&world));

    // The other way round, and in a person's words.
    let before = inodes(&here.join("Italy 2019"));
    fs::rename(there.join("Italy 2019"), there.join("Italia")).unwrap();
    let told = world.ctl(&["sync", ALICE, "--wait"]).run().await;
    let told = told.expect_code(0).stdout;
    assert!(
        told.contains(&format!("{MANY} files moved without a transfer.")),
        "{told}"
    );
    assert_eq!(inodes(&here.join("Italia")), before);
    belongings(&world).assert_same(&copies(&world));

    // What was moved counts as proven as anything else, and comes back under its new name.
    let all = belongings(&world);
    let told = sign_out(&world, &[]).await.expect_code(0);
    let removed = format!("{MANY} files removed");
    assert!(told.stdout.contains(&removed), "{}", told.stdout);
    everything_comes_back(&world, &all).await;
}
