//! The key of system mode: a credential of the service manager, made with the real systemd-creds;
//! missing, of another device, damaged, and changed with a death at each point.

use std::fs;
use std::process::Output;

use mooring_tests::Machine;

use crate::people::sign_in;

const DAEMON: &str = "mooringd.service";
const KEY: &str = "/var/lib/mooring-key/mooring.key";
const NEXT: &str = "/var/lib/mooring-key/mooring.key.next";
const TOOL: &str = "/usr/libexec/mooring/mooring-key";
const PASSWORD: &str = "correct horse battery staple";
/// What every hash of a password begins with.
const HASH: &[u8] = b"$argon2id$";

fn ctl(machine: &Machine, words: &[&str], password: &str) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, password.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let words = [&["mooringctl", "--system"], words, &["--password-fd", "0"]].concat();
    let mut command = machine.command_as("ann", &words);
    command.stdin(file).output().unwrap()
}

fn well(machine: &Machine, told: &Output) {
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{said}\n{}", machine.journal(DAEMON));
}

/// Ann, signed in by the daemon that is installed.
fn signed_in() -> Machine {
    let machine = Machine::new();
    let rule = "polkit.addRule(function(action, subject) { if (action.id.indexOf('org.mooring1.') == 0) \
                return polkit.Result.YES; });";
    fs::write(machine.path("/etc/polkit-1/rules.d/10-test.rules"), rule).unwrap();
    sign_in(&machine, "ann");
    machine
}

fn status(machine: &Machine) -> String {
    machine.run_as("ann", &["mooringctl", "--system", "status"])
}

fn expect_password_works(machine: &Machine) {
    let wrong = ctl(machine, &["reauthenticate", "ann"], "not this one");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(
        wrong.status.code(),
        Some(4),
        "{said}\n{}",
        machine.journal(DAEMON)
    );
    well(machine, &ctl(machine, &["reauthenticate", "ann"], PASSWORD));
}

fn expect_locked(machine: &Machine) {
    let refused = ctl(machine, &["reauthenticate", "ann"], PASSWORD);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("locked"), "{said}");
    assert!(status(machine).contains("locked"));
    assert_eq!(machine.property(DAEMON, "ActiveState"), "active");
}

/// The daemon, and what hands it its key, begin again.
fn restart(machine: &Machine) {
    machine.run(&["systemctl", "restart", "mooring-key.service", DAEMON]);
}

#[tokio::test]
async fn a_credential_seals_and_without_it_the_daemon_starts() {
    let machine = signed_in();
    assert_eq!(machine.property("mooring-key.service", "Result"), "success");
    for file in fs::read_dir(machine.path("/var/lib/mooring/1000")).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            let bytes = fs::read(&file).unwrap();
            assert!(
                !bytes.windows(HASH.len()).any(|w| w == HASH),
                "{}",
                file.display()
            );
        }
    }
    let doctor = machine
        .command_as("ann", &["mooringctl", "--system", "doctor"])
        .output()
        .unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        doctor.contains("sealed by this device's credential"),
        "{doctor}"
    );
    let ann_reads = machine.command_as("ann", &["cat", KEY]).output().unwrap();
    assert!(!ann_reads.status.success(), "the key is root's");
    expect_password_works(&machine);

    let kept = fs::read(machine.path(KEY)).unwrap();
    // Gone: another is made, which opens nothing and replaces nothing.
    fs::remove_file(machine.path(KEY)).unwrap();
    restart(&machine);
    expect_locked(&machine);
    // Damaged, or of another device.
    let mut other = kept.clone();
    let middle = other.len() / 2;
    other[middle] = if other[middle] == b'A' { b'B' } else { b'A' };
    fs::write(machine.path(KEY), &other).unwrap();
    restart(&machine);
    expect_locked(&machine);
    assert_eq!(
        fs::read(machine.path(KEY)).unwrap(),
        other,
        "it is left as it is"
    );
    // Back.
    fs::write(machine.path(KEY), &kept).unwrap();
    restart(&machine);
    expect_password_works(&machine);
    assert!(!status(&machine).contains("locked"));
}

#[tokio::test]
async fn a_key_is_changed_with_a_death_at_each_point() {
    let mut machine = signed_in();
    for point in ["reseal-before", "reseal-after"] {
        // Each boot has another first process, and so another way in.
        let folder = machine.path("/etc/systemd/system/mooring-rotate-key.service.d");
        fs::create_dir_all(&folder).unwrap();
        let kept = fs::read(machine.path(KEY)).unwrap();
        let fault = format!(
            "[Service]\nEnvironment=MOORING_FAULT=broker/{point}:1@/var/lib/mooring/{point}\n"
        );
        fs::write(folder.join("fault.conf"), fault).unwrap();
        machine.run(&["systemctl", "daemon-reload"]);
        let died = machine.command(&[TOOL, "rotate"]).output().unwrap();
        assert_eq!(died.status.code(), Some(1), "{point}");
        assert!(machine.path(&format!("/var/lib/mooring/{point}")).exists());
        // The daemon runs again, with whichever key holds; neither is gone.
        assert_eq!(fs::read(machine.path(KEY)).unwrap(), kept);
        assert!(machine.path(NEXT).exists());
        expect_password_works(&machine);
        machine.cut_power();
        machine.boot();
        expect_password_works(&machine);
        // Once more, to the end.
        machine.run(&[TOOL, "rotate"]);
        assert_ne!(fs::read(machine.path(KEY)).unwrap(), kept);
        assert!(!machine.path(NEXT).exists());
        expect_password_works(&machine);
    }
    assert_eq!(machine.property(DAEMON, "ActiveState"), "active");
}
