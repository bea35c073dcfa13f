//! Another key, with a death at each point of the change.

use mooring_tests::World;

use crate::stage::{
    ALICE, PASSWORD, expect_password_works, key_file, key_files, rotate, rotate_well, tell_tales,
};

#[tokio::test]
async fn a_key_is_changed_and_the_one_before_is_gone() {
    let world = World::new();
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    // Not under a daemon that holds the other key.
    let refused = rotate(&world, &[]);
    assert!(!refused.status.success());
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("another mooringd runs"), "{told}");
    assert!(daemon.terminate().await.success());

    let before = key_file(&world);
    rotate_well(&world);
    assert_ne!(key_file(&world), before);
    assert!(tell_tales(&world).is_empty());
    let _daemon = world.daemon().await;
    expect_password_works(&world).await;
}

#[tokio::test]
async fn a_change_may_die_anywhere() {
    let world = World::new();
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    assert!(daemon.terminate().await.success());
    for (point, changed, kept) in [
        ("broker/key-added:1", false, 2),
        ("broker/reseal-before:1", false, 2),
        ("broker/reseal-after:1", true, 2),
        ("broker/key-forgotten:1", true, 1),
    ] {
        let before = key_file(&world);
        let fault = world.fault(point);
        assert!(!rotate(&world, &[fault.env()]).status.success(), "{point}");
        assert!(fault.struck(), "{point} is never reached");
        assert_eq!(key_files(&world).len(), kept, "{point}");
        let daemon = world.daemon().await;
        expect_password_works(&world).await;
        assert!(daemon.terminate().await.success());
        // The one that holds is the only one again.
        assert_eq!(key_file(&world) != before, changed, "{point}");
    }
    rotate_well(&world);
    let _daemon = world.daemon().await;
    expect_password_works(&world).await;
}

#[tokio::test]
async fn a_first_key_may_be_made_and_not_used() {
    let world = World::new();
    for point in [
        "broker/key-added:1",
        "broker/seal-before:1",
        "broker/seal-after:1",
    ] {
        let fault = world.fault(point);
        let mut command = world.command("mooringd");
        command.arg("--session").env(fault.env().0, fault.env().1);
        assert!(!command.output().unwrap().status.success());
        assert!(fault.struck(), "{point} is never reached");
    }
    let key = key_file(&world);
    let _daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    expect_password_works(&world).await;
    assert_eq!(
        key_file(&world),
        key,
        "the first is taken, and no other made"
    );
}
