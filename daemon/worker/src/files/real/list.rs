//! The entries of a folder.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use nix::dir::Dir;
use nix::errno::Errno;

use super::{open, stat};
use crate::files::Entry;

/// Everything but `.` and `..`, in the filesystem's order. One entry that cannot be looked at
/// fails the whole, since a list with a gap would read as a removal.
pub(super) fn entries(dir: &OwnedFd) -> io::Result<Vec<Entry>> {
    // Opened anew, because a duplicate would share its reading position with `dir`.
    let mut reader = Dir::from_fd(open::again(dir)?)?;
    let mut entries = Vec::new();
    for found in reader.iter() {
        let found = match found {
            Err(Errno::EINTR) => continue,
            found => found?,
        };
        let name = found.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match stat::at(dir, name) {
            Ok(stat) => {
                entries.push(Entry {
                    name: OsString::from_vec(name.to_bytes().to_vec()),
                    stat,
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(entries)
}
