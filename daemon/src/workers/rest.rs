//! Ending a worker that has nothing to do. What it watches it hands over, so that it is missed by
//! nobody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::{Heard, Live, Workers};

/// How long one account's watch may take to be handed over.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(10);

/// When the worker was used last, and whether there is a new one.
#[derive(Default)]
pub(super) struct Used {
    last: Mutex<Option<Instant>>,
    started: Notify,
}

impl Used {
    /// It is used.
    pub(super) fn now(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// A worker was started.
    pub(super) fn started(&self) {
        self.started.notify_one();
    }

    fn since(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of letting the worker rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// No worker runs.
    Rests,
    /// It is at work, or was just now: there is no need to try before that time.
    NotBefore(Instant),
}

impl Workers {
    /// Waits until a worker was started that nobody waited for yet.
    pub async fn started(&self) {
        self.used.started.notified().await;
    }

    /// The accounts that are watched although no worker runs for them.
    pub fn kept(&self) -> Vec<String> {
        self.kept.accounts()
    }

    /// Begins to wait for what the broker before kept.
    pub fn wait_for_kept(&self) {
        self.kept.wait();
    }

    /// Ends the worker if it was idle for so long. These are all accounts that there are.
    pub async fn rest(&self, accounts: &[String], idle: Duration) -> Rest {
        let mut state = self.state.lock().await;
        self.kept
            .retain(|id| accounts.iter().any(|there| there == id));
        // Found dead, it is buried by whoever needs one.
        let live = state
            .live
            .clone()
            .filter(|live| !live.connection.is_closed());
        let Some(live) = live else {
            return Rest::Rests;
        };
        let now = Instant::now();
        // Ours and the state's; whoever else holds it is about to ask it for something.
        if Arc::strong_count(&live) > 2 {
            return Rest::NotBefore(now + idle);
        }
        let due = self.used.since().map_or(now, |last| last + idle);
        if due > now {
            return Rest::NotBefore(due);
        }
        for account in accounts {
            match self.hand_over(&live, account).await {
                Ok(()) => {}
                Err(mooring_wire::Error::Busy(why)) => {
                    tracing::debug!(account, why, "the worker stays");
                    return Rest::NotBefore(now + idle);
                }
                Err(error) => {
                    tracing::warn!(account, %error, "the worker does not leave in order");
                    drop(live);
                    state.bury();
                    return Rest::Rests;
                }
            }
        }
        live.leaves();
        state.live = None;
        tracing::debug!(generation = live.generation, "the worker rests");
        end(&live).await;
        Rest::Rests
    }

    pub(super) async fn hand_over(&self, live: &Live, account: &str) -> mooring_wire::Result<()> {
        let failed = |why: &str| mooring_wire::Error::Failed(why.to_owned());
        let handed = timeout(HAND_OVER_TIMEOUT, live.proxy().hand_over(account));
        let handed = handed.await.map_err(|_| failed("it does not answer"))??;
        let mut descriptors = handed.watch.into_iter();
        if let (Some(watch), Some(map)) = (descriptors.next(), descriptors.next())
            && !self.kept.keep(account, (watch.into(), map.into()))
        {
            return Err(failed("it hands over something else"));
        }
        if handed.changed {
            (self.listener)(Heard::Changed(account));
        }
        Ok(())
    }
}

/// Closes the connection and waits, a bounded time, for the process.
pub(super) async fn end(live: &Live) {
    if let Err(error) = live.connection.clone().close().await {
        tracing::debug!(%error, "the worker's connection was closed already");
    }
    if let Some(life) = live.take_life() {
        life.end().await;
    }
}
