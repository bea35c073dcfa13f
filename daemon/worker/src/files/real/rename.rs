//! Renaming that never replaces, and swapping.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;

use mooring_wire::fault::{Process, point};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, RenameFlags, renameat2};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::{is, retry, stat};

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

/// Renames over a file that is there.
pub(super) fn rename_over(dir: &OwnedFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    retry(|| nix::fcntl::renameat(dir, from, dir, to))
}

/// How a filesystem (NFS, many FUSE ones) or a kernel says that it has no flags for renaming.
fn lacks_flags(e: &io::Error) -> bool {
    [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP]
        .into_iter()
        .any(|errno| is(e, errno))
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
        Err(e) if lacks_flags(&e) || is(&e, Errno::EPERM) => {
            return Err(unsupported());
        }
        linked => linked?,
    }
    point(Process::Worker, "rename-half");
    // If they are two files by now, both stay: one name too many is better than one too few.
    same_inode(from_dir, from, to_dir, to)?;
    if let Err(e) = retry(|| unlinkat(from_dir, from, UnlinkatFlags::NoRemoveDir)) {
        // Back to how it was. Should that fail too, both names stay, and nothing is lost.
        retry(|| unlinkat(to_dir, to, UnlinkatFlags::NoRemoveDir))?;
        return Err(e);
    }
    Ok(())
}

/// `NotFound` when the two names are not one file any more.
fn same_inode(a_dir: &OwnedFd, a: &OsStr, b_dir: &OwnedFd, b: &OsStr) -> io::Result<()> {
    let (one, other) = (stat::at(a_dir, a)?, stat::at(b_dir, b)?);
    if (one.dev, one.ino) == (other.dev, other.ino) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "another file took the name meanwhile",
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::files::real::root;

    #[test]
    fn without_flags_a_rename_still_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("one"), b"1").unwrap();
        std::fs::write(path("two"), b"2").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        let dir = root::open(folder.path()).unwrap();
        let (one, two, new) = ("one".as_ref(), "two".as_ref(), "new".as_ref());

        let taken = link_and_unlink(&dir, one, &dir, two).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        let missing = link_and_unlink(&dir, new, &dir, two).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let not_linked = link_and_unlink(&dir, "folder".as_ref(), &dir, new).unwrap_err();
        assert_eq!(not_linked.kind(), io::ErrorKind::Unsupported);

        link_and_unlink(&dir, one, &dir, new).unwrap();
        assert!(!path("one").exists());
        assert_eq!(std::fs::read(path("new")).unwrap(), b"1");
        assert_eq!(std::fs::read(path("two")).unwrap(), b"2");
    }

    #[test]
    fn a_name_that_changed_hands_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("one"), b"1").unwrap();
        std::fs::write(folder.path().join("two"), b"2").unwrap();
        let dir = root::open(folder.path()).unwrap();
        let changed = same_inode(&dir, "one".as_ref(), &dir, "two".as_ref()).unwrap_err();
        assert_eq!(changed.kind(), io::ErrorKind::NotFound);
        same_inode(&dir, "one".as_ref(), &dir, "one".as_ref()).unwrap();
    }
}
