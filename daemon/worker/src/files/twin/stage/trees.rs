//! Building trees and looking at them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::files::twin::TwinFiles;
use crate::files::twin::change::Act;
use crate::files::twin::disk::Disk;
use crate::files::twin::inode::{Content, Id, Inode};
use crate::files::twin::world::{At, World};
use crate::files::{Kind, Stat};

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file and its bytes.
    File(Vec<u8>),
    /// A folder.
    Dir,
    /// A symbolic link and its target.
    Symlink(OsString),
    /// A FIFO.
    Special,
}

impl TwinFiles {
    /// Makes a folder (mode 0755) and its missing parents.
    pub fn mkdir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        make_dirs(&mut self.lock(), path.as_ref()).map(drop)
    }

    /// Writes a file in place, or makes it (mode 0644) with its missing parents. Against a lease
    /// it is `WouldBlock`, and the lease is broken.
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut world = self.lock();
        world.tick();
        let now = world.stamp();
        let at = match world.resolve(path.as_ref(), true) {
            Ok(at) => at,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make(&mut world, path.as_ref(), Content::File(Vec::new()), 0o644)?
            }
            Err(e) => return Err(e),
        };
        let usage = world.usage(at);
        if !usage.leases.is_empty() {
            usage.waiting = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let disk = world.disk(at);
        if let Content::File(content) = &mut disk.inode_mut(at.id)?.content {
            content.clear();
        }
        disk.lost.remove(&at.id);
        disk.stored.remove(&at.id);
        disk.write(at.id, 0, bytes.as_ref(), now)
    }

    /// [`TwinFiles::write`], durable with all names that lead to it.
    pub fn write_durable(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.write(path.as_ref(), bytes)?;
        let mut world = self.lock();
        let at = world.resolve(path.as_ref(), true)?;
        world.disk(at).sync_inode(at.id);
        for folder in path.as_ref().ancestors().skip(1) {
            let at = world.resolve(folder, true)?;
            world.disk(at).sync_entries(at.id);
        }
        Ok(())
    }

    /// A file's bytes, as a process sees them.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let world = self.lock();
        let at = world.resolve(path.as_ref(), true)?;
        match &world.inode(at)?.content {
            Content::File(bytes) => Ok(bytes.clone()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// Whether a name is there.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.lock().resolve(path.as_ref(), false).is_ok()
    }

    /// What the last name is.
    pub fn stat_path(&self, path: impl AsRef<Path>) -> io::Result<Stat> {
        let world = self.lock();
        let at = world.resolve(path.as_ref(), false)?;
        world.disks[at.disk].stat(at.id)
    }

    /// Everything below a folder, through mount points, by its path from there.
    pub fn tree(&self, path: impl AsRef<Path>) -> io::Result<BTreeMap<PathBuf, Node>> {
        let world = self.lock();
        let mut tree = BTreeMap::new();
        let mut todo = vec![(PathBuf::new(), world.resolve(path.as_ref(), true)?)];
        while let Some((path, at)) = todo.pop() {
            for (name, id) in world.inode(at)?.entries()? {
                let at = world.mounted(At {
                    disk: at.disk,
                    id: *id,
                });
                let path = path.join(name);
                let node = match &world.inode(at)?.content {
                    Content::File(bytes) => Node::File(bytes.clone()),
                    Content::Symlink(target) => Node::Symlink(target.clone()),
                    Content::Special => Node::Special,
                    Content::Dir(_) => {
                        todo.push((path.clone(), at));
                        Node::Dir
                    }
                };
                tree.insert(path, node);
            }
        }
        Ok(tree)
    }

    /// Makes a symbolic link at `path`.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        let target = target.as_ref().as_os_str().to_owned();
        make(
            &mut self.lock(),
            path.as_ref(),
            Content::Symlink(target),
            0o777,
        )
        .map(drop)
    }

    /// Makes a FIFO.
    pub fn fifo(&self, path: impl AsRef<Path>) -> io::Result<()> {
        make(&mut self.lock(), path.as_ref(), Content::Special, 0o644).map(drop)
    }

    /// Gives a file a second name.
    pub fn hardlink(&self, existing: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        let mut world = self.lock();
        let node = world.resolve(existing.as_ref(), false)?;
        let (dir, name) = world.parent(path.as_ref())?;
        if node.disk != dir.disk {
            return Err(Errno::EXDEV.into());
        }
        world.disk(dir).vacant(dir.id, name)?;
        let now = world.stamp();
        let slot = (dir.id, name.to_owned());
        world.disk(dir).act(
            Act::Link {
                slot,
                node: node.id,
            },
            now,
        );
        Ok(())
    }

    /// Renames, replacing a file at `to`, as `mv` does.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let mut world = self.lock();
        world.tick();
        let (from_dir, from) = world.parent(from.as_ref())?;
        let (to_dir, to) = world.parent(to.as_ref())?;
        world.renamable((from_dir, from), to_dir)?;
        match world
            .child(to_dir, to)
            .and_then(|at| world.inode(at).map(Inode::kind))
        {
            Ok(Kind::Dir) => return Err(Errno::EISDIR.into()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(_) | Err(_) => {}
        }
        let (from, to) = ((from_dir.id, from.to_owned()), (to_dir.id, to.to_owned()));
        let now = world.stamp();
        world.disk(from_dir).act(Act::Move { from, to }, now);
        Ok(())
    }

    /// Removes a name, and everything below it.
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut world = self.lock();
        world.tick();
        let now = world.stamp();
        let (dir, name) = world.parent(path.as_ref())?;
        let at = world.child(dir, name)?;
        let disk = world.disk(dir);
        disk.may_change(dir.id)?;
        empty(disk, at.id, now)?;
        disk.act(
            Act::Unlink {
                slot: (dir.id, name.to_owned()),
            },
            now,
        );
        Ok(())
    }

    /// Sets a modification time, in nanoseconds since the Unix epoch.
    pub fn set_mtime(&self, path: impl AsRef<Path>, mtime: i64) -> io::Result<()> {
        self.change(path.as_ref(), |inode| inode.mtime = mtime)
    }

    /// Sets permission bits. The owner's are obeyed.
    pub fn chmod(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        self.change(path.as_ref(), |inode| inode.mode = mode & 0o7777)
    }

    /// Gives a file an extended attribute, or takes it away.
    pub fn set_xattr(&self, path: impl AsRef<Path>, there: bool) -> io::Result<()> {
        self.change(path.as_ref(), |inode| inode.xattrs = there)
    }

    /// Gives a file an ACL, or takes it away.
    pub fn set_acl(&self, path: impl AsRef<Path>, there: bool) -> io::Result<()> {
        self.change(path.as_ref(), |inode| inode.acl = there)
    }

    /// Makes a file sparse, or not.
    pub fn set_holes(&self, path: impl AsRef<Path>, there: bool) -> io::Result<()> {
        self.change(path.as_ref(), |inode| inode.holes = there)
    }

    /// Lets the storage hold other bytes than the cache: who does not [`uncache`] reads the old
    /// ones. Metadata stays as it is.
    ///
    /// [`uncache`]: crate::files::Files::uncache
    pub fn rot(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut world = self.lock();
        let at = world.resolve(path.as_ref(), true)?;
        world.disk(at).stored.insert(at.id, bytes.as_ref().to_vec());
        Ok(())
    }

    fn change(&self, path: &Path, change: impl FnOnce(&mut Inode)) -> io::Result<()> {
        let mut world = self.lock();
        world.tick();
        let now = world.stamp();
        let at = world.resolve(path, true)?;
        let disk = world.disk(at);
        let inode = disk.inode_mut(at.id)?;
        change(inode);
        inode.ctime = now;
        disk.dirty.insert(at.id);
        Ok(())
    }
}

/// Makes a node with its missing parents.
fn make(world: &mut World, path: &Path, content: Content, mode: u32) -> io::Result<At> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::EINVAL.into());
    };
    let dir = make_dirs(world, parent)?;
    world.tick();
    let now = world.stamp();
    let id = world
        .disk(dir)
        .make(dir.id, name, Inode::new(content, mode, now), now)?;
    Ok(At { disk: dir.disk, id })
}

pub(super) fn make_dirs(world: &mut World, path: &Path) -> io::Result<At> {
    match world.resolve(path, true) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && path.parent().is_some() => {
            make(world, path, Content::Dir(BTreeMap::new()), 0o755)
        }
        found => {
            let at = found?;
            world.inode(at)?.entries().map(|_| at)
        }
    }
}

/// Removes what is in a folder.
fn empty(disk: &mut Disk, id: Id, now: i64) -> io::Result<()> {
    let Content::Dir(entries) = disk.inode(id)?.content.clone() else {
        return Ok(());
    };
    for (name, child) in entries {
        empty(disk, child, now)?;
        disk.act(Act::Unlink { slot: (id, name) }, now);
    }
    Ok(())
}
