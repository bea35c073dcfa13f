//! A disk that is taken out and put in again, while a worker lives that knew it, or one that did not.

use std::fs;

use crate::disk::world;
use crate::place;
use crate::stage::{ALICE, belongings, copies, signed_in, sync, write};

#[tokio::test]
async fn a_disk_that_is_put_in_again_is_found_at_once() {
    let world = world();
    let mut disk = place::disk(&world, "ext4", &world.storage());
    let (daemon, _) = signed_in(&world).await;
    for (nr, away) in ["nothing", "a sync", "a new worker", "nothing"]
        .into_iter()
        .enumerate()
    {
        let new = world.account_folder(ALICE).join(format!("Documents/{nr}"));
        write(&new, away.as_bytes(), 0o644, 1);
        disk.take_out();
        if away != "nothing" {
            if away == "a new worker" {
                assert!(daemon.kill_worker());
            }
            let told = sync(&world).await.expect_code(1);
            assert!(told.stderr.contains("mount or plug it in"), "{told:?}");
        }
        disk.put_in();
        let _ = sync(&world).await.expect_code(0);
        belongings(&world).assert_same(&copies(&world));
    }
    assert!(fs::read_dir(world.storage()).unwrap().next().is_some());
    assert!(daemon.terminate().await.success());
}
