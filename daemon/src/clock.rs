//! The wall clock behind a trait, so that a test can turn it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Seconds since the Unix epoch; 0 for a clock set before it.
    fn now(&self) -> u64;

    /// Seconds since some moment of this process, by a clock that nobody can turn. Of one that
    /// only ever tells the wall's time: that.
    fn steady(&self) -> u64 {
        self.now()
    }
}

/// The clock of the system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs())
    }

    fn steady(&self) -> u64 {
        // Sleep counts (CLOCK_BOOTTIME); where it cannot be read, only waking time does.
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
            .or_else(|_| nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC))
            .map_or(0, |time| u64::try_from(time.tv_sec()).unwrap_or(0))
    }
}
