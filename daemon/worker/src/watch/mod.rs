//! Notices that something changed in the folders of an account, on this device and, where the
//! storage is a local filesystem, in the storage.
//!
//! It tells *that* something changed and in which folders, never what: whoever is told looks for
//! itself, so that a change told twice or by mistake does no harm. It promises to tell when it may have missed
//! something, and to end then; another watch is made at the next occasion.

pub mod bytes;
mod handing;
mod quiet;
mod sealed;
mod told;
mod tree;

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use quiet::Quiet;
use tree::Tree;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use handing::fuzzed;
pub use handing::{Away, Handed};
pub use quiet::{MOST, QUIET};
pub use told::{Folders, Told};
pub use tree::Lost;

/// Told that something changed; `false` ends the watch.
pub type Tell = Box<dyn Fn() -> bool + Send>;

/// A watch on folders. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    roots: Vec<PathBuf>,
    /// Whether every root was there.
    complete: bool,
    lost: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    thread: JoinHandle<Option<Watcher>>,
    /// Closed when the watch is dropped, which its thread sees.
    end: PipeWriter,
}

impl Watch {
    /// Watches everything below these roots; from its return on no change is missed.
    ///
    /// # Errors
    /// When something cannot be watched; then nothing is.
    pub fn start(roots: Vec<PathBuf>, tell: Tell) -> Result<Self, Lost> {
        let (tree, complete) = Tree::new(&roots)?;
        let watcher = Watcher {
            tree,
            tell,
            quiet: Quiet::default(),
            lost: Arc::default(),
            told: Arc::default(),
        };
        Self::run(roots, complete, watcher)
    }

    fn run(roots: Vec<PathBuf>, complete: bool, watcher: Watcher) -> Result<Self, Lost> {
        let (lost, told) = (watcher.lost.clone(), watcher.told.clone());
        let failed = |error| Lost::Io(PathBuf::new(), error);
        let (ended, end) = io::pipe().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watcher.run(&ended))
            .map_err(failed)?;
        Ok(Self {
            roots,
            complete,
            lost,
            told,
            thread,
            end,
        })
    }

    /// Ends its thread and answers it, with all that it knows; `None` when it had ended.
    fn stop(self) -> Option<Watcher> {
        drop(self.end);
        self.thread.join().ok().flatten()
    }

    /// Whether it watches these roots, and all of them.
    pub fn covers(&self, roots: &[PathBuf]) -> bool {
        self.roots == roots && self.hears_all()
    }

    /// Whether every root was there, and nothing was missed since.
    pub fn hears_all(&self) -> bool {
        self.complete && !self.lost.load(Ordering::Acquire)
    }

    /// Takes the folders in which something changed, whether that was told already or is about
    /// to be.
    pub fn take_told(&self) -> Told {
        std::mem::take(&mut *lock(&self.told))
    }

    /// Gives back what was taken and not acted on.
    pub fn give_back(&self, told: Told) {
        lock(&self.told).extend(told);
    }
}

fn lock(told: &Mutex<Told>) -> std::sync::MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Watcher {
    tree: Tree,
    tell: Tell,
    quiet: Quiet,
    lost: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl Watcher {
    /// Listens until the watch ends; answers itself unless it was lost.
    fn run(mut self, ended: &PipeReader) -> Option<Self> {
        match self.listen(ended) {
            Ok(()) => Some(self),
            Err(lost) => {
                tracing::info!(%lost, "watching has ended");
                // First the flag: whoever is told makes another watch.
                self.lost.store(true, Ordering::Release);
                (self.tell)();
                None
            }
        }
    }

    fn listen(&mut self, ended: &PipeReader) -> Result<(), Lost> {
        loop {
            let wait = self
                .quiet
                .due()
                .map(|due| due.saturating_duration_since(Instant::now()));
            let failed = |error| Lost::Io(PathBuf::new(), error);
            if self.wait(ended, wait).map_err(failed)? {
                return Ok(());
            }
            for event in self.tree.read().map_err(failed)? {
                if self.tree.take(event, &mut lock(&self.told))? {
                    self.quiet.noticed(Instant::now());
                }
            }
            // What was taken meanwhile has been looked at.
            let news = self.quiet.take(Instant::now()) && !lock(&self.told).is_empty();
            if news && !(self.tell)() {
                return Ok(());
            }
        }
    }

    /// Waits for a change, at most so long; answers whether the watch is to end.
    fn wait(&self, ended: &PipeReader, most: Option<Duration>) -> io::Result<bool> {
        let timeout = match most {
            // Rounded up, or it would be called again and again within the last millisecond.
            Some(most) => PollTimeout::try_from(most + Duration::from_millis(1))
                .map_err(|_| io::Error::other("too long a wait"))?,
            None => PollTimeout::NONE,
        };
        let mut fds = [
            PollFd::new(self.tree.as_fd(), PollFlags::POLLIN),
            PollFd::new(ended.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(fds[1].any().unwrap_or(true)),
            Err(errno) => Err(errno.into()),
        }
    }
}
