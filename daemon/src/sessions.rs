//! How old the session of each account is, and what happens when it is too old: nothing moves any
//! more until the person proves who they are. Nothing is removed, and signing out still works.
//!
//! A session's age is durable, and no clock that is turned back makes it younger: within the life
//! of this process the system's monotonic clock counts too. Where no policy bounds a session,
//! nothing is written, and nothing wakes up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mooring_core::account::{Event, Reason, State};
use mooring_core::identity::Password;
use mooring_core::policy::SessionLimit;
use mooring_core::receipt::readable;
use mooring_core::session::Session;
use tokio::time::Instant;

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::store::{Error, Store};

/// The longest time between two looks at a session that has a bound: a sleep of the device does not
/// count as waiting, so its end alone is not waited for.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// How much older a session becomes before that is written down.
const SAVE_EVERY: u64 = 10 * 60;

/// A session as this process knows it.
#[derive(Debug, Clone, Copy)]
struct Kept {
    now: Session,
    saved: Session,
    /// How old it was when this process began to count, and when that was.
    from: (u64, Instant),
}

/// The sessions of all accounts.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<BTreeMap<String, Kept>>);

impl Sessions {
    /// The session of an account, seen now.
    fn look(&self, store: &Store, account: &Account, now: u64) -> Result<Session, Error> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match kept.get_mut(&account.id) {
            Some(session) => session,
            None => {
                // It began with the sign-in, unless it was proved again since.
                let saved = store.session(&account.id)?;
                let saved = saved.unwrap_or(Session::begun(account.signed_in_at));
                let from = (saved.observe(now).age, Instant::now());
                let new = Kept {
                    now: saved,
                    saved,
                    from,
                };
                kept.entry(account.id.clone()).or_insert(new)
            }
        };
        let turned_back = now < session.now.seen;
        session.now = session.now.observe(now);
        let counted = session
            .from
            .0
            .saturating_add(session.from.1.elapsed().as_secs());
        session.now.age = session.now.age.max(counted);
        if turned_back || session.now.age - session.saved.age >= SAVE_EVERY {
            store.save_session(&account.id, session.now)?;
            session.saved = session.now;
        }
        Ok(session.now)
    }

    /// A session begins anew, durably.
    fn begin(&self, store: &Store, id: &str, now: u64) -> Result<(), Error> {
        let begun = Session::begun(now);
        store.save_session(id, begun)?;
        let kept = Kept {
            now: begun,
            saved: begun,
            from: (0, Instant::now()),
        };
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(id.to_owned(), kept);
        Ok(())
    }

    /// Forgets those whose account is gone.
    fn retain(&self, mut there: impl FnMut(&str) -> bool) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|id, _| there(id));
    }
}

/// Follows the age of every session that has a bound, until the broker stops.
pub async fn run(broker: Arc<Broker>) {
    let mut rules = broker.rules.changes();
    let mut published = broker.published.subscribe();
    loop {
        published.mark_unchanged();
        rules.mark_unchanged();
        let next = broker.watch_sessions();
        tokio::select! {
            () = later(next) => {}
            gone = rules.changed() => if gone.is_err() {
                return;
            },
            gone = published.changed() => if gone.is_err() {
                return;
            },
        }
    }
}

async fn later(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

impl Broker {
    /// Proves who the person is, and begins the session anew.
    ///
    /// # Errors
    /// [`Failure::IncorrectPassword`], [`Failure::TooManyAttempts`]; [`Failure::NotFound`].
    pub async fn reauthenticate(&self, id: &str, password: Password) -> Result<(), Failure> {
        let record = self.known_record(id).await?.record;
        self.passwords.check(&record, password).await?;
        // It may have been forgotten meanwhile.
        self.published.borrow().account(id)?;
        self.sessions.begin(&self.store, id, self.clock.now())?;
        tracing::info!(account = id, "the person proved who they are");
        self.watch_sessions();
        Ok(())
    }

    /// Checks that the session of an account is not too old.
    ///
    /// # Errors
    /// [`Failure::ReauthRequired`], with who says so and what to do.
    pub fn expect_fresh(&self, account: &Account) -> Result<(), Failure> {
        let Some(limit) = self.session_limit(account) else {
            return Ok(());
        };
        let session = self.sessions.look(&self.store, account, self.clock.now())?;
        match session.left(limit.seconds) {
            Some(_) => Ok(()),
            None => Err(Failure::ReauthRequired(too_old(account, &limit))),
        }
    }

    /// Looks at every session, changes the state of those accounts that it concerns, and answers
    /// when the next look is due; never where none has a bound.
    pub fn watch_sessions(&self) -> Option<Duration> {
        let views: Vec<_> = self.published.borrow().accounts.values().cloned().collect();
        self.sessions
            .retain(|id| views.iter().any(|view| view.account.id == id));
        let in_use = views
            .iter()
            .map(|view| &view.account)
            .filter(|a| matches!(a.state, State::Active | State::NeedsAttention(_)));
        in_use
            .filter_map(|account| self.watch_session(account))
            .min()
    }

    fn watch_session(&self, account: &Account) -> Option<Duration> {
        let stopped = account.state == State::NeedsAttention(Reason::Reauthenticate);
        let limit = self.session_limit(account);
        let left = match &limit {
            None => Ok(None),
            Some(limit) => self
                .sessions
                .look(&self.store, account, self.clock.now())
                .map(|session| session.left(limit.seconds)),
        };
        match (limit, left) {
            (Some(limit), Ok(None)) => {
                let message = too_old(account, &limit);
                if !stopped || account.message != message {
                    self.event(
                        &account.id,
                        Event::Trouble(Reason::Reauthenticate),
                        &message,
                    );
                }
                // Only a proof, or another policy, changes that.
                None
            }
            (limit, Ok(left)) => {
                if stopped {
                    self.event(&account.id, Event::Recovered, "");
                    self.noticed.changed(&account.id);
                }
                limit
                    .and(left)
                    .map(|left| Duration::from_secs(left).min(LOOK_EVERY))
            }
            (_, Err(error)) => {
                // What moves data asks again, and is refused then.
                tracing::error!(account = account.id, %error, "the age of a session is not known");
                Some(LOOK_EVERY)
            }
        }
    }
}

/// What happened, who says so, and what to do.
fn too_old(account: &Account, limit: &SessionLimit) -> String {
    let who = readable(account.identity.as_bytes());
    format!(
        "nothing is synced until {who} gives the password again: `mooringctl reauthenticate {who}`. \
         {}",
        limit.said
    )
}
