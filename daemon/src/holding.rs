//! Asking the worker about an account that nothing else is done with meanwhile.

use std::sync::Arc;

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::launch::Later;
use crate::published::Holder;
use crate::workers::{Live, Said};

/// An account that somebody looks at. It is free again when this is dropped, whatever happened to
/// whoever looked.
pub struct Looking<'a> {
    broker: &'a Broker,
    /// The account, as it was when the look began.
    pub account: Account,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.broker.free_from(Holder::Look, &self.account.id);
    }
}

impl Broker {
    /// Takes an account for a look.
    ///
    /// # Errors
    /// As [`Broker::hold`].
    pub async fn looking(&self, id: &str) -> Result<Looking<'_>, Failure> {
        let account = self.hold(id, Holder::Look).await?;
        Ok(Looking {
            broker: self,
            account,
        })
    }

    /// Frees an account, if this still has it.
    pub(crate) fn free_from(&self, holder: Holder, id: &str) {
        self.change_account(id, |view| {
            if view.holder == holder {
                view.holder = Holder::Free;
            }
        });
    }

    /// Takes an account that is free for a look.
    ///
    /// # Errors
    /// When there is no such account, or somebody holds it.
    pub fn try_looking(&self, id: &str) -> Result<Looking<'_>, Failure> {
        let account = self.update(|p| p.hold(id, Holder::Look))?;
        Ok(Looking {
            broker: self,
            account,
        })
    }
}

impl Looking<'_> {
    /// Asks the worker, which attached the account first; again, on a new one, if it dies over it.
    ///
    /// # Errors
    /// The worker's.
    pub async fn ask<T: Said>(
        &self,
        ask: impl Fn(Arc<Live>, String) -> Later<'static, mooring_wire::Result<T>>
        + Clone
        + Send
        + Sync
        + 'static,
    ) -> Result<T, Failure> {
        self.broker.workers.ask(self.account.spec(), ask).await
    }
}
