//! The seam's promises, held against Linux and against the twin alike.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use mooring_worker::files::real::RealFiles;
use mooring_worker::files::twin::TwinFiles;
use mooring_worker::files::{Files, Kind, Lease};
use nix::errno::Errno;

/// How long an event of the kernel may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What other programs do, beside the seam.
trait Stage {
    type F: Files;
    /// What keeps a file open for writing.
    type Writer;
    /// A program that waits for the end of a lease.
    type Waiting;

    fn files(&self) -> &Self::F;
    fn root(&self) -> PathBuf;
    fn write(&self, name: &str, bytes: &[u8]);
    fn mkdir(&self, name: &str);
    fn symlink(&self, target: &str, name: &str);
    fn fifo(&self, name: &str);
    fn hardlink(&self, existing: &str, name: &str);
    fn writer(&self, name: &str) -> Self::Writer;
    fn close(&self, name: &str, writer: Self::Writer);
    fn come_to_write(&self, name: &str) -> Self::Waiting;
    fn come_in(&self, name: &str, waiting: Self::Waiting);

    fn dir(&self) -> <Self::F as Files>::Dir {
        self.files().open_root(&self.root()).unwrap()
    }
}

struct Real {
    files: RealFiles,
    folder: tempfile::TempDir,
}

impl Stage for Real {
    type F = RealFiles;
    type Writer = std::fs::File;
    type Waiting = thread::JoinHandle<()>;

    fn files(&self) -> &RealFiles {
        &self.files
    }
    fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.root().join(name), bytes).unwrap();
    }
    fn mkdir(&self, name: &str) {
        std::fs::create_dir(self.root().join(name)).unwrap();
    }
    fn symlink(&self, target: &str, name: &str) {
        std::os::unix::fs::symlink(target, self.root().join(name)).unwrap();
    }
    fn fifo(&self, name: &str) {
        nix::unistd::mkfifo(&self.root().join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    fn hardlink(&self, existing: &str, name: &str) {
        std::fs::hard_link(self.root().join(existing), self.root().join(name)).unwrap();
    }
    fn writer(&self, name: &str) -> Self::Writer {
        std::fs::OpenOptions::new()
            .append(true)
            .open(self.root().join(name))
            .unwrap()
    }
    fn close(&self, _: &str, writer: Self::Writer) {
        drop(writer);
    }
    fn come_to_write(&self, name: &str) -> Self::Waiting {
        let path = self.root().join(name);
        thread::spawn(move || {
            std::fs::OpenOptions::new().append(true).open(path).unwrap();
        })
    }
    fn come_in(&self, _: &str, waiting: Self::Waiting) {
        waiting.join().unwrap();
    }
}

struct Twin(TwinFiles);

impl Stage for Twin {
    type F = TwinFiles;
    type Writer = ();
    type Waiting = ();

    fn files(&self) -> &TwinFiles {
        &self.0
    }
    fn root(&self) -> PathBuf {
        "/home/alice".into()
    }
    fn write(&self, name: &str, bytes: &[u8]) {
        self.0.write(self.root().join(name), bytes).unwrap();
    }
    fn mkdir(&self, name: &str) {
        self.0.mkdir(self.root().join(name)).unwrap();
    }
    fn symlink(&self, target: &str, name: &str) {
        self.0.symlink(target, self.root().join(name)).unwrap();
    }
    fn fifo(&self, name: &str) {
        self.0.fifo(self.root().join(name)).unwrap();
    }
    fn hardlink(&self, existing: &str, name: &str) {
        self.0
            .hardlink(self.root().join(existing), self.root().join(name))
            .unwrap();
    }
    fn writer(&self, name: &str) {
        self.0.open_writer(self.root().join(name)).unwrap();
    }
    fn close(&self, name: &str, (): ()) {
        self.0.close_writers(self.root().join(name)).unwrap();
    }
    fn come_to_write(&self, name: &str) {
        self.0.open_writer(self.root().join(name)).unwrap();
    }
    fn come_in(&self, name: &str, (): ()) {
        self.0.close_writers(self.root().join(name)).unwrap();
    }
}

/// Each expectation becomes a test of either form.
macro_rules! conform {
    ($($name:ident),* $(,)?) => {
        mod real {
            $(#[test]
            fn $name() {
                let folder = tempfile::tempdir().unwrap();
                super::$name(&super::Real { files: super::RealFiles::new(), folder });
            })*
        }
        mod twin {
            $(#[test]
            fn $name() {
                let files = super::TwinFiles::new();
                files.mkdir("/home/alice").unwrap();
                files.mount(files.add_disk(), "/proc").unwrap();
                super::$name(&super::Twin(files));
            })*
        }
    };
}

conform![
    a_new_file_is_written_stamped_and_read,
    an_unfinished_file_is_gone_on_with,
    a_name_is_one_component,
    a_path_is_of_names_only,
    nothing_is_replaced,
    exchange_keeps_both,
    a_file_is_renamed_over_another,
    a_link_is_never_followed,
    only_regular_files_are_opened,
    a_mount_point_is_not_crossed,
    a_root_may_be_reached_through_links,
    unlink_takes_one_name,
    a_handle_outlives_rename_and_unlink,
    an_open_folder_stays_the_same_folder,
    a_list_survives_changes,
    any_bytes_are_names,
    a_path_may_be_longer_than_the_system_takes_at_once,
    a_folder_is_removed_only_when_empty,
    a_removed_folder_takes_nothing,
    a_root_is_made_with_its_parents,
    a_writer_keeps_a_lease_away,
    a_lease_is_broken_by_who_wants_to_write,
    a_lease_ends_with_its_handle,
    errors_have_the_systems_meaning,
    abilities_and_extras_are_told,
];

fn put(stage: &impl Stage, name: &str, bytes: &[u8]) {
    stage.write(name, bytes);
}

fn content<F: Files>(files: &F, dir: &F::Dir, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    files
        .open(dir, name.as_ref())
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn names<F: Files>(files: &F, dir: &F::Dir) -> BTreeMap<OsString, Kind> {
    files
        .list(dir)
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name, entry.stat.kind))
        .collect()
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

fn errno<T>(result: io::Result<T>) -> Option<Errno> {
    result
        .err()
        .expect("an error")
        .raw_os_error()
        .map(Errno::from_raw)
}

fn a_new_file_is_written_stamped_and_read(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    let before = files.now();
    let mut file = files.create(&dir, "new".as_ref()).unwrap();
    assert_eq!(files.stat_file(&file).unwrap().mode, 0o600);
    assert!(files.stat_file(&file).unwrap().mtime >= before);
    file.write_all(b"some bytes").unwrap();
    assert_eq!(
        errno(file.read(&mut [0])),
        Some(Errno::EBADF),
        "made for writing alone"
    );

    // Before the epoch, and not on a second.
    files.set_meta(&file, 0o640, -1_500_000_001).unwrap();
    files.sync_file(&file).unwrap();
    files.sync_dir(&dir).unwrap();
    files.sync_all(&dir).unwrap();
    files.uncache(&file);
    let stat = files.stat(&dir, "new".as_ref()).unwrap();
    assert_eq!(files.stat_file(&file).unwrap(), stat);
    assert_eq!((stat.kind, stat.size, stat.nlink), (Kind::File, 10, 1));
    assert_eq!((stat.mode, stat.mtime), (0o640, -1_500_000_001));
    assert_eq!(stat.dev, files.stat_dir(&dir).unwrap().dev);
    assert_eq!(
        kind(files.create(&dir, "new".as_ref())),
        ErrorKind::AlreadyExists
    );
    assert_eq!(content(files, &dir, "new"), b"some bytes");

    let mut reader = files.open(&dir, "new".as_ref()).unwrap();
    assert_eq!(
        errno(reader.write(b"x")),
        Some(Errno::EBADF),
        "opened for reading alone"
    );
}

/// What is unfinished is cut and gone on with; zeros may be left out; and nothing that others may
/// have put there is opened for writing.
fn an_unfinished_file_is_gone_on_with(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    let name = OsStr::new("part");
    let mut file = files.create(&dir, name).unwrap();
    file.write_all(b"begun, and torn").unwrap();
    drop(file);
    let mut file = files.resume(&dir, name, 5).unwrap();
    file.write_all(b" and").unwrap();
    files.write_hole(&mut file, 3).unwrap();
    file.write_all(b"ended").unwrap();
    files.write_hole(&mut file, 2).unwrap();
    assert_eq!(files.stat_file(&file).unwrap().size, 19);
    drop(file);
    assert_eq!(content(files, &dir, "part"), b"begun and\0\0\0ended\0\0");
    stage.hardlink("part", "second");
    stage.symlink("part", "link");
    stage.mkdir("folder");
    stage.fifo("pipe");
    for other in ["second", "part", "folder", "pipe"] {
        assert!(files.resume(&dir, OsStr::new(other), 0).is_err(), "{other}");
    }
    let link = files.resume(&dir, OsStr::new("link"), 0);
    assert_eq!(errno(link), Some(Errno::ELOOP));
    assert_eq!(
        kind(files.resume(&dir, OsStr::new("no"), 0)),
        ErrorKind::NotFound
    );
    assert_eq!(content(files, &dir, "part").len(), 19);
}

fn a_name_is_one_component(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    put(stage, "good", b"x");
    let good = OsStr::new("good");
    for bad in ["", ".", "..", "a/b", "/", "good/", "./good", "nul\0"] {
        let bad = OsStr::new(bad);
        let refused = [
            kind(files.stat(&dir, bad)),
            kind(files.open(&dir, bad)),
            kind(files.create(&dir, bad)),
            kind(files.rename_new(&dir, bad, &dir, "other".as_ref())),
            kind(files.rename_new(&dir, good, &dir, bad)),
            kind(files.exchange(&dir, bad, &dir, good)),
            kind(files.exchange(&dir, good, &dir, bad)),
            kind(files.unlink(&dir, bad)),
            kind(files.make_dir(&dir, bad, 0o700)),
            kind(files.remove_dir(&dir, bad)),
        ];
        assert!(
            refused.iter().all(|kind| *kind == ErrorKind::InvalidInput),
            "{bad:?}"
        );
    }
    assert_eq!(names(files, &dir).len(), 1);
}

fn a_path_is_of_names_only(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    files.make_dir(&dir, "a".as_ref(), 0o700).unwrap();
    let a = files.open_dir(&dir, Path::new("a")).unwrap();
    files.make_dir(&a, "b".as_ref(), 0o700).unwrap();
    files.open_dir(&dir, Path::new("a/b")).unwrap();
    let itself = files.open_dir(&a, Path::new("")).unwrap();
    assert_eq!(
        files.stat_dir(&itself).unwrap().ino,
        files.stat_dir(&a).unwrap().ino
    );
    for bad in [
        "/", "/a", "a/", "a//b", "a/../a", "..", ".", "./a", "a/.", "a\0",
    ] {
        assert_eq!(
            kind(files.open_dir(&dir, Path::new(bad)).map(drop)),
            ErrorKind::InvalidInput,
            "{bad:?}"
        );
    }
    for bad in ["a", "", "a/../b", "/a/../b", "/a\0"] {
        let (path, bad) = (Path::new(bad), format!("{bad:?}"));
        assert_eq!(
            kind(files.open_root(path).map(drop)),
            ErrorKind::InvalidInput,
            "{bad}"
        );
        assert_eq!(
            kind(files.make_root(path)),
            ErrorKind::InvalidInput,
            "{bad}"
        );
    }
}

fn nothing_is_replaced(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    put(stage, "one", b"1");
    put(stage, "two", b"2");
    stage.mkdir("folder");
    let folder = files.open_dir(&dir, Path::new("folder")).unwrap();
    let (one, two) = (OsStr::new("one"), OsStr::new("two"));

    for taken in ["one", "two", "folder"] {
        let refused = files.rename_new(&dir, one, &dir, taken.as_ref());
        assert_eq!(kind(refused), ErrorKind::AlreadyExists, "{taken}");
    }
    assert_eq!(
        kind(files.make_dir(&dir, one, 0o700)),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind(files.rename_new(&dir, "no".as_ref(), &dir, two)),
        ErrorKind::NotFound
    );
    let before = files.stat(&dir, one).unwrap();
    files.rename_new(&dir, one, &folder, two).unwrap();
    let after = files.stat(&folder, two).unwrap();
    assert_eq!((after.ino, after.mtime), (before.ino, before.mtime));
    assert_eq!(kind(files.stat(&dir, one)), ErrorKind::NotFound);
    assert_eq!(content(files, &folder, "two"), b"1");
    assert_eq!(content(files, &dir, "two"), b"2");
    files
        .rename_new(&dir, "folder".as_ref(), &dir, "moved".as_ref())
        .unwrap();
    assert_eq!(content(files, &folder, "two"), b"1");
    assert!(
        files
            .rename_new(&dir, "moved".as_ref(), &folder, "in itself".as_ref())
            .is_err()
    );
}

fn exchange_keeps_both(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    put(stage, "one", b"1");
    put(stage, "two", b"2");
    stage.mkdir("folder");
    let folder = files.open_dir(&dir, Path::new("folder")).unwrap();
    files
        .rename_new(&dir, "two".as_ref(), &folder, "two".as_ref())
        .unwrap();

    files
        .exchange(&dir, "one".as_ref(), &folder, "two".as_ref())
        .unwrap();
    assert_eq!(content(files, &dir, "one"), b"2");
    assert_eq!(content(files, &folder, "two"), b"1");
    let missing = files.exchange(&dir, "one".as_ref(), &dir, "no".as_ref());
    assert_eq!(kind(missing), ErrorKind::NotFound);
    let missing = files.exchange(&dir, "no".as_ref(), &dir, "one".as_ref());
    assert_eq!(kind(missing), ErrorKind::NotFound);
    assert_eq!(content(files, &dir, "one"), b"2");
}

fn a_file_is_renamed_over_another(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    put(stage, "one", b"1");
    put(stage, "two", b"2");
    stage.mkdir("folder");
    let over = |from: &str, to: &str| files.rename_over(&dir, from.as_ref(), to.as_ref());
    over("one", "two").unwrap();
    assert_eq!(content(files, &dir, "two"), b"1");
    assert_eq!(kind(over("one", "two")), ErrorKind::NotFound);
    over("two", "folder").unwrap_err();
    for bad in ["", ".", "..", "a/b"] {
        assert_eq!(kind(over("two", bad)), ErrorKind::InvalidInput);
        assert_eq!(kind(over(bad, "two")), ErrorKind::InvalidInput);
    }
    assert_eq!(content(files, &dir, "two"), b"1");
}

fn a_link_is_never_followed(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    stage.mkdir("folder");
    stage.write("folder/inside", b"x");
    put(stage, "target", b"precious");
    stage.symlink("target", "link");
    stage.symlink("folder", "folder-link");
    stage.symlink("nowhere", "dangling");

    assert_eq!(errno(files.open(&dir, "link".as_ref())), Some(Errno::ELOOP));
    assert_eq!(
        errno(files.open(&dir, "dangling".as_ref())),
        Some(Errno::ELOOP)
    );
    for path in ["folder-link", "folder-link/inside"] {
        let opened = files.open_dir(&dir, Path::new(path)).map(drop);
        assert_eq!(errno(opened), Some(Errno::ELOOP), "{path}");
    }
    let stat = files.stat(&dir, "link".as_ref()).unwrap();
    assert_eq!((stat.kind, stat.size), (Kind::Symlink, 6));
    assert_eq!(names(files, &dir)[OsStr::new("dangling")], Kind::Symlink);
    assert_eq!(
        kind(files.create(&dir, "dangling".as_ref())),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        errno(files.remove_dir(&dir, "folder-link".as_ref())),
        Some(Errno::ENOTDIR)
    );

    // Renaming and removing mean the link itself.
    files
        .rename_new(&dir, "link".as_ref(), &dir, "moved".as_ref())
        .unwrap();
    assert_eq!(
        files.stat(&dir, "moved".as_ref()).unwrap().kind,
        Kind::Symlink
    );
    files.unlink(&dir, "moved".as_ref()).unwrap();
    assert_eq!(content(files, &dir, "target"), b"precious");
}

fn only_regular_files_are_opened(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    stage.fifo("fifo");
    stage.mkdir("folder");
    // Were this to wait for a writer, the test would never end.
    assert_eq!(
        kind(files.open(&dir, "fifo".as_ref()).map(drop)),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(files.open(&dir, "folder".as_ref()).map(drop)),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(files.open(&dir, "none".as_ref()).map(drop)),
        ErrorKind::NotFound
    );
    assert_eq!(names(files, &dir)[OsStr::new("fifo")], Kind::Special);
    assert_eq!(
        errno(files.open_dir(&dir, Path::new("fifo")).map(drop)),
        Some(Errno::ENOTDIR)
    );
}

fn a_mount_point_is_not_crossed(stage: &impl Stage) {
    let files = stage.files();
    let top = files.open_root(Path::new("/")).unwrap();
    let crossed = files.open_dir(&top, Path::new("proc")).map(drop);
    assert_eq!(kind(crossed), ErrorKind::CrossesDevices);
    let root = files.open_root(Path::new("/proc")).unwrap();
    assert_ne!(
        files.stat_dir(&root).unwrap().dev,
        files.stat_dir(&top).unwrap().dev
    );
    let shown = files.stat(&top, "proc".as_ref()).unwrap();
    assert_eq!(shown.dev, files.stat_dir(&root).unwrap().dev);
}

fn a_root_may_be_reached_through_links(stage: &impl Stage) {
    let files = stage.files();
    stage.mkdir("real");
    stage.write("real/file", b"x");
    stage.symlink("real", "link");
    let root = files.open_root(&stage.root().join("link")).unwrap();
    assert_eq!(content(files, &root, "file"), b"x");
    let not_folder = files.open_root(&stage.root().join("real/file")).map(drop);
    assert_eq!(kind(not_folder), ErrorKind::NotADirectory);
    let made = files.make_root(&stage.root().join("link/deep/er")).unwrap();
    assert_eq!(
        made,
        [
            stage.root().join("link/deep"),
            stage.root().join("link/deep/er")
        ]
    );
    files.open_root(&stage.root().join("real/deep/er")).unwrap();
}

fn unlink_takes_one_name(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    put(stage, "one", b"x");
    stage.hardlink("one", "two");
    stage.mkdir("folder");
    assert_eq!(files.stat(&dir, "one".as_ref()).unwrap().nlink, 2);
    files.unlink(&dir, "one".as_ref()).unwrap();
    assert_eq!(
        kind(files.unlink(&dir, "one".as_ref())),
        ErrorKind::NotFound
    );
    assert_eq!(files.stat(&dir, "two".as_ref()).unwrap().nlink, 1);
    assert_eq!(content(files, &dir, "two"), b"x");
    assert_eq!(
        errno(files.unlink(&dir, "folder".as_ref())),
        Some(Errno::EISDIR)
    );
}

fn a_handle_outlives_rename_and_unlink(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    put(stage, "file", b"content");
    let mut file = files.open(&dir, "file".as_ref()).unwrap();
    let before = files.stat_file(&file).unwrap();
    files
        .rename_new(&dir, "file".as_ref(), &dir, "moved".as_ref())
        .unwrap();
    assert_eq!(files.stat(&dir, "moved".as_ref()).unwrap().ino, before.ino);
    files.unlink(&dir, "moved".as_ref()).unwrap();
    let after = files.stat_file(&file).unwrap();
    assert_eq!(
        (after.ino, after.nlink, after.mtime),
        (before.ino, 0, before.mtime)
    );
    assert!(after.ctime >= before.ctime);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"content");
}

fn an_open_folder_stays_the_same_folder(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    stage.mkdir("folder");
    let folder = files.open_dir(&dir, Path::new("folder")).unwrap();
    files
        .rename_new(&dir, "folder".as_ref(), &dir, "moved".as_ref())
        .unwrap();
    stage.mkdir("folder");
    drop(files.create(&folder, "inside".as_ref()).unwrap());
    stage.write("moved/other", b"x");
    assert_eq!(names(files, &folder).len(), 2);
    let new = files.open_dir(&dir, Path::new("folder")).unwrap();
    assert!(names(files, &new).is_empty());
}

fn a_list_survives_changes(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    for i in 0..300 {
        put(stage, &format!("file-{i}"), b"x");
    }
    let listed = files.list(&dir).unwrap();
    assert_eq!(listed.len(), 300);
    for (i, entry) in listed.iter().enumerate() {
        if i % 2 == 0 {
            files.unlink(&dir, &entry.name).unwrap();
        } else {
            assert_eq!(files.stat(&dir, &entry.name).unwrap(), entry.stat);
        }
    }
    // Twice on one handle: the reading position is not kept.
    assert_eq!(names(files, &dir).len(), 150);
    assert_eq!(names(files, &dir).len(), 150);
}

fn any_bytes_are_names(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    let longest = [b'n'; 255];
    let many: [&[u8]; 6] = [b"\xff\xfe", b"new\nline", b" ", b"...", b"-rf", &longest];
    for bytes in many {
        let name = OsStr::from_bytes(bytes);
        files.create(&dir, name).unwrap().write_all(bytes).unwrap();
        assert_eq!(files.stat(&dir, name).unwrap().size, bytes.len() as u64);
    }
    let listed: Vec<OsString> = names(files, &dir).into_keys().collect();
    assert_eq!(listed.len(), many.len());
    assert!(
        many.iter()
            .all(|bytes| listed.iter().any(|name| name.as_bytes() == *bytes))
    );

    let too_long = OsString::from("n".repeat(256));
    for refused in [
        kind(files.create(&dir, &too_long).map(drop)),
        kind(files.stat(&dir, &too_long)),
        kind(files.make_dir(&dir, &too_long, 0o700)),
        kind(files.rename_new(&dir, " ".as_ref(), &dir, &too_long)),
        kind(files.open_dir(&dir, Path::new(&too_long)).map(drop)),
    ] {
        assert_eq!(refused, ErrorKind::InvalidFilename);
    }
}

fn a_path_may_be_longer_than_the_system_takes_at_once(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    let level = "l".repeat(250);
    let mut deepest = dir.clone();
    for _ in 0..17 {
        files.make_dir(&deepest, level.as_ref(), 0o700).unwrap();
        deepest = files.open_dir(&deepest, Path::new(&level)).unwrap();
    }
    let path = vec![level; 17].join("/");
    let opened = files.open_dir(&dir, Path::new(&path)).unwrap();
    assert_eq!(
        files.stat_dir(&opened).unwrap().ino,
        files.stat_dir(&deepest).unwrap().ino
    );
    assert_eq!(
        kind(files.open_dir(&dir, &Path::new(&path).join("no"))),
        ErrorKind::NotFound
    );
}

fn a_folder_is_removed_only_when_empty(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    stage.mkdir("folder");
    stage.write("folder/file", b"x");
    let name = OsStr::new("folder");
    assert_eq!(
        kind(files.remove_dir(&dir, name)),
        ErrorKind::DirectoryNotEmpty
    );
    let folder = files.open_dir(&dir, Path::new("folder")).unwrap();
    assert_eq!(
        errno(files.remove_dir(&folder, "file".as_ref())),
        Some(Errno::ENOTDIR)
    );
    files.unlink(&folder, "file".as_ref()).unwrap();
    files.remove_dir(&dir, name).unwrap();
    assert_eq!(kind(files.remove_dir(&dir, name)), ErrorKind::NotFound);
    assert!(names(files, &dir).is_empty());
}

fn a_removed_folder_takes_nothing(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    stage.mkdir("folder");
    put(stage, "file", b"x");
    let folder = files.open_dir(&dir, Path::new("folder")).unwrap();
    files.remove_dir(&dir, "folder".as_ref()).unwrap();
    assert_eq!(
        kind(files.create(&folder, "new".as_ref()).map(drop)),
        ErrorKind::NotFound
    );
    let moved = files.rename_new(&dir, "file".as_ref(), &folder, "file".as_ref());
    assert_eq!(kind(moved), ErrorKind::NotFound);
    assert_eq!(content(files, &dir, "file"), b"x");
    assert!(names(files, &folder).is_empty());
}

fn a_root_is_made_with_its_parents(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    let root = stage.root();
    stage.mkdir("there");
    let made = files.make_root(&root.join("there/a/b")).unwrap();
    assert_eq!(made, [root.join("there/a"), root.join("there/a/b")]);
    let there = files.open_dir(&dir, Path::new("there")).unwrap();
    assert_eq!(
        files.stat(&there, "a".as_ref()).unwrap().mode & 0o777,
        0o700
    );
    assert!(files.make_root(&root.join("there/a/b")).unwrap().is_empty());
    stage.write("there/file", b"x");
    for path in ["there/file", "there/file/below"] {
        assert_eq!(
            kind(files.make_root(&root.join(path))),
            ErrorKind::NotADirectory,
            "{path}"
        );
    }
}

/// Whether the temporary folder lies where leases need not work (an overlay). Where they are
/// relied on, they have to.
fn no_leases_here<F: Files>(files: &F, dir: &F::Dir) -> bool {
    drop(files.create(dir, "probe".as_ref()).unwrap());
    let probe = files.open(dir, "probe".as_ref()).unwrap();
    let none = files.lease(&probe).unwrap() == Lease::Unsupported;
    assert!(!none || !files.abilities(dir).unwrap().known_good);
    none
}

fn a_writer_keeps_a_lease_away(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    if no_leases_here(files, &dir) {
        return;
    }
    put(stage, "file", b"x");
    let file = files.open(&dir, "file".as_ref()).unwrap();
    assert!(!files.lease_holds(&file));
    let writer = stage.writer("file");
    assert_eq!(files.lease(&file).unwrap(), Lease::InUse);
    assert!(!files.lease_holds(&file));
    stage.close("file", writer);
    assert_eq!(files.lease(&file).unwrap(), Lease::Held);
    assert!(files.lease_holds(&file));
    // Readers are welcome, and a rename does not matter.
    assert_eq!(content(files, &dir, "file"), b"x");
    files
        .rename_new(&dir, "file".as_ref(), &dir, "moved".as_ref())
        .unwrap();
    assert!(files.lease_holds(&file));
    files.release(&file);
    assert!(!files.lease_holds(&file));
    files.release(&file);

    // What this process writes itself counts too.
    let mine = files.create(&dir, "mine".as_ref()).unwrap();
    let reader = files.open(&dir, "mine".as_ref()).unwrap();
    assert_eq!(files.lease(&reader).unwrap(), Lease::InUse);
    drop(mine);
    assert_eq!(files.lease(&reader).unwrap(), Lease::Held);
}

fn a_lease_is_broken_by_who_wants_to_write(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    if no_leases_here(files, &dir) {
        return;
    }
    put(stage, "file", b"x");
    let file = files.open(&dir, "file".as_ref()).unwrap();
    assert_eq!(files.lease(&file).unwrap(), Lease::Held);
    let waiting = stage.come_to_write("file");
    // That this process is still there shows that the kernel's signal was harmless.
    let deadline = Instant::now() + PATIENCE;
    while files.lease_holds(&file) {
        assert!(Instant::now() < deadline, "nobody broke the lease");
        thread::yield_now();
    }
    let other = files.open(&dir, "file".as_ref()).unwrap();
    assert_eq!(
        files.lease(&other).unwrap(),
        Lease::InUse,
        "no new lease past who waits"
    );
    files.release(&file);
    stage.come_in("file", waiting);
    assert!(!files.lease_holds(&file));
    assert_eq!(files.lease(&file).unwrap(), Lease::Held);
}

fn a_lease_ends_with_its_handle(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    if no_leases_here(files, &dir) {
        return;
    }
    put(stage, "file", b"x");
    let file = files.open(&dir, "file".as_ref()).unwrap();
    assert_eq!(files.lease(&file).unwrap(), Lease::Held);
    let waiting = stage.come_to_write("file");
    drop(file);
    stage.come_in("file", waiting);
}

fn errors_have_the_systems_meaning(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    put(stage, "file", b"x");
    let missing = files.open_root(&stage.root().join("none")).map(drop);
    assert_eq!(kind(missing), ErrorKind::NotFound);
    let in_file = files.open_dir(&dir, Path::new("file/below")).map(drop);
    assert_eq!(kind(in_file), ErrorKind::NotADirectory);
    assert_eq!(
        kind(files.open_dir(&dir, Path::new("no/no")).map(drop)),
        ErrorKind::NotFound
    );
    assert_eq!(kind(files.stat(&dir, "no".as_ref())), ErrorKind::NotFound);
    files.make_dir(&dir, "folder".as_ref(), 0o700).unwrap();
    assert_eq!(
        kind(files.remove_dir(&dir, "no".as_ref())),
        ErrorKind::NotFound
    );
}

fn abilities_and_extras_are_told(stage: &impl Stage) {
    let (files, dir) = (stage.files(), stage.dir());
    let abilities = files.abilities(&dir).unwrap();
    assert!(!abilities.filesystem.is_empty());
    assert!(abilities.free <= abilities.capacity);
    put(stage, "file", b"whole");
    let mut file = files.open(&dir, "file".as_ref()).unwrap();
    let mut some = [0; 2];
    file.read_exact(&mut some).unwrap();
    let extras = files.extras(&file).unwrap();
    assert!(!extras.xattrs && !extras.acl && !extras.holes);
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"ole", "the reading position stays");
    assert!((1..=8).contains(&files.parallelism()));
}

#[test]
fn holes_are_seen_on_linux() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = std::fs::File::create(folder.path().join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    let files = RealFiles::new();
    let dir = files.open_root(folder.path()).unwrap();
    let file = files.open(&dir, "sparse".as_ref()).unwrap();
    assert!(files.extras(&file).unwrap().holes);
}
