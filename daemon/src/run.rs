//! The life of the daemon: start, serve, reload, stop.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mooring_core::identity::Cost;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::broker::{Broker, Parts};
use crate::clock::SystemClock;
use crate::folders::{Folders, Mode};
use crate::launch::ChildLauncher;
use crate::lock::Lock;
use crate::notify::{Manager, State};
use crate::rules::{self, Watch};
use crate::store::Store;
use crate::{bus, launch};

/// How long stopping may take in all.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a password that is being checked may hold up the end.
const BLOCKING_TIMEOUT: Duration = Duration::from_millis(500);

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// Reads configuration and policy and tells what is wrong.
pub fn check_config() -> ExitCode {
    let folders = match Folders::session(|name| std::env::var_os(name)) {
        Ok(folders) => folders,
        Err(error) => return say(&error.into()),
    };
    let problems = rules::check(&folders);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs for one person, on the session bus, until told to stop.
pub fn session() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return say(&error.into()),
    };
    let ended = runtime.block_on(serve());
    runtime.shutdown_timeout(BLOCKING_TIMEOUT);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(&error),
    }
}

fn say(error: &Anything) -> ExitCode {
    eprintln!("mooringd: {error}");
    ExitCode::FAILURE
}

async fn serve() -> Result<(), Anything> {
    // Before anything can be asked of us: from the first moment a signal ends us tidily.
    let signals = Signals::catch()?;
    let folders = Folders::session(|name| std::env::var_os(name))?;
    folders.make()?;
    // Held to the end: one broker a person.
    let _lock = Lock::take(&folders.state)?;
    let broker = Broker::new(Parts {
        mode: Mode::Session,
        store: Store::open(&folders.state.join("broker.db"))?,
        folders,
        clock: Arc::new(SystemClock),
        launcher: Box::new(launcher()),
        cost: Cost::REAL,
        uid: nix::unistd::getuid().as_raw(),
        system_bus: None,
    })?;
    let manager = Manager::from_env();
    let connection = zbus::connection::Builder::session().build().await?;
    let publisher = bus::serve(&connection, &broker).await?;
    manager.tell(State::Ready);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    let ended = tokio::select! {
        ended = until_told(&broker, &manager, signals) => ended,
        ended = publisher.run() => ended.map_err(Into::into),
        () = connection.closed() => Err(lost().into()),
    };
    manager.tell(State::Stopping);
    tracing::info!("stops");
    if tokio::time::timeout(STOP_TIMEOUT, broker.stop())
        .await
        .is_err()
    {
        tracing::warn!("the worker does not end; it is left to its closed connection");
    }
    ended
}

/// That the bus is gone, and how many descriptors there are: who runs out of them loses what comes
/// with messages, and the messages after it.
fn lost() -> String {
    let lost = "the connection to the bus is lost".to_owned();
    let limits = std::fs::read_to_string("/proc/self/limits");
    let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    match (open, limits) {
        (Ok(open), Ok(limits)) => {
            let most = limits
                .lines()
                .find_map(|line| line.strip_prefix("Max open files"));
            let most = most.and_then(|line| line.split_whitespace().next());
            format!(
                "{lost} ({open} of {} file descriptors are open)",
                most.unwrap_or("?")
            )
        }
        // Both need a descriptor themselves.
        (Err(error), _) | (_, Err(error)) => format!("{lost}, and file descriptors: {error}"),
    }
}

fn launcher() -> impl launch::Launcher {
    ChildLauncher::find()
}

/// The signals that mean something to the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// Reloads when asked to or when files change; ends when told to stop.
async fn until_told(
    broker: &Broker,
    manager: &Manager,
    mut signals: Signals,
) -> Result<(), Anything> {
    let mut watch = match Watch::start(&broker.folders) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::warn!(%error, "changes of the configuration are not noticed by themselves");
            None
        }
    };
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hang_up.recv() => {}
            going_on = changed(&mut watch) => {
                if !going_on {
                    tracing::warn!("watching the configuration has ended");
                    watch = None;
                }
            }
        }
        manager.tell(State::Reloading);
        if let Err(error) = broker.reload() {
            tracing::error!(%error, "configuration and policy stay as they were");
        }
        manager.tell(State::Ready);
    }
}

async fn changed(watch: &mut Option<Watch>) -> bool {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}
