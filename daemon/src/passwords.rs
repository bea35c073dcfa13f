//! Checks passwords and recovery codes: one at a time, each try counted durably before it is made.

use std::collections::HashMap;
use std::sync::Arc;

use mooring_core::attempts::{Attempts, Slowing, TooSoon};
use mooring_core::identity::{self, Cost, Password, Randomness, Record, RecoveryCode};
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use crate::clock::Clock;
use crate::failure::Failure;
use crate::random;
use crate::store::{self, Store};

/// Argon2 takes up to 256 MiB: never two at once in this process, whoever asks.
static HASHING: Semaphore = Semaphore::const_new(1);

/// How wrong passwords of an identity are slowed down now.
pub type SlowingOf = Box<dyn Fn(&str) -> Slowing + Send + Sync>;

/// Everything that runs argon2.
pub struct Passwords {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    cost: Cost,
    slowing: SlowingOf,
    /// Makes "read, count, check" one step.
    one_at_a_time: Mutex<Waits>,
    /// A change reads, checks and replaces: never two at once.
    one_change: Mutex<()>,
}

impl Passwords {
    /// New records cost `cost`; a daemon gives [`Cost::REAL`].
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, cost: Cost, slowing: SlowingOf) -> Self {
        Self {
            store,
            clock,
            cost,
            slowing,
            one_at_a_time: Mutex::new(Waits::default()),
            one_change: Mutex::new(()),
        }
    }

    /// Makes a record with a new storage ID, and its recovery code.
    ///
    /// # Errors
    /// For a name that no identity can have, and when argon2 cannot run.
    pub async fn new_record(
        &self,
        identity: String,
        storage_id: [u8; identity::STORAGE_ID_BYTES],
        password: Password,
    ) -> Result<(Record, RecoveryCode), Failure> {
        let code = RecoveryCode::from_entropy(random::bytes()?)?;
        let random = Randomness {
            storage_id,
            password_salt: random::bytes()?,
            recovery_salt: random::bytes()?,
        };
        let cost = self.cost;
        let _alone = self.one_at_a_time.lock().await;
        blocking(move || {
            let record = Record::new(&identity, &password, &code, &random, cost)?;
            Ok((record, code))
        })
        .await
    }

    /// The next record, with another password.
    ///
    /// # Errors
    /// When argon2 cannot run.
    pub async fn next_record(&self, record: Record, new: Password) -> Result<Record, Failure> {
        let (salt, cost) = (random::bytes()?, self.cost);
        let _alone = self.one_at_a_time.lock().await;
        blocking(move || record.with_password(&new, &salt, cost)).await
    }

    /// The next record, with another password and another recovery code, and that code.
    ///
    /// # Errors
    /// When argon2 cannot run.
    pub async fn next_record_and_code(
        &self,
        record: Record,
        new: Password,
    ) -> Result<(Record, RecoveryCode), Failure> {
        let code = RecoveryCode::from_entropy(random::bytes()?)?;
        let (salt, code_salt, cost) = (random::bytes()?, random::bytes()?, self.cost);
        let _alone = self.one_at_a_time.lock().await;
        blocking(move || {
            let next = record
                .with_password(&new, &salt, cost)?
                .and_recovery_code(&code, &code_salt, cost)?;
            Ok((next, code))
        })
        .await
    }

    /// Waits until nobody else on this device changes a password.
    pub async fn change_alone(&self) -> MutexGuard<'_, ()> {
        self.one_change.lock().await
    }

    /// Checks a password.
    ///
    /// # Errors
    /// [`Failure::TooManyAttempts`] when it is too soon: not counted, not checked.
    /// [`Failure::IncorrectPassword`] with the time of the next try.
    pub async fn check(&self, record: &Record, password: Password) -> Result<(), Failure> {
        let checked = record.clone();
        let check = move || checked.check_password(&password);
        self.attempt(Kind::Password, record, check).await
    }

    /// Checks a recovery code. It has a counter of its own.
    ///
    /// # Errors
    /// [`Failure::TooManyCodes`] when it is too soon: not counted, not checked.
    /// [`Failure::IncorrectCode`] with the time of the next try.
    pub async fn check_code(&self, record: &Record, code: RecoveryCode) -> Result<(), Failure> {
        let checked = record.clone();
        let check = move || checked.check_recovery_code(&code);
        self.attempt(Kind::Code, record, check).await
    }

    /// Forgets the tries of a password that was replaced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forgive(&self, record: &Record) -> Result<(), Failure> {
        let id = Kind::Password.counter(record);
        let mut waits = self.one_at_a_time.lock().await;
        self.store.clear_attempts(&id)?;
        waits.0.remove(&id);
        Ok(())
    }

    async fn attempt(
        &self,
        kind: Kind,
        record: &Record,
        check: impl FnOnce() -> Result<bool, identity::Error> + Send + 'static,
    ) -> Result<(), Failure> {
        let id = kind.counter(record);
        let mut waits = self.one_at_a_time.lock().await;
        let counted = self.count(kind, &id, (self.slowing)(&record.identity), &mut waits)?;
        if blocking(check).await? {
            self.store.clear_attempts(&id)?;
            waits.0.remove(&id);
            return Ok(());
        }
        let now = self.clock.now();
        tracing::info!(?kind, failures = counted.failures, "a wrong secret");
        let next_attempt = if counted.not_before > now {
            counted.not_before
        } else {
            0
        };
        Err(kind.wrong(next_attempt))
    }

    fn count(
        &self,
        kind: Kind,
        id: &str,
        slowing: Slowing,
        waits: &mut Waits,
    ) -> Result<Attempts, Failure> {
        let before = self.store.attempts(id)?;
        let (now, steady) = (self.clock.now(), self.clock.steady());
        // Whatever became of the row.
        let left = waits.left(id, steady, slowing);
        if left > 0 {
            return Err(kind.too_soon(now.saturating_add(left)));
        }
        match before.begin(slowing, now) {
            Ok(counted) => {
                self.store
                    .save_attempts(id, counted)
                    .map_err(|error| match error {
                        full @ store::Error::TriesFull => Failure::Busy(full.to_string()),
                        other => other.into(),
                    })?;
                waits.begin(id, steady, slowing, counted.failures);
                Ok(counted)
            }
            Err(TooSoon { next_attempt }) => {
                let seen = before.observe(slowing, now);
                if seen != before {
                    // The clock was turned back: the wait began anew, once.
                    self.store.save_attempts(id, seen)?;
                }
                Err(kind.too_soon(next_attempt))
            }
        }
    }
}

/// The waits that this process began, by a clock that nobody can turn: one set forward ends none of
/// them. After a restart only the wall clock is left to go by.
#[derive(Debug, Default)]
struct Waits(HashMap<String, Wait>);

#[derive(Debug, Clone, Copy)]
struct Wait {
    since: u64,
    seconds: u64,
    /// The failures that it is for.
    failures: u32,
}

impl Wait {
    fn left(self, steady: u64, most: u64) -> u64 {
        // Before it began: a clock that can be turned after all, and the wall's rule decides alone.
        match steady.checked_sub(self.since) {
            Some(passed) => self.seconds.min(most).saturating_sub(passed),
            None => 0,
        }
    }
}

impl Waits {
    fn left(&self, id: &str, steady: u64, slowing: Slowing) -> u64 {
        // As long as rules ask for now: one that is lifted lifts the wait.
        let left = |wait: &Wait| wait.left(steady, slowing.delay(wait.failures));
        self.0.get(id).map_or(0, left)
    }

    fn begin(&mut self, id: &str, since: u64, slowing: Slowing, failures: u32) {
        // Whatever has passed is forgotten, so that there are never more than are waited for.
        self.0.retain(|_, wait| wait.left(since, u64::MAX) > 0);
        let wait = Wait {
            since,
            seconds: slowing.delay(failures),
            failures,
        };
        self.0.insert(id.to_owned(), wait);
    }
}

/// What is tried.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Password,
    Code,
}

impl Kind {
    /// The name of its counter; a storage's ID is hexadecimal digits alone.
    fn counter(self, record: &Record) -> String {
        match self {
            Self::Password => record.storage_id.clone(),
            Self::Code => format!("recovery-code/{}", record.storage_id),
        }
    }

    fn wrong(self, next_attempt: u64) -> Failure {
        match self {
            Self::Password => Failure::IncorrectPassword { next_attempt },
            Self::Code => Failure::IncorrectCode { next_attempt },
        }
    }

    fn too_soon(self, next_attempt: u64) -> Failure {
        match self {
            Self::Password => Failure::TooManyAttempts { next_attempt },
            Self::Code => Failure::TooManyCodes { next_attempt },
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, identity::Error> + Send + 'static,
) -> Result<T, Failure> {
    // Closed never, so there is always a permit to come.
    let _alone = HASHING.acquire().await;
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Failure::Internal(format!(
            "a password could not be checked: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    struct Turned(AtomicU64);

    impl Clock for Turned {
        fn now(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn password(text: &str) -> Password {
        Password::new(text.as_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn tries_are_counted_over_a_restart_and_forgotten_after_a_success() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.db");
        let clock = Arc::new(Turned(AtomicU64::new(1000)));
        let open = || {
            let store = Arc::new(Store::open(&file).unwrap());
            Passwords::new(
                store,
                clock.clone(),
                CHEAP,
                Box::new(|_| Slowing::default()),
            )
        };
        let passwords = open();
        let (record, _) = passwords
            .new_record("alice".into(), [1; 16], password("right"))
            .await
            .unwrap();
        for expected in [0, 0, 0, 1002] {
            let error = passwords
                .check(&record, password("wrong"))
                .await
                .unwrap_err();
            assert!(
                matches!(error, Failure::IncorrectPassword { .. }),
                "{error:?}"
            );
            assert_eq!(error.next_attempt(), expected);
        }
        drop(passwords);
        let passwords = open();
        // Even the right one waits, and costs nothing.
        for _ in 0..2 {
            let error = passwords
                .check(&record, password("right"))
                .await
                .unwrap_err();
            assert!(
                matches!(error, Failure::TooManyAttempts { next_attempt: 1002 }),
                "{error:?}"
            );
        }
        clock.0.store(10, Ordering::SeqCst);
        let error = passwords
            .check(&record, password("right"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Failure::TooManyAttempts { next_attempt: 12 }),
            "{error:?}"
        );
        clock.0.store(12, Ordering::SeqCst);
        passwords.check(&record, password("right")).await.unwrap();
        let error = passwords
            .check(&record, password("wrong"))
            .await
            .unwrap_err();
        assert_eq!(error.next_attempt(), 0);
    }

    struct Forward(AtomicU64);

    impl Clock for Forward {
        fn now(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }

        fn steady(&self) -> u64 {
            7
        }
    }

    #[tokio::test]
    async fn a_clock_set_forward_ends_no_wait() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Forward(AtomicU64::new(1000)));
        let store = Arc::new(Store::open(&folder.path().join("broker.db")).unwrap());
        let slowing = Box::new(|_: &str| Slowing::default());
        let passwords = Passwords::new(store, clock.clone(), CHEAP, slowing);
        let record = passwords.new_record("alice".into(), [1; 16], password("right"));
        let (record, _) = record.await.unwrap();
        for _ in 0..4 {
            let wrong = passwords.check(&record, password("wrong")).await;
            assert!(matches!(wrong, Err(Failure::IncorrectPassword { .. })));
        }
        clock.0.store(32_000_000, Ordering::SeqCst);
        let error = passwords.check(&record, password("right")).await;
        let error = error.unwrap_err();
        assert!(
            matches!(
                error,
                Failure::TooManyAttempts {
                    next_attempt: 32_000_002
                }
            ),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_wait_goes_on_whatever_became_of_the_row_unless_it_is_forgiven() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Forward(AtomicU64::new(1000)));
        let store = Arc::new(Store::open(&folder.path().join("broker.db")).unwrap());
        let slowing = Box::new(|_: &str| Slowing::default());
        let passwords = Passwords::new(store.clone(), clock, CHEAP, slowing);
        let record = passwords.new_record("alice".into(), [1; 16], password("right"));
        let (record, _) = record.await.unwrap();
        for _ in 0..4 {
            let wrong = passwords.check(&record, password("wrong")).await;
            assert!(matches!(wrong, Err(Failure::IncorrectPassword { .. })));
        }
        let counter = Kind::Password.counter(&record);
        store.clear_attempts(&counter).unwrap();
        let early = passwords.check(&record, password("right")).await;
        assert!(matches!(early, Err(Failure::TooManyAttempts { .. })));
        passwords.forgive(&record).await.unwrap();
        passwords.check(&record, password("right")).await.unwrap();
    }
}
