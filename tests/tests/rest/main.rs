//! At rest: no worker runs, and still every change is noticed. On the real binaries.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod deaths;
mod restarts;
mod stage;
mod still;
mod while_away;
