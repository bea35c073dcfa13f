//! Many accounts on one device.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::story::{Outcome, Stage};
use crate::walk::{self, Sum};

/// How long both processes are watched when nothing happens.
const REST: Duration = Duration::from_secs(5);
/// The most time of a processor that they may take in it.
const REST_CPU: Duration = Duration::from_millis(500);
/// Descriptors for each account and for the process itself: of the worker, and of the broker, where
/// the watches wait for the next worker.
const OF_WORKER: (usize, usize) = (12, 64);
const OF_BROKER: (usize, usize) = (2, 64);

/// Signs in to `number` accounts, one after the other, lets them rest, and signs out of all.
pub async fn play(number: u64) -> Outcome {
    let mut stage = Stage::new().await;
    let mut broken = Vec::new();
    let names: Vec<_> = (0..number).map(|nr| format!("person{nr}")).collect();
    let begun = Instant::now();
    let mut sums = Vec::new();
    for name in &names {
        let (here, storage) = (stage.here(name), stage.world.storage().join(name));
        fs::create_dir_all(&here).expect("a folder");
        fs::create_dir_all(&storage).expect("a folder");
        let folder = File::open(&here).expect("the folder");
        walk::write(&folder, "file.txt", name.as_bytes());
        stage.quietly().sign_in("one", name, &storage).await;
        sums.push(Sum::of(&here));
    }
    stage.took("sign in to all", begun);
    rest(&stage, number, &mut broken).await;
    let begun = Instant::now();
    for name in &names {
        let arguments = ["sign-out", name, "--yes"];
        stage.quietly().call("one", &arguments, true).await;
    }
    stage.took("sign out of all", begun);
    let after = descriptors(stage.daemon.pid());
    if after > OF_BROKER.1 {
        broken.push(format!(
            "{after} descriptors of the broker once all are signed out"
        ));
    }
    for (name, sum) in names.iter().zip(sums) {
        let there = Sum::of(&stage.world.storage().join(name).join("Documents"));
        if there.contents() != sum.contents() || Sum::of(&stage.here(name)) != Sum::default() {
            broken.push(format!("{name}: the storage has {there:?}, not {sum:?}"));
        }
    }
    stage.end(broken).await
}

/// What they cost while nothing happens.
async fn rest(stage: &Stage, number: u64, broken: &mut Vec<String>) {
    let worker = stage.daemon.worker_pid().expect("a worker");
    let both = [stage.daemon.pid(), worker];
    let before = both.map(cpu);
    // The time is what is measured.
    tokio::time::sleep(REST).await;
    let after = both.map(cpu);
    let took: Duration = after
        .iter()
        .zip(before)
        .map(|(a, b)| a.saturating_sub(b))
        .sum();
    let [of_broker, of_worker] = both.map(descriptors);
    println!(
        "{number} accounts at rest: {took:?} of a processor in {REST:?}; descriptors: broker {of_broker}, worker {of_worker}"
    );
    if took > REST_CPU {
        broken.push(format!("{took:?} of a processor in {REST:?} of rest"));
    }
    let accounts = usize::try_from(number).expect("a number");
    let bound = |(each, itself): (usize, usize)| itself + each * accounts;
    if of_worker > bound(OF_WORKER) {
        broken.push(format!("{of_worker} descriptors of the worker"));
    }
    if of_broker > bound(OF_BROKER) {
        broken.push(format!("{of_broker} descriptors of the broker"));
    }
}

fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("a process")
        .count()
}

/// The time of processors that a process took (`utime` and `stime`, proc(5)), in ticks of 10 ms.
fn cpu(pid: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(") ").expect("its name");
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|n| n.parse::<u64>().expect("ticks"))
        .sum();
    Duration::from_millis(10 * ticks)
}
