//! Watches that a worker handed over when it left. The broker reads none of it: it waits until a
//! watch has heard something, and gives it to the next worker. Where there is a service manager
//! that does so, it keeps them beyond the broker's own end.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mooring_wire::WorkerProxy;
use tokio::task::AbortHandle;

use super::{Heard, Listener};
use crate::notify::Manager;
use crate::notify::inherited::{self, Kind, Pair, kind, names};

/// One account's watch.
struct Watch {
    inotify: Arc<OwnedFd>,
    map: OwnedFd,
    /// Waits for it, once, when somebody began to.
    waits: Option<AbortHandle>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(waits) = &self.waits {
            waits.abort();
        }
    }
}

/// The watches of a person's accounts that are in nobody's hands.
pub struct Kept {
    uid: u32,
    listener: Listener,
    manager: Manager,
    watches: Mutex<BTreeMap<String, Watch>>,
}

impl Kept {
    /// Those that the broker before kept; nobody waits for them yet.
    pub fn new(uid: u32, listener: Listener) -> Self {
        let watches = inherited::take(uid).into_iter();
        let watches = watches.map(|(account, (inotify, map))| {
            let watch = Watch {
                inotify: Arc::new(inotify),
                map,
                waits: None,
            };
            (account, watch)
        });
        Self {
            uid,
            listener,
            manager: Manager::from_env(),
            watches: Mutex::new(watches.collect()),
        }
    }

    fn watches(&self) -> MutexGuard<'_, BTreeMap<String, Watch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The accounts.
    pub fn accounts(&self) -> Vec<String> {
        self.watches().keys().cloned().collect()
    }

    /// Keeps what a worker handed over; answers whether it is what it should be.
    pub fn keep(&self, account: &str, handed: Pair) -> bool {
        let (inotify, map) = handed;
        if (kind(&inotify), kind(&map)) != (Some(Kind::Inotify), Some(Kind::Map)) {
            return false;
        }
        for (name, descriptor) in names(self.uid, account).iter().zip([&inotify, &map]) {
            self.manager.store(name, descriptor);
        }
        let watch = Watch {
            inotify: Arc::new(inotify),
            map,
            waits: None,
        };
        self.watches().insert(account.to_owned(), watch);
        self.wait();
        true
    }

    /// Waits for all watches for which nobody waits yet.
    pub fn wait(&self) {
        for (account, watch) in self.watches().iter_mut() {
            if watch.waits.is_none() {
                let (account, inotify) = (account.clone(), watch.inotify.clone());
                let heard = wait(account, inotify, self.listener.clone());
                watch.waits = Some(tokio::spawn(heard).abort_handle());
            }
        }
    }

    /// Keeps only those of these accounts.
    pub fn retain(&self, there: impl Fn(&str) -> bool) {
        for account in self.accounts() {
            if !there(&account) {
                drop(self.take(&account));
            }
        }
    }

    fn take(&self, account: &str) -> Option<Watch> {
        let watch = self.watches().remove(account)?;
        // Before anybody reads it: what was read once must not be taken for unread.
        let names = names(self.uid, account);
        names.iter().for_each(|name| self.manager.unstore(name));
        Some(watch)
    }

    /// Gives an account's watch, if there is one, to the worker that attached the account. Where that
    /// does not take it, everything is looked at.
    pub async fn give_back(&self, account: &str, worker: &WorkerProxy<'_>) {
        let Some(mut watch) = self.take(account) else {
            return;
        };
        if let Some(waits) = watch.waits.take() {
            waits.abort();
        }
        let copies = watch.inotify.try_clone().and_then(|inotify| {
            let map = watch.map.try_clone()?;
            Ok((inotify, map))
        });
        let taken = match copies {
            Ok((inotify, map)) => worker.take_up(account, inotify.into(), map.into()).await,
            Err(error) => Err(mooring_wire::Error::Failed(error.to_string())),
        };
        match taken {
            Ok(true) => return,
            Ok(false) => tracing::info!(account, "a watch is not taken up"),
            Err(error) => tracing::warn!(account, %error, "a watch is not taken up"),
        }
        (self.listener)(Heard::Changed(account));
    }
}

/// Waits until a watch has heard something, and tells it. More is not waited for: the worker reads it.
async fn wait(account: String, inotify: Arc<OwnedFd>, listener: Listener) {
    let heard = async {
        // Whatever its type is called: only its readiness is asked for.
        let polled = std::os::unix::net::UnixStream::from(inotify.try_clone()?);
        polled.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(polled)?.readable().await
    };
    if let Err(error) = heard.await {
        tracing::warn!(account, %error, "a watch cannot be waited for");
    }
    listener(Heard::Changed(&account));
}
