//! A second client, which asks all the while how long an answer takes, and looks at the memory of the
//! broker and of its worker.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mooring_tests::{Daemon, World};

/// How often it asks.
const EVERY: Duration = Duration::from_millis(100);

/// What was measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// Peak memory (`VmHWM`, proc(5)) of the broker, in KiB.
    pub broker: u64,
    /// The same of the worker.
    pub worker: u64,
    /// The longest wait for an answer.
    pub wait: Duration,
    /// Answers.
    pub answers: u64,
    /// Workers there were; a second one means that the first died.
    pub workers: u64,
}

/// A client at work.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Measured>>,
}

impl Probe {
    /// Begins to ask.
    pub fn start(world: Arc<World>, daemon: Arc<Daemon>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .expect("a runtime")
                .block_on(ask(&world, &daemon, &stopped))
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it.
    pub fn end(mut self) -> Measured {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("not ended yet");
        thread.join().expect("answers")
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The world goes with its last holder; what failed before is the failure to tell.
            let _ = thread.join();
        }
    }
}

async fn ask(world: &World, daemon: &Daemon, stop: &AtomicBool) -> Measured {
    let manager = world.manager().await;
    let mut measured = Measured::default();
    let mut worker = None;
    let mut last = false;
    while !last {
        // Once more after the end: peaks only grow.
        last = stop.load(Ordering::Relaxed);
        let since = Instant::now();
        manager.list_inhibitors().await.expect("an answer");
        measured.wait = measured.wait.max(since.elapsed());
        measured.answers += 1;
        measured.broker = measured.broker.max(peak(daemon.pid().as_raw()));
        if let Some(pid) = daemon.worker_pid() {
            measured.workers += u64::from(worker.replace(pid) != Some(pid));
            measured.worker = measured.worker.max(peak(pid.as_raw()));
        }
        // The pace of the questions, not a wait for anything.
        tokio::time::sleep(EVERY).await;
    }
    measured
}

/// A process that is gone has had its peak read before.
pub fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
