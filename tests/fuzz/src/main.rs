//! One program for all targets: `MOORING_FUZZ_TARGET` says which one libFuzzer feeds.
//!
//! A target takes any bytes, and panics where a promise of what it calls does not hold. Those that
//! need what is private to a crate lie there (`fuzzing.rs`); `--list` tells the names of all.

#![no_main]

mod core;
mod wire;

use std::sync::OnceLock;

type Target = fn(&[u8]);

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn targets() -> Vec<(&'static str, Target)> {
    let mut all: Vec<(&str, Target)> = core::TARGETS.to_vec();
    all.extend(mooring_core::fuzzing::TARGETS);
    all.extend(mooring_worker::fuzzing::TARGETS);
    all.extend(mooringd::fuzzing::TARGETS);
    all.extend(wire::TARGETS);
    all.push((mooringd::bus::fuzzing::CORPUS, mooringd::bus::fuzzing::call));
    all
}

fn choose() {
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in targets() {
            println!("{name}");
        }
        std::process::exit(0);
    }
    let wanted = std::env::var("MOORING_FUZZ_TARGET").unwrap_or_default();
    let target = targets().into_iter().find(|(name, _)| *name == wanted);
    let Some((_, target)) = target else {
        eprintln!("mooring-fuzz: there is no target {wanted:?}: see --list");
        std::process::exit(2);
    };
    CHOSEN.get_or_init(|| target);
}

libfuzzer_sys::fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        target(data);
    }
});
