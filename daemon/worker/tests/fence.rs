//! The fence on this kernel: a thread that put it up reaches nothing outside, by whatever way, and does
//! inside whatever the worker does. The kernel of a test needs Landlock (Linux 6.12 or later).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use mooring_wire::reach::{Place, Reach, Use};
use mooring_worker::error::Error;
use mooring_worker::fence::Fence;
use mooring_worker::files::real::RealFiles;
use mooring_worker::files::{Files, Lease};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::signal::kill;
use nix::sys::stat::Mode;
use nix::unistd::Pid;

/// A home with a secret in it, a state, a root, a storage and a disk.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for folder in [".ssh", "state", "Accounts/alice/Photos", "storage", "disk"] {
            fs::create_dir_all(home.at(folder)).unwrap();
        }
        fs::write(home.at(".ssh/key"), "secret").unwrap();
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn photos(&self) -> PathBuf {
        self.at("Accounts/alice/Photos")
    }

    /// Runs something on a thread that fenced itself in.
    fn fenced<T: Send>(&self, uses: &[(Use, &str)], work: impl FnOnce(&Fence) -> T + Send) -> T {
        let place = |(used, name): &(Use, &str)| Place {
            used: *used,
            path: self.at(name),
        };
        let reach: Reach = uses.iter().map(place).collect();
        thread::scope(|threads| {
            let fenced = threads.spawn(|| {
                let fence = Fence::put_up(&reach, self.0.path(), &self.at("state")).unwrap();
                let told = fence.fenced();
                assert!(told.holds, "{}", told.message);
                work(&fence)
            });
            fenced.join().unwrap()
        })
    }

    /// The same with the account's own places.
    fn at_work<T: Send>(&self, work: impl FnOnce(&Fence) -> T + Send) -> T {
        let own = [
            (Use::Root, "Accounts/alice/Photos"),
            (Use::Folder, "storage"),
        ];
        self.fenced(&own, work)
    }
}

#[track_caller]
fn denied<T>(result: std::io::Result<T>) {
    let error = result.err().expect("it was done");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

#[test]
fn nothing_outside_is_opened_by_whatever_way() {
    let home = Home::new();
    let photos = home.photos();
    symlink(home.at(".ssh"), photos.join("link")).unwrap();
    symlink(home.at(".ssh/key"), photos.join("key")).unwrap();
    let outside = home.at(".ssh/key");
    let open = File::open(&photos).unwrap();
    home.at_work(|_| {
        let around = photos.join("../../../.ssh/key");
        let root = Path::new("/proc/self/root").join(outside.strip_prefix("/").unwrap());
        let linked = [photos.join("link/key"), photos.join("key")];
        for way in [outside.clone(), around, root].iter().chain(&linked) {
            denied(File::open(way));
            denied(File::options().write(true).open(way));
        }
        let up = openat(&open, "../../../.ssh/key", OFlag::O_RDONLY, Mode::empty());
        assert_eq!(up.unwrap_err(), Errno::EACCES);
        denied(fs::read_dir(home.at(".ssh")));
        denied(fs::read_dir(home.at("Accounts")));
        denied(File::open("/etc/passwd"));
        denied(Command::new("/bin/true").status());
    });
    assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
}

#[test]
fn nothing_outside_is_changed() {
    let home = Home::new();
    let (photos, outside) = (home.photos(), home.at(".ssh/key"));
    fs::write(photos.join("new"), "new").unwrap();
    home.at_work(|_| {
        denied(File::create(home.at("new")));
        denied(fs::create_dir(home.at("folder")));
        denied(fs::remove_file(&outside));
        denied(fs::remove_dir(home.at("disk")));
        let cut = nix::unistd::truncate(&outside, 0);
        assert_eq!(cut.unwrap_err(), Errno::EACCES);
        // EXDEV or EACCES, as landlock(7) has it.
        fs::rename(photos.join("new"), &outside).unwrap_err();
        fs::rename(&outside, photos.join("key")).unwrap_err();
        fs::hard_link(&outside, photos.join("key")).unwrap_err();
        fs::hard_link(photos.join("new"), home.at("new")).unwrap_err();
        denied(symlink(&outside, photos.join("link")));
        // Not even a root itself, while no account leaves.
        denied(fs::remove_dir(home.at("storage")));
    });
    assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 5);
}

#[test]
fn no_one_outside_is_spoken_to() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut other = Command::new("cat")
        .stdin(Stdio::piped())
        .spawn()
        .expect("cat");
    let pid = Pid::from_raw(other.id().try_into().unwrap());
    home.at_work(|_| {
        denied(TcpStream::connect(address));
        denied(TcpListener::bind("127.0.0.1:0"));
        assert_eq!(kill(pid, None).unwrap_err(), Errno::EPERM);
    });
    kill(pid, None).unwrap();
    drop(other.stdin.take());
    other.wait().unwrap();
}

#[test]
fn inside_everything_is_done_that_the_worker_does() {
    let home = Home::new();
    home.at_work(|fence| {
        for root in [home.photos(), home.at("storage")] {
            fence.expect_inside([root.as_path()]).unwrap();
            work_in(&root);
        }
        let state = home.at("state/a1");
        fs::create_dir(&state).unwrap();
        let state = mooring_worker::state::State::open(&state).unwrap();
        state.set_last_sync(7).unwrap();
        state.destroy().unwrap();
    });
}

/// What sync, removal and restore do, through the seam.
fn work_in(root: &Path) {
    let files = RealFiles::new();
    let dir = files.open_root(root).unwrap();
    let at = |name: &str| files.open_dir(&dir, Path::new(name)).unwrap();
    files.make_dir(&dir, "staging".as_ref(), 0o700).unwrap();
    files.make_dir(&dir, "deep".as_ref(), 0o755).unwrap();
    let (staging, deep) = (at("staging"), at("deep"));
    for (folder, name, text) in [(&staging, "new", "one"), (&deep, "old", "two")] {
        let mut file = files.create(folder, name.as_ref()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        files.set_meta(&file, 0o640, 1_000_000_000).unwrap();
        files.sync_file(&file).unwrap();
        files.sync_dir(folder).unwrap();
    }
    let (new, old) = ("new".as_ref(), "old".as_ref());
    files.exchange(&staging, new, &deep, old).unwrap();
    let mut text = String::new();
    files
        .open(&deep, old)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "one");
    files.rename_new(&staging, new, &deep, new).unwrap();
    files.rename_new(&deep, old, &staging, old).unwrap();
    files.rename_over(&deep, new, new).unwrap();
    fs::hard_link(root.join("staging/old"), root.join("deep/linked")).unwrap();
    drop(files.resume(&deep, new, 1).unwrap());
    let file = files.open(&deep, new).unwrap();
    assert_ne!(files.lease(&file).unwrap(), Lease::InUse);
    files.release(&file);
    files.abilities(&dir).unwrap();
    files
        .true_place(root)
        .unwrap()
        .expect("the table of mounts");
    files.sync_all(&dir).unwrap();
    // A folder of files goes to another place, as when it was moved on the other side.
    files
        .rename_new(&dir, "deep".as_ref(), &staging, "deep".as_ref())
        .unwrap();
    for (folder, name) in [
        ("staging/deep", "linked"),
        ("staging/deep", "new"),
        ("staging", "old"),
    ] {
        files.unlink(&at(folder), name.as_ref()).unwrap();
    }
    files.remove_dir(&staging, "deep".as_ref()).unwrap();
    files.remove_dir(&dir, "staging".as_ref()).unwrap();
    assert!(files.list(&dir).unwrap().is_empty());
}

#[test]
fn a_file_goes_from_one_place_to_another() {
    let home = Home::new();
    fs::write(home.photos().join("kept"), "kept").unwrap();
    home.at_work(|_| {
        fs::rename(home.photos().join("kept"), home.at("storage/kept")).unwrap();
    });
}

#[test]
fn a_backup_is_only_read() {
    let home = Home::new();
    fs::write(home.at("disk/saved"), "saved").unwrap();
    home.fenced(&[(Use::Source, "disk")], |fence| {
        fence.expect_inside([home.at("disk").as_path()]).unwrap();
        assert_eq!(fs::read_to_string(home.at("disk/saved")).unwrap(), "saved");
        denied(File::options().write(true).open(home.at("disk/saved")));
        denied(File::create(home.at("disk/new")));
        denied(fs::remove_file(home.at("disk/saved")));
    });
}

#[test]
fn a_folder_that_is_missing_can_be_made_and_is_reached_by_the_next() {
    let home = Home::new();
    let uses = [(Use::Root, "Pictures/mine"), (Use::Folder, "stick")];
    let root = home.at("Pictures/mine");
    home.fenced(&uses, |fence| {
        fence.expect_inside([root.as_path()]).unwrap();
        let made = fence.within(&[&root], || {
            let made = RealFiles::new().make_root(&root);
            assert_eq!(made.unwrap().len(), 2);
            denied(File::create(root.join("new")));
            Err::<(), _>(Error::Refused("as whoever cannot go on says".to_owned()))
        });
        assert!(matches!(made, Err(Error::Unfenced(_))), "{made:?}");
        denied(File::open(home.at(".ssh/key")));
        denied(File::create(home.at("file")));
        denied(fs::remove_dir(home.at("disk")));
    });
    home.fenced(&uses, |fence| {
        fence.expect_inside([root.as_path()]).unwrap();
        File::create(root.join("new")).unwrap();
        // A storage is not made, and there is nothing on the way to it.
        denied(fs::create_dir(home.at("stick")));
        denied(fs::read_dir(home.0.path()));
    });
}

#[test]
fn a_folder_in_the_place_of_another_is_outside() {
    let home = Home::new();
    let storage = home.at("storage");
    let ((up, is_up), (change, changed)) = (mpsc::channel(), mpsc::channel());
    thread::scope(|threads| {
        let home = &home;
        threads.spawn(move || {
            home.at_work(move |fence| {
                up.send(()).unwrap();
                changed.recv().unwrap();
                let storage = home.at("storage");
                let replaced = fence.expect_inside([storage.as_path()]);
                assert!(matches!(replaced, Err(Error::Unfenced(_))));
                denied(fs::read_dir(&storage));
                fence.expect_inside([home.at("nowhere").as_path()]).unwrap();
            });
        });
        // As when a disk comes back, or a home is mounted.
        is_up.recv().unwrap();
        fs::rename(&storage, home.at("before")).unwrap();
        fs::create_dir(&storage).unwrap();
        change.send(()).unwrap();
    });
}

#[test]
fn folders_of_an_account_that_leaves_go_and_no_file_beside_them() {
    let home = Home::new();
    fs::write(home.at("Accounts/note"), "a note").unwrap();
    let root = "Accounts/alice/Photos";
    home.fenced(&[(Use::Root, root), (Use::Leave, root)], |_| {
        let files = RealFiles::new();
        for (parent, name) in [("Accounts/alice", "Photos"), ("Accounts", "alice")] {
            let parent = files.open_root(&home.at(parent)).unwrap();
            files.remove_dir(&parent, name.as_ref()).unwrap();
            files.sync_dir(&parent).unwrap();
        }
        denied(File::open(home.at("Accounts/note")));
        denied(fs::remove_file(home.at("Accounts/note")));
        denied(File::open(home.at(".ssh/key")));
        denied(File::create(home.at("new")));
        denied(fs::read_dir(home.0.path().parent().unwrap()));
    });
}

#[test]
fn a_root_behind_a_link_is_the_folder_that_it_leads_to() {
    let home = Home::new();
    symlink(home.at("disk"), home.at("Music")).unwrap();
    home.fenced(&[(Use::Root, "Music")], |fence| {
        fence.expect_inside([home.at("Music").as_path()]).unwrap();
        File::create(home.at("Music/song")).unwrap();
        denied(File::open(home.at(".ssh/key")));
    });
    assert!(home.at("disk/song").exists());
}
