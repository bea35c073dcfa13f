//! Names, kinds and stamps of the worst sort, on real files, through a whole life: sign-in, sync,
//! sign-out, return. What is the account's comes back byte for byte; what is not stays untouched.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use mooring_worker::plan;
use nix::sys::stat::Mode;
use stage::real::{Real, contents};

/// Set for the process that runs a test once more as nobody.
const AS_NOBODY: &str = "MOORING_TEST_AS_NOBODY";
/// Nobody, where the system has no other idea.
const NOBODY: u32 = 65534;
/// A large file, without taking much room.
const SPARSE: u64 = 100 * 1024 * 1024;
/// Folders in folders.
const DEPTH: usize = 100;

/// Names that are legal on Linux and troublesome elsewhere.
fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "new\nline",
        "tab\t",
        "\u{1b}[31mred",
        "-rf",
        "--",
        " leading",
        "trailing ",
        "trailing.",
        "...",
        "~",
        "#",
        "a\\b",
        "a\\x41",
        "quote'\"",
        "$(reboot)",
        "%s%n",
        "*",
        "?",
        "con",
        "nul.txt",
        "caf\u{e9}",
        "cafe\u{301}",
        "Twin",
        "twin",
        "TWIN",
        "\u{202e}gpj.exe",
        ".hidden",
        ".mooring-staging.txt",
        ".mooring",
        "new-a0-0",
        "out-0123",
        "x (conflict y)",
        "x (conflict laptop 2026-11-24 00000000).jpg",
        "desktop.ini",
        ".directory",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(vec![0xff, 0xfe]);
    names.push(b"half \xc3".to_vec());
    names.push(vec![b'n'; 255]);
    names.push("\u{20ac}".repeat(85).into_bytes());
    names
}

fn path(root: &Path, name: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(name))
}

/// Makes them all in a folder, and below it.
fn make_names(root: &Path) {
    for name in names() {
        fs::write(
            path(root, &name),
            [b"content of ", name.as_slice()].concat(),
        )
        .unwrap();
    }
    let below = root
        .join("folder\nof")
        .join(OsStr::from_bytes(b"\xff bytes"));
    fs::create_dir_all(&below).unwrap();
    for name in names() {
        fs::write(path(&below, &name), [b"below ", name.as_slice()].concat()).unwrap();
    }
    // Mooring's own names are only its own in the root.
    for name in [".mooring-staging/new-a0-0", ".mooring-collection"] {
        let file = below.join(name);
        if name.contains('/') {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "looks like ours").unwrap();
        }
    }
}

/// Signs out and in again. Answers the report.
fn out_and_in(real: &mut Real) -> mooring_wire::RemoveReport {
    let report = real.sign_out(&[]).unwrap();
    let returned = real.sign_in(true).unwrap();
    assert_eq!(returned.checked, returned.expected, "{returned:?}");
    report
}

fn settled(real: &Real) {
    assert_eq!(real.sync().unwrap(), 0);
    assert_eq!(real.sync().unwrap(), 0);
    assert_eq!(contents(real.photos()), contents(&real.copies()));
}

#[test]
fn hostile_names_come_back() {
    let mut real = Real::new();
    real.sign_in(false).unwrap();
    make_names(real.photos());
    let before = contents(real.photos());
    assert!(before.len() > 70);
    settled(&real);
    let account = real.account();
    let facts = plan::plan(&account, &[]).unwrap();
    assert!(facts.blockers.is_empty(), "{facts:?}");
    drop(account);
    let report = out_and_in(&mut real);
    assert_eq!(report.left, Vec::new());
    assert_eq!(contents(real.photos()), before);
}

/// Longer than any path that the kernel takes at once.
#[test]
fn a_tree_deeper_than_a_path_may_be_long() {
    let mut real = Real::new();
    real.sign_in(false).unwrap();
    let name = "d".repeat(200);
    let mut dir =
        nix::fcntl::open(real.photos(), nix::fcntl::OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..DEPTH {
        nix::sys::stat::mkdirat(&dir, name.as_str(), Mode::S_IRWXU).unwrap();
        let flags = nix::fcntl::OFlag::O_DIRECTORY;
        dir = nix::fcntl::openat(&dir, name.as_str(), flags, Mode::empty()).unwrap();
    }
    let flags = nix::fcntl::OFlag::O_CREAT | nix::fcntl::OFlag::O_WRONLY;
    let file = nix::fcntl::openat(&dir, "deep.jpg", flags, Mode::S_IRUSR).unwrap();
    nix::unistd::write(&file, b"deep").unwrap();
    drop((file, dir));
    assert_eq!(real.sync().unwrap(), 0);
    let report = out_and_in(&mut real);
    assert_eq!(report.removed[0].1.files, 1);
    assert_eq!(report.left, Vec::new());
    let report = real.sign_out(&[]).unwrap();
    assert_eq!(report.removed[0].1.files, 1);
}

/// What is neither file nor folder, and what points elsewhere.
#[test]
fn links_and_special_files_stay() {
    let mut real = Real::new();
    real.sign_in(false).unwrap();
    let photos = real.photos().to_owned();
    let elsewhere = real.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("mine.jpg"), "mine").unwrap();
    fs::create_dir(photos.join("trip")).unwrap();
    fs::write(photos.join("trip/real.jpg"), "real").unwrap();
    symlink("/etc/passwd", photos.join("to a file")).unwrap();
    symlink(&elsewhere, photos.join("to a folder")).unwrap();
    symlink("nowhere", photos.join("trip/dangling")).unwrap();
    symlink("loop", photos.join("loop")).unwrap();
    symlink("..", photos.join("trip/up")).unwrap();
    nix::unistd::mkfifo(&photos.join("trip/fifo"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(photos.join("socket")).unwrap();
    settled(&real);
    let report = real.sign_out(&[]).unwrap();
    assert_eq!(report.removed[0].1.files, 1);
    let left: Vec<_> = report
        .left
        .iter()
        .map(|l| String::from_utf8_lossy(&l.path).into_owned())
        .collect();
    for name in [
        "to a file",
        "to a folder",
        "trip/dangling",
        "loop",
        "trip/up",
        "trip/fifo",
        "socket",
    ] {
        assert!(
            left.iter().any(|path| path.ends_with(name)),
            "{name} is not named: {left:?}"
        );
        assert!(
            photos.join(name).symlink_metadata().is_ok(),
            "{name} is gone"
        );
    }
    assert_eq!(fs::read(elsewhere.join("mine.jpg")).unwrap(), b"mine");
    assert_eq!(contents(&real.copies()).len(), 1, "a link was followed");
}

/// The storage is hostile: links and special files in it lead nowhere and hang nothing.
#[test]
fn links_and_special_files_in_the_storage() {
    let mut real = Real::new();
    real.sign_in(false).unwrap();
    fs::write(real.path("home/secret"), "secret").unwrap();
    let copies = real.copies();
    symlink(real.path("home/secret"), copies.join("a.jpg")).unwrap();
    symlink(real.path("home"), copies.join("home")).unwrap();
    nix::unistd::mkfifo(&copies.join("fifo.jpg"), Mode::S_IRWXU).unwrap();
    fs::write(copies.join("suid"), "#!/bin/sh\n").unwrap();
    // Old enough that its stamp is believed, and no second reading puts a wrong record right.
    let old = SystemTime::now() - Duration::from_secs(3600);
    let file = File::options().write(true).open(copies.join("suid"));
    file.unwrap().set_modified(old).unwrap();
    fs::set_permissions(copies.join("suid"), fs::Permissions::from_mode(0o6755)).unwrap();
    real.sync().unwrap();
    let here = contents(real.photos());
    assert_eq!(here.keys().collect::<Vec<_>>(), [Path::new("suid")]);
    let mode = fs::metadata(real.photos().join("suid"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(
        mode & 0o7000,
        0,
        "the storage gave the device a set-user-ID program"
    );
    real.sign_out(&[]).unwrap();
    assert_eq!(fs::read(real.path("home/secret")).unwrap(), b"secret");
    assert!(!real.photos().join("suid").exists(), "its copy was proven");
}

#[test]
fn stamps_sizes_and_modes() {
    let mut real = Real::new();
    real.sign_in(false).unwrap();
    let photos = real.photos().to_owned();
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(86_400 * 365 * 20);
    let in_2200 = SystemTime::UNIX_EPOCH + Duration::from_secs(7_258_118_400);
    let in_2400 = SystemTime::UNIX_EPOCH + Duration::from_secs(13_569_465_600);
    let times = [
        ("before", before_1970),
        ("far", in_2200),
        ("too far", in_2400),
        ("epoch", SystemTime::UNIX_EPOCH),
    ];
    for (name, time) in times {
        let file = File::create(photos.join(name)).unwrap();
        fs::write(photos.join(name), name).unwrap();
        file.set_modified(time).unwrap();
    }
    for (name, mode) in [
        ("0444", 0o444),
        ("0200", 0o200),
        ("0000", 0),
        ("4755", 0o4755),
    ] {
        fs::write(photos.join(name), name).unwrap();
        fs::set_permissions(photos.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    File::create(photos.join("empty")).unwrap();
    File::create(photos.join("another empty")).unwrap();
    File::create(photos.join("sparse"))
        .unwrap()
        .set_len(SPARSE)
        .unwrap();
    fs::hard_link(photos.join("0444"), photos.join("hard link")).unwrap();
    let before: BTreeMap<_, _> = contents(&photos);
    let root = is_root();
    if !root {
        // Nobody may read these, so they cannot be uploaded: that blocks, and is said.
        assert_eq!(real.sync().unwrap(), 2);
        real.sign_out(&[]).unwrap_err();
        for name in ["0000", "0200"] {
            fs::remove_file(photos.join(name)).unwrap();
        }
        mooring_worker::leave::stay(&real.account()).unwrap();
    }
    real.sync().unwrap();
    let report = out_and_in(&mut real);
    assert_eq!(report.left, Vec::new());
    let after = contents(&photos);
    for (path, bytes) in before {
        if root || !["0000", "0200"].contains(&path.to_str().unwrap()) {
            assert_eq!(
                after.get(&path).map(Vec::len),
                Some(bytes.len()),
                "{}",
                path.display()
            );
            assert!(after[&path] == bytes, "{}", path.display());
        }
    }
    let time = fs::metadata(photos.join("before"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(time, before_1970);
    assert_eq!(
        fs::metadata(photos.join("far"))
            .unwrap()
            .modified()
            .unwrap(),
        in_2200
    );
    assert_eq!(
        fs::metadata(photos.join("0444"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o444
    );
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Runs a test of this file once more, as nobody: root may read everything.
fn as_nobody(test: &str) -> bool {
    if std::env::var_os(AS_NOBODY).is_some() || !is_root() {
        return true;
    }
    // Where cargo puts it, nobody may not go.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = folder.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let id = NOBODY.to_string();
    let status = Command::new("setpriv")
        .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
        .arg(&copy)
        .args(["--exact", test, "--nocapture"])
        .env(AS_NOBODY, "1")
        .env("TMPDIR", folder.path())
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed as nobody");
    false
}

#[test]
fn stamps_sizes_and_modes_as_nobody() {
    if as_nobody("stamps_sizes_and_modes_as_nobody") {
        stamps_sizes_and_modes();
    }
}

/// Unreadable files and folders block a sign-out, and nothing below them is taken for deleted.
#[test]
fn what_cannot_be_read_blocks() {
    if !as_nobody("what_cannot_be_read_blocks") {
        return;
    }
    let mut real = Real::new();
    real.sign_in(false).unwrap();
    let photos = real.photos().to_owned();
    fs::create_dir_all(photos.join("closed/deep")).unwrap();
    for name in ["a.jpg", "closed/b.jpg", "closed/deep/c.jpg"] {
        fs::write(photos.join(name), name).unwrap();
    }
    assert_eq!(real.sync().unwrap(), 0);
    let all = contents(&real.copies());
    for (folder, mode) in [
        ("home", 0),
        ("home", 0o100),
        ("home", 0o400),
        ("nas", 0),
        ("nas", 0o400),
    ] {
        let root = if folder == "nas" {
            real.copies()
        } else {
            photos.clone()
        };
        let closed = root.join("closed");
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
        let waiting = real.sync();
        assert!(
            waiting.as_ref().map_or(true, |n| *n > 0),
            "{folder} {mode:o}: {waiting:?}"
        );
        let account = real.account();
        let facts = plan::plan(&account, &[]);
        assert!(
            facts.map_or(true, |f| !f.blockers.is_empty()),
            "{folder} {mode:o}"
        );
        stage::drain_verify_remove(&account, &[], "receipt-x").unwrap_err();
        mooring_worker::leave::stay(&account).unwrap();
        drop(account);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(contents(&photos), all, "{folder} {mode:o}");
        assert_eq!(contents(&real.copies()), all, "{folder} {mode:o}");
    }
    let report = out_and_in(&mut real);
    assert_eq!(report.left, Vec::new());
    assert_eq!(contents(&photos), all);
}
