//! The test's side of the twin: it builds and looks at trees by absolute path, plays the other
//! programs of the machine, and says what shall fail.
//!
//! Nothing here is counted by the fuse, and all of it works while the process is dead. Changes
//! are visible at once and, like those of any program, durable only after
//! [`TwinFiles::settle`]. Links in a path are followed, but for the last name.

mod others;
mod trees;

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::TwinFiles;
use super::disk::DiskOptions;

pub use trees::Node;

/// One of the machine's disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskId(usize);

impl TwinFiles {
    /// Adds an empty disk.
    pub fn add_disk(&self) -> DiskId {
        DiskId(self.lock().add_disk())
    }

    /// Mounts a disk on a folder, which is made where it is missing.
    pub fn mount(&self, disk: DiskId, path: impl AsRef<Path>) -> io::Result<()> {
        self.mkdir(path.as_ref())?;
        let mut world = self.lock();
        let at = world.resolve(path.as_ref(), true)?;
        world.mounts.insert(at, disk.0);
        Ok(())
    }

    /// Takes away what is mounted on a folder. Open handles keep working, as after `umount -l`.
    pub fn unmount(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut world = self.lock();
        let (parent, name) = world.parent(path.as_ref())?;
        let at = world.child(parent, name)?;
        world
            .mounts
            .remove(&at)
            .map(drop)
            .ok_or_else(|| Errno::EINVAL.into())
    }

    /// The disk on which a path lies.
    pub fn disk_at(&self, path: impl AsRef<Path>) -> io::Result<DiskId> {
        self.lock()
            .resolve(path.as_ref(), true)
            .map(|at| DiskId(at.disk))
    }

    /// Changes what a disk can do, e.g. `twin.configure(disk, |o| o.capacity = Some(10))`.
    pub fn configure(&self, disk: DiskId, change: impl FnOnce(&mut DiskOptions)) {
        change(&mut self.lock().disks[disk.0].options);
    }

    /// Bytes in use on a disk.
    pub fn used(&self, disk: DiskId) -> u64 {
        self.lock().disks[disk.0].used()
    }

    /// Makes everything on all disks durable.
    pub fn settle(&self) {
        for disk in &mut self.lock().disks {
            disk.sync_everything();
        }
    }
}
