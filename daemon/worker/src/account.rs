//! An attached account: what it is, its state, and the seams it works through.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mooring_core::collection::Collection;
use mooring_wire::Progress;
use mooring_wire::reach::kept_from;

use crate::error::{Error, Result};
use crate::files::Files;
use crate::place::Marker;
use crate::state::State;

/// An account as the broker knows it, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The immutable ID.
    pub id: String,
    /// The identity, e.g. `alice`.
    pub identity: String,
    /// The storage's folder.
    pub storage: PathBuf,
    /// The storage's random ID.
    pub storage_id: String,
    /// The random ID of this sign-in.
    pub sign_in_id: String,
    /// The name of this device.
    pub device: String,
    /// The receipt with which this device left the storage last; empty when it has none.
    pub left_with: String,
    /// The person's home, for `Kept from ACCOUNT`.
    pub home: PathBuf,
    /// The collections and their local roots.
    pub collections: Vec<(Collection, PathBuf)>,
}

impl Spec {
    /// The local root of a collection.
    ///
    /// # Errors
    /// [`Error::Refused`] when the account has no such collection.
    pub fn root(&self, collection: Collection) -> Result<&Path> {
        self.collections
            .iter()
            .find(|(c, _)| *c == collection)
            .map(|(_, root)| root.as_path())
            .ok_or_else(|| Error::Refused(format!("the account has no collection {collection}")))
    }

    /// The folder for single files that a person keeps here.
    pub fn kept_from(&self) -> PathBuf {
        kept_from(&self.home, &self.identity)
    }

    /// The folders that an operation of the account may open.
    pub fn places(&self) -> Vec<&Path> {
        let roots = self.collections.iter().map(|(_, root)| root.as_path());
        roots.chain([self.storage.as_path()]).collect()
    }

    /// What the marker of a collection says.
    pub fn marker(&self, collection: Collection, local: bool) -> Marker {
        Marker {
            version: 1,
            collection: collection.name().to_owned(),
            storage_id: self.storage_id.clone(),
            account: local.then(|| self.id.clone()),
        }
    }
}

/// Told how far an operation is.
pub type Report = Box<dyn Fn(Progress) + Send + Sync>;

/// An attached account.
pub struct Account<F: Files> {
    /// What it is.
    pub spec: Spec,
    /// The files.
    pub files: F,
    /// The inventory and the latch.
    pub state: State,
    /// Where progress goes.
    pub report: Report,
    /// Set to stop the operation under way.
    pub stop: Arc<AtomicBool>,
}

impl<F: Files> Account<F> {
    /// Goes on, or stops as asked.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn check_stop(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// The collections that are not kept.
    ///
    /// # Errors
    /// [`Error::Refused`] for a name that the account does not have.
    pub fn leaving(&self, keep: &[Collection]) -> Result<Vec<Collection>> {
        for kept in keep {
            self.spec.root(*kept)?;
        }
        Ok(self
            .spec
            .collections
            .iter()
            .map(|(c, _)| *c)
            .filter(|c| !keep.contains(c))
            .collect())
    }

    /// Tells how far an operation is.
    pub fn tell(&self, activity: &str, done: (u64, u64), total: (u64, u64)) {
        (self.report)(Progress {
            activity: activity.to_owned(),
            done: done.0,
            total: total.0,
            done_bytes: done.1,
            total_bytes: total.1,
        });
    }
}
