//! What the filesystem says about an entry.

use std::io;
use std::os::fd::AsFd;

use nix::NixPath;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};

use super::{SECOND, retry};
use crate::files::{Kind, Stat};

const NO_FOLLOW: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW.union(AtFlags::AT_NO_AUTOMOUNT);

/// What a name is, unfollowed.
pub(super) fn at<P: ?Sized + NixPath>(dir: impl AsFd, name: &P) -> io::Result<Stat> {
    let dir = dir.as_fd();
    retry(|| fstatat(dir, name, NO_FOLLOW)).map(|stat| convert(&stat))
}

/// What is open.
pub(super) fn of(open: impl AsFd) -> io::Result<Stat> {
    let open = open.as_fd();
    retry(|| fstat(open)).map(|stat| convert(&stat))
}

/// A time of the kernel's, in nanoseconds since the Unix epoch.
pub(super) fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
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
