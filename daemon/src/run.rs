//! The life of the daemon: start, serve, reload, stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mooring_core::identity::Cost;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::broker::{Broker, Parts};
use crate::bus;
use crate::clock::{Clock, SystemClock};
use crate::failure::Failure;
use crate::folders::{Folders, Mode, STATE};
use crate::keys;
use crate::launch::unit::SOCKET;
use crate::launch::{ChildLauncher, UnitLauncher};
use crate::lock::Lock;
use crate::notify::{Manager, State};
use crate::people::{ADMINISTRATOR, Many, People};
use crate::rules::{self, Device, Watch};
use crate::store::Store;

/// How long stopping may take in all.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a password that is being checked may hold up the end.
const BLOCKING_TIMEOUT: Duration = Duration::from_millis(500);

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// Reads configuration and policy and tells what is wrong.
pub fn check_config(mode: Mode) -> ExitCode {
    let folders = match mode {
        Mode::System => Folders::system(ADMINISTRATOR),
        Mode::Session => match Folders::session(|name| std::env::var_os(name)) {
            Ok(folders) => folders,
            Err(error) => return say(&error.into()),
        },
    };
    let problems = rules::check(&folders, SystemClock.now());
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs for one person on the session bus, or for everybody on the system bus, until told to stop.
pub fn run(mode: Mode) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return say(&error.into()),
    };
    let ended = runtime.block_on(serve(mode));
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

async fn serve(mode: Mode) -> Result<(), Anything> {
    // Before anything can be asked of us: from the first moment a signal ends us tidily.
    let signals = Signals::catch()?;
    let manager = Manager::from_env();
    let bus = match mode {
        Mode::Session => zbus::connection::Builder::session(),
        Mode::System => zbus::connection::Builder::system(),
    };
    let connect = bus.runtime(bus::pace::Paced::default()).build();
    // Held to the end: one broker a person, or a device.
    let (people, _lock, watch, connection) = match mode {
        Mode::Session => {
            let folders = Folders::session(|name| std::env::var_os(name))?;
            folders.make()?;
            let lock = Lock::take(&folders.state)?;
            let watch = watch(&folders);
            let broker = session(&folders).await?;
            (People::One(broker), lock, watch, connect.await?)
        }
        Mode::System => {
            let lock = Lock::take(Path::new(STATE))?;
            let watch = watch(&Folders::system(ADMINISTRATOR));
            let connection = connect.await?;
            let launcher = UnitLauncher::listen(connection.clone(), Path::new(SOCKET))
                .map_err(|e| format!("{SOCKET}: {e}"))?;
            let people = People::Many(Many::load(Arc::new(launcher))?);
            (people, lock, watch, connection)
        }
    };
    let people = Arc::new(people);
    let serving = bus::serve(&connection, people.clone()).await?;
    manager.tell(State::Ready);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        mode = mode.name(),
        "ready"
    );
    let ended = tokio::select! {
        ended = until_told(&people, watch, &manager, signals) => ended,
        ended = serving.run() => ended.map_err(untold),
        never = manager.beat() => match never {},
        () = connection.closed() => Err(lost(None).into()),
    };
    manager.tell(State::Stopping);
    tracing::info!("stops");
    if tokio::time::timeout(STOP_TIMEOUT, people.stop())
        .await
        .is_err()
    {
        tracing::warn!("a worker does not end; it is left to its closed connection");
    }
    ended
}

async fn session(folders: &Folders) -> Result<Arc<Broker>, Failure> {
    let store = Arc::new(Store::open(&folders.state.join("broker.db"))?);
    keys::unlock(Mode::Session, folders, &store).await;
    let rules = Device::load(folders.clone(), store.clone(), SystemClock.now())?;
    Broker::new(Parts {
        mode: Mode::Session,
        store,
        rules,
        folders: folders.clone(),
        clock: Arc::new(SystemClock),
        launcher: Arc::new(ChildLauncher::find()),
        cost: Cost::REAL,
        uid: nix::unistd::getuid().as_raw(),
        system_bus: None,
        numbers: Arc::default(),
    })
}

/// Why something could not be told. A message that finds the bus gone may notice it before the
/// connection does.
fn untold(error: zbus::Error) -> Anything {
    match error {
        zbus::Error::InputOutput(error) => lost(Some(&error)).into(),
        error => error.into(),
    }
}

/// That the bus is gone, and how many descriptors there are: who runs out of them loses what comes
/// with messages, and the messages after it.
fn lost(error: Option<&std::io::Error>) -> String {
    let mut lost = "the connection to the bus is lost".to_owned();
    if let Some(error) = error {
        lost = format!("{lost}: {error}");
    }
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

/// Watches the files of configuration and policy. From before they are read for the first time: what is
/// written between the two is noticed.
fn watch(folders: &Folders) -> Option<Watch> {
    match Watch::start(folders) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::warn!(%error, "changes of the configuration are not noticed by themselves");
            None
        }
    }
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

/// Reloads when asked to, when files change or expire; ends when told to stop.
async fn until_told(
    people: &People,
    mut watch: Option<Watch>,
    manager: &Manager,
    mut signals: Signals,
) -> Result<(), Anything> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hang_up.recv() => {}
            () = people.bundle_expires() => {}
            going_on = changed(&mut watch) => {
                if !going_on {
                    tracing::warn!("watching the configuration has ended");
                    watch = None;
                }
            }
        }
        manager.tell(State::Reloading);
        if let Err(error) = people.reload() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_finds_no_bus_says_that_the_bus_is_lost() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let said = untold(zbus::Error::InputOutput(Arc::new(broken))).to_string();
        assert!(
            said.starts_with("the connection to the bus is lost: broken pipe"),
            "{said}"
        );
        let other = untold(zbus::Error::NameTaken).to_string();
        assert!(!other.contains("lost"), "{other}");
    }
}
