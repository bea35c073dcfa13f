//! Many at once, and one who cannot be served: nobody waits for anybody else.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use mooring_tests::Machine;

use crate::people::{ctl, sign_in, write};

/// Connects as often as one user may, calls a method on each connection and waits for all answers
/// or (`hold`) for none, tells so, and stays until its input ends.
const CROWD: &str = r#"
import dbus, dbus.bus, sys
from dbus.lowlevel import MethodCallMessage
hold, count = sys.argv[1] == "hold", int(sys.argv[2])
address = "unix:path=/run/dbus/system_bus_socket"
manager = ("org.mooring1", "/org/mooring1", "org.mooring1.Manager")
all = []
for _ in range(count):
    bus = dbus.bus.BusConnection(address)
    all.append(bus)
    if hold:
        message = MethodCallMessage(manager[0], manager[1], manager[2], "Inspect")
        message.append("local", {"storage": dbus.ByteArray(b"/srv")}, signature="sa{sv}")
        bus.send_message(message)
        bus.flush()
    else:
        bus.call_blocking(*manager, "ListInhibitors", "", [])
print("here", flush=True)
sys.stdin.read()
"#;
/// Below what a bus allows one user (256).
const CONNECTIONS: &str = "200";

struct Crowd(Child);

impl Crowd {
    fn come(machine: &Machine, who: &str, how: &str) -> Self {
        let script = ["/usr/bin/python3", "-c", CROWD, how, CONNECTIONS];
        let words = [&["runuser", "-u", who, "--"], script.as_slice()].concat();
        let mut child = machine
            .command(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        assert_eq!(line, "here\n", "{who}");
        Self(child)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn who_comes_with_many_connections_keeps_nobody_out() {
    let machine = Machine::new();
    machine.run_as("bob", &ctl(&["status"]));
    // More clients than a bus gives subscriptions to one of its clients (512).
    let crowds = ["ann", "games", "mail"].map(|who| Crowd::come(&machine, who, "answered"));
    machine.run_as("bob", &ctl(&["status"]));
    drop(crowds);

    // Ann's worker never connects, and calls that need it wait.
    let folder = machine.path("/etc/systemd/system/mooring-worker@1000.service.d");
    std::fs::create_dir_all(&folder).unwrap();
    let late = "[Service]\nExecStart=\nExecStart=/usr/bin/sleep infinity\n";
    std::fs::write(folder.join("late.conf"), late).unwrap();
    machine.run(&["systemctl", "daemon-reload"]);
    let crowd = Crowd::come(&machine, "ann", "hold");
    let another = machine.command_as("ann", &ctl(&["receipts"])).output();
    let told = String::from_utf8(another.unwrap().stderr).unwrap();
    assert!(told.contains("calls of this user are under way"), "{told}");
    sign_in_as_bob(&machine);
    drop(crowd);
}

fn sign_in_as_bob(machine: &Machine) {
    let rule = "polkit.addRule(function(action, subject) { \
                if (action.id == 'org.mooring1.sign-in') return polkit.Result.YES; });";
    std::fs::write(machine.path("/etc/polkit-1/rules.d/10-test.rules"), rule).unwrap();
    sign_in(machine, "bob");
    write(machine, "bob");
    assert!(machine.run_as("bob", &ctl(&["status"])).contains("bob"));
}

#[tokio::test]
async fn damaged_state_is_nobody_elses_trouble() {
    let machine = Machine::new();
    sign_in_as_bob(&machine);
    // A job of ann's that cannot be read.
    machine.run_as("ann", &ctl(&["receipts"]));
    machine.run(&["systemctl", "stop", "mooringd.service"]);
    let damage = "import sqlite3\nc=sqlite3.connect('/var/lib/mooring/1000/broker.db')\n\
                  c.execute(\"INSERT INTO job (number, account, data) VALUES (9, 'x', 'damaged')\")\n\
                  c.commit()";
    machine.run(&[
        "runuser",
        "-u",
        "mooring",
        "--",
        "/usr/bin/python3",
        "-c",
        damage,
    ]);
    machine.run(&["systemctl", "start", "mooringd.service"]);
    assert!(machine.run_as("bob", &ctl(&["status"])).contains("bob"));
    let journal = machine.journal("mooringd.service");
    assert!(
        journal.contains("the accounts of this person cannot be served"),
        "{journal}"
    );
}
