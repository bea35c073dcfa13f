//! Scenarios on the real binaries: what a test needs to drive `mooringd`, its worker and
//! `mooringctl` as a person would, on a bus and in folders of its own.
//!
//! A [`World`] is one person's machine: a temporary home, XDG folders, a storage, a private bus.
//! Nothing of it touches the machine's own session, and nothing stays behind. What goes wrong in
//! here panics with what happened and the logs: this crate is only ever used by tests.
//!
//! Waiting is for events (a name on the bus, the end of a process, a signal), always up to a bound.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bus;
mod ctl;
mod daemon;
mod machine;
mod manifest;
mod process;
mod proxies;
mod racer;
pub mod samples;
mod world;

pub use bus::{Bus, next};
pub use ctl::{Ctl, Output, Running};
pub use daemon::Daemon;
pub use machine::Machine;
pub use manifest::{Entry, Kind, Manifest};
pub use process::Process;
pub use racer::{Attacks, Race, Raced, Racer};
pub use world::{Fault, World, binary};

use std::time::Duration;

/// Policy that forbids to sign out, in its line 5.
pub const AUDIT: &str = r#"[organisation]
name = "Harbour Lights Ltd"
contact = "it@harbour.example"

[[rule]]
name = "no-sign-out-during-audit"
reason = "The auditors are here until Friday."
sign-out = "deny"
"#;

/// The bound on every wait. Generous: a machine that is busy with other tests is slow, not wrong.
pub const PATIENCE: Duration = Duration::from_secs(120);
