//! Tells the bus what changed: objects that come and go, properties, the end of jobs.
//!
//! The one task that does so compares [`Published`] with what it told last. Of an object it tells
//! all changes in one signal, and mere progress at most ten times a second. What apps are told of
//! sign-outs is no difference: each word is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mooring_api::{JobOutcome, ROOT_PATH};
use tokio::sync::watch;
use tokio::time::Instant;
use zbus::fdo::Properties;
use zbus::names::UniqueName;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{Connection, ObjectPath, Variant};

use super::account::{AccountObject, AccountObjectSignals, FilesObject};
use super::devices::DevicesObject;
use super::job::{JobObject, JobObjectSignals};
use super::manager::ManagerObject;
use super::objects::{self, ACCOUNT_INTERFACES, JOB_INTERFACES, Kept, Objects};
use super::{Shared, account_path, job_path};
use crate::announcements::Announcement;
use crate::broker::Broker;
use crate::folders::Mode;
use crate::published::{AccountView, JobState, Published};

/// The shortest time between two signals that tell nothing but progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// The property that changes all the time.
const PROGRESS: &str = "Progress";

/// The number of the last change.
pub(super) fn version(broker: &Broker) -> u64 {
    broker.published.borrow().version
}

/// The task that tells what changed.
pub struct Publisher {
    connection: Connection,
    shared: Shared,
    changes: watch::Receiver<Published>,
    told_version: watch::Sender<u64>,
    /// Whether it tells of the daemon as a whole too.
    is_device: bool,
    /// Nothing was told yet.
    first: bool,
    accounts: BTreeSet<String>,
    jobs: BTreeMap<u64, JobState>,
    /// The accounts as they are told: as long as one stays the same, so do its properties.
    told_accounts: BTreeMap<String, Arc<AccountView>>,
    /// What was told of the daemon as a whole.
    daemon: Kept,
    next_progress: Instant,
}

impl Publisher {
    pub(super) fn new(
        connection: Connection,
        shared: Shared,
        told_version: watch::Sender<u64>,
        is_device: bool,
    ) -> Self {
        Self {
            changes: shared.broker.published.subscribe(),
            connection,
            shared,
            told_version,
            is_device,
            first: true,
            accounts: BTreeSet::new(),
            jobs: BTreeMap::new(),
            told_accounts: BTreeMap::new(),
            daemon: Kept::default(),
            next_progress: Instant::now(),
        }
    }

    /// Tells changes until the connection is lost. What is only of one person and cannot be told
    /// takes nothing from the others.
    ///
    /// # Errors
    /// When nothing can be told any more.
    pub async fn run(mut self) -> zbus::Result<()> {
        loop {
            let later = match self.tell().await {
                Ok(later) => later,
                Err(error) if self.is_lost(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(uid = self.shared.broker.uid, %error, "a change is not told");
                    // Nobody is to wait for it.
                    let version = version(&self.shared.broker);
                    self.told_version.send_replace(version);
                    None
                }
            };
            let changed = self.changes.changed();
            let gone = match later {
                None => changed.await.is_err(),
                Some(when) => tokio::time::timeout_at(when, changed)
                    .await
                    .is_ok_and(|c| c.is_err()),
            };
            if gone {
                return Ok(());
            }
        }
    }

    fn is_lost(&self, error: &zbus::Error) -> bool {
        matches!(error, zbus::Error::InputOutput(_)) || self.connection.is_closed()
    }

    /// Tells all that changed. Answers when progress that was held back may be told.
    pub(super) async fn tell(&mut self) -> zbus::Result<Option<Instant>> {
        let now = self.changes.borrow_and_update().clone();
        // Taken after the snapshot: what comes in between is told early rather than never.
        let (here, gone): (Vec<_>, Vec<_>) = self
            .shared
            .broker
            .announcements
            .take()
            .into_iter()
            .partition(|word| now.accounts.contains_key(&word.account));
        self.add(&now).await?;
        // Of an account that is gone already, while its object is still there.
        self.warn_apps(gone).await?;
        self.remove(&now).await?;
        let later = self.change(&now).await?;
        self.warn_apps(here).await?;
        self.end(&now).await?;
        self.first = false;
        self.told_version.send_replace(now.version);
        Ok(later)
    }

    async fn add(&mut self, now: &Published) -> zbus::Result<()> {
        for id in now.accounts.keys() {
            if self.accounts.insert(id.clone()) {
                let (path, shared) = (account_path(id), &self.shared);
                let server = self.connection.object_server();
                self.fence(&path).await?;
                server
                    .at(&path, AccountObject::new(shared.clone(), id))
                    .await?;
                server
                    .at(&path, FilesObject::new(shared.clone(), id))
                    .await?;
                server
                    .at(&path, DevicesObject::new(shared.clone(), id))
                    .await?;
                self.appeared(&path, &ACCOUNT_INTERFACES).await?;
            }
        }
        for (number, job) in &now.jobs {
            if !self.jobs.contains_key(number) {
                let path = job_path(*number);
                let object = JobObject::new(self.shared.clone(), *number);
                self.fence(&path).await?;
                self.connection.object_server().at(&path, object).await?;
                self.appeared(&path, &JOB_INTERFACES).await?;
                // One that an earlier process ended was told of by it.
                let told = if self.first {
                    job.state
                } else {
                    JobState::Running
                };
                self.jobs.insert(*number, told);
            }
        }
        Ok(())
    }

    /// Prepares the place of an object that not everybody is to see.
    async fn fence(&self, path: &ObjectPath<'_>) -> zbus::Result<()> {
        if self.shared.broker.mode == Mode::Session {
            return Ok(());
        }
        let (server, owner) = (self.connection.object_server(), self.shared.broker.uid);
        objects::fenced(server, &self.shared.gate, owner, path).await
    }

    /// An object is there with all its interfaces.
    async fn appeared(&self, path: &ObjectPath<'_>, interfaces: &[&str]) -> zbus::Result<()> {
        let server = self.connection.object_server();
        if self.shared.broker.mode == Mode::System {
            objects::built(server, path).await?;
        }
        let all = objects::interfaces(server, &self.connection, path, interfaces).await?;
        self.shared.objects.put(path, all.clone());
        for emitter in self.emitters(ROOT_PATH)? {
            Objects::interfaces_added(&emitter, path.as_ref(), all.clone()).await?;
        }
        Ok(())
    }

    /// An object is gone.
    async fn disappeared(&self, path: &ObjectPath<'_>, interfaces: &[&str]) -> zbus::Result<()> {
        self.shared.objects.remove(path);
        for emitter in self.emitters(ROOT_PATH)? {
            Objects::interfaces_removed(&emitter, path.as_ref(), interfaces).await?;
        }
        Ok(())
    }

    /// What tells of an object: one signal for all, or one for each client that may hear it.
    fn emitters(&self, path: &str) -> zbus::Result<Vec<SignalEmitter<'static>>> {
        let emitter = SignalEmitter::new(&self.connection, path)?.into_owned();
        Ok(match self.shared.gate.audience() {
            None => vec![emitter],
            Some(clients) => clients
                .into_iter()
                .map(|client| {
                    let client = UniqueName::from(client);
                    emitter.to_owned().set_destination(client.into())
                })
                .collect(),
        })
    }

    async fn remove(&mut self, now: &Published) -> zbus::Result<()> {
        let gone: Vec<String> = self
            .accounts
            .iter()
            .filter(|id| !now.accounts.contains_key(*id))
            .cloned()
            .collect();
        for id in gone {
            let path = account_path(&id);
            let server = self.connection.object_server();
            server.remove::<DevicesObject, _>(&path).await?;
            server.remove::<FilesObject, _>(&path).await?;
            server.remove::<AccountObject, _>(&path).await?;
            self.accounts.remove(&id);
            self.told_accounts.remove(&id);
            self.disappeared(&path, &ACCOUNT_INTERFACES).await?;
        }
        let gone: Vec<u64> = self
            .jobs
            .keys()
            .filter(|number| !now.jobs.contains_key(number))
            .copied()
            .collect();
        for number in gone {
            let path = job_path(number);
            let server = self.connection.object_server();
            server.remove::<JobObject, _>(&path).await?;
            self.jobs.remove(&number);
            self.disappeared(&path, &JOB_INTERFACES).await?;
        }
        Ok(())
    }

    async fn change(&mut self, now: &Published) -> zbus::Result<Option<Instant>> {
        let mut later = None;
        if self.is_device {
            let root = ObjectPath::try_from(ROOT_PATH)?;
            self.compare::<ManagerObject>(&self.daemon, &root).await?;
        }
        let kept = self.shared.objects.clone();
        for (id, view) in &now.accounts {
            if self.told_accounts.get(id) == Some(view) {
                continue;
            }
            let path = account_path(id);
            self.compare::<AccountObject>(&kept, &path).await?;
            self.compare::<FilesObject>(&kept, &path).await?;
            // What was told is how it is by now, which may not be how it was: whoever changes what is
            // shared makes a copy, even if it comes to be the same again.
            let same = |latest| Arc::ptr_eq(latest, view);
            if self.shared.published().accounts.get(id).is_some_and(same) {
                self.told_accounts.insert(id.clone(), view.clone());
            } else {
                self.told_accounts.remove(id);
            }
        }
        for number in now.jobs.keys() {
            // One that has ended, and is told of, stays as it is.
            if self.jobs.get(number) != Some(&JobState::Finished) {
                let compared = self.compare::<JobObject>(&kept, &job_path(*number)).await?;
                later = compared.or(later);
            }
        }
        if later.is_none() && Instant::now() >= self.next_progress {
            self.next_progress = Instant::now() + PROGRESS_EVERY;
        }
        Ok(later)
    }

    /// Compares an object with what was told of it, and tells the difference. Answers when mere
    /// progress may be told that is not told yet.
    async fn compare<I: Interface>(
        &self,
        kept: &Kept,
        path: &ObjectPath<'_>,
    ) -> zbus::Result<Option<Instant>> {
        let server = self.connection.object_server();
        let now = objects::all_of::<I>(server, &self.connection, path).await?;
        let name = I::name();
        let told = kept.of(path);
        let told = told.as_deref().and_then(|object| object.get(name.as_str()));
        let Some(before) = told else {
            // New: whoever sees it appear gets its properties with it.
            kept.change(path, name.into(), now);
            return Ok(None);
        };
        let differs: Vec<&str> = now
            .iter()
            .filter(|(property, value)| before.get(*property) != Some(value))
            .map(|(property, _)| property.as_str())
            .collect();
        if differs.is_empty() {
            return Ok(None);
        }
        if differs == [PROGRESS] && Instant::now() < self.next_progress {
            return Ok(Some(self.next_progress));
        }
        let changed = differs
            .into_iter()
            .filter_map(|property| now.get(property).map(|value| (property, value)))
            .map(|(property, value)| Ok((property, Variant::try_from(value)?)))
            .collect::<zbus::Result<HashMap<_, _>>>()?;
        for emitter in self.emitters(path.as_str())? {
            let (name, changed) = (name.clone(), changed.clone());
            Properties::properties_changed(&emitter, name, changed, (&[][..]).into()).await?;
        }
        kept.change(path, name.into(), now);
        Ok(None)
    }

    /// Tells apps of sign-outs that begin, and of those that were given up.
    async fn warn_apps(&self, words: Vec<Announcement>) -> zbus::Result<()> {
        for Announcement { account, begins } in words {
            for emitter in self.emitters(account_path(&account).as_str())? {
                emitter.signing_out(begins).await?;
            }
        }
        Ok(())
    }

    /// Tells of jobs that have ended.
    async fn end(&mut self, now: &Published) -> zbus::Result<()> {
        let ended: Vec<(u64, JobOutcome)> = now
            .jobs
            .iter()
            .filter(|(number, job)| {
                job.state == JobState::Finished
                    && self
                        .jobs
                        .get(number)
                        .is_some_and(|told| *told != JobState::Finished)
            })
            .map(|(number, job)| (*number, job.outcome.clone()))
            .collect();
        for (number, outcome) in ended {
            for emitter in self.emitters(job_path(number).as_str())? {
                emitter.finished(outcome.clone()).await?;
            }
            self.jobs.insert(number, JobState::Finished);
        }
        Ok(())
    }
}
