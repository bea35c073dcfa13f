//! A watch that goes from one worker to the next: what happens in between waits in the kernel.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::bytes::{In, Out};
use super::quiet::Quiet;
use super::tree::{Lost, Tree};
use super::{Tell, Told, Watch, Watcher, lock, sealed};

/// The first bytes of a map, with its version.
const MAGIC: &[u8] = b"mooring watch 1";

/// A watch on its way.
#[derive(Debug)]
pub struct Away {
    /// The kernel's watches, and what they hear.
    pub inotify: OwnedFd,
    /// What they are called, and what else the next worker is to know; sealed.
    pub map: OwnedFd,
    /// Whether something was noticed and may not have been told.
    pub changed: bool,
}

/// What became of a watch that was to be handed over.
#[derive(Debug)]
pub enum Handed {
    /// It is on its way.
    Away(Away),
    /// It had been lost already.
    Lost,
    /// It cannot go, and goes on.
    Stays(Watch),
}

impl Watch {
    /// Ends here what another process is to go on with; `more` is for that one.
    ///
    /// # Errors
    /// When it can neither go nor go on.
    pub fn hand_over(self, more: &[u8]) -> Result<Handed, Lost> {
        let (roots, complete) = (self.roots.clone(), self.complete);
        let Some(watcher) = self.stop() else {
            return Ok(Handed::Lost);
        };
        let mut out = Out::default();
        out.bytes(MAGIC);
        out.bytes(more);
        out.number(complete.into());
        let told = lock(&watcher.told).clone();
        told.write(&mut out);
        let written = watcher.tree.write(&roots, &mut out);
        let bytes = written.and_then(|()| out.finish());
        let map = bytes.and_then(|bytes| match sealed::seal(&bytes) {
            Ok(map) => Some(map),
            Err(error) => {
                tracing::warn!(%error, "what is watched cannot be written down");
                None
            }
        });
        Ok(match map {
            Some(map) => Handed::Away(Away {
                changed: watcher.quiet.waits() || !told.is_empty(),
                inotify: watcher.tree.into_inotify(),
                map,
            }),
            None => Handed::Stays(Self::run(roots, complete, watcher)?),
        })
    }

    /// Goes on with what another process handed over; answers also what that one had to say. What
    /// happened since is told soon, unless it is taken first.
    ///
    /// # Errors
    /// When it is not what it says, watches other roots than these, or something was missed.
    pub fn take_up(
        inotify: OwnedFd,
        map: OwnedFd,
        roots: &[PathBuf],
        tell: Tell,
    ) -> Result<(Self, Vec<u8>), Lost> {
        let failed = |error| Lost::Io(PathBuf::new(), error);
        let bytes = sealed::open(map).map_err(failed)?;
        let read = read(inotify, &bytes)?;
        if read.watched != roots {
            return Err(Lost::HandedOver("other folders are watched"));
        }
        let mut quiet = Quiet::default();
        if !read.told.is_empty() {
            quiet.noticed(Instant::now());
        }
        let watcher = Watcher {
            tree: read.tree,
            tell,
            quiet,
            lost: Arc::default(),
            told: Arc::new(Mutex::new(read.told)),
        };
        Ok((Self::run(read.watched, read.complete, watcher)?, read.more))
    }
}

/// What a map says of the watch that came with it.
struct Read {
    more: Vec<u8>,
    complete: bool,
    told: Told,
    tree: Tree,
    watched: Vec<PathBuf>,
}

fn read(inotify: OwnedFd, bytes: &[u8]) -> Result<Read, Lost> {
    let mut written = In::new(bytes);
    if written.bytes() != Some(MAGIC) {
        return Err(Lost::HandedOver("it is of another version"));
    }
    let unreadable = Lost::HandedOver("it cannot be read");
    let head = (|| {
        Some((
            written.bytes()?.to_vec(),
            written.flag()?,
            Told::read(&mut written)?,
        ))
    })();
    let (more, complete, mut told) = head.ok_or(unreadable)?;
    let (tree, watched) = Tree::take_up(inotify, &mut written, &mut told)?;
    if written.end().is_none() {
        return Err(Lost::HandedOver("more follows than a watch"));
    }
    Ok(Read {
        more,
        complete,
        told,
        tree,
        watched,
    })
}

/// Any bytes as the map of a watch that watches nothing: what is understood can be written down, and
/// is understood again.
#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::expect_used)]
pub(crate) fn fuzzed(bytes: &[u8]) {
    use rustix::fs::inotify::{CreateFlags, init};
    let nothing = || init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("an inotify");
    let mut head = Out::default();
    head.bytes(MAGIC);
    let head = head.finish().expect("a few bytes");
    let bytes = [head.as_slice(), bytes].concat();
    let Ok(found) = read(nothing(), &bytes) else {
        return;
    };
    let mut out = Out::default();
    out.bytes(MAGIC);
    out.bytes(&found.more);
    out.number(found.complete.into());
    found.told.write(&mut out);
    let written = found.tree.write(&found.watched, &mut out);
    written.expect("what was read can be written");
    let again = out.finish().expect("no more than was read");
    let again = read(nothing(), &again);
    let again = again.expect("what is written can be read");
    assert_eq!((again.more, again.told), (found.more, found.told));
    assert_eq!(again.watched, found.watched);
}
