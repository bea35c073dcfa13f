//! Starts workers. Where a worker comes from is behind one trait: a child of the broker in
//! session mode, a unit of the service manager when the broker serves many people.

pub mod unit;

use std::env;
use std::ffi::OsStr;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use mooring_core::receipt::readable;
use mooring_wire::reach::Reach;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

pub use unit::UnitLauncher;

/// How long a worker may take to end by itself when its connection is gone.
const GRACE: Duration = Duration::from_secs(3);
/// How long a worker may take to hear which places it may reach.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
/// Variables that a worker gets; all others are kept from it. `XDG_*` goes too.
const PASSED: [&str; 6] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "MOORING_LOG",
    "MOORING_FAULT",
];
/// The worker's file name.
const NAME: &str = "mooring-worker";

/// Why no worker could be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program cannot be run.
    #[error("the worker {} cannot be started: {source}", path.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The socket pair cannot be made.
    #[error("no socket for a worker: {0}")]
    Socket(#[from] std::io::Error),
    /// The service manager does not start it.
    #[error("systemd does not start {unit}: {why}")]
    Unit {
        /// The unit.
        unit: String,
        /// What it said, or did not say.
        why: String,
    },
    /// The worker was gone before it had said anything that makes sense.
    #[error("the worker ended as it started: {}", readable(_0.as_bytes()))]
    Died(String),
    /// The worker does not speak, or not our language.
    #[error("the worker {0}")]
    Handshake(String),
}

/// A future behind a trait.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A worker that has been started.
pub struct Launched {
    /// Our end of the connection to it.
    pub stream: UnixStream,
    /// Its life: dropped, the worker is killed.
    pub life: Box<dyn Life>,
}

/// Holds a worker's process.
pub trait Life: Send + Sync {
    /// Waits, a bounded time, for the process to end by itself; kills it then.
    fn end(self: Box<Self>) -> Later<'static, ()>;
}

/// Starts workers.
pub trait Launcher: Send + Sync + 'static {
    /// Starts the worker of a user, who may reach these places.
    fn launch(&self, uid: u32, reach: &Reach) -> Later<'_, Result<Launched, Error>>;
}

/// Starts workers as children, connected by their standard input.
#[derive(Debug, Clone)]
pub struct ChildLauncher {
    program: PathBuf,
}

impl ChildLauncher {
    /// Finds the worker: `$MOORING_WORKER`, or beside our own program, or in the folder that was
    /// given when this was built.
    pub fn find() -> Self {
        let named = env::var_os("MOORING_WORKER").map(PathBuf::from);
        let beside = env::current_exe().ok().map(|own| own.with_file_name(NAME));
        let installed = option_env!("LIBEXECDIR").map(|folder| PathBuf::from(folder).join(NAME));
        let program = named
            .or_else(|| {
                [beside, installed]
                    .into_iter()
                    .flatten()
                    .find(|path| path.is_file())
            })
            .unwrap_or_else(|| PathBuf::from(NAME));
        Self { program }
    }

    fn spawn(&self) -> Result<Launched, Error> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(&self.program)
            .env_clear()
            .envs(env::vars_os().filter(|(name, _)| is_passed(name)))
            .envs(ALLOCATOR)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Spawn {
                path: self.program.clone(),
                source,
            })?;
        tracing::debug!(pid = child.id(), "started a worker");
        Ok(Launched {
            stream: ours,
            life: Box::new(ChildLife(child)),
        })
    }
}

impl Launcher for ChildLauncher {
    fn launch(&self, _uid: u32, reach: &Reach) -> Later<'_, Result<Launched, Error>> {
        // A child has our own user: in session mode there is no other.
        let reach = reach.to_bytes();
        Box::pin(async move { tell(self.spawn()?, &reach?).await })
    }
}

struct ChildLife(Child);

impl Life for ChildLife {
    fn end(mut self: Box<Self>) -> Later<'static, ()> {
        Box::pin(async move {
            match tokio::time::timeout(GRACE, self.0.wait()).await {
                Ok(Ok(status)) => tracing::debug!(%status, "the worker ended"),
                Ok(Err(error)) => tracing::warn!(%error, "the worker cannot be waited for"),
                Err(_) => {
                    tracing::warn!("the worker does not end; it is killed");
                    // One that hangs in the kernel ends when that lets it: nobody waits for it.
                    if let Err(error) = self.0.start_kill() {
                        tracing::warn!(%error, "the worker cannot be killed");
                    }
                    if tokio::time::timeout(GRACE, self.0.wait()).await.is_err() {
                        tracing::warn!("the worker hangs in the kernel; it is left to that");
                    }
                }
            }
        })
    }
}

/// Tells a worker that was started which places it may reach.
async fn tell(launched: Launched, reach: &[u8]) -> Result<Launched, Error> {
    let Launched { stream, life } = launched;
    stream.set_nonblocking(true)?;
    let mut stream = tokio::net::UnixStream::from_std(stream)?;
    match tokio::time::timeout(TELL_TIMEOUT, stream.write_all(reach)).await {
        Ok(told) => told.map_err(|e| Error::Died(e.to_string()))?,
        Err(_) => return Err(Error::Handshake("does not listen".to_owned())),
    }
    let stream = stream.into_std()?;
    Ok(Launched { stream, life })
}

/// What the C library's allocator is told (mallopt(3)): what a large folder took goes back to the
/// system, and a thread that ended holds no arena. Of 100,000 files in one folder a worker took three
/// times as much without it. The unit of workers says the same.
const ALLOCATOR: [(&str, &str); 2] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "4194304"),
];

fn is_passed(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| PASSED.contains(&name) || name.starts_with("XDG_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_workers_tells_the_allocator_the_same() {
        let unit = include_str!("../../systemd/system/mooring-worker@.service");
        let told = ALLOCATOR.map(|(name, value)| format!("{name}={value}"));
        let line = format!("Environment={}", told.join(" "));
        assert!(unit.lines().any(|there| there == line), "no {line}");
    }
}
