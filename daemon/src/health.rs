//! How accounts stand: counted by the worker, published, and what of it a person has to put right.

use std::sync::Arc;

use mooring_core::account::{Event, Reason, State};

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::published::AccountView;

impl Broker {
    /// Looks how a free account stands, from the worker's state; its health changes accordingly.
    pub(crate) async fn look(self: Arc<Self>, id: &str) {
        // Whoever holds it already looks for itself.
        let Ok(looking) = self.try_looking(id) else {
            return;
        };
        let seen = self.refresh(&looking.account).await;
        drop(looking);
        if let Err(failure) = seen {
            self.trouble(id, &failure);
        }
    }

    /// Asks the worker how an account stands, and publishes it.
    ///
    /// # Errors
    /// When the worker cannot answer.
    async fn refresh(&self, account: &Account) -> Result<(), Failure> {
        // Another device may have changed the password; why the storage's record is not taken is
        // in the log, and in the next plan.
        self.renew_record(&account.id).await;
        let spec = account.spec();
        let (facts, last_sync) = self
            .workers
            .call_about(&account.id, |live| {
                let spec = spec.clone();
                Box::pin(async move {
                    let id = spec.id.clone();
                    let attached = live.attach(spec).await?;
                    Ok((live.proxy().counts(&id).await?, attached.last_sync))
                })
            })
            .await?;
        self.change_account(&account.id, |view| {
            view.last_sync = last_sync;
            view.collections = crate::plan::statuses(account, &facts);
        });
        Ok(())
    }

    /// Tells how many files wait, after something was done. It is none the better or worse for it.
    pub async fn count(&self, account: &Account) {
        if let Err(failure) = self.refresh(account).await {
            tracing::warn!(account = account.id, error = %failure, "no counts after a job");
        }
    }

    /// Tells how many files wait after a sync that failed, where the worker has counted them.
    pub async fn count_after(&self, account: &Account, failure: &Failure) {
        use mooring_wire::Error as Wire;
        if let Failure::Worker(Wire::StorageGone(_) | Wire::NoSpace(_) | Wire::DiskTrouble(_)) =
            failure
        {
            self.count(account).await;
        }
    }

    /// Notes what went wrong with an account, if it is something a person has to put right. What
    /// policy waits for, or a key, stays what it waits for.
    pub fn trouble(&self, id: &str, failure: &Failure) {
        if self.waits_for_more(id) {
            tracing::warn!(account = id, error = %failure, "an account cannot be used");
            return;
        }
        match reason(failure) {
            Some(reason) => self.event(id, Event::Trouble(reason), &failure.to_string()),
            None => tracing::warn!(account = id, error = %failure, "what was asked was not done"),
        }
    }

    /// Notes that an account works again.
    pub fn recovered(&self, id: &str) {
        if self.waits_for_more(id) {
            return;
        }
        let attention = |view: &AccountView| matches!(view.account.state, State::NeedsAttention(_));
        if self.published.borrow().account(id).is_ok_and(attention) {
            self.event(id, Event::Recovered, "");
        }
    }

    /// Whether no sync that went well puts it right.
    fn waits_for_more(&self, id: &str) -> bool {
        let published = self.published.borrow();
        published.accounts.get(id).is_some_and(|view| {
            matches!(
                view.account.state,
                State::NeedsAttention(Reason::Reauthenticate | Reason::SecretsLocked)
            )
        })
    }

    pub(crate) fn event(&self, id: &str, event: Event, message: &str) {
        let changed = self.change_account(id, |view| view.account.apply(event, message));
        if let Some(Err(error)) = changed.map(|account| self.store.save_account(&account)) {
            // Only the memory of a reason is lost; the next look finds it again.
            tracing::error!(account = id, %error, "an account's state is not durable");
        }
    }
}

/// What a person has to put right, if it is that.
fn reason(failure: &Failure) -> Option<Reason> {
    use mooring_wire::Error as Wire;
    match failure {
        Failure::Worker(Wire::StorageGone(_)) => Some(Reason::StorageGone),
        Failure::Worker(Wire::HomeGone(_)) => Some(Reason::HomeGone),
        Failure::Worker(Wire::NoSpace(_)) => Some(Reason::NoSpace),
        Failure::Worker(Wire::DiskTrouble(_)) => Some(Reason::DiskTrouble),
        Failure::Worker(Wire::StateDamaged(_)) => Some(Reason::StateDamaged),
        Failure::Worker(Wire::ZBus(_)) | Failure::WorkerDies(_) | Failure::Launch(_) => {
            Some(Reason::WorkerFailed)
        }
        _ => None,
    }
}
