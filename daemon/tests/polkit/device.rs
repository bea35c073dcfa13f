//! A device with a system bus, polkitd, people, and a service that asks polkit.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use mooring_tests::{PATIENCE, Process, next};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use tokio::sync::watch;
use zbus::Connection;
use zbus::fdo::DBusProxy;

/// The user that the daemon runs as, and people.
pub const MOORING: u32 = 61_000;
pub const ANNA: u32 = 61_001;
pub const BERT: u32 = 61_002;
/// Everybody's password of the device, and its crypt(5) form.
pub const PASSWORD: &str = "correct horse";
const CRYPT: &str = "$6$mooring$AopoqAxU3dMMp3lmi5YT0JhWxWzlKQFfMWZ0blOrVA4Q049HZ\
                     QkplHzCPZeSQRT.hdtGZfrLcVaPQN07t31/7.";

const POLKITD: &str = "/usr/lib/polkit-1/polkitd";
const INSTALL: &str = "run: apt-get install polkitd dbus systemd bsdutils (or: make setup)";
const SYSTEMD_ACTIONS: &str = "org.freedesktop.systemd1.policy";
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/polkit");

const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"#;

/// The device. The mounts are this test's thread's own, and go with it.
pub struct Device {
    // Dropped in this order.
    stand_in: Process,
    pub polkitd: Process,
    _bus: Process,
    /// What polkitd told, and what the service told.
    pub told: Printed,
    pub verdicts: Printed,
    _folder: TempDir,
}

/// What a process prints, as it comes.
#[derive(Clone)]
pub struct Printed(Arc<Mutex<Vec<u8>>>, watch::Receiver<()>);

impl Printed {
    pub fn by(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = watch::channel(());
        let kept = text.clone();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            // A terminal whose last program has ended answers with an error.
            while let Ok(n @ 1..) = from.read(&mut chunk) {
                kept.lock().unwrap().extend_from_slice(&chunk[..n]);
                tell.send_modify(|()| ());
            }
        });
        Self(text, told)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits for a line that has `part`, and answers as much of it as there is.
    pub async fn wait_for(&self, part: &str) -> String {
        let find = || {
            let text = self.text();
            let line = text.lines().find(|line| line.contains(part));
            line.map(str::to_owned)
        };
        let mut told = self.1.clone();
        let wait = async {
            loop {
                told.borrow_and_update();
                if let Some(line) = find() {
                    return Some(line);
                }
                if told.changed().await.is_err() {
                    // The end: nothing comes any more.
                    return find();
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await.ok().flatten();
        found.unwrap_or_else(|| panic!("no {part:?} in:\n{}", self.text()))
    }

    /// Waits for the end of it.
    pub async fn whole(&self) -> String {
        let mut told = self.1.clone();
        let wait = async { while told.changed().await.is_ok() {} };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "no end of:\n{}", self.text());
        self.text()
    }
}

impl Device {
    /// With the files of polkit that are installed, and these rules of an administrator (files by
    /// their names) besides.
    pub async fn new(rules: &[(&str, &str)]) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests act as other people: run them as root"
        );
        assert!(Path::new(POLKITD).exists(), "polkitd is missing; {INSTALL}");
        let folder = tempfile::Builder::new()
            .prefix("mooring-")
            .tempdir()
            .unwrap();
        own_files(folder.path());
        for (name, text) in rules {
            fs::write(Path::new("/etc/polkit-1/rules.d").join(name), text).unwrap();
        }
        let bus = bus(folder.path());
        let root = Connection::system().await.unwrap();
        let (polkitd, told) = polkitd();
        wait_for_name(&root, "org.freedesktop.PolicyKit1").await;
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={MOORING}"), "--clear-groups"]);
        let program = std::env::current_exe().unwrap();
        command.arg(program).args(crate::stand_in::ARGUMENTS);
        let mut stand_in = Process::start("the service", command.stdout(Stdio::piped()));
        let verdicts = Printed::by(stand_in.stdout().unwrap());
        wait_for_name(&root, mooring_api::BUS_NAME).await;
        Self {
            stand_in,
            polkitd,
            _bus: bus,
            told,
            verdicts,
            _folder: folder,
        }
    }

    /// Ends the service, as if it had died.
    pub fn kill_service(&mut self) {
        self.stand_in.kill();
    }
}

/// A command as a person, at no terminal and in no session.
pub fn as_person(uid: u32, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={uid}")]);
    command.args(["--clear-groups", program]);
    command.env_clear();
    command.envs([
        ("PATH", "/usr/bin:/bin"),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
    ]);
    command
}

fn polkitd() -> (Process, Printed) {
    let mut command = Command::new(POLKITD);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process::start("polkitd", &mut command);
    let lines = Printed::by(process.stdout().unwrap());
    (process, lines)
}

fn bus(folder: &Path) -> Process {
    let config = folder.join("bus.conf");
    fs::write(&config, BUS).unwrap();
    let mut command = Command::new("dbus-daemon");
    command.args(["--nofork", "--nopidfile", "--print-address=1"]);
    command.arg("--config-file").arg(config);
    let mut process = Process::start(
        "dbus-daemon",
        command.stdout(Stdio::piped()).stderr(Stdio::null()),
    );
    let mut address = String::new();
    let mut stdout = BufReader::new(process.stdout().unwrap());
    stdout.read_line(&mut address).unwrap();
    assert!(!address.is_empty(), "dbus-daemon does not start; {INSTALL}");
    process
}

/// Gives this thread, and what it starts, a device's files of its own: no session, no rules and
/// actions but ours and systemd's, and people.
fn own_files(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let systemd = fs::read(Path::new("/usr/share/polkit-1/actions").join(SYSTEMD_ACTIONS))
        .unwrap_or_else(|e| panic!("{SYSTEMD_ACTIONS}: {e}; {INSTALL}"));
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    for place in ["/run", "/etc/polkit-1", "/usr/share/polkit-1"] {
        let options = Some("mode=0755,size=16M");
        mount(
            Some("tmpfs"),
            place,
            Some("tmpfs"),
            MsFlags::empty(),
            options,
        )
        .unwrap();
    }
    for made in [
        "/run/dbus",
        "/etc/polkit-1/rules.d",
        "/usr/share/polkit-1/actions",
        "/usr/share/polkit-1/rules.d",
    ] {
        fs::create_dir(made).unwrap();
    }
    let share = Path::new("/usr/share/polkit-1");
    fs::write(share.join("actions").join(SYSTEMD_ACTIONS), systemd).unwrap();
    for (kind, name) in [
        ("actions", "org.mooring1.policy"),
        ("rules.d", "org.mooring1.rules"),
    ] {
        fs::copy(Path::new(FILES).join(name), share.join(kind).join(name)).unwrap();
    }
    let people = [(MOORING, "mooring"), (ANNA, "anna"), (BERT, "bert")];
    for (file, mode) in [("passwd", 0o644), ("group", 0o644), ("shadow", 0o600)] {
        let path = Path::new("/etc").join(file);
        let mut text = fs::read_to_string(&path).unwrap();
        for (uid, name) in people {
            text += &match file {
                "passwd" => format!("{name}:x:{uid}:{uid}::/nonexistent:/bin/sh\n"),
                "group" => format!("{name}:x:{uid}:\n"),
                _ => format!("{name}:{CRYPT}:20000:0:99999:7:::\n"),
            };
        }
        let own = folder.join(file);
        let mut written = File::create(&own).unwrap();
        written.write_all(text.as_bytes()).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(mode)).unwrap();
        mount(Some(&own), &path, none, MsFlags::MS_BIND, none).unwrap();
    }
}

/// Waits until somebody owns a name on the system bus.
async fn wait_for_name(connection: &Connection, name: &str) {
    let wait = async {
        let bus = DBusProxy::new(connection).await.unwrap();
        let mut changes = bus
            .receive_name_owner_changed_with_args(&[(0, name)])
            .await
            .unwrap();
        while !bus.name_has_owner(name.try_into().unwrap()).await.unwrap() {
            next(&mut changes).await.expect("the bus stays");
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "nobody owns {name}");
}
