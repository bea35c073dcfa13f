//! Tells a service manager how the broker is, and lets it keep descriptors from one life of the
//! broker to the next: `sd_notify(3)`, the protocol of `$NOTIFY_SOCKET`.

pub mod inherited;

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The name is owned and calls are answered.
    Ready,
    /// Configuration is being read again; [`State::Ready`] follows.
    Reloading,
    /// The end is near.
    Stopping,
    /// The loop turns. Told again and again where the manager watches for it.
    Alive,
}

/// A manager may hear of life this many times before it would despair.
const BEATS: u32 = 3;

/// Where to tell it: nowhere, when no service manager asked.
#[derive(Debug, Clone, Default)]
pub struct Manager {
    socket: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that set `$NOTIFY_SOCKET`, and what it wants to hear of life (`WatchdogSec=`,
    /// sd_watchdog_enabled(3)).
    pub fn from_env() -> Self {
        Self::from(|name| std::env::var_os(name))
    }

    fn from(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        // The variables are inherited: meant is who is named, or whoever reads them if nobody is.
        let meant = variable("WATCHDOG_PID").is_none()
            || number("WATCHDOG_PID") == Some(std::process::id().into());
        Self {
            socket: variable("NOTIFY_SOCKET"),
            watchdog: number("WATCHDOG_USEC")
                .filter(|micros| meant && *micros > 0)
                .map(Duration::from_micros),
        }
    }

    /// Says that the loop turns, for as long as it does; never, where nobody watches. To be run on the
    /// loop that serves calls, so that a loop that is stuck is silent.
    pub async fn beat(&self) -> Infallible {
        let Some(watchdog) = self.watchdog else {
            return std::future::pending().await;
        };
        loop {
            self.tell(State::Alive);
            tokio::time::sleep(watchdog / BEATS).await;
        }
    }

    /// Tells a state. That a manager does not listen is logged, and changes nothing.
    pub fn tell(&self, state: State) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, &message(state), &[]) {
            tracing::warn!(%error, ?state, "the service manager cannot be told");
        }
    }

    /// Has a descriptor kept under a name, for the next life ([`inherited`]). Without that, the next
    /// life looks at everything.
    pub fn store(&self, name: &str, descriptor: &impl AsFd) {
        let Some(socket) = &self.socket else { return };
        // Of ours it is us who knows the end.
        let text = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        if let Err(error) = send(socket, &text, &[descriptor.as_fd().as_raw_fd()]) {
            tracing::warn!(%error, name, "the service manager does not keep a descriptor");
        }
    }

    /// Has a descriptor of this name kept no longer.
    pub fn unstore(&self, name: &str) {
        let Some(socket) = &self.socket else { return };
        let text = format!("FDSTOREREMOVE=1\nFDNAME={name}");
        if let Err(error) = send(socket, &text, &[]) {
            tracing::warn!(%error, name, "the service manager may go on to keep a descriptor");
        }
    }
}

fn message(state: State) -> String {
    match state {
        State::Ready => "READY=1".to_owned(),
        State::Stopping => "STOPPING=1".to_owned(),
        State::Alive => "WATCHDOG=1".to_owned(),
        State::Reloading => {
            // Type=notify-reload compares this with the time it sent the signal.
            match nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC) {
                Ok(now) => {
                    let micros = std::time::Duration::from(now).as_micros();
                    format!("RELOADING=1\nMONOTONIC_USEC={micros}")
                }
                Err(_) => "RELOADING=1".to_owned(),
            }
        }
    }
}

fn send(socket: &OsString, text: &str, descriptors: &[RawFd]) -> io::Result<()> {
    let bytes = socket.as_bytes();
    let address = match bytes.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let datagram = UnixDatagram::unbound()?;
    datagram.connect_addr(&address)?;
    let passed = [ControlMessage::ScmRights(descriptors)];
    let passed = if descriptors.is_empty() {
        &[]
    } else {
        &passed[..]
    };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let text = [IoSlice::new(text.as_bytes())];
    sendmsg::<UnixAddr>(datagram.as_raw_fd(), &text, passed, flags, None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_manager_hears_each_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager {
            socket: Some(path.into()),
            watchdog: None,
        };
        for (state, expected) in [
            (State::Ready, "READY=1"),
            (State::Reloading, "RELOADING=1\nMONOTONIC_USEC="),
            (State::Stopping, "STOPPING=1"),
        ] {
            manager.tell(state);
            let mut buffer = [0; 128];
            let length = socket.recv(&mut buffer).unwrap();
            assert!(
                std::str::from_utf8(&buffer[..length])
                    .unwrap()
                    .starts_with(expected)
            );
        }
    }
    fn watched(variables: &[(&str, &str)]) -> Option<Duration> {
        let find = |name: &str| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Manager::from(find).watchdog
    }

    #[test]
    fn only_who_is_meant_is_watched() {
        let own = std::process::id().to_string();
        let second = ("WATCHDOG_USEC", "1000000");
        assert_eq!(watched(&[]), None);
        assert_eq!(watched(&[second]), Some(Duration::from_secs(1)));
        let named = watched(&[second, ("WATCHDOG_PID", &own)]);
        assert_eq!(named, Some(Duration::from_secs(1)));
        assert_eq!(watched(&[second, ("WATCHDOG_PID", "1")]), None);
        assert_eq!(watched(&[second, ("WATCHDOG_PID", "x")]), None);
        assert_eq!(watched(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(watched(&[("WATCHDOG_USEC", "-1")]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_watches_hears_of_life_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = Manager {
            socket: Some(path.into()),
            watchdog: Some(Duration::from_secs(30)),
        };
        let minute = Duration::from_secs(60);
        assert!(tokio::time::timeout(minute, manager.beat()).await.is_err());
        let mut beats = 0;
        let mut buffer = [0; 128];
        while let Ok(length) = socket.recv(&mut buffer) {
            assert_eq!(&buffer[..length], b"WATCHDOG=1");
            beats += 1;
        }
        assert!((6..=7).contains(&beats), "{beats} in a minute");
        let nobody = Manager::default();
        assert!(tokio::time::timeout(minute, nobody.beat()).await.is_err());
    }
}
