//! A sign-out that another device asked for: how it begins, and how that device is told.

use std::sync::Arc;

use mooring_core::collection::Collection;
use mooring_core::policy::{Actor, Data, Verb};
use mooring_core::signout::Removal;
use mooring_wire::{DeviceRequest, Error as WireError};

use super::Run;
use crate::broker::Broker;
use crate::devices::word;
use crate::failure::Failure;
use crate::jobs::journal::{Asked, Ending};
use crate::jobs::{Job, MAX_OPEN_JOBS};

impl Broker {
    /// Begins the sign-out that another device asks for, if policy allows it. Nobody agreed to a
    /// plan and nobody gives a password: what is kept is what policy says, and what is removed has
    /// been read back, as always.
    ///
    /// # Errors
    /// [`Failure::PolicyDenied`]; [`Failure::Busy`].
    pub async fn sign_out_for_device(
        self: &Arc<Self>,
        id: &str,
        request: &DeviceRequest,
    ) -> Result<u64, Failure> {
        let account = self.published.borrow().account(id)?.account.clone();
        let decision = self.decide(&account, Verb::SignOut, Actor::Device);
        let keep: Vec<Collection> = match decision.data {
            Data::Keep => account.collections.iter().map(|c| c.collection).collect(),
            Data::Remove | Data::Ask | Data::Conflict => Vec::new(),
        };
        self.expect_to_begin(&account, Actor::Device, &keep)?;
        self.published.borrow().expect_room(MAX_OPEN_JOBS)?;
        let asked = Asked {
            request: request.id.clone(),
            device: request.device.clone(),
        };
        tracing::info!(
            account = id,
            request = request.id,
            device = request.device,
            "asked"
        );
        self.begin_sign_out(id, (String::new(), keep), None, Some(asked), self.uid)
            .await
    }
}

impl Run {
    /// Who wants this sign-out.
    pub(super) fn actor(&self) -> Actor {
        match self.journaled.asked {
            Some(_) => Actor::Device,
            None => Actor::Person,
        }
    }

    /// Tells the device that asked, if one did, how it goes. From the first word on its request
    /// never counts again. A word that cannot be told is told again later.
    ///
    /// # Errors
    /// [`Failure::Cancelled`] when a person cancels meanwhile; the death of a worker.
    pub(in crate::jobs) async fn tell_asker(
        &mut self,
        job: &mut Job,
        state: &'static str,
        message: &str,
    ) -> Result<(), Failure> {
        match self.answer(job, state, message).await {
            Err(failure)
                if matches!(failure, Failure::Cancelled(_))
                    || failure.calls_for_another_worker() =>
            {
                Err(failure)
            }
            Err(failure) => {
                tracing::warn!(job = self.number, error = %failure, "the asking device is not told");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Tells the device that asked that nothing will come of it. Must not fail silently: a request
    /// without an answer would begin the next sign-out.
    ///
    /// # Errors
    /// When the answer is not durable.
    pub(super) async fn tell_asker_of_end(
        &mut self,
        job: &mut Job,
        ending: &Ending,
    ) -> Result<(), Failure> {
        let state = match ending.error.as_str() {
            "PolicyDenied" | "BackupRequired" => word::DENIED,
            _ => word::CANCELLED,
        };
        match self.answer(job, state, &ending.message).await {
            // Durable here; the other device reads it after the next sync.
            Err(Failure::Worker(WireError::StorageGone(_))) => Ok(()),
            told => told,
        }
    }

    async fn answer(
        &mut self,
        job: &mut Job,
        state: &'static str,
        message: &str,
    ) -> Result<(), Failure> {
        let Some(asked) = &self.journaled.asked else {
            return Ok(());
        };
        let word = (state, message.to_owned());
        // At the end the worker's state goes, and the request with it.
        if self.asker_told.as_ref() == Some(&word) || self.journaled.removal == Removal::Done {
            return Ok(());
        }
        let (request, said) = (asked.request.clone(), word.1.clone());
        let broker = job.broker.clone();
        let telling = broker.workers.ask(self.account.spec(), move |live, id| {
            let (request, said) = (request.clone(), said.clone());
            Box::pin(async move {
                let worker = live.proxy();
                worker.answer_request(&id, &request, state, &said).await
            })
        });
        job.drive(self.cancellable(), telling).await?;
        self.asker_told = Some(word);
        Ok(())
    }
}
