//! The units as systemd itself reads them. `make check` holds them to the same without a machine.

use mooring_tests::Machine;

const UNITS: [&str; 4] = [
    "mooringd.service",
    "mooring-worker@1000.service",
    "mooring-key.service",
    "mooring-rotate-key.service",
];

#[test]
fn systemd_reads_every_file_without_a_word() {
    let machine = Machine::new();
    for unit in UNITS {
        assert_eq!(machine.property(unit, "LoadState"), "loaded", "{unit}");
        let verified = machine.command(&["systemd-analyze", "verify", "--man=no", unit]);
        let said = said_by(verified);
        assert_eq!(said, "", "{unit}");
    }
    assert!(
        !machine.console().contains("mooring") || !machine.console().contains("Unknown"),
        "{}",
        machine.console()
    );
    assert_eq!(machine.property(UNITS[0], "UnitFilePreset"), "enabled");
    machine.run(&["systemctl", "preset", UNITS[0]]);
    assert_eq!(machine.property(UNITS[0], "UnitFileState"), "enabled");

    // The user, by sysusers.d, and the places, by tmpfiles.d at the boot.
    assert_eq!(
        machine
            .run(&["getent", "passwd", "mooring"])
            .split(':')
            .nth(6),
        Some("/usr/sbin/nologin\n")
    );
    let owners = [
        "stat",
        "-c",
        "%U %a",
        "/run/mooring",
        "/run/mooring/policy.d",
    ];
    assert_eq!(machine.run(&owners), "mooring 755\nroot 755\n");
}

#[tokio::test]
async fn nobody_but_the_daemons_user_is_mooring_on_the_system_bus() {
    let machine = Machine::new();
    // Asking for the name does not wake the daemon up either.
    for (user, may) in [("ann", false), ("root", false), ("mooring", true)] {
        let claimed = machine
            .command(&["runuser", "-u", user, "--", "busctl", "call"])
            .args(["org.freedesktop.DBus", "/org/freedesktop/DBus"])
            .args(["org.freedesktop.DBus", "RequestName", "su"])
            .args(["org.mooring1", "4"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&claimed.stderr).into_owned();
        assert_eq!(claimed.status.success(), may, "{user}: {said}");
        assert!(may || said.contains("Access denied"), "{user}: {said}");
    }
    assert_eq!(machine.property(UNITS[0], "ActiveState"), "inactive");
}

#[test]
fn the_daemons_user_may_start_and_stop_workers_and_nothing_else() {
    let machine = Machine::new();
    let ask = |verb: &str, unit: &str| {
        let asked = machine
            .command(&["runuser", "-u", "mooring", "--", "busctl", "call"])
            .args(["org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
            .args(["org.freedesktop.systemd1.Manager", verb, "ss"])
            .args([unit, "replace"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert!(
            asked.status.success()
                || said.contains("Access denied")
                || said.contains("authentication"),
            "{verb} {unit}: {said}"
        );
        asked.status.success()
    };
    for verb in ["StartUnit", "StopUnit", "RestartUnit"] {
        assert!(ask(verb, "mooring-worker@1000.service"), "{verb}");
        for other in [
            "mooring-worker@0.service",
            "mooring-worker@root.service",
            "dbus.service",
            "mooringd.service",
            "systemd-journald.service",
        ] {
            assert!(!ask(verb, other), "{verb} {other}");
        }
    }
    assert!(!ask("ReloadUnit", "mooring-worker@1000.service"));
}

fn said_by(mut command: std::process::Command) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}
