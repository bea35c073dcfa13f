//! The machine itself: what other tests take for granted.

use mooring_tests::Machine;

#[tokio::test]
async fn a_machine_keeps_its_files_over_a_power_cut_and_nothing_else() {
    let mut machine = Machine::new();
    assert_eq!(machine.run_as("ann", &["id", "-u"]).trim(), "1000");
    assert_eq!(machine.run_as("bob", &["id", "-u"]).trim(), "1001");
    assert_eq!(machine.run(&["cat", "/proc/1/comm"]).trim(), "systemd");
    machine.wait_until_active("dbus.service").await;
    // Started by the first call, by systemd, under its own user.
    machine.run(&[
        "busctl",
        "call",
        "org.freedesktop.PolicyKit1",
        "/org/freedesktop/PolicyKit1/Authority",
        "org.freedesktop.PolicyKit1.Authority",
        "EnumerateActions",
        "s",
        "",
    ]);
    machine.run_as("ann", &["sh", "-c", "echo kept >~/file"]);
    machine.run(&["sh", "-c", "echo lost >/run/file"]);
    machine.run(&[
        "systemd-run",
        "--unit=speaks",
        "--wait",
        "echo",
        "remember this",
    ]);
    assert!(machine.journal("speaks.service").contains("remember this"));
    let first = machine.run(&["cat", "/proc/sys/kernel/random/boot_id", "/etc/machine-id"]);

    machine.cut_power();
    machine.boot();
    assert_eq!(machine.run_as("ann", &["sh", "-c", "cat ~/file"]), "kept\n");
    assert!(!machine.path("/run/file").exists());
    assert!(machine.journal("speaks.service").contains("remember this"));
    let second = machine.run(&["cat", "/proc/sys/kernel/random/boot_id", "/etc/machine-id"]);
    assert_eq!(
        first.lines().last(),
        second.lines().last(),
        "the same machine"
    );
}
