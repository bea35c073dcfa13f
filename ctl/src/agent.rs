//! Asks for a password of the device on this terminal, when polkit wants one for a call: with
//! polkit's own `pkttyagent`, as `systemctl` does. The password goes from the terminal to polkit,
//! and never through this program.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, close};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PROGRAM: &str = "pkttyagent";
/// Where logind keeps a file for each session.
const SESSIONS: &str = "/run/systemd/sessions";
/// How long the agent may take until polkit knows it.
const READY_LIMIT: Duration = Duration::from_secs(5);
/// How long it may take to leave the terminal as it was.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// Where its descriptors of ours begin: behind the standard streams.
const FIRST_FD: RawFd = 3;

/// An agent that is there as long as this is.
#[derive(Debug)]
pub struct Agent {
    child: Child,
}

impl Agent {
    /// Starts it, and waits until polkit knows it: a call that is made next finds it there.
    ///
    /// # Errors
    /// When there is no such program.
    pub async fn start() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        // A copy that the program inherits: without close-on-exec.
        let notify = fcntl(writer.as_fd(), FcntlArg::F_DUPFD(FIRST_FD))?;
        let child = spawn(notify);
        close(notify)?;
        drop(writer);
        let child = child?;
        // It closes the descriptor when polkit knows it, and its end does the same.
        let mut ready = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        match timeout(READY_LIMIT, ready.read_u8()).await {
            // The end of the pipe, as agreed. It writes nothing.
            Ok(Ok(_) | Err(_)) => {}
            // The call itself will say that polkit does not answer.
            Err(_) => eprintln!("{PROGRAM} is not ready after {} s", READY_LIMIT.as_secs()),
        }
        Ok(Self { child })
    }

    /// Ends it, tidily: it may have turned the terminal's echo off.
    pub async fn stop(mut self) {
        let Some(pid) = self.child.id().and_then(|id| id.try_into().ok()) else {
            return;
        };
        // It is our child and not reaped: the number is its own.
        if let Err(e) = kill(Pid::from_raw(pid), Signal::SIGTERM) {
            eprintln!("{PROGRAM} cannot be ended: {e}");
        }
        if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            // Dropped, it is killed.
            eprintln!("{PROGRAM} does not end");
        }
    }
}

fn spawn(notify: RawFd) -> io::Result<Child> {
    // It ends with us however we end. Where that little tool is missing, it ends if we end tidily.
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "TERM", PROGRAM]);
    // Not left to the tool, which would only say that something is missing.
    if !is_in_path(PROGRAM) {
        return Err(io::ErrorKind::NotFound.into());
    }
    match start(&mut tied, notify) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => start(&mut Command::new(PROGRAM), notify),
        child => child,
    }
}

fn start(command: &mut Command, notify: RawFd) -> io::Result<Child> {
    command.args(["--process", &std::process::id().to_string()]);
    if is_in_session() {
        // The agent of a desktop, where there is one, comes first. Outside a session polkit never
        // asks a fallback.
        command.arg("--fallback");
    }
    command
        .args(["--notify-fd", &notify.to_string()])
        // It speaks on the terminal itself, and complains on the standard error.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// Whether logind has a session for this process (pam_systemd(8)).
fn is_in_session() -> bool {
    std::env::var_os("XDG_SESSION_ID")
        .filter(|id| !id.is_empty())
        .is_some_and(|id| Path::new(SESSIONS).join(id).exists())
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
