//! The object of an account: one interface for what every account has, one for each capability.

use mooring_api::{
    ChangePasswordOptions, CollectionStatus, Plan, PlanOptions, ResetPasswordOptions, Result,
    SignOutOptions,
};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedFd, OwnedObjectPath, fdo, interface};

use super::{Shared, arguments, job_path};
use crate::account::Account;
use crate::jobs::copies::Copies;
use crate::jobs::sync::Wish;
use crate::published::{AccountView, Holder};

/// One identity at one provider on this device.
pub(super) struct AccountObject {
    shared: Shared,
    id: String,
}

impl AccountObject {
    pub(super) fn new(shared: Shared, id: &str) -> Self {
        Self {
            shared,
            id: id.to_owned(),
        }
    }

    fn view<T>(&self, look: impl FnOnce(&AccountView) -> T) -> fdo::Result<T> {
        view(&self.shared, &self.id, look)
    }
}

#[interface(name = "org.mooring1.Account", introspection_docs = false)]
impl AccountObject {
    async fn plan_sign_out(
        &self,
        options: PlanOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Plan> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        let account = self.shared.published().account(&self.id)?.account.clone();
        let keep = arguments::keep(options.keep, &account)?;
        Ok(self.shared.broker.plan_sign_out(&self.id, &keep).await?)
    }

    async fn sign_out(
        &self,
        digest: &str,
        options: SignOutOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath> {
        let policy = |account: &Account| {
            let keep = arguments::keep(options.keep.clone(), account)?;
            let broker = &self.shared.broker;
            broker.expect_no_denial_of_sign_out(account, &keep)
        };
        let shared = &self.shared;
        let caller = shared
            .admit_by(&header, connection, &self.id, policy)
            .await?;
        let account = self.shared.published().account(&self.id)?.account.clone();
        let request = arguments::sign_out(digest, options, &account).await?;
        let number = self
            .shared
            .broker
            .sign_out(&self.id, request, caller.uid())
            .await?;
        self.shared.told().await;
        Ok(job_path(number))
    }

    /// A sign-out begins, now that it is authorised; or it will not happen after all.
    #[zbus(signal)]
    pub(super) async fn signing_out(emitter: &SignalEmitter<'_>, begins: bool) -> zbus::Result<()>;

    async fn change_password(
        &self,
        options: ChangePasswordOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<()> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        let change = arguments::change_password(options).await?;
        Ok(self.shared.broker.change_password(&self.id, change).await?)
    }

    async fn reset_password(
        &self,
        options: ResetPasswordOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<()> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        let reset = arguments::reset_password(options).await?;
        Ok(self.shared.broker.reset_password(&self.id, reset).await?)
    }

    async fn reauthenticate(
        &self,
        password: OwnedFd,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<()> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        let password = arguments::held_password(password).await?;
        self.shared
            .broker
            .reauthenticate(&self.id, password)
            .await?;
        self.shared.told().await;
        Ok(())
    }

    async fn repair(
        &self,
        dry: bool,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<String> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        let said = self.shared.broker.repair(&self.id, dry).await?;
        self.shared.told().await;
        Ok(said)
    }

    async fn forget(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<String> {
        let broker = &self.shared.broker;
        let policy = |account: &Account| broker.expect_no_denial_of_forgetting(account);
        let shared = &self.shared;
        let _caller = shared
            .admit_by(&header, connection, &self.id, policy)
            .await?;
        let receipt = broker.forget_account(&self.id).await?;
        self.shared.told().await;
        Ok(receipt)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> String {
        self.id.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn provider(&self) -> fdo::Result<String> {
        self.view(|view| view.account.provider.clone())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn identity(&self) -> fdo::Result<String> {
        self.view(|view| view.account.identity.clone())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn storage(&self) -> fdo::Result<Vec<u8>> {
        self.view(|view| view.account.storage.clone())
    }

    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        self.view(|view| view.account.state.name().to_owned())
    }

    #[zbus(property)]
    fn state_detail(&self) -> fdo::Result<String> {
        self.view(|view| view.account.state.detail().to_owned())
    }

    #[zbus(property)]
    fn state_message(&self) -> fdo::Result<String> {
        self.view(|view| view.account.message.clone())
    }

    #[zbus(property)]
    fn job(&self) -> fdo::Result<OwnedObjectPath> {
        self.view(|view| match view.holder {
            Holder::Job(number) => job_path(number),
            _ => OwnedObjectPath::default(),
        })
    }

    #[zbus(property)]
    fn signed_in_at(&self) -> fdo::Result<u64> {
        self.view(|view| view.account.signed_in_at)
    }
}

/// The capability of an account to keep files.
pub(super) struct FilesObject {
    shared: Shared,
    id: String,
}

impl FilesObject {
    pub(super) fn new(shared: Shared, id: &str) -> Self {
        Self {
            shared,
            id: id.to_owned(),
        }
    }

    /// Begins the sync that brings a file back from the trash.
    async fn begin_undelete(
        &self,
        uid: u32,
        file: Vec<u8>,
        damaged: bool,
    ) -> Result<OwnedObjectPath> {
        let wish = Wish::Undelete { file, damaged };
        let broker = &self.shared.broker;
        let number = broker.begin_sync(&self.id, uid, wish).await?;
        self.shared.told().await;
        Ok(job_path(number))
    }
}

#[interface(name = "org.mooring1.Account.Files", introspection_docs = false)]
impl FilesObject {
    async fn sync(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath> {
        let caller = self.shared.admit(&header, connection, &self.id).await?;
        let number = self.shared.broker.sync(&self.id, caller.uid()).await?;
        self.shared.told().await;
        Ok(job_path(number))
    }

    async fn resolve(
        &self,
        answer: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath> {
        let caller = self.shared.admit(&header, connection, &self.id).await?;
        let wish = Wish::Answer {
            delete: arguments::answer(answer)?,
        };
        let broker = &self.shared.broker;
        let number = broker.begin_sync(&self.id, caller.uid(), wish).await?;
        self.shared.told().await;
        Ok(job_path(number))
    }

    async fn list_trash(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<(Vec<u8>, String)>> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        Ok(self.shared.broker.trash(&self.id).await?)
    }

    async fn list_conflicts(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<mooring_api::ConflictCopy>> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        Ok(self.shared.broker.conflicts(&self.id).await?)
    }

    async fn undelete(
        &self,
        file: Vec<u8>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath> {
        let caller = self.shared.admit(&header, connection, &self.id).await?;
        let file = arguments::file(file)?;
        self.begin_undelete(caller.uid(), file, false).await
    }

    async fn undelete_damaged(
        &self,
        file: Vec<u8>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath> {
        let caller = self.shared.admit(&header, connection, &self.id).await?;
        let file = arguments::file(file)?;
        self.begin_undelete(caller.uid(), file, true).await
    }

    async fn pause(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<()> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        self.shared.broker.pause(&self.id, true).await?;
        self.shared.told().await;
        Ok(())
    }

    async fn resume(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<()> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        self.shared.broker.pause(&self.id, false).await?;
        self.shared.told().await;
        Ok(())
    }

    #[zbus(property)]
    fn paused(&self) -> fdo::Result<bool> {
        view(&self.shared, &self.id, |view| view.account.paused)
    }

    #[zbus(property)]
    fn resting(&self) -> fdo::Result<String> {
        view(&self.shared, &self.id, |view| {
            view.rest
                .map_or("", mooring_core::rest::Rest::name)
                .to_owned()
        })
    }

    async fn backup(
        &self,
        to: Vec<u8>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath> {
        let caller = self.shared.admit(&header, connection, &self.id).await?;
        let to = arguments::folder("folder for backups", &to)?;
        let broker = &self.shared.broker;
        let number = broker.backup(&self.id, to, caller.uid()).await?;
        self.shared.told().await;
        Ok(job_path(number))
    }

    async fn restore(
        &self,
        from: Vec<u8>,
        options: mooring_api::RestoreOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath> {
        let caller = self.shared.admit(&header, connection, &self.id).await?;
        let restore = arguments::restore(&from, options)?;
        let broker = &self.shared.broker;
        let number = broker.copies(&self.id, restore, caller.uid()).await?;
        self.shared.told().await;
        Ok(job_path(number))
    }

    async fn verify(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath> {
        let caller = self.shared.admit(&header, connection, &self.id).await?;
        let broker = &self.shared.broker;
        let number = broker
            .copies(&self.id, Copies::Verify, caller.uid())
            .await?;
        self.shared.told().await;
        Ok(job_path(number))
    }

    async fn why(
        &self,
        file: Vec<u8>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<mooring_api::WhyAnswer> {
        let _caller = self.shared.admit(&header, connection, &self.id).await?;
        let file = arguments::folder("file", &file)?;
        Ok(self.shared.broker.why(&self.id, file).await?)
    }

    #[zbus(property)]
    fn last_backup(&self) -> fdo::Result<mooring_api::LastBackup> {
        view(&self.shared, &self.id, |view| {
            let last = view.account.last_backup.as_ref();
            last.map_or_else(Default::default, |last| mooring_api::LastBackup {
                when: last.when,
                path: last.path.clone(),
                files: last.files,
                bytes: last.bytes,
                missing: last.missing,
            })
        })
    }

    #[zbus(property)]
    fn collections(&self) -> fdo::Result<Vec<CollectionStatus>> {
        view(&self.shared, &self.id, |view| view.collections.clone())
    }

    #[zbus(property)]
    fn last_sync(&self) -> fdo::Result<u64> {
        view(&self.shared, &self.id, |view| view.last_sync)
    }
}

fn view<T>(shared: &Shared, id: &str, look: impl FnOnce(&AccountView) -> T) -> fdo::Result<T> {
    let published = shared.published();
    let gone = |_| fdo::Error::UnknownObject(format!("there is no account {id}"));
    published.account(id).map(look).map_err(gone)
}
