//! Ann's program calls as fast as it can write, and bob is served all the while; what it takes of the
//! broker's memory has a bound. How long bob waits is printed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

use mooring_api::{BUS_NAME, ROOT_PATH};
use mooring_tests::Machine;
use zbus::Message;
use zbus::message::Flags;

use crate::people::ctl;

/// Calls a second of the flood, over all of its connections, and for how long.
const RATE: usize = 10_000;
const SECONDS: usize = 3;
const CONNECTIONS: usize = 4;
/// What a flood may take of the broker's memory, in KiB.
const GROWTH: u64 = 32 * 1024;

/// Several connections; reads all that comes, and throws it away. A message comes in hexadecimal
/// digits.
const CONNECTIONS_OF: &str = r#"
import os, socket, struct, sys, threading, time
message, rate, seconds, count = bytes.fromhex(sys.argv[1]), *map(int, sys.argv[2:])
PATH, NAME = b"/org/freedesktop/DBus", b"org.freedesktop.DBus"
def field(code, kind, text):
    bytes = struct.pack("<BB1sBI", code, 1, kind, 0, len(text)) + text + b"\0"
    return bytes + bytes_to(8, len(bytes))
def bytes_to(size, length):
    return b"\0" * (-length % size)
fields = field(1, b"o", PATH) + field(6, b"s", NAME) + field(2, b"s", NAME)
last = struct.pack("<BB1sBI", 3, 1, b"s", 0, 5) + b"Hello\0"
head = struct.pack("<BBBBIII", ord("l"), 1, 0, 1, 0, 1, len(fields + last)) + fields + last
hello = head + bytes_to(8, len(head))
def connect():
    bus = socket.socket(socket.AF_UNIX)
    bus.connect("/run/dbus/system_bus_socket")
    bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
    assert bus.recv(100).startswith(b"OK")
    bus.sendall(b"BEGIN\r\n" + hello)
    assert bus.recv(1)
    return bus
def read(bus):
    while bus.recv(1 << 16):
        pass
buses = [connect() for _ in range(count)]
for bus in buses:
    threading.Thread(target=read, args=[bus], daemon=True).start()
"#;

/// Writes the message again and again on each, under a serial number of its own, in a hundred parts
/// a second.
const FLOOD: &str = r#"
print("begins", flush=True)
part, size, serial = rate // 100 // count, len(message), 2
written, begin = bytearray(message * part), time.monotonic()
for nr in range(seconds * 100):
    for at in range(part):
        struct.pack_into("<I", written, at * size + 8, serial + at)
    serial += part
    for bus in buses:
        bus.sendall(written)
    time.sleep(max(0, begin + (nr + 1) / 100 - time.monotonic()))
print(part * count * seconds * 100, time.monotonic() - begin, flush=True)
"#;

/// Writes the message many times on each at once, and stays until its input ends.
const BURST: &str = r#"
written = bytearray(message * rate)
for at in range(rate):
    struct.pack_into("<I", written, at * len(message) + 8, 2 + at)
for bus in buses:
    bus.sendall(written)
print("begins", flush=True)
sys.stdin.read()
"#;

/// How many connections have how many calls as their first words.
const FRESH: usize = 100;
const FIRST: usize = 50;
/// Within how many seconds somebody else is served after that.
const SERVED: &str = "20";

/// Asks and waits for the answer, again and again until its input ends; prints how long each took,
/// in microseconds, on one line, and on another the same of the bus itself.
const ASKER: &str = r#"
import dbus, select, sys, time
bus = dbus.SystemBus()
daemon = ("org.mooring1", "/org/mooring1", "org.mooring1.Manager", "ListInhibitors")
itself = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId")
def ask(what):
    begin = time.monotonic()
    bus.call_blocking(*what, "", [], timeout=120)
    return int((time.monotonic() - begin) * 1e6)
ask(daemon)
print("asks", flush=True)
taken = []
while not taken or not select.select([sys.stdin], [], [], 0)[0]:
    taken.append((ask(daemon), ask(itself)))
for each in zip(*taken):
    print(*each)
"#;

#[tokio::test]
async fn a_burst_of_first_calls_leaves_the_daemon_hearing() {
    let machine = Machine::new();
    machine.run_as("bob", &ctl(&["status"]));
    let message = message(
        "org.freedesktop.DBus.ObjectManager",
        "GetManagedObjects",
        None,
    );
    let numbers = [FIRST, 0, FRESH].map(|number| number.to_string());
    let script = [CONNECTIONS_OF, BURST].concat();
    let words = [
        &[script.as_str(), &message],
        &numbers.each_ref().map(String::as_str)[..],
    ]
    .concat();
    // All of it waits in the bus before the first of it is read.
    let broker = machine.property("mooringd.service", "MainPID");
    machine.run(&["kill", "-STOP", &broker]);
    let burst = start(&machine, "ann", &words);
    machine.run_as("bob", &["busctl", "--system", "list"]);
    machine.run(&["kill", "-CONT", &broker]);
    let status = ctl(&["status"]);
    machine.run_as("bob", &[&["timeout", SERVED], &status[..]].concat());
    rest(burst);
    assert_eq!(machine.property("mooringd.service", "MainPID"), broker);
}

fn start(machine: &Machine, who: &str, words: &[&str]) -> (Child, BufReader<impl Read + use<>>) {
    let mut command = machine.command_as(who, &[&["/usr/bin/python3", "-c"], words].concat());
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line == "begins\n" || line == "asks\n", "{who}: {line}");
    (child, told)
}

/// What a program that was started says until its end, which is to be a good one.
fn rest((mut child, mut told): (Child, BufReader<impl Read>)) -> String {
    drop(child.stdin.take());
    let mut said = String::new();
    told.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    said
}

/// The most memory that the broker ever had, in KiB.
fn peak(machine: &Machine) -> u64 {
    let broker = machine.property("mooringd.service", "MainPID");
    let status = machine.run(&["cat", &format!("/proc/{broker}/status")]);
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .unwrap();
    kib.parse().unwrap()
}

fn message(interface: &str, member: &str, flags: Option<Flags>) -> String {
    let mut builder = Message::method_call(ROOT_PATH, member)
        .destination(BUS_NAME)
        .interface(interface);
    if let Some(flags) = flags {
        builder = builder.with_flags(flags);
    }
    let message = builder.build(&()).unwrap();
    let bytes = message.data().bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long answers took, of numbers of microseconds.
fn told(taken: &str) -> String {
    let mut taken: Vec<u64> = taken.split(' ').map(|n| n.parse().unwrap()).collect();
    taken.sort_unstable();
    let at = |percent: usize| Duration::from_micros(taken[(taken.len() - 1) * percent / 100]);
    format!(
        "{} answers, half within {:?}, 99 % within {:?}, all within {:?}",
        taken.len(),
        at(50),
        at(99),
        at(100)
    )
}

#[tokio::test]
async fn one_person_is_served_while_anothers_program_floods() {
    let machine = Machine::new();
    for who in ["ann", "bob"] {
        machine.run_as(who, &ctl(&["status"]));
    }
    let before = peak(&machine);
    let numbers = [RATE, SECONDS, CONNECTIONS].map(|number| number.to_string());
    for (interface, member, flags) in [
        ("org.mooring1.Manager", "ListInhibitors", None),
        (
            "org.mooring1.Manager",
            "ListInhibitors",
            Some(Flags::NO_REPLY_EXPECTED),
        ),
        ("org.freedesktop.DBus.Peer", "Ping", None),
        (
            "org.freedesktop.DBus.ObjectManager",
            "GetManagedObjects",
            None,
        ),
    ] {
        let asker = start(&machine, "bob", &[ASKER]);
        let message = message(interface, member, flags);
        let script = [CONNECTIONS_OF, FLOOD].concat();
        let words = [
            &[script.as_str(), &message],
            &numbers.each_ref().map(String::as_str)[..],
        ]
        .concat();
        let flooded = rest(start(&machine, "ann", &words));
        let said = rest(asker);
        let (daemon, bus) = said.trim().split_once('\n').unwrap();
        let (count, seconds) = flooded.trim().split_once(' ').unwrap();
        println!(
            "{count} of {member} ({flags:?}) in {seconds} s: {}; of the bus itself {}; memory at \
             most {} KiB, {before} before",
            told(daemon),
            told(bus),
            peak(&machine)
        );
    }
    let after = peak(&machine);
    assert!(after < before + GROWTH, "{before} KiB -> {after} KiB");
}
