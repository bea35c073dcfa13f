//! System mode as it is installed: units, bus, polkit and packages on a machine with a real systemd
//! (as root; `make machine`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attacker;
mod boots;
mod crowd;
mod flood;
mod keys;
mod packages;
mod people;
mod racing;
mod policy;
mod service;
mod sessions;
mod units;
