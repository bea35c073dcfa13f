//! The simulated machine: its disks, where they are mounted, its clock, and what shall fail.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use super::TwinFiles;
use super::disk::{Disk, ROOT, Usage};
use super::inode::{Content, Id, Inode};
use crate::files::Kind;

/// The most links followed in one path, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The time at which the simulated machine starts, in nanoseconds since the Unix epoch.
const START: i64 = 1_700_000_000_000_000_000;

/// How far an effect moves the clock, in nanoseconds.
const TICK: i64 = 1_000_000;

/// A node of one of the disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub disk: usize,
    pub id: Id,
}

/// An operation that shall fail.
#[derive(Debug)]
pub(super) struct Fault {
    pub name: String,
    /// How many of that name come to it, this one included.
    pub left: u64,
    pub errno: i32,
    pub always: bool,
}

/// Something that happens just before an operation.
pub(super) struct Hook {
    pub name: String,
    pub left: u64,
    pub act: Box<dyn FnOnce(&TwinFiles) + Send>,
}

pub(super) struct World {
    pub disks: Vec<Disk>,
    pub mounts: BTreeMap<At, usize>,
    /// Which life of the process this is.
    pub life: u64,
    pub now: i64,
    pub granularity: i64,
    pub faults: Vec<Fault>,
    pub hooks: Vec<Hook>,
    /// The next handle's number.
    pub handle: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            disks: Vec::new(),
            mounts: BTreeMap::new(),
            life: 0,
            now: START,
            granularity: 1,
            faults: Vec::new(),
            hooks: Vec::new(),
            handle: 0,
        };
        world.add_disk();
        world
    }

    pub(super) fn add_disk(&mut self) -> usize {
        /// Device numbers as of the first SCSI disk's partitions.
        const FIRST: u64 = 0x801;
        let index = self.disks.len();
        self.disks
            .push(Disk::new(FIRST + index as u64, self.stamp()));
        index
    }

    /// The time that files are stamped with.
    pub(super) fn stamp(&self) -> i64 {
        self.now - self.now.rem_euclid(self.granularity)
    }

    pub(super) fn tick(&mut self) {
        self.now = self.now.saturating_add(TICK);
    }

    /// The error that this operation shall have.
    pub(super) fn fault(&mut self, name: &str) -> Option<io::Error> {
        let mut errno = None;
        self.faults.retain_mut(|fault| {
            if fault.name != name {
                return true;
            }
            fault.left = fault.left.saturating_sub(1);
            if fault.left > 0 {
                return true;
            }
            errno = errno.or(Some(fault.errno));
            fault.always
        });
        errno.map(io::Error::from_raw_os_error)
    }

    /// What shall happen before this operation.
    pub(super) fn due_hooks(&mut self, name: &str) -> Vec<Hook> {
        let (due, rest) = std::mem::take(&mut self.hooks)
            .into_iter()
            .map(|mut hook| {
                hook.left -= u64::from(hook.name == name);
                hook
            })
            .partition(|hook| hook.left == 0);
        self.hooks = rest;
        due
    }

    pub(super) fn disk(&mut self, at: At) -> &mut Disk {
        &mut self.disks[at.disk]
    }

    pub(super) fn inode(&self, at: At) -> io::Result<&Inode> {
        self.disks[at.disk].inode(at.id)
    }

    pub(super) fn usage(&mut self, at: At) -> &mut Usage {
        self.disks[at.disk].usage.entry(at.id).or_default()
    }

    /// The node behind a name, not crossing a mount point.
    pub(super) fn child(&self, dir: At, name: &OsStr) -> io::Result<At> {
        let id = self.disks[dir.disk].child(dir.id, name)?;
        Ok(At { disk: dir.disk, id })
    }

    /// What is mounted on a node, or the node.
    pub(super) fn mounted(&self, mut at: At) -> At {
        while let Some(&disk) = self.mounts.get(&at) {
            at = At { disk, id: ROOT };
        }
        at
    }

    pub(super) fn top(&self) -> At {
        self.mounted(At { disk: 0, id: ROOT })
    }

    /// Walks an absolute path. Links on the way are followed, the last one if `follow`.
    pub(super) fn resolve(&self, path: &Path, follow: bool) -> io::Result<At> {
        self.walk(path, follow).map(|(at, _)| at)
    }

    /// As [`World::resolve`], with the path that has no links.
    pub(super) fn walk(&self, path: &Path, follow: bool) -> io::Result<(At, PathBuf)> {
        let mut todo: Vec<OsString> = reversed(path);
        let mut walked = vec![(self.top(), OsString::from("/"))];
        let mut links = 0;
        while let Some(step) = todo.pop() {
            if step == "/" {
                walked.truncate(1);
                continue;
            }
            if step == ".." {
                walked.truncate((walked.len() - 1).max(1));
                continue;
            }
            let here = walked.last().map_or(self.top(), |(at, _)| *at);
            let child = self.mounted(self.child(here, &step)?);
            match &self.inode(child)?.content {
                Content::Symlink(target) if follow || !todo.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP.into());
                    }
                    todo.extend(reversed(Path::new(target)));
                }
                _ => walked.push((child, step)),
            }
        }
        let at = walked.last().map_or(self.top(), |(at, _)| *at);
        Ok((at, walked.into_iter().map(|(_, name)| name).collect()))
    }

    /// The folder that holds the last name of an absolute path, and that name.
    pub(super) fn parent<'p>(&self, path: &'p Path) -> io::Result<(At, &'p OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.resolve(parent, true)?, name)),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// Opens a folder beneath another: no link, no mount point.
    pub(super) fn beneath(&self, from: At, path: &[&OsStr]) -> io::Result<At> {
        let mut at = from;
        for name in path {
            at = self.child(at, name)?;
            match self.inode(at)?.kind() {
                Kind::Symlink => return Err(Errno::ELOOP.into()),
                Kind::Dir if self.mounts.contains_key(&at) => return Err(Errno::EXDEV.into()),
                Kind::Dir => {}
                Kind::File | Kind::Special => return Err(Errno::ENOTDIR.into()),
            }
        }
        Ok(at)
    }

    /// Whether a folder lies in another one, or is it.
    pub(super) fn lies_in(&self, at: At, around: At) -> bool {
        let children = |id: Id| match self.disks[at.disk].seen.get(&id).map(|i| &i.content) {
            Some(Content::Dir(entries)) => entries.values().copied().collect(),
            _ => Vec::new(),
        };
        let mut todo = vec![around.id];
        while let Some(id) = todo.pop() {
            if id == at.id {
                return at.disk == around.disk;
            }
            todo.extend(children(id));
        }
        false
    }
}

/// The steps of a path, last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let steps = path.components().filter(|step| *step != Component::CurDir);
    steps
        .rev()
        .map(|step| step.as_os_str().to_owned())
        .collect()
}
