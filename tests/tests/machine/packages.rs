//! The life of the Debian package: installed, upgraded while the daemon runs, removed, purged. What
//! people own is there after each.

use std::path::{Path, PathBuf};
use std::process::Command;

use mooring_tests::Machine;

const UNIT: &str = "mooringd.service";
/// An entry of the audit: its text is found as soon as the package is there.
const DENIED: &str = "c9455f424ee142fba087b07198d9bd81";
/// The rebuild of a version sorts before it.
pub const VERSIONS: [&str; 2] = ["0.1.0-1~1", "0.1.0-1"];

#[test]
fn a_packages_whole_life_takes_nothing_of_what_people_own() {
    let machine = Machine::off();
    let [old, new] = VERSIONS.map(|version| package(&machine, version));
    lint(&machine.stage().join(new.trim_start_matches('/')));
    let mut machine = machine;
    machine.boot();
    belongings(&machine);

    machine.run(&["dpkg", "--install", &old]);
    assert_eq!(state(&machine), ["active", "enabled"]);
    machine.run(&["journalctl", "--list-catalog", DENIED]);
    machine.run_as("ann", &["mooringctl", "--system", "status"]);
    receipts(&machine);
    machine.run(&["sh", "-c", "echo '# ours' >>/etc/mooring/mooring.toml"]);
    machine.run(&["touch", "/etc/mooring/policy.d/50-ours.toml"]);

    // An upgrade: another process, the same state, the settings as they were changed.
    let before = machine.property(UNIT, "MainPID");
    machine.run(&["dpkg", "--install", &new]);
    assert_eq!(state(&machine), ["active", "enabled"]);
    assert_ne!(machine.property(UNIT, "MainPID"), before);
    let settings = machine.run(&["cat", "/etc/mooring/mooring.toml"]);
    assert!(settings.ends_with("# ours\n"), "changed settings are lost");
    machine.run_as("bob", &["mooringctl", "--system", "status"]);
    assert_kept(&machine, "mooring");

    // Over a removal everything is kept but the programs; an administrator's decision, too.
    machine.run(&["systemctl", "disable", "--quiet", UNIT]);
    machine.run(&["dpkg", "--remove", "mooring"]);
    assert_eq!(machine.property(UNIT, "ActiveState"), "inactive");
    assert!(!machine.path("/usr/bin/mooringd").exists());
    assert!(processes_of_mooring(&machine).is_empty());
    assert_kept(&machine, "mooring");
    machine.run(&["dpkg", "--install", &new]);
    assert_eq!(state(&machine)[1], "disabled");
    machine.run(&["systemctl", "enable", "--quiet", "--now", UNIT]);
    machine.run_as("ann", &["mooringctl", "--system", "status"]);

    // A purge: Mooring's own state goes, and receipts become their persons'.
    machine.run(&["dpkg", "--purge", "mooring"]);
    assert!(processes_of_mooring(&machine).is_empty());
    assert_kept(&machine, "ann");
    assert_eq!(machine.run(&["ls", "/var/lib/mooring"]), "receipts\n");
    assert!(!machine.path("/run/mooring").exists());
    assert!(!machine.path("/etc/mooring/mooring.toml").exists());
    assert_eq!(left_by_the_package(&machine), "");
    machine.run_as("ann", &["cat", "/var/lib/mooring/receipts/1000/r.toml"]);
    let others = machine
        .command_as("bob", &["cat", "/var/lib/mooring/receipts/1000/r.toml"])
        .output()
        .unwrap();
    assert!(!others.status.success(), "bob reads a receipt of ann's");

    // And back: the daemon adds to the receipts that it left.
    machine.run(&["dpkg", "--install", &new]);
    assert_eq!(state(&machine), ["active", "enabled"]);
    assert_kept(&machine, "mooring");
}

/// A package of a version, made of what was built for the tests, where the machine has it as /srv/….
pub fn package(machine: &Machine, version: &str) -> String {
    let folder = machine.stage().join("srv");
    std::fs::create_dir_all(&folder).unwrap();
    let built = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/debian/build"))
        .arg(Machine::built())
        // It is thrown away at once.
        .env("COMPRESS", "gzip")
        .args([version.as_ref(), folder.as_os_str()])
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let path = PathBuf::from(String::from_utf8(built.stdout).unwrap().trim());
    format!("/srv/{}", path.file_name().unwrap().to_str().unwrap())
}

/// Errors of what looks at packages; what it warns of is meant (a worker that nobody can read).
fn lint(package: &Path) {
    let looked = Command::new("lintian")
        .args([
            "--allow-root",
            "--fail-on",
            "error",
            "--tag-display-limit",
            "0",
        ])
        .arg(package)
        .output()
        .expect("lintian is missing; run: apt-get install lintian   (or: tests/setup.sh machine)");
    let said = String::from_utf8_lossy(&looked.stdout);
    assert!(looked.status.success(), "{said}");
}

/// Files of ann's and of nobody's that no step may touch.
fn belongings(machine: &Machine) {
    let make = "mkdir -p ~/Accounts/ann/Photos ~/.local/state/mooring/accounts
        echo photo >~/Accounts/ann/Photos/a.jpg; echo notes >~/.local/state/mooring/accounts/notes";
    machine.run_as("ann", &["sh", "-ec", make]);
    let make = "mkdir -p /srv/disk/Mooring/.mooring; echo copy >/srv/disk/Mooring/a.jpg
        chown -R ann: /srv/disk";
    machine.run(&["sh", "-ec", make]);
}

/// A receipt of ann's, and state of hers, as the daemon keeps both.
fn receipts(machine: &Machine) {
    let make = "umask 077; mkdir -p /var/lib/mooring/receipts/1000 /var/lib/mooring/1000
        echo receipt >/var/lib/mooring/receipts/1000/r.toml";
    let words = ["runuser", "-u", "mooring", "--", "sh", "-ec", make];
    machine.run(&words);
}

fn assert_kept(machine: &Machine, owner_of_receipts: &str) {
    for (file, text) in [
        ("/home/ann/Accounts/ann/Photos/a.jpg", "photo\n"),
        ("/home/ann/.local/state/mooring/accounts/notes", "notes\n"),
        ("/srv/disk/Mooring/a.jpg", "copy\n"),
        ("/var/lib/mooring/receipts/1000/r.toml", "receipt\n"),
    ] {
        assert_eq!(machine.run(&["cat", file]), text, "{file}");
    }
    let policy = machine.path("/etc/mooring/policy.d/50-ours.toml");
    assert!(policy.exists(), "a policy of the administrator's is gone");
    let owner = ["stat", "-c", "%U", "/var/lib/mooring/receipts/1000/r.toml"];
    assert_eq!(machine.run(&owner).trim(), owner_of_receipts);
}

fn state(machine: &Machine) -> [String; 2] {
    ["ActiveState", "UnitFileState"].map(|property| machine.property(UNIT, property))
}

fn processes_of_mooring(machine: &Machine) -> String {
    let found = machine
        .command(&["pgrep", "--list-full", "mooring"])
        .output();
    String::from_utf8(found.unwrap().stdout).unwrap()
}

/// What lies where the package had put something.
fn left_by_the_package(machine: &Machine) -> String {
    let places = "find /usr/bin /usr/libexec /usr/lib/systemd /usr/lib/sysusers.d /usr/lib/tmpfiles.d \
                  /usr/share/dbus-1 /usr/share/polkit-1 /usr/share/doc /usr/share/man \
                  /etc/systemd /usr/share/bash-completion -name '*mooring*'";
    machine.run(&["sh", "-c", places])
}
