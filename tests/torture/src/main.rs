//! Two devices on one storage, people who edit all the while, crashes at random and at named points;
//! and after each thing that happens a look from outside at whether anything is lost.
//!
//! `mooring-torture` reads `MINUTES` (3), `HOURS` and `SEED` from the environment. It ends with 1, and
//! keeps everything for whoever looks for the cause, at the first violation.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod act;
mod chance;
mod checker;
mod device;
mod disk;
mod ledger;
mod person;
mod scan;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use act::Stage;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text}: write a number")))
}

fn main() -> ExitCode {
    let minutes = number("HOURS").map_or_else(|| number("MINUTES").unwrap_or(3), |h| h * 60);
    let by_clock = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| now.as_secs())
    };
    let seed = number("SEED").unwrap_or_else(by_clock);
    println!("SEED={seed}, {minutes} minutes");
    let disks = disk::may_mount();
    if !disks {
        println!("not as root: the disk of the storage is never full");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let kept = std::env::temp_dir().join(format!("mooring-torture-{seed}"));
    runtime.expect("a runtime").block_on(torture(
        seed,
        Duration::from_secs(60 * minutes),
        kept,
        disks,
    ))
}

async fn torture(seed: u64, length: Duration, kept: PathBuf, disks: bool) -> ExitCode {
    let begin = Instant::now();
    let mut stage = Stage::new(seed, kept, disks).await;
    let mut steps = 0u64;
    while begin.elapsed() < length {
        steps += 1;
        if let Err(violation) = stage.step(steps).await {
            println!("\nVIOLATION at step {steps}, SEED={seed}\n{violation}");
            stage.keep();
            return ExitCode::FAILURE;
        }
    }
    if let Err(violation) = stage.rest().await {
        println!("\nVIOLATION at the end, SEED={seed}\n{violation}");
        stage.keep();
        return ExitCode::FAILURE;
    }
    let (written, owed) = stage.counts();
    println!("{}", stage.summary());
    println!(
        "{steps} steps: {written} contents written, {owed} of them owed, none lost; SEED={seed}"
    );
    ExitCode::SUCCESS
}
