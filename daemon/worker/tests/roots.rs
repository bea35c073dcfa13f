//! Roots that are, contain or lie in one another or the storage, by whatever way: refused before
//! anything is written. Folders that have files, or are another account's.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use mooring_core::collection::Collection;
use mooring_worker::apart::check_roots;
use mooring_worker::error::Error;
use mooring_worker::files::real::RealFiles;
use mooring_worker::files::twin::TwinFiles;
use mooring_worker::signin;
use stage::real::{Real, contents};
use stage::{PHOTOS, STORAGE, Stage};

/// Set for the process that runs a test in a mount namespace of its own.
const OWN_MOUNTS: &str = "MOORING_TEST_OWN_MOUNTS";

fn roots(photos: &str, documents: &str) -> Vec<(Collection, PathBuf)> {
    vec![
        (Collection::Photos, photos.into()),
        (Collection::Documents, documents.into()),
    ]
}

fn refused(result: Result<(), Error>, what: &str) {
    match result {
        Err(Error::Refused(said)) => assert!(said.contains("folder"), "{what}: {said}"),
        other => panic!("{what}: {other:?}"),
    }
}

/// The same folders by a link to the home, to the storage, and to a folder in it.
fn machine() -> TwinFiles {
    let twin = TwinFiles::new();
    for path in [
        "/home/alice/Photos/sub",
        "/mnt/nas/Photos/2024",
        "/mnt/other",
    ] {
        twin.mkdir(path).unwrap();
    }
    twin.symlink("/home/alice", "/home/link").unwrap();
    twin.symlink("/mnt/nas", "/home/alice/to-nas").unwrap();
    twin.symlink("/mnt/nas/Photos/2024", "/home/alice/to-2024")
        .unwrap();
    twin.symlink("../alice/Photos/sub", "/home/alice/to-sub")
        .unwrap();
    twin
}

#[test]
fn roots_in_one_another_are_refused() {
    let twin = machine();
    let pairs = [
        ("/home/alice/Photos", "/home/alice/Photos"),
        ("/home/alice/Photos", "/home/alice/Photos/sub"),
        ("/home/alice/Photos/sub", "/home/alice/Photos"),
        ("/home/alice/Photos", "/home/link/Photos"),
        ("/home/alice/Photos", "/home/link/Photos/sub"),
        ("/home/alice/Photos", "/home/alice/to-sub"),
        ("/home/alice/to-sub", "/home/alice/Photos"),
        // None of them is there yet.
        ("/home/alice/new", "/home/link/new"),
        ("/home/alice/new", "/home/link/new/er"),
        ("/home/alice/to-sub/new", "/home/alice/Photos/sub/new/er"),
    ];
    for (one, other) in pairs {
        let result = check_roots(&twin, Path::new("/mnt/nas"), &roots(one, other));
        refused(result, &format!("{one} and {other}"));
    }
    let apart = roots("/home/alice/Photos", "/home/alice/Photos2");
    check_roots(&twin, Path::new("/mnt/nas"), &apart).unwrap();
}

#[test]
fn roots_around_or_in_a_storage_are_refused() {
    let twin = machine();
    for root in [
        "/mnt/nas",
        "/mnt",
        "/mnt/nas/Photos",
        "/mnt/nas/new",
        "/home/alice/to-nas",
        "/home/alice/to-nas/new",
        "/home/alice/to-2024",
        "/home/alice/to-2024/new",
        "/home/link/to-2024",
    ] {
        let result = check_roots(
            &twin,
            Path::new("/mnt/nas"),
            &[(Collection::Photos, root.into())],
        );
        refused(result, root);
        let storage = check_roots(
            &twin,
            Path::new("/home/alice/to-nas"),
            &[(Collection::Photos, root.into())],
        );
        refused(storage, &format!("{root}, with the storage behind a link"));
    }
    // The storage in a root.
    let result = check_roots(
        &twin,
        Path::new("/home/alice/Photos/sub"),
        &[(Collection::Photos, "/home/link/Photos".into())],
    );
    refused(result, "the storage in a root");
}

#[test]
fn paths_that_are_none_are_refused() {
    let twin = machine();
    for root in [
        "Photos",
        "",
        "/",
        "/home/alice/../alice/x",
        "/home/alice/./../..",
        "..",
    ] {
        let result = check_roots(
            &twin,
            Path::new("/mnt/nas"),
            &[(Collection::Photos, root.into())],
        );
        assert!(
            matches!(result, Err(Error::Refused(_))),
            "{root}: {result:?}"
        );
        let result = check_roots(
            &twin,
            Path::new(root),
            &roots("/home/alice/a", "/home/alice/b"),
        );
        assert!(
            matches!(result, Err(Error::Refused(_))),
            "{root}: {result:?}"
        );
    }
}

/// A refusal writes nothing.
#[test]
fn a_refused_sign_in_leaves_no_trace() {
    let mut real = Real::new();
    let link = real.path("home/link");
    fs::create_dir_all(real.copies().join("2024")).unwrap();
    symlink(real.copies().join("2024"), &link).unwrap();
    fs::write(link.join("a.jpg"), "a").unwrap();
    real.collections = vec![(Collection::Photos, link)];
    let before = contents(&real.path(""));
    assert!(matches!(real.sign_in(true), Err(Error::Refused(_))));
    let after: Vec<_> = contents(&real.path("")).into_keys().collect();
    let after: Vec<_> = after
        .into_iter()
        .filter(|p| !p.starts_with("state-0"))
        .collect();
    assert_eq!(after, before.into_keys().collect::<Vec<_>>());
}

/// A folder above that may be passed through and not listed is no obstacle.
#[test]
fn an_unreadable_folder_above_is_no_obstacle() {
    let twin = machine();
    twin.chmod("/home", 0o311).unwrap();
    check_roots(
        &twin,
        Path::new("/mnt/nas"),
        &roots("/home/alice/a", "/home/alice/b"),
    )
    .unwrap();
}

/// A folder below one is mounted as the other, so that no folder on the way is the same.
fn parts_that_are_mounted_elsewhere(path: &dyn Fn(&str) -> PathBuf) {
    for below in ["nas/deep/in", "pictures/trip", "storage", "part", "apart"] {
        fs::create_dir_all(path(below)).unwrap();
    }
    let run = |command: &str, arguments: &[&std::ffi::OsStr]| {
        let status = Command::new(command).args(arguments).status();
        assert!(status.unwrap().success(), "{command} {arguments:?}");
    };
    let bind = |from: &str, to: &str| {
        let (from, to) = (path(from), path(to));
        run("mount", &["--bind".as_ref(), from.as_ref(), to.as_ref()]);
    };
    let check = |storage: &str, roots: &[(Collection, &str)]| {
        let roots: Vec<_> = roots.iter().map(|(c, root)| (*c, path(root))).collect();
        check_roots(&RealFiles::new(), &path(storage), &roots)
    };
    bind("nas/deep", "part");
    bind("pictures/trip", "storage");
    let photos = Collection::Photos;
    for root in ["part", "part/in", "part/new"] {
        refused(check("nas", &[(photos, root)]), root);
    }
    refused(check("storage", &[(photos, "pictures")]), "its own part");
    let two = [(photos, "pictures"), (Collection::Documents, "storage")];
    refused(check("nas", &two), "two collections");
    check("nas", &[(photos, "apart")]).unwrap();
    for mounted in ["part", "storage"] {
        run("umount", &[path(mounted).as_ref()]);
    }
}

/// A storage that is mounted a second time.
#[test]
fn bind_mounts_are_seen() {
    if std::env::var_os(OWN_MOUNTS).is_none() {
        let possible = Command::new("unshare").args(["-m", "true"]).status();
        if !possible.is_ok_and(|status| status.success()) {
            eprintln!("no mounts may be made here: not tested");
            return;
        }
        let status = Command::new("unshare")
            .arg("-m")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "bind_mounts_are_seen"])
            .env(OWN_MOUNTS, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |below: &str| folder.path().join(below);
    for below in ["nas/Photos", "again", "home"] {
        fs::create_dir_all(path(below)).unwrap();
    }
    let bound = Command::new("mount")
        .arg("--bind")
        .args([path("nas"), path("again")])
        .status();
    assert!(bound.unwrap().success());
    for root in ["again", "again/Photos", "again/new"] {
        let result = check_roots(
            &RealFiles::new(),
            &path("nas"),
            &[(Collection::Photos, path(root))],
        );
        refused(result, root);
    }
    let result = check_roots(
        &RealFiles::new(),
        &path("nas"),
        &[(Collection::Photos, path("home"))],
    );
    result.unwrap();
    parts_that_are_mounted_elsewhere(&path);
    assert!(
        Command::new("umount")
            .arg(path("again"))
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_folder_with_files_needs_consent() {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage
        .twin
        .write_durable(format!("{PHOTOS}/mine.jpg"), "mine")
        .unwrap();
    assert!(matches!(stage.sign_in(false), Err(Error::Refused(_))));
    assert_eq!(
        stage.contents(&format!("{STORAGE}/Photos")).len(),
        0,
        "uploaded without consent"
    );
    signin::abandon(&stage.account()).unwrap();
    assert_eq!(
        stage.twin.read(format!("{PHOTOS}/mine.jpg")).unwrap(),
        b"mine"
    );
    assert!(!stage.twin.exists(format!("{PHOTOS}/.mooring-collection")));

    stage.sign_in(true).unwrap();
    assert_eq!(stage.contents(&format!("{STORAGE}/Photos")).len(), 1);
}

#[test]
fn another_accounts_folder_is_not_taken() {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    stage
        .twin
        .write_durable(format!("{PHOTOS}/a.jpg"), "a")
        .unwrap();
    signin::sync_now(&stage.account(), true).unwrap();
    let before = stage.contents(PHOTOS);

    // Another account of the same person, that has nothing of the first one but its folders.
    let mut other = Stage::seen(stage.twin.clone(), stage.nas);
    other.journal.sign_in = 7;
    for adopt in [false, true] {
        assert!(
            matches!(other.sign_in(adopt), Err(Error::Refused(_))),
            "adopt {adopt}"
        );
    }
    signin::abandon(&other.account()).unwrap();
    assert_eq!(stage.contents(PHOTOS), before);
    // The first one does not notice.
    signin::sync_now(&stage.account(), true).unwrap();
    stage.sign_out().unwrap();
    assert_eq!(stage.contents(PHOTOS).len(), 0);
}

/// What a sign-in made, an abandoned one takes away; what was there stays, with its permissions.
#[test]
fn an_abandoned_sign_in_leaves_files_alone() {
    let real = Real::new();
    fs::create_dir_all(real.photos()).unwrap();
    fs::set_permissions(real.photos(), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(real.photos().join("mine.jpg"), "mine").unwrap();
    let account = real.account();
    // As far as it comes before its storage is gone.
    fs::rename(real.storage.join(".mooring"), real.path("moved")).unwrap();
    signin::sign_in(&account, true).unwrap_err();
    signin::abandon(&account).unwrap();
    assert_eq!(contents(real.photos()).len(), 1);
    assert_eq!(
        fs::metadata(real.photos()).unwrap().permissions().mode() & 0o777,
        0o750
    );
    assert_eq!(fs::read_dir(real.photos()).unwrap().count(), 1);
}
