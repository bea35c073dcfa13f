//! Renaming that never replaces, and swapping.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;

use mooring_wire::fault::{Process, point};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, RenameFlags, renameat2};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::{retry, stat_at};

/// Renames without replacing.
pub(super) fn rename_new(
    from_dir: &OwnedFd,
    from: &OsStr,
    to_dir: &OwnedFd,
    to: &OsStr,
) -> io::Result<()> {
    let flags = RenameFlags::RENAME_NOREPLACE;
    match retry(|| renameat2(from_dir, from, to_dir, to, flags)) {
        Err(e) if lacks_flags(&e) => link_and_unlink(from_dir, from, to_dir, to),
        done => done,
    }
}

/// Swaps two entries.
pub(super) fn exchange(a_dir: &OwnedFd, a: &OsStr, b_dir: &OwnedFd, b: &OsStr) -> io::Result<()> {
    let flags = RenameFlags::RENAME_EXCHANGE;
    match retry(|| renameat2(a_dir, a, b_dir, b, flags)) {
        Err(e) if lacks_flags(&e) => Err(unsupported()),
        done => done,
    }
}

/// How a filesystem (NFS, many FUSE ones) or a kernel says that it has no flags for renaming.
fn lacks_flags(e: &io::Error) -> bool {
    [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP]
        .into_iter()
        .any(|errno| e.raw_os_error() == Some(errno as i32))
}

fn unsupported() -> io::Error {
    Errno::EOPNOTSUPP.into()
}

/// The weaker form: for a moment both names exist, and who puts another file under the old name
/// between the last look and the unlink loses that file. Folders cannot be renamed like this.
fn link_and_unlink(
    from_dir: &OwnedFd,
    from: &OsStr,
    to_dir: &OwnedFd,
    to: &OsStr,
) -> io::Result<()> {
    match retry(|| linkat(from_dir, from, to_dir, to, AtFlags::empty())) {
        Err(e) if lacks_flags(&e) || e.raw_os_error() == Some(Errno::EPERM as i32) => {
            return Err(unsupported());
        }
        linked => linked?,
    }
    point(Process::Worker, "rename-half");
    let moved = same_inode(from_dir, from, to_dir, to)
        .and_then(|()| retry(|| unlinkat(from_dir, from, UnlinkatFlags::NoRemoveDir)));
    if let Err(e) = moved {
        // Back to how it was. Should that fail too, both names stay, and nothing is lost.
        retry(|| unlinkat(to_dir, to, UnlinkatFlags::NoRemoveDir))?;
        return Err(e);
    }
    Ok(())
}

/// `NotFound` when the two names are not one file any more.
fn same_inode(a_dir: &OwnedFd, a: &OsStr, b_dir: &OwnedFd, b: &OsStr) -> io::Result<()> {
    let (one, other) = (stat_at(a_dir, a)?, stat_at(b_dir, b)?);
    if (one.dev, one.ino) == (other.dev, other.ino) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "another file took the name meanwhile",
        ))
    }
}
