//! Somebody with an account on the device, against somebody else's account and against the daemon.

use std::io::{BufRead, BufReader, Seek, Write};
use std::process::{Output, Stdio};

use mooring_tests::Machine;

use crate::people::{ctl, sign_in, write};

const OTHERS: &str = "you may not act on Mooring itself or on accounts of other people";

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(&[out.as_slice(), err.as_slice()].concat()).into_owned()
}

/// What comes of a call on the system bus.
fn call(machine: &Machine, who: &str, words: &[&str]) -> Output {
    // Not everybody has a home to begin in.
    let begin = [
        "runuser",
        "-u",
        who,
        "--",
        "busctl",
        "--system",
        "call",
        "org.mooring1",
    ];
    machine.command(&[&begin, words].concat()).output().unwrap()
}

/// The methods of an interface, with the signature of what goes in.
fn methods(interface: &str) -> Vec<(String, String)> {
    let all = mooring_api::INTROSPECTION;
    let (_, xml) = all.iter().find(|(name, _)| *name == interface).unwrap();
    let attribute = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("{name}=\""))?;
        Some(rest.split('"').next().unwrap().to_owned())
    };
    let methods = xml.split("<method ").skip(1);
    methods
        .map(|method| {
            let method = method.split("</method>").next().unwrap();
            let name = attribute(method, "name").unwrap();
            let arguments = method.split("<arg ").skip(1);
            let goes_in = arguments.filter(|arg| attribute(arg, "direction").unwrap() == "in");
            let signature = goes_in.map(|arg| attribute(arg, "type").unwrap()).collect();
            (name, signature)
        })
        .collect()
}

/// Calls every method of its input with empty arguments, and prints the errors' names.
const CALLER: &str = r#"
import dbus, re, sys
bus = dbus.SystemBus()
empty = {"s": "", "b": False, "h": None, "a{sv}": {}, "ay": [], "as": []}
for line in sys.stdin:
    path, interface, method, signature = (line.rstrip("\n").split(" ") + [""])[:4]
    arguments = []
    for part in re.findall(r"a\{sv\}|ay|as|.", signature):
        arguments.append(dbus.types.UnixFd(0) if part == "h" else empty[part])
    try:
        bus.call_blocking("org.mooring1", path, interface, method, signature, arguments)
        print("done", interface, method)
    except dbus.DBusException as error:
        print(error.get_dbus_name(), interface, method, error.get_dbus_message())
"#;

/// The object of the one account that root sees of a person.
fn account(machine: &Machine, who: &str) -> String {
    let tree = machine.run_as(
        who,
        &[
            "busctl",
            "--system",
            "call",
            "org.mooring1",
            "/org/mooring1",
            "org.freedesktop.DBus.ObjectManager",
            "GetManagedObjects",
        ],
    );
    let (_, rest) = tree.split_once("/org/mooring1/accounts/").unwrap();
    let id: String = rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    format!("/org/mooring1/accounts/{id}")
}

#[tokio::test]
async fn nobody_reaches_what_is_somebody_elses() {
    let machine = Machine::new();
    let rule = "polkit.addRule(function(action, subject) { \
                if (action.id == 'org.mooring1.sign-in') return polkit.Result.YES; });";
    std::fs::write(machine.path("/etc/polkit-1/rules.d/10-test.rules"), rule).unwrap();
    sign_in(&machine, "ann");
    write(&machine, "ann");
    let anns = account(&machine, "ann");
    // There is a broker for bob, too, from here on.
    machine.run_as("bob", &ctl(&["status"]));

    every_method(&machine, &anns);
    properties(&machine, &anns);
    signals(&machine);
    a_false_worker(&machine);
    the_daemon_itself(&machine);

    // Ann's account is what it was, and works.
    machine.run_as("ann", &ctl(&["sync", "ann", "--wait"]));
    assert!(machine.run_as("ann", &ctl(&["status"])).contains("ann"));
}

fn every_method(machine: &Machine, anns: &str) {
    let mut calls = String::new();
    let interfaces = [
        "org.mooring1.Account",
        "org.mooring1.Account.Files",
        "org.mooring1.Account.Devices",
    ];
    for interface in interfaces {
        for (method, signature) in methods(interface) {
            calls += &format!("{anns} {interface} {method} {signature}\n");
        }
    }
    calls += "/org/mooring1 org.mooring1.Manager Reload \n";
    for who in ["bob", "nobody"] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(calls.as_bytes()).unwrap();
        file.rewind().unwrap();
        let words = ["runuser", "-u", who, "--", "/usr/bin/python3", "-c", CALLER];
        let output = machine.command(&words).stdin(file).output().unwrap();
        let told = said(&output);
        assert!(output.status.success(), "{told}");
        assert_eq!(told.lines().count(), calls.lines().count(), "{told}");
        for line in told.lines() {
            let denied = line.starts_with("org.mooring1.Error.NotAuthorized ");
            assert!(denied && line.contains(OTHERS), "{who}: {line}");
        }
    }
}

fn properties(machine: &Machine, anns: &str) {
    let properties = "org.freedesktop.DBus.Properties";
    for words in [
        [
            anns,
            properties,
            "Get",
            "ss",
            "org.mooring1.Account",
            "Identity",
        ]
        .as_slice(),
        &[anns, properties, "GetAll", "s", "org.mooring1.Account"],
        &[
            anns,
            properties,
            "GetAll",
            "s",
            "org.mooring1.Account.Files",
        ],
    ] {
        let refused = call(machine, "bob", words);
        assert!(!refused.status.success(), "{words:?}: {}", said(&refused));
        assert!(
            said(&refused).contains("Access denied"),
            "{}",
            said(&refused)
        );
        assert!(call(machine, "ann", words).status.success(), "{words:?}");
        assert!(
            machine
                .command(&["busctl", "call", "org.mooring1"])
                .args(words)
                .status()
                .unwrap()
                .success()
        );
    }
    let all = call(
        machine,
        "bob",
        &[
            "/org/mooring1",
            "org.freedesktop.DBus.ObjectManager",
            "GetManagedObjects",
        ],
    );
    assert!(all.status.success());
    assert!(!said(&all).contains("ann"), "{}", said(&all));
    // Nor does the tree of objects name anything of hers to anybody else.
    let (above, id) = anns.rsplit_once('/').unwrap();
    let introspect = |who: &str, path: &str| {
        let words = [path, "org.freedesktop.DBus.Introspectable", "Introspect"];
        let output = call(machine, who, &words);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    for path in ["/", "/org", "/org/mooring1", above, "/org/mooring1/jobs"] {
        let told = introspect("bob", path);
        assert!(!told.contains(id), "{path}: {told}");
        let job = told.contains("node name=\\\"1\\\"");
        assert!(!job, "{path}: {told}");
    }
    assert!(introspect("ann", above).contains(id));
    assert!(introspect("ann", "/org/mooring1/jobs").contains("node name=\\\"1\\\""));
    assert!(introspect("bob", "/org/mooring1").contains("org.mooring1.Manager"));
    let receipts = machine.run_as("bob", &ctl(&["receipts"]));
    assert!(!receipts.contains("ann"), "{receipts}");
}

/// Of what happens to ann's account nothing goes to everybody on the bus.
fn signals(machine: &Machine) {
    // Its own first signal shows that it listens.
    let script = "F=/tmp/heard; dbus-monitor --system \"sender='org.mooring1'\" >$F 2>&1 & M=$!; \
                  until grep -q NameAcquired $F; do sleep 0.02; done; echo listens; \
                  read -r _; kill $M";
    let mut ear = machine
        .command_as("bob", &["bash", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(ear.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "listens\n");
    machine.run_as("ann", &ctl(&["pause", "ann"]));
    machine.run_as("ann", &ctl(&["resume", "ann"]));
    machine.run_as("ann", &ctl(&["sync", "ann", "--wait"]));
    drop(ear.stdin.take());
    let _ = ear.wait().unwrap();
    let heard = std::fs::read_to_string(machine.path("/tmp/heard")).unwrap();
    for word in ["/org/mooring1/accounts/", "/org/mooring1/jobs/", "Storage"] {
        assert!(!heard.contains(word), "bob heard of {word}:\n{heard}");
    }
}

/// Whoever connects where workers do is turned away, also as ann: only her unit is her worker.
fn a_false_worker(machine: &Machine) {
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\n\
                  s.connect('/run/mooring/worker.sock')\ns.settimeout(60)\n\
                  sys.exit(0 if s.recv(1)==b'' else 1)";
    for who in ["ann", "bob", "nobody"] {
        machine.run(&["runuser", "-u", who, "--", "/usr/bin/python3", "-c", script]);
    }
    let journal = machine.journal("mooringd.service");
    assert!(
        journal.contains("somebody who is no worker connected"),
        "{journal}"
    );
}

fn the_daemon_itself(machine: &Machine) {
    let broker = machine.property("mooringd.service", "MainPID");
    let worker = machine.property("mooring-worker@1000.service", "MainPID");
    let denied = |who: &str, words: &[&str]| {
        let output = machine.command_as(who, words).output().unwrap();
        assert!(
            !output.status.success(),
            "{who} {words:?}: {}",
            said(&output)
        );
    };
    for pid in [&broker, &worker] {
        for what in ["fd", "environ", "mem", "maps"] {
            let path = format!("/proc/{pid}/{what}");
            denied("bob", &["ls", "-l", &format!("{path}/")]);
            denied("bob", &["cat", &path]);
        }
        denied("bob", &["kill", pid]);
    }
    // Not even its own person: it cannot be made to do anything in the broker's name.
    denied("ann", &["ls", &format!("/proc/{worker}/fd/")]);
    denied("ann", &["cat", &format!("/proc/{worker}/environ")]);
    denied("bob", &["ls", "/var/lib/mooring/1000"]);
    denied("ann", &["ls", "/var/lib/mooring"]);
    denied(
        "bob",
        &[
            "busctl",
            "--system",
            "call",
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "RequestName",
            "su",
            "org.mooring1",
            "0",
        ],
    );
    // The daemon's own user manages workers, and nothing else of the system.
    let unit = |unit: &str| {
        [
            "runuser",
            "-u",
            "mooring",
            "--",
            "busctl",
            "--system",
            "call",
            "org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager",
            "StopUnit",
            "ss",
            unit,
            "replace",
        ]
        .map(str::to_owned)
    };
    for other in [
        "dbus.service",
        "mooring-worker@0.service",
        "mooring-worker@1000.socket",
    ] {
        let words = unit(other);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = machine.command(&words).output().unwrap();
        assert!(!output.status.success(), "mooring stopped {other}");
    }
}
