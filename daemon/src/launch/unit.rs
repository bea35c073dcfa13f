//! Workers as units of systemd: one a person, `mooring-worker@UID.service`, with that person's
//! rights and a sandbox of its own. A child of the broker would have the broker's.
//!
//! The worker connects to [`SOCKET`], which everybody can: who it is, is asked of the kernel
//! (`SO_PEERCRED`, unix(7)) and of systemd, and never of the peer.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{UnixListener, unix::UCred};
use tokio::sync::oneshot;
use zbus::{Connection, OwnedObjectPath};

use super::{Error, Later, Launched, Launcher, Life};

/// Where workers come to.
pub const SOCKET: &str = "/run/mooring/worker.sock";
/// How long systemd and the worker together may take until it has connected.
const START_TIMEOUT: Duration = Duration::from_secs(15);
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

/// Who waits for the worker of which user.
#[derive(Default)]
struct Waiting(Mutex<BTreeMap<u32, oneshot::Sender<UnixStream>>>);

impl Waiting {
    fn all(&self) -> MutexGuard<'_, BTreeMap<u32, oneshot::Sender<UnixStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (sender, connected) = oneshot::channel();
        self.waiting.all().insert(uid, sender);
        let begun = async {
            let systemd = SystemdProxy::new(&self.bus).await?;
            // One of an earlier broker may still be about to end.
            systemd.restart_unit(&unit, "replace").await
        };
        begun.await.map_err(|e| fail(e.to_string()))?;
        let late = || {
            fail(format!(
                "it did not connect within {} s; see: journalctl -u {unit}",
                START_TIMEOUT.as_secs()
            ))
        };
        let stream = tokio::time::timeout(START_TIMEOUT, connected)
            .await
            .map_err(|_| late())?
            .map_err(|_| fail("it was started anew meanwhile".to_owned()))?;
        Ok(Launched {
            stream,
            life: Box::new(UnitLife {
                bus: self.bus.clone(),
                unit,
            }),
        })
    }
}

impl Launcher for UnitLauncher {
    fn launch(&self, uid: u32) -> Later<'_, Result<Launched, Error>> {
        Box::pin(self.start(uid))
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
        tokio::spawn(async move {
            let _place = place;
            if let Err(why) = take_in(stream, &bus, &waiting).await {
                tracing::warn!(why, "somebody who is no worker connected");
            }
        });
    }
}

/// Hands a worker to whoever waits for it, once it is known to be one.
async fn take_in(
    stream: tokio::net::UnixStream,
    bus: &Connection,
    waiting: &Waiting,
) -> Result<(), String> {
    let peer = stream.peer_cred().map_err(|e| e.to_string())?;
    let uid = peer.uid();
    if !waiting.all().contains_key(&uid) {
        return Err(format!("no worker of user {uid} is waited for"));
    }
    match tokio::time::timeout(ASK_TIMEOUT, is_worker(bus, &peer)).await {
        Ok(is) => is?,
        Err(_) => return Err("systemd does not answer".to_owned()),
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

fn unit_of(uid: u32) -> String {
    format!("mooring-worker@{uid}.service")
}
