//! What a simulated filesystem consists of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;

use nix::errno::Errno;

use crate::files::Kind;

/// A node of a filesystem. Never used twice, unlike the inode number that is shown.
pub(super) type Id = u64;

/// What an inode holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    File(Vec<u8>),
    Dir(BTreeMap<OsString, Id>),
    Symlink(OsString),
    Special,
}

#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub content: Content,
    pub ino: u64,
    pub mode: u32,
    pub mtime: i64,
    pub ctime: i64,
    /// Entries that name it.
    pub links: u64,
    pub xattrs: bool,
    pub acl: bool,
    pub holes: bool,
}

pub(super) type Inodes = BTreeMap<Id, Inode>;

impl Inode {
    pub(super) fn new(content: Content, mode: u32, now: i64) -> Self {
        Self {
            content,
            ino: 0,
            mode,
            mtime: now,
            ctime: now,
            links: 0,
            xattrs: false,
            acl: false,
            holes: false,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.content {
            Content::File(_) => Kind::File,
            Content::Dir(_) => Kind::Dir,
            Content::Symlink(_) => Kind::Symlink,
            Content::Special => Kind::Special,
        }
    }

    pub(super) fn size(&self) -> u64 {
        match &self.content {
            Content::File(bytes) => bytes.len() as u64,
            Content::Symlink(target) => target.len() as u64,
            Content::Dir(_) | Content::Special => 0,
        }
    }

    pub(super) fn entries(&self) -> io::Result<&BTreeMap<OsString, Id>> {
        match &self.content {
            Content::Dir(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    /// Refuses unless the owner has these permission bits (`0o400`, `0o200`, `0o100`).
    pub(super) fn allow(&self, bits: u32) -> io::Result<()> {
        if self.mode & bits == bits {
            Ok(())
        } else {
            Err(Errno::EACCES.into())
        }
    }
}
