//! The life of the worker: started when first needed, asked its version, started again when it
//! dies. Calls to it are [`mooring_wire::WorkerProxy`]'s; what is lost with a worker is its
//! proofs, and [`Live::generation`] tells when that happened. One that has nothing to do is ended.

mod kept;
mod rest;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mooring_wire::{AccountSpec, Attached, Progress, VERSION, WorkerProxy};
use tokio::sync::Mutex;
use tokio::time::Instant;
use zbus::export::ordered_stream::OrderedStreamExt;

use crate::failure::Failure;
use crate::launch::{self, Later, Launched, Launcher, Life};

use kept::Kept;
pub use rest::Rest;

/// A call needs a destination, which a peer on the other end of a socket does not look at.
const PEER: &str = "org.mooring1.Worker";
/// How long a new worker has to authenticate and to answer its version.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// The first wait before a worker is started again; it doubles with each early death.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait before a worker is started again.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A worker that lived this long did not die early.
const STABLE: Duration = Duration::from_secs(30);
/// How often one call is repeated on a new worker before it fails.
pub const MAX_DEATHS: u32 = 5;
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

/// Tells that a worker is gone, in whatever way listening to it ends; unless it left in order.
struct TellsGone(Listener, Arc<AtomicBool>);

impl Drop for TellsGone {
    fn drop(&mut self) {
        if !self.1.load(Ordering::Acquire) {
            (self.0)(Heard::Gone);
        }
    }
}

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
    kept: Arc<Kept>,
}

impl Live {
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
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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
    state: Mutex<State>,
    kept: Arc<Kept>,
    used: rest::Used,
}

impl Workers {
    /// A worker that is not started yet.
    pub fn new(launcher: Arc<dyn Launcher>, uid: u32, listener: Listener) -> Self {
        let kept = Arc::new(Kept::new(uid, listener.clone()));
        Self {
            launcher,
            uid,
            listener,
            state: Mutex::default(),
            kept,
            used: rest::Used::default(),
        }
    }

    /// The running worker; started if there is none, after a wait if the last one died early.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub async fn live(&self) -> Result<Arc<Live>, Failure> {
        let mut state = self.state.lock().await;
        self.used.now();
        if let Some(live) = &state.live {
            if !live.connection.is_closed() {
                return Ok(live.clone());
            }
            state.bury();
        }
        if let Some(wait) = backoff(state.early_deaths) {
            tokio::time::sleep(wait).await;
        }
        state.generation += 1;
        state.started = Some(Instant::now());
        match self.start(state.generation).await {
            Ok(live) => {
                let live = Arc::new(live);
                state.live = Some(live.clone());
                self.used.started();
                Ok(live)
            }
            Err(error) => {
                state.early_deaths = state.early_deaths.saturating_add(1);
                Err(error.into())
            }
        }
    }

    /// Puts a worker away that failed a call; the next [`Workers::live`] starts another.
    pub async fn retire(&self, live: &Live) {
        let mut state = self.state.lock().await;
        if state
            .live
            .as_ref()
            .is_some_and(|current| current.generation == live.generation)
        {
            state.bury();
        }
    }

    /// Opens an account's state in a running worker.
    ///
    /// # Errors
    /// When no worker can be started, or the worker refuses.
    pub async fn attach(&self, spec: &AccountSpec) -> Result<(Arc<Live>, Attached), Failure> {
        self.call(|live| {
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
    pub async fn ask<T>(
        &self,
        spec: AccountSpec,
        ask: impl Fn(Arc<Live>, String) -> Later<'static, mooring_wire::Result<T>>
        + Clone
        + Send
        + Sync
        + 'static,
    ) -> Result<T, Failure> {
        self.call(|live| {
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
    pub async fn call<T>(
        &self,
        call: impl Fn(Arc<Live>) -> Later<'static, Result<T, Failure>> + Sync,
    ) -> Result<T, Failure> {
        for _ in 0..MAX_DEATHS {
            let live = self.live().await?;
            let called = call(live.clone()).await;
            self.used.now();
            match called {
                Err(death) if death.is_death() => {
                    tracing::warn!(error = %death, generation = live.generation, "the worker is gone");
                    self.retire(&live).await;
                }
                other => return other,
            }
        }
        Err(Failure::WorkerDies(MAX_DEATHS))
    }

    /// Asks the running worker, if any, to stop an account's operation. That it cannot be asked
    /// is logged: the operation then ends with its worker.
    pub async fn interrupt(&self, account: &str) {
        let Some(live) = self.state.lock().await.live.clone() else {
            return;
        };
        match tokio::time::timeout(INTERRUPT_TIMEOUT, live.proxy().interrupt(account)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, account, "the worker cannot be interrupted"),
            Err(_) => tracing::warn!(account, "the worker does not answer an interruption"),
        }
    }

    /// Ends the worker: closes the connection and waits, a bounded time, for the process.
    pub async fn stop(&self) {
        let Some(live) = self.state.lock().await.live.take() else {
            return;
        };
        rest::end(&live).await;
    }

    async fn start(&self, generation: u64) -> Result<Live, launch::Error> {
        let Launched { stream, life } = self.launcher.launch(self.uid).await?;
        let talk = async {
            let connection = connect(stream).await?;
            let proxy = WorkerProxy::new(&connection, PEER).await?;
            let progress = proxy.receive_progressed().await?;
            let changes = proxy.receive_changed().await?;
            let version = proxy
                .hello()
                .await
                .map_err(|e| zbus::Error::Failure(e.message()))?;
            Ok::<_, zbus::Error>((connection, proxy, progress, changes, version))
        };
        let (connection, proxy, mut progress, mut changes, version) =
            match tokio::time::timeout(START_TIMEOUT, talk).await {
                Ok(Ok(talked)) => talked,
                Ok(Err(error)) => return Err(handshake(format!("does not answer: {error}"))),
                Err(_) => return Err(handshake("does not answer in time".to_owned())),
            };
        if version != VERSION {
            return Err(handshake(format!(
                "is of version {version}, and this broker of {VERSION}"
            )));
        }
        let left = Arc::<AtomicBool>::default();
        let gone = TellsGone(self.listener.clone(), left.clone());
        let listening = tokio::spawn(async move {
            let tell = |heard: zbus::Result<Heard<'_>>| match heard {
                Ok(heard) => (gone.0)(heard),
                Err(error) => tracing::warn!(%error, "an unreadable signal of the worker"),
            };
            loop {
                tokio::select! {
                    Some(signal) = progress.next() => {
                        let args = signal.args();
                        tell(args.map(|args| Heard::Progressed(args.account, args.progress)));
                    }
                    Some(signal) = changes.next() => {
                        tell(signal.args().map(|args| Heard::Changed(args.account)));
                    }
                    else => return,
                }
            }
        })
        .abort_handle();
        let life = std::sync::Mutex::new(Some(life));
        Ok(Live {
            generation,
            connection,
            proxy,
            life,
            listening,
            left,
            kept: self.kept.clone(),
        })
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

async fn connect(stream: std::os::unix::net::UnixStream) -> zbus::Result<zbus::Connection> {
    let guid = zbus::Guid::generate();
    zbus::connection::Builder::unix_stream(stream)
        .server(guid)
        .p2p()
        .build()
        .await
}

fn handshake(what: String) -> launch::Error {
    launch::Error::Handshake(what)
}

/// The wait before the next start; none after a worker that did not die early.
fn backoff(early_deaths: u32) -> Option<Duration> {
    let doublings = early_deaths.checked_sub(1)?;
    let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
    Some(FIRST_BACKOFF.saturating_mul(factor).min(MAX_BACKOFF))
}
