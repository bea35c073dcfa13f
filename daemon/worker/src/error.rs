//! What goes wrong in the engine: a kind to act on, a sentence for a person, the cause behind it.

use std::io;
use std::path::Path;

use mooring_core::receipt::readable;
use std::os::unix::ffi::OsStrExt;

/// A result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation as a whole could not go on. What concerns one file only is a
/// [`FileTrouble`] and does not stop the others.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage is not there, or is another one.
    #[error("{0}")]
    StorageGone(String),
    /// A local folder is not there, or is another one.
    #[error("{0}")]
    HomeGone(String),
    /// What was asked is not allowed.
    #[error("{0}")]
    Refused(String),
    /// Another worker holds the account.
    #[error("{0}")]
    Busy(String),
    /// There is no proof for what was to be removed.
    #[error("{0}")]
    NotVerified(String),
    /// A disk is full.
    #[error("{0}")]
    NoSpace(String),
    /// A disk, or the way to it, does not do what it is asked.
    #[error("{0}")]
    Disk(String),
    /// The account's state is not there any more.
    #[error("{0}")]
    StateMissing(String),
    /// A folder is outside the worker's fence: another worker can reach it.
    #[error("{0}")]
    Unfenced(String),
    /// It was asked to stop.
    #[error("stopped as asked")]
    Cancelled,
    /// The account's state cannot be read.
    #[error(
        "the account's state in {path} is damaged or of another version ({source}); nothing is removed \
         meanwhile, and `mooringctl doctor --repair` builds it anew from both sides"
    )]
    State {
        /// The state's folder.
        path: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Anything else that the system answered.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why one file could not be handled now. It stays where it is, and the others go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTrouble(pub String);

impl Error {
    /// A failed system call on a path.
    pub fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let shown = readable(path.as_os_str().as_bytes());
        match source.kind() {
            io::ErrorKind::StorageFull => Self::NoSpace(format!(
                "no space is left for {shown}: free some space and try again"
            )),
            io::ErrorKind::QuotaExceeded => Self::NoSpace(format!(
                "the quota is used up at {shown}: free some space and try again"
            )),
            _ if let Some(advice) = disk_advice(&source) => {
                Self::Disk(format!("cannot {doing} {shown}: {source}; {advice}"))
            }
            _ => Self::Io {
                doing,
                path: shown,
                source,
            },
        }
    }
}

/// What to do about an error of the disk itself, or of the way to it.
fn disk_advice(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EROFS => Some("it is mounted read-only: mount it writable, then try again"),
        libc::EIO | libc::EUCLEAN | libc::EBADMSG => Some(
            "the disk or its connection fails: look at both (the kernel's log names the disk), then \
             try again",
        ),
        libc::ENXIO | libc::ENODEV | libc::ENOTCONN | libc::ESTALE | libc::ESHUTDOWN => {
            Some("the disk or the server behind it went away: connect it again, then try again")
        }
        _ => None,
    }
}

/// That a disk has too little room, in units that people read on disks; nothing is rounded in favour
/// of what would fit.
pub fn too_little_room(needed: u64, at: &Path, free: u64) -> String {
    const MB: u64 = 1_000_000;
    format!(
        "{} MB are needed, and {} has {} MB free",
        needed.div_ceil(MB),
        readable(at.as_os_str().as_bytes()),
        free / MB
    )
}

/// Whether an error on one file is about that file alone, and then the reason for a person.
/// `None` means the whole operation cannot go on (a dead disk, a full one, a lost mount).
pub fn about_one_file(error: &io::Error) -> Option<FileTrouble> {
    let reason = match error.kind() {
        // `ErrorKind` has no stable name for it.
        _ if error.raw_os_error() == Some(libc::ELOOP) => "a symbolic link is in the way",
        io::ErrorKind::PermissionDenied => {
            "permission denied: give yourself the right to read and write it"
        }
        io::ErrorKind::CrossesDevices => "another filesystem is mounted there",
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            "a folder and a file have the same name on the two sides"
        }
        io::ErrorKind::InvalidFilename => "the name is too long for the other side",
        io::ErrorKind::InvalidInput => "the name is not allowed on the other side",
        io::ErrorKind::FileTooLarge => "too large for the other side",
        io::ErrorKind::WouldBlock
        | io::ErrorKind::ResourceBusy
        | io::ErrorKind::ExecutableFileBusy => "a program uses it just now",
        io::ErrorKind::NotFound => "vanished meanwhile",
        io::ErrorKind::AlreadyExists => "changed on the other side meanwhile",
        _ => return None,
    };
    Some(FileTrouble(reason.to_owned()))
}

/// As [`about_one_file`], for a file whose bytes are being read: a bad place on a disk, or a
/// damaged record of the file, concerns that file, and the others may still be good. Whoever
/// reads next meets a dead disk when the next folder is opened.
pub fn about_one_source(error: &io::Error) -> Option<FileTrouble> {
    let damaged = [libc::EIO, libc::EUCLEAN, libc::EBADMSG];
    if error.raw_os_error().is_some_and(|e| damaged.contains(&e)) {
        let reason = format!("cannot be read from its disk ({error})");
        return Some(FileTrouble(reason));
    }
    about_one_file(error)
}
