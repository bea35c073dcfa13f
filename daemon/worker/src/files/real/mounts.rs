//! Which part of which filesystem is mounted where (`/proc/self/mountinfo`, proc(5)).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::files::TruePlace;

/// The longest table of mounts that is read, in bytes.
const MAX_TABLE: u64 = 16 * 1024 * 1024;

/// Where a path without links truly lies; `None` where the table cannot be had.
pub fn true_place(resolved: &Path) -> io::Result<Option<TruePlace>> {
    let mut table = Vec::new();
    match File::open("/proc/self/mountinfo") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?.take(MAX_TABLE).read_to_end(&mut table)?,
    };
    Ok(find(&table, resolved))
}

/// Finds the mount that a path lies in: the one with the longest path, of two the later.
fn find(table: &[u8], resolved: &Path) -> Option<TruePlace> {
    table
        .split(|b| *b == b'\n')
        .filter_map(mount)
        .filter(|mount| resolved.starts_with(&mount.at))
        .max_by_key(|mount| mount.at.components().count())
        .and_then(|mount| {
            let below = resolved.strip_prefix(&mount.at).ok()?;
            Some(TruePlace {
                device: mount.device,
                path: mount.root.components().chain(below.components()).collect(),
            })
        })
}

struct Mount {
    device: String,
    /// The part of the filesystem that is mounted.
    root: PathBuf,
    /// Where.
    at: PathBuf,
}

/// `36 35 98:0 /root /mount/point options - type source`
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ').skip(2);
    let device = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let mut path = || fields.next().map(unescape);
    let (root, at) = (path()?, path()?);
    Some(Mount { device, root, at })
}

/// Spaces, tabs, line ends and backslashes are written as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const TABLE: &[u8] = b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        30 21 8:1 /home/alice/Pictures /mnt/my\\040nas rw - ext4 /dev/sda1 rw\n\
        31 21 8:2 / /mnt/disk rw shared:1 - xfs /dev/sdb rw\n";

    fn place(path: &str) -> (String, String) {
        let TruePlace { device, path } = find(TABLE, Path::new(path)).unwrap();
        (device, path.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_bind_mount_is_seen_through() {
        let (device, path) = place("/mnt/my nas/trip");
        assert_eq!((&*device, &*path), ("8:1", "/home/alice/Pictures/trip"));
        let (device, path) = place("/mnt/disk/Photos");
        assert_eq!((&*device, &*path), ("8:2", "/Photos"));
        let (device, path) = place("/home/alice");
        assert_eq!((&*device, &*path), ("8:1", "/home/alice"));
    }
}
