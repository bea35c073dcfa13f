//! The disk that the storage lies on: one of its own, that can be full in a moment and free again in
//! the next. It is mounted where nobody else sees it, and is gone with this program.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;

const NONE: Option<&str> = None;
/// What it takes when it is not full, in bytes. Only what is there takes memory.
const SIZE: u64 = 8 << 30;

/// A mounted disk.
#[derive(Debug)]
pub struct Disk(PathBuf);

/// Sees to it that mounts of this program are its own. Call it before there is any thread; without
/// root nothing can be mounted, and it answers `false`.
pub fn may_mount() -> bool {
    if !Uid::effective().is_root() || unshare(CloneFlags::CLONE_NEWNS).is_err() {
        return false;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NONE, "/", NONE, private, NONE).is_ok()
}

impl Disk {
    /// A new one.
    pub fn new(at: &Path) -> Self {
        fs::create_dir(at).expect("a folder for the disk");
        let options = format!("size={SIZE},mode=0700");
        let flags = MsFlags::empty();
        mount(Some("disk"), at, Some("tmpfs"), flags, Some(&*options)).expect("the disk");
        Self(at.to_owned())
    }

    /// Lets it take only so many bytes more.
    pub fn fill(&self, left: u64) {
        let now = statvfs(&self.0).expect("the disk");
        let used = (now.blocks() - now.blocks_free()) * now.fragment_size();
        self.resize(used + left + now.fragment_size());
    }

    /// Lets it take everything again.
    pub fn free(&self) {
        self.resize(SIZE);
    }

    /// The system refuses less than is used: then somebody was faster, and it is as it was.
    fn resize(&self, size: u64) {
        let options = format!("size={size}");
        let resized = mount(NONE, &self.0, NONE, MsFlags::MS_REMOUNT, Some(&*options));
        if let Err(error) = resized {
            println!("  the disk keeps its size: {error}");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Its folder can only be removed once nothing is mounted there.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
