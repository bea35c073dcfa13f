//! The seam on Linux: every path below a root is resolved by `openat2`, every entry is reached
//! through an open folder and one name.
//!
//! Needs Linux 5.6 (`openat2`); an older kernel, or a sandbox without that call, is an error that
//! says so, and never a weaker way of opening. Reading leaves access times alone where the owner
//! asks. Modes of new folders are less the process's umask; those of files are set exactly.

mod handle;
mod list;
mod mounts;
mod open;
mod place;
mod rename;
mod root;
mod stat;
mod sys;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mooring_wire::fault::{Process, point};
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::stat::{Mode, fchmod, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{UnlinkatFlags, fsync, syncfs, unlinkat};

use super::{Abilities, Entry, Extras, Files, Lease, Stat, name};

pub use handle::RealFile;
pub use sys::ignore_lease_signal;

/// The most threads that work at once: storage gains nothing from more.
const MAX_THREADS: usize = 8;

/// A second in nanoseconds.
const SECOND: i64 = 1_000_000_000;

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

fn set_mode(of: impl AsFd, mode: u32) -> io::Result<()> {
    match retry(|| fchmod(&of, Mode::from_bits_truncate(mode))) {
        // FAT, and some of NFS, SMB and FUSE, have no modes of their own.
        Err(e) if is(&e, Errno::EPERM) || is(&e, Errno::EOPNOTSUPP) => Ok(()),
        done => done,
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

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        name::check_root(path)?;
        std::fs::canonicalize(path)
    }

    fn true_place(&self, resolved: &Path) -> io::Result<Option<super::TruePlace>> {
        mounts::true_place(resolved)
    }

    fn make_root(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        root::make(path)
    }

    fn open_dir(&self, at: &Self::Dir, path: &Path) -> io::Result<Self::Dir> {
        match name::components(path)?.as_slice() {
            [] => Ok(Arc::clone(at)),
            names => open::dir(at, path, names).map(Arc::new),
        }
    }

    fn list(&self, dir: &Self::Dir) -> io::Result<Vec<Entry>> {
        list::entries(dir)
    }

    fn stat(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Stat> {
        name::check(name)?;
        stat::at(dir, name)
    }

    fn stat_dir(&self, dir: &Self::Dir) -> io::Result<Stat> {
        stat::of(dir)
    }

    fn stat_file(&self, file: &Self::File) -> io::Result<Stat> {
        stat::of(file)
    }

    fn open(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Self::File> {
        name::check(name)?;
        open::file(dir, name).map(RealFile::from)
    }

    fn create(&self, dir: &Self::Dir, name: &OsStr) -> io::Result<Self::File> {
        name::check(name)?;
        point(Process::Worker, "create");
        open::new_file(dir, name).map(RealFile::from)
    }

    fn resume(&self, dir: &Self::Dir, name: &OsStr, length: u64) -> io::Result<Self::File> {
        name::check(name)?;
        point(Process::Worker, "resume");
        open::unfinished(dir, name, length).map(RealFile::from)
    }

    fn write_hole(&self, file: &mut Self::File, length: u64) -> io::Result<()> {
        open::grow(file, length)
    }

    fn set_meta(&self, file: &Self::File, mode: u32, mtime: i64) -> io::Result<()> {
        point(Process::Worker, "write-meta");
        set_mode(file, mode)?;
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
        match sys::read_lease(file)? {
            Lease::InUse if place::leases_are_the_servers(file)? => Ok(Lease::Unsupported),
            lease => Ok(lease),
        }
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

    fn rename_over(&self, dir: &Self::Dir, from: &OsStr, to: &OsStr) -> io::Result<()> {
        name::check(from)?;
        name::check(to)?;
        point(Process::Worker, "rename-over");
        rename::rename_over(dir, from, to)
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

    fn spread(&self, dir: &Self::Dir) {
        use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
        let spread = ioctl_getflags(dir).and_then(|flags| match flags.contains(IFlags::TOPDIR) {
            true => Ok(()),
            false => ioctl_setflags(dir, flags | IFlags::TOPDIR),
        });
        if let Err(error) = spread {
            tracing::debug!(%error, "the filesystem does not spread folders");
        }
    }

    fn set_dir_mode(&self, dir: &Self::Dir, mode: u32) -> io::Result<()> {
        point(Process::Worker, "set-dir-mode");
        set_mode(dir, mode)
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
        // Files are stamped from the coarse clock, which runs a few milliseconds behind. Should
        // there be none, every stamp looks young, and is not relied on.
        clock_gettime(ClockId::CLOCK_REALTIME_COARSE)
            .map_or(0, |now| stat::nanoseconds(now.tv_sec(), now.tv_nsec()))
    }

    fn parallelism(&self) -> usize {
        self.threads
    }
}

/// Repeats what a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done.map_err(io::Error::from),
        }
    }
}

fn is(e: &io::Error, errno: Errno) -> bool {
    e.raw_os_error() == Some(errno as i32)
}
