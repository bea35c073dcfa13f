//! How often a password may be tried: a delay that grows with each failure, never a lock-out.
//!
//! A try is counted as a failure *before* it is checked: the caller makes what [`Attempts::begin`]
//! answers durable, then checks, then forgets the failures with [`Attempts::default`] if the
//! password was right. So a crash in between never gives a try for nothing.
//!
//! The clock is the wall clock, because the wait has to outlive a restart. Turning it back never
//! shortens a wait ([`Attempts::observe`] begins the wait anew), and no wait is ever longer than
//! [`LONGEST_DELAY_SECONDS`], whatever a policy asks for: there is always a next time.

use serde::{Deserialize, Serialize};

/// Failures that cost no wait: a person mistypes.
pub const FREE_FAILURES: u32 = 3;
/// The wait after the first failure that costs one; it doubles with each further one.
pub const FIRST_DELAY_SECONDS: u64 = 2;
/// The longest wait when nobody asks for a longer one: a quarter of an hour.
pub const MAX_DELAY_SECONDS: u64 = 15 * 60;
/// The longest wait that anybody can ask for: a day.
pub const LONGEST_DELAY_SECONDS: u64 = 24 * 60 * 60;

/// How wrong passwords are slowed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowing {
    /// Failures that cost no wait.
    pub free_failures: u32,
    /// The longest wait, in seconds; counts up to [`LONGEST_DELAY_SECONDS`].
    pub max_delay_seconds: u64,
}

impl Default for Slowing {
    fn default() -> Self {
        Self {
            free_failures: FREE_FAILURES,
            max_delay_seconds: MAX_DELAY_SECONDS,
        }
    }
}

impl Slowing {
    /// The wait after so many failures, in seconds.
    pub fn delay(self, failures: u32) -> u64 {
        let longest = self.max_delay_seconds.min(LONGEST_DELAY_SECONDS);
        match failures.checked_sub(self.free_failures.saturating_add(1)) {
            None => 0,
            Some(doublings) => 1u64
                .checked_shl(doublings)
                .and_then(|factor| FIRST_DELAY_SECONDS.checked_mul(factor))
                .map_or(longest, |seconds| seconds.min(longest)),
        }
    }
}

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

impl Attempts {
    /// The same failures, seen now. When the clock was turned back behind the last failure, the
    /// whole wait begins anew; the answer has to be made durable when it differs.
    #[must_use]
    pub fn observe(self, slowing: Slowing, now: u64) -> Self {
        let wait = slowing.delay(self.failures);
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
    pub fn begin(self, slowing: Slowing, now: u64) -> Result<Self, TooSoon> {
        let seen = self.observe(slowing, now);
        if now < seen.not_before {
            return Err(TooSoon {
                next_attempt: seen.not_before,
            });
        }
        let failures = seen.failures.saturating_add(1);
        Ok(Self {
            failures,
            last_failure: now,
            not_before: now.saturating_add(slowing.delay(failures)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    const USUAL: Slowing = Slowing {
        free_failures: FREE_FAILURES,
        max_delay_seconds: MAX_DELAY_SECONDS,
    };

    #[test]
    fn fewer_tries_and_longer_waits_can_be_asked_for_up_to_a_day() {
        let strict = Slowing {
            free_failures: 0,
            max_delay_seconds: u64::MAX,
        };
        assert_eq!(
            (strict.delay(0), strict.delay(1), strict.delay(2)),
            (0, 2, 4)
        );
        assert_eq!(strict.delay(u32::MAX), LONGEST_DELAY_SECONDS);
        assert_eq!(Slowing::default(), USUAL);
    }

    #[test]
    fn three_tries_are_free_and_then_the_wait_doubles_up_to_a_bound() {
        let delays: Vec<u64> = (0..=13).map(|n| USUAL.delay(n)).collect();
        assert_eq!(
            delays,
            [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]
        );
        assert_eq!(USUAL.delay(u32::MAX), MAX_DELAY_SECONDS);
    }

    #[test]
    fn a_try_too_soon_is_not_counted() {
        let mut attempts = Attempts::default();
        for _ in 0..4 {
            attempts = attempts.begin(USUAL, 100).unwrap();
        }
        assert_eq!(
            attempts.begin(USUAL, 101),
            Err(TooSoon { next_attempt: 102 })
        );
        assert_eq!(attempts.begin(USUAL, 102).unwrap().failures, 5);
    }

    #[test]
    fn a_clock_turned_back_begins_the_wait_anew_and_only_once() {
        let attempts = Attempts {
            failures: 8,
            last_failure: 1000,
            not_before: 1032,
        };
        let back = attempts.observe(USUAL, 10);
        assert_eq!(back.not_before, 10 + 32);
        assert_eq!(back.observe(USUAL, 20).not_before, 10 + 32);
        assert!(back.begin(USUAL, 42).is_ok());
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
            let wait = USUAL.delay(failures);
            let mut attempts =
                Attempts { failures, last_failure: start, not_before: start + wait };
            let (mut wall, mut real, mut last_turn) = (start, 0u64, 0u64);
            for (passes, back) in steps {
                real += passes;
                wall = (wall + passes).saturating_sub(back);
                if back > 0 {
                    last_turn = real;
                }
                attempts = attempts.observe(USUAL, wall);
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
            let seen = Attempts { failures, last_failure, not_before }.observe(USUAL, now);
            prop_assert!(seen.not_before.saturating_sub(now) <= MAX_DELAY_SECONDS);
            prop_assert!(seen.begin(USUAL, now + MAX_DELAY_SECONDS).is_ok());
        }
    }
}
