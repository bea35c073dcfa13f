//! System mode as it is installed: units, bus, polkit and packages on a machine with a real systemd
//! (as root; `make machine`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attacker;
mod audit;
mod boots;
mod crowd;
mod deaths;
mod flood;
mod keys;
mod packages;
mod people;
mod policy;
mod racing;
mod rest;
mod service;
mod sessions;
mod stage;
mod story;
mod units;
