//! `mooringctl`, as a script would run it: no terminal, a password from a descriptor.

use std::io::Write;
use std::os::fd::RawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::PATIENCE;

/// Where the descriptors of further secrets begin.
const FIRST_SECRET_FD: RawFd = 20;

/// A call that has not been made yet.
#[derive(Debug)]
#[must_use]
pub struct Ctl {
    command: Command,
    shown: String,
    password: Option<String>,
    secrets: Vec<RawFd>,
    bound: Duration,
}

/// A call under way. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    shown: String,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    bound: Duration,
}

/// What came of a call.
#[derive(Debug, Clone)]
#[must_use]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// The exit code; with a signal 128 and its number, as a shell would say.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

impl Ctl {
    pub(crate) fn new(command: Command, shown: String) -> Self {
        Self {
            command,
            shown,
            password: None,
            secrets: Vec::new(),
            bound: PATIENCE,
        }
    }

    /// Gives a password, through a pipe (`--password-fd 0`).
    pub fn password(mut self, password: &str) -> Self {
        self.command.args(["--password-fd", "0"]);
        self.password = Some(password.to_owned());
        self
    }

    /// Gives a secret through a pipe of its own, to this option.
    ///
    /// # Panics
    /// When there are no descriptors left.
    pub fn secret(mut self, option: &str, secret: &str) -> Self {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writeln!(writer, "{secret}").expect("room in a pipe");
        // A copy that the program inherits: without close-on-exec.
        let fd = fcntl(&reader, FcntlArg::F_DUPFD(FIRST_SECRET_FD)).expect("a descriptor");
        self.command.args([option, &fd.to_string()]);
        self.secrets.push(fd);
        self
    }

    /// Sets or overrides a variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it so long, where what it does takes longer than [`PATIENCE`].
    pub fn within(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start(mut self) -> Running {
        let stdin = if self.password.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        self.command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self
            .command
            .kill_on_drop(true)
            .spawn()
            .expect("mooringctl starts");
        for fd in self.secrets {
            nix::unistd::close(fd).expect("the copy is closed once");
        }
        let stdout = tokio::spawn(read(child.stdout.take().expect("a pipe")));
        let stderr = tokio::spawn(read(child.stderr.take().expect("a pipe")));
        if let (Some(password), Some(mut stdin)) = (self.password, child.stdin.take()) {
            // A call that needs no password closes its end unread.
            let _ = stdin.write_all(format!("{password}\n").as_bytes()).await;
        }
        Running {
            child,
            shown: self.shown,
            stdout,
            stderr,
            bound: self.bound,
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn run(self) -> Output {
        self.start().await.output().await
    }
}

impl Running {
    /// The process ID.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn output(mut self) -> Output {
        let Ok(status) = timeout(self.bound, self.child.wait()).await else {
            panic!(
                "{} does not end within {} s",
                self.shown,
                self.bound.as_secs()
            );
        };
        let status = status.expect("a child's state");
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Output {
            command: self.shown,
            code,
            stdout: text(self.stdout.await.expect("the reader of stdout")),
            stderr: text(self.stderr.await.expect("the reader of stderr")),
        }
    }
}

impl Output {
    /// Itself, if the call ended with `code`.
    ///
    /// # Panics
    /// With all that it printed, when it ended otherwise.
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "{}\nended with {}, not {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        );
        self
    }

    /// Everything it printed as JSON.
    ///
    /// # Panics
    /// When it is not one JSON document.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", self.command, self.stdout))
    }
}

async fn read(mut from: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)
        .await
        .expect("the output of mooringctl");
    bytes
}
