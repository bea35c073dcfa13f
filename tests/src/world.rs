//! One person's machine, in a temporary folder.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mooring_api::BUS_NAME;
use tempfile::TempDir;

use crate::bus::Bus;
use crate::ctl::Ctl;
use crate::daemon::Daemon;
use crate::manifest::Manifest;
use crate::process::{Lives, Process};
use crate::{PATIENCE, samples};

/// The line that makes the binaries with points of death in them.
const BUILD: &str = "make debug   (cargo build --workspace --features \
                     mooringd/faults,mooring-worker/faults)";

/// The settings with which nothing is synced but when a test says so.
const NOT_BY_ITSELF: &str = "config/mooring/mooring.d/10-test.toml";

/// One person's machine: folders and a bus. Everything goes when it is dropped.
#[derive(Debug)]
pub struct World {
    // Dropped in this order, after Drop below: the bus before its folder.
    bus: Bus,
    lives: Lives,
    folder: TempDir,
}

/// A point of death (`mooring-wire`, `fault.rs`) and the mark that it leaves.
#[derive(Debug, Clone)]
pub struct Fault {
    value: OsString,
    mark: PathBuf,
}

impl Fault {
    /// Whether a process died of it.
    pub fn struck(&self) -> bool {
        self.mark.exists()
    }

    /// The variable of the environment that sets it, for [`World::daemon_with`].
    pub fn env(&self) -> (&'static str, &std::ffi::OsStr) {
        ("MOORING_FAULT", &self.value)
    }
}

impl World {
    /// An empty home, an empty storage and a bus.
    ///
    /// # Panics
    /// When the bus or the binaries are missing, with the line that gets them.
    #[allow(clippy::new_without_default)] // A default that starts a process would surprise.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mooring-")
            .tempdir()
            .expect("a folder");
        for name in ["mooringd", "mooring-worker", "mooringctl"] {
            let binary = binary(name);
            assert!(
                binary.exists(),
                "{} is missing; run: {BUILD}",
                binary.display()
            );
        }
        for name in [
            "home", "config", "state", "data", "cache", "run", "storage", "bus",
        ] {
            let made = DirBuilder::new()
                .mode(0o700)
                .create(folder.path().join(name));
            made.expect("a folder in the temporary folder");
        }
        let settings = folder.path().join(NOT_BY_ITSELF);
        fs::create_dir_all(settings.parent().expect("a folder")).expect("a folder");
        fs::write(settings, "[sync]\ncontinuous = false\n").expect("the settings");
        let lives = Lives::default();
        let log = lives.log_into(&folder.path().join("bus.log"));
        let bus = Bus::start(&folder.path().join("bus"), &environment(folder.path()), log);
        Self { bus, lives, folder }
    }

    /// The temporary folder that holds everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that holds the programs.
    pub fn binaries(&self) -> PathBuf {
        let any = binary("mooringd");
        any.parent().expect("a folder").to_owned()
    }

    /// `$HOME`.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The default folder of an account's collections.
    pub fn account_folder(&self, identity: &str) -> PathBuf {
        self.home().join("Accounts").join(identity)
    }

    /// The folder that is the storage.
    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// `$XDG_CONFIG_HOME/mooring`.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config/mooring")
    }

    /// Lets the next daemon sync by itself, as it does unless it is told otherwise.
    ///
    /// # Panics
    /// When it does already.
    pub fn sync_by_itself(&self) {
        fs::remove_file(self.folder.path().join(NOT_BY_ITSELF)).expect("the settings");
    }

    /// `$XDG_STATE_HOME/mooring`.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state/mooring")
    }

    /// The private bus.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Writes the sample files into an account's default folders; answers how many there are.
    pub fn fill(&self, identity: &str) -> u64 {
        samples::write(&self.account_folder(identity)).expect("the sample files")
    }

    /// What a folder holds now.
    pub fn manifest(&self, folder: impl AsRef<Path>) -> Manifest {
        Manifest::of(folder.as_ref())
    }

    /// A command that sees this world and nothing of the machine's own session.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(binary(name));
        command
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command.envs(environment(self.folder()));
        command
    }

    /// Starts the daemon and waits until it owns its name.
    pub async fn daemon(&self) -> Daemon {
        self.daemon_with(&[]).await
    }

    /// The same with more in the environment, a [`Fault`] for example.
    ///
    /// # Panics
    /// With the end of its log, when it ends before it owns its name.
    pub async fn daemon_with(&self, env: &[(&str, &std::ffi::OsStr)]) -> Daemon {
        let mut command = self.command("mooringd");
        command.arg("--session").envs(env.iter().copied());
        command.stdout(Stdio::null());
        self.daemon_by(command).await
    }

    /// The same by a command that becomes the daemon, made of [`World::command`].
    ///
    /// # Panics
    /// As [`World::daemon_with`].
    pub async fn daemon_by(&self, mut command: Command) -> Daemon {
        let log = self.folder.path().join("mooringd.log");
        command.stderr(self.lives.log_into(&log));
        // After a kill the bus may still be about to notice that the one before is gone.
        self.bus.wait_for_name(BUS_NAME, false, PATIENCE).await;
        let mut process = Process::start("mooringd", &mut command);
        drop(command);
        tokio::select! {
            () = self.bus.wait_for_name(BUS_NAME, true, PATIENCE) => {}
            () = process.ended() => {
                let text = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                let last = lines[lines.len().saturating_sub(20)..].join("\n");
                panic!("mooringd ended before it owned {BUS_NAME}; its last words:\n{last}");
            }
        }
        Daemon::new(process, log)
    }

    /// A point of death: `PROCESS/NAME:N`. Set it with [`Fault::env`] on the daemon.
    pub fn fault(&self, point: &str) -> Fault {
        let mark = self
            .folder
            .path()
            .join(format!("died-at-{}", point.replace('/', "-")));
        let value = format!("{point}@{}", mark.display()).into();
        Fault { value, mark }
    }

    /// A call of `mooringctl`.
    pub fn ctl(&self, arguments: &[&str]) -> Ctl {
        let mut command = self.command("mooringctl");
        command.args(arguments);
        Ctl::new(
            command.into(),
            format!("mooringctl {}", arguments.join(" ")),
        )
    }

    /// Signs a new identity in, with all four collections in their default folders.
    pub async fn sign_in(&self, identity: &str, password: &str) {
        let storage = self.storage();
        let storage = storage.to_str().expect("a plain name");
        let arguments = [
            "sign-in",
            "local",
            "--identity",
            identity,
            "--storage",
            storage,
            "--yes",
        ];
        let _ = self
            .ctl(&arguments)
            .password(password)
            .run()
            .await
            .expect_code(0);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What the bus started ends with it. A worker outlives its killed daemon by a moment, and
        // must not write into a folder that is being removed.
        self.bus.stop();
        self.lives.wait();
    }
}

fn environment(folder: &Path) -> Vec<(&'static str, OsString)> {
    let at = |name: &str| folder.join(name).into_os_string();
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    vec![
        ("HOME", at("home")),
        ("XDG_CONFIG_HOME", at("config")),
        ("XDG_STATE_HOME", at("state")),
        ("XDG_DATA_HOME", at("data")),
        ("XDG_CACHE_HOME", at("cache")),
        ("XDG_RUNTIME_DIR", at("run")),
        (
            "DBUS_SESSION_BUS_ADDRESS",
            Bus::address_in(&folder.join("bus")).into(),
        ),
        // The machine's own daemon, where there is one, is none of a test's.
        ("MOORING_BUS", "session".into()),
        ("MOORING_WORKER", binary("mooring-worker").into_os_string()),
        (
            "MOORING_LOG",
            std::env::var_os("MOORING_LOG").unwrap_or_else(|| "debug".into()),
        ),
        ("PATH", path),
        ("LANG", "C.UTF-8".into()),
        ("TERM", "dumb".into()),
    ]
}

/// The binary that was built beside this test, or in `$MOORING_BIN_DIR`.
pub fn binary(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("MOORING_BIN_DIR") {
        return Path::new(&folder).join(name);
    }
    // target/debug/deps/TEST or target/debug/PROGRAM.
    let this = std::env::current_exe().expect("this program's own path");
    let folder = this.parent().expect("a folder");
    let folder = if folder.ends_with("deps") {
        folder.parent().expect("a folder")
    } else {
        folder
    };
    folder.join(name)
}
