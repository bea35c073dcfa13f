//! One simulated filesystem: its inodes as processes see them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::change::{Act, Change};
use super::inode::{Content, Id, Inode, Inodes};
use crate::files::{Kind, Stat};

/// The root folder of every filesystem.
pub(super) const ROOT: Id = 1;

/// The unit of `Stat::blocks`.
const BLOCK: u64 = 512;

/// What a filesystem can do, and how it is.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// The type, as [`crate::files::Abilities`] says it.
    pub filesystem: String,
    /// Whether `sync_all` is enough. Where it is not, `sync_all` makes nothing durable.
    pub known_good: bool,
    /// Whether it lies on another machine.
    pub remote: bool,
    /// Whether files can be leased.
    pub leases: bool,
    /// Whether entries can be swapped.
    pub exchange: bool,
    /// Whether a rename can refuse to replace. If not, it is a link and an unlink, as on NFS.
    pub no_replace: bool,
    /// Names are kept in small letters and without dots at the end, whatever is written.
    pub rewrites_names: bool,
    /// Every change is refused (EROFS).
    pub read_only: bool,
    /// Every operation fails (EIO), as after somebody pulled the plug.
    pub unplugged: bool,
    /// Bytes of file content that fit; `None` for no limit. Once they are used, no folder fits.
    pub capacity: Option<u64>,
}

impl DiskOptions {
    /// The name that is kept for one that is written.
    fn kept<'a>(&self, name: &'a OsStr) -> Cow<'a, OsStr> {
        if !self.rewrites_names {
            return Cow::Borrowed(name);
        }
        let mut bytes = name.as_encoded_bytes().to_ascii_lowercase();
        while bytes.len() > 1 && bytes.ends_with(b".") {
            bytes.pop();
        }
        Cow::Owned(OsStr::from_bytes(&bytes).to_owned())
    }
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            filesystem: "ext4".to_owned(),
            known_good: true,
            remote: false,
            leases: true,
            exchange: true,
            no_replace: true,
            rewrites_names: false,
            read_only: false,
            unplugged: false,
            capacity: None,
        }
    }
}

/// Who has an inode open.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    /// Handles of the process under test.
    pub handles: u32,
    /// Handles of the process under test that can write.
    pub writers: u32,
    /// Other programs that have it open for writing.
    pub outside_writers: u32,
    /// Another program waits for the lease to end.
    pub waiting: bool,
    /// Another program will want to write as soon as there is a lease.
    pub break_next: bool,
    /// Another owner: no leases.
    pub foreign: bool,
    /// The handles that hold a lease.
    pub leases: BTreeSet<u64>,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub options: DiskOptions,
    pub dev: u64,
    /// What processes see.
    pub seen: Inodes,
    /// What a power cut leaves for certain.
    pub durable: Inodes,
    /// Changes of entries that are not durable yet, oldest first.
    pub pending: Vec<Change>,
    /// Inodes whose content or metadata is not durable yet.
    pub dirty: BTreeSet<Id>,
    /// Inodes whose sync failed: what is cached will never reach the storage.
    pub lost: BTreeSet<Id>,
    /// Other bytes that the storage really holds, behind the cache.
    pub stored: BTreeMap<Id, Vec<u8>>,
    pub usage: BTreeMap<Id, Usage>,
    /// Inode numbers to use again.
    pub free: BTreeSet<u64>,
    next: Id,
}

impl Disk {
    pub(super) fn new(dev: u64, now: i64) -> Self {
        let mut root = Inode::new(Content::Dir(BTreeMap::new()), 0o755, now);
        root.ino = ROOT;
        root.links = 1;
        let inodes = Inodes::from([(ROOT, root)]);
        Self {
            options: DiskOptions::default(),
            dev,
            seen: inodes.clone(),
            durable: inodes,
            pending: Vec::new(),
            dirty: BTreeSet::new(),
            lost: BTreeSet::new(),
            stored: BTreeMap::new(),
            usage: BTreeMap::new(),
            free: BTreeSet::new(),
            next: ROOT + 1,
        }
    }

    pub(super) fn inode(&self, id: Id) -> io::Result<&Inode> {
        if self.options.unplugged {
            return Err(Errno::EIO.into());
        }
        self.seen.get(&id).ok_or_else(|| Errno::ESTALE.into())
    }

    /// For a change of content or metadata.
    pub(super) fn inode_mut(&mut self, id: Id) -> io::Result<&mut Inode> {
        self.writable()?;
        self.seen.get_mut(&id).ok_or_else(|| Errno::ESTALE.into())
    }

    pub(super) fn writable(&self) -> io::Result<()> {
        if self.options.unplugged {
            Err(Errno::EIO.into())
        } else if self.options.read_only {
            Err(Errno::EROFS.into())
        } else {
            Ok(())
        }
    }

    pub(super) fn stat(&self, id: Id) -> io::Result<Stat> {
        let inode = self.inode(id)?;
        let size = inode.size();
        Ok(Stat {
            kind: inode.kind(),
            dev: self.dev,
            ino: inode.ino,
            size,
            mtime: inode.mtime,
            ctime: inode.ctime,
            mode: inode.mode,
            nlink: inode.links + u64::from(inode.kind() == Kind::Dir),
            blocks: if inode.holes { 0 } else { size.div_ceil(BLOCK) },
        })
    }

    /// The node behind a name.
    pub(super) fn child(&self, dir: Id, name: &OsStr) -> io::Result<Id> {
        let dir = self.inode(dir)?;
        let entries = dir.entries()?;
        dir.allow(0o100)?;
        check_length(name)?;
        entries
            .get(&*self.options.kept(name))
            .copied()
            .ok_or_else(|| Errno::ENOENT.into())
    }

    /// Refuses where no entry may be made or taken away.
    pub(super) fn may_change(&self, dir: Id) -> io::Result<()> {
        self.writable()?;
        let inode = self.inode(dir)?;
        inode.entries()?;
        inode.allow(0o300)?;
        // A folder that was removed while it was open takes no entries.
        if inode.links == 0 {
            Err(Errno::ENOENT.into())
        } else {
            Ok(())
        }
    }

    /// Refuses a name that is taken, and any change where none may be.
    pub(super) fn vacant(&self, dir: Id, name: &OsStr) -> io::Result<()> {
        match self.child(dir, name) {
            Ok(_) => Err(Errno::EEXIST.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.may_change(dir),
            Err(e) => Err(e),
        }
    }

    /// Makes a node and its first name.
    pub(super) fn make(
        &mut self,
        dir: Id,
        name: &OsStr,
        mut inode: Inode,
        now: i64,
    ) -> io::Result<Id> {
        self.vacant(dir, name)?;
        // A full disk has no block for a new folder either.
        let full = self
            .options
            .capacity
            .is_some_and(|most| self.used() >= most);
        if full && matches!(inode.content, Content::Dir(_)) {
            return Err(Errno::ENOSPC.into());
        }
        let id = self.next;
        self.next += 1;
        inode.ino = self.free.pop_first().unwrap_or(id);
        self.durable.insert(id, inode.clone());
        self.seen.insert(id, inode);
        self.act(
            Act::Link {
                slot: (dir, name.to_owned()),
                node: id,
            },
            now,
        );
        Ok(id)
    }

    /// Changes entries, visibly; not durably yet.
    pub(super) fn act(&mut self, act: Act, now: i64) {
        let options = &self.options;
        let act = act.with_names(|name| options.kept(&name).into_owned());
        let change = Change::new(act, &self.seen);
        change.act.apply(&mut self.seen);
        for id in change.touched() {
            if let Some(inode) = self.seen.get_mut(&id) {
                inode.ctime = now;
                if inode.kind() == Kind::Dir {
                    inode.mtime = now;
                }
            }
        }
        self.pending.push(change);
    }

    /// Replaces part of a file's content.
    pub(super) fn write(&mut self, id: Id, at: usize, bytes: &[u8], now: i64) -> io::Result<()> {
        let end = at + bytes.len();
        if let Some(capacity) = self.options.capacity {
            let grown = (end as u64).saturating_sub(self.inode(id)?.size());
            if self.used() + grown > capacity {
                return Err(Errno::ENOSPC.into());
            }
        }
        let inode = self.inode_mut(id)?;
        let Content::File(content) = &mut inode.content else {
            return Err(Errno::EINVAL.into());
        };
        if content.len() < end {
            content.resize(end, 0);
        }
        content[at..end].copy_from_slice(bytes);
        inode.mtime = now;
        inode.ctime = now;
        self.dirty.insert(id);
        Ok(())
    }

    /// Cuts a file, or lets it grow by zeros.
    pub(super) fn set_length(&mut self, id: Id, length: u64, now: i64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::Error::from(Errno::EFBIG))?;
        let inode = self.inode_mut(id)?;
        let Content::File(content) = &mut inode.content else {
            return Err(Errno::EINVAL.into());
        };
        content.resize(length, 0);
        inode.mtime = now;
        inode.ctime = now;
        let kept = content.clone();
        self.dirty.insert(id);
        // What was lost and is cut off is written again; what stays has to be there already.
        let durable = self.durable.get(&id).map(|inode| &inode.content);
        if matches!(durable, Some(Content::File(bytes)) if bytes.starts_with(&kept)) {
            self.lost.remove(&id);
        }
        Ok(())
    }

    /// Bytes of content of all files that have a name; one with holes takes none.
    pub(super) fn used(&self) -> u64 {
        self.seen
            .values()
            .filter(|inode| inode.links > 0 && !inode.holes)
            .map(Inode::size)
            .sum()
    }
}

/// The longest name (NAME_MAX, limits.h).
const MAX_NAME: usize = 255;

fn check_length(name: &OsStr) -> io::Result<()> {
    if name.len() > MAX_NAME {
        Err(Errno::ENAMETOOLONG.into())
    } else {
        Ok(())
    }
}
