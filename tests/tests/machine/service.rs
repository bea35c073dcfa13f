//! The service for all people: started by a call, restarted when it dies or hangs, and within its
//! bounds.

use std::time::Duration;

use mooring_tests::Machine;

const UNIT: &str = "mooringd.service";

/// Asks the daemon its version, over the system bus.
fn call(machine: &Machine, person: &str) -> String {
    let version = machine.run_as(
        person,
        &[
            "busctl",
            "--system",
            "get-property",
            "org.mooring1",
            "/org/mooring1",
            "org.mooring1.Manager",
            "Version",
        ],
    );
    version.trim().to_owned()
}

pub fn main_pid(machine: &Machine) -> u32 {
    machine.property(UNIT, "MainPID").parse().unwrap()
}

#[tokio::test]
async fn the_first_call_of_anybody_starts_it_for_everybody() {
    let machine = Machine::new();
    assert_eq!(machine.property(UNIT, "ActiveState"), "inactive");
    let version = format!("s \"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(call(&machine, "ann"), version);
    assert_eq!(machine.property(UNIT, "ActiveState"), "active");
    let first = main_pid(&machine);
    assert_eq!(call(&machine, "bob"), version);
    assert_eq!(main_pid(&machine), first, "one daemon for all");
    for person in ["ann", "bob"] {
        let status = machine.run_as(person, &["mooringctl", "--system", "status"]);
        assert!(!status.is_empty());
    }

    // What the daemon is: its own user, without anything that root could.
    let status = machine.run(&["cat", &format!("/proc/{first}/status")]);
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}"))
            .trim()
            .to_owned()
    };
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    let user = machine.run(&["id", "-u", "mooring"]);
    assert_eq!(field("Uid:").split_whitespace().next(), Some(user.trim()));
    // What it sees: no home, no network, no writable place but its own.
    let sees = |script: &str| {
        let target = first.to_string();
        let words = ["nsenter", "-t", &target, "-m", "-n", "sh", "-c", script];
        machine.command(&words).output().unwrap().status.success()
    };
    assert!(!sees("ls /home/ann"), "a home is seen");
    assert!(!sees("touch /etc/x /usr/x /srv/x"), "it could write");
    assert!(sees("touch /var/lib/mooring/x && rm /var/lib/mooring/x"));
    assert!(sees(
        "[ \"$(ls /sys/class/net 2>/dev/null | grep -vc lo)\" = 0 ] && ! ip route get 1.1.1.1 2>/dev/null"
    ));
}

#[tokio::test]
async fn a_reload_is_taken_up_and_a_crash_is_begun_again_from() {
    let machine = Machine::new();
    call(&machine, "ann");
    let first = main_pid(&machine);
    machine.run(&["systemctl", "reload", UNIT]);
    assert_eq!(main_pid(&machine), first);
    call(&machine, "ann");

    machine.run(&[
        "systemctl",
        "kill",
        "--signal=KILL",
        "--kill-whom=main",
        UNIT,
    ]);
    another_than(&machine, first).await;
    call(&machine, "bob");

    // What an administrator put into the folder that a boot clears is there after a stop, too.
    machine.run(&["touch", "/run/mooring/policy.d/10-today.toml"]);
    machine.run(&["systemctl", "stop", UNIT]);
    assert_eq!(machine.property(UNIT, "Result"), "success");
    machine.run(&["systemctl", "start", UNIT]);
    let kept = ["stat", "-c", "%U", "/run/mooring/policy.d/10-today.toml"];
    assert_eq!(machine.run(&kept), "root\n");
}

#[tokio::test]
async fn a_daemon_that_hangs_is_ended_and_one_that_works_is_not() {
    let machine = Machine::off();
    machine.install(&["install-programs", "install-units"]);
    let dropin = machine
        .stage()
        .join("etc/systemd/system/mooringd.service.d");
    std::fs::create_dir_all(&dropin).unwrap();
    let short = "[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n";
    std::fs::write(dropin.join("watchdog.conf"), short).unwrap();
    let mut machine = machine;
    machine.boot();
    call(&machine, "ann");
    let first = main_pid(&machine);
    // Twice its time, which is the thing that is tested: that nothing happens in it.
    tokio::time::sleep(Duration::from_secs(6)).await;
    call(&machine, "ann");
    assert_eq!(main_pid(&machine), first, "{}", machine.journal(UNIT));

    machine.run(&[
        "systemctl",
        "kill",
        "--signal=STOP",
        "--kill-whom=main",
        UNIT,
    ]);
    another_than(&machine, first).await;
    // Nothing but the watchdog ends a process that is stopped.
    call(&machine, "ann");
}

/// Waits until another process than this one is the daemon, and answers calls.
pub async fn another_than(machine: &Machine, first: u32) {
    let another = || {
        machine.property(UNIT, "ActiveState") == "active"
            && ![0, first].contains(&main_pid(machine))
    };
    machine.wait_until("begun again", UNIT, another).await;
}
