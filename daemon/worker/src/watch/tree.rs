//! The watched folders: every folder below the roots, the new ones as they appear.
//!
//! A folder is watched before it is listed, so that nothing can appear in between unseen. Paths
//! only say where to look; a wrong one costs a look too many and touches nothing.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use crate::place::is_own;

/// The most folders of one account that are watched.
const MAX_WATCHES: usize = 250_000;

/// What a watch hears: never each write, only its end.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE);

/// Why a watch cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// So many changes at once that the kernel dropped some.
    #[error("more changed at once than the kernel keeps")]
    Overflow,
    /// A root was moved, removed or unmounted.
    #[error("{0:?} was moved, removed or unmounted")]
    Root(PathBuf),
    /// The kernel, or Mooring, allows no more watches.
    #[error(
        "there are more folders than can be watched (see /proc/sys/fs/inotify/max_user_watches)"
    )]
    TooMany,
    /// Anything else that the system says.
    #[error("{0:?} cannot be watched: {1}")]
    Io(PathBuf, io::Error),
}

/// A watched folder.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    root: bool,
    /// The filesystem: what is mounted below a root is not synced, and so not watched.
    dev: u64,
}

/// The watched folders.
#[derive(Debug)]
pub struct Tree {
    inotify: Inotify,
    folders: HashMap<WatchDescriptor, Folder>,
    paths: BTreeMap<PathBuf, WatchDescriptor>,
}

impl Tree {
    /// Watches everything below these roots. A root that is not there is left out; answers
    /// whether all of them were there.
    ///
    /// # Errors
    /// When something that is there cannot be watched.
    pub fn new(roots: &[PathBuf]) -> Result<(Self, bool), Lost> {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let inotify = Inotify::init(flags).map_err(|errno| match errno {
            Errno::EMFILE => Lost::TooMany,
            other => Lost::Io(PathBuf::new(), other.into()),
        })?;
        let mut tree = Self {
            inotify,
            folders: HashMap::new(),
            paths: BTreeMap::new(),
        };
        let mut all = true;
        for root in roots {
            match fs::metadata(root) {
                Ok(there) => all &= tree.walk(root, true, there.dev())?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => all = false,
                Err(error) => return Err(Lost::Io(root.clone(), error)),
            }
        }
        Ok((tree, all))
    }

    /// What is heard right now, possibly nothing.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn read(&self) -> io::Result<Vec<InotifyEvent>> {
        match self.inotify.read_events() {
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Vec::new()),
            other => Ok(other?),
        }
    }

    /// Takes what was heard; answers whether it concerns anything that is synced.
    ///
    /// # Errors
    /// When from now on changes could be missed.
    pub fn take(&mut self, event: InotifyEvent) -> Result<bool, Lost> {
        let mask = event.mask;
        if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return Err(Lost::Overflow);
        }
        let Some(folder) = self.folders.get(&event.wd) else {
            return Ok(false);
        };
        let Some(name) = event.name else {
            // About the folder itself: its parent tells the rest, and a root has none.
            if folder.root {
                return Err(Lost::Root(folder.path.clone()));
            }
            if mask.contains(AddWatchFlags::IN_IGNORED) {
                self.forget(event.wd);
            }
            return Ok(false);
        };
        if folder.root && is_own(b"", name.as_bytes()) {
            return Ok(false);
        }
        if mask.contains(AddWatchFlags::IN_ISDIR) {
            let (path, dev) = (folder.path.join(&name), folder.dev);
            if mask.intersects(AddWatchFlags::IN_MOVED_FROM | AddWatchFlags::IN_DELETE) {
                self.leave(&path);
            } else {
                self.walk(&path, false, dev)?;
            }
        }
        Ok(true)
    }

    /// Watches a folder and all below it; answers whether it was there.
    fn walk(&mut self, top: &Path, root: bool, dev: u64) -> Result<bool, Lost> {
        if !self.add(top, root, dev)? {
            return Ok(false);
        }
        let mut waiting = vec![(top.to_owned(), root)];
        while let Some((folder, root)) = waiting.pop() {
            for path in folders_in(&folder, root, dev)? {
                if self.add(&path, false, dev)? {
                    waiting.push((path, false));
                }
            }
        }
        Ok(true)
    }

    /// Watches one folder; answers whether it was there and could be read.
    fn add(&mut self, path: &Path, root: bool, dev: u64) -> Result<bool, Lost> {
        if self.folders.len() >= MAX_WATCHES {
            return Err(Lost::TooMany);
        }
        let mut flags = CHANGES | AddWatchFlags::IN_ONLYDIR;
        flags |= match root {
            // A person may have named it by a link.
            true => AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF,
            false => AddWatchFlags::IN_DONT_FOLLOW,
        };
        let wd = match self.inotify.add_watch(path, flags) {
            Ok(wd) => wd,
            Err(Errno::ENOSPC | Errno::ENOMEM) => return Err(Lost::TooMany),
            // Gone again, or replaced. What cannot be read cannot be synced either, and the sync
            // is who says so.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => return Ok(false),
            Err(errno) => return Err(Lost::Io(path.to_owned(), errno.into())),
        };
        let folder = Folder {
            path: path.to_owned(),
            root,
            dev,
        };
        if let Some(before) = self.folders.insert(wd, folder)
            && before.path != path
        {
            self.paths.remove(&before.path);
        }
        self.paths.insert(path.to_owned(), wd);
        Ok(true)
    }

    /// Watches a folder and all below it no longer: it is not there any more.
    fn leave(&mut self, top: &Path) {
        let gone: Vec<WatchDescriptor> = self
            .paths
            .range(top.to_owned()..)
            .take_while(|(path, _)| path.starts_with(top))
            .map(|(_, wd)| *wd)
            .collect();
        for wd in gone {
            self.forget(wd);
            // Of a removed folder the kernel has taken the watch back already.
            let _ = self.inotify.rm_watch(wd);
        }
    }

    fn forget(&mut self, wd: WatchDescriptor) {
        if let Some(folder) = self.folders.remove(&wd)
            && self.paths.get(&folder.path) == Some(&wd)
        {
            self.paths.remove(&folder.path);
        }
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The folders in a folder, on the same filesystem and not Mooring's own.
fn folders_in(folder: &Path, root: bool, dev: u64) -> Result<Vec<PathBuf>, Lost> {
    let lost = |error| Lost::Io(folder.to_owned(), error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_passing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(lost(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(lost)?;
        let own = root && is_own(b"", entry.file_name().as_bytes());
        if own || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match entry.metadata() {
            Ok(there) if there.dev() == dev => found.push(entry.path()),
            Ok(_) => {}
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(lost(error)),
        }
    }
    Ok(found)
}

/// Gone meanwhile, or nothing that a sync could read.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::NotFound | Kind::NotADirectory | Kind::PermissionDenied
    )
}
