//! Starting a worker: it is told what it may reach, authenticates, and says which version it is and how
//! far it is fenced in.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mooring_wire::reach::Reach;
use mooring_wire::{VERSION, WorkerProxy};
use zbus::export::ordered_stream::OrderedStreamExt;

use super::{Heard, Listener, Live, Said, Workers, shorten};
use crate::failure::Failure;
use crate::launch::{self, Launched};

/// A call needs a destination, which a peer on the other end of a socket does not look at.
const PEER: &str = "org.mooring1.Worker";
/// How long a new worker has to authenticate and to answer its version.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells that a worker is gone, in whatever way listening to it ends; unless it left in order.
struct TellsGone(Listener, Arc<AtomicBool>);

impl Drop for TellsGone {
    fn drop(&mut self) {
        if !self.1.load(Ordering::Acquire) {
            (self.0)(Heard::Gone);
        }
    }
}

impl Workers {
    /// Starts a worker that may reach these places.
    pub(super) async fn start(&self, generation: u64, reach: Reach) -> Result<Live, launch::Error> {
        let Launched { stream, life } = self.launcher.launch(self.uid, &reach).await?;
        let talk = async {
            let connection = connect(stream).await?;
            let proxy = WorkerProxy::new(&connection, PEER).await?;
            let progress = proxy.receive_progressed().await?;
            let changes = proxy.receive_changed().await?;
            let failed = |e| zbus::Error::Failure(Failure::from(e).to_string());
            let mut version = proxy.hello().await.map_err(failed)?;
            shorten(&mut version);
            if version != VERSION {
                return Ok((connection, proxy, progress, changes, Err(version)));
            }
            let mut fenced = proxy.fenced().await.map_err(failed)?;
            fenced.hold();
            Ok::<_, zbus::Error>((connection, proxy, progress, changes, Ok(fenced)))
        };
        let (connection, proxy, mut progress, mut changes, fenced) =
            match tokio::time::timeout(START_TIMEOUT, talk).await {
                Ok(Ok(talked)) => talked,
                Ok(Err(error)) => return Err(launch::Error::Died(error.to_string())),
                Err(_) => return Err(handshake("does not answer in time".to_owned())),
            };
        let fenced = fenced.map_err(|version| {
            handshake(format!(
                "is of version {version}, and this broker of {VERSION}"
            ))
        })?;
        if !fenced.holds {
            tracing::warn!("{}", fenced.message);
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
                        tell(args.map(|mut args| {
                            args.progress.hold();
                            Heard::Progressed(args.account, args.progress)
                        }));
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
            replaced: AtomicBool::new(false),
            reach,
            fenced,
            kept: self.kept.clone(),
        })
    }
}

/// The worker is the server of the handshake: who serves is made to ask the name service for the groups
/// of its peer (NSS), which takes memory for good, and may hang.
async fn connect(stream: UnixStream) -> zbus::Result<zbus::Connection> {
    zbus::connection::Builder::unix_stream(stream)
        .p2p()
        .build()
        .await
}

fn handshake(what: String) -> launch::Error {
    launch::Error::Handshake(what)
}
