//! At rest no unit runs but the daemon's, and systemd keeps what the worker watched: over a restart of
//! the daemon, and over its death.

use std::fs;
use std::time::{Duration, Instant};

use mooring_tests::{Machine, PATIENCE};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::stage::*;

const FILES: usize = 200;
/// One of Ann's, and its copy.
const HERE: &str = "/home/ann/Accounts/ann/Documents/files/7/7";
const THERE: &str = "/home/ann/Storage/Documents/files/7/7";
/// A daemon that is about to start waits for this.
const GO: &str = "/run/go";
/// Longer than the watch waits before it tells of what the worker itself wrote: at rest, nothing is
/// about to be told.
const IDLE: &str = "[sync]\nidle-exit-seconds = 4\n";
/// A watch and its map.
const KEPT: &str = "2";

/// Ann signed in with everything in the storage, and no worker.
async fn at_rest() -> Machine {
    let machine = Machine::new();
    allow(&machine);
    settings(&machine, IDLE);
    for unit in [DAEMON, "mooring-worker@.service"] {
        machine.drop_in(unit, "log", "Environment=MOORING_LOG=debug");
    }
    sign_in(&machine).await;
    fill(&machine, "files", FILES);
    until("both sides in step", || {
        let (ours, theirs) = (belongings(&machine), copies(&machine));
        ours.files() == FILES && ours == theirs
    })
    .await;
    rested(&machine).await;
    machine
}

fn kept(machine: &Machine) -> String {
    machine.property(DAEMON, "NFileDescriptorStore")
}

/// Waits until the worker's unit has ended and systemd has its watch.
async fn rested(machine: &Machine) {
    until("the rest", || {
        machine.property(WORKER, "ActiveState") == "inactive" && kept(machine) == KEPT
    })
    .await;
}

/// How often a worker took up a watch, looked at everything, and only at what changed, so far.
fn looks(machine: &Machine) -> [usize; 3] {
    looks_of(machine, WORKER)
}

fn looks_of(machine: &Machine, worker: &str) -> [usize; 3] {
    let journal = machine.journal(worker);
    let all = [
        "the watch is taken up",
        "looks at everything",
        "looks at what changed",
    ];
    all.map(|what| journal.matches(what).count())
}

/// How long after it was written here Ann's file is in the storage: an event, not a look now and then.
fn arrives(machine: &Machine, content: &str) -> Duration {
    let target = machine.path(THERE);
    let inotify = Inotify::init(InitFlags::empty()).unwrap();
    let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
    inotify.add_watch(target.parent().unwrap(), flags).unwrap();
    let began = Instant::now();
    fs::write(machine.path(HERE), content).unwrap();
    while !fs::read(&target).is_ok_and(|found| found == content.as_bytes()) {
        assert!(began.elapsed() < PATIENCE, "it never came");
        inotify.read_events().unwrap();
    }
    began.elapsed()
}

#[tokio::test]
async fn a_file_written_at_rest_is_in_the_storage_soon() {
    let machine = at_rest().await;
    let before = looks(&machine);
    let mut all = Vec::new();
    for n in 0..3 {
        all.push(arrives(&machine, &format!("late {n}")));
        rested(&machine).await;
    }
    println!("system mode, from rest, one file written here is in the storage after {all:?}");
    let [taken, everything, changed] = looks(&machine);
    assert!(taken >= before[0] + all.len());
    assert!(changed >= before[2] + all.len());
    assert_eq!(everything, before[1], "{}", machine.journal(WORKER));
}

#[tokio::test]
async fn what_changes_while_the_daemon_is_down_is_heard_by_the_watch_that_systemd_keeps() {
    let machine = at_rest().await;
    let wait = format!("ExecStartPre=sh -c 'until [ -e {GO} ]; do sleep 0.05; done'");
    machine.drop_in(DAEMON, "wait", &wait);
    let kill = [
        "systemctl",
        "kill",
        "--signal=KILL",
        "--kill-whom=main",
        DAEMON,
    ];
    let restart = ["systemctl", "restart", "--no-block", DAEMON];
    for (n, how) in [&restart[..], &kill[..]].into_iter().enumerate() {
        let before = looks(&machine);
        machine.run(how);
        until("no daemon to run", || {
            machine.property(DAEMON, "ActiveState") == "activating"
                && machine.property(DAEMON, "MainPID") == "0"
        })
        .await;
        assert_eq!(kept(&machine), KEPT, "{how:?}");
        let content = format!("while nobody ran {n}");
        fs::write(machine.path(HERE), &content).unwrap();
        fs::write(machine.path(GO), "").unwrap();
        until("the copy", || {
            fs::read(machine.path(THERE)).unwrap() == content.as_bytes()
        })
        .await;
        rested(&machine).await;
        fs::remove_file(machine.path(GO)).unwrap();
        let [taken, everything, changed] = looks(&machine);
        let journal = || machine.journal(WORKER);
        assert!(taken > before[0], "{how:?}\n{}", journal());
        assert_eq!(everything, before[1], "{how:?}\n{}", journal());
        assert!(changed > before[2], "{how:?}\n{}", journal());
    }

    // A stop is no restart: nothing is kept, and then everything is looked at.
    machine.run(&["systemctl", "stop", DAEMON]);
    assert_eq!(kept(&machine), "0");
    let before = looks(&machine);
    fs::write(machine.path(HERE), "while it was stopped").unwrap();
    fs::write(machine.path(GO), "").unwrap();
    machine.run(&["systemctl", "start", DAEMON]);
    until("the copy", || {
        fs::read(machine.path(THERE)).unwrap() == b"while it was stopped"
    })
    .await;
    rested(&machine).await;
    let [taken, everything, _] = looks(&machine);
    assert_eq!(taken, before[0]);
    assert!(everything > before[1]);
}

/// The watches of two people wait side by side, and after a restart each finds its own worker.
#[tokio::test]
async fn two_people_s_watches_are_kept_apart() {
    const BOBS: &str = "mooring-worker@1001.service";
    let machine = at_rest().await;
    let write = |content: &str| {
        let script = format!("echo -n {content} >Accounts/bob/Documents/note");
        machine.run_as("bob", &["sh", "-c", &script]);
    };
    let has = |who: &str, name: &str, content: &str| {
        let file = machine.path(&format!("/home/{who}/Storage/Documents/{name}"));
        fs::read(file).is_ok_and(|found| found == content.as_bytes())
    };
    machine.run_as("bob", &["mkdir", "-p", "Storage"]);
    let words = ["sign-in", "local", "--identity", "bob", "--storage"];
    let words = [&words[..], &["/home/bob/Storage", "--yes"], &BACK].concat();
    let told = machine.ctl("bob", &words).password(PASSWORD).run().await;
    expect(&machine, told);
    write("first");
    until("bob's copy", || has("bob", "note", "first")).await;
    let both_rest = || {
        let rests = |unit| machine.property(unit, "ActiveState") == "inactive";
        rests(WORKER) && rests(BOBS) && kept(&machine) == "4"
    };
    until("both to rest", both_rest).await;

    let before = [WORKER, BOBS].map(|worker| looks_of(&machine, worker));
    machine.run(&["systemctl", "restart", DAEMON]);
    assert_eq!(kept(&machine), "4");
    write("second");
    fs::write(machine.path(HERE), "second").unwrap();
    until("both copies", || {
        has("bob", "note", "second") && has("ann", "files/7/7", "second")
    })
    .await;
    until("both to rest again", both_rest).await;
    for (worker, before) in [WORKER, BOBS].into_iter().zip(before) {
        let [taken, everything, changed] = looks_of(&machine, worker);
        let journal = || machine.journal(worker);
        assert!(taken > before[0] && changed > before[2], "{}", journal());
        assert_eq!(everything, before[1], "{}", journal());
    }
}
