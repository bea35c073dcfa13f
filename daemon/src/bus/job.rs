//! The object of a job.

use mooring_api::{Blocked, JobOutcome, Progress, Result, RetryOptions};
use mooring_core::identity::Password;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedFd, OwnedObjectPath, fdo, interface};

use super::gate::Caller;
use super::{Shared, account_path};
use crate::failure::Failure;
use crate::jobs::Command;
use crate::polkit::About;
use crate::published::JobView;
use crate::secret;

/// A long operation.
pub(super) struct JobObject {
    shared: Shared,
    number: u64,
}

impl JobObject {
    pub(super) fn new(shared: Shared, number: u64) -> Self {
        Self { shared, number }
    }

    fn view<T>(&self, look: impl FnOnce(&JobView) -> T) -> fdo::Result<T> {
        let published = self.shared.published();
        let gone = || fdo::Error::UnknownObject(format!("there is no job {}", self.number));
        published
            .jobs
            .get(&self.number)
            .map(|view| look(view))
            .ok_or_else(gone)
    }

    async fn admit(
        &self,
        header: &Header<'_>,
        connection: &Connection,
    ) -> std::result::Result<Caller, Failure> {
        let about = {
            let published = self.shared.published();
            let job = published.jobs.get(&self.number);
            let account = job.and_then(|job| published.accounts.get(&job.account));
            account.map_or_else(About::default, |view| {
                About::identity(&view.account.identity)
            })
        };
        let gate = &self.shared.gate;
        // Policy was asked when it began, and is asked again where it matters.
        let arrived = gate.arrive(header, connection).await?;
        arrived.let_in(connection, about, || Ok(())).await
    }

    fn expect_own(&self, caller: &Caller) -> std::result::Result<(), Failure> {
        let owner = self
            .shared
            .published()
            .jobs
            .get(&self.number)
            .map(|view| view.uid);
        let gone = || Failure::NotFound(format!("there is no job {}", self.number));
        caller.expect(owner.ok_or_else(gone)?)
    }

    async fn ask(&self, caller: &Caller, command: Command) -> Result<()> {
        self.expect_own(caller)?;
        let answer = self.shared.broker.ask(self.number, command).await;
        self.shared.told().await;
        Ok(answer?)
    }
}

#[interface(name = "org.mooring1.Job", introspection_docs = false)]
impl JobObject {
    async fn cancel(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<()> {
        let caller = self.admit(&header, connection).await?;
        self.ask(&caller, Command::Cancel).await
    }

    async fn retry(
        &self,
        options: RetryOptions,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<()> {
        let caller = self.admit(&header, connection).await?;
        let keep_here = options.keep_here.unwrap_or(false);
        self.ask(&caller, Command::Retry { keep_here }).await
    }

    async fn authenticate(
        &self,
        password: OwnedFd,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<()> {
        let caller = self.admit(&header, connection).await?;
        let secret = secret::read("password", password.into()).await?;
        let password = Password::new(secret).map_err(Failure::from)?;
        self.ask(&caller, Command::Authenticate(password)).await
    }

    #[zbus(signal)]
    async fn finished(emitter: &SignalEmitter<'_>, outcome: JobOutcome) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "const"))]
    fn number(&self) -> u64 {
        self.number
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> fdo::Result<String> {
        self.view(|job| job.kind.name().to_owned())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn account(&self) -> fdo::Result<OwnedObjectPath> {
        self.view(|job| account_path(&job.account))
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn stages(&self) -> fdo::Result<Vec<String>> {
        self.view(|job| job.kind.stages().into_iter().map(str::to_owned).collect())
    }

    #[zbus(property)]
    fn stage(&self) -> fdo::Result<String> {
        self.view(|job| job.stage.to_owned())
    }

    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        self.view(|job| job.state.name().to_owned())
    }

    #[zbus(property)]
    fn progress(&self) -> fdo::Result<Progress> {
        self.view(|job| job.progress.clone())
    }

    #[zbus(property)]
    fn blocked(&self) -> fdo::Result<Blocked> {
        self.view(|job| job.blocked.clone())
    }

    #[zbus(property)]
    fn cancellable(&self) -> fdo::Result<bool> {
        self.view(|job| job.cancellable)
    }

    #[zbus(property)]
    fn outcome(&self) -> fdo::Result<JobOutcome> {
        self.view(|job| job.outcome.clone())
    }
}
