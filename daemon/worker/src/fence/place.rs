//! What is at the places: opened as places only (`O_PATH`), each in its own time, because one on a
//! server that does not answer must not keep the others waiting.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mooring_wire::reach::{Place, Use};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{AccessFlags, access};

/// How long all places together may take; what is later is outside, like what is not there.
const PATIENCE: Duration = Duration::from_secs(3);
/// Places looked at at once.
const AT_ONCE: usize = 16;

/// Links are followed, as whoever opens a root does; only a folder is a place.
const OPEN_PLACE: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

const OPEN_FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// Device and inode of a folder.
pub type Identity = (u64, u64);

/// What may be done below an open folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Everything that Mooring does with files and folders.
    All,
    /// Reading.
    Read,
    /// Making folders and looking where they are.
    Make,
    /// The same, and removing empty folders.
    MakeAndRemove,
}

/// A place, as it was found.
#[derive(Debug)]
pub struct Opened {
    /// Its path.
    pub path: PathBuf,
    /// The folder that is there, if it is all inside.
    pub identity: Option<Identity>,
    /// An open folder and what may be done there.
    pub rule: Option<(OwnedFd, Rights)>,
}

/// The folder that is at a path now, if there is one.
pub fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let there = std::fs::metadata(path).ok()?;
    there.is_dir().then(|| (there.dev(), there.ino()))
}

/// Whether this process alone may not look into a folder that its person may look into. A disk that
/// was taken out and put in again has the numbers it had, and is another one for Landlock.
pub fn is_kept_out(path: &Path) -> bool {
    // access(2) is not asked of Landlock.
    let person = access(path, AccessFlags::R_OK | AccessFlags::X_OK).is_ok();
    person && open(path, OPEN_FOLDER, Mode::empty()).err() == Some(Errno::EACCES)
}

/// Opens all places, in this order, as far as they answer in time. One that does not keeps a thread,
/// and no other place waiting.
///
/// # Errors
/// When no thread can be started.
pub fn open_all(places: Vec<Place>, home: &Path) -> io::Result<Vec<Opened>> {
    let deadline = Instant::now() + PATIENCE;
    let count = places.len();
    let waiting = Arc::new(Mutex::new(places.into_iter()));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..count.min(AT_ONCE) {
        let (waiting, sender, home) = (waiting.clone(), sender.clone(), home.to_owned());
        // One that hangs stays behind; it ends when its server answers.
        thread::Builder::new().spawn(move || {
            let next = || waiting.lock().ok().and_then(|mut places| places.next());
            while let Some(place) = next() {
                if sender.send(look(&place, &home)).is_err() {
                    // Nobody waits for what comes too late.
                    return;
                }
            }
        })?;
    }
    drop(sender);
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(opened) => all.push(opened),
            Err(_) => {
                let late = count - all.len();
                tracing::warn!(late, "folders do not answer; they stay outside the fence");
                break;
            }
        }
    }
    Ok(all)
}

fn look(place: &Place, home: &Path) -> Opened {
    let path = &place.path;
    let there = || open_place(path);
    let rule = match place.used {
        Use::Root => there()
            .map(|folder| (folder, Rights::All))
            .or_else(|| nearest(path).map(|folder| (folder, Rights::Make))),
        Use::Folder => there().map(|folder| (folder, Rights::All)),
        Use::Source => there().map(|folder| (folder, Rights::Read)),
        Use::Leave => above(path, home).map(|folder| (folder, Rights::MakeAndRemove)),
    };
    let identity = rule.as_ref().and_then(|(folder, rights)| {
        matches!(rights, Rights::All | Rights::Read)
            .then(|| identity_of(folder))
            .flatten()
    });
    Opened {
        path: path.clone(),
        identity,
        rule,
    }
}

fn open_place(path: &Path) -> Option<OwnedFd> {
    open(path, OPEN_PLACE, Mode::empty()).ok()
}

fn identity_of(folder: &OwnedFd) -> Option<Identity> {
    fstat(folder).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// The folder that is there of those on the way to one that is not.
fn nearest(path: &Path) -> Option<OwnedFd> {
    path.ancestors().skip(1).find_map(open_place)
}

/// The outermost folder in which, for a root to go, a folder may have to go: no further up than the
/// person's home, a mount point, or a folder that may not be changed.
fn above(root: &Path, home: &Path) -> Option<OwnedFd> {
    let mut outermost = None;
    for parent in root.ancestors().skip(1) {
        match access(parent, AccessFlags::W_OK) {
            Ok(()) => {}
            // Gone already, as after a death in the middle.
            Err(Errno::ENOENT) => continue,
            Err(_) => break,
        }
        outermost = open_place(parent);
        if parent == home || is_mount_point(parent) {
            break;
        }
    }
    outermost
}

fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| identity(path).map(|(device, _)| device);
    device(path) != device(&path.join(OsStr::new("..")))
}
