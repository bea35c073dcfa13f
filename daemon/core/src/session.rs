//! How old a session is: the time since a person last proved who they are.
//!
//! A session remembers its age and the clock it was last seen by, and grows by what the clock went
//! forward since. So turning the clock back never makes a session younger, and it goes on ageing
//! from there; only a new proof makes it young.

/// The age of a session, durable. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// How old it is, in seconds.
    pub age: u64,
    /// What the clock showed when that was so.
    pub seen: u64,
}

impl Session {
    /// A session that begins with a proof, now.
    pub fn begun(now: u64) -> Self {
        Self { age: 0, seen: now }
    }

    /// The same session, seen now.
    #[must_use]
    pub fn observe(self, now: u64) -> Self {
        Self {
            age: self.age.saturating_add(now.saturating_sub(self.seen)),
            seen: now,
        }
    }

    /// How many seconds are left of an age that it may reach; none when it is too old.
    pub fn left(self, most: u64) -> Option<u64> {
        most.checked_sub(self.age).filter(|left| *left > 0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_ends_with_its_age_and_not_before() {
        let session = Session::begun(1000);
        assert_eq!(session.observe(1059).left(60), Some(1));
        assert_eq!(session.observe(1060).left(60), None);
        assert_eq!(session.observe(u64::MAX).observe(u64::MAX).left(60), None);
    }

    proptest! {
        /// Against real time: a clock that is turned back, however often, hides at most what
        /// passed between two looks at it.
        #[test]
        fn turning_the_clock_back_never_makes_it_younger(
            steps in prop::collection::vec((0u64..400, 0u64..1 << 20), 1..40),
        ) {
            let (mut wall, mut real) = (1u64 << 30, 0u64);
            let mut session = Session::begun(wall);
            for (passes, back) in steps {
                let before = session.age;
                wall += passes;
                real += passes;
                session = session.observe(wall);
                prop_assert_eq!(session.age, before + passes);
                wall -= back;
                session = session.observe(wall);
                prop_assert_eq!(session.age, real);
            }
        }
    }
}
