//! The seam on Linux: every path below a root is resolved by `openat2`, every entry is reached
//! through an open folder and one name.
//!
//! Needs Linux 5.6 (`openat2`); an older kernel, or a sandbox without that call, is an error that
//! says so, and never a weaker way of opening. Reading leaves access times alone where the owner
//! asks. Modes of new folders are less the process's umask; those of files are set exactly.

mod handle;
mod place;
mod rename;
mod root;
mod sys;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mooring_wire::fault::{Process, point};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{
    AtFlags, OFlag, OpenHow, PosixFadviseAdvice, ResolveFlag, openat, openat2, posix_fadvise,
};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{UnlinkatFlags, fsync, syncfs, unlinkat};

use super::{Abilities, Entry, Extras, Files, Kind, Lease, Stat, name};

pub use handle::RealFile;
pub use sys::ignore_lease_signal;

/// The most threads that work at once: storage gains nothing from more.
const MAX_THREADS: usize = 8;

/// The longest path the kernel takes in one call, without its NUL (PATH_MAX, limits.h).
const MAX_PATH: usize = 4095;

const SECOND: i64 = 1_000_000_000;

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

/// No O_NOFOLLOW: with it a link would be ENOTDIR; without it RESOLVE_NO_SYMLINKS says ELOOP.
const OPEN_DIR: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// The filesystems of this machine.
#[derive(Debug, Clone)]
pub struct RealFiles {
    threads: usize,
}

impl RealFiles {
    /// The filesystems of this machine. Makes SIGIO harmless for this process.
    pub fn new() -> Self {
        // Where it cannot be made harmless, no lease is taken.
        let _ = ignore_lease_signal();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: threads.clamp(1, MAX_THREADS),
        }
    }
}

impl Default for RealFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl Files for RealFiles {
    type Dir = Arc<OwnedFd>;
    type File = RealFile;

    fn open_root(&self, path: &Path) -> io::Result<Self::Dir> {
        root::open(path).map(Arc::new)
    }

    fn make_root(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        root::make(path)
    }

    fn open_dir(&self, at: &Self::Dir, path: &Path) -> io::Result<Self::Dir> {
        let components = name::components(path)?;
        if components.is_empty() {
            return Ok(Arc::clone(at));
        }
        if path.as_os_str().len() <= MAX_PATH {
            return beneath(at, path.as_os_str(), OPEN_DIR, Mode::empty()).map(Arc::new);
        }
        let mut dir = Arc::clone(at);
        for component in components {
            dir = Arc::new(beneath(&dir, component, OPEN_DIR, Mode::empty())?);
        }
        Ok(dir)
    }

    fn list(&self, dir: &Self::Dir) -> io::Result<Vec<Entry>> {
        // Opened anew, because a duplicate would share its reading position with `dir`.
        let mut reader = without_atime(OPEN_DIR, |flags| {
            openat(dir, ".", flags, Mode::empty()).map_err(io::Error::from)
        })
        .and_then(|fd| Dir::from_fd(fd).map_err(io::Error::from))?;
        let mut entries = Vec::new();
        for found in reader.iter() {
            let found = match found {
                Err(Errno::EINTR) => continue,
                found => found?,
            };
            let bytes = found.file_name().to_bytes();
            if matches!(bytes, b"." | b"..") {
                continue;
            }
            match retry(|| fstatat(dir, found.file_name(), NO_FOLLOW)) {
                Ok(stat) => entries.push(Entry {
                    name: std::ffi::OsString::from_vec(bytes.to_vec()),
                    stat: convert(&stat),
                }),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(entries)
    }

    fn stat(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Stat> {
        name::check(name)?;
        stat_at(dir, name)
    }

    fn stat_dir(&self, dir: &Self::Dir) -> io::Result<Stat> {
        stat_fd(dir.as_fd())
    }

    fn stat_file(&self, file: &Self::File) -> io::Result<Stat> {
        stat_fd(file.as_fd())
    }

    fn open(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Self::File> {
        name::check(name)?;
        let opened = without_atime(OPEN_FILE, |flags| beneath(dir, name, flags, Mode::empty()));
        let fd = match opened {
            // A socket, or a device without a driver.
            Err(e) if is(&e, Errno::ENXIO) || is(&e, Errno::ENODEV) => return Err(not_regular()),
            opened => opened?,
        };
        if convert(&retry(|| fstat(&fd))?).kind != Kind::File {
            return Err(not_regular());
        }
        Ok(fd.into())
    }

    fn create(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Self::File> {
        name::check(name)?;
        point(Process::Worker, "create");
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        beneath(dir, name, CREATE_FILE, mode).map(RealFile::from)
    }

    fn set_meta(&self, file: &Self::File, mode: u32, mtime: i64) -> io::Result<()> {
        point(Process::Worker, "write-meta");
        retry(|| fchmod(file, Mode::from_bits_truncate(mode)))?;
        let mtime = TimeSpec::new(mtime.div_euclid(SECOND), mtime.rem_euclid(SECOND));
        retry(|| futimens(file, &TimeSpec::UTIME_OMIT, &mtime))
    }

    fn sync_file(&self, file: &Self::File) -> io::Result<()> {
        point(Process::Worker, "sync-file");
        retry(|| fsync(file))
    }

    fn sync_dir(&self, dir: &Self::Dir) -> io::Result<()> {
        point(Process::Worker, "sync-dir");
        retry(|| fsync(dir))
    }

    fn sync_all(&self, dir: &Self::Dir) -> io::Result<()> {
        point(Process::Worker, "sync-all");
        retry(|| syncfs(dir))
    }

    fn uncache(&self, file: &Self::File) {
        // A hint by contract: where it fails (a pipe, a driver without it) nothing is lost.
        let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }

    fn lease(&self, file: &Self::File) -> io::Result<Lease> {
        sys::read_lease(file)
    }

    fn lease_holds(&self, file: &Self::File) -> bool {
        sys::read_lease_holds(file)
    }

    fn release(&self, file: &Self::File) {
        sys::end_lease(file);
    }

    fn rename_new(
        &self,
        from_dir: &Self::Dir,
        from: &OsStr,
        to_dir: &Self::Dir,
        to: &OsStr,
    ) -> io::Result<()> {
        name::check(from)?;
        name::check(to)?;
        point(Process::Worker, "rename");
        rename::rename_new(from_dir, from, to_dir, to)
    }

    fn exchange(
        &self,
        a_dir: &Self::Dir,
        a: &OsStr,
        b_dir: &Self::Dir,
        b: &OsStr,
    ) -> io::Result<()> {
        name::check(a)?;
        name::check(b)?;
        point(Process::Worker, "exchange");
        rename::exchange(a_dir, a, b_dir, b)
    }

    fn unlink(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<()> {
        name::check(name)?;
        point(Process::Worker, "unlink");
        retry(|| unlinkat(dir, name, UnlinkatFlags::NoRemoveDir))
    }

    fn make_dir(&self, dir: &Self::Dir, name: &OsStr, mode: u32) -> io::Result<()> {
        name::check(name)?;
        point(Process::Worker, "make-dir");
        retry(|| mkdirat(dir, name, Mode::from_bits_truncate(mode)))
    }

    fn remove_dir(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<()> {
        name::check(name)?;
        point(Process::Worker, "remove-dir");
        match retry(|| unlinkat(dir, name, UnlinkatFlags::RemoveDir)) {
            // POSIX allows either name for a folder that is not empty.
            Err(e) if is(&e, Errno::EEXIST) => Err(Errno::ENOTEMPTY.into()),
            done => done,
        }
    }

    fn abilities(&self, dir: &Self::Dir) -> io::Result<Abilities> {
        place::abilities(dir)
    }

    fn extras(&self, file: &Self::File) -> io::Result<Extras> {
        place::extras(file)
    }

    fn now(&self) -> i64 {
        // Files are stamped from the coarse clock, which runs a few milliseconds behind.
        clock_gettime(ClockId::CLOCK_REALTIME_COARSE)
            .map_or(0, |now| nanoseconds(now.tv_sec(), now.tv_nsec()))
    }

    fn parallelism(&self) -> usize {
        self.threads
    }
}

const NO_FOLLOW: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW.union(AtFlags::AT_NO_AUTOMOUNT);

/// Repeats what a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done.map_err(io::Error::from),
        }
    }
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

fn is(e: &io::Error, errno: Errno) -> bool {
    e.raw_os_error() == Some(errno as i32)
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn stat_at(dir: &OwnedFd, name: &OsStr) -> io::Result<Stat> {
    retry(|| fstatat(dir, name, NO_FOLLOW)).map(|stat| convert(&stat))
}

fn stat_fd(fd: BorrowedFd<'_>) -> io::Result<Stat> {
    retry(|| fstat(fd)).map(|stat| convert(&stat))
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(SECOND).saturating_add(nanoseconds)
}

// The fields have other widths on other machines.
#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
fn convert(stat: &FileStat) -> Stat {
    let kind = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Dir,
        SFlag::S_IFLNK => Kind::Symlink,
        _ => Kind::Special,
    };
    Stat {
        kind,
        dev: stat.st_dev as u64,
        ino: stat.st_ino as u64,
        size: stat.st_size as u64,
        mtime: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        ctime: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        mode: stat.st_mode as u32 & 0o7777,
        nlink: stat.st_nlink as u64,
        blocks: stat.st_blocks as u64,
    }
}
