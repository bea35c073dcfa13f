//! Changing a record: a new password, a new recovery code, and which of two records holds.
//!
//! The generation is what tells two records of one storage apart: it grows by one with every change
//! and never goes back. A record with an older generation is an old password come back, so a
//! device that knows a newer one does not take it.

use super::hash::Hash;
use super::{Cost, Error, Password, Record, RecoveryCode, SALT_BYTES};

/// The highest generation: TOML has no greater number.
const MAX_GENERATION: u64 = i64::MAX.unsigned_abs();

/// What a record that was found in a storage is to the one that a device knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The same record.
    Same,
    /// It came after: another device changed it.
    Newer,
    /// It was there before, and somebody put it back.
    Older,
    /// Of the same generation, and yet another one: two changes at once, or a forgery.
    Rival,
    /// Of another storage or another identity.
    Foreign,
}

impl Record {
    /// What a record found in the storage is to this one, which the device knows.
    pub fn standing_of(&self, found: &Self) -> Standing {
        if (&found.storage_id, &found.identity) != (&self.storage_id, &self.identity) {
            return Standing::Foreign;
        }
        match found.generation.cmp(&self.generation) {
            std::cmp::Ordering::Greater => Standing::Newer,
            std::cmp::Ordering::Less => Standing::Older,
            std::cmp::Ordering::Equal if found == self => Standing::Same,
            std::cmp::Ordering::Equal => Standing::Rival,
        }
    }

    /// The next record, with another password. Runs argon2: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`Error::Generation`] when there is no further one, [`Error::Argon2`] when it cannot run.
    pub fn with_password(
        &self,
        password: &Password,
        salt: &[u8; SALT_BYTES],
        cost: Cost,
    ) -> Result<Self, Error> {
        if self.generation >= MAX_GENERATION {
            return Err(Error::Generation);
        }
        Ok(Self {
            generation: self.generation + 1,
            password: Hash::new(password.bytes(), salt, cost)?,
            ..self.clone()
        })
    }

    /// The same record, with another recovery code: a part of the change that
    /// [`Record::with_password`] began. Runs argon2: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`Error::Argon2`] when it cannot run.
    pub fn and_recovery_code(
        self,
        code: &RecoveryCode,
        salt: &[u8; SALT_BYTES],
        cost: Cost,
    ) -> Result<Self, Error> {
        Ok(Self {
            recovery_code: Hash::new(code.bytes(), salt, cost)?,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::super::{ENTROPY_BYTES, Randomness};
    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn password(text: &str) -> Password {
        Password::new(text.as_bytes().to_vec()).unwrap()
    }

    fn code(seed: u8) -> RecoveryCode {
        RecoveryCode::from_entropy([seed; ENTROPY_BYTES]).unwrap()
    }

    fn record(identity: &str) -> Record {
        let random = Randomness {
            storage_id: [7; 16],
            password_salt: [1; 16],
            recovery_salt: [2; 16],
        };
        Record::new(identity, &password("first one"), &code(0), &random, CHEAP).unwrap()
    }

    #[test]
    fn a_change_replaces_what_it_says_and_nothing_else() {
        let first = record("alice");
        let changed = first
            .with_password(&password("second one"), &[3; 16], CHEAP)
            .unwrap();
        assert!(changed.check_password(&password("second one")).unwrap());
        assert!(!changed.check_password(&password("first one")).unwrap());
        assert!(changed.check_recovery_code(&code(0)).unwrap());
        let reset = changed
            .clone()
            .and_recovery_code(&code(1), &[4; 16], CHEAP)
            .unwrap();
        assert!(reset.check_recovery_code(&code(1)).unwrap());
        assert!(!reset.check_recovery_code(&code(0)).unwrap());
        assert!(reset.check_password(&password("second one")).unwrap());
        assert_eq!((first.generation, reset.generation), (1, 2));
        assert_eq!(Record::parse(&reset.to_toml().unwrap()).unwrap(), reset);
    }

    #[test]
    fn there_is_a_last_generation_and_it_can_still_be_written() {
        let last = Record {
            generation: MAX_GENERATION,
            ..record("alice")
        };
        last.to_toml().unwrap();
        let further = last.with_password(&password("another one"), &[3; 16], CHEAP);
        assert!(matches!(further, Err(Error::Generation)));
    }

    #[test]
    fn the_standing_of_a_record() {
        let first = record("alice");
        let next = |text, salt| {
            first
                .with_password(&password(text), &[salt; 16], CHEAP)
                .unwrap()
        };
        let (second, rival) = (next("second one", 3), next("other one", 4));
        assert_eq!(first.standing_of(&first.clone()), Standing::Same);
        assert_eq!(first.standing_of(&second), Standing::Newer);
        assert_eq!(second.standing_of(&first), Standing::Older);
        assert_eq!(second.standing_of(&rival), Standing::Rival);
        assert_eq!(first.standing_of(&record("bob")), Standing::Foreign);
        let elsewhere = Record {
            storage_id: "8".repeat(32),
            ..second.clone()
        };
        assert_eq!(first.standing_of(&elsewhere), Standing::Foreign);
    }

    proptest! {
        /// Whatever records turn up and whatever is changed, what a device knows only moves on.
        #[test]
        fn the_generation_only_grows(steps in prop::collection::vec((0u8..3, 0u64..12), 1..24)) {
            let mut known = record("alice");
            for (what, generation) in steps {
                let before = known.generation;
                let found = match what {
                    0 => known.with_password(&password("a new one"), &[9; 16], CHEAP).unwrap(),
                    1 => Record { generation, ..known.clone() },
                    _ => Record { generation, ..record("bob") },
                };
                if known.standing_of(&found) == Standing::Newer {
                    known = found;
                }
                prop_assert!(known.generation >= before);
                prop_assert!(what != 0 || known.generation == before + 1);
                prop_assert_eq!(&known.identity, "alice");
            }
        }
    }
}
