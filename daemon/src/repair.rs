//! Building an account's damaged state anew.

use mooring_core::account::State;

use crate::broker::Broker;
use crate::failure::Failure;

impl Broker {
    /// What is wrong with the state of an account, or, unless `dry`, where it was put aside; empty
    /// when all is well. The account is in step again after the next sync.
    ///
    /// # Errors
    /// [`Failure::Busy`] while a job is under way, which counts on the state it has.
    pub async fn repair(&self, id: &str, dry: bool) -> Result<String, Failure> {
        let looking = self.looking(id).await?;
        if !matches!(
            looking.account.state,
            State::Active | State::NeedsAttention(_)
        ) {
            return Err(Failure::Busy(format!(
                "{} is being signed in or out: let that end, or cancel it",
                looking.account.identity
            )));
        }
        let spec = looking.account.spec();
        let said = self
            .workers
            .call_about(id, |live| {
                let spec = spec.clone();
                Box::pin(async move { Ok(live.proxy().repair(spec, dry).await?) })
            })
            .await?;
        drop(looking);
        if !dry && !said.is_empty() {
            self.recovered(id);
        }
        // The worker let go of its folders.
        self.noticed.changed(id);
        Ok(said)
    }
}
