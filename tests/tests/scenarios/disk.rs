//! Disks that can be plugged in and pulled, in a mount namespace of the scenario's own: its thread's,
//! and that of all it starts. What it mounts nobody else sees, and it goes with the thread, however
//! that ends.

use std::fs;
use std::path::{Path, PathBuf};

use mooring_tests::World;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

const NONE: Option<&str> = None;

/// A world whose mounts are its own.
pub fn world() -> World {
    assert!(
        Uid::effective().is_root(),
        "this scenario mounts file systems: run it as root"
    );
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace (CAP_SYS_ADMIN is needed)");
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect("private mounts");
    World::new()
}

/// A disk: a file system of its own, plugged in at a folder or not.
pub struct Disk {
    /// Where its file system is always found.
    pub system: PathBuf,
    /// Where it is plugged in.
    pub at: PathBuf,
}

impl Disk {
    /// A new one, plugged in.
    pub fn new(world: &World, name: &str, at: &Path, size: &str) -> Self {
        let system = world.folder().join(name);
        fs::create_dir(&system).unwrap();
        let options = format!("size={size},mode=0700");
        mount(
            Some("disk"),
            &system,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap();
        fs::create_dir_all(at).unwrap();
        let disk = Self {
            system,
            at: at.to_owned(),
        };
        disk.plug_in();
        disk
    }

    pub fn plug_in(&self) {
        mount(Some(&self.system), &self.at, NONE, MsFlags::MS_BIND, NONE).unwrap();
    }

    /// As by pulling the plug: whoever has a file open there keeps it.
    pub fn pull(&self) {
        umount2(&self.at, MntFlags::MNT_DETACH).unwrap();
    }

    pub fn resize(&self, size: &str) {
        let options = format!("size={size}");
        let flags = MsFlags::MS_REMOUNT;
        mount(NONE, &self.system, NONE, flags, Some(options.as_str())).unwrap();
    }

    pub fn set_read_only(&self, read_only: bool) {
        let mut flags = MsFlags::MS_REMOUNT;
        flags.set(MsFlags::MS_RDONLY, read_only);
        mount(NONE, &self.system, NONE, flags, NONE).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The folders of a world can only be removed when nothing is mounted on them. Pulled
        // already is as good.
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        let _ = umount2(&self.system, MntFlags::MNT_DETACH);
    }
}

/// A folder that is shown at another place, too, while this lives.
pub struct Shown(PathBuf);

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Shows a folder at another place, too.
#[must_use]
pub fn show_at(folder: &Path, at: &Path) -> Shown {
    mount(Some(folder), at, NONE, MsFlags::MS_BIND, NONE).unwrap();
    Shown(at.to_owned())
}
