//! `mooringctl` at a terminal: waits for what is shown, and types.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::bus::Bus;

/// After this long a test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

type Shown = Arc<(Mutex<(String, bool)>, Condvar)>;

/// A program at a terminal.
pub struct Session {
    child: Child,
    keyboard: File,
    shown: Shown,
    seen: usize,
}

impl Session {
    pub fn start(bus: &Bus, args: &[&str]) -> Self {
        let pty = nix::pty::openpty(None, None).unwrap();
        let screen = || pty.slave.try_clone().unwrap();
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_mooringctl")])
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "dumb")
            .env("HOME", "/nonexistent")
            .env("DBUS_SESSION_BUS_ADDRESS", &bus.address)
            .env("MOORING_BUS", "session")
            .stdin(screen())
            .stdout(screen())
            .stderr(screen());
        let child = command.spawn().unwrap();
        drop(command);
        drop(pty.slave);
        let keyboard = File::from(pty.master);
        let shown = Shown::default();
        let (mut reader, writer) = (keyboard.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut chunk = [0; 1024];
            // The end of a terminal is EIO.
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                writer
                    .0
                    .lock()
                    .unwrap()
                    .0
                    .push_str(&String::from_utf8_lossy(&chunk[..n]));
                writer.1.notify_all();
            }
            writer.0.lock().unwrap().1 = true;
            writer.1.notify_all();
        });
        Self {
            child,
            keyboard,
            shown,
            seen: 0,
        }
    }

    /// Waits until `text` is shown, after what was waited for before.
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shown.0.lock().unwrap();
        loop {
            if let Some(at) = state.0[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !state.1,
                "waited for {text:?} in:\n{}",
                state.0
            );
            state = self.shown.1.wait_timeout(state, left).unwrap().0;
        }
    }

    pub fn send(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end. Answers the exit code and all that was shown.
    pub fn end(mut self) -> (i32, String) {
        let code = self
            .child
            .wait()
            .unwrap()
            .code()
            .expect("ended by a signal");
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shown.0.lock().unwrap();
        while !state.1 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the terminal stays open:\n{}", state.0);
            state = self.shown.1.wait_timeout(state, left).unwrap().0;
        }
        (code, state.0.clone())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
