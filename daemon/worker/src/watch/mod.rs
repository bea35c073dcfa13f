//! Notices that something changed in the folders of an account, on this device and, where the
//! storage is a local filesystem, in the storage.
//!
//! It tells *that* something changed, never what: whoever is told looks for itself, so that a
//! change told twice or by mistake does no harm. It promises to tell when it may have missed
//! something, and to end then; another watch is made at the next occasion.

mod quiet;
mod tree;

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use quiet::Quiet;
use tree::Tree;

pub use quiet::{MOST, QUIET};
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
    /// Closed when the watch is dropped, which its thread sees.
    _end: PipeWriter,
}

impl Watch {
    /// Watches everything below these roots; from its return on no change is missed.
    ///
    /// # Errors
    /// When something cannot be watched; then nothing is.
    pub fn start(roots: Vec<PathBuf>, tell: Tell) -> Result<Self, Lost> {
        let (tree, complete) = Tree::new(&roots)?;
        let lost = Arc::new(AtomicBool::new(false));
        let thread = |error| Lost::Io(PathBuf::new(), error);
        let (ended, end) = io::pipe().map_err(thread)?;
        let watcher = Watcher {
            tree,
            tell,
            lost: lost.clone(),
        };
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watcher.run(&ended))
            .map_err(thread)?;
        Ok(Self {
            roots,
            complete,
            lost,
            _end: end,
        })
    }

    /// Whether it watches these roots, and all of them.
    pub fn covers(&self, roots: &[PathBuf]) -> bool {
        self.roots == roots && self.complete && !self.lost.load(Ordering::Acquire)
    }
}

struct Watcher {
    tree: Tree,
    tell: Tell,
    lost: Arc<AtomicBool>,
}

impl Watcher {
    fn run(mut self, ended: &PipeReader) {
        if let Err(lost) = self.listen(ended) {
            tracing::info!(%lost, "watching has ended");
            // First the flag: whoever is told makes another watch.
            self.lost.store(true, Ordering::Release);
            (self.tell)();
        }
    }

    fn listen(&mut self, ended: &PipeReader) -> Result<(), Lost> {
        let mut quiet = Quiet::default();
        loop {
            let wait = quiet
                .due()
                .map(|due| due.saturating_duration_since(Instant::now()));
            let failed = |error| Lost::Io(PathBuf::new(), error);
            if self.wait(ended, wait).map_err(failed)? {
                return Ok(());
            }
            for event in self.tree.read().map_err(failed)? {
                if self.tree.take(event)? {
                    quiet.noticed(Instant::now());
                }
            }
            if quiet.take(Instant::now()) && !(self.tell)() {
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
