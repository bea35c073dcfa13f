//! Workers as units of systemd: one a person, `mooring-worker@UID.service`, with that person's
//! rights and a sandbox of its own. A child of the broker would have the broker's.
//!
//! The worker connects to [`SOCKET`], which everybody can: who it is, is asked of the kernel
//! (`SO_PEERCRED`, unix(7)) and of systemd, and never of the peer.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mooring_wire::reach::Reach;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use tokio::net::{UnixListener, UnixStream as Stream, unix::UCred};
use tokio::sync::oneshot;
use tokio::time::Instant;
use zbus::{Connection, OwnedObjectPath};

use super::{Error, Later, Launched, Launcher, Life, tell};

/// Where workers come to.
pub const SOCKET: &str = "/run/mooring/worker.sock";
/// How long it is waited before the start of a worker is asked for once more.
const AGAIN: Duration = Duration::from_secs(8);
/// How long systemd and the worker together may take until it has connected.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long systemd may take to say who a peer is.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// The first wait after a connection that could not be taken.
const RETRY: Duration = Duration::from_millis(100);
/// The most peers that are looked at at once; others wait in the socket's queue.
const MAX_PEERS: usize = 32;

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Systemd {
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(name = "GetUnitByPID")]
    fn get_unit_by_pid(&self, pid: u32) -> zbus::Result<OwnedObjectPath>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
trait Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn id(&self) -> zbus::Result<String>;
}

/// How often it is told that somebody who is no worker connected.
const STRANGERS_EVERY: Duration = Duration::from_secs(60);

/// Who waits for the worker of which user.
#[derive(Default)]
struct Waiting(Mutex<BTreeMap<u32, oneshot::Sender<UnixStream>>>);

/// Somebody who waits; they do no more when this is dropped.
struct Wait<'w> {
    waiting: &'w Waiting,
    uid: u32,
    connected: oneshot::Receiver<UnixStream>,
}

impl Waiting {
    fn all(&self) -> MutexGuard<'_, BTreeMap<u32, oneshot::Sender<UnixStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, uid: u32) -> Wait<'_> {
        let (sender, connected) = oneshot::channel();
        self.all().insert(uid, sender);
        Wait {
            waiting: self,
            uid,
            connected,
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        // Closed first: what is there and open is another's, who began to wait later.
        self.connected.close();
        let mut all = self.waiting.all();
        if all.get(&self.uid).is_some_and(oneshot::Sender::is_closed) {
            all.remove(&self.uid);
        }
    }
}

/// Starts workers as units.
pub struct UnitLauncher {
    bus: Connection,
    waiting: Arc<Waiting>,
    listening: tokio::task::AbortHandle,
}

impl Drop for UnitLauncher {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl UnitLauncher {
    /// Opens the socket to which workers connect.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn listen(bus: Connection, socket: &Path) -> std::io::Result<Self> {
        // One of an earlier process; the folder is ours alone.
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(socket)?;
        // Whoever connects is looked at; connecting alone gives nothing.
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666))?;
        let waiting = Arc::<Waiting>::default();
        let listening = tokio::spawn(accept(listener, bus.clone(), waiting.clone()));
        Ok(Self {
            bus,
            waiting,
            listening: listening.abort_handle(),
        })
    }

    async fn start(&self, uid: u32) -> Result<Launched, Error> {
        let unit = unit_of(uid);
        let fail = |why: String| Error::Unit {
            unit: unit.clone(),
            why,
        };
        let begun = async {
            let systemd = SystemdProxy::new(&self.bus).await?;
            // One of an earlier broker may still be about to end.
            systemd.restart_unit(&unit, "replace").await
        };
        let started = async {
            let mut wait = self.waiting.wait(uid);
            begun.await.map_err(|e| fail(e.to_string()))?;
            loop {
                tokio::select! {
                    connected = &mut wait.connected => {
                        return connected.map_err(|_| fail("it was started anew meanwhile".to_owned()));
                    }
                    () = tokio::time::sleep(AGAIN) => self.start_again(&unit).await,
                }
            }
        };
        let late = |_| {
            fail(format!(
                "it did not connect within {} s; see: journalctl -u {unit}",
                START_TIMEOUT.as_secs()
            ))
        };
        let stream = tokio::time::timeout(START_TIMEOUT, started)
            .await
            .map_err(late)??;
        Ok(Launched {
            stream,
            life: Box::new(UnitLife {
                bus: self.bus.clone(),
                unit,
            }),
        })
    }
}

impl UnitLauncher {
    /// Asks for the start once more: a unit that ended at the very moment may have taken the first wish
    /// with it. Of one that runs or is being started this changes nothing.
    async fn start_again(&self, unit: &str) {
        tracing::warn!(unit, "no worker came; its start is asked for once more");
        let asked = async {
            let systemd = SystemdProxy::new(&self.bus).await?;
            systemd.start_unit(unit, "replace").await
        };
        if let Err(error) = asked.await {
            tracing::warn!(unit, %error, "the unit is not started");
        }
    }
}

impl Launcher for UnitLauncher {
    fn launch(&self, uid: u32, reach: &Reach) -> Later<'_, Result<Launched, Error>> {
        let reach = reach.to_bytes();
        Box::pin(async move { tell(self.start(uid).await?, &reach?).await })
    }
}

/// A running unit. The worker ends by itself when its connection is closed, as it is when this is
/// dropped.
struct UnitLife {
    bus: Connection,
    unit: String,
}

impl Life for UnitLife {
    fn end(self: Box<Self>) -> Later<'static, ()> {
        Box::pin(async move {
            let stopped = async {
                let systemd = SystemdProxy::new(&self.bus).await?;
                systemd.stop_unit(&self.unit, "replace").await
            };
            match tokio::time::timeout(ASK_TIMEOUT, stopped).await {
                Ok(Ok(_)) => tracing::debug!(unit = self.unit, "the worker is stopped"),
                Ok(Err(error)) => {
                    tracing::warn!(unit = self.unit, %error, "the worker is not stopped");
                }
                Err(_) => tracing::warn!(unit = self.unit, "systemd does not answer"),
            }
        })
    }
}

async fn accept(listener: UnixListener, bus: Connection, waiting: Arc<Waiting>) {
    let places = Arc::new(tokio::sync::Semaphore::new(MAX_PEERS));
    let strangers = Arc::<Mutex<Strangers>>::default();
    loop {
        // Never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a worker cannot be taken in");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let (bus, waiting) = (bus.clone(), waiting.clone());
        let strangers = strangers.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Err(why) = take_in(stream, &bus, &waiting).await {
                let mut strangers = strangers.lock().unwrap_or_else(PoisonError::into_inner);
                match strangers.came(Instant::now()) {
                    Some(untold) => {
                        tracing::warn!(why, untold, "somebody who is no worker connected");
                    }
                    None => tracing::debug!(why, "somebody who is no worker connected"),
                }
            }
        });
    }
}

/// Those who connected and are no workers. Anybody can, as often as they like: a line for each would
/// crowd out of the journal what else is told there.
#[derive(Debug, Default)]
struct Strangers {
    told: Option<Instant>,
    untold: u64,
}

impl Strangers {
    /// One more came. Answers, when that is to be told, how many were not told since the last one that
    /// was.
    fn came(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now - told < STRANGERS_EVERY) {
            self.untold += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// Hands a worker to whoever waits for it, once it is known to be one.
async fn take_in(stream: Stream, bus: &Connection, waiting: &Waiting) -> Result<(), String> {
    let peer = stream.peer_cred().map_err(|e| e.to_string())?;
    let uid = peer.uid();
    if !waiting.all().contains_key(&uid) {
        return Err(format!("no worker of user {uid} is waited for"));
    }
    let process = process(&stream)?;
    match tokio::time::timeout(ASK_TIMEOUT, is_worker(bus, &peer)).await {
        Ok(is) => is?,
        Err(_) => return Err("systemd does not answer".to_owned()),
    }
    if let Some(process) = process {
        expect_alive(&process)?;
    }
    let stream = stream.into_std().map_err(|e| e.to_string())?;
    let Some(waits) = waiting.all().remove(&uid) else {
        return Err(format!("the worker of user {uid} came twice"));
    };
    waits
        .send(stream)
        .map_err(|_| format!("the worker of user {uid} came too late"))
}

/// Whether a peer is the process of its user's unit. No other process can be in the unit's control
/// group: only root moves one there.
async fn is_worker(bus: &Connection, peer: &UCred) -> Result<(), String> {
    let unit = unit_of(peer.uid());
    let pid = peer
        .pid()
        .and_then(|pid| u32::try_from(pid).ok())
        .ok_or("the kernel does not say which process it is")?;
    let id = async {
        let path = SystemdProxy::new(bus).await?.get_unit_by_pid(pid).await?;
        let proxy = UnitProxy::builder(bus).path(path).build().await?;
        proxy.id().await
    };
    match id.await {
        Ok(id) if id == unit => Ok(()),
        Ok(id) => Err(format!("process {pid} belongs to {id} and not to {unit}")),
        Err(error) => Err(format!("process {pid}: {error}")),
    }
}

/// The peer's process itself, and not its number, which may be another's when it has ended. None
/// where the kernel (before 6.5) does not give it.
fn process(stream: &Stream) -> Result<Option<OwnedFd>, String> {
    match getsockopt(stream, PeerPidfd) {
        Ok(process) => Ok(Some(process)),
        Err(Errno::ENOPROTOOPT) => Ok(None),
        // ESRCH, or EINVAL from older kernels: it has ended and is waited for already.
        Err(error) => Err(format!("the process that connected: {error}")),
    }
}

/// Passes for a process that has not ended: then what was said of its number was said of it.
fn expect_alive(process: &OwnedFd) -> Result<(), String> {
    // Readable is one that has ended: pidfd_open(2).
    let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    match poll(&mut ended, PollTimeout::ZERO) {
        Ok(0) => Ok(()),
        Ok(_) => Err("the process that connected has ended".to_owned()),
        Err(error) => Err(format!("the process that connected: {error}")),
    }
}

fn unit_of(uid: u32) -> String {
    format!("mooring-worker@{uid}.service")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn who_waits_no_more_is_forgotten_and_nobody_else() {
        let waiting = Waiting::default();
        let first = waiting.wait(1000);
        let other = waiting.wait(1001);
        let second = waiting.wait(1000);
        drop(first);
        assert_eq!(waiting.all().len(), 2, "the second of 1000 waits");
        drop(second);
        assert!(!waiting.all().contains_key(&1000));
        drop(other);
        assert!(waiting.all().is_empty());
    }

    #[test]
    fn of_many_strangers_one_is_told_in_a_minute_and_how_many_more_there_were() {
        let (mut strangers, begin) = (Strangers::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(strangers.came(begin), Some(0));
        assert!((0..1_000).all(|_| strangers.came(at(59)).is_none()));
        assert_eq!(strangers.came(at(60)), Some(1_000));
        assert_eq!(strangers.came(at(61)), None);
        assert_eq!(strangers.came(at(500)), Some(1));
    }

    #[tokio::test]
    async fn a_process_that_ended_is_no_worker() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\n\
                      s.connect(sys.argv[1])\nsys.stdin.read()";
        let mut child = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(&socket)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let Some(process) = process(&stream).unwrap() else {
            eprintln!("this kernel does not give a peer's process");
            child.kill().unwrap();
            child.wait().unwrap();
            return;
        };
        expect_alive(&process).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(expect_alive(&process).is_err());
    }
}
