//! What a device can hold: a million files, a hundred thousand in one folder, folders 500 deep, a
//! file of 200 GB that is nearly all hole, 200 accounts. On the real binaries, with a second client
//! that asks all the while.
//!
//! `SIZE=small` takes a tenth of each; `ONLY=NAME` plays one of them. Ends with 1 when a promise did
//! not hold, memory grew beyond its bound, or an answer took too long.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod probe;
mod story;
mod walk;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use story::Outcome;

/// The most memory of a broker, in KiB, whatever its accounts hold. 64 MiB of it are what checking
/// one password takes (argon2id).
const BROKER_KIB: u64 = 112 * 1024;
/// The most memory of a worker, in KiB, whatever the number and size of the files.
const WORKER_KIB: u64 = 160 * 1024;
/// How much more ten times as many files may take, in KiB.
const GROWTH_KIB: u64 = 64 * 1024;
/// The longest that a call of another client may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Files in a folder of the tree of a million.
const IN_FOLDER: u64 = 100;
/// Folders in one folder of it.
const FOLDERS: u64 = 100;
/// The length of a folder's name in the deep tree: 500 of them are longer than PATH_MAX.
const DEEP_NAME: usize = 24;
const GB: u64 = 1_000_000_000;

fn main() -> ExitCode {
    let tenth = match std::env::var("SIZE").as_deref() {
        Err(_) | Ok("" | "full") => 1,
        Ok("small") => 10,
        Ok(other) => {
            eprintln!("SIZE={other}: small or full");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    if runtime.expect("a runtime").block_on(all(tenth)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn all(tenth: u64) -> bool {
    let only = std::env::var("ONLY").unwrap_or_default();
    let is_wanted = |name: &str| only.is_empty() || only == name;
    let mut is_good = true;
    let mut rows = Vec::new();
    if is_wanted("files") {
        let mut before: Option<u64> = None;
        for files in [100_000 / tenth, 1_000_000 / tenth] {
            let outcome = told(
                &format!("{files} files"),
                story::play(|root| tree(root, files)),
            )
            .await;
            let worker = outcome.measured.worker;
            is_good &= before.is_none_or(|before| {
                holds(
                    worker <= before + GROWTH_KIB,
                    "memory grows with the number of files",
                )
            });
            before = Some(worker);
            rows.push((format!("{files} files"), outcome));
        }
    }
    if is_wanted("folder") {
        let name = format!("{} files in one folder", 100_000 / tenth);
        let outcome = told(&name, story::play(|root| folder(root, 100_000 / tenth))).await;
        rows.push((name, outcome));
    }
    if is_wanted("deep") {
        let name = format!("{} folders deep", 500);
        rows.push((
            name.clone(),
            told(&name, story::play(|root| deep(root, 500))).await,
        ));
    }
    if is_wanted("sparse") {
        let name = format!("a file of {} GB, nearly all hole", 200 / tenth);
        let outcome = told(&name, story::play(|root| sparse(root, 200 / tenth * GB))).await;
        rows.push((name, outcome));
    }
    if is_wanted("accounts") {
        let name = format!("{} accounts", 200 / tenth);
        rows.push((name.clone(), told(&name, accounts::play(200 / tenth)).await));
    }
    for (name, outcome) in &rows {
        is_good &= judge(name, outcome);
    }
    print(&rows);
    is_good && !rows.is_empty()
}

async fn told(name: &str, play: impl Future<Output = Outcome>) -> Outcome {
    eprintln!("{name}");
    let outcome = play.await;
    eprintln!("  {:?}", outcome.measured);
    outcome
}

fn judge(name: &str, outcome: &Outcome) -> bool {
    for broken in &outcome.broken {
        eprintln!("FAILED: {name}: {broken}");
    }
    let measured = &outcome.measured;
    outcome.broken.is_empty()
        & holds(
            measured.broker <= BROKER_KIB,
            &format!("{name}: memory of the broker"),
        )
        & holds(
            measured.worker <= WORKER_KIB,
            &format!("{name}: memory of the worker"),
        )
        & holds(
            measured.wait <= LONGEST_WAIT,
            &format!("{name}: an answer took {:?}", measured.wait),
        )
        & holds(
            measured.workers <= outcome.workers,
            &format!(
                "{name}: {} workers, and at most {} were needed",
                measured.workers, outcome.workers
            ),
        )
}

fn holds(good: bool, what: &str) -> bool {
    if !good {
        eprintln!("FAILED: {what}");
    }
    good
}

fn print(rows: &[(String, Outcome)]) {
    println!(
        "\n| What | Time | Peak: worker | broker | Longest wait of another client |\n|---|---|---|---|---|"
    );
    for (name, outcome) in rows {
        let steps = outcome.steps.iter().filter(|(step, _)| *step != "make");
        let steps: Vec<_> = steps
            .map(|(step, took)| format!("{step} {:.1} s", took.as_secs_f64()))
            .collect();
        let measured = &outcome.measured;
        println!(
            "| {name} | {} | {} MB | {} MB | {} ms of {} |",
            steps.join(", "),
            measured.worker / 1000,
            measured.broker / 1000,
            measured.wait.as_millis(),
            measured.answers
        );
    }
}

/// Many small files; no two have the same name or content.
fn tree(root: &Path, files: u64) {
    let root = File::open(root).expect("the folder");
    let mut parent = None;
    let mut folder = None;
    for nr in 0..files {
        if nr % (IN_FOLDER * FOLDERS) == 0 {
            parent = Some(walk::folder(&root, &format!("part {nr}")));
        }
        if nr % IN_FOLDER == 0 {
            folder = parent
                .as_ref()
                .map(|parent| walk::folder(parent, &format!("folder {nr}")));
        }
        if let Some(folder) = &folder {
            walk::write(folder, &format!("file {nr}.txt"), &nr.to_le_bytes());
        }
    }
}

fn folder(root: &Path, files: u64) {
    let root = File::open(root).expect("the folder");
    for nr in 0..files {
        walk::write(&root, &format!("file {nr}.txt"), &nr.to_le_bytes());
    }
}

fn deep(root: &Path, depth: u64) {
    let mut here = File::open(root).expect("the folder").into();
    for nr in 0..depth {
        here = walk::folder(&here, &format!("{nr:0>DEEP_NAME$}"));
        walk::write(&here, "file.txt", &nr.to_le_bytes());
    }
}

/// Bytes at the begin, in the middle and at the end; the rest is one hole and another.
fn sparse(root: &Path, size: u64) {
    let root = File::open(root).expect("the folder");
    walk::write(&root, "disk.img", b"the begin");
    let there = std::path::PathBuf::from(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&root)
    ));
    let file = File::options()
        .write(true)
        .open(there.join("disk.img"))
        .expect("the file");
    let modified = file
        .metadata()
        .and_then(|meta| meta.modified())
        .expect("a time");
    file.write_all_at(b"the middle", size / 2 + 12_345)
        .expect("room on the disk");
    file.write_all_at(b"the end", size - 7)
        .expect("room on the disk");
    file.set_modified(modified).expect("a time");
}
