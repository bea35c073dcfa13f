//! A device: a person's machine with the real daemon, which can be stopped, killed, and started again
//! so that it dies at a named point.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use mooring_tests::{Daemon, Fault, Output, World};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::person::{Desk, Person};

/// The one identity.
pub const IDENTITY: &str = "alice";
/// Where a process dies by itself, with how often it is come by in a short life.
const POINTS: [(&str, u64); 17] = [
    ("worker/create", 60),
    ("worker/sync-file", 8),
    ("worker/sync-dir", 30),
    ("worker/sync-all", 12),
    ("worker/rename", 60),
    ("worker/rename-over", 4),
    ("worker/exchange", 6),
    ("worker/unlink", 40),
    ("worker/make-dir", 12),
    ("worker/remove-dir", 4),
    ("worker/write-meta", 40),
    ("worker/commit-items", 20),
    ("worker/commit-moved", 3),
    ("worker/commit-meta", 12),
    ("worker/commit-gone", 3),
    ("broker/journal-before", 25),
    ("broker/journal-after", 25),
];

/// A device.
#[derive(Debug)]
pub struct Device {
    /// Its name.
    pub name: &'static str,
    /// Its folders and bus.
    pub world: World,
    daemon: Option<Daemon>,
    fault: Option<Fault>,
    person: Option<Person>,
}

impl Device {
    /// A device with nothing on it, and a daemon.
    pub async fn new(name: &'static str) -> Self {
        let world = World::new();
        world.sync_by_itself();
        let mut device = Self {
            name,
            world,
            daemon: None,
            fault: None,
            person: None,
        };
        fs::create_dir_all(device.desk().bin).expect("a folder");
        device.start().await;
        device
    }

    /// Where its person works.
    pub fn desk(&self) -> Desk {
        Desk {
            root: self.root(),
            bin: self.world.folder().join("bin"),
            name: self.name.to_owned(),
        }
    }

    /// The folder that has the collections in it.
    pub fn root(&self) -> PathBuf {
        self.world.account_folder(IDENTITY)
    }

    /// Starts the daemon, if it is not running.
    pub async fn start(&mut self) {
        if self.daemon.is_none() {
            self.daemon = Some(self.world.daemon().await);
        }
    }

    /// Starts it anew, to die at a point; tells which.
    pub async fn start_to_die(&mut self, chance: &mut Chance) -> String {
        self.kill();
        let (point, often) = chance.pick(&POINTS).copied().unwrap_or(POINTS[0]);
        let point = format!("{point}:{}", 1 + chance.below(often));
        let fault = self.world.fault(&point);
        let (name, value) = fault.env();
        let mark = self
            .world
            .folder()
            .join(format!("died-at-{}", point.replace('/', "-")));
        // While the mark of an earlier death is there nothing dies.
        if mark.exists() {
            fs::remove_file(mark).expect("the mark");
        }
        self.daemon = Some(self.world.daemon_with(&[(name, value as &OsStr)]).await);
        self.fault = Some(fault.clone());
        point
    }

    /// Starts a daemon that died again; tells whether its fault has struck.
    pub async fn care(&mut self) -> bool {
        let struck = self.fault.as_ref().is_some_and(Fault::struck);
        if struck {
            self.fault = None;
        }
        if self.daemon.as_ref().is_some_and(|d| is_dead(d.pid())) {
            self.daemon = None;
        }
        self.start().await;
        struck
    }

    /// Kills the daemon, and with it its worker.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// Kills the worker alone.
    pub fn kill_worker(&self) -> bool {
        self.daemon.as_ref().is_some_and(Daemon::kill_worker)
    }

    /// Asks the daemon to end, and starts it again.
    pub async fn restart(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            let _ = daemon.terminate().await;
        }
        self.start().await;
    }

    /// Stops broker and worker where they stand, and lets them go on when the guard is dropped.
    pub fn freeze(&self) -> Frozen {
        let mut pids = Vec::new();
        if let Some(daemon) = &self.daemon {
            // A stopped broker starts no worker.
            pids.extend(stop(daemon.pid()));
            pids.extend(daemon.worker_pid().and_then(stop));
        }
        Frozen(pids)
    }

    /// Lets the person work, or rest.
    pub fn works(&mut self, works: bool, ledger: &Arc<Mutex<Ledger>>, chance: &mut Chance) {
        if works == self.person.is_some() {
            return;
        }
        self.person = works.then(|| Person::start(self.desk(), ledger.clone(), chance.fork()));
    }

    /// Calls `mooringctl`.
    pub async fn ctl(&self, arguments: &[&str]) -> Output {
        self.world.ctl(arguments).run().await
    }

    /// Calls `mooringctl` with a password.
    pub async fn ctl_with(&self, arguments: &[&str], password: &str) -> Output {
        self.world.ctl(arguments).password(password).run().await
    }

    /// The account as `mooringctl --json` tells it; none when there is none.
    pub async fn account(&self) -> Option<Value> {
        let output = self.ctl(&["status", "--json"]).await;
        let document: Value = serde_json::from_str(&output.stdout).ok()?;
        document.get("accounts")?.as_array()?.first().cloned()
    }

    /// The account's state, or `none`.
    pub async fn state(&self) -> String {
        let account = self.account().await;
        let state = account.as_ref().and_then(|a| a.get("state")?.as_str());
        state.unwrap_or("none").to_owned()
    }

    /// Keeps everything of it in a folder, for whoever looks for the cause.
    pub fn keep(&self, below: &Path) {
        let to = below.join(self.name);
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(self.world.folder())
            .arg(&to)
            .status();
        println!("  kept: {} ({copied:?})", to.display());
    }
}

/// Processes that stand still.
#[derive(Debug)]
pub struct Frozen(Vec<Pid>);

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that was killed meanwhile is gone.
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

fn stop(pid: Pid) -> Option<Pid> {
    kill(pid, Signal::SIGSTOP).ok()?;
    // The signal is on its way; within a call to the filesystem it waits for the call's end.
    while !matches!(state(pid), Some('T' | 'Z' | 'X') | None) {
        std::thread::yield_now();
    }
    Some(pid)
}

fn is_dead(pid: Pid) -> bool {
    matches!(state(pid), Some('Z' | 'X') | None)
}

/// The state of all threads is that of the process only once all have stopped (proc(5)).
fn state(pid: Pid) -> Option<char> {
    let mut worst = None;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        if !matches!(state, 'T' | 'Z' | 'X') {
            return Some(state);
        }
        worst = Some(state);
    }
    worst
}
