//! Where a storage can lie: a disk with a file system in a file, or a FUSE in front of a folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use mooring_tests::World;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::fuse::Fuse;

/// Large enough for the smallest XFS (300 MiB); the file has holes where nothing is.
const DISK_SIZE: u64 = 320 << 20;

/// A mounted file system; unmounted when dropped.
pub struct Mounted {
    at: PathBuf,
    /// Of a disk, the file and its kind.
    image: Option<(PathBuf, String)>,
}

impl Mounted {
    fn new(at: &Path) -> Self {
        Self {
            at: at.to_owned(),
            image: None,
        }
    }

    /// Takes a disk out, as a person does who was told that nobody uses it.
    pub fn take_out(&mut self) {
        umount2(&self.at, MntFlags::empty()).expect("nobody holds the disk");
    }

    /// Puts the disk in again.
    pub fn put_in(&mut self) {
        let (image, kind) = self.image.as_ref().expect("a disk");
        plug_in(image, kind, &self.at);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Taken off by the test already is as good.
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}

fn plug_in(image: &Path, kind: &str, at: &Path) {
    let mut plug_in = Command::new("mount");
    plug_in.args(["-n", "-o", "loop", "-t", kind]);
    tool(plug_in.arg(image).arg(at), "mount");
}

fn tool(command: &mut Command, package: &str) {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    let output = output.unwrap_or_else(|e| {
        panic!("{name} is missing ({e}); run: apt-get install {package} (or: make setup)")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
}

/// A new disk with the file system `kind`, mounted at `at` through a loop device of its own, which
/// goes with the last mount.
pub fn disk(world: &World, kind: &str, at: &Path) -> Mounted {
    let name = at.file_name().unwrap().to_string_lossy();
    let image = world.folder().join(format!("{name}.{kind}"));
    File::create(&image).unwrap().set_len(DISK_SIZE).unwrap();
    let (package, force) = match kind {
        "ext4" => ("e2fsprogs", "-F"),
        "xfs" => ("xfsprogs", "-f"),
        _ => ("btrfs-progs", "-f"),
    };
    let mut make = Command::new(format!("mkfs.{kind}"));
    tool(make.args(["-q", force]).arg(&image), package);
    plug_in(&image, kind, at);
    // ext4 makes it, and it is nothing of Alice's.
    let _ = fs::remove_dir(at.join("lost+found"));
    Mounted {
        at: at.to_owned(),
        image: Some((image, kind.to_owned())),
    }
}

/// A file system in memory at `at`.
pub fn memory(at: &Path) -> Mounted {
    let size = Some("size=256M");
    mount(Some("memory"), at, Some("tmpfs"), MsFlags::empty(), size).unwrap();
    Mounted::new(at)
}

/// An overlay at `at`: what is written goes to a folder beside.
pub fn overlay(world: &World, at: &Path) -> Mounted {
    // Upper and work have to be on one that is no overlay itself.
    let below = world.folder().join("overlay");
    fs::create_dir(&below).unwrap();
    let size = Some("size=64M");
    mount(Some("disk"), &below, Some("tmpfs"), MsFlags::empty(), size).unwrap();
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| below.join(name));
    for folder in [&lower, &upper, &work] {
        fs::create_dir(folder).unwrap();
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let flags = MsFlags::empty();
    mount(Some("overlay"), at, Some("overlay"), flags, Some(&*options)).unwrap();
    umount2(&below, MntFlags::MNT_DETACH).unwrap();
    Mounted::new(at)
}

/// A FUSE at `at`; what is written lies in a folder of the world, where a test looks past the FUSE.
pub fn fuse(world: &World, at: &Path) -> (Fuse, PathBuf) {
    let behind = world.folder().join("behind");
    fs::create_dir_all(&behind).unwrap();
    fs::create_dir_all(at).unwrap();
    (Fuse::mount(&behind, at), behind)
}
