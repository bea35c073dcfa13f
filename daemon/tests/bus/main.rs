//! The broker on a real bus of its own, with a worker that does as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod continuous;
mod copies;
mod devices;
mod diagnose;
mod ended;
mod forgetting;
mod inhibitors;
mod introspection;
mod passwords;
mod policy;
mod refusals;
mod resting;
mod sign_in;
mod sign_out;
mod sync;
mod terms;
mod worker;
mod world;
mod zeros;
