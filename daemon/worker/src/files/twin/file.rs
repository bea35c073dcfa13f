//! Open files and folders of the twin, and leases.

use std::io;

use nix::errno::Errno;

use super::disk::Usage;
use super::fuse::dead;
use super::inode::Content;
use super::world::At;
use super::{Phase, TwinFiles};
use crate::files::Lease;

/// An open folder. It is of no use to a later life of the process.
#[derive(Debug, Clone)]
pub struct TwinDir {
    pub(super) at: At,
    pub(super) life: u64,
}

/// An open file. Its content outlives its name.
#[derive(Debug)]
pub struct TwinFile {
    files: TwinFiles,
    at: At,
    handle: u64,
    position: usize,
    writable: bool,
}

impl TwinFiles {
    /// A handle on a file.
    pub(super) fn handle(&self, at: At, writable: bool) -> TwinFile {
        let mut world = self.lock();
        world.handle += 1;
        let handle = world.handle;
        let usage = world.usage(at);
        usage.handles += 1;
        usage.writers += u32::from(writable);
        drop(world);
        TwinFile {
            files: self.clone(),
            at,
            handle,
            position: 0,
            writable,
        }
    }

    /// A handle that writes behind what is there.
    pub(super) fn handle_behind(&self, at: At, length: u64) -> TwinFile {
        let mut file = self.handle(at, true);
        file.position = usize::try_from(length).unwrap_or(usize::MAX);
        file
    }

    /// Zeros behind the writing position that take no space.
    pub(super) fn grow(&self, file: &mut TwinFile, length: u64) -> io::Result<()> {
        let at = self.node(file)?;
        let mut world = self.enter("write-hole", Phase::Effect)?;
        if !file.writable {
            return Err(Errno::EBADF.into());
        }
        let now = world.stamp();
        let end = (file.position as u64).saturating_add(length);
        let disk = world.disk(at);
        disk.set_length(at.id, end, now)?;
        disk.inode_mut(at.id)?.holes |= length > 0;
        file.position = usize::try_from(end).map_err(|_| io::Error::from(Errno::EFBIG))?;
        Ok(())
    }

    /// The node of a handle.
    pub(super) fn node(&self, file: &TwinFile) -> io::Result<At> {
        if file.files.life == self.life {
            Ok(file.at)
        } else {
            Err(dead())
        }
    }

    pub(super) fn take_lease(&self, file: &TwinFile) -> io::Result<Lease> {
        let at = self.node(file)?;
        let mut world = self.enter("lease", Phase::Look)?;
        let possible = world.disk(at).options.leases;
        let usage = world.usage(at);
        if !possible || usage.foreign {
            return Ok(Lease::Unsupported);
        }
        if usage.writers + usage.outside_writers > 0 || usage.waiting {
            return Ok(Lease::InUse);
        }
        usage.leases.insert(file.handle);
        usage.waiting = std::mem::take(&mut usage.break_next);
        Ok(Lease::Held)
    }

    pub(super) fn has_lease(&self, file: &TwinFile) -> bool {
        let Ok(at) = self.node(file) else {
            return false;
        };
        let Ok(mut world) = self.enter("lease-holds", Phase::Look) else {
            return false;
        };
        let usage = world.usage(at);
        usage.leases.contains(&file.handle) && !usage.waiting
    }

    pub(super) fn give_lease_back(&self, file: &TwinFile) {
        let mut world = self.lock();
        if world.life == file.files.life {
            let usage = world.usage(file.at);
            if usage.leases.remove(&file.handle) && usage.leases.is_empty() {
                usage.end_leases();
            }
        }
    }
}

impl Usage {
    /// No lease is left: who waited goes on.
    pub(super) fn end_leases(&mut self) {
        self.leases.clear();
        self.outside_writers += u32::from(std::mem::take(&mut self.waiting));
    }
}

impl Drop for TwinFile {
    fn drop(&mut self) {
        self.files.give_lease_back(self);
        let mut world = self.files.lock();
        if world.life == self.files.life {
            let usage = world.usage(self.at);
            usage.handles = usage.handles.saturating_sub(1);
            usage.writers = usage.writers.saturating_sub(u32::from(self.writable));
        }
    }
}

impl io::Read for TwinFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let world = self.files.enter("read", Phase::Look)?;
        if self.writable {
            return Err(Errno::EBADF.into());
        }
        let Content::File(content) = &world.inode(self.at)?.content else {
            return Err(Errno::EINVAL.into());
        };
        let rest = content.get(self.position..).unwrap_or_default();
        let length = rest.len().min(buf.len());
        buf[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(length)
    }
}

impl io::Write for TwinFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut world = self.files.enter("write", Phase::Effect)?;
        if !self.writable {
            return Err(Errno::EBADF.into());
        }
        let now = world.stamp();
        world
            .disk(self.at)
            .write(self.at.id, self.position, buf, now)?;
        self.position += buf.len();
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
