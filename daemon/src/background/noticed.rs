//! What workers noticed and nobody acted on yet. Holds an account once, however often it changed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// What was noticed since somebody took it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// The accounts in whose folders something changed.
    pub changed: BTreeSet<String>,
    /// Whether a worker, and with it its watch, is gone.
    pub unwatched: bool,
}

/// Where it is put and taken.
#[derive(Debug, Default)]
pub struct Noticed {
    news: Mutex<News>,
    more: Notify,
    requests: Mutex<BTreeSet<String>>,
    more_requests: Notify,
}

impl Noticed {
    /// Something changed in an account's folders.
    pub fn changed(&self, account: &str) {
        self.put(|news| {
            news.changed.insert(account.to_owned());
        });
        self.look_for_requests(account);
    }

    /// Another device may have left a request for an account.
    pub fn look_for_requests(&self, account: &str) {
        let mut due = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        due.insert(account.to_owned());
        drop(due);
        self.more_requests.notify_one();
    }

    /// Takes the accounts that may have requests.
    pub fn take_requests(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there are some.
    pub async fn more_requests(&self) {
        self.more_requests.notified().await;
    }

    /// A worker is gone.
    pub fn unwatched(&self) {
        self.put(|news| news.unwatched = true);
    }

    /// Takes what there is.
    pub fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there is something.
    pub async fn more(&self) {
        self.more.notified().await;
    }

    fn put(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
        self.more.notify_one();
    }
}
