//! What policy decided, in the journal of a machine: entries of the catalog, for whoever may read the
//! journal, and of nobody's making but the daemon's.

use std::fs;

use mooring_tests::Machine;
use serde_json::Value;

use crate::stage::*;

const ALLOWED: &str = "c21555439085462e87ebf572b9060ed9";
const DENIED: &str = "c9455f424ee142fba087b07198d9bd81";
const CHANGED: &str = "01cc61a7a3a74604a917ae5ecd4d52f4";

/// Ann signed in, was refused to sign out, and signed out.
async fn decided() -> Machine {
    let machine = Machine::new();
    // A package's installation does this.
    machine.run(&["journalctl", "--update-catalog"]);
    allow(&machine);
    settings(&machine, "[sync]\ncontinuous = false\n");
    sign_in(&machine).await;
    forbid(&machine);
    machine.run(&["systemctl", "reload", DAEMON]);
    let refused = machine.ctl(ANN, &sign_out()).password(PASSWORD).run().await;
    let _ = refused.expect_code(3);
    fs::remove_file(machine.path(POLICY)).unwrap();
    machine.run(&["systemctl", "reload", DAEMON]);
    let told = machine.ctl(ANN, &sign_out()).password(PASSWORD).run().await;
    expect(&machine, told);
    machine.run(&["journalctl", "--sync"]);
    machine
}

/// What the journal has of a kind.
fn entries(machine: &Machine, id: &str) -> Vec<Value> {
    let of = format!("MESSAGE_ID={id}");
    let words = ["journalctl", "--quiet", "--output=json", &of];
    let lines = machine.run(&words);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What `mooringctl audit` tells somebody: each entry's kind, verb and rule.
async fn audited(machine: &Machine, person: &str) -> Vec<[String; 3]> {
    let told = machine.ctl(person, &["audit", "--json"]).run().await;
    let told = told.expect_code(0).json();
    let entries = told["entries"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = entries.iter();
    all.map(|entry| ["message-id", "verb", "rule"].map(|key| text(&entry[key])))
        .collect()
}

#[tokio::test]
async fn decisions_are_in_the_journal_with_their_catalog() {
    let machine = decided().await;
    let denied = entries(&machine, DENIED);
    let rule = format!("no-sign-out-during-audit ({POLICY}:5)");
    let fields = [
        ("_SYSTEMD_UNIT", DAEMON),
        ("_COMM", "mooringd"),
        ("PRIORITY", "5"),
        ("MOORING_VERB", "sign-out"),
        ("MOORING_ACTOR", "person"),
        ("MOORING_DECISION", "denied"),
        ("MOORING_IDENTITY", ANN),
        ("MOORING_UID", "1000"),
        ("MOORING_RULE", &rule),
    ];
    for (field, value) in fields {
        assert_eq!(denied[0][field], value, "{field}: {denied:?}");
    }
    let explained = machine.run(&["journalctl", "-x", &format!("MESSAGE_ID={DENIED}")]);
    for words in [
        "Subject: Policy denied sign-out of ann",
        "did not let person do it: sign-out of the account",
        "ann (local), of user 1000.",
        &rule,
        "`mooringctl policy explain`",
    ] {
        assert!(explained.contains(words), "no {words:?} in:\n{explained}");
    }
    for id in [ALLOWED, CHANGED] {
        let explained = machine.run(&["journalctl", "-x", &format!("MESSAGE_ID={id}")]);
        assert!(explained.contains("Defined-By: mooring"), "{explained}");
        assert!(!explained.contains("@MOORING_"), "{explained}");
    }
}

/// An entry like the daemon's own, as anybody may write one.
fn forged() -> String {
    format!(
        "MESSAGE=policy: sign-out of ann by person allowed\nMESSAGE_ID={ALLOWED}\n\
         SYSLOG_IDENTIFIER=mooringd\n_SYSTEMD_UNIT={DAEMON}\nMOORING_VERB=sign-out\n\
         MOORING_RULE=forged\n"
    )
}

#[tokio::test]
async fn only_the_daemon_tells_and_only_readers_of_the_journal_hear() {
    let machine = decided().await;
    machine.run(&["usermod", "--append", "--groups", "systemd-journal", "bob"]);
    let all = audited(&machine, "bob").await;
    let rule = format!("no-sign-out-during-audit ({POLICY}:5)");
    let decisions: Vec<[&str; 3]> = vec![
        [ALLOWED, "sign-in", ""],
        [CHANGED, "", ""],
        [DENIED, "sign-out", &rule],
        [CHANGED, "", ""],
        [ALLOWED, "sign-out", ""],
    ];
    assert_eq!(all, decisions);

    // Ann reads none of it, and is told so; with a journal of her own, too.
    let refused = machine.ctl(ANN, &["audit"]).run().await.expect_code(1);
    assert!(refused.stderr.contains("systemd-journal"), "{refused:?}");
    machine.run_as_with(ANN, &["logger", "--journald"], &forged());
    // The same by a unit of the daemon's name, of her own service manager's.
    machine.run(&["systemctl", "start", "user@1000.service"]);
    fs::write(machine.path("/home/ann/forged"), forged()).unwrap();
    let unit = "cd ~/.config/systemd/user && export XDG_RUNTIME_DIR=/run/user/1000 && \
                echo '[Service]\nType=oneshot\nExecStart=sh -c \"logger --journald <~/forged\"' \
                >mooringd.service && systemctl --user daemon-reload && \
                systemctl --user start mooringd.service";
    machine.run_as(ANN, &["mkdir", "-p", ".config/systemd/user"]);
    machine.run_as(ANN, &["sh", "-c", unit]);
    machine.run(&["journalctl", "--sync"]);
    assert!(entries(&machine, ALLOWED).len() >= 4, "nothing is forged");
    let empty = machine.ctl(ANN, &["audit"]).run().await.expect_code(0);
    assert!(empty.stdout.contains("systemd-journal"), "{empty:?}");
    assert_eq!(audited(&machine, "bob").await, all);
    let everything = machine
        .command_as("bob", &["mooringctl", "audit"])
        .output()
        .unwrap();
    let everything = String::from_utf8(everything.stdout).unwrap();
    assert_eq!(everything.lines().count(), all.len(), "{everything}");
}
