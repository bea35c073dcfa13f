//! Making a folder with its missing parents, so that it is still there after a power cut.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use mooring_wire::fault::{Process, point};
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::fsync;

use super::retry;
use crate::files::name;

/// For folders that are opened by an absolute path: links in it are followed.
pub(super) const OPEN_ROOT: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// Opens a folder by its absolute path.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    name::check_root(path)?;
    retry(|| openat(AT_FDCWD, path, OPEN_ROOT, Mode::empty()))
}

/// Makes `path` and its missing parents with mode 0700. Answers those it made, outermost first.
///
/// Each level is durable before the next is made, so a crash leaves at most one level whose entry
/// is not; the outermost existing one is therefore made durable first.
pub(super) fn make(path: &Path) -> io::Result<Vec<PathBuf>> {
    name::check_root(path)?;
    let (existing, missing) = split(path)?;
    let mut parent = open(existing)?;
    if let Some(above) = existing.parent() {
        sync_existing(above)?;
    }
    let mut made = Vec::new();
    for level in missing {
        let Some(last) = level.file_name() else {
            continue;
        };
        point(Process::Worker, "make-dir");
        match retry(|| mkdirat(&parent, last, Mode::S_IRWXU)) {
            Ok(()) => made.push(level.to_owned()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        point(Process::Worker, "sync-dir");
        retry(|| fsync(&parent))?;
        parent = retry(|| openat(&parent, last, OPEN_ROOT, Mode::empty()))?;
    }
    Ok(made)
}

/// The longest part of a path that exists, and the paths below it, outermost first.
fn split(path: &Path) -> io::Result<(&Path, Vec<&Path>)> {
    let mut missing = Vec::new();
    for level in path.ancestors() {
        match std::fs::metadata(level) {
            Ok(found) if found.is_dir() => {
                missing.reverse();
                return Ok((level, missing));
            }
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(level),
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Makes the entries of a folder that was there before durable. One that may not be opened or
/// synced here (another owner's, a read-only system) is none in which this person made something.
fn sync_existing(path: &Path) -> io::Result<()> {
    let dir = match open(path) {
        Ok(dir) => dir,
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(e) => return Err(e),
    };
    point(Process::Worker, "sync-dir");
    match retry(|| fsync(&dir)) {
        // Filesystems like /proc have nothing to sync (EINVAL, EROFS).
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}
