//! The calls, signals and their senders, one by one.

use std::path::Path;

use mooring_wire::{
    AccountSpec, Attached as AttachedReply, CollectionFacts, CollectionSpec, DrainReport,
    EraseReport, Inspected, PlanFacts, RemoveReport, Result, SyncReport, VerifyReport,
};
use mooring_wire::{BackupReport, CheckReport, Fenced, HandOver, RestoreReport, WhyReport};
use tokio::sync::mpsc;
use zbus::OwnedFd;
use zbus::object_server::SignalEmitter;

use super::attached::{Attached, Told};
use super::convert::{collections, keep, path, spec, sync_report};
use super::{Service, blocking};
use crate::delete::Answer;
use crate::files::real::RealFiles;
use crate::giving_up::Before;
use crate::{apart, backup, check, devices, restore, why};
use crate::{erase, giving_up, identity, leave, plan, remove, signin, storage, trash, verify};

#[zbus::interface(name = "org.mooring1.Worker")]
impl Service {
    async fn hello(&self) -> String {
        mooring_wire::VERSION.to_owned()
    }

    async fn fenced(&self) -> Fenced {
        self.fence.fenced()
    }

    async fn inspect(&self, storage: Vec<u8>, roots: Vec<CollectionSpec>) -> Result<Inspected> {
        let (roots, fence) = (collections(&roots)?, self.fence.clone());
        self.on_storage(&storage, move |storage| {
            let places: Vec<_> = roots.iter().map(|(_, root)| root.as_path()).collect();
            fence.within(&places, || {
                storage::inspect(&RealFiles::new(), storage, &roots)
            })
        })
        .await
    }

    async fn create_identity(&self, storage: Vec<u8>, record: String) -> Result<()> {
        self.on_storage(&storage, move |storage| {
            storage::create_identity(&RealFiles::new(), storage, &record)
        })
        .await
    }

    async fn replace_identity(
        &self,
        storage: Vec<u8>,
        expected: String,
        record: String,
    ) -> Result<()> {
        self.on_storage(&storage, move |storage| {
            identity::replace_identity(&RealFiles::new(), storage, &expected, &record)
        })
        .await
    }

    async fn attach(&self, spec: AccountSpec) -> Result<AttachedReply> {
        let attached = self.attach_spec(spec).await?;
        blocking(move || {
            let state = &attached.account.state;
            Ok(AttachedReply {
                epoch: state.epoch()?.name().to_owned(),
                last_sync: state.last_sync()?,
            })
        })
        .await
    }

    async fn sign_in(
        &self,
        account: String,
        adopt: bool,
        others: Vec<AccountSpec>,
    ) -> Result<SyncReport> {
        let (others, fence) = (super::convert::others(&others)?, self.fence.clone());
        self.on(&account, move |attached| {
            let places: Vec<_> = others.iter().map(|(_, path)| path.as_path()).collect();
            fence.within(&places, || apart::check_others(&attached.account, &others))?;
            let (ledger, returned) = signin::sign_in(&attached.account, adopt)?;
            attached.tell_devices();
            Ok(SyncReport {
                returned,
                ..sync_report(ledger)
            })
        })
        .await
    }

    async fn devices(&self, account: String) -> Result<Vec<mooring_wire::Device>> {
        self.keeping_looks(&account, |attached| devices::list(&attached.account))
            .await
    }

    async fn ask_device(&self, account: String, target: String, request: String) -> Result<String> {
        self.keeping_looks(&account, move |attached| {
            devices::ask(&attached.account, &target, &request)
        })
        .await
    }

    async fn requests(&self, account: String) -> Result<Vec<mooring_wire::DeviceRequest>> {
        self.keeping_looks(&account, |attached| devices::open(&attached.account))
            .await
    }

    async fn answer_request(
        &self,
        account: String,
        request: String,
        state: String,
        message: String,
    ) -> Result<()> {
        let answer = devices::Answer {
            request,
            state,
            message,
        };
        self.keeping_looks(&account, move |attached| {
            devices::answer(&attached.account, answer)
        })
        .await
    }

    async fn withdraw(&self, storage: Vec<u8>, sign_in_id: String) -> Result<()> {
        self.on_storage(&storage, move |storage| {
            devices::withdraw(&RealFiles::new(), storage, &sign_in_id)
        })
        .await
    }

    async fn abandon(&self, account: String) -> Result<()> {
        self.on(&account, |attached| signin::abandon(&attached.account))
            .await?;
        self.destroy(&account).await
    }

    async fn sync(&self, account: String, read_back: bool) -> Result<SyncReport> {
        self.keeping_looks(&account, move |attached| {
            let ledger = attached.sync_everything(read_back, None)?;
            attached.tell_devices();
            Ok(sync_report(ledger))
        })
        .await
    }

    async fn sync_told(&self, account: String, read_back: bool) -> Result<SyncReport> {
        self.keeping_looks(&account, move |attached| {
            let ledger = attached.sync_told(read_back)?;
            attached.tell_devices();
            Ok(sync_report(ledger))
        })
        .await
    }

    async fn watch(&self, account: String) -> Result<bool> {
        let (attached, fence) = (self.account(&account)?, self.fence.clone());
        let changes = self.changes.clone();
        blocking(move || {
            let places = attached.account.spec.places();
            fence.within(&places, || attached.watch(&changes))
        })
        .await
    }

    async fn hand_over(&self, account: String) -> Result<HandOver> {
        let Ok(attached) = self.account(&account) else {
            return Ok(HandOver::default());
        };
        blocking(move || attached.alone(Attached::hand_over)).await
    }

    async fn take_up(&self, account: String, watch: OwnedFd, map: OwnedFd) -> Result<bool> {
        let attached = self.account(&account)?;
        let changes = self.changes.clone();
        blocking(move || attached.alone(|a| a.take_up(watch.into(), map.into(), &changes))).await
    }

    async fn answer(&self, account: String, delete: bool, read_back: bool) -> Result<SyncReport> {
        let answer = if delete { Answer::Delete } else { Answer::Keep };
        self.keeping_looks(&account, move |attached| {
            let ledger = attached.sync_everything(read_back, Some(answer))?;
            attached.tell_devices();
            Ok(sync_report(ledger))
        })
        .await
    }

    async fn is_remote(&self, storage: Vec<u8>) -> Result<bool> {
        self.on_storage(&storage, |storage| {
            storage::is_remote(&RealFiles::new(), storage)
        })
        .await
    }

    async fn trash(&self, account: String) -> Result<Vec<(Vec<u8>, String)>> {
        self.keeping_looks(&account, |attached| trash::listed(&attached.account))
            .await
    }

    async fn conflicts(&self, account: String) -> Result<Vec<mooring_wire::ConflictCopy>> {
        self.keeping_looks(&account, |attached| {
            crate::conflicts::list(&attached.account)
        })
        .await
    }

    async fn undelete(
        &self,
        account: String,
        file: Vec<u8>,
        damaged: bool,
    ) -> Result<(Vec<u8>, bool)> {
        let damaged = match damaged {
            true => trash::Damaged::ComesBack,
            false => trash::Damaged::Stays,
        };
        self.on(&account, move |attached| {
            let back = trash::undelete_path(&attached.account, &file, damaged)?;
            Ok((back.path, back.checked))
        })
        .await
    }

    async fn diagnose(&self, account: String) -> Result<Vec<mooring_wire::Diagnosis>> {
        self.keeping_looks(&account, |attached| {
            Ok(crate::diagnose::diagnose(&attached.account))
        })
        .await
    }

    async fn repair(&self, spec: AccountSpec, dry: bool) -> Result<String> {
        let id = self::spec(&spec, &self.home)?.id;
        self.let_go(&id)?;
        let repair = move |states: &Path| Attached::repair(&id, states, dry);
        let said = self.on_states(repair).await?;
        Ok(said.unwrap_or_default())
    }

    async fn counts(&self, account: String) -> Result<Vec<CollectionFacts>> {
        let attached = self.account(&account)?;
        blocking(move || plan::from_state(&attached.account)).await
    }

    async fn plan(&self, account: String, keep: Vec<String>, since: u64) -> Result<PlanFacts> {
        let keep = self::keep(&keep)?;
        self.on(&account, move |attached| {
            plan::plan_since(&attached.account, &keep, since)
        })
        .await
    }

    async fn drain(&self, account: String, keep: Vec<String>) -> Result<DrainReport> {
        let keep = self::keep(&keep)?;
        self.on(&account, move |attached| {
            attached.unwatch();
            // What is uploaded from now on was no part of an earlier proof.
            attached.keep_proof(None);
            leave::drain(&attached.account, &keep)
        })
        .await
    }

    async fn keep_here(&self, account: String, files: Vec<Vec<u8>>) -> Result<u64> {
        let fence = self.fence.clone();
        self.on(&account, move |attached| {
            let kept = attached.account.spec.kept_from();
            fence.within(&[&kept], || leave::keep_here(&attached.account, &files))
        })
        .await
    }

    async fn verify(
        &self,
        account: String,
        keep: Vec<String>,
        receipt: String,
    ) -> Result<VerifyReport> {
        let keep = self::keep(&keep)?;
        self.on(&account, move |attached| {
            attached.keep_proof(None);
            let (report, proof) = verify::verify(&attached.account, &keep, &receipt)?;
            attached.keep_proof(proof);
            Ok(report)
        })
        .await
    }

    async fn remove(&self, account: String, keep: Vec<String>) -> Result<RemoveReport> {
        let keep = self::keep(&keep)?;
        self.on(&account, move |attached| {
            let proof = attached.take_proof()?;
            remove::remove(&attached.account, proof, &keep)
        })
        .await
    }

    async fn stay(&self, account: String) -> Result<()> {
        self.on(&account, |attached| {
            attached.keep_proof(None);
            leave::stay(&attached.account)
        })
        .await
    }

    async fn store_receipt(&self, storage: Vec<u8>, receipt: String, text: String) -> Result<()> {
        self.on_storage(&storage, move |storage| {
            storage::store_receipt(&RealFiles::new(), storage, &receipt, &text)
        })
        .await
    }

    async fn erase(&self, spec: AccountSpec, keep: Vec<String>) -> Result<EraseReport> {
        let keep = self::keep(&keep)?;
        let id = spec.id.clone();
        self.attach_spec(spec).await?;
        let fence = self.fence.clone();
        let left = self
            .on(&id, move |attached| {
                let kept = attached.account.spec.kept_from();
                fence.within(&[&kept], || erase::erase_roots(&attached.account, &keep))
            })
            .await?;
        self.destroy(&id).await?;
        Ok(EraseReport { left })
    }

    async fn release(
        &self,
        spec: AccountSpec,
        erasing: bool,
        brought: bool,
    ) -> Result<EraseReport> {
        self.give_back(spec, Before { erasing, brought }).await
    }

    async fn settle(&self, spec: AccountSpec) -> Result<()> {
        let id = spec.id.clone();
        self.attach_spec(spec).await?;
        self.on(&id, |attached| giving_up::settle(&attached.account))
            .await
    }

    async fn discard(&self, spec: AccountSpec) -> Result<EraseReport> {
        self.give_away(spec).await
    }

    async fn backup(&self, account: String, to: Vec<u8>, name: String) -> Result<BackupReport> {
        let (to, fence) = (path(&to)?, self.fence.clone());
        self.on(&account, move |attached| {
            fence.within(&[&to], || backup::backup(&attached.account, &to, &name))
        })
        .await
    }

    async fn restore(
        &self,
        account: String,
        from: Vec<u8>,
        only: Vec<u8>,
        to: Vec<u8>,
    ) -> Result<RestoreReport> {
        let from = path(&from)?;
        let to = (!to.is_empty()).then(|| path(&to)).transpose()?;
        let fence = self.fence.clone();
        self.on(&account, move |attached| {
            let to = to.as_deref();
            let places: Vec<_> = to.into_iter().chain([from.as_path()]).collect();
            fence.within(&places, || {
                restore::restore(&attached.account, &from, &only, to)
            })
        })
        .await
    }

    async fn check(&self, account: String) -> Result<CheckReport> {
        self.on(&account, |attached| check::check(&attached.account))
            .await
    }

    async fn why(&self, account: String, file: Vec<u8>) -> Result<WhyReport> {
        let file = path(&file)?;
        self.on(&account, move |attached| why::why(&attached.account, &file))
            .await
    }

    async fn recall(&self, account: String, file: Vec<u8>, unseen: String) -> Result<WhyReport> {
        let (file, attached) = (path(&file)?, self.account(&account)?);
        blocking(move || why::recall(&attached.account, &file, &unseen)).await
    }

    async fn interrupt(&self, account: String) -> Result<()> {
        self.account(&account)?.interrupt();
        Ok(())
    }

    #[zbus(signal)]
    async fn changed(emitter: &SignalEmitter<'_>, account: &str) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn progressed(
        emitter: &SignalEmitter<'_>,
        account: &str,
        progress: mooring_wire::Progress,
    ) -> zbus::Result<()>;
}

/// Sends progress to the broker until nobody tells any more.
///
/// # Errors
/// When the connection is gone.
pub async fn send_progress(
    connection: &zbus::Connection,
    mut told: mpsc::Receiver<Told>,
) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, mooring_wire::WORKER_PATH)?;
    while let Some(Told { account, progress }) = told.recv().await {
        Service::progressed(&emitter, &account, progress).await?;
    }
    Ok(())
}

/// Tells the broker which accounts' folders changed, until nobody watches any more.
///
/// # Errors
/// When the connection is gone.
pub async fn send_changes(
    connection: &zbus::Connection,
    mut changes: mpsc::Receiver<String>,
) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, mooring_wire::WORKER_PATH)?;
    while let Some(account) = changes.recv().await {
        Service::changed(&emitter, &account).await?;
    }
    Ok(())
}
