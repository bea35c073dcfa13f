//! The watched folders: every folder below the roots, the new ones as they appear.
//!
//! A folder is watched before it is listed, so that nothing can appear in between unseen. Paths
//! only say where to look; a wrong one costs a look too many and touches nothing.

mod away;

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::inotify::{add_watch, init, remove_watch};
use rustix::io::Errno;

use crate::ignored::{self, Rules};
use crate::place::is_own;
use crate::state::join;

use super::told::Told;

/// The most folders of one account that are watched.
const MAX_WATCHES: usize = 250_000;

/// What a watch hears: never each write, only its end.
const CHANGES: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE);
/// How much is heard at once, in bytes: room for events with the longest names.
const HEARD: usize = 4096;

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
    /// The system allows this person no more watchers: each account has one.
    #[error(
        "there are more accounts and programs than may watch folders (see \
         /proc/sys/fs/inotify/max_user_instances)"
    )]
    TooManyWatchers,
    /// What is ignored changed, and so what is to be watched.
    #[error("{0:?} changed, and with it what is watched")]
    Rules(PathBuf),
    /// What another process handed over cannot be taken up.
    #[error("what was handed over is not what is watched: {0}")]
    HandedOver(&'static str),
    /// Anything else that the system says.
    #[error("{0:?} cannot be watched: {1}")]
    Io(PathBuf, io::Error),
}

/// What was heard of a watched folder.
#[derive(Debug)]
pub struct Event {
    wd: i32,
    mask: ReadFlags,
    name: Option<OsString>,
}

/// A watched folder.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    root: bool,
    /// The root's path.
    root_path: Arc<Path>,
    /// The filesystem: what is mounted below a root is not synced, and so not watched.
    dev: u64,
    /// Its path below the root.
    below: Vec<u8>,
    /// What is ignored in it.
    rules: Rules,
}

/// Where a folder is, and what those above it say.
#[derive(Debug)]
struct Spot {
    root: bool,
    root_path: Arc<Path>,
    dev: u64,
    below: Vec<u8>,
    above: Rules,
}

impl Spot {
    fn root(path: &Path, dev: u64) -> Self {
        Self {
            root: true,
            root_path: path.into(),
            dev,
            below: Vec::new(),
            above: None,
        }
    }
}

/// The watched folders.
#[derive(Debug)]
pub struct Tree {
    inotify: OwnedFd,
    /// By watch descriptor.
    folders: HashMap<i32, Folder>,
    paths: BTreeMap<PathBuf, i32>,
}

impl Tree {
    /// Watches everything below these roots. A root that is not there is left out; answers
    /// whether all of them were there.
    ///
    /// # Errors
    /// When something that is there cannot be watched.
    pub fn new(roots: &[PathBuf]) -> Result<(Self, bool), Lost> {
        let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
        let inotify = init(flags).map_err(|errno| match errno {
            Errno::MFILE => Lost::TooManyWatchers,
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
                Ok(there) => all &= tree.walk(root, Spot::root(root, there.dev()))?,
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
    pub fn read(&self) -> io::Result<Vec<Event>> {
        let mut buffer = [MaybeUninit::uninit(); HEARD];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => events.push(Event {
                    wd: event.wd(),
                    mask: event.events(),
                    name: event
                        .file_name()
                        .map(|name| OsStr::from_bytes(name.to_bytes()).to_owned()),
                }),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(events),
                Err(errno) => return Err(errno.into()),
            }
            if reader.is_buffer_empty() {
                return Ok(events);
            }
        }
    }

    /// Takes what was heard, and notes where it was; answers whether it concerns anything that is
    /// synced.
    ///
    /// # Errors
    /// When from now on changes could be missed.
    pub fn take(&mut self, event: Event, told: &mut Told) -> Result<bool, Lost> {
        let mask = event.mask;
        if mask.contains(ReadFlags::QUEUE_OVERFLOW) {
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
            if mask.contains(ReadFlags::IGNORED) {
                self.forget(event.wd);
            }
            return Ok(false);
        };
        let is_dir = mask.contains(ReadFlags::ISDIR);
        let Some(spot) = folder.spot_of(name.as_bytes(), is_dir) else {
            return Ok(false);
        };
        let path = folder.path.join(&name);
        if !is_dir && name == ignored::FILE {
            return Err(Lost::Rules(path));
        }
        let child = is_dir.then_some(name.as_bytes());
        told.note(&folder.root_path, &folder.below, child);
        if is_dir {
            if mask.intersects(ReadFlags::MOVED_FROM | ReadFlags::DELETE) {
                self.leave(&path);
            } else {
                self.walk(&path, spot)?;
            }
        }
        Ok(true)
    }

    /// Watches a folder and all below it; answers whether it was there.
    fn walk(&mut self, top: &Path, spot: Spot) -> Result<bool, Lost> {
        let Some(wd) = self.add(top, spot)? else {
            return Ok(false);
        };
        let mut waiting = vec![wd];
        while let Some(wd) = waiting.pop() {
            // One folder may be met by two names, and then has lost its first.
            let Some(folder) = self.folders.get(&wd) else {
                continue;
            };
            for (path, spot) in folder.folders()? {
                waiting.extend(self.add(&path, spot)?);
            }
        }
        Ok(true)
    }

    /// Watches one folder, if it is there and can be read.
    fn add(&mut self, path: &Path, spot: Spot) -> Result<Option<i32>, Lost> {
        if self.folders.len() >= MAX_WATCHES {
            return Err(Lost::TooMany);
        }
        let mut flags = CHANGES | WatchFlags::ONLYDIR;
        flags |= match spot.root {
            // A person may have named it by a link.
            true => WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF,
            false => WatchFlags::DONT_FOLLOW,
        };
        let wd = match add_watch(&self.inotify, path, flags) {
            Ok(wd) => wd,
            Err(Errno::NOSPC | Errno::NOMEM) => return Err(Lost::TooMany),
            // Gone again, or replaced. What cannot be read cannot be synced either, and the sync
            // is who says so.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(None),
            Err(errno) => return Err(Lost::Io(path.to_owned(), errno.into())),
        };
        // Read after it is watched: a later change is heard.
        let rules = rules_in(path, &spot);
        let folder = Folder {
            path: path.to_owned(),
            root: spot.root,
            root_path: spot.root_path,
            dev: spot.dev,
            below: spot.below,
            rules,
        };
        if let Some(before) = self.folders.insert(wd, folder)
            && before.path != path
        {
            self.paths.remove(&before.path);
        }
        self.paths.insert(path.to_owned(), wd);
        Ok(Some(wd))
    }

    /// Watches a folder and all below it no longer: it is not there any more.
    fn leave(&mut self, top: &Path) {
        let gone: Vec<i32> = self
            .paths
            .range(top.to_owned()..)
            .take_while(|(path, _)| path.starts_with(top))
            .map(|(_, wd)| *wd)
            .collect();
        for wd in gone {
            self.forget(wd);
            // Of a removed folder the kernel has taken the watch back already.
            let _ = remove_watch(&self.inotify, wd);
        }
    }

    fn forget(&mut self, wd: i32) {
        if let Some(folder) = self.folders.remove(&wd)
            && self.paths.get(&folder.path) == Some(&wd)
        {
            self.paths.remove(&folder.path);
        }
    }
}

impl Tree {
    /// The kernel's side of it.
    pub fn into_inotify(self) -> OwnedFd {
        self.inotify
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl Folder {
    /// Where a name in it is; `None` when it is Mooring's own, or ignored.
    fn spot_of(&self, name: &[u8], is_dir: bool) -> Option<Spot> {
        let own = self.root && is_own(b"", name);
        if own || ignored::ignores(&self.rules, &self.below, name, is_dir).is_some() {
            return None;
        }
        Some(Spot {
            root: false,
            root_path: self.root_path.clone(),
            dev: self.dev,
            below: join(&self.below, name),
            above: self.rules.clone(),
        })
    }

    /// The folders in it, on the same filesystem, that are to be watched.
    fn folders(&self) -> Result<Vec<(PathBuf, Spot)>, Lost> {
        let lost = |error| Lost::Io(self.path.clone(), error);
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if is_passing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(lost(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(lost)?;
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let Some(spot) = self.spot_of(entry.file_name().as_bytes(), true) else {
                continue;
            };
            match entry.metadata() {
                Ok(there) if there.dev() == self.dev => found.push((entry.path(), spot)),
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(found)
    }
}

/// What is ignored in a folder. A file that cannot be read ignores nothing: a look too many.
fn rules_in(folder: &Path, spot: &Spot) -> Rules {
    let above = || spot.above.clone();
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(folder.join(ignored::FILE));
    let Ok(file) = opened else {
        return above();
    };
    let mut bytes = Vec::new();
    let is_file = file.metadata().is_ok_and(|there| there.is_file());
    if !is_file
        || file
            .take(ignored::MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .is_err()
    {
        return above();
    }
    ignored::parse(&spot.below, &bytes, &spot.above).map_or_else(|_| above(), |(rules, _)| rules)
}

/// Gone meanwhile, or nothing that a sync could read.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::NotFound | Kind::NotADirectory | Kind::PermissionDenied
    )
}
