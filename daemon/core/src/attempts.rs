//! How often a password may be tried: a delay that grows with each failure, never a lock-out.
//!
//! A try is counted as a failure *before* it is checked: the caller makes what [`Attempts::begin`]
//! answers durable, then checks, then forgets the failures with [`Attempts::default`] if the
//! password was right. So a crash in between never gives a try for nothing.
//!
//! The clock is the wall clock, because the wait has to outlive a restart. Turning it back never
//! shortens a wait ([`Attempts::observe`] begins the wait anew), and no wait is ever longer than
//! [`MAX_DELAY_SECONDS`].

use serde::{Deserialize, Serialize};

/// Failures that cost no wait: a person mistypes.
pub const FREE_FAILURES: u32 = 3;
/// The wait after the first failure that costs one; it doubles with each further one.
pub const FIRST_DELAY_SECONDS: u64 = 2;
/// The longest wait: a quarter of an hour.
pub const MAX_DELAY_SECONDS: u64 = 15 * 60;

/// Failed tries of one password, durable. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Failures since the last success.
    pub failures: u32,
    /// When the last try was counted.
    pub last_failure: u64,
    /// Before this nothing is checked.
    pub not_before: u64,
}

/// It is too soon to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too soon after a wrong password")]
pub struct TooSoon {
    /// When the next try is allowed.
    pub next_attempt: u64,
}

/// The wait after so many failures, in seconds.
pub fn delay(failures: u32) -> u64 {
    match failures.checked_sub(FREE_FAILURES + 1) {
        None => 0,
        Some(doublings) => 1u64
            .checked_shl(doublings)
            .and_then(|factor| FIRST_DELAY_SECONDS.checked_mul(factor))
            .map_or(MAX_DELAY_SECONDS, |seconds| seconds.min(MAX_DELAY_SECONDS)),
    }
}

impl Attempts {
    /// The same failures, seen now. When the clock was turned back behind the last failure, the
    /// whole wait begins anew; the answer has to be made durable when it differs.
    #[must_use]
    pub fn observe(self, now: u64) -> Self {
        let wait = delay(self.failures);
        if now < self.last_failure {
            Self {
                last_failure: now,
                not_before: now.saturating_add(wait),
                ..self
            }
        } else {
            // Whatever the file says: a wait ends after its delay.
            let latest = self.last_failure.saturating_add(wait);
            Self {
                not_before: self.not_before.min(latest),
                ..self
            }
        }
    }

    /// Begins a try: what to make durable before the password is checked.
    ///
    /// # Errors
    /// [`TooSoon`] when the wait has not passed; the try is then neither counted nor made.
    pub fn begin(self, now: u64) -> Result<Self, TooSoon> {
        let seen = self.observe(now);
        if now < seen.not_before {
            return Err(TooSoon {
                next_attempt: seen.not_before,
            });
        }
        let failures = seen.failures.saturating_add(1);
        Ok(Self {
            failures,
            last_failure: now,
            not_before: now.saturating_add(delay(failures)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_tries_are_free_and_then_the_wait_doubles_up_to_a_bound() {
        let delays: Vec<u64> = (0..=13).map(delay).collect();
        assert_eq!(
            delays,
            [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]
        );
        assert_eq!(delay(u32::MAX), MAX_DELAY_SECONDS);
    }

    #[test]
    fn a_try_too_soon_is_not_counted() {
        let mut attempts = Attempts::default();
        for _ in 0..4 {
            attempts = attempts.begin(100).unwrap();
        }
        assert_eq!(attempts.begin(101), Err(TooSoon { next_attempt: 102 }));
        assert_eq!(attempts.begin(102).unwrap().failures, 5);
    }

    #[test]
    fn a_clock_turned_back_begins_the_wait_anew_and_only_once() {
        let attempts = Attempts {
            failures: 8,
            last_failure: 1000,
            not_before: 1032,
        };
        let back = attempts.observe(10);
        assert_eq!(back.not_before, 10 + 32);
        assert_eq!(back.observe(20).not_before, 10 + 32);
        assert!(back.begin(42).is_ok());
    }

    proptest! {
        /// Against real time: however the clock is turned back, the wait lasts at least its delay
        /// since the failure, and at most the delay since the last time the clock was turned.
        #[test]
        fn turning_the_clock_back_never_shortens_a_wait(
            failures in 0u32..40,
            start in 0u64..1 << 40,
            steps in prop::collection::vec((0u64..400, 0u64..1 << 20), 1..40),
        ) {
            let wait = delay(failures);
            let mut attempts =
                Attempts { failures, last_failure: start, not_before: start + wait };
            let (mut wall, mut real, mut last_turn) = (start, 0u64, 0u64);
            for (passes, back) in steps {
                real += passes;
                wall = (wall + passes).saturating_sub(back);
                if back > 0 {
                    last_turn = real;
                }
                attempts = attempts.observe(wall);
                let open = wall >= attempts.not_before;
                prop_assert!(!open || real >= wait, "opened after {real} s instead of {wait} s");
                prop_assert!(attempts.not_before.saturating_sub(wall) <= MAX_DELAY_SECONDS);
                if real >= last_turn + wait && back == 0 {
                    prop_assert!(open, "still shut {} s after the last turn", real - last_turn);
                }
            }
        }

        #[test]
        fn no_stored_value_locks_out(
            failures: u32, last_failure: u64, not_before: u64, now in 0u64..1 << 40,
        ) {
            let seen = Attempts { failures, last_failure, not_before }.observe(now);
            prop_assert!(seen.not_before.saturating_sub(now) <= MAX_DELAY_SECONDS);
            prop_assert!(seen.begin(now + MAX_DELAY_SECONDS).is_ok());
        }
    }
}
