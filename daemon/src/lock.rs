//! One broker at a time: a lock on a file in the state folder, gone with the process that holds it.
//!
//! A record lock (`fcntl(2)`, POSIX.1-2017), which belongs to a process. One of `flock(2)` belongs to
//! an open file, and so to every child between its fork and its exec as well: a broker that was
//! killed in the moment it started a worker would keep the next one away.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// The lock, held while this lives. To close any other descriptor of its file in this process
/// gives it up, so nothing else may open that file.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another broker runs.
    #[error("another mooringd runs already (process {pid}); it holds {}", path.display())]
    Taken {
        /// The process that holds it, or `unknown` when it is out of this one's sight.
        pid: String,
        /// The lock file.
        path: PathBuf,
    },
    /// The file cannot be made or locked.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Lock {
    /// Takes the lock `lock` in a folder; once in a process.
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
        match fcntl(&file, FcntlArg::F_SETLK(&whole())) {
            Ok(_) => Ok(Self { _file: file }),
            Err(Errno::EACCES | Errno::EAGAIN) => Err(Error::Taken {
                pid: holder(&file).map_err(|e| io(e.into()))?,
                path: path.clone(),
            }),
            Err(errno) => Err(io(errno.into())),
        }
    }
}

/// A lock on all of a file, for this process alone.
fn whole() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// The process that holds the lock; it may have ended since it was in the way.
fn holder(file: &File) -> Result<String, Errno> {
    let mut found = whole();
    let _ = fcntl(file, FcntlArg::F_GETLK(&mut found))?;
    match found.l_pid {
        // Nobody any more, or somebody of another namespace or machine.
        ..=0 => Ok("unknown".to_owned()),
        pid => Ok(pid.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// Another process that holds the lock of a folder until it is killed.
    const HOLDER: &str = "
import fcntl, sys, time
held = open(sys.argv[1], 'w')
fcntl.lockf(held, fcntl.LOCK_EX)
print('held', flush=True)
time.sleep(600)
";

    #[test]
    fn a_second_start_is_refused_and_told_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = Command::new("python3")
            .args(["-c", HOLDER])
            .arg(folder.path().join("lock"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 (apt install python3)");
        let mut said = String::new();
        let out = other.stdout.take().unwrap();
        let _ = BufReader::new(out).read_line(&mut said).unwrap();
        let refused = Lock::take(folder.path());
        // Before anything can fail, so that it never stays.
        other.kill().unwrap();
        let _ = other.wait().unwrap();
        assert_eq!(said, "held\n");
        let error = refused.unwrap_err();
        let named = format!("process {}", other.id());
        assert!(error.to_string().contains(&named), "{error}");
        let _ = Lock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_child_that_got_the_file_does_not_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let held = Lock::take(folder.path()).unwrap();
        // As one that was forked, and has not come to its exec.
        let mut child = Command::new("sleep")
            .arg("600")
            .stdin(held._file.try_clone().unwrap())
            .spawn()
            .unwrap();
        drop(held);
        let again = Lock::take(folder.path());
        child.kill().unwrap();
        let _ = child.wait().unwrap();
        let _ = again.unwrap();
    }
}
