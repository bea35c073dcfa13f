//! The key that seals what the daemon remembers of passwords: missing, wrong, damaged, changed, and
//! with deaths at each point of a change. On the real binaries, and with a real keyring.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod keyring;
mod rotation;
mod stage;
mod states;
