//! A whole life on each file system: sign-in, sync, edits, a backup, sign-out, and the return.

use std::fs;
use std::path::Path;

use mooring_tests::{Manifest, World};
use tokio::time::Instant;

use crate::disk::world;
use crate::place;
use crate::stage::{
    ALICE, PASSWORD, belongings, copies, everything_comes_back, plain, sign_out, signed_in, sync,
    write,
};

/// What Alice changes in the middle of her life.
pub fn edit(world: &World) {
    let home = world.account_folder(ALICE);
    write(&home.join("Documents/empty"), b"no longer", 0o644, 60);
    write(&home.join("Documents/new/later"), b"later", 0o600, 61);
    write(&home.join("Videos/waves.avi"), &vec![9; 200_000], 0o640, 62);
    let photos = home.join("Photos");
    fs::rename(photos.join("2019/IMG_0002.jpg"), photos.join("moved.jpg")).unwrap();
}

/// From the first sign-in to the return; answers what there was in the end.
pub async fn life(world: &World, backups: &Path) -> Manifest {
    let (daemon, _) = signed_in(world).await;
    edit(world);
    let before = belongings(world);
    let _ = sync(world).await.expect_code(0);
    before.assert_same(&copies(world));
    fs::create_dir_all(backups).unwrap();
    let to = backups.to_str().unwrap();
    let call = world.ctl(&["backup", ALICE, "--to", to]).run().await;
    let _ = call.expect_code(0);
    let _ = sign_out(world, &[]).await.expect_code(0);
    assert_eq!(belongings(world).files(), 0);
    before.assert_same(&copies(world));
    everything_comes_back(world, &before).await;
    assert!(daemon.terminate().await.success());
    before
}

/// The same with everything on one file system, or the storage alone.
async fn life_on(mount: impl Fn(&World, &Path) -> place::Mounted, whole: bool) {
    let world = world();
    let began = Instant::now();
    let _mounted = if whole {
        let disk = world.folder().join("disk");
        fs::create_dir(&disk).unwrap();
        let mounted = mount(&world, &disk);
        for name in ["home", "state", "storage"] {
            let there = disk.join(name);
            fs::create_dir(&there).unwrap();
            fs::remove_dir(world.folder().join(name)).unwrap();
            std::os::unix::fs::symlink(&there, world.folder().join(name)).unwrap();
        }
        mounted
    } else {
        mount(&world, &world.storage())
    };
    life(&world, &world.folder().join("backups")).await;
    println!("a life took {} ms", began.elapsed().as_millis());
}

#[tokio::test]
async fn a_life_on_ext4() {
    life_on(|world, at| place::disk(world, "ext4", at), false).await;
}

#[tokio::test]
async fn a_life_on_xfs() {
    life_on(|world, at| place::disk(world, "xfs", at), false).await;
}

#[tokio::test]
async fn a_life_on_btrfs() {
    life_on(|world, at| place::disk(world, "btrfs", at), false).await;
}

#[tokio::test]
async fn a_life_with_home_and_state_on_btrfs_too() {
    life_on(|world, at| place::disk(world, "btrfs", at), true).await;
}

#[tokio::test]
async fn a_life_on_overlay() {
    life_on(place::overlay, false).await;
}

#[tokio::test]
async fn a_life_on_fuse() {
    let world = world();
    let (fuse, behind) = place::fuse(&world, &world.storage());
    let before = life(&world, &world.folder().join("backups")).await;
    before.assert_same(&plain(world.manifest(&behind)));
    drop(fuse);
}

/// A storage that is a FAT in all but name (this kernel has no vfat): no modes, times of two seconds,
/// and upper case is lower case. What it cannot keep is no loss of bytes.
#[tokio::test]
async fn a_life_on_what_behaves_like_fat() {
    let world = world();
    let (fuse, behind) = place::fuse(&world, &world.storage());
    fuse.orders.coarse_times(2);
    fuse.orders.no_modes();
    fuse.orders.fold_case();
    let daemon = world.daemon().await;
    world.sign_in(ALICE, crate::stage::PASSWORD).await;
    crate::stage::fill(&world);
    let before = belongings(&world);
    let _ = sync(&world).await.expect_code(0);
    same_bytes(&before, &plain(world.manifest(&behind)));
    let _ = sign_out(&world, &[]).await.expect_code(0);
    assert_eq!(belongings(&world).files(), 0);
    same_bytes(&before, &plain(world.manifest(&behind)));
    let call = crate::stage::sign_in(&world);
    let _ = call
        .password(crate::stage::PASSWORD)
        .run()
        .await
        .expect_code(0);
    same_bytes(&before, &belongings(&world));
    assert!(daemon.terminate().await.success());
}

/// Names and bytes are the same, whatever became of modes and times.
pub fn same_bytes(before: &Manifest, after: &Manifest) {
    let bytes = |manifest: &Manifest| {
        let mut bytes = manifest.clone();
        for entry in bytes.0.values_mut() {
            (entry.mode, entry.modified) = (0, 0);
        }
        bytes
    };
    bytes(before).assert_same(&bytes(after));
}

/// A subvolume is no mount, and yet nothing moves out of it: what is in it is told, is not taken in,
/// and stays.
#[tokio::test]
async fn a_subvolume_in_a_collection_is_told_and_left_alone() {
    let world = world();
    let _mounted = place::disk(&world, "btrfs", &world.home());
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    let photos = world.account_folder(ALICE).join("Photos");
    let raw = photos.join("raw");
    let made = std::process::Command::new("btrfs")
        .args(["subvolume", "create"])
        .arg(&raw)
        .output()
        .expect("btrfs is missing; run: apt-get install btrfs-progs");
    assert!(made.status.success(), "{made:?}");
    write(&raw.join("a.raw"), b"raw", 0o644, 1);
    write(&photos.join("a.jpg"), b"photo", 0o644, 2);
    let told = sync(&world).await;
    assert!(told.stdout.contains("subvolume"), "{told:?}");
    assert!(world.storage().join("Photos/a.jpg").exists());
    assert!(!world.storage().join("Photos/raw").exists());
    let told = sign_out(&world, &[]).await;
    assert!(raw.join("a.raw").exists(), "{told:?}");
    println!("{}\n{}", told.stdout, told.stderr);
    assert!(daemon.terminate().await.success());
}
