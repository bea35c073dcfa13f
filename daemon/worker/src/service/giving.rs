//! Giving an account up: its folders are worked on without its storage, which may be gone or never
//! answer.

use mooring_wire::{AccountSpec, EraseReport, Error, Left, Result};

use super::attached::Attached;
use super::{Service, blocking};
use crate::{giving_up, state};

impl Service {
    /// Puts the folders in order. A state that is damaged is put aside: then nobody knows what was whose,
    /// and what is on its way goes back as recovered.
    ///
    /// # Errors
    /// When a folder cannot be put in order.
    pub(super) async fn give_back(&self, spec: AccountSpec) -> Result<EraseReport> {
        let released = self.on_folders(spec.clone(), |attached| {
            giving_up::release(&attached.account, false)
        });
        let left = match released.await {
            Err(Error::StateDamaged(why)) => {
                tracing::warn!(account = spec.id, why, "given up without its state");
                self.let_go(&spec.id)?;
                let id = spec.id.clone();
                self.on_states(move |states| state::put_aside(&states.join(id)))
                    .await?;
                let release = |attached: &Attached| giving_up::release(&attached.account, true);
                self.on_folders(spec, release).await?
            }
            left => left?,
        };
        Ok(EraseReport { left })
    }

    /// Takes Mooring's names away, and forgets the state.
    ///
    /// # Errors
    /// When the state cannot be read or removed.
    pub(super) async fn give_away(&self, spec: AccountSpec) -> Result<EraseReport> {
        let id = spec.id.clone();
        let discard = |attached: &Attached| giving_up::discard(&attached.account);
        let left = self.on_folders(spec, discard).await?;
        self.destroy(&id).await?;
        Ok(EraseReport { left })
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
