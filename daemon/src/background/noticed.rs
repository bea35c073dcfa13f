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
}

impl Noticed {
    /// Something changed in an account's folders.
    pub fn changed(&self, account: &str) {
        self.put(|news| {
            news.changed.insert(account.to_owned());
        });
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
