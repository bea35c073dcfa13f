//! The worker of Mooring: looks at one person's files, syncs, verifies and removes them, with that
//! person's rights and no others.

pub mod account;
mod base;
mod carry;
mod change;
mod conflict;
mod durable;
pub mod erase;
pub mod error;
pub mod files;
mod hash;
pub mod leave;
mod left;
mod look;
mod place;
pub mod plan;
mod pool;
mod readback;
pub mod remove;
mod returned;
pub mod service;
pub mod signin;
mod staging;
pub mod state;
pub mod storage;
pub mod sync;
mod trouble;
pub mod verify;
