//! Where a folder lies: the filesystem, what can be relied on there, and what it does not carry.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::stat::{fstat, major, minor};
use nix::sys::statfs::{Statfs, fstatfs};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{Whence, lseek};

use super::{is, retry, sys};
use crate::files::{Abilities, Extras};

/// The unit of `st_blocks`, whatever the filesystem's own (stat(2)).
const BLOCK: i64 = 512;

/// What a filesystem's magic number says (statfs(2)).
struct Type {
    magic: u32,
    name: &'static str,
    known_good: bool,
    remote: bool,
}

const OVERLAY: &str = "overlay";

const fn good(magic: u32, name: &'static str) -> Type {
    Type {
        magic,
        name,
        known_good: true,
        remote: false,
    }
}

const fn local(magic: u32, name: &'static str) -> Type {
    Type {
        magic,
        name,
        known_good: false,
        remote: false,
    }
}

const fn remote(magic: u32, name: &'static str) -> Type {
    Type {
        magic,
        name,
        known_good: false,
        remote: true,
    }
}

const TYPES: &[Type] = &[
    good(0xef53, "ext4"),
    good(0x5846_5342, "xfs"),
    good(0x9123_683e, "btrfs"),
    local(0xf2f5_2010, "f2fs"),
    local(0xca45_1a4e, "bcachefs"),
    local(0x2fc1_2fc1, "zfs"),
    local(0x0102_1994, "tmpfs"),
    local(0x8584_58f6, "ramfs"),
    local(0x794c_7630, OVERLAY),
    local(0xf15f, "ecryptfs"),
    local(0x4d44, "vfat"),
    local(0x2011_bab0, "exfat"),
    local(0x7366_746e, "ntfs3"),
    local(0x5346_544e, "ntfs"),
    local(0x482b, "hfsplus"),
    local(0x1501_3346, "udf"),
    local(0x9660, "iso9660"),
    local(0x7371_7368, "squashfs"),
    remote(0x6969, "nfs"),
    remote(0xff53_4d42, "cifs"),
    remote(0xfe53_4d42, "smb2"),
    remote(0x517b, "smb"),
    remote(0x0102_1997, "9p"),
    remote(0x00c3_6400, "ceph"),
    remote(0x5346_414f, "afs"),
    remote(0x7375_7245, "coda"),
    remote(0x0bd0_0bd0, "lustre"),
    remote(0x0116_1970, "gfs2"),
    remote(0x7461_636f, "ocfs2"),
    // What is behind FUSE is not known: `fuseblk` is a local disk, the rest may be anywhere.
    remote(0x6573_5546, "fuse"),
];

/// What can be relied on at an open folder.
pub(super) fn abilities(dir: impl AsFd) -> io::Result<Abilities> {
    let dir = dir.as_fd();
    let space = retry(|| fstatvfs(dir))?;
    let magic = magic(retry(|| fstatfs(dir))?);
    let by_magic = TYPES.iter().find(|t| t.magic == magic);
    let by_mount = mounted_type(retry(|| fstat(dir))?.st_dev)?;
    let fragment = space.fragment_size();
    Ok(Abilities {
        filesystem: match (&by_mount, by_magic) {
            (Some(name), _) => name.clone(),
            (None, Some(known)) => known.name.to_owned(),
            (None, None) => format!("{magic:#x}"),
        },
        // ext2 and ext3 share ext4's number, and not its promises.
        known_good: by_magic.is_some_and(|known| {
            known.known_good && by_mount.as_deref().is_none_or(|name| name == known.name)
        }),
        excludes_mapped: by_magic.is_none_or(|known| known.name != OVERLAY),
        remote: by_magic.is_some_and(|known| known.remote)
            && by_mount.as_deref() != Some("fuseblk"),
        free: space.blocks_available().saturating_mul(fragment),
        capacity: space.blocks().saturating_mul(fragment),
    })
}

/// Filesystems whose server decides about leases: where it gave this device no delegation (NFS 4) or
/// oplock (SMB), asking for a lease fails exactly as where a program writes.
const SERVERS_LEASES: [u32; 4] = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x517b];

/// Whether a lease that is refused says nothing about this file.
pub(super) fn leases_are_the_servers(file: impl AsFd) -> io::Result<bool> {
    let file = file.as_fd();
    Ok(SERVERS_LEASES.contains(&magic(retry(|| fstatfs(file))?)))
}

// The type is signed and of the machine's width; the number itself has 32 bits.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn magic(fs: Statfs) -> u32 {
    fs.filesystem_type().0 as u32
}

/// The type under which a device is mounted, e.g. `ext3` or `fuse.sshfs`. None for btrfs, whose
/// files show another device number than the mount.
fn mounted_type(dev: nix::libc::dev_t) -> io::Result<Option<String>> {
    let table = match fs::read("/proc/self/mountinfo") {
        Ok(table) => table,
        // Without /proc the magic number alone has to do.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let device = format!("{}:{}", major(dev), minor(dev));
    Ok(type_in_table(&table, &device))
}

/// Finds a device's type in the text of mountinfo (proc_pid_mountinfo(5)): the third field is
/// the device, the one after ` - ` the type.
fn type_in_table(table: &[u8], device: &str) -> Option<String> {
    table.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.split(|&b| b == b' ');
        if fields.nth(2)? != device.as_bytes() {
            return None;
        }
        let name = fields.skip_while(|&field| field != b"-").nth(1)?;
        Some(String::from_utf8_lossy(name).into_owned())
    })
}

/// What a copy of the file would not carry.
pub(super) fn extras(file: impl AsFd) -> io::Result<Extras> {
    let file = file.as_fd();
    let names = sys::attribute_names(file)?;
    let names = || names.split(|&b| b == 0);
    Ok(Extras {
        xattrs: names().any(|name| name.starts_with(b"user.")),
        acl: names().any(|name| name == b"system.posix_acl_access"),
        holes: has_holes(file)?,
    })
}

/// Whether part of the file was never written. Fewer blocks than bytes is only a hint, since
/// compression does that too; SEEK_HOLE decides. The reading position stays.
fn has_holes(file: impl AsFd) -> io::Result<bool> {
    let file = file.as_fd();
    let stat = retry(|| fstat(file))?;
    if stat.st_size == 0 || stat.st_blocks.saturating_mul(BLOCK) >= stat.st_size {
        return Ok(false);
    }
    let position = retry(|| lseek(file, 0, Whence::SeekCur))?;
    let hole = retry(|| lseek(file, 0, Whence::SeekHole));
    retry(|| lseek(file, position, Whence::SeekSet))?;
    match hole {
        Ok(hole) => Ok(hole < stat.st_size),
        // ENXIO: the file became shorter meanwhile. EINVAL: not known here, so the hint counts.
        Err(e) if is(&e, Errno::ENXIO) => Ok(false),
        Err(e) if is(&e, Errno::EINVAL) => Ok(true),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn whose_leases_are_the_servers() {
        for known in TYPES {
            let network = ["nfs", "cifs", "smb2", "smb"].contains(&known.name);
            assert_eq!(
                SERVERS_LEASES.contains(&known.magic),
                network,
                "{}",
                known.name
            );
        }
        assert!(!leases_are_the_servers(fs::File::open("/proc/self/exe").unwrap()).unwrap());
    }

    #[test]
    fn the_table_of_mounts_gives_the_type() {
        let table = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n\
                      37 35 0:52 / /mnt/a\\040b rw - fuse.sshfs host: rw\n\
                      broken\n";
        assert_eq!(type_in_table(table, "98:0").as_deref(), Some("ext3"));
        assert_eq!(type_in_table(table, "0:52").as_deref(), Some("fuse.sshfs"));
        assert_eq!(type_in_table(table, "98:1"), None);
    }
}
