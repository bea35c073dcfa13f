//! Handing an account's watch to the next worker, with what is known from the looks of this one.
//!
//! What is known is about the state as this worker leaves it. So it leaves a word there, which goes
//! with the first look of anybody at it: who finds another word, or none, knows nothing.

use std::os::fd::OwnedFd;
use std::sync::{MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use mooring_wire::HandOver;
use mooring_wire::fault::{Process, point};
use tokio::sync::mpsc;

use super::attached::Attached;
use super::following::Known;
use crate::error::{Error, Result};
use crate::state::{Epoch, State};
use crate::watch::bytes::{In, Out};
use crate::watch::{Away, Handed, Watch};

/// Where the word is kept.
const LEFT: &str = "left";

/// Takes the word that the worker before left. It is good for one worker.
///
/// # Errors
/// When the state cannot be read or written.
pub fn take_left(state: &State) -> Result<Option<String>> {
    let left = state.meta(LEFT)?.filter(|left| !left.is_empty());
    if left.is_some() {
        state.set_meta(LEFT, "")?;
    }
    Ok(left)
}

impl Attached {
    fn watching(&self) -> MutexGuard<'_, Option<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the watch, so that the next worker can go on with it.
    ///
    /// # Errors
    /// [`Error::Busy`] when it cannot go.
    pub fn hand_over(&self) -> Result<HandOver> {
        let Some(watch) = self.watching().take() else {
            return Ok(HandOver::default());
        };
        point(Process::Worker, "hand-over-before");
        let word = word();
        let mut more = Out::default();
        more.bytes(word.as_bytes());
        if let Some(known) = self.known().take() {
            known.write(&mut more);
        }
        let handed = watch.hand_over(&more.finish().unwrap_or_default());
        let account = &self.account.spec.id;
        match handed {
            Ok(Handed::Away(Away {
                inotify,
                map,
                changed,
            })) => {
                self.account.state.set_meta(LEFT, &word)?;
                point(Process::Worker, "hand-over-after");
                tracing::debug!(account, changed, "the watch is handed over");
                Ok(HandOver {
                    changed,
                    watch: vec![inotify.into(), map.into()],
                })
            }
            // Another one is made when the account is looked at.
            Ok(Handed::Lost) => Ok(HandOver {
                changed: true,
                watch: Vec::new(),
            }),
            Ok(Handed::Stays(watch)) => {
                *self.watching() = Some(watch);
                Err(Error::Busy(
                    "what is watched cannot be handed over".to_owned(),
                ))
            }
            Err(lost) => {
                tracing::warn!(account, %lost, "the watch has ended");
                Ok(HandOver {
                    changed: true,
                    watch: Vec::new(),
                })
            }
        }
    }

    /// Goes on with the watch of a worker before; answers whether that is done. If not, the next
    /// look is one at everything, and makes another watch.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn take_up(
        &self,
        inotify: OwnedFd,
        map: OwnedFd,
        changes: &mpsc::Sender<String>,
    ) -> Result<bool> {
        let left = self
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        point(Process::Worker, "take-up");
        if self.account.state.epoch()? != Epoch::Active || self.watching().is_some() {
            return Ok(false);
        }
        let (roots, all) = self.watchable();
        let account = &self.account.spec.id;
        match Watch::take_up(inotify, map, &roots, self.teller(changes)) {
            Ok((watch, more)) => {
                let all = all && watch.covers(&roots);
                *self.known() = known(&more, left.as_deref());
                *self.watching() = Some(watch);
                self.set_all_tell(all);
                tracing::debug!(account, "the watch is taken up");
                Ok(true)
            }
            Err(lost) => {
                tracing::info!(account, %lost, "the watch is not taken up");
                self.forget_looks();
                Ok(false)
            }
        }
    }
}

/// What the worker before knew, if nobody had the state since.
fn known(more: &[u8], left: Option<&str>) -> Option<Known> {
    let mut written = In::new(more);
    let word = written.bytes()?;
    left.filter(|left| left.as_bytes() == word)?;
    Known::read(written)
}

/// A word that no other worker leaves.
fn word() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos();
    format!("{now}-{}", std::process::id())
}
