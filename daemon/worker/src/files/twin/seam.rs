//! The twin as [`Files`]: each operation looks, refuses as Linux would, or changes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::inode::{Content, Inode};
use super::world::At;
use super::{Phase, TwinDir, TwinFile, TwinFiles};
use crate::files::{Abilities, Entry, Extras, Files, Kind, Large, Lease, Stat, name};

/// Bytes that a disk without a limit claims to have.
const UNLIMITED: u64 = 1 << 40;

impl Files for TwinFiles {
    type Dir = TwinDir;
    type File = TwinFile;

    fn open_root(&self, path: &Path) -> io::Result<TwinDir> {
        name::check_root(path)?;
        let world = self.enter("open-root", Phase::Look)?;
        let at = world.resolve(path, true)?;
        let inode = world.inode(at)?;
        inode.entries()?;
        inode.allow(0o400)?;
        Ok(self.dir(at))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        name::check_root(path)?;
        let world = self.enter("resolve", Phase::Look)?;
        world.walk(path, true).map(|(_, real)| real)
    }

    fn make_root(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.make_folders(path)
    }

    fn open_dir(&self, at: &TwinDir, path: &Path) -> io::Result<TwinDir> {
        let names = name::components(path)?;
        let from = self.at(at)?;
        let world = self.enter("open-dir", Phase::Look)?;
        let found = world.beneath(from, &names)?;
        if !names.is_empty() {
            world.inode(found)?.allow(0o400)?;
        }
        Ok(self.dir(found))
    }

    fn list(&self, dir: &TwinDir) -> io::Result<Vec<Entry>> {
        let dir = self.at(dir)?;
        let world = self.enter("list", Phase::Look)?;
        let inode = world.inode(dir)?;
        inode.allow(0o500)?;
        let mut entries = Vec::new();
        for (name, id) in inode.entries()? {
            let at = world.mounted(At {
                disk: dir.disk,
                id: *id,
            });
            entries.push(Entry {
                name: name.clone(),
                stat: world.disks[at.disk].stat(at.id)?,
            });
        }
        // Any order but the alphabet's, so that nobody comes to rely on it.
        entries.sort_by_key(|entry| scramble(&entry.name));
        Ok(entries)
    }

    fn stat(&self, dir: &TwinDir, name: &OsStr) -> io::Result<Stat> {
        name::check(name)?;
        let dir = self.at(dir)?;
        let world = self.enter("stat", Phase::Look)?;
        let at = world.mounted(world.child(dir, name)?);
        world.disks[at.disk].stat(at.id)
    }

    fn stat_dir(&self, dir: &TwinDir) -> io::Result<Stat> {
        let at = self.at(dir)?;
        self.enter("stat", Phase::Look)?.disk(at).stat(at.id)
    }

    fn stat_file(&self, file: &TwinFile) -> io::Result<Stat> {
        let at = self.node(file)?;
        self.enter("stat", Phase::Look)?.disk(at).stat(at.id)
    }

    fn open(&self, dir: &TwinDir, name: &OsStr) -> io::Result<TwinFile> {
        name::check(name)?;
        let dir = self.at(dir)?;
        let world = self.enter("open", Phase::Look)?;
        let at = world.child(dir, name)?;
        if world.mounts.contains_key(&at) {
            return Err(Errno::EXDEV.into());
        }
        let inode = world.inode(at)?;
        match inode.kind() {
            Kind::File => inode.allow(0o400)?,
            Kind::Symlink => return Err(Errno::ELOOP.into()),
            Kind::Dir | Kind::Special => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "not a regular file",
                ));
            }
        }
        drop(world);
        Ok(self.handle(at, false))
    }

    fn create(&self, dir: &TwinDir, name: &OsStr) -> io::Result<TwinFile> {
        name::check(name)?;
        let dir = self.at(dir)?;
        let mut world = self.enter("create", Phase::Effect)?;
        let now = world.stamp();
        let inode = Inode::new(Content::File(Vec::new()), 0o600, now);
        let id = world.disk(dir).make(dir.id, name, inode, now)?;
        drop(world);
        Ok(self.handle(At { disk: dir.disk, id }, true))
    }

    fn resume(&self, dir: &TwinDir, name: &OsStr, length: u64) -> io::Result<TwinFile> {
        name::check(name)?;
        let dir = self.at(dir)?;
        let mut world = self.enter("resume", Phase::Effect)?;
        let at = world.child(dir, name)?;
        let inode = world.inode(at)?;
        match inode.kind() {
            Kind::File if inode.links == 1 => inode.allow(0o200)?,
            Kind::Symlink => return Err(Errno::ELOOP.into()),
            Kind::File | Kind::Dir | Kind::Special => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "not a regular file",
                ));
            }
        }
        let now = world.stamp();
        world.disk(at).set_length(at.id, length, now)?;
        drop(world);
        Ok(self.handle_behind(at, length))
    }

    fn write_hole(&self, file: &mut TwinFile, length: u64) -> io::Result<()> {
        self.grow(file, length)
    }

    fn set_meta(&self, file: &TwinFile, mode: u32, mtime: i64) -> io::Result<()> {
        let at = self.node(file)?;
        let mut world = self.enter("write-meta", Phase::Effect)?;
        let now = world.stamp();
        let inode = world.disk(at).inode_mut(at.id)?;
        inode.mode = mode & 0o7777;
        inode.mtime = mtime;
        inode.ctime = now;
        world.disk(at).dirty.insert(at.id);
        Ok(())
    }

    fn sync_file(&self, file: &TwinFile) -> io::Result<()> {
        let at = self.node(file)?;
        let (mut world, fault) = self.begin("sync-file", Phase::Effect)?;
        world.inode(at)?;
        match fault {
            Ok(()) => world.disk(at).sync_inode(at.id),
            Err(_) => world.disk(at).lose([at.id]),
        }
        fault
    }

    fn sync_dir(&self, dir: &TwinDir) -> io::Result<()> {
        let at = self.at(dir)?;
        let mut world = self.enter("sync-dir", Phase::Effect)?;
        world.inode(at)?;
        world.disk(at).sync_inode(at.id);
        world.disk(at).sync_entries(at.id);
        Ok(())
    }

    fn sync_all(&self, dir: &TwinDir) -> io::Result<()> {
        let at = self.at(dir)?;
        let (mut world, fault) = self.begin("sync-all", Phase::Effect)?;
        world.inode(at)?;
        let disk = world.disk(at);
        if fault.is_err() {
            disk.lose(disk.dirty.clone());
        } else if disk.options.known_good {
            disk.sync_everything();
        }
        fault
    }

    fn uncache(&self, file: &TwinFile) {
        if let (Ok(at), Ok(mut world)) = (self.node(file), self.enter("uncache", Phase::Look)) {
            world.disk(at).uncache(at.id);
        }
    }

    fn lease(&self, file: &TwinFile) -> io::Result<Lease> {
        self.take_lease(file)
    }

    fn lease_holds(&self, file: &TwinFile) -> bool {
        self.has_lease(file)
    }

    fn release(&self, file: &TwinFile) {
        self.give_lease_back(file);
    }

    fn rename_new(
        &self,
        from_dir: &TwinDir,
        from: &OsStr,
        to_dir: &TwinDir,
        to: &OsStr,
    ) -> io::Result<()> {
        name::check(from)?;
        name::check(to)?;
        self.move_entry((self.at(from_dir)?, from), (self.at(to_dir)?, to))
    }

    fn exchange(&self, a_dir: &TwinDir, a: &OsStr, b_dir: &TwinDir, b: &OsStr) -> io::Result<()> {
        name::check(a)?;
        name::check(b)?;
        self.swap_entries((self.at(a_dir)?, a), (self.at(b_dir)?, b))
    }

    fn rename_over(&self, dir: &TwinDir, from: &OsStr, to: &OsStr) -> io::Result<()> {
        name::check(from)?;
        name::check(to)?;
        self.move_over(self.at(dir)?, from, to)
    }

    fn unlink(&self, dir: &TwinDir, name: &OsStr) -> io::Result<()> {
        name::check(name)?;
        self.take_entry("unlink", (self.at(dir)?, name), |inode| {
            match inode.kind() {
                Kind::Dir => Err(Errno::EISDIR),
                Kind::File | Kind::Symlink | Kind::Special => Ok(()),
            }
        })
    }

    fn make_dir(&self, dir: &TwinDir, name: &OsStr, mode: u32) -> io::Result<()> {
        name::check(name)?;
        let dir = self.at(dir)?;
        let mut world = self.enter("make-dir", Phase::Effect)?;
        let now = world.stamp();
        let inode = Inode::new(Content::Dir(BTreeMap::new()), mode & 0o7777, now);
        world.disk(dir).make(dir.id, name, inode, now).map(drop)
    }

    fn set_dir_mode(&self, dir: &TwinDir, mode: u32) -> io::Result<()> {
        let at = self.at(dir)?;
        let mut world = self.enter("set-dir-mode", Phase::Effect)?;
        let now = world.stamp();
        let inode = world.disk(at).inode_mut(at.id)?;
        inode.mode = mode & 0o7777;
        inode.ctime = now;
        world.disk(at).dirty.insert(at.id);
        Ok(())
    }

    fn remove_dir(&self, dir: &TwinDir, name: &OsStr) -> io::Result<()> {
        name::check(name)?;
        self.take_entry("remove-dir", (self.at(dir)?, name), |inode| {
            match &inode.content {
                Content::Dir(entries) if entries.is_empty() => Ok(()),
                Content::Dir(_) => Err(Errno::ENOTEMPTY),
                Content::File(_) | Content::Symlink(_) | Content::Special => Err(Errno::ENOTDIR),
            }
        })
    }

    fn abilities(&self, dir: &TwinDir) -> io::Result<Abilities> {
        let at = self.at(dir)?;
        let mut world = self.enter("abilities", Phase::Look)?;
        world.inode(at)?;
        let disk = world.disk(at);
        let capacity = disk.options.capacity.unwrap_or(UNLIMITED);
        Ok(Abilities {
            filesystem: disk.options.filesystem.clone(),
            known_good: disk.options.known_good,
            excludes_mapped: disk.options.leases,
            remote: disk.options.remote,
            free: capacity.saturating_sub(disk.used()),
            capacity,
        })
    }

    fn extras(&self, file: &TwinFile) -> io::Result<Extras> {
        let at = self.node(file)?;
        let world = self.enter("extras", Phase::Look)?;
        let inode = world.inode(at)?;
        Ok(Extras {
            xattrs: inode.xattrs,
            acl: inode.acl,
            holes: inode.holes,
        })
    }

    fn now(&self) -> i64 {
        self.lock().stamp()
    }

    fn large(&self) -> Large {
        // Small, so that a test dies at many places in one.
        Large {
            from: 16 * 1024,
            step: 4 * 1024,
        }
    }

    fn batch_from(&self) -> usize {
        // Few, so that small stories have them.
        3
    }

    fn parallelism(&self) -> usize {
        // One, so that the effects have one order.
        1
    }
}

/// A number without meaning from a name (FNV-1a).
fn scramble(name: &OsString) -> u64 {
    use std::os::unix::ffi::OsStrExt;
    name.as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
