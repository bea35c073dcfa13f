//! The real binaries on real file systems: whole lives on each, faults at each stage through a FUSE
//! that fails on command, rot in what Mooring keeps, and processes that race the removal.
//!
//! Everything is mounted in a namespace of the test's own thread, and goes with it. It takes root.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "../scenarios/aftermath.rs"]
mod aftermath;
#[allow(dead_code)]
#[path = "../scenarios/disk.rs"]
mod disk;
#[allow(dead_code)]
#[path = "../scenarios/stage.rs"]
mod stage;

mod batches;
mod clock;
mod faults;
mod fuse;
mod life_of_the_daemon;
mod lives;
mod orders;
mod place;
mod plugs;
mod power;
mod power_cuts;
mod races;
mod rot;
mod rot_broker;
mod rot_trash;
