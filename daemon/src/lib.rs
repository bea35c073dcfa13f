//! `mooringd`, the broker of Mooring: bus, authorisation, configuration, lifecycle, workers.
//!
//! The broker decides and remembers; it opens no network socket and none of a person's files.
//! Those are the worker's, a process of its own. This library is the daemon without its `main`,
//! so that tests can run it with a worker, a clock and a bus of their own.

pub mod account;
pub mod announcements;
mod audit;
pub mod background;
pub mod broker;
pub mod bus;
mod circumstances;
pub mod cli;
pub mod clock;
pub mod devices;
pub mod diagnose;
pub mod durable;
pub mod failure;
pub mod folders;
mod forgetting;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod health;
pub mod holding;
pub mod idle;
pub mod inhibitors;
pub mod jobs;
pub mod keys;
pub mod launch;
pub mod lock;
pub mod new_password;
pub mod notify;
pub mod passwords;
pub mod people;
pub mod plan;
pub mod polkit;
pub mod published;
pub mod questions;
pub mod random;
pub mod receipts;
pub mod record;
pub mod refusals;
pub mod repair;
pub mod rules;
pub mod run;
pub mod sealed;
pub mod secret;
pub mod sessions;
pub mod store;
pub mod surroundings;
pub mod terms;
pub mod workers;
