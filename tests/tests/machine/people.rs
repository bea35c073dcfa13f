//! Two people on one device, each with an account of their own, and an administrator.

use std::process::Output;

use mooring_tests::{AUDIT, Machine};

pub const PASSWORD: &str = "correct horse battery staple\n";

pub fn ctl<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["mooringctl", "--system"], words].concat()
}

/// A person signs in to a storage in their own home, as another disk would be.
pub fn sign_in(machine: &Machine, person: &str) {
    let storage = format!("/home/{person}/Storage");
    machine.run_as(person, &["mkdir", "-p", &storage]);
    let words = [
        "sign-in",
        "local",
        "--identity",
        person,
        "--storage",
        &storage,
        "--yes",
        "--password-fd",
        "0",
    ];
    machine.run_as_with(person, &ctl(&words), PASSWORD);
}

pub fn write(machine: &Machine, person: &str) {
    let script = format!(
        "cd ~/Accounts/{person}/Documents && mkdir -p a/b && for n in 1 2 3 4 5; do \
         head -c 10000 /dev/urandom >a/b/$n; done"
    );
    machine.run_as(person, &["sh", "-c", &script]);
    machine.run_as(person, &ctl(&["sync", person, "--wait"]));
}

fn digest(machine: &Machine, person: &str) -> String {
    let script = format!(
        "cd ~/Accounts/{person}/Documents && find . -type f -not -path '*/.mooring*' | sort | xargs sha256sum"
    );
    machine.run_as(person, &["sh", "-c", &script])
}

pub fn sign_out(machine: &Machine, person: &str) -> Output {
    let words = ctl(&["sign-out", person, "--yes", "--password-fd", "0"]);
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, PASSWORD.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    machine
        .command_as(person, &words)
        .stdin(file)
        .output()
        .unwrap()
}

pub fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(&[out.as_slice(), err.as_slice()].concat()).into_owned()
}

#[tokio::test]
async fn the_story_of_two_people() {
    let mut machine = Machine::new();
    // In no session, polkit's own default is to ask for a password of the device.
    let rule = "polkit.addRule(function(action, subject) { if (action.id == 'org.mooring1.sign-in' \
                || action.id == 'org.mooring1.sign-out') return polkit.Result.YES; });";
    std::fs::write(machine.path("/etc/polkit-1/rules.d/10-test.rules"), rule).unwrap();
    for person in ["ann", "bob"] {
        sign_in(&machine, person);
        write(&machine, person);
    }
    let before = digest(&machine, "ann");
    assert_eq!(before.lines().count(), 5);
    // Each sees their own account, and root both.
    let sees = |words: &str, other: &str| assert!(words.contains("ann") != words.contains(other));
    sees(&machine.run_as("ann", &ctl(&["status"])), "bob");
    sees(&machine.run_as("bob", &ctl(&["status"])), "bob");
    let all = machine.run(&ctl(&["status"]));
    assert!(all.contains("ann") && all.contains("bob"), "{all}");

    // The worker is the person's, and the broker nobody's.
    let user = machine.property("mooring-worker@1000.service", "MainPID");
    let status = machine.run(&["cat", &format!("/proc/{user}/status")]);
    assert!(status.contains("Uid:\t1000\t1000\t1000\t1000"), "{status}");

    // The organisation denies it before anybody is asked for anything.
    std::fs::create_dir_all(machine.path("/etc/mooring/policy.d")).unwrap();
    std::fs::write(machine.path("/etc/mooring/policy.d/50-audit.toml"), AUDIT).unwrap();
    machine.run(&["systemctl", "reload", "mooringd.service"]);
    let refused = sign_out(&machine, "ann");
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    let words = said(&refused);
    for word in [
        "Harbour Lights Ltd",
        "/etc/mooring/policy.d/50-audit.toml:5",
        "it@harbour.example",
    ] {
        assert!(words.contains(word), "{words}");
    }
    std::fs::remove_file(machine.path("/etc/mooring/policy.d/50-audit.toml")).unwrap();
    machine.run(&["systemctl", "reload", "mooringd.service"]);

    // The power fails in between, and everything is there again; and in the middle of the removal
    // her worker dies.
    let folder = "/etc/systemd/system/mooring-worker@1000.service.d";
    std::fs::create_dir_all(machine.path(folder)).unwrap();
    let fault = "[Service]\nEnvironment=MOORING_FAULT=worker/unlink:2@/home/ann/died\n";
    std::fs::write(machine.path(folder).join("fault.conf"), fault).unwrap();
    machine.cut_power();
    machine.boot();
    let gone = sign_out(&machine, "ann");
    assert!(
        gone.status.success(),
        "{}\n{}",
        said(&gone),
        machine.journal("mooringd.service")
    );
    assert!(machine.path("/home/ann/died").exists(), "nothing died");
    assert!(!machine.path("/home/ann/Accounts/ann/Documents").exists());
    assert!(
        machine
            .path("/home/bob/Accounts/bob/Documents/a/b/1")
            .exists()
    );
    let receipts = machine.run_as("ann", &ctl(&["receipts"]));
    assert!(receipts.contains("ann"), "{receipts}");
    assert!(!machine.run_as("bob", &ctl(&["receipts"])).contains("ann"));

    sign_in(&machine, "ann");
    assert_eq!(digest(&machine, "ann"), before);
}
