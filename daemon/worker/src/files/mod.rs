//! The one seam under the worker: everything it does to files, as a small trait.
//!
//! [`real::RealFiles`] is Linux; [`twin::TwinFiles`] is a simulation in memory that can die at
//! every effect and then loses or tears what was not made durable.
//! `tests/files_conformance.rs` runs the same expectations over both.
//!
//! Rules of the seam:
//! - Work happens on an open folder and a *name* in it. A name is one component: not empty, not
//!   `.` or `..`, no `/`, no NUL; anything else is `InvalidInput`. Only [`Files::open_root`] takes
//!   an absolute path and only [`Files::open_dir`] a relative one.
//! - No symbolic link is ever followed below a root, and no mount point is crossed.
//! - Nothing of a person's ever replaces an existing entry: [`Files::rename_new`] refuses,
//!   [`Files::exchange`] keeps both. [`Files::rename_over`] is for Mooring's own small files.
//! - An effect is durable only after the matching `sync_*`: file content and metadata after
//!   [`Files::sync_file`], entries (creation, rename, unlink) after [`Files::sync_dir`] of every
//!   folder concerned, everything of a filesystem after [`Files::sync_all`].

mod name;
pub mod real;
pub mod twin;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

/// What kind of thing an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file: the only kind that is synced.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A FIFO, socket or device.
    Special,
}

/// What the filesystem says about an entry, without following it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// The device number of the filesystem.
    pub dev: u64,
    /// The inode number.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last modification of the content, in nanoseconds since the Unix epoch (clamped to `i64`).
    pub mtime: i64,
    /// Last change of the inode, likewise. A rename moves it.
    pub ctime: i64,
    /// Permission bits, `0o7777`.
    pub mode: u32,
    /// Number of hard links.
    pub nlink: u64,
    /// Allocated 512-byte blocks.
    pub blocks: u64,
}

/// A name in a folder, with what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, any bytes but `/` and NUL.
    pub name: OsString,
    /// What it is.
    pub stat: Stat,
}

/// The answer to asking for a read lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Held: nobody has the file open for writing, and whoever tries waits until it is released.
    Held,
    /// Somebody has the file open for writing, or mapped writable.
    InUse,
    /// The filesystem (NFS, FUSE) or the owner of the file does not allow leases.
    Unsupported,
}

/// What can be relied on at a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// The filesystem's type, e.g. `ext4`.
    pub filesystem: String,
    /// Whether `syncfs` by the batch is known to be enough, timestamps are fine-grained, and a write
    /// through a mapping sets them (ext4, xfs, btrfs). Elsewhere every file is fsynced by itself and
    /// stamps prove less: on tmpfs a page that was read before is written without a trace.
    pub known_good: bool,
    /// Whether a lease keeps out programs that have mapped a file, too. Not on an overlay: their
    /// mapping is of the file below, which is another one to the kernel.
    pub excludes_mapped: bool,
    /// Whether the filesystem lies on another machine (NFS, SMB, …).
    pub remote: bool,
    /// Bytes free for this user.
    pub free: u64,
    /// Bytes in all.
    pub capacity: u64,
}

/// Where a path lies: on which filesystem, and where on it. Two paths of one place can differ
/// where a part of a filesystem is mounted once more (a bind mount).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruePlace {
    /// The filesystem, as `major:minor`.
    pub device: String,
    /// The path from that filesystem's own root.
    pub path: std::path::PathBuf,
}

impl TruePlace {
    /// Whether one of two places is, or lies in, the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.device == other.device
            && (self.path.starts_with(&other.path) || other.path.starts_with(&self.path))
    }
}

/// How large files are carried: so that it can be taken up where it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Large {
    /// The size from which a file is large, in bytes.
    pub from: u64,
    /// The bytes that are written between two syncs of it.
    pub step: u64,
}

impl Default for Large {
    fn default() -> Self {
        Self {
            from: 64 * 1024 * 1024,
            step: 64 * 1024 * 1024,
        }
    }
}

/// What a copy of a file's bytes, time and mode would not carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// It has extended attributes of the `user.` namespace.
    pub xattrs: bool,
    /// It has a POSIX ACL beyond the mode.
    pub acl: bool,
    /// It has holes.
    pub holes: bool,
}

/// Everything the worker does to files.
///
/// Errors are `io::Error`s with the system's meaning. Those the engine looks at, by
/// `ErrorKind` or `raw_os_error`: `NotFound`, `AlreadyExists` (EEXIST), `DirectoryNotEmpty`,
/// `StorageFull` (ENOSPC), `QuotaExceeded` (EDQUOT), `PermissionDenied`, `CrossesDevices` (EXDEV),
/// `FilesystemLoop` (ELOOP: a link where none may be), `NotADirectory`, `InvalidFilename`
/// (ENAMETOOLONG), `ReadOnlyFilesystem`, `Interrupted` never (it is retried below).
pub trait Files: Clone + Send + Sync + 'static {
    /// An open folder. Stays the same folder whatever is renamed.
    type Dir: Clone + Send + Sync;
    /// An open file. Closing it releases its lease.
    type File: Send + io::Read + io::Write;

    /// Opens a folder by its absolute path. Links in the path are followed: it is the place a
    /// person named. The folder itself may be a mount point.
    fn open_root(&self, path: &Path) -> io::Result<Self::Dir>;

    /// An absolute path with every link in it resolved. All of it must exist.
    fn resolve(&self, path: &Path) -> io::Result<std::path::PathBuf>;

    /// Where a path without links truly lies, whatever is mounted where; `None` when the system
    /// does not tell. The path itself need not exist.
    fn true_place(&self, resolved: &Path) -> io::Result<Option<TruePlace>> {
        let _ = resolved;
        Ok(None)
    }

    /// Makes a folder and its missing parents by absolute path (mode 0700 for those it makes),
    /// durably. Answers the folders it made, outermost first.
    fn make_root(&self, path: &Path) -> io::Result<Vec<std::path::PathBuf>>;

    /// Opens a folder beneath another: `path` is relative, of names only; empty for `at` itself.
    /// `FilesystemLoop` for a link on the way, `CrossesDevices` for a mount point.
    fn open_dir(&self, at: &Self::Dir, path: &Path) -> io::Result<Self::Dir>;

    /// The entries of a folder, in no order, without `.` and `..`. An entry that vanishes
    /// meanwhile is left out.
    fn list(&self, dir: &Self::Dir) -> io::Result<Vec<Entry>>;

    /// What a name is.
    fn stat(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Stat>;

    /// What the folder itself is.
    fn stat_dir(&self, dir: &Self::Dir) -> io::Result<Stat>;

    /// What an open file is.
    fn stat_file(&self, file: &Self::File) -> io::Result<Stat>;

    /// Opens a regular file for reading; never blocks (on a FIFO), never follows a link.
    /// `InvalidInput` for anything but a regular file, ELOOP for a link, `WouldBlock` while another
    /// program is asked to give back its own lease: later it works.
    fn open(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Self::File>;

    /// Makes a new file for writing, mode 0600. `AlreadyExists` when the name is taken.
    fn create(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Self::File>;

    /// Opens an unfinished file of Mooring's own for writing, cut to `length`; what is written comes
    /// behind that. `InvalidInput` for anything but a regular file that has this name alone.
    fn resume(&self, dir: &Self::Dir, name: &OsStr, length: u64) -> io::Result<Self::File>;

    /// Lets a file that is being written grow by zeros, which take no space where the filesystem
    /// can do that. What is written next comes behind them.
    fn write_hole(&self, file: &mut Self::File, length: u64) -> io::Result<()>;

    /// Sets permission bits and modification time of a file made by [`Files::create`]. A
    /// filesystem that has no modes keeps its own.
    fn set_meta(&self, file: &Self::File, mode: u32, mtime: i64) -> io::Result<()>;

    /// Makes a file's content and metadata durable (fsync).
    fn sync_file(&self, file: &Self::File) -> io::Result<()>;

    /// Makes a folder's entries durable (fsync).
    fn sync_dir(&self, dir: &Self::Dir) -> io::Result<()>;

    /// Makes everything of the folder's filesystem durable (syncfs).
    fn sync_all(&self, dir: &Self::Dir) -> io::Result<()>;

    /// Drops the file's cached pages, so that the next read comes from the storage. The file must
    /// be durable already. A hint: the engine counts on it, no error is possible.
    fn uncache(&self, file: &Self::File);

    /// Asks for a read lease on an open file (`F_SETLEASE`, `F_RDLCK`).
    fn lease(&self, file: &Self::File) -> io::Result<Lease>;

    /// Whether the lease is still held and nobody waits for it.
    fn lease_holds(&self, file: &Self::File) -> bool;

    /// Gives a lease back. Nothing happens when there is none.
    fn release(&self, file: &Self::File);

    /// Renames without replacing: `AlreadyExists` when `to` is taken (`RENAME_NOREPLACE`; where
    /// the filesystem has none, `link` + `unlink`).
    fn rename_new(
        &self,
        from_dir: &Self::Dir,
        from: &OsStr,
        to_dir: &Self::Dir,
        to: &OsStr,
    ) -> io::Result<()>;

    /// Swaps two entries (`RENAME_EXCHANGE`); both must exist. `Unsupported` where the filesystem
    /// cannot.
    fn exchange(
        &self,
        a_dir: &Self::Dir,
        a: &OsStr,
        b_dir: &Self::Dir,
        b: &OsStr,
    ) -> io::Result<()>;

    /// Renames within a folder, over the file that has the name `to`: at every moment `to` is one
    /// of the two. Only for a small file of Mooring's own: where [`Files::exchange`] cannot, or
    /// nobody else writes it.
    fn rename_over(&self, dir: &Self::Dir, from: &OsStr, to: &OsStr) -> io::Result<()>;

    /// Removes a name that is not a folder.
    fn unlink(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<()>;

    /// Makes a folder. The process's umask takes from its mode.
    fn make_dir(&self, dir: &Self::Dir, name: &OsStr, mode: u32) -> io::Result<()>;

    /// Tells the filesystem that the folders which are made in this one have nothing to do with each
    /// other, so that each may lie where there is most room (`EXT4_TOPDIR_FL`, `chattr +T`). A hint:
    /// one that does not know it is none the worse.
    fn spread(&self, dir: &Self::Dir) {
        let _ = dir;
    }

    /// Sets a folder's permission bits. Where there are none, that is no error.
    fn set_dir_mode(&self, dir: &Self::Dir, mode: u32) -> io::Result<()>;

    /// Removes an empty folder; `DirectoryNotEmpty` otherwise.
    fn remove_dir(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<()>;

    /// What can be relied on here.
    fn abilities(&self, dir: &Self::Dir) -> io::Result<Abilities>;

    /// What a copy would not carry.
    fn extras(&self, file: &Self::File) -> io::Result<Extras>;

    /// Now, in nanoseconds since the Unix epoch, on the clock that stamps files.
    fn now(&self) -> i64;

    /// How large files are carried.
    fn large(&self) -> Large {
        Large::default()
    }

    /// From how many copies on a batch has folders of its own.
    fn batch_from(&self) -> usize {
        512
    }

    /// How many threads may work at once.
    fn parallelism(&self) -> usize;
}

/// A moment (ns since the Unix epoch) in whole seconds; 0 for one before the epoch.
pub fn seconds(moment: i64) -> u64 {
    u64::try_from(moment / 1_000_000_000).unwrap_or(0)
}
