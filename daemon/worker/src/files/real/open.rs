//! Opening what lies beneath a folder, and nothing else.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, ftruncate, lseek};

use super::{is, retry, stat};
use crate::files::Kind;

/// The longest path the kernel takes in one call, without its NUL (PATH_MAX, limits.h).
const MAX_PATH: usize = 4095;

/// No link, no mount point, nothing outside the folder that is given.
const BENEATH: ResolveFlag = ResolveFlag::RESOLVE_BENEATH
    .union(ResolveFlag::RESOLVE_NO_SYMLINKS)
    .union(ResolveFlag::RESOLVE_NO_MAGICLINKS)
    .union(ResolveFlag::RESOLVE_NO_XDEV);

/// O_NONBLOCK: neither a FIFO nor somebody's lease makes the open wait.
const OPEN_FILE: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

const CREATE_FILE: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_CREAT)
    .union(OFlag::O_EXCL)
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NOFOLLOW);

/// O_NONBLOCK as above; not O_TRUNC: what it is has to be looked at first.
const RESUME_FILE: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

/// No O_NOFOLLOW: with it a link would be ENOTDIR; without it RESOLVE_NO_SYMLINKS says ELOOP.
const OPEN_DIR: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// Opens a folder by a path of names. One that is longer than the kernel takes is gone in as few steps
/// as there can be: at each, Landlock looks at every folder above.
pub(super) fn dir(at: &OwnedFd, path: &Path, names: &[&OsStr]) -> io::Result<OwnedFd> {
    if path.as_os_str().len() <= MAX_PATH {
        return beneath(at, path.as_os_str(), OPEN_DIR, Mode::empty());
    }
    let mut opened: Option<OwnedFd> = None;
    let mut rest = names;
    while !rest.is_empty() {
        let (step, behind) = step(rest);
        let here = opened.as_ref().unwrap_or(at);
        opened = Some(beneath(here, &step, OPEN_DIR, Mode::empty())?);
        rest = behind;
    }
    opened.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// As many of the names as the kernel takes in one path, at least one, and those behind them.
fn step<'a, 'n>(names: &'a [&'n OsStr]) -> (OsString, &'a [&'n OsStr]) {
    let mut path = OsString::new();
    for (taken, name) in names.iter().enumerate() {
        if taken > 0 {
            if path.len() + 1 + name.len() > MAX_PATH {
                return (path, &names[taken..]);
            }
            path.push("/");
        }
        path.push(name);
    }
    (path, &[])
}

/// Opens a folder a second time, with a reading position of its own.
pub(super) fn again(dir: &OwnedFd) -> io::Result<OwnedFd> {
    without_atime(OPEN_DIR, |flags| {
        retry(|| openat(dir, ".", flags, Mode::empty()))
    })
}

/// Opens a regular file for reading.
pub(super) fn file(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let opened = without_atime(OPEN_FILE, |flags| beneath(dir, name, flags, Mode::empty()));
    let fd = match opened {
        // A socket, or a device without a driver.
        Err(e) if is(&e, Errno::ENXIO) || is(&e, Errno::ENODEV) => return Err(not_regular()),
        opened => opened?,
    };
    if stat::of(&fd)?.kind == Kind::File {
        Ok(fd)
    } else {
        Err(not_regular())
    }
}

/// Makes a file for writing, mode 0600.
pub(super) fn new_file(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    beneath(dir, name, CREATE_FILE, Mode::S_IRUSR | Mode::S_IWUSR)
}

/// Opens an unfinished file for writing, cut to a length, at its end.
pub(super) fn unfinished(dir: &OwnedFd, name: &OsStr, length: u64) -> io::Result<OwnedFd> {
    let fd = match beneath(dir, name, RESUME_FILE, Mode::empty()) {
        Err(e) if is(&e, Errno::ENXIO) || is(&e, Errno::ENODEV) => return Err(not_regular()),
        opened => opened?,
    };
    let stat = stat::of(&fd)?;
    // A second name would be somebody else's file, which is not ours to cut.
    if stat.kind != Kind::File || stat.nlink != 1 {
        return Err(not_regular());
    }
    set_length(&fd, length)?;
    Ok(fd)
}

/// Lets a file that is being written grow behind its writing position, which moves to the end.
pub(super) fn grow(file: impl AsFd, length: u64) -> io::Result<()> {
    let file = file.as_fd();
    let at = retry(|| lseek(file, 0, Whence::SeekCur))?;
    let at = u64::try_from(at).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    set_length(file, at.saturating_add(length))
}

fn set_length(file: impl AsFd, length: u64) -> io::Result<()> {
    let file = file.as_fd();
    let length = i64::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    retry(|| ftruncate(file, length))?;
    retry(|| lseek(file, length, Whence::SeekSet)).map(drop)
}

/// Opens what lies beneath a folder.
fn beneath(dir: &OwnedFd, path: &OsStr, flags: OFlag, mode: Mode) -> io::Result<OwnedFd> {
    let how = OpenHow::new().flags(flags).mode(mode).resolve(BENEATH);
    match retry(|| openat2(dir, path, how)) {
        Err(e) if is(&e, Errno::ENOSYS) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel or sandbox has no openat2 (Linux 5.6), without which no file is opened",
        )),
        done => done,
    }
}

/// Opens with O_NOATIME, which only the owner may, or else without.
fn without_atime(flags: OFlag, open: impl Fn(OFlag) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    match open(flags | OFlag::O_NOATIME) {
        Err(e) if is(&e, Errno::EPERM) => open(flags),
        done => done,
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_gone_in_few_steps_and_no_name_is_lost() {
        let name = "n".repeat(100);
        let names = vec![OsStr::new(&name); 130];
        let mut rest = names.as_slice();
        let mut walked = Vec::new();
        let mut steps = 0;
        while !rest.is_empty() {
            let (path, behind) = step(rest);
            assert!(path.len() <= MAX_PATH);
            walked.extend(Path::new(&path).iter().map(OsStr::to_owned));
            rest = behind;
            steps += 1;
        }
        assert_eq!(
            (steps, walked),
            (4, names.iter().map(|&n| n.to_owned()).collect())
        );
        let long = "n".repeat(MAX_PATH + 1);
        assert_eq!(step(&[OsStr::new(&long)]), (long.as_str().into(), &[][..]));
    }
}
