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
        let mut written = In::new(&bytes);
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
        if written.end().is_none() || watched != roots {
            return Err(Lost::HandedOver("other folders are watched"));
        }
        let mut quiet = Quiet::default();
        if !told.is_empty() {
            quiet.noticed(Instant::now());
        }
        let watcher = Watcher {
            tree,
            tell,
            quiet,
            lost: Arc::default(),
            told: Arc::new(Mutex::new(told)),
        };
        Ok((Self::run(watched, complete, watcher)?, more))
    }
}
