//! `mooring-worker`: started by the broker with a socket as its standard input, and gone when the
//! broker is. It holds no secret, and does only what the broker asks for.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use mooring_wire::fault;
use mooring_wire::reach::Reach;
use mooring_worker::fence::Fence;
use mooring_worker::service::{Service, make_private, send_changes, send_progress};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::sync::mpsc;

/// Where the broker of system mode waits for workers.
const BROKER: &str = "/run/mooring/worker.sock";
/// How long the broker may take to say which places the worker may reach.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Progress that may wait for the broker.
const PROGRESS_AHEAD: usize = 64;
/// Changes that may wait for the broker; whoever notices more waits too.
const CHANGES_AHEAD: usize = 64;
/// Files open at once, where the system allows it.
const OPEN_FILES: u64 = 16 * 1024;

fn main() -> ExitCode {
    mooring_wire::logging::start();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    nix::sys::prctl::set_dumpable(false)?;
    // Every file and folder is made with the mode it is to have, a person's own folders included.
    // What is Mooring's lies below folders that are closed to others.
    umask(Mode::empty());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(
        Resource::RLIMIT_NOFILE,
        OPEN_FILES.clamp(soft, hard.max(soft)),
        hard,
    )?;

    let broker = broker()?;
    let home = PathBuf::from(std::env::var_os("HOME").ok_or("HOME is not set")?);
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| home.join(".local/state"));
    let states = state.join("mooring/accounts");
    let fence = fence(&broker, &home, &states)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(broker, home, states, fence))
}

/// Fences the process in: before anything is read that others wrote, and while there is one thread.
fn fence(
    broker: &UnixStream,
    home: &Path,
    states: &Path,
) -> Result<Fence, Box<dyn std::error::Error>> {
    broker.set_read_timeout(Some(REACH_TIMEOUT))?;
    let reach = Reach::read_from(broker).map_err(|e| format!("what may be reached: {e}"))?;
    broker.set_read_timeout(None)?;
    if let Err(error) = make_private(states) {
        // As when the home is not mounted. Whoever needs the folder says so.
        tracing::debug!(%error, folder = %states.display(), "not made yet");
    }
    let fence = Fence::put_up(&reach, home, states).map_err(|e| format!("no fence: {e}"))?;
    let fenced = fence.fenced();
    tracing::debug!(holds = fenced.holds, "{}", fenced.message);
    fault::try_to_read();
    Ok(fence)
}

/// The connection to the broker: its socket in system mode, else the one it was started with.
fn broker() -> Result<UnixStream, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (None, _) => {
            let stdin = io::stdin().as_fd().try_clone_to_owned()?;
            let broker = UnixStream::from(stdin);
            match broker.peer_addr() {
                Ok(_) => Ok(broker),
                Err(_) => Err(
                    "mooring-worker is started by mooringd, not by hand: its standard \
                               input must be the broker's socket"
                        .into(),
                ),
            }
        }
        (Some(flag), None) if flag == "--system" => {
            // As root it could do more than any person, with files of any person.
            if nix::unistd::geteuid().is_root() {
                return Err("mooring-worker does not run as root".into());
            }
            UnixStream::connect(BROKER).map_err(|e| format!("{BROKER}: {e}").into())
        }
        (Some(other), _) => {
            let other = other.to_string_lossy();
            Err(format!("{other}: mooring-worker knows --system and nothing else").into())
        }
    }
}

async fn serve(
    broker: UnixStream,
    home: PathBuf,
    states: PathBuf,
    fence: Fence,
) -> Result<(), Box<dyn std::error::Error>> {
    let (progress, told) = mpsc::channel(PROGRESS_AHEAD);
    let (changes, changed) = mpsc::channel(CHANGES_AHEAD);
    let connection = zbus::connection::Builder::unix_stream(broker)
        .server(zbus::Guid::generate())
        .p2p()
        .serve_at(
            mooring_wire::WORKER_PATH,
            Service::new(home, states, fence, progress, changes),
        )
        .build()
        .await?;
    tokio::select! {
        () = connection.closed() => {}
        result = send_progress(&connection, told) => result?,
        result = send_changes(&connection, changed) => result?,
    }
    // Without a broker nothing may go on, and everything can be taken up again: work that is
    // under way on other threads ends here, as if the power had gone.
    std::process::exit(0)
}
