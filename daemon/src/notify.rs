//! Tells a service manager how the broker is: `sd_notify(3)`, the protocol of `$NOTIFY_SOCKET`.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The name is owned and calls are answered.
    Ready,
    /// Configuration is being read again; [`State::Ready`] follows.
    Reloading,
    /// The end is near.
    Stopping,
}

/// Where to tell it: nowhere, when no service manager asked.
#[derive(Debug, Clone, Default)]
pub struct Manager(Option<OsString>);

impl Manager {
    /// The manager that set `$NOTIFY_SOCKET`.
    pub fn from_env() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET"))
    }

    /// Tells a state. That a manager does not listen is logged, and changes nothing.
    pub fn tell(&self, state: State) {
        let Some(socket) = &self.0 else { return };
        if let Err(error) = send(socket, &message(state)) {
            tracing::warn!(%error, ?state, "the service manager cannot be told");
        }
    }
}

fn message(state: State) -> String {
    match state {
        State::Ready => "READY=1".to_owned(),
        State::Stopping => "STOPPING=1".to_owned(),
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

fn send(socket: &OsString, text: &str) -> io::Result<()> {
    let bytes = socket.as_bytes();
    let address = match bytes.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let datagram = UnixDatagram::unbound()?;
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(text.as_bytes(), &address).map(drop)
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
        let manager = Manager(Some(path.into()));
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
}
