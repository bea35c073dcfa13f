//! The commands that look, and the daemon that is not there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake;

use fake::bus::Bus;
use fake::{Fake, Run, Script};
use mooring_api::Finding;

#[test]
fn without_a_daemon_the_way_to_start_it_is_told() {
    let bus = Bus::start();
    let run = Run::of(bus.command(&[]).output().unwrap());
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.err.contains("mooringd --session"), "{}", run.err);
    let run = Run::of(bus.command(&["--json", "jobs"]).output().unwrap());
    assert_eq!(
        (run.code, &run.json()["error"]["exit-code"]),
        (6, &6.into())
    );
}

#[test]
fn without_a_bus_the_daemon_is_out_of_reach() {
    let bus = Bus::start();
    let mut command = bus.command(&[]);
    let run = Run::of(
        command
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
            .output()
            .unwrap(),
    );
    assert_eq!(run.code, 6, "{run:?}");
}

#[test]
fn the_overview_shows_accounts_or_the_way_to_one() {
    let fake = Fake::start(Script::alice());
    let run = fake.run(&[]);
    assert_eq!(run.code, 0, "{run:?}");
    for part in [
        "Account & Sync",
        "alice",
        "signed in",
        "1,204 files",
        "3.1 GB",
    ] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
    let document = fake.run(&["--json"]).json();
    assert_eq!(document["daemon"]["mode"], "session");
    assert_eq!(
        document["accounts"][0]["collections"][0]["bytes"],
        3_100_000_000_u64
    );
    assert_eq!(document["accounts"][0]["job"], serde_json::Value::Null);

    let fake = Fake::start(Script::nobody());
    let run = fake.run(&[]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("mooringctl sign-in local"), "{}", run.out);
}

#[test]
fn a_pause_is_seen_until_it_is_over() {
    let fake = Fake::start(Script::alice());
    assert!(!fake.run(&["show"]).out.contains("Paused"));
    let run = fake.run(&["pause", "alice"]);
    assert_eq!(run.code, 0, "{run:?}");
    for command in [&["show", "alice"][..], &[]] {
        let run = fake.run(command);
        assert!(run.out.contains("Paused"), "{}", run.out);
    }
    let document = fake.run(&["--json"]).json();
    assert_eq!(document["accounts"][0]["paused"], true);
    let run = fake.run(&["resume", "--json"]);
    assert_eq!((run.code, &run.json()["paused"]), (0, &false.into()));
    assert!(!fake.run(&[]).out.contains("Paused"));
    assert_eq!(fake.run(&["pause", "nobody"]).code, 1);
}

#[test]
fn attention_is_drawn_to_what_waits_for_the_person() {
    let mut script = Script::alice();
    script.collections[0].held = 2;
    script.policy.state = "invalid".into();
    let run = Fake::start(script).run(&[]);
    assert!(run.out.contains("2 files held"), "{}", run.out);
    assert!(
        run.out.contains("signing in and out is refused"),
        "{}",
        run.out
    );
}

#[test]
fn an_account_is_shown_by_identity_or_id() {
    let fake = Fake::start(Script::alice());
    for name in ["alice", "a1"] {
        let run = fake.run(&["show", name]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(
            run.out.contains("/home/alice/Accounts/alice/Photos"),
            "{}",
            run.out
        );
    }
    let run = fake.run(&["show", "bob\x1b[2J"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.err.contains("bob\\x1b[2J") && run.err.contains("alice"),
        "{}",
        run.err
    );
}

#[test]
fn a_sync_is_started_or_followed() {
    let mut script = Script::alice();
    script.outcome.uploaded = 2;
    let fake = Fake::start(script);
    let run = fake.run(&["sync"]);
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "Started as job 7.\n"),
        "{run:?}"
    );
    let run = Fake::start(fake.script.lock().unwrap().clone()).run(&["sync", "alice", "--wait"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("2 files uploaded."), "{}", run.out);
}

#[test]
fn policy_files_are_checked_line_by_line() {
    let mut script = Script::alice();
    let message = "an unknown key".to_owned();
    script.findings = vec![Finding {
        line: 3,
        column: 1,
        message,
    }];
    let fake = Fake::start(script);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("10-school.toml");
    std::fs::write(&file, "x = 1\n").unwrap();
    let path = file.to_str().unwrap();
    let run = fake.run(&["policy", "check", path]);
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.out, format!("{path}:3:1: an unknown key\n"));
    assert_eq!(fake.calls(), ["CheckPolicy 10-school.toml 6"]);
    let document = fake.run(&["policy", "check", path, "--json"]).json();
    assert_eq!(document["findings"][0]["line"], 3);
    assert_eq!(fake.run(&["policy", "check", "/dev/null"]).code, 1);
    std::fs::write(&file, vec![b'#'; 65 * 1024]).unwrap();
    assert!(fake.run(&["policy", "check", path]).err.contains("65,536"));
}

#[test]
fn policy_is_shown_and_explained() {
    let fake = Fake::start(Script::alice());
    assert!(fake.run(&["policy", "show"]).out.contains("no policy"));
    let run = fake.run(&["policy", "explain", "--actor", "device"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(fake.calls(), ["ExplainPolicy sign-out a1 device"]);
}

#[test]
fn receipts_are_listed_and_printed_byte_for_byte() {
    let fake = Fake::start(Script::alice());
    let run = fake.run(&["receipts"]);
    assert!(
        run.out.contains("r1") && run.out.contains("2023-11-14T22:13:20Z"),
        "{}",
        run.out
    );
    assert_eq!(
        fake.run(&["receipts", "show", "r1"]).out,
        "# A receipt\nid = \"r1\"\n"
    );
    let run = fake.run(&["receipts", "show", "r2", "--json"]);
    assert_eq!(
        (run.code, &run.json()["error"]["kind"]),
        (1, &"NotFound".into())
    );
}

#[test]
fn jobs_are_listed_cancelled_and_missed() {
    let fake = Fake::start(Script {
        hangs: true,
        ..Script::alice()
    });
    assert!(fake.run(&["jobs"]).out.contains("no jobs"));
    assert_eq!(fake.run(&["jobs", "cancel", "7"]).code, 1);
    assert_eq!(fake.run(&["sync"]).code, 0);
    let document = fake.run(&["jobs", "--json"]).json();
    assert_eq!(document["jobs"][0]["state"], "running");
    assert_eq!(document["jobs"][0]["progress"]["total"], 2);
    assert!(fake.run(&["jobs"]).out.contains("1 of 2 files"));
    assert_eq!(fake.run(&["jobs", "cancel", "7"]).code, 0);
    assert_eq!(fake.run(&["jobs", "follow", "7"]).code, 7);
}

#[test]
fn wrong_words_are_a_usage_failure() {
    let fake = Fake::start(Script::alice());
    assert_eq!(fake.run(&["sign-off"]).code, 2);
    assert_eq!(fake.run(&["sign-out"]).code, 2);
    let told = fake.run(&["sign-out", "--json", "--no-such"]);
    assert_eq!(told.code, 2);
    let document: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(document["error"]["kind"], "Usage");
    let plain = fake.run(&["sign-out", "--", "--json", "twice"]);
    assert_eq!((plain.code, plain.out.as_str()), (2, ""));
}

#[test]
fn a_simulated_policy_file_is_a_table_or_json_and_findings_fail() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# none\n").unwrap();
    let path = file.path().to_str().unwrap();
    let fake = Fake::start(Script::alice());
    let run = fake.run(&["policy", "simulate", path]);
    assert_eq!(run.code, 0, "{run:?}");
    for part in [
        "alice",
        "sign-out",
        "allowed",
        "→ needs a backup",
        "person",
        "wants it.",
    ] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
    let json = fake.run(&["--json", "policy", "simulate", path]).json();
    assert_eq!(json["changes"][0]["after"], "needs a backup");
    let mut script = Script::alice();
    script.findings = vec![Finding {
        line: 1,
        column: 1,
        message: "wrong".to_owned(),
    }];
    let fake = Fake::start(script);
    let run = fake.run(&["policy", "simulate", path]);
    assert_eq!(run.code, 1, "{run:?}");
}
