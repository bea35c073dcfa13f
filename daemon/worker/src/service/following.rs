//! When a sync may look only where something changed, and when it has to look at everything: at
//! first, after a watch was lost or began, after anything else worked on the account, while files
//! wait, and once an hour.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mooring_core::collection::Collection;

use super::attached::Attached;
use crate::delete::Answer;
use crate::error::{Error, Result};
use crate::signin;
use crate::sync::{Looked, numbers};
use crate::trouble::Ledger;
use crate::watch::bytes::{In, Out};
use crate::watch::{Folders, Told};

/// How long changes are trusted to have been told. Less than the time between two looks that the
/// broker asks for although nothing was told, so that each of these is at everything.
const TRUSTED: Duration = Duration::from_secs(55 * 60);

/// What is known from the last look at everything, and the looks since.
#[derive(Debug)]
pub(super) struct Known {
    looked: Looked,
    everything_at: Instant,
}

impl Known {
    /// Writes it down for another worker; nothing when it does not say enough to go by.
    pub(super) fn write(&self, out: &mut Out) {
        let at = now().and_then(|now| now.checked_sub(self.everything_at.elapsed()));
        let Some(at) = at.filter(|_| self.looked.is_complete()) else {
            return;
        };
        out.number(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
        self.looked.write(out);
    }

    /// Reads what was written down; `None` when it says nothing.
    pub(super) fn read(mut written: In<'_>) -> Option<Self> {
        let at = Duration::from_nanos(written.number()?);
        // One from after now is of another boot, or wrong.
        let ago = now()?.checked_sub(at)?;
        let looked = Looked::read(&mut written)?;
        written.end()?;
        Some(Self {
            looked,
            everything_at: Instant::now().checked_sub(ago)?,
        })
    }
}

/// The clock that [`Instant`] goes by, which is one for all processes of a boot.
fn now() -> Option<Duration> {
    match nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC) {
        Ok(now) => Some(now.into()),
        Err(error) => {
            // Then everything is looked at.
            tracing::warn!(%error, "the clock cannot be read");
            None
        }
    }
}

impl Attached {
    pub(super) fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next sync looks at everything.
    pub fn forget_looks(&self) {
        *self.known() = None;
    }

    /// Brings everything in step, whatever was told.
    ///
    /// # Errors
    /// As [`signin::sync_answering`].
    pub fn sync_everything(&self, read_back: bool, answer: Option<Answer>) -> Result<Ledger> {
        tracing::debug!(account = self.account.spec.id, "looks at everything");
        *self.known() = None;
        // Before the look: what changes from now on is told anew.
        self.take_told();
        let everything_at = Instant::now();
        let done = signin::sync_answering(&self.account, read_back, answer);
        let (ledger, looked) = done.inspect_err(|_| self.give_back(Told::Anywhere))?;
        *self.known() = Some(Known {
            looked,
            everything_at,
        });
        Ok(ledger)
    }

    /// Brings in step what changed, as far as that is known, and else everything.
    ///
    /// # Errors
    /// As [`signin::sync_answering`].
    pub fn sync_told(&self, read_back: bool) -> Result<Ledger> {
        let known = self.known().take();
        let (Some(mut known), Some(told)) = (known, self.take_told()) else {
            return self.sync_everything(read_back, None);
        };
        let Some(folders) = self.limited_to(&known, &told)? else {
            return self.sync_everything(read_back, None);
        };
        tracing::debug!(account = self.account.spec.id, "looks at what changed");
        match signin::sync_told(&self.account, read_back, &folders, &mut known.looked) {
            Ok(ledger) => {
                *self.known() = Some(known);
                Ok(ledger)
            }
            // Something else goes first. Looked at again, what was done is found done.
            Err(Error::Cancelled) => {
                self.give_back(told);
                *self.known() = Some(known);
                Err(Error::Cancelled)
            }
            Err(e) => {
                self.give_back(Told::Anywhere);
                Err(e)
            }
        }
    }

    /// The folders to look at, by collection; `None` when that does not say enough.
    fn limited_to(
        &self,
        known: &Known,
        told: &Told,
    ) -> Result<Option<BTreeMap<Collection, Folders>>> {
        let settled = known.looked.is_complete() && known.everything_at.elapsed() < TRUSTED;
        // Asked although nothing was told: there is another reason, which may be anywhere.
        if !settled || *told == Told::default() {
            return Ok(None);
        }
        let mut all = BTreeMap::new();
        let spec = &self.account.spec;
        for (collection, root) in &spec.collections {
            let remote = spec.storage.join(collection.folder());
            let (Some(mut here), Some(there)) = (told.below(root), told.below(&remote)) else {
                return Ok(None);
            };
            here.extend(&there);
            let [unsynced, held, ..] = numbers(&self.account, *collection)?;
            if unsynced + held > 0 {
                return Ok(None);
            }
            if !here.is_empty() {
                all.insert(*collection, here);
            }
        }
        Ok(Some(all))
    }
}
