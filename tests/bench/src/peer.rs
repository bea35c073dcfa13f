//! The programs that people use instead.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a program.
///
/// # Panics
/// When it is missing (with the line that installs it) or fails.
pub fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) => assert!(status.success(), "{program} {arguments:?}: {status}"),
        Err(e) => panic!("{program}: {e}; run: apt-get install rsync b3sum restic coreutils"),
    }
}

/// Runs restic on a repository of the measurement's own.
///
/// # Panics
/// As [`run`].
pub fn restic(repository: &Path, arguments: &[&str]) {
    let repository = repository.display().to_string();
    let command = [
        "RESTIC_PASSWORD=bench",
        "restic",
        "--no-cache",
        "--quiet",
        "--repo",
        &repository,
    ];
    run("env", &[command.as_slice(), arguments].concat());
}

/// Makes the filesystem of a path durable.
pub fn sync(path: &Path) {
    run("sync", &["-f", &path.display().to_string()]);
}

/// Hashes every file of a tree.
pub fn hash(tree: &Path) {
    let script = "find \"$1\" -type f -print0 | xargs -0 b3sum --no-names >/dev/null";
    run(
        "bash",
        &[
            "-euo",
            "pipefail",
            "-c",
            script,
            "-",
            &tree.display().to_string(),
        ],
    );
}

/// Lets the next read come from the disk. Needs root; elsewhere both sides read from the cache,
/// which is as fair.
pub fn drop_caches() {
    run("sync", &[]);
    if std::fs::write("/proc/sys/vm/drop_caches", "3").is_err() {
        eprintln!("not root: caches stay warm, for both");
    }
}

/// How long something takes.
pub fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}
