//! What a daemon takes, and how long it lets others wait.

use std::fs;
use std::time::{Duration, Instant};

use mooring_api::ManagerProxy;
use mooring_tests::{PATIENCE, World};
use nix::unistd::Pid;

pub const MIB: u64 = 1 << 20;

/// The resident memory of a process, in bytes.
pub fn memory(pid: Pid) -> u64 {
    size(pid, "VmRSS:")
}

/// The most resident memory that a process ever had, in bytes.
pub fn peak(pid: Pid) -> u64 {
    size(pid, "VmHWM:")
}

/// A line of its status (proc(5)).
fn size(pid: Pid, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size") * 1024
}

/// How many descriptors a process has open.
pub fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("a process")
        .count()
}

/// How long answers take, while something else goes on.
#[derive(Default)]
pub struct Answers(Vec<Duration>);

impl Answers {
    /// Asks and waits for the answer, again and again, until `done`.
    pub async fn while_waiting(world: &World, done: impl Future<Output = ()>) -> Self {
        let manager = world.manager().await;
        let mut answers = Self::default();
        let mut done = std::pin::pin!(done);
        let mut is_done = false;
        while !is_done {
            let mut ask = std::pin::pin!(answers.ask(&manager));
            // The last question, too, waits for its answer.
            loop {
                tokio::select! {
                    biased;
                    () = &mut ask => break,
                    () = &mut done, if !is_done => is_done = true,
                }
            }
        }
        answers
    }

    /// One call and its answer.
    pub async fn ask(&mut self, manager: &ManagerProxy<'_>) {
        let since = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, async {
            loop {
                match manager.list_inhibitors().await {
                    Ok(_) => return,
                    // A thousand clients with one call each can fill every place: then one asks
                    // again, and waits the longer.
                    Err(mooring_api::Error::Busy(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        answer.await.expect("an answer in time");
        self.0.push(since.elapsed());
    }

    /// Says it, after what was going on; answers the median and the 99.9th percentile.
    pub fn told(mut self, what: &str) -> (Duration, Duration) {
        assert!(!self.0.is_empty(), "{what}: nobody asked");
        self.0.sort_unstable();
        let at = |permille: usize| self.0[(self.0.len() - 1) * permille / 1000];
        println!(
            "{what}: {} answers, half within {:?}, 99.9 % within {:?}, the last after {:?}",
            self.0.len(),
            at(500),
            at(999),
            at(1000)
        );
        (at(500), at(999))
    }
}
