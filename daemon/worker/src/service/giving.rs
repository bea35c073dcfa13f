//! Giving an account up: its folders are worked on without its storage, which may be gone or never
//! answer.

use mooring_wire::{AccountSpec, EraseReport, Error, Left, Result};

use super::attached::Attached;
use super::{Service, blocking};
use crate::giving_up::{self, Before};
use crate::state;

impl Service {
    /// Puts the folders in order.
    ///
    /// # Errors
    /// When a folder cannot be put in order.
    pub(super) async fn give_back(&self, spec: AccountSpec, before: Before) -> Result<EraseReport> {
        let release = move |attached: &Attached| giving_up::release(&attached.account, before);
        let left = self.with_any_state(spec, release).await?;
        Ok(EraseReport { left })
    }

    /// Takes Mooring's names away, and forgets the state.
    ///
    /// # Errors
    /// When the state cannot be removed.
    pub(super) async fn give_away(&self, spec: AccountSpec) -> Result<EraseReport> {
        let id = spec.id.clone();
        let discard = |attached: &Attached| giving_up::discard(&attached.account);
        let left = self.with_any_state(spec, discard).await?;
        self.destroy(&id).await?;
        Ok(EraseReport { left })
    }

    /// Does some work, with a new state if there is none to be read: it is put aside then, nobody knows
    /// what was whose, and what is on its way goes back as recovered.
    async fn with_any_state(
        &self,
        spec: AccountSpec,
        work: impl Fn(&Attached) -> crate::error::Result<Vec<Left>> + Clone + Send + 'static,
    ) -> Result<Vec<Left>> {
        let id = spec.id.clone();
        match self.on_folders(spec.clone(), work.clone()).await {
            Err(Error::StateDamaged(why)) => {
                tracing::warn!(account = id, why, "given up without its state");
                self.let_go(&id)?;
                self.on_states(move |states| state::put_aside(&states.join(id)))
                    .await?;
                self.on_folders(spec, work).await
            }
            done => done,
        }
    }

    async fn on_folders(
        &self,
        spec: AccountSpec,
        work: impl FnOnce(&Attached) -> crate::error::Result<Vec<Left>> + Send + 'static,
    ) -> Result<Vec<Left>> {
        let attached = self.attach_spec(spec).await?;
        let (fence, called) = (self.fence.clone(), attached.call());
        blocking(move || {
            let roots = attached.account.spec.collections.iter();
            let roots: Vec<_> = roots.map(|(_, root)| root.as_path()).collect();
            let left = fence.within(&roots, || {
                attached.alone(|attached| {
                    attached.forget_looks();
                    work(attached)
                })
            });
            drop(called);
            left
        })
        .await
    }
}
