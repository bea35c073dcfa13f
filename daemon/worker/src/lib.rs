//! The worker of Mooring: looks at one person's files, syncs, verifies and removes them, with that
//! person's rights and no others.

pub mod account;
pub mod backup;
mod base;
mod carry;
mod change;
pub mod check;
mod conflict;
pub mod delete;
mod durable;
pub mod erase;
pub mod error;
pub mod files;
mod hash;
pub mod identity;
pub mod leave;
mod left;
mod look;
mod place;
pub mod plan;
mod pool;
mod readback;
pub mod remove;
pub mod restore;
mod returned;
pub mod service;
pub mod signin;
mod staging;
pub mod state;
pub mod storage;
mod sums;
pub mod sync;
pub mod trash;
mod trouble;
pub mod verify;
pub mod watch;
pub mod why;
