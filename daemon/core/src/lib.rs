//! The domain of Mooring, as values and functions of values: accounts, policy, plans, the stages
//! of a sign-out, sync decisions, receipts. No D-Bus, no network, no files: what needs the world
//! is given as an argument, and what changes the world is returned as a decision.

pub mod account;
pub mod attempts;
pub mod collection;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod identity;
pub mod moves;
pub mod plan;
pub mod policy;
pub mod receipt;
pub mod rest;
pub mod seal;
pub mod session;
pub mod settings;
pub mod signout;
pub mod sync;
pub mod wal;
