//! A key that is not there, not the right one, or not whole; and rows that were tampered with.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use mooring_tests::World;

use crate::stage::{
    ALICE, PASSWORD, doctor, expect_locked, expect_password_works, key_file, key_files, standing,
    tell_tales,
};

/// Alice signed in, everything in the storage, the daemon stopped.
async fn signed_in() -> World {
    let world = World::new();
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    world.fill(ALICE);
    let _ = world
        .ctl(&["sync", ALICE, "--wait"])
        .run()
        .await
        .expect_code(0);
    assert!(daemon.terminate().await.success());
    world
}

#[tokio::test]
async fn no_hash_lies_in_the_state_and_the_key_is_its_owners() {
    let world = signed_in().await;
    assert_eq!(tell_tales(&world), Vec::<std::path::PathBuf>::new());
    let key = key_file(&world);
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(&key).unwrap().len(), 32);
    let _daemon = world.daemon().await;
    let (state, said) = doctor(&world).await;
    assert_eq!(state, "ok");
    assert!(said.contains(key.to_str().unwrap()), "{said}");
    assert!(said.contains("your own programs can read it"), "{said}");
    expect_password_works(&world).await;
}

/// Takes the key away in one way or another, looks at what still works, and puts it back.
async fn without_its_key(take: impl FnOnce(&std::path::Path), expect: &str) {
    let world = signed_in().await;
    let before = world.manifest(world.account_folder(ALICE));
    let key = key_file(&world);
    let bytes = fs::read(&key).unwrap();
    take(&key);

    let daemon = world.daemon().await;
    let why = expect_locked(&world).await;
    assert!(why.contains(expect), "{why}");
    assert_eq!(doctor(&world).await.0, "bad");
    // What needs no password goes on, and does not hide what is wrong.
    let added = world.account_folder(ALICE).join("Documents/new");
    fs::write(&added, "new").unwrap();
    let _ = world
        .ctl(&["sync", ALICE, "--wait"])
        .run()
        .await
        .expect_code(0);
    assert!(world.storage().join("Documents/new").exists());
    fs::remove_file(&added).unwrap();
    let _ = world
        .ctl(&["sync", ALICE, "--wait"])
        .run()
        .await
        .expect_code(0);
    expect_locked(&world).await;
    // What needs it is refused, by name, and nothing is removed.
    let told = world
        .ctl(&["sign-out", ALICE, "--yes", "--json"])
        .password(PASSWORD);
    let told = told.run().await.expect_code(1);
    assert!(
        told.stdout.contains("SecretsLocked") || told.stderr.contains("SecretsLocked"),
        "{told:?}"
    );
    let told = world.ctl(&["reauthenticate", ALICE]).password(PASSWORD);
    let told = told.run().await.expect_code(1);
    assert!(told.stderr.contains("locked"), "{}", told.stderr);
    before.assert_same(&world.manifest(world.account_folder(ALICE)));

    // Put back, it is found without a restart.
    fs::write(&key, &bytes).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    expect_password_works(&world).await;
    assert!(daemon.terminate().await.success());
    assert_eq!(key_files(&world), [key]);
}

#[tokio::test]
async fn a_missing_key_locks_and_deletes_nothing() {
    without_its_key(|key| fs::remove_file(key).unwrap(), "is not there").await;
}

#[tokio::test]
async fn another_key_locks() {
    without_its_key(
        |key| fs::write(key, [0x42; 32]).unwrap(),
        "holds another key",
    )
    .await;
}

#[tokio::test]
async fn a_torn_key_locks() {
    without_its_key(|key| fs::write(key, [0x42; 31]).unwrap(), "31").await;
}

#[tokio::test]
async fn a_key_that_others_can_read_is_not_used() {
    let open = fs::Permissions::from_mode(0o644);
    without_its_key(
        |key| fs::set_permissions(key, open).unwrap(),
        "others can read it",
    )
    .await;
}

#[tokio::test]
async fn without_a_key_nobody_new_is_signed_in_and_no_identity_is_made() {
    let world = signed_in().await;
    fs::remove_file(key_file(&world)).unwrap();
    let _daemon = world.daemon().await;
    let other = world.folder().join("other");
    fs::create_dir(&other).unwrap();
    let storage = other.to_str().unwrap();
    let words = [
        "sign-in",
        "local",
        "--identity",
        "bob",
        "--storage",
        storage,
        "--yes",
    ];
    let told = world.ctl(&words).password(PASSWORD).run().await;
    let told = told.expect_code(1);
    assert!(told.stderr.contains("is not there"), "{}", told.stderr);
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    assert!(key_files(&world).is_empty(), "no key takes its place");
}

#[tokio::test]
async fn a_flipped_bit_in_a_sealed_row_locks() {
    let world = signed_in().await;
    let database = rusqlite::Connection::open(world.state().join("broker.db")).unwrap();
    let sealed = || -> Vec<u8> {
        let query = "SELECT secret FROM sealed";
        database.query_row(query, [], |row| row.get(0)).unwrap()
    };
    let whole = sealed();
    let put = |bytes: &[u8]| {
        let changed = database.execute("UPDATE sealed SET secret = ?1", [bytes]);
        assert_eq!(changed.unwrap(), 1);
    };
    for at in [0, 24, 40, whole.len() - 1] {
        let mut other = whole.clone();
        other[at] ^= 1;
        put(&other);
        let daemon = world.daemon().await;
        let why = expect_locked(&world).await;
        assert!(why.contains("changed"), "{why}");
        assert!(daemon.terminate().await.success());
        assert_eq!(sealed(), other, "nothing is mended by making it up");
    }
    put(&whole);
    let _daemon = world.daemon().await;
    assert_eq!(standing(&world).await.0, "active");
    expect_password_works(&world).await;
}
