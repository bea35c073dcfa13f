//! The worker's fence on the real binaries: what it keeps from a worker that somebody took over, how it
//! grows with what a person names, and that nothing else changes where the kernel has none.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mooring_tests::{Ctl, Daemon, World};

use crate::stage::*;

const BOB: &str = "bob";

/// What a worker says of reading a file, as soon as it has fenced itself in.
async fn tried(world: &World, file: &Path) -> String {
    let said = world.folder().join("said");
    fs::create_dir(&said).unwrap();
    let mark = said.join("mark");
    let value: OsString = format!("worker/read:{}@{}", file.display(), mark.display()).into();
    let daemon = world.daemon_with(&[("MOORING_FAULT", &value)]).await;
    // Only a worker that got so far answers.
    let _ = world.ctl(&["doctor"]).run().await;
    let told = fs::read_to_string(&mark);
    let told = told.unwrap_or_else(|error| panic!("{error}:\n{}", daemon.log()));
    assert!(daemon.terminate().await.success());
    fs::remove_dir_all(said).unwrap();
    told
}

#[tokio::test]
async fn a_worker_that_was_taken_over_reads_what_is_its_own_and_nothing_else() {
    let world = World::new();
    let (daemon, _) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    let key = world.home().join(".ssh/id_ed25519");
    write(&key, b"secret", 0o600, 1);
    let policy = world.config().join("mooring.toml");
    write(&policy, b"", 0o600, 1);
    for outside in [
        &key,
        &policy,
        &world.state().join("broker.db"),
        Path::new("/etc/passwd"),
    ] {
        assert!(outside.exists(), "{}", outside.display());
        assert_eq!(tried(&world, outside).await, "PermissionDenied");
    }
    let own = world.account_folder(ALICE).join("Documents/twin 1");
    let copy = world.storage().join("Documents/twin 1");
    for inside in [own, copy] {
        assert_eq!(tried(&world, &inside).await, "read");
    }
}

/// `mooringctl sign-in` of Bob, who keeps everything elsewhere.
fn sign_in_bob(world: &World, photos: &Path) -> Ctl {
    let storage = world.folder().join("elsewhere");
    fs::create_dir_all(&storage).unwrap();
    let (storage, photos) = (storage.display(), photos.display());
    let (storage, photos) = (storage.to_string(), format!("photos={photos}"));
    let all = [
        "--identity",
        BOB,
        "--storage",
        &storage,
        "--collection",
        &photos,
    ];
    let arguments = [&["sign-in", "local"], &all[..], &["--yes"]].concat();
    world.ctl(&arguments).password(PASSWORD)
}

/// Whether the running worker is another one than before.
fn is_another(daemon: &Daemon, before: &mut i32) -> bool {
    let now = daemon.worker_pid().expect("a worker").as_raw();
    std::mem::replace(before, now) != now
}

#[tokio::test]
async fn the_fence_grows_with_what_a_person_names() {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    let mut worker = daemon.worker_pid().unwrap().as_raw();
    let _ = sync(&world).await.expect_code(0);
    assert!(!is_another(&daemon, &mut worker), "nothing new was named");

    let photos = world.folder().join("pictures/of/bob");
    let _ = sign_in_bob(&world, &photos).run().await.expect_code(0);
    assert!(is_another(&daemon, &mut worker));
    write(&photos.join("one.jpg"), b"one", 0o644, 1);
    let _ = world
        .ctl(&["sync", BOB, "--wait"])
        .run()
        .await
        .expect_code(0);
    assert!(world.folder().join("elsewhere/Photos/one.jpg").exists());
    assert!(!is_another(&daemon, &mut worker));

    let stick = world.folder().join("stick");
    fs::create_dir(&stick).unwrap();
    let to = stick.to_str().unwrap();
    let _ = world
        .ctl(&["backup", ALICE, "--to", to])
        .run()
        .await
        .expect_code(0);
    assert!(is_another(&daemon, &mut worker));
    let backup = fs::read_dir(&stick)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::remove_dir_all(world.account_folder(ALICE).join("Documents/deep")).unwrap();
    let from = backup.to_str().unwrap();
    let _ = world
        .ctl(&["restore", ALICE, "--from", from])
        .run()
        .await
        .expect_code(0);
    before.assert_same(&belongings(&world));

    // Whose folders were made goes with them, up to where nothing was made.
    let gone = world.ctl(&["sign-out", BOB, "--yes"]).password(PASSWORD);
    let _ = gone.run().await.expect_code(0);
    assert!(!world.folder().join("pictures").exists());
    let _ = sign_out(&world, &[]).await.expect_code(0);
    assert!(!world.home().join("Accounts").exists());
}

#[tokio::test]
async fn folders_of_another_account_are_refused_by_a_worker_that_is_new_to_it() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let inside = world.account_folder(ALICE).join("Documents/for bob");
    let told = sign_in_bob(&world, &inside).run().await;
    assert_ne!(told.code, 0);
    assert!(
        told.stderr.contains("the folder for documents of alice"),
        "{}",
        told.stderr
    );
    before.assert_same(&belongings(&world));
}

#[tokio::test]
async fn a_home_that_comes_later_is_reached() {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    let (folder, away) = (world.account_folder(ALICE), world.home().join("away"));
    fs::rename(&folder, &away).unwrap();
    let _ = sync(&world).await.expect_code(1);
    // With another one in its place, as a mount point has; and a worker that has seen only that one.
    assert!(daemon.kill_worker());
    fs::create_dir_all(folder.join("Photos")).unwrap();
    let _ = sync(&world).await.expect_code(1);
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    let _ = sync(&world).await.expect_code(0);
    before.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));
}

/// A worker on a kernel without Landlock, as far as the calls tell.
fn without_landlock(world: &World) -> PathBuf {
    let worker = world.folder().join("worker");
    let real = world.binaries().join("mooring-worker");
    // Loads the number of the call (offset 0 of seccomp_data); landlock_create_ruleset is 444
    // everywhere; ENOSYS for that one (seccomp(2)).
    let script = format!(
        "#!/usr/bin/env python3\n\
         import ctypes, os, struct, sys\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         filters = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)]\n\
         code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *f) for f in filters))\n\
         program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(filters), ctypes.addressof(code)))\n\
         assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0\n\
         os.execv('{0}', ['{0}'] + sys.argv[1:])\n",
        real.display()
    );
    fs::write(&worker, script).unwrap();
    fs::set_permissions(&worker, Permissions::from_mode(0o755)).unwrap();
    worker
}

#[tokio::test]
async fn without_landlock_everything_works_and_doctor_says_so() {
    let world = World::new();
    let worker = without_landlock(&world);
    let daemon = world
        .daemon_with(&[("MOORING_WORKER", worker.as_os_str())])
        .await;
    world.sign_in(ALICE, PASSWORD).await;
    fill(&world);
    let before = belongings(&world);
    let _ = sync(&world).await.expect_code(0);
    let told = world.ctl(&["doctor"]).run().await.stdout;
    assert!(told.contains("the worker is not fenced in"), "{told}");
    assert!(
        daemon.log().contains("this kernel has no Landlock"),
        "{}",
        daemon.log()
    );
    let _ = sign_out(&world, &[]).await.expect_code(0);
    before.assert_same(&copies(&world));

    assert!(daemon.terminate().await.success());
    let _daemon = world.daemon().await;
    let told = world.ctl(&["doctor"]).run().await.expect_code(0).stdout;
    assert!(told.contains("reaches its accounts' folders"), "{told}");
}
