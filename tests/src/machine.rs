//! A machine in namespaces: a real systemd as its first process, with a system bus, polkit and a
//! journal, the people `ann` (1000) and `bob` (1001), and root as the administrator.
//!
//! Its files are this system's own with a layer in memory on top, so that nothing of it is written
//! outside; the layer lives in the mount namespace of one process and goes with it, also when a test
//! is killed. [`Machine::cut_power`] kills all at once, [`Machine::boot`] begins again on the same
//! layer: what was not written to a file is gone, as it would be (a layer in memory loses no more
//! than that: lost and torn writes are another test's, `make filesystems`).
//!
//! Commands run from outside in all of the machine's namespaces. They are in no session of logind.

mod inside;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

use crate::PATIENCE;
use crate::world::binary;

/// What the machine is made of, and the package that each is in.
const PARTS: [(&str, &str); 8] = [
    ("/lib/systemd/systemd", "systemd"),
    ("/usr/bin/dbus-daemon", "dbus"),
    ("/usr/lib/polkit-1/polkitd", "polkitd"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/usr/sbin/runuser", "util-linux"),
    ("/usr/sbin/useradd", "passwd"),
    ("/usr/bin/make", "make"),
    ("/usr/bin/strip", "binutils"),
];

/// Runs in the machine's own files before they are first booted: other people and other services
/// of this system are no part of it.
const PROVISION: &str = r#"#!/bin/bash
set -euo pipefail
for table in passwd group shadow gshadow subuid subgid; do
    people=$(awk -F: '$3 >= 1000 && $3 < 60000 { print $1 }' /etc/passwd | paste -sd '|')
    [ -z "$people" ] || [ ! -e /etc/$table ] || [ $table = passwd ] || sed -Ei "/^($people):/d" /etc/$table
done
[ -z "$people" ] || sed -Ei "/^($people):/d" /etc/passwd
rm -rf /etc/systemd/system/*.wants /etc/.updated /var/log/journal /var/lib/mooring /etc/mooring
rm -f /usr/sbin/policy-rc.d
systemd-id128 new >/etc/machine-id
mkdir -p /var/log/journal
for person in ann:1000 bob:1001; do
    rm -rf "/home/${person%:*}"
    useradd --uid "${person#*:}" --user-group --create-home --shell /bin/bash "${person%:*}"
    chmod 0700 "/home/${person%:*}"
done
systemd-sysusers
"#;

/// A machine. Everything goes when it is dropped.
#[derive(Debug)]
pub struct Machine {
    running: Option<Running>,
    // Holds the layer in memory. Ends with its standard input.
    holder: Child,
    folder: TempDir,
}

#[derive(Debug)]
struct Running {
    outside: Child,
    first: Pid,
}

impl Machine {
    /// A machine with Mooring installed by `make install` (without its build), booted.
    ///
    /// # Panics
    /// Without root, without what it is made of (with the line that installs it), or when it does
    /// not boot.
    #[allow(clippy::new_without_default)] // A default that boots a machine would surprise.
    pub fn new() -> Self {
        let mut machine = Self::off();
        machine.install(&["install-programs", "install-units"]);
        machine.boot();
        machine
    }

    /// A machine without Mooring, booted.
    ///
    /// # Panics
    /// As [`Machine::new`].
    pub fn bare() -> Self {
        let mut machine = Self::off();
        machine.boot();
        machine
    }

    /// A machine that was never booted. Until it is, [`Machine::stage`] can be filled.
    ///
    /// # Panics
    /// As [`Machine::new`].
    pub fn off() -> Self {
        assert!(
            geteuid().is_root(),
            "a machine in namespaces needs root: sudo -E make test"
        );
        for (part, package) in PARTS {
            assert!(
                Path::new(part).exists(),
                "{part} is missing; run: apt-get install {package}   (or: tests/setup.sh machine)"
            );
        }
        let folder = tempfile::Builder::new()
            .prefix("mooring-machine-")
            .tempdir()
            .expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["memory", "stage"] {
            fs::create_dir(at(name)).expect("a folder in the temporary folder");
        }
        // The layer's root folder has the mode of the stage, and is the machine's `/`.
        fs::set_permissions(at("stage"), PermissionsExt::from_mode(0o755)).expect("a mode");
        fs::write(at("provision"), PROVISION).expect("a script");
        fs::set_permissions(at("provision"), PermissionsExt::from_mode(0o755)).expect("a mode");
        let holder = hold(&at("memory"));
        Self {
            running: None,
            holder,
            folder,
        }
    }

    /// What lies over this system's own files at the first boot.
    pub fn stage(&self) -> PathBuf {
        self.folder.path().join("stage")
    }

    /// Installs by `make` into [`Machine::stage`], with the programs that were built for the tests.
    ///
    /// # Panics
    /// When that fails.
    pub fn install(&self, targets: &[&str]) {
        let made = Command::new("make")
            .args(["--silent", "--no-print-directory", "PREFIX=/usr"])
            .args(["NOTIFY_RELOAD=auto", "INSTALL_PROGRAM=install -s"])
            .arg(format!("BUILT={}", Self::built().display()))
            .arg(format!("DESTDIR={}", self.stage().display()))
            .args(targets)
            .current_dir(source())
            .output()
            .expect("make");
        assert!(made.status.success(), "make {targets:?}: {}", text(&made));
    }

    /// The folder of the programs that were built for the tests.
    ///
    /// # Panics
    /// Where there is no such folder.
    pub fn built() -> PathBuf {
        let program = binary("mooringd");
        program.parent().expect("a folder").to_owned()
    }

    /// Boots it, and waits until it is up.
    ///
    /// # Panics
    /// When it runs already, or does not come up.
    pub fn boot(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let notify = self.folder.path().join("notify");
        match fs::remove_file(&notify) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => panic!("{}: {error}", notify.display()),
        }
        let told = UnixDatagram::bind(&notify).expect("a socket");
        told.set_read_timeout(Some(PATIENCE)).expect("a bound");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the log");
        // Both die with the thread of the test, whatever happens to it.
        let outside = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nsenter", "--mount", "--target"])
            .arg(self.holder.id().to_string())
            .args(["unshare", "--kill-child", "--pid", "--mount", "--fork"])
            .args(["--cgroup", "--ipc", "--uts", "--net"])
            .args(["--propagation", "private"])
            .arg(source().join("tests/unit/boot.sh"))
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("unshare");
        // Taken down by Drop from here on, whatever goes wrong.
        let running = self.running.insert(Running {
            outside,
            first: Pid::from_raw(0),
        });
        let id = running.outside.id();
        if !heard(&told, "READY=1") {
            panic!("the machine does not come up:\n{}", self.console());
        }
        self.running.as_mut().expect("just inserted").first = only_child(id);
    }

    /// Kills everything in it at once.
    ///
    /// # Panics
    /// When it is off already.
    pub fn cut_power(&mut self) {
        let running = self.running.take().expect("a machine that runs");
        running.end();
    }

    /// The first process, as seen from outside.
    ///
    /// # Panics
    /// When it is off.
    pub fn first(&self) -> Pid {
        self.running.as_ref().expect("a machine that runs").first
    }

    /// What systemd printed.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).expect("the log")).into_owned()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
        // The layer is mounted in this process's namespace alone, and goes with it. Ended already,
        // or ends now; either way there is nothing left to do about it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Running {
    /// Kills the first process, and with it all of its namespace; returns when none is left.
    fn end(mut self) {
        if self.first.as_raw() > 0 {
            // Gone already when the machine switched itself off.
            let _ = kill(self.first, Signal::SIGKILL);
        } else {
            // Not up yet: the first process is killed with the one that made it.
            let _ = self.outside.kill();
        }
        let _ = self.outside.wait();
    }
}

/// A process in a mount namespace of its own, with a file system in memory at `place`.
fn hold(place: &Path) -> Child {
    let mut holder = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec"])
        .arg("mount -t tmpfs tmpfs \"$1\"; echo held; exec cat >/dev/null")
        .arg("hold")
        .arg(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare");
    let mut line = String::new();
    let said = holder.stdout.take().expect("a pipe");
    BufReader::new(said).read_line(&mut line).expect("a line");
    assert_eq!(line, "held\n", "no file system in memory");
    holder
}

/// Waits for a word of sd_notify(3).
fn heard(socket: &UnixDatagram, word: &str) -> bool {
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        let said = String::from_utf8_lossy(&buffer[..length]);
        if said.lines().any(|line| line == word) {
            return true;
        }
    }
    false
}

fn only_child(parent: u32) -> Pid {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children = children.expect("the children of unshare");
    let child = children.trim().parse().expect("one child");
    Pid::from_raw(child)
}

/// Both outputs of a command, to be read by a person.
fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn source() -> &'static Path {
    let tests: &Path = OsStr::new(env!("CARGO_MANIFEST_DIR")).as_ref();
    tests.parent().expect("the folder of the workspace")
}
