//! What a daemon takes, and how long it lets others wait.

use std::fs;
use std::time::{Duration, Instant};

use mooring_api::ManagerProxy;
use mooring_tests::{PATIENCE, World};
use nix::unistd::Pid;
use zbus::fdo::DBusProxy;

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
pub struct Answers {
    daemon: Vec<Duration>,
    /// Those of the bus itself, through which all of it goes: what of the waiting is not the daemon's.
    bus: Vec<Duration>,
}

impl Answers {
    /// Asks and waits for the answer, again and again, until `done`.
    pub async fn while_waiting(world: &World, done: impl Future<Output = ()>) -> Self {
        let manager = world.manager().await;
        let connection = world.connect().await;
        let bus = DBusProxy::new(&connection).await.expect("the bus itself");
        let mut answers = Self::default();
        let mut done = std::pin::pin!(done);
        let mut is_done = false;
        while !is_done {
            let mut ask = std::pin::pin!(async {
                answers.ask(&manager).await;
                answers.ask_bus(&bus).await;
            });
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
        self.daemon.push(since.elapsed());
    }

    /// One call to the bus itself.
    async fn ask_bus(&mut self, bus: &DBusProxy<'_>) {
        let since = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, bus.get_id()).await;
        answer.expect("an answer in time").expect("an answer");
        self.bus.push(since.elapsed());
    }

    /// Says it, after what was going on; answers the median and the 99.9th percentile.
    pub fn told(mut self, what: &str) -> (Duration, Duration) {
        assert!(!self.daemon.is_empty(), "{what}: nobody asked");
        for all in [&mut self.daemon, &mut self.bus] {
            all.sort_unstable();
        }
        let of = |all: &[Duration], permille: usize| all[(all.len() - 1) * permille / 1000];
        let at = |permille: usize| of(&self.daemon, permille);
        print!(
            "{what}: {} answers, half within {:?}, 99.9 % within {:?}, the last after {:?}",
            self.daemon.len(),
            at(500),
            at(999),
            at(1000)
        );
        match self.bus.as_slice() {
            [] => println!(),
            bus => println!(
                "; of the bus itself half within {:?}, 99.9 % within {:?}, the last after {:?}",
                of(bus, 500),
                of(bus, 999),
                of(bus, 1000)
            ),
        }
        (at(500), at(999))
    }
}
