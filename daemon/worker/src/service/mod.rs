//! The worker's one object, `org.mooring1.Worker`: each call is mapped to the engine and runs on
//! a thread of its own. What works with an account's files runs one at a time for each account; what only
//! asks its state or its watch may run beside that.

mod attached;
mod calls;
mod convert;
mod following;
mod giving;
mod handing;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mooring_wire::{AccountSpec, Error, Result};
use tokio::sync::mpsc;

use crate::fence::Fence;
use attached::Attached;
pub use attached::{Told, make_private};
pub use calls::{send_changes, send_progress};
use convert::{path, spec, to_wire};

/// The most accounts that one worker attaches.
const MAX_ACCOUNTS: usize = 256;

/// The worker, as the broker calls it.
pub struct Service {
    accounts: Mutex<HashMap<String, Arc<Attached>>>,
    /// The person's home.
    home: PathBuf,
    /// The folder of the accounts' states.
    states: PathBuf,
    fence: Arc<Fence>,
    progress: mpsc::Sender<Told>,
    changes: mpsc::Sender<String>,
}

impl Service {
    /// A service for the person with this home, inside a fence that is up. Progress goes to `progress`, where it is dropped
    /// when nobody keeps up; the IDs of accounts whose folders changed go to `changes`.
    pub fn new(
        home: PathBuf,
        states: PathBuf,
        fence: Fence,
        progress: mpsc::Sender<Told>,
        changes: mpsc::Sender<String>,
    ) -> Self {
        Self {
            accounts: Mutex::default(),
            home,
            states,
            fence: Arc::new(fence),
            progress,
            changes,
        }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Arc<Attached>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, id: &str) -> Result<Arc<Attached>> {
        self.accounts()
            .get(id)
            .cloned()
            .ok_or_else(|| Error::Failed(format!("account {id:?} is not attached")))
    }

    /// Runs work on an account, alone. Whatever it did, the next sync looks at everything.
    async fn on<T: Send + 'static>(
        &self,
        id: &str,
        work: impl FnOnce(&Attached) -> crate::error::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.keeping_looks(id, move |attached| {
            attached.forget_looks();
            work(attached)
        })
        .await
    }

    /// Runs work on an account, alone, that leaves its files and its inventory as they are, or
    /// syncs.
    async fn keeping_looks<T: Send + 'static>(
        &self,
        id: &str,
        work: impl FnOnce(&Attached) -> crate::error::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (attached, fence) = (self.account(id)?, self.fence.clone());
        let called = attached.call();
        blocking(move || {
            let places = attached.account.spec.places();
            let result = fence.within(&places, || attached.alone(work));
            drop(called);
            result
        })
        .await
    }

    /// Runs work on a storage, whether or not an account of it is attached.
    async fn on_storage<T: Send + 'static>(
        &self,
        storage: &[u8],
        work: impl FnOnce(&Path) -> crate::error::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (storage, fence) = (path(storage)?, self.fence.clone());
        blocking(move || fence.within(&[&storage], || work(&storage))).await
    }

    /// Runs work on the accounts' states.
    async fn on_states<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> crate::error::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (states, fence) = (self.states.clone(), self.fence.clone());
        blocking(move || fence.within(&[&states], || work(&states))).await
    }

    async fn attach_spec(&self, wanted: AccountSpec) -> Result<Arc<Attached>> {
        let spec = spec(&wanted, &self.home)?;
        if let Some(there) = self.accounts().get(&spec.id).cloned() {
            return if there.account.spec == spec {
                Ok(there)
            } else {
                Err(Error::Refused(format!(
                    "account {} is attached otherwise",
                    spec.id
                )))
            };
        }
        if self.accounts().len() >= MAX_ACCOUNTS {
            return Err(Error::Refused(format!("more than {MAX_ACCOUNTS} accounts")));
        }
        let (id, progress) = (spec.id.clone(), self.progress.clone());
        let open = move |states: &Path| Attached::open(spec, states, progress);
        let attached = self.on_states(open).await?;
        let attached = Arc::new(attached);
        self.accounts().insert(id, attached.clone());
        Ok(attached)
    }

    /// Lets go of an account; `Busy` while something is done with it.
    fn let_go(&self, id: &str) -> Result<()> {
        let mut accounts = self.accounts();
        match accounts.remove(id).map(Arc::try_unwrap) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(in_use)) => {
                accounts.insert(id.to_owned(), in_use);
                Err(Error::Busy(format!("account {id} is still at work")))
            }
        }
    }

    /// Lets go of an account and erases its state.
    async fn destroy(&self, id: &str) -> Result<()> {
        let removed = self.accounts().remove(id).map(Arc::try_unwrap);
        let attached = match removed {
            None => return Ok(()),
            Some(Ok(attached)) => attached,
            Some(Err(in_use)) => {
                self.accounts().insert(id.to_owned(), in_use);
                return Err(Error::Busy(format!("account {id} is still at work")));
            }
        };
        self.on_states(move |states| attached.destroy(states)).await
    }
}

/// Runs blocking work off the bus's thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> crate::error::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(to_wire),
        Err(e) => Err(Error::Failed(format!("the worker failed inside: {e}"))),
    }
}
