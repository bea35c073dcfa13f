//! A real gnome-keyring on the private bus.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use mooring_tests::{PATIENCE, Process, World};
use zbus::{OwnedObjectPath, proxy};

use crate::stage::{
    ALICE, PASSWORD, doctor, expect_locked, expect_password_works, key_files, rotate, rotate_well,
    tell_tales,
};

const NAME: &str = "org.freedesktop.secrets";
const PROGRAM: &str = "/usr/bin/gnome-keyring-daemon";
const INSTALL: &str =
    "gnome-keyring-daemon is missing; run: apt-get install gnome-keyring (or: make setup)";
/// Where the keyring that is made first lies.
const LOGIN: &str = "/org/freedesktop/secrets/collection/login";

#[proxy(
    interface = "org.freedesktop.Secret.Service",
    default_service = "org.freedesktop.secrets",
    default_path = "/org/freedesktop/secrets"
)]
trait Service {
    fn search_items(
        &self,
        attributes: &std::collections::HashMap<&str, &str>,
    ) -> zbus::Result<(Vec<OwnedObjectPath>, Vec<OwnedObjectPath>)>;
    fn lock(
        &self,
        objects: &[zbus::ObjectPath<'_>],
    ) -> zbus::Result<(Vec<OwnedObjectPath>, OwnedObjectPath)>;
}

/// The keyring's daemon; its keyring is open with `password`, locked without.
async fn keyring(world: &World, password: Option<&str>) -> Process {
    assert!(Path::new(PROGRAM).exists(), "{INSTALL}");
    let (reader, mut writer) = std::io::pipe().unwrap();
    let word = password.unwrap_or_default();
    writer.write_all(word.as_bytes()).unwrap();
    drop(writer);
    let mut command = world.command(PROGRAM);
    command.args(["--foreground", "--components=secrets"]);
    command.args(password.map(|_| "--unlock"));
    command
        .stdin(reader)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let process = Process::start("gnome-keyring-daemon", &mut command);
    world.bus().wait_for_name(NAME, true, PATIENCE).await;
    process
}

/// How many keys of ours it keeps.
async fn kept(world: &World) -> usize {
    let service = ServiceProxy::new(&world.connect().await).await.unwrap();
    let ours = std::collections::HashMap::from([("application", mooring_api::BUS_NAME)]);
    let (open, locked) = service.search_items(&ours).await.unwrap();
    open.len() + locked.len()
}

async fn lock(world: &World) {
    let service = ServiceProxy::new(&world.connect().await).await.unwrap();
    let login = zbus::ObjectPath::try_from(LOGIN).unwrap();
    let (locked, _) = service.lock(&[login]).await.unwrap();
    assert_eq!(locked.len(), 1);
}

#[tokio::test]
async fn a_keyring_keeps_the_key_and_a_locked_one_locks() {
    let world = World::new();
    let mut ring = keyring(&world, Some("ring")).await;
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    assert_eq!((kept(&world).await, key_files(&world).len()), (1, 0));
    assert!(tell_tales(&world).is_empty());
    let (state, said) = doctor(&world).await;
    assert!(state == "ok" && said.contains("keyring"), "{said}");
    assert!(said.contains("your own programs can ask for it"), "{said}");
    assert!(daemon.terminate().await.success());

    // Another life of both.
    ring.kill();
    world.bus().wait_for_name(NAME, false, PATIENCE).await;
    let mut ring = keyring(&world, Some("ring")).await;
    let daemon = world.daemon().await;
    expect_password_works(&world).await;
    assert!(daemon.terminate().await.success());

    lock(&world).await;
    let daemon = world.daemon().await;
    let why = expect_locked(&world).await;
    assert!(why.contains("locked"), "{why}");
    // Unlocked by its person, it is asked again.
    ring.kill();
    world.bus().wait_for_name(NAME, false, PATIENCE).await;
    let gone = world.ctl(&["reauthenticate", ALICE]).password(PASSWORD);
    let gone = gone.run().await.expect_code(1);
    assert!(gone.stderr.contains("no Secret Service"), "{}", gone.stderr);
    let _ring = keyring(&world, Some("ring")).await;
    expect_password_works(&world).await;
    assert!(daemon.terminate().await.success());
    assert_eq!((kept(&world).await, key_files(&world).len()), (1, 0));
}

#[tokio::test]
async fn a_change_in_the_keyring_may_die_anywhere() {
    let world = World::new();
    let _ring = keyring(&world, Some("ring")).await;
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    assert!(daemon.terminate().await.success());
    for (point, before) in [
        ("broker/key-added:1", 2),
        ("broker/reseal-before:1", 2),
        ("broker/reseal-after:1", 2),
        ("broker/key-forgotten:1", 1),
    ] {
        let fault = world.fault(point);
        assert!(!rotate(&world, &[fault.env()]).status.success(), "{point}");
        assert!(fault.struck(), "{point} is never reached");
        assert_eq!(kept(&world).await, before, "{point}");
        let daemon = world.daemon().await;
        expect_password_works(&world).await;
        assert!(daemon.terminate().await.success());
        assert_eq!(
            (kept(&world).await, key_files(&world).len()),
            (1, 0),
            "{point}"
        );
    }
}

#[tokio::test]
async fn a_change_moves_the_key_from_a_file_into_the_keyring() {
    let world = World::new();
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    assert!(daemon.terminate().await.success());
    assert_eq!(key_files(&world).len(), 1);

    let ring = keyring(&world, Some("ring")).await;
    rotate_well(&world);
    assert_eq!((kept(&world).await, key_files(&world).len()), (1, 0));
    let daemon = world.daemon().await;
    expect_password_works(&world).await;
    assert!(daemon.terminate().await.success());

    // Without the keyring there is nothing to change it by, and nothing changes.
    drop(ring);
    world.bus().wait_for_name(NAME, false, PATIENCE).await;
    assert!(!rotate(&world, &[]).status.success());
    assert_eq!(key_files(&world).len(), 0);
    let _daemon = world.daemon().await;
    expect_locked(&world).await;
}
