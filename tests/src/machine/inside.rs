//! What a test does inside of a [`Machine`]: commands, as root or as a person, the journal, and waiting
//! for what systemd tells.

use std::fs;
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tokio::time::timeout;
use zbus::OwnedObjectPath;
use zbus::fdo::{PropertiesChangedStream, PropertiesProxy};

use super::{Machine, text};
use crate::PATIENCE;
use crate::bus::next;
use crate::ctl::Ctl;

impl Machine {
    /// A path of the machine, as seen from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.first())).join(inside.trim_start_matches('/'))
    }

    /// A command in the machine, as root, with an environment of its own.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg("--target")
            .arg(self.first().to_string())
            .args(["--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"])
            .args(["--root", "--wd", "--"])
            .args(words)
            .env_clear()
            .envs([
                ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                ("LANG", "C.UTF-8"),
                ("HOME", "/root"),
                ("DEBIAN_FRONTEND", "noninteractive"),
            ])
            .stdin(Stdio::null());
        command
    }

    /// A command in the machine, as a person.
    pub fn command_as(&self, person: &str, words: &[&str]) -> Command {
        let home = format!("HOME=/home/{person}");
        let user = format!("USER={person}");
        let mut all = vec!["runuser", "-u", person, "--", "env", "-C"];
        all.extend([&home[5..], &home, &user]);
        all.extend(words);
        self.command(&all)
    }

    /// A call of `mooringctl` by a person, about the daemon of the device.
    pub fn ctl(&self, person: &str, arguments: &[&str]) -> Ctl {
        let words = [&["mooringctl", "--system"], arguments].concat();
        let shown = format!("{person}: {}", words.join(" "));
        Ctl::new(self.command_as(person, &words).into(), shown)
    }

    /// What a command of root's prints.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn run(&self, words: &[&str]) -> String {
        success(words, &mut self.command(words))
    }

    /// What a command of a person's prints.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn run_as(&self, person: &str, words: &[&str]) -> String {
        success(words, &mut self.command_as(person, words))
    }

    /// What a command of a person's prints that reads `input`: a password on `--password-fd 0`.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn run_as_with(&self, person: &str, words: &[&str], input: &str) -> String {
        // A file and not a pipe: nothing here has to write while the other side reads.
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(input.as_bytes()).expect("the input");
        file.rewind().expect("the beginning");
        success(words, self.command_as(person, words).stdin(file))
    }

    /// What a unit said, since the first boot.
    ///
    /// # Panics
    /// When the journal cannot be read.
    pub fn journal(&self, unit: &str) -> String {
        self.run(&["journalctl", "--sync"]);
        self.run(&["journalctl", "--no-pager", "--output=cat", "--unit", unit])
    }

    /// One property of a unit, as `systemctl show` prints it.
    ///
    /// # Panics
    /// When systemd cannot be asked.
    pub fn property(&self, unit: &str, property: &str) -> String {
        let shown = self.run(&["systemctl", "show", "--value", "--property", property, unit]);
        shown.trim_end().to_owned()
    }

    /// The address of the machine's system bus, from outside. The bus sees this process's own user.
    pub fn bus_address(&self) -> String {
        format!(
            "unix:path={}",
            self.path("/run/dbus/system_bus_socket").display()
        )
    }

    /// A connection to the machine's system bus, as root.
    ///
    /// # Panics
    /// When there is none.
    pub async fn connect(&self) -> zbus::Connection {
        zbus::connection::Builder::address(self.bus_address().as_str())
            .build()
            .await
            .expect("the machine's system bus")
    }

    /// Gives a unit one more file of settings, of its section `[Service]`; for its next start.
    ///
    /// # Panics
    /// When it cannot be written, or systemd does not read it.
    pub fn drop_in(&self, unit: &str, name: &str, settings: &str) {
        let folder = self.path(&format!("/etc/systemd/system/{unit}.d"));
        fs::create_dir_all(&folder).expect("a folder");
        let text = format!("[Service]\n{settings}\n");
        fs::write(folder.join(format!("{name}.conf")), text).expect("a drop-in");
        self.run(&["systemctl", "daemon-reload"]);
    }

    /// Waits until `is_so`, which is asked again whenever systemd tells of a change of the unit.
    ///
    /// # Panics
    /// When it is not within [`PATIENCE`], with the unit's journal.
    pub async fn wait_until(&self, what: &str, unit: &str, is_so: impl Fn() -> bool) {
        let waited = timeout(PATIENCE, async {
            let mut changes = self.changes(unit).await.expect("systemd");
            while !is_so() {
                next(&mut changes).await.expect("the machine's bus");
            }
        });
        if waited.await.is_err() {
            panic!("{unit} is not {what}:\n{}", self.journal(unit));
        }
    }

    /// Waits until a unit is active.
    ///
    /// # Panics
    /// As [`Machine::wait_until`].
    pub async fn wait_until_active(&self, unit: &str) {
        let active = || self.property(unit, "ActiveState") == "active";
        self.wait_until("active", unit, active).await;
    }

    /// What systemd tells of a unit's properties, from now on.
    async fn changes(&self, unit: &str) -> zbus::Result<PropertiesChangedStream> {
        let bus = self.connect().await;
        let systemd = "org.freedesktop.systemd1";
        let manager = zbus::Proxy::new(
            &bus,
            systemd,
            "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager",
        )
        .await?;
        // Without a subscriber systemd says nothing.
        manager.call_method("Subscribe", &()).await?;
        let path: OwnedObjectPath = manager.call("LoadUnit", &(unit,)).await?;
        let properties = PropertiesProxy::new(&bus, systemd, path).await?;
        properties.receive_properties_changed().await
    }
}

fn success(words: &[&str], command: &mut Command) -> String {
    let output = command.output().expect("nsenter");
    assert!(
        output.status.success(),
        "{words:?}: {}: {}",
        output.status,
        text(&output)
    );
    String::from_utf8(output.stdout).expect("text")
}
