//! A job that outlasts the daemon's bus name, Ctrl-C, and the questions at a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::process::Command;

use fake::pty::Session;
use fake::service::Service;
use fake::{Fake, Run, Script};

fn hanging() -> Script {
    Script {
        hangs: true,
        ..Script::alice()
    }
}

const CTRL_C: &str = "\x03";

#[test]
fn a_daemon_that_stays_away_is_told() {
    let fake = Fake::start(hanging());
    let child = fake
        .command(&["--daemon-wait", "0", "sync", "--wait"])
        .spawn()
        .unwrap();
    fake.job_reads().recv().unwrap();
    let bus = fake.vanish();
    let run = Run::of(child.wait_with_output().unwrap());
    drop(bus);
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.err.contains("jobs follow 7"), "{}", run.err);
}

#[test]
fn a_daemon_that_comes_back_is_followed_on() {
    let fake = Fake::start(hanging());
    let mut command = fake.command(&["--daemon-wait", "60", "sync", "--wait"]);
    let child = command.spawn().unwrap();
    fake.job_reads().recv().unwrap();
    let script = fake.script.clone();
    let bus = fake.vanish();
    script.lock().unwrap().hangs = false;
    let again = Service::start_with_job(&bus.address, script);
    let run = Run::of(child.wait_with_output().unwrap());
    drop(again);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn an_interrupt_without_a_terminal_cancels() {
    let fake = Fake::start(hanging());
    let child = fake.command(&["sync", "--wait"]).spawn().unwrap();
    fake.job_reads().recv().unwrap();
    interrupt_child_of(child.id());
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.code, 7, "{run:?}");
    assert_eq!(fake.calls(), ["Cancel"]);
}

#[test]
fn an_interrupt_after_the_first_removal_leaves_the_job() {
    let fake = Fake::start(Script {
        removing: true,
        ..hanging()
    });
    let child = fake.command(&["sync", "--wait"]).spawn().unwrap();
    fake.job_reads().recv().unwrap();
    interrupt_child_of(child.id());
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.code, 7, "nobody may go by it: {run:?}");
    assert!(run.err.contains("Left running as job 7"), "{}", run.err);
    assert!(run.err.contains("jobs follow 7"), "{}", run.err);
    assert_eq!(fake.calls(), Vec::<String>::new());
}

/// `setsid --wait` forks when it leads a group already; the program is then its child.
fn interrupt_child_of(pid: u32) {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let target = match children.trim() {
        "" => pid.to_string(),
        child => child.to_owned(),
    };
    assert!(
        Command::new("kill")
            .args(["-INT", &target])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn at_a_terminal_a_wrong_password_is_asked_for_again() {
    let fake = Fake::start(Script {
        delay: 1,
        ..Script::alice()
    });
    let mut session = Session::start(&fake.bus, &["sign-out", "alice", "--color", "never"]);
    session.expect("Sign out alice and remove 1,204 files from this device? [y/N]");
    session.send("y\n");
    session.expect("Password for alice:");
    session.send("guess\n");
    session.expect("The password is wrong.");
    session.expect("Password for alice (Enter alone to stop, or if it is forgotten):");
    session.send("secret\n");
    session.expect("alice is signed out of this device.");
    let (code, shown) = session.end();
    assert_eq!(code, 0, "{shown}");
    assert!(
        !shown.contains("guess") && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn at_a_terminal_unsynced_files_are_a_question() {
    let blocked = mooring_api::Blocked {
        error: "UnsyncedData".into(),
        message: "the storage is full".into(),
        items: vec![b"/home/alice/new.jpg".to_vec()],
        items_total: 1,
        ..Default::default()
    };
    let fake = Fake::start(Script {
        block: Some(blocked),
        ..Script::alice()
    });
    let mut session = Session::start(&fake.bus, &["sign-out", "alice", "--yes"]);
    session.expect("Password for alice:");
    session.send("secret\n");
    session.expect("the storage is full.");
    session.expect("/home/alice/new.jpg");
    session.expect("r/k/c/l?");
    session.send("x\n");
    session.expect("r/k/c/l?");
    session.send("k\n");
    session.expect("alice is signed out of this device.");
    let (code, shown) = session.end();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(fake.calls().last().unwrap(), "Retry keep-here=true");
}

#[test]
fn at_a_terminal_no_means_no() {
    let fake = Fake::start(Script::alice());
    let mut session = Session::start(&fake.bus, &["sign-out", "alice"]);
    session.expect("[y/N]");
    session.send("\n");
    let (code, shown) = session.end();
    assert_eq!(code, 7, "{shown}");
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[test]
fn ctrl_c_at_the_password_leaves_everything_and_the_terminal_as_it_was() {
    let fake = Fake::start(Script::alice());
    let mut session = Session::start(&fake.bus, &["sign-out", "alice", "--yes"]);
    session.expect("Password for alice:");
    session.send(CTRL_C);
    let (code, shown) = session.end();
    assert_eq!(code, 7, "{shown}");
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[test]
fn ctrl_c_while_a_job_runs_is_a_question() {
    let fake = Fake::start(hanging());
    let mut session = Session::start(&fake.bus, &["sync", "--wait"]);
    fake.job_reads().recv().unwrap();
    session.send(CTRL_C);
    session.expect("cancel, and put everything back");
    session.expect("c/l/w?");
    session.send("c\n");
    let (code, shown) = session.end();
    assert_eq!(code, 7, "{shown}");
    assert_eq!(fake.calls(), ["Cancel"]);
}

#[test]
fn what_was_left_running_does_not_count_as_done() {
    let fake = Fake::start(hanging());
    for answer in [CTRL_C, "l\n"] {
        let mut session = Session::start(&fake.bus, &["sync", "--wait"]);
        fake.job_reads().recv().unwrap();
        session.send(CTRL_C);
        session.expect("c/l/w?");
        session.send(answer);
        let (code, shown) = session.end();
        assert_eq!(code, 7, "{answer:?}: {shown}");
        assert!(shown.contains("Left running as job 7"), "{shown}");
    }
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[test]
fn a_new_identity_chooses_its_password_twice_and_sees_the_code_once() {
    let fake = Fake::start(Script::nobody());
    let args = [
        "sign-in",
        "local",
        "--storage",
        "/mnt/nas",
        "--identity",
        "alice",
    ];
    let mut session = Session::start(&fake.bus, &args);
    session.expect("Make the account alice? [y/N]");
    session.send("y\n");
    for (prompt, typed) in [
        ("New password for alice:", "one\n"),
        ("The same once more:", "two\n"),
        ("New password for alice:", "secret\n"),
        ("The same once more:", "secret\n"),
    ] {
        session.expect(prompt);
        session.send(typed);
    }
    session.expect("anchor bridge cedar dune");
    session.expect("Press Enter");
    session.send("\n");
    session.expect("Signed in as alice.");
    let (code, shown) = session.end();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(shown.matches("anchor").count(), 1, "{shown}");
}
