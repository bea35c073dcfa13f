//! The life of the worker: started when first needed, asked its version, started again when it
//! dies. Calls to it are [`mooring_wire::WorkerProxy`]'s; what is lost with a worker is its
//! proofs, and [`Live::generation`] tells when that happened. One that has nothing to do is ended.

mod kept;
mod reach;
mod rest;
mod said;
mod start;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use mooring_wire::reach::Reach;
use mooring_wire::{AccountSpec, Attached, Fenced, Progress, WorkerProxy};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::launch::{self, Later, Launcher, Life};

use kept::Kept;
pub use reach::{Accounts, Reaching};
pub use rest::Rest;
pub use said::{MAX_ANSWER_BYTES, MAX_TEXT_BYTES, Said, shorten};

/// The first wait before a worker is started again; it doubles with each early death.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait before a worker is started again.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A worker that lived this long did not die early.
const STABLE: Duration = Duration::from_secs(30);
/// How often one call is repeated on a new worker before it fails.
pub const MAX_DEATHS: u32 = 5;
/// How often one call is repeated because its worker was replaced by one that reaches more: as often
/// as other jobs, each with its places, can have begun meanwhile.
const MAX_REPLACEMENTS: u32 = 256;
/// How long the answer to a small question to a worker is waited for.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a worker tells without being asked.
#[derive(Debug)]
pub enum Heard<'a> {
    /// How far the operation of an account is.
    Progressed(&'a str, Progress),
    /// Something changed in an account's folders.
    Changed(&'a str),
    /// The worker is gone, and tells nothing any more.
    Gone,
}

/// Hears what a worker tells.
pub type Listener = Arc<dyn Fn(Heard<'_>) + Send + Sync>;

/// A running worker.
pub struct Live {
    /// Counts workers: another number, another process.
    pub generation: u64,
    connection: zbus::Connection,
    proxy: WorkerProxy<'static>,
    life: std::sync::Mutex<Option<Box<dyn Life>>>,
    listening: tokio::task::AbortHandle,
    /// Whether all that it watched was handed over.
    left: Arc<AtomicBool>,
    /// Whether it was ended so that another one can reach more.
    replaced: AtomicBool,
    reach: Reach,
    fenced: Fenced,
    kept: Arc<Kept>,
}

impl Live {
    /// How far it is fenced in.
    pub fn fenced(&self) -> &Fenced {
        &self.fenced
    }

    /// All that it watched was handed over.
    fn leaves(&self) {
        self.left.store(true, Ordering::Release);
    }

    /// Opens an account's state, as [`WorkerProxy::attach`], and gives back the watch that a worker
    /// before left.
    ///
    /// # Errors
    /// As [`WorkerProxy::attach`].
    pub async fn attach(&self, spec: AccountSpec) -> mooring_wire::Result<Attached> {
        let id = spec.id.clone();
        let attached = self.proxy.attach(spec).await?;
        self.kept.give_back(&id, &self.proxy).await;
        Ok(attached)
    }

    /// The worker's methods.
    pub fn proxy(&self) -> &WorkerProxy<'static> {
        &self.proxy
    }

    fn take_life(&self) -> Option<Box<dyn Life>> {
        self.life
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

#[derive(Default)]
struct State {
    live: Option<Arc<Live>>,
    generation: u64,
    early_deaths: u32,
    started: Option<Instant>,
}

/// The one worker of a user.
pub struct Workers {
    launcher: Arc<dyn Launcher>,
    uid: u32,
    listener: Listener,
    accounts: Accounts,
    needed: Arc<reach::Needed>,
    state: Mutex<State>,
    /// The worker that runs, if one does, for whoever must not wait: `state` is held while one is
    /// started, for many seconds if need be.
    running: std::sync::Mutex<Weak<Live>>,
    kept: Arc<Kept>,
    used: rest::Used,
    /// The accounts about which no call is made once more.
    given_up: std::sync::Mutex<BTreeSet<String>>,
}

impl Workers {
    /// A worker that is not started yet, and works for these accounts.
    pub fn new(
        launcher: Arc<dyn Launcher>,
        uid: u32,
        listener: Listener,
        accounts: Accounts,
    ) -> Self {
        let kept = Arc::new(Kept::new(uid, listener.clone()));
        Self {
            launcher,
            uid,
            listener,
            accounts,
            needed: Arc::default(),
            state: Mutex::default(),
            running: std::sync::Mutex::default(),
            kept,
            used: rest::Used::default(),
            given_up: std::sync::Mutex::default(),
        }
    }

    /// The running worker, which reaches all that is wanted; started if there is none, after a wait if
    /// the last one died early.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub async fn live(&self) -> Result<Arc<Live>, Failure> {
        let mut state = self.state.lock().await;
        self.used.now();
        let wanted = self.wanted();
        match &state.live {
            Some(live) if live.connection.is_closed() => state.bury(),
            Some(live) if live.reach.covers(&wanted) => return Ok(live.clone()),
            Some(_) => self.replace(&mut state).await,
            None => {}
        }
        match self.begin(&mut state, wanted.clone()).await {
            // One that was killed just then is like one that is killed a moment later: no reason for a job
            // to wait for a person. One that dies so again is.
            Err(launch::Error::Died(why)) => {
                tracing::warn!(why, "a worker died as it started; another one is started");
                Ok(self.begin(&mut state, wanted).await?)
            }
            begun => Ok(begun?),
        }
    }

    async fn begin(&self, state: &mut State, wanted: Reach) -> Result<Arc<Live>, launch::Error> {
        if let Some(wait) = backoff(state.early_deaths) {
            tokio::time::sleep(wait).await;
        }
        state.generation += 1;
        state.started = Some(Instant::now());
        let started = self.start(state.generation, wanted).await;
        let live = Arc::new(started.inspect_err(|_| {
            state.early_deaths = state.early_deaths.saturating_add(1);
        })?);
        state.live = Some(live.clone());
        *self.running() = Arc::downgrade(&live);
        self.used.started();
        Ok(live)
    }

    fn running(&self) -> MutexGuard<'_, Weak<Live>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a worker away that failed a call; the next [`Workers::live`] starts another.
    pub async fn retire(&self, live: &Live, failure: &Failure) {
        let mut state = self.state.lock().await;
        let current = state.live.as_ref();
        if current.is_none_or(|current| current.generation != live.generation) {
            return;
        }
        match failure.is_unfenced() {
            true => self.replace(&mut state).await,
            false => state.bury(),
        }
    }

    /// Opens an account's state in a running worker.
    ///
    /// # Errors
    /// When no worker can be started, or the worker refuses.
    pub async fn attach(&self, spec: &AccountSpec) -> Result<(Arc<Live>, Attached), Failure> {
        self.call_about(&spec.id, |live| {
            let spec = spec.clone();
            Box::pin(async move { Ok((live.clone(), live.attach(spec).await?)) })
        })
        .await
    }

    /// Asks a worker about an account, which it opened first; again, on a new one, if it dies over
    /// it.
    ///
    /// # Errors
    /// The worker's, or [`Failure::WorkerDies`].
    pub async fn ask<T: Said>(
        &self,
        spec: AccountSpec,
        ask: impl Fn(Arc<Live>, String) -> Later<'static, mooring_wire::Result<T>>
        + Clone
        + Send
        + Sync
        + 'static,
    ) -> Result<T, Failure> {
        let id = spec.id.clone();
        self.call_about(&id, |live| {
            let (spec, ask) = (spec.clone(), ask.clone());
            Box::pin(async move {
                let id = spec.id.clone();
                live.attach(spec).await?;
                Ok(ask(live, id).await?)
            })
        })
        .await
    }

    /// Calls a worker; again, on a new one, if it dies over the call.
    ///
    /// # Errors
    /// The worker's, or [`Failure::WorkerDies`].
    pub async fn call<T: Said>(
        &self,
        call: impl Fn(Arc<Live>) -> Later<'static, Result<T, Failure>> + Sync,
    ) -> Result<T, Failure> {
        self.call_about("", call).await
    }

    /// The same about an account; not again once that is given up.
    ///
    /// # Errors
    /// As [`Workers::call`]; [`Failure::Ended`].
    pub async fn call_about<T: Said>(
        &self,
        account: &str,
        call: impl Fn(Arc<Live>) -> Later<'static, Result<T, Failure>> + Sync,
    ) -> Result<T, Failure> {
        let (mut deaths, mut replacements) = (0, 0);
        loop {
            let live = self.live().await?;
            let called = call(live.clone()).await;
            self.used.now();
            let failure = match called {
                Ok(mut said) => {
                    said.hold();
                    return Ok(said);
                }
                Err(failure) if failure.calls_for_another_worker() => failure,
                Err(failure) => return Err(failure),
            };
            if live.is_replaced() && replacements < MAX_REPLACEMENTS {
                replacements += 1;
                continue;
            }
            if self.is_given_up(account) {
                return Err(Failure::Ended);
            }
            let generation = live.generation;
            tracing::warn!(error = %failure, generation, "another worker is needed");
            self.retire(&live, &failure).await;
            deaths += 1;
            match deaths {
                MAX_DEATHS if failure.is_unfenced() => return Err(failure),
                MAX_DEATHS => return Err(Failure::WorkerDies(MAX_DEATHS)),
                _ => {}
            }
        }
    }

    /// Asks the running worker, if any, to stop an account's operation. That it cannot be asked
    /// is logged: the operation then ends with its worker. Waits for no worker that is only being
    /// started: whoever interrupts does not poll what waits for that one.
    pub async fn interrupt(&self, account: &str) {
        let Some(live) = self.running().upgrade() else {
            return;
        };
        match tokio::time::timeout(INTERRUPT_TIMEOUT, live.proxy().interrupt(account)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, account, "the worker cannot be interrupted"),
            Err(_) => tracing::warn!(account, "the worker does not answer an interruption"),
        }
    }

    fn given_up(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no call about an account is to be made once more.
    pub fn is_given_up(&self, account: &str) -> bool {
        self.given_up().contains(account)
    }

    /// Lets go of the worker, which hangs over an account, and makes no call about that one once more until
    /// something is done.
    pub async fn give_up_until<T>(&self, account: &str, done: impl Future<Output = T>) -> T {
        self.given_up().insert(account.to_owned());
        self.drop_running().await;
        let done = done.await;
        self.given_up().remove(account);
        done
    }

    /// Lets go of a worker that hangs, without a wait for it: whoever asked it something hears that it is
    /// gone.
    pub async fn drop_running(&self) {
        let Some(live) = self.running().upgrade() else {
            return;
        };
        // Ends every call, and the worker when it notices; then its place is free.
        let _ = live.connection.clone().close().await;
        let held = tokio::time::timeout(INTERRUPT_TIMEOUT, self.state.lock()).await;
        if let Ok(mut state) = held {
            let current = state.live.as_ref();
            if current.is_some_and(|current| current.generation == live.generation) {
                state.bury();
            }
        }
    }

    /// Ends the worker: closes the connection and waits, a bounded time, for the process.
    pub async fn stop(&self) {
        let Some(live) = self.state.lock().await.live.take() else {
            return;
        };
        rest::end(&live).await;
    }
}

impl State {
    /// Drops the worker (which kills it) and remembers whether it died early.
    fn bury(&mut self) {
        self.live = None;
        let early = self
            .started
            .is_some_and(|started| started.elapsed() < STABLE);
        self.early_deaths = if early {
            self.early_deaths.saturating_add(1)
        } else {
            0
        };
    }
}

/// The wait before the next start; none after a worker that did not die early.
fn backoff(early_deaths: u32) -> Option<Duration> {
    let doublings = early_deaths.checked_sub(1)?;
    let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
    Some(FIRST_BACKOFF.saturating_mul(factor).min(MAX_BACKOFF))
}
