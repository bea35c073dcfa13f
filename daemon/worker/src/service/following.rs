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

impl Attached {
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next sync looks at everything.
    pub fn forget_looks(&self) {
        *self.known() = None;
    }

    /// Brings everything in step, whatever was told.
    ///
    /// # Errors
    /// As [`signin::answer`].
    pub fn sync_everything(&self, read_back: bool, answer: Option<Answer>) -> Result<Ledger> {
        *self.known() = None;
        // Before the look: what changes from now on is told anew.
        self.take_told();
        let everything_at = Instant::now();
        let (ledger, looked) = signin::answer(&self.account, read_back, answer)?;
        *self.known() = Some(Known {
            looked,
            everything_at,
        });
        Ok(ledger)
    }

    /// Brings in step what changed, as far as that is known, and else everything.
    ///
    /// # Errors
    /// As [`signin::answer`].
    pub fn sync_told(&self, read_back: bool) -> Result<Ledger> {
        let known = self.known().take();
        let (Some(mut known), Some(told)) = (known, self.take_told()) else {
            return self.sync_everything(read_back, None);
        };
        let Some(folders) = self.limited_to(&known, &told)? else {
            return self.sync_everything(read_back, None);
        };
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
            Err(e) => Err(e),
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
