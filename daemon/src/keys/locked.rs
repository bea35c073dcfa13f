//! What locked secrets mean for accounts, and how they come back.

use mooring_core::account::{Event, Reason, State};

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::keys;
use crate::store::{Error, Store};

const LOCKED: State = State::NeedsAttention(Reason::SecretsLocked);

/// Brings the state of an account that was just read in line with whether its secrets are locked.
///
/// # Errors
/// When the state cannot be read.
pub fn mark(store: &Store, account: &mut Account) -> Result<(), Error> {
    let locked = store.record_locked(&account.id)?;
    match (account.state, locked) {
        (State::Active | State::NeedsAttention(_), Some(why)) => {
            account.apply(Event::Trouble(Reason::SecretsLocked), &sentence(&why));
        }
        (LOCKED, None) => account.apply(Event::Recovered, ""),
        _ => {}
    }
    Ok(())
}

fn sentence(why: &str) -> String {
    format!("its secrets are locked: {why}")
}

impl Broker {
    /// Passes when a new secret can be kept: before one is made that could not be.
    ///
    /// # Errors
    /// [`Failure::SecretsLocked`].
    pub(crate) async fn expect_unlocked(&self) -> Result<(), Failure> {
        if self.store.key_place().is_err() {
            keys::unlock(self.mode, &self.folders, &self.store).await;
        }
        let place = self.store.key_place();
        place.map(|_| ()).map_err(Failure::SecretsLocked)
    }

    /// The record of an account that was locked when it was last asked for; empty when there is
    /// none yet. Whoever unlocked a keyring meanwhile need not start the daemon again.
    ///
    /// # Errors
    /// [`Failure::SecretsLocked`].
    pub(crate) async fn unlocked_record(&self, id: &str) -> Result<String, Failure> {
        if self.store.record_locked(id)?.is_some() && self.store.key_place().is_err() {
            keys::unlock(self.mode, &self.folders, &self.store).await;
        }
        let record = match self.store.record(id) {
            Ok(record) => record.unwrap_or_default(),
            Err(Error::Locked { why, .. }) => {
                return Err(Failure::SecretsLocked(sentence(&why)));
            }
            Err(error) => return Err(error.into()),
        };
        if !record.is_empty() {
            let found = record.clone();
            let state = self.change_account(id, |view| view.account.record = found);
            if state.is_some_and(|account| account.state == LOCKED) {
                self.event(id, Event::Recovered, "");
            }
        }
        Ok(record)
    }
}
