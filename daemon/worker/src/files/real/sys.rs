//! The calls of Linux that no safe binding offers: file leases and the list of a file's extended
//! attributes. The only unsafe code of Mooring.
//!
//! It promises that a lease never harms the process that holds it. When somebody opens a leased
//! file for writing, the kernel sends the holder SIGIO, whose default action ends the process. So
//! SIGIO is ignored before the first lease is asked for, and [`read_lease`] refuses to take one
//! where that did not work. Ignored signals stay ignored in programs started from here.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::files::Lease;

/// Rounds of asking for the list of attributes while somebody keeps adding some.
const LIST_ROUNDS: usize = 4;

/// Makes SIGIO harmless, once for the process. True when it is.
pub fn ignore_lease_signal() -> bool {
    static IGNORED: OnceLock<bool> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: ignoring a signal installs no handler, so nothing can run asynchronously.
        unsafe { sigaction(Signal::SIGIO, &ignore) }.is_ok()
    })
}

/// Asks for a read lease (`F_SETLEASE`, `F_RDLCK`; fcntl(2)). The file must be open for reading
/// only.
///
/// # Errors
/// Whatever is neither "somebody writes" nor "no leases here".
pub fn read_lease(file: impl AsFd) -> io::Result<Lease> {
    if !ignore_lease_signal() {
        return Ok(Lease::Unsupported);
    }
    match fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(_) => Ok(Lease::Held),
        Err(Errno::EAGAIN) => Ok(Lease::InUse),
        // EINVAL: the filesystem has none. EACCES, EPERM: another owner. ENOLCK: no room left.
        Err(
            Errno::EINVAL
            | Errno::EACCES
            | Errno::EPERM
            | Errno::ENOLCK
            | Errno::ENOSYS
            | Errno::EOPNOTSUPP,
        ) => Ok(Lease::Unsupported),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a read lease is held and nobody waits for it: the kernel answers `F_UNLCK` from the
/// moment somebody tries to open the file for writing.
pub fn read_lease_holds(file: impl AsFd) -> bool {
    fcntl(file, libc::F_GETLEASE, 0) == Ok(libc::F_RDLCK)
}

/// Gives a lease back, and lets go on who waits for it.
pub fn end_lease(file: impl AsFd) {
    // EAGAIN says that there was none. Nothing else can go wrong with an open file, and closing
    // it ends the lease anyway.
    let _ = fcntl(file, libc::F_SETLEASE, libc::F_UNLCK);
}

/// One `fcntl` with a plain number for an argument.
fn fcntl(file: impl AsFd, command: libc::c_int, argument: libc::c_int) -> nix::Result<libc::c_int> {
    let fd = file.as_fd();
    loop {
        // SAFETY: `fd` is open while it is borrowed, and the commands used here take an int.
        let answer = unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) };
        match Errno::result(answer) {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

/// The names of a file's extended attributes, each ended by a NUL; empty where the filesystem
/// has none (flistxattr(2)).
///
/// # Errors
/// As the system says; `ERANGE` when the list grew at every try.
pub fn attribute_names(file: impl AsFd) -> io::Result<Vec<u8>> {
    let fd = file.as_fd();
    let mut names: Vec<u8> = Vec::new();
    for _ in 0..LIST_ROUNDS {
        // SAFETY: the kernel writes at most `names.len()` bytes there, and none when that is 0.
        let answer =
            unsafe { libc::flistxattr(fd.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
        match Errno::result(answer) {
            Ok(0) | Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
            Ok(length) => {
                let length = usize::try_from(length).unwrap_or(0);
                let asked_for_size = names.is_empty();
                names.resize(length, 0);
                if !asked_for_size {
                    return Ok(names);
                }
            }
            Err(Errno::ERANGE) => names.clear(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(Errno::ERANGE.into())
}
