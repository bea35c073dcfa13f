//! One broker at a time: a lock on a file in the state folder, gone with the process that holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The longest content of a lock file that is looked at, in bytes: a process number.
const MAX_CONTENT: u64 = 32;

/// The lock, held while this lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] Flock<File>);

/// Why the lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another broker runs.
    #[error("another mooringd runs already (process {pid}); it holds {}", path.display())]
    Taken {
        /// The process that wrote the file, or `unknown`.
        pid: String,
        /// The lock file.
        path: PathBuf,
    },
    /// The file cannot be made, locked or written.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Lock {
    /// Takes the lock `lock` in a folder.
    ///
    /// # Errors
    /// [`Error::Taken`] names the process that holds it.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("lock");
        let io = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut held) => {
                held.set_len(0).map_err(io)?;
                writeln!(held, "{}", std::process::id()).map_err(io)?;
                Ok(Self(held))
            }
            Err((file, Errno::EWOULDBLOCK)) => Err(Error::Taken {
                pid: holder(file),
                path: path.clone(),
            }),
            Err((_, errno)) => Err(io(errno.into())),
        }
    }
}

/// The process number that the holder wrote; it may not have come to it yet.
fn holder(file: File) -> String {
    let mut text = String::new();
    let read = file.take(MAX_CONTENT).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => pid.to_string(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_second_start_is_refused_and_told_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        let held = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("process {}", std::process::id()))
        );
        drop(held);
        Lock::take(folder.path()).unwrap();
    }
}
