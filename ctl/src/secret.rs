//! Passwords on their way in, and the recovery code on its way out.
//!
//! A secret is held in memory that is wiped, and crosses the bus as a descriptor: never as an
//! argument, in the environment or in a message.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use mooring_api::{MAX_SECRET_BYTES, SECRET_TIMEOUT_SECONDS};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure, Result};

/// How long the recovery code of a new identity may take to arrive.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest recovery code that is shown, in bytes.
const MAX_RECOVERY_BYTES: usize = 1024;

/// A password, wiped from memory when dropped.
pub type Password = Zeroizing<Vec<u8>>;

/// Reads a password from descriptor `number`: up to a newline or the end, at most
/// [`MAX_SECRET_BYTES`], within [`SECRET_TIMEOUT_SECONDS`].
///
/// Must run before anything else opens a descriptor, or `number` may name something of ours.
///
/// # Errors
/// [`Exit::Usage`] when the descriptor is closed, cannot be read, is empty, too long or too slow.
pub fn from_descriptor(number: u32) -> Result<Password> {
    from_option("--password-fd", number)
}

/// [`from_descriptor`] for the secret of another option.
///
/// # Errors
/// As [`from_descriptor`].
pub fn from_option(option: &str, number: u32) -> Result<Password> {
    read_descriptor(number, Duration::from_secs(SECRET_TIMEOUT_SECONDS)).map_err(|message| {
        Failure::usage(format!("{option} {number}: {message}")).hint(format!(
            "Give the secret on a descriptor that is open for reading, for example \
             `{option} 3 3< FILE`, or `{option} 0` for the standard input."
        ))
    })
}

fn read_descriptor(number: u32, limit: Duration) -> std::result::Result<Password, String> {
    match number {
        0 => read_line(&std::io::stdin(), false, limit),
        1 | 2 => Err("this is where mooringctl writes; use 0, or 3 and above.".to_owned()),
        _ => read_line(&reopen(number)?, true, limit),
    }
}

/// Opens what an inherited descriptor stands for, at the place where its owner left it.
fn reopen(number: u32) -> std::result::Result<File, String> {
    let path = format!("/proc/self/fd/{number}");
    // Without O_NONBLOCK, opening a pipe whose writer has already gone would wait for ever.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(|e| match e.kind() {
            ErrorKind::NotFound => "the descriptor is closed.".to_owned(),
            ErrorKind::PermissionDenied => {
                "it belongs to another user; use the standard input, --password-fd 0.".to_owned()
            }
            _ => format!("it is neither a file nor a pipe ({e})."),
        })?;
    let kind = file
        .metadata()
        .map_err(|e| format!("it cannot be looked at ({e})."))?
        .file_type();
    if kind.is_file() {
        let place = offset(number)?;
        file.seek(SeekFrom::Start(place))
            .map_err(|e| format!("it cannot be read ({e})."))?;
    } else if !kind.is_fifo() && !kind.is_char_device() {
        return Err("it is neither a file nor a pipe.".to_owned());
    }
    Ok(file)
}

/// How far the inherited descriptor was read already, see proc_pid_fdinfo(5).
fn offset(number: u32) -> std::result::Result<u64, String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))
        .map_err(|e| format!("its position cannot be read ({e})."))?;
    info.lines()
        .find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok())
        .ok_or_else(|| "its position cannot be read.".to_owned())
}

fn read_line(
    source: &impl AsFd,
    non_blocking: bool,
    limit: Duration,
) -> std::result::Result<Password, String> {
    let deadline = Instant::now() + limit;
    // One allocation: growing would leave copies behind that nobody wipes.
    let mut secret = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 1));
    let mut chunk = Zeroizing::new([0; 256]);
    let mut try_now = non_blocking;
    loop {
        if !try_now {
            wait_readable(source.as_fd(), deadline, limit)?;
        }
        let n = match nix::unistd::read(source.as_fd(), &mut chunk[..]) {
            Ok(n) => n,
            Err(Errno::EAGAIN) => {
                try_now = false;
                continue;
            }
            Err(Errno::EINTR) => continue,
            Err(Errno::EBADF) => return Err("the descriptor is closed.".to_owned()),
            Err(e) => return Err(format!("it cannot be read ({e}).")),
        };
        try_now = non_blocking;
        let end = chunk[..n].iter().position(|&b| b == b'\n');
        let part = &chunk[..end.unwrap_or(n)];
        if secret.len() + part.len() > MAX_SECRET_BYTES {
            return Err(format!(
                "a password has at most {MAX_SECRET_BYTES} bytes; this goes on."
            ));
        }
        secret.extend_from_slice(part);
        if end.is_some() || n == 0 {
            break;
        }
    }
    if secret.is_empty() {
        return Err("there is no password in it.".to_owned());
    }
    Ok(secret)
}

fn wait_readable(
    fd: BorrowedFd<'_>,
    deadline: Instant,
    limit: Duration,
) -> std::result::Result<(), String> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that the last millisecond does not spin.
        let millis = u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX);
        if left.is_zero() {
            return Err(format!(
                "no password arrived within {} seconds.",
                limit.as_secs()
            ));
        }
        match poll(
            &mut [PollFd::new(fd, PollFlags::POLLIN)],
            PollTimeout::from(millis),
        ) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(format!("it cannot be waited for ({e}).")),
        }
    }
}

/// A sealed memory file that holds `content`: whoever gets it can read it, and nobody change it.
///
/// # Errors
/// [`Exit::Failed`] when the kernel has no memory for it.
pub fn sealed(name: &str, content: &[u8]) -> Result<zbus::OwnedFd> {
    seal(name, content).map(zbus::OwnedFd::from).map_err(|e| {
        Failure::new(
            Exit::Failed,
            format!("A sealed memory file could not be made: {e}."),
        )
    })
}

fn seal(name: &str, content: &[u8]) -> std::io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    file.rewind()?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// The end of a pipe on which a new identity's recovery code arrives.
pub struct RecoveryPipe(tokio::net::unix::pipe::Receiver);

impl RecoveryPipe {
    /// A pipe: our end, and the end for the daemon.
    ///
    /// # Errors
    /// [`Exit::Failed`] when there are no descriptors left.
    pub fn new() -> Result<(Self, zbus::OwnedFd)> {
        let made = nix::unistd::pipe2(OFlag::O_CLOEXEC)
            .map_err(std::io::Error::from)
            .and_then(|(read, write)| {
                Ok((
                    tokio::net::unix::pipe::Receiver::from_owned_fd(read)?,
                    write,
                ))
            });
        let (read, write) = made.map_err(|e| {
            Failure::new(Exit::Failed, format!("No pipe for the recovery code: {e}."))
        })?;
        Ok((Self(read), write.into()))
    }

    /// Waits for the code. `None` when the other end closed without one, or took longer than
    /// [`RECOVERY_TIMEOUT`], or sent something that no code can be.
    pub async fn code(mut self) -> Option<Zeroizing<String>> {
        let mut buffer = Zeroizing::new(Vec::with_capacity(MAX_RECOVERY_BYTES + 1));
        let read = async {
            let mut chunk = Zeroizing::new([0; 256]);
            while !buffer.contains(&b'\n') && buffer.len() <= MAX_RECOVERY_BYTES {
                let room = (MAX_RECOVERY_BYTES + 1 - buffer.len()).min(chunk.len());
                match self.0.read(&mut chunk[..room]).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => buffer.extend_from_slice(&chunk[..n]),
                }
            }
        };
        // What arrived before the time was up is shown all the same: it never comes again.
        let _ = tokio::time::timeout(RECOVERY_TIMEOUT, read).await;
        let line = buffer.split(|&b| b == b'\n').next()?;
        let code = std::str::from_utf8(line).ok()?.trim();
        let sound = !code.is_empty()
            && code.len() <= MAX_RECOVERY_BYTES
            && !code.chars().any(crate::text::is_unsafe);
        sound.then(|| Zeroizing::new(code.to_owned()))
    }
}

/// Reads a small file whole, for handing it on sealed.
///
/// # Errors
/// A sentence when it cannot be read, is no file, or has more than `limit` bytes.
pub fn small_file(path: &std::path::Path, limit: u64) -> std::result::Result<Vec<u8>, String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(|e| e.to_string())?;
    if !file.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut content = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut content)
        .map_err(|e| e.to_string())?;
    if content.len() as u64 > limit {
        return Err(format!("longer than {} bytes", crate::text::number(limit)));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::os::fd::AsRawFd;

    const SHORT: Duration = Duration::from_millis(50);

    fn pipe_with(content: &[u8]) -> (OwnedFd, File) {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut write = File::from(write);
        write.write_all(content).unwrap();
        (read, write)
    }

    fn read(fd: &OwnedFd) -> std::result::Result<Password, String> {
        read_descriptor(fd.as_raw_fd().try_into().unwrap(), SHORT)
    }

    #[test]
    fn a_password_ends_at_the_newline_or_the_end() {
        let (fd, writer) = pipe_with(b"secret\nrest");
        assert_eq!(*read(&fd).unwrap(), b"secret");
        drop(writer);
        let (fd, writer) = pipe_with(b"no newline");
        drop(writer);
        assert_eq!(*read(&fd).unwrap(), b"no newline");
    }

    #[test]
    fn endless_empty_and_silent_descriptors_are_refused() {
        let (fd, writer) = pipe_with(&[b'x'; MAX_SECRET_BYTES + 1]);
        assert!(read(&fd).unwrap_err().contains("at most"));
        drop(writer);
        let (fd, writer) = pipe_with(b"");
        assert!(read(&fd).unwrap_err().contains("no password arrived"));
        drop(writer);
        assert!(read(&fd).unwrap_err().contains("no password in it"));
        assert!(read_descriptor(1, SHORT).is_err());
        assert!(
            read_descriptor(4_000_000, SHORT)
                .unwrap_err()
                .contains("closed")
        );
    }

    #[test]
    fn a_file_is_read_from_where_its_owner_left_it() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"user\nsecret\n").unwrap();
        file.seek(SeekFrom::Start(5)).unwrap();
        let number = file.as_raw_fd().try_into().unwrap();
        assert_eq!(*read_descriptor(number, SHORT).unwrap(), b"secret");
    }

    #[test]
    fn a_sealed_file_can_be_read_and_not_changed() {
        let fd = seal("test", b"secret").unwrap();
        let mut file = File::from(fd);
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"secret");
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }
}
