//! A private message bus.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A bus that ends with the test.
pub struct Bus {
    pub address: String,
    child: Child,
    // Holds the socket; removed last.
    _folder: tempfile::TempDir,
}

impl Bus {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("dbus-daemon")
            .arg("--session")
            .arg(format!(
                "--address=unix:path={}/bus",
                folder.path().display()
            ))
            .args(["--nofork", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            address: address.trim().to_owned(),
            child,
            _folder: folder,
        }
    }

    /// A `mooringctl` that finds this bus. In a session of its own, so that it has no terminal
    /// even where the tests have one.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command
            .args(["--wait", env!("CARGO_BIN_EXE_mooringctl")])
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", "/nonexistent")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("MOORING_BUS", "session")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
