//! The harness held to its own promises: a comparison that sees everything, processes that are
//! never left behind, a bus of one's own, samples that are the same at every run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use mooring_tests::{Bus, Manifest, PATIENCE, Process, samples};
use nix::sys::signal::{Signal, kill};
use tempfile::tempdir;

fn tree(root: &Path) {
    fs::create_dir_all(root.join("folder/deeper")).unwrap();
    fs::write(root.join("folder/file"), "bytes").unwrap();
    fs::write(root.join("folder/deeper/line\nbreak"), "").unwrap();
    symlink("file", root.join("folder/link")).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000, 1);
    let file = File::options()
        .write(true)
        .open(root.join("folder/file"))
        .unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn a_comparison_sees_everything() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    tree(root);
    let before = Manifest::of(root);
    assert_eq!((before.0.len(), before.files()), (5, 2));
    before.assert_same(&Manifest::of(root));

    let file = root.join("folder/file");
    let changes: [&dyn Fn(); 6] = [
        &|| fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap(),
        &|| {
            let time = SystemTime::UNIX_EPOCH + Duration::new(1_000, 2);
            let open = File::options().write(true).open(&file).unwrap();
            open.set_times(FileTimes::new().set_modified(time)).unwrap();
        },
        &|| fs::write(&file, "bytez").unwrap(),
        &|| fs::remove_file(root.join("folder/deeper/line\nbreak")).unwrap(),
        &|| {
            fs::remove_file(root.join("folder/link")).unwrap();
            symlink("other", root.join("folder/link")).unwrap();
        },
        &|| fs::create_dir(root.join("new")).unwrap(),
    ];
    let mut last = before;
    for (n, change) in changes.iter().enumerate() {
        change();
        let now = Manifest::of(root);
        assert_eq!(last.differences(&now).len(), 1, "change {n}");
        last = now;
    }
}

#[test]
fn samples_are_the_same_at_every_run() {
    let (first, second) = (tempdir().unwrap(), tempdir().unwrap());
    let files = samples::write(first.path()).unwrap();
    samples::write(second.path()).unwrap();
    let manifest = Manifest::of(first.path());
    assert_eq!(manifest.files() as u64, files);
    manifest.assert_same(&Manifest::of(second.path()));
    assert!(
        samples::write(first.path()).is_err(),
        "nothing is ever overwritten"
    );
}

#[test]
fn samples_are_what_their_names_say() {
    let folder = tempdir().unwrap();
    samples::write(folder.path()).unwrap();
    let photo = fs::read(folder.path().join("Photos/2019 Summer/IMG_0000.jpg")).unwrap();
    assert!(photo.starts_with(b"\xff\xd8\xff\xe0") && photo.ends_with(b"\xff\xd9"));
    let film = fs::read(folder.path().join("Videos/Waves.avi")).unwrap();
    let length = u32::from_le_bytes(film[4..8].try_into().unwrap()) as usize;
    assert_eq!(
        (&film[..4], &film[8..12], length + 8),
        (&b"RIFF"[..], &b"AVI "[..], film.len())
    );
}

#[tokio::test]
async fn a_process_is_never_left_behind() {
    let mut command = Command::new("sleep");
    command.arg("1000");
    let process = Process::start("sleep", &mut command);
    let pid = process.pid();
    drop(process);
    assert!(kill(pid, None).is_err(), "killed and reaped");

    let mut process = Process::start("sleep", &mut command);
    process.signal(Signal::SIGTERM);
    assert!(!process.wait(PATIENCE).await.success());
    process.kill();
}

#[tokio::test]
async fn a_name_on_the_bus_is_seen_coming_and_going() {
    const NAME: &str = "org.mooring.Test";
    let folder = tempdir().unwrap();
    let bus = Bus::start(folder.path(), &[], Stdio::null());
    bus.wait_for_name(NAME, false, PATIENCE).await;
    let owner = bus.connect().await;
    let (seen, owned) = tokio::join!(
        bus.wait_for_name(NAME, true, PATIENCE),
        owner.request_name(NAME)
    );
    let () = seen;
    owned.unwrap();
    let close = async { owner.close().await };
    let (seen, closed) = tokio::join!(bus.wait_for_name(NAME, false, PATIENCE), close);
    let () = seen;
    closed.unwrap();
}
