//! What the kernel tells of a process (proc(5)).

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mooring_tests::PATIENCE;
use nix::unistd::Pid;

/// How long a process takes no time of a processor before it counts as at rest.
const REST: Duration = Duration::from_secs(1);

/// A number of `/proc/PID/FILE`: of memory, in KiB.
pub fn field(pid: Pid, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file)).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).expect(key);
    line.split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .unwrap()
}

/// Waits until a process has no children and does nothing.
///
/// # Panics
/// When that does not come in time.
pub async fn rest(pid: Pid) {
    let begun = Instant::now();
    let mut before = None;
    loop {
        let now = ticks(pid);
        if before == Some(now) && !has_children(pid) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{pid} does not come to rest");
        before = Some(now);
        // Nothing tells that nothing happens; only time does.
        tokio::time::sleep(REST).await;
    }
}

/// The time of processors that it took: `utime` and `stime`.
fn ticks(pid: Pid) -> u64 {
    let stat = stat(&pid.to_string()).expect("a process");
    let numbers = stat.split(' ').skip(11).take(2);
    numbers.map(|n| n.parse::<u64>().expect("ticks")).sum()
}

fn has_children(parent: Pid) -> bool {
    let parent = parent.to_string();
    let processes = fs::read_dir("/proc").expect("/proc");
    processes.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let stat = name.to_str().and_then(stat);
        stat.is_some_and(|stat| stat.split(' ').nth(1) == Some(&parent))
    })
}

/// `/proc/PID/stat` from the state on: `STATE PARENT …`; nothing of a process that is gone.
fn stat(pid: &str) -> Option<String> {
    if !pid.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.to_owned())
}
