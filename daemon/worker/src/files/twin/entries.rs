//! Changing entries: renames, swaps, removals, and making a folder with its parents.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::change::Act;
use super::inode::Inode;
use super::world::{At, World};
use super::{Phase, TwinFiles};
use crate::files::{Files, Kind, name};

/// A folder and a name in it.
type Place<'n> = (At, &'n OsStr);

impl TwinFiles {
    pub(super) fn make_folders(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        name::check_root(path)?;
        let mut missing = Vec::new();
        let mut existing = path;
        let mut parent = loop {
            match self.open_root(existing) {
                Ok(dir) => break dir,
                Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(existing),
                Err(e) => return Err(e),
            }
            existing = existing.parent().ok_or(Errno::ENOENT)?;
        };
        if let Some(above) = existing.parent() {
            self.sync_dir(&self.open_root(above)?)?;
        }
        let mut made = Vec::new();
        for level in missing.into_iter().rev() {
            let last = level.file_name().ok_or(Errno::EINVAL)?;
            self.make_dir(&parent, last, 0o700)?;
            made.push(level.to_owned());
            self.sync_dir(&parent)?;
            parent = self.open_root(level)?;
        }
        Ok(made)
    }

    pub(super) fn move_entry(&self, from: Place<'_>, to: Place<'_>) -> io::Result<()> {
        let mut world = self.enter("rename", Phase::Effect)?;
        let node = world.renamable(from, to.0)?;
        let disk = to.0;
        world.disk(disk).vacant(to.0.id, to.1)?;
        let (from, to) = ((from.0.id, from.1.to_owned()), (to.0.id, to.1.to_owned()));
        let now = world.stamp();
        if world.disk(disk).options.no_replace {
            world.disk(disk).act(Act::Move { from, to }, now);
            return Ok(());
        }
        if world.inode(node)?.kind() == Kind::Dir {
            return Err(Errno::EOPNOTSUPP.into());
        }
        world.disk(disk).act(
            Act::Link {
                slot: to,
                node: node.id,
            },
            now,
        );
        drop(world);
        let mut world = self.enter("rename-half", Phase::Effect)?;
        world.disk(disk).act(Act::Unlink { slot: from }, now);
        world.disk(disk).order_last();
        Ok(())
    }

    pub(super) fn swap_entries(&self, a: Place<'_>, b: Place<'_>) -> io::Result<()> {
        let mut world = self.enter("exchange", Phase::Effect)?;
        let one = world.renamable(a, b.0)?;
        let other = world.renamable(b, a.0)?;
        let disk = a.0;
        if !world.disk(disk).options.exchange {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if one != other {
            let (a, b) = ((a.0.id, a.1.to_owned()), (b.0.id, b.1.to_owned()));
            let now = world.stamp();
            world.disk(disk).act(Act::Swap { a, b }, now);
        }
        Ok(())
    }

    /// Moves a file over another in the same folder.
    pub(super) fn move_over(&self, dir: At, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let mut world = self.enter("rename-over", Phase::Effect)?;
        for name in [from, to] {
            let node = world.renamable((dir, name), dir)?;
            if world.inode(node)?.kind() == Kind::Dir {
                return Err(Errno::EISDIR.into());
            }
        }
        let slot = |name: &OsStr| (dir.id, name.to_owned());
        let (from, to) = (slot(from), slot(to));
        let now = world.stamp();
        world.disk(dir).act(Act::Move { from, to }, now);
        Ok(())
    }

    /// Removes a name, unless `check` has something against what it names.
    pub(super) fn take_entry(
        &self,
        effect: &str,
        (dir, name): Place<'_>,
        check: impl FnOnce(&Inode) -> Result<(), Errno>,
    ) -> io::Result<()> {
        let mut world = self.enter(effect, Phase::Effect)?;
        let node = world.child(dir, name)?;
        world.disk(dir).may_change(dir.id)?;
        if world.mounts.contains_key(&node) {
            return Err(Errno::EBUSY.into());
        }
        check(world.inode(node)?)?;
        let now = world.stamp();
        world.disk(dir).act(
            Act::Unlink {
                slot: (dir.id, name.to_owned()),
            },
            now,
        );
        Ok(())
    }
}

impl World {
    /// The node behind a name that may be renamed into a folder.
    pub(super) fn renamable(&self, (dir, name): Place<'_>, to_dir: At) -> io::Result<At> {
        if dir.disk != to_dir.disk {
            return Err(Errno::EXDEV.into());
        }
        let node = self.child(dir, name)?;
        self.disks[dir.disk].may_change(dir.id)?;
        self.disks[to_dir.disk].may_change(to_dir.id)?;
        if self.mounts.contains_key(&node) {
            return Err(Errno::EBUSY.into());
        }
        if self.inode(node)?.kind() == Kind::Dir && self.lies_in(to_dir, node) {
            return Err(Errno::EINVAL.into());
        }
        Ok(node)
    }
}
