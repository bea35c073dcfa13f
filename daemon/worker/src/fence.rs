//! The fence around the worker (landlock(7)): it reaches the places that the broker named, its own
//! state and a few files of the system, and nothing else of what the person may reach.
//!
//! Landlock only tightens, and only for the thread that asks and those it starts. So the fence is put
//! up before there are threads, and a place that comes later (a disk that is plugged in, a folder that
//! is made) is [`Error::Unfenced`] until the broker has started another worker.

mod place;
mod rules;

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::receipt::readable;
use mooring_wire::Fenced;
use mooring_wire::reach::{Place, Reach, Use};

use crate::error::{Error, Result};
use place::{Identity, identity, is_kept_out};

/// A fence that is up, or the reason why there is none.
#[derive(Debug)]
pub struct Fence {
    fenced: Fenced,
    /// The folders inside, as they were when it was put up; none where there is no fence.
    inside: Option<HashSet<(PathBuf, Identity)>>,
    /// Files of the system that the kernel would otherwise make anew, and not know again. No place is
    /// among them: a disk can be taken out.
    _open: Vec<OwnedFd>,
}

impl Fence {
    /// Fences this thread, and those it starts, in for good. `home` is the person's, `states` the
    /// worker's own folder.
    ///
    /// # Errors
    /// When the kernel has Landlock and does not do it. Where it has none, there is no fence, which
    /// [`Fence::fenced`] tells.
    pub fn put_up(reach: &Reach, home: &Path, states: &Path) -> io::Result<Self> {
        let own = Place::new(Use::Root, states.as_os_str().as_bytes());
        // Its own first: without that nothing goes.
        let places = [own].into_iter().chain(reach.0.iter().cloned());
        let opened = place::open_all(places.collect(), home)?;
        let inside = opened.iter().filter_map(|opened| {
            let identity = opened.identity?;
            Some((opened.path.clone(), identity))
        });
        let inside = inside.collect();
        let (fenced, open) = rules::restrict(opened)?;
        Ok(Self {
            fenced,
            inside: open.is_some().then_some(inside),
            _open: open.unwrap_or_default(),
        })
    }

    /// How far this process is fenced in.
    pub fn fenced(&self) -> Fenced {
        self.fenced.clone()
    }

    /// Passes when each of these folders that is there is inside.
    ///
    /// # Errors
    /// [`Error::Unfenced`] naming the first that is not.
    pub fn expect_inside<'p>(&self, paths: impl IntoIterator<Item = &'p Path>) -> Result<()> {
        let Some(inside) = &self.inside else {
            return Ok(());
        };
        for path in paths {
            // What is not there is told by whoever wants to open it.
            let Some(now) = identity(path) else { continue };
            if !inside.contains(&(path.to_owned(), now)) || is_kept_out(path) {
                return Err(Error::Unfenced(format!(
                    "{} came after the worker had fenced itself in; another one has to look at it",
                    readable(path.as_os_str().as_bytes())
                )));
            }
        }
        Ok(())
    }

    /// Passes when none of these folders was inside and is not there any more: only another worker can
    /// make it anew.
    fn expect_there(&self, paths: &[&Path]) -> Result<()> {
        let Some(inside) = &self.inside else {
            return Ok(());
        };
        let was_there = |path: &Path| inside.iter().any(|(there, _)| there == path);
        match paths
            .iter()
            .find(|path| was_there(path) && identity(path).is_none())
        {
            Some(path) => Err(Error::Unfenced(format!(
                "{} went after the worker had fenced itself in; another one has to look for it",
                readable(path.as_os_str().as_bytes())
            ))),
            None => Ok(()),
        }
    }

    /// Does something with folders that have to be inside, before it and, should it fail, after it:
    /// one that it made, or that came or went meanwhile, is why.
    ///
    /// # Errors
    /// [`Error::Unfenced`], or what the work says.
    pub fn within<T>(&self, paths: &[&Path], work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.expect_inside(paths.iter().copied())?;
        work().or_else(|error| {
            if !matches!(error, Error::Cancelled) {
                self.expect_inside(paths.iter().copied())?;
                self.expect_there(paths)?;
            }
            Err(error)
        })
    }
}
