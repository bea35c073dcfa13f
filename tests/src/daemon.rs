//! A running `mooringd`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::PATIENCE;
use crate::process::Process;

/// The name of a worker's process, as the kernel tells it (at most 15 bytes).
const WORKER: &str = "mooring-worker";

/// A `mooringd --session` that owns its name. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn new(process: Process, log: PathBuf) -> Self {
        Self { process, log }
    }

    /// The process ID.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// What it and its workers wrote to the journal so far, the lives before it included.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    /// Kills it as if the power had gone.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Kills its worker as if the power had gone, and answers whether there was one.
    pub fn kill_worker(&self) -> bool {
        // The broker, its parent, may reap it at any moment: one that is gone is what was wanted.
        self.worker_pid()
            .is_some_and(|pid| nix::sys::signal::kill(pid, Signal::SIGKILL).is_ok())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn terminate(mut self) -> ExitStatus {
        self.process.signal(Signal::SIGTERM);
        self.process.wait(PATIENCE).await
    }

    /// Waits until it ends by itself, at a point of death for example.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn wait(mut self) -> ExitStatus {
        self.process.wait(PATIENCE).await
    }

    /// Waits for its end, without a bound; can be given up and called again.
    pub async fn ended(&mut self) {
        self.process.ended().await;
    }

    /// Sends a signal, SIGHUP for example.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// The worker, while there is one.
    pub fn worker_pid(&self) -> Option<Pid> {
        let parent = self.pid().as_raw();
        let processes = fs::read_dir("/proc").expect("/proc");
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .find(|&pid| is_worker_of(parent, pid))
            .map(Pid::from_raw)
    }
}

/// Reads `/proc/PID/stat` (proc(5)): `PID (NAME) STATE PARENT …`. A process that is gone is none.
fn is_worker_of(parent: i32, pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let Some((head, tail)) = stat.rsplit_once(") ") else {
        return false;
    };
    let name = head.split_once('(').map(|(_, name)| name);
    let mut fields = tail.split(' ');
    let alive = fields.next() != Some("Z");
    alive && name == Some(WORKER) && fields.next() == Some(parent.to_string().as_str())
}
