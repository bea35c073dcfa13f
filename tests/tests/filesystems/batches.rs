//! Batches that are large enough for folders of their own, on the filesystem for which they have them.

use std::fs;
use std::path::Path;
use std::process::Command;

use mooring_tests::World;

use crate::disk::world;
use crate::place;
use crate::stage::{
    ALICE, belongings, copies, everything_comes_back, sign_out, signed_in, sync, write,
};

/// More than a batch needs for folders of its own (`Files::batch_from`).
const PHOTOS: u32 = 600;

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

/// Whether what is made in a folder is spread over the disk (`chattr +T`).
fn is_spread(folder: &Path) -> bool {
    let listed = Command::new("lsattr").arg("-d").arg(folder).output();
    let listed = listed.expect("lsattr is missing; run: apt-get install e2fsprogs");
    assert!(listed.status.success(), "{listed:?}");
    let text = String::from_utf8(listed.stdout).unwrap();
    text.split_whitespace().next().unwrap().contains('T')
}

fn take_photos(world: &World) {
    let photos = world.account_folder(ALICE).join("Photos");
    for nr in 0..PHOTOS {
        let name = format!("trip {}/IMG_{nr:04}.jpg", nr / 100);
        write(
            &photos.join(name),
            format!("photo {nr}").as_bytes(),
            0o644,
            nr % 28,
        );
    }
}

#[tokio::test]
async fn a_death_in_a_large_batch_leaves_no_folder_behind() {
    let world = world();
    let storage = place::disk(&world, "ext4", &world.storage());
    let home = place::disk(&world, "ext4", &world.home());
    let (daemon, _) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    take_photos(&world);
    let before = belongings(&world);
    let uploads = world.storage().join(".mooring/uploads");
    let staging = world.account_folder(ALICE).join("Photos/.mooring-staging");
    let all_is_well = || {
        before.assert_same(&copies(&world));
        before.assert_same(&belongings(&world));
        assert_eq!(names_in(&uploads), [""; 0]);
        assert_eq!(names_in(&staging), [""; 0]);
    };

    // While the copies are made.
    let fault = world.fault("worker/create:400");
    let daemon = world.daemon_with(&[fault.env()]).await;
    let _ = sync(&world).await.expect_code(0);
    assert!(fault.struck(), "it is never reached");
    all_is_well();
    assert!(is_spread(&uploads));
    let _ = sign_out(&world, &[]).await.expect_code(0);
    assert!(daemon.terminate().await.success());

    // While they are put in their places.
    let fault = world.fault("worker/rename:300");
    let daemon = world.daemon_with(&[fault.env()]).await;
    everything_comes_back(&world, &before).await;
    assert!(fault.struck(), "it is never reached");
    all_is_well();
    assert!(is_spread(&staging));
    assert!(daemon.terminate().await.success());
    drop((storage, home));
}
