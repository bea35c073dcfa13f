//! What was measured on: without that, a figure says nothing.

use std::fs;
use std::process::Command;

/// Prints the machine and the versions as a line of Markdown.
pub fn print() {
    println!("{}\n", describe());
}

fn describe() -> String {
    let processor = value("/proc/cpuinfo", "model name").unwrap_or_else(|| "a processor".into());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = value("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kernel = first_line("/proc/sys/kernel/osrelease");
    let load = first_line("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let versions: Vec<_> = ["rsync", "restic", "b3sum", "valgrind"]
        .into_iter()
        .filter_map(version)
        .collect();
    format!(
        "{processors} × {processor}, {memory} memory, Linux {kernel}, {} below {}, load {load}; \
         Mooring {}; {}.",
        filesystem(),
        std::env::temp_dir().display(),
        env!("CARGO_PKG_VERSION"),
        versions.join(", ")
    )
}

fn value(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_line(file: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

/// What `PROGRAM --version` says first, as far as its number; nothing when it is not here.
fn version(program: &str) -> Option<String> {
    let flag = if program == "restic" {
        "version"
    } else {
        "--version"
    };
    let out = Command::new(program).arg(flag).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let number = text.split_whitespace().find(|word| {
        word.trim_start_matches("valgrind-")
            .starts_with(|c: char| c.is_ascii_digit())
    })?;
    Some(format!(
        "{program} {}",
        number.trim_start_matches("valgrind-")
    ))
}

fn filesystem() -> String {
    let out = Command::new("findmnt")
        .args(["-no", "FSTYPE", "-T"])
        .arg(std::env::temp_dir())
        .output();
    out.map_or_else(
        |_| "a filesystem".to_owned(),
        |out| String::from_utf8_lossy(&out.stdout).trim().to_owned(),
    )
}
