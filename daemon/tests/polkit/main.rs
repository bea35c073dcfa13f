//! What polkit itself answers, on a device of the test's own: the real polkitd on a private system
//! bus, with the files that are installed, and callers who are other people (as root).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod agent;
mod calls;
mod device;
mod questions;
mod rules;
mod stand_in;
mod terminal;
