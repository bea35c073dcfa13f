//! A child process that is never left behind, and whose end can be waited for up to a bound.

use std::fs::File;
use std::io::PipeWriter;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::PATIENCE;

/// A running child. Killed and reaped when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    ended: watch::Receiver<bool>,
}

impl Process {
    /// Starts the command; `name` is for messages.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let pid = Pid::from_raw(child.id().try_into().expect("a process ID"));
        let (tell, ended) = watch::channel(false);
        // Only looks (WNOWAIT): the ID stays taken until its owner reaps, so no signal of ours can
        // hit a stranger.
        thread::spawn(move || {
            let looked = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            if looked.is_ok() {
                // Nobody listens any more when the owner is gone, and nothing is lost then.
                let _ = tell.send(true);
            }
        });
        Self {
            name: name.to_owned(),
            child,
            ended,
        }
    }

    /// The process ID.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process ID"))
    }

    /// The standard output, once, if it was piped.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// The standard error, once, if it was piped.
    pub fn stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// The standard input, once, if it was piped.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process has been reaped already.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|e| panic!("{signal} to {}: {e}", self.name));
    }

    /// Waits for its end; can be given up and called again.
    pub async fn ended(&mut self) {
        // An error: the thread that looks is gone, and so it has looked.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    /// Waits for its end, up to a bound.
    ///
    /// # Panics
    /// When it does not end within `bound`.
    pub async fn wait(&mut self, bound: Duration) -> ExitStatus {
        if timeout(bound, self.ended()).await.is_err() {
            panic!("{} does not end within {} s", self.name, bound.as_secs());
        }
        self.child.wait().expect("a child's state")
    }

    /// Kills it as if the power had gone, and waits until it is no more.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of our own");
        self.child.wait().expect("a child's state");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, or ends now; either way there is nothing left to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes of a world, whoever their parents are: each holds a pipe into a log, and when the
/// last one has ended the pipe ends.
#[derive(Debug, Default)]
pub(crate) struct Lives(Mutex<Vec<mpsc::Receiver<()>>>);

impl Lives {
    /// A pipe into the log; for the standard error of a process, and so of its children.
    pub(crate) fn log_into(&self, log: &Path) -> PipeWriter {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log");
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || {
            std::io::copy(&mut reader, &mut file).expect("the log can be written");
            // Nobody listens any more when the world is gone.
            let _ = tell.send(());
        });
        self.0.lock().expect("no panic in here").push(ended);
        writer
    }

    /// Waits until all of them have ended.
    ///
    /// # Panics
    /// When one has not in time.
    pub(crate) fn wait(&self) {
        let lives = std::mem::take(&mut *self.0.lock().expect("no panic in here"));
        for ended in lives {
            let late = ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
            // A second panic would only hide the first.
            assert!(
                !late || thread::panicking(),
                "a process does not end with its world"
            );
        }
    }
}
