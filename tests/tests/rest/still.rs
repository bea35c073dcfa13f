//! Nothing runs at rest. What is measured is printed; what must not be is asserted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::time::Duration;

use mooring_tests::Daemon;

use crate::stage::*;

/// How long the broker is watched, in seconds, unless `MOORING_REST_SECONDS` says otherwise.
const SECONDS: u64 = 10;

/// How long a thread of the runtime that has nothing to do any more stays, and a little more.
const THREADS_STAY: Duration = Duration::from_secs(11);

/// How often each thread of the broker gave up the processor, or had it taken, since it began.
fn switches(daemon: &Daemon) -> BTreeMap<OsString, u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let number = |line: &str| {
        let (name, number) = line.split_once(':')?;
        let counts = name.ends_with("ctxt_switches");
        counts.then(|| number.trim().parse::<u64>().unwrap())
    };
    let of = |task: DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        Some((task.file_name(), status.lines().filter_map(number).sum()))
    };
    tasks.filter_map(|task| of(task.ok()?)).collect()
}

#[tokio::test]
async fn the_broker_sleeps_at_rest() {
    let (_world, daemon) = at_rest().await;
    let seconds = std::env::var("MOORING_REST_SECONDS");
    let seconds = seconds.map_or(SECONDS, |text| text.parse().unwrap());
    // What came before, a worker's end for one, is over when two looks agree.
    let mut before = switches(&daemon);
    loop {
        tokio::time::sleep(THREADS_STAY).await;
        let now = switches(&daemon);
        if std::mem::replace(&mut before, now.clone()) == now {
            break;
        }
    }
    // Time is what is measured here.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = switches(&daemon);
    let woken = after.values().sum::<u64>() - before.values().sum::<u64>();
    println!("the broker woke up {woken} times in {seconds} s");
    assert_eq!(after, before);
    assert!(daemon.worker_pid().is_none());
}
