//! Instructions, system calls and bytes of each step. They hardly depend on what else the machine
//! does, so that a change of some percent is seen; they say nothing about how long a disk takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::step::{COUNTED, Measured, STEPS};
use crate::strace::Calls;
use crate::{machine, number};

/// Files of the tree.
const FILES: usize = 1000;
/// More than this much above the kept count (in percent) is shown as worse.
const NOTED: f64 = 3.0;

/// What one step cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cost {
    instructions: u64,
    calls: u64,
    durable: u64,
}

/// Counts, prints the table, and keeps the counts if that is wanted.
pub fn run(kept: &Path, keep: bool) {
    let files = number("FILES", FILES);
    let before: BTreeMap<String, Cost> = fs::read_to_string(kept)
        .ok()
        .map(|text| toml::from_str(&text).expect("counts that were kept"))
        .unwrap_or_default();
    let folder = tempfile::Builder::new()
        .prefix("mooring-")
        .tempdir()
        .unwrap();
    let counter = Counter::new(folder.path(), files);
    let mut now = BTreeMap::new();
    machine::print();
    println!("{files} files of up to 2 KiB on one thread; per file.\n");
    println!(
        "| What | Instructions | Against kept | System calls | Against kept | fsync, syncfs | Read, written |"
    );
    println!("|---|---|---|---|---|---|---|");
    let policy = [("policy", "1000 decisions by 20 rules (not per file)")];
    for (step, what) in STEPS.iter().copied().chain(policy) {
        let (cost, measured, calls) = counter.count(step);
        eprintln!("{step}: {}", calls.most(files));
        print_row(what, files, cost, before.get(step).copied(), &measured);
        now.insert(step.to_owned(), cost);
    }
    if keep {
        fs::write(kept, toml::to_string(&now).unwrap()).unwrap();
    }
}

fn print_row(what: &str, files: usize, cost: Cost, before: Option<Cost>, measured: &Measured) {
    let each = |number: u64| number as f64 / files as f64;
    println!(
        "| {what} | {:.0} | {} | {:.2} | {} | {} | {} KiB, {} KiB |",
        each(cost.instructions),
        against(cost.instructions, before.map(|b| b.instructions)),
        each(cost.calls),
        against(cost.calls, before.map(|b| b.calls)),
        cost.durable,
        measured.read / 1024,
        measured.written / 1024,
    );
}

fn against(now: u64, before: Option<u64>) -> String {
    let Some(before) = before.filter(|before| *before > 0) else {
        return String::new();
    };
    let change = (now as f64 / before as f64 - 1.0) * 100.0;
    if change > NOTED {
        format!("**{change:+.1} %**")
    } else {
        format!("{change:+.1} %")
    }
}

/// Two worlds that go through the same steps: one under strace, one under callgrind.
struct Counter {
    folder: PathBuf,
    files: usize,
    shim: PathBuf,
}

impl Counter {
    fn new(folder: &Path, files: usize) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openat2.c");
        let shim = folder.join("openat2.so");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(&shim)
            .arg(source);
        output(cc.arg("-ldl"));
        let counter = Self {
            folder: folder.to_owned(),
            files,
            shim,
        };
        for world in ["calls", "instructions"] {
            let mut make = counter.step(world, "make", &[]);
            output(&mut make);
        }
        counter
    }

    fn count(&self, step: &str) -> (Cost, Measured, Calls) {
        let list = self.folder.join("strace.txt");
        let mut traced = self.step("calls", step, &["strace", "-f", "-o", path(&list)]);
        let measured = Measured::from_line(&output(&mut traced).0);
        let calls = Calls::read(&list);
        let callgrind = format!("--toggle-collect={COUNTED}");
        let nowhere = "--callgrind-out-file=/dev/null";
        let kept = std::env::var("CALLGRIND_OUT");
        let kept = kept.map(|folder| format!("--callgrind-out-file={folder}/{step}.callgrind"));
        let valgrind = [
            "valgrind",
            "--tool=callgrind",
            "--collect-atstart=no",
            &callgrind,
            kept.as_deref().unwrap_or(nowhere),
        ];
        let mut counted = self.step("instructions", step, &valgrind);
        counted.env("LD_PRELOAD", &self.shim);
        let said = output(&mut counted).1;
        let collected = said
            .lines()
            .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        let cost = Cost {
            instructions: collected.expect("what callgrind collected"),
            calls: calls.total(),
            durable: calls.durable(),
        };
        (cost, measured, calls)
    }

    /// A step on one processor, so that it has one thread, below another program.
    fn step(&self, world: &str, step: &str, below: &[&str]) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).args(below);
        command.arg(std::env::current_exe().unwrap());
        command.arg("step").arg(self.folder.join(world)).arg(step);
        command.arg(self.files.to_string());
        command
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

/// What a program wrote to its output and its errors.
fn output(command: &mut Command) -> (String, String) {
    let out = match command.output() {
        Ok(out) => out,
        Err(e) => panic!("{command:?}: {e}; run: apt-get install strace valgrind util-linux gcc"),
    };
    let [said, errors] =
        [&out.stdout, &out.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(
        out.status.success(),
        "{command:?}: {}\n{errors}",
        out.status
    );
    (said, errors)
}
