//! Whose accounts this daemon keeps: one person's in session mode, everybody's in system mode.
//!
//! Each person has a [`Broker`] of their own, with its own state, worker and journal: what belongs
//! to one person cannot be mixed up with what belongs to another, because it never meets.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mooring_core::identity::Cost;

use crate::broker::{Broker, Parts};
use crate::clock::{Clock, SystemClock};
use crate::failure::Failure;
use crate::folders::{Folders, Mode, STATE};
use crate::keys;
use crate::launch::Launcher;
use crate::rules::Device;
use crate::store::Store;

/// The administrator: no account of theirs is kept, and their broker is the device's own. Policy
/// and settings of the whole device are read there.
pub const ADMINISTRATOR: u32 = 0;
/// The most people of one device: what is beyond is a mistake or an attack, and each costs memory.
pub const MAX_PEOPLE: usize = 1_024;

/// The brokers of all people.
pub enum People {
    /// Session mode: whoever started it.
    One(Arc<Broker>),
    /// System mode.
    Many(Many),
}

/// The brokers of system mode.
pub struct Many {
    base: PathBuf,
    rules: Arc<Device>,
    launcher: Arc<dyn Launcher>,
    /// Jobs are numbered over all people: their objects are side by side.
    numbers: Arc<AtomicU64>,
    /// The first of the numbers that this process gives; none before everybody's were looked at.
    first: Option<u64>,
    brokers: Mutex<BTreeMap<u32, Arc<Broker>>>,
}

impl Many {
    /// Reads the state of everybody who has any.
    ///
    /// # Errors
    /// When the folder cannot be read, or the administrator's own state is damaged. Somebody
    /// else's damaged state is logged: the others are not to wait for it.
    pub fn load(launcher: Arc<dyn Launcher>) -> Result<Self, Failure> {
        let base = Path::new(STATE);
        Self::load_from(base, Folders::system_below(base, ADMINISTRATOR), launcher)
    }

    fn load_from(
        base: &Path,
        device: Folders,
        launcher: Arc<dyn Launcher>,
    ) -> Result<Self, Failure> {
        let store = Arc::new(open(base, &device)?);
        let mut many = Self {
            base: base.to_owned(),
            rules: Device::load(device.clone(), store.clone(), SystemClock.now())?,
            launcher,
            numbers: Arc::new(AtomicU64::new(1)),
            first: None,
            brokers: Mutex::default(),
        };
        let broker = many.make(ADMINISTRATOR, device, store)?;
        many.all().insert(ADMINISTRATOR, broker);
        let entries = std::fs::read_dir(&many.base).map_err(Failure::at(&many.base))?;
        for entry in entries {
            let name = entry.map_err(Failure::at(&many.base))?.file_name();
            let Some(uid) = name.to_str().and_then(uid_of) else {
                continue;
            };
            match many.broker(uid) {
                Ok(broker) => {
                    // Whoever only ever looked takes no place; the next call makes one. A journal
                    // that cannot be read is told of where it is served.
                    let empty = broker.is_empty().is_ok_and(|empty| empty);
                    if empty && uid != ADMINISTRATOR {
                        many.all().remove(&uid);
                    }
                }
                Err(error) => {
                    tracing::error!(uid, %error, "the accounts of this person cannot be served");
                }
            }
        }
        many.first = Some(many.numbers.load(Ordering::Relaxed));
        Ok(many)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Broker>>> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broker(&self, uid: u32) -> Result<Arc<Broker>, Failure> {
        let mut brokers = self.all();
        if let Some(broker) = brokers.get(&uid) {
            return Ok(broker.clone());
        }
        if brokers.len() >= MAX_PEOPLE {
            return Err(Failure::Busy(format!(
                "{MAX_PEOPLE} people use this device already: that is the most"
            )));
        }
        // First: of nobody, nothing else is asked of the system.
        if !self.base.join(uid.to_string()).exists() {
            expect_known(uid)?;
        }
        let folders = self.rules.folders().of_person(&self.base, uid);
        let store = Arc::new(open(&self.base, &folders)?);
        self.expect_counted(uid, &store)?;
        let broker = self.make(uid, folders, store)?;
        brokers.insert(uid, broker.clone());
        Ok(broker)
    }

    fn make(&self, uid: u32, folders: Folders, store: Arc<Store>) -> Result<Arc<Broker>, Failure> {
        keys::unlock_by_credential(&store);
        Broker::new(Parts {
            mode: Mode::System,
            store,
            rules: self.rules.clone(),
            folders,
            clock: Arc::new(SystemClock),
            launcher: self.launcher.clone(),
            cost: Cost::REAL,
            uid,
            system_bus: None,
            numbers: self.numbers.clone(),
        })
    }

    /// Passes when no job of this person's has a number that this process has given to another's,
    /// as after a start at which their state could not be read.
    fn expect_counted(&self, uid: u32, store: &Store) -> Result<(), Failure> {
        let last = store.last_job()?;
        if self.first.is_none_or(|first| last < first) {
            return Ok(());
        }
        Err(Failure::Internal(format!(
            "the state of user {uid} came back while the daemon ran, and its jobs' numbers may be \
             others' by now; run: systemctl restart mooringd"
        )))
    }
}

impl People {
    /// How the daemon runs.
    pub fn mode(&self) -> Mode {
        match self {
            Self::One(_) => Mode::Session,
            Self::Many(_) => Mode::System,
        }
    }

    /// Whose rules and settings are the device's.
    pub fn device(&self) -> u32 {
        match self {
            Self::One(broker) => broker.uid,
            Self::Many(_) => ADMINISTRATOR,
        }
    }

    /// The broker of a person; made, if there is none yet.
    ///
    /// # Errors
    /// When the person's state cannot be used; in session mode for everybody else.
    pub fn broker(&self, uid: u32) -> Result<Arc<Broker>, Failure> {
        match self {
            Self::One(broker) if broker.uid == uid => Ok(broker.clone()),
            Self::One(broker) => Err(Failure::NotAuthorized(format!(
                "this daemon serves user {} only, not {uid}",
                broker.uid
            ))),
            Self::Many(many) => many.broker(uid),
        }
    }

    /// All brokers that there are.
    pub fn all(&self) -> Vec<Arc<Broker>> {
        match self {
            Self::One(broker) => vec![broker.clone()],
            Self::Many(many) => many.all().values().cloned().collect(),
        }
    }

    /// Reads configuration and policy again, for all.
    ///
    /// # Errors
    /// When the last good policy cannot be kept; then nothing has changed for anybody.
    pub fn reload(&self) -> Result<(), Failure> {
        match self {
            Self::One(broker) => broker.rules.device().reload(broker.clock.now())?,
            Self::Many(many) => many.rules.reload(SystemClock.now())?,
        }
        for broker in self.all() {
            broker.take_up_rules();
        }
        Ok(())
    }

    /// Waits until the signed bundle in force expires: then a reload has to see it.
    pub async fn bundle_expires(&self) {
        match self {
            Self::One(broker) => {
                let device = broker.rules.device();
                device.bundle_expires(|| broker.clock.now()).await;
            }
            Self::Many(many) => many.rules.bundle_expires(|| SystemClock.now()).await,
        }
    }

    /// Stops everything of everybody, at once.
    pub async fn stop(&self) {
        let mut stopping = tokio::task::JoinSet::new();
        for broker in self.all() {
            stopping.spawn(async move { broker.stop().await });
        }
        while stopping.join_next().await.is_some() {}
    }
}

/// A folder's name that is a user's number as we write it, and no other.
pub(crate) fn uid_of(name: &str) -> Option<u32> {
    let uid: u32 = name.parse().ok()?;
    (uid.to_string() == name).then_some(uid)
}

/// Passes for a user of the system. Whoever may map user numbers (`/etc/subuid`) has many thousands
/// that are nobody's, and would take all places with them.
fn expect_known(uid: u32) -> Result<(), Failure> {
    match nix::unistd::User::from_uid(uid.into()) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Failure::NotAuthorized(format!(
            "user {uid} is not known to this system"
        ))),
        Err(error) => Err(Failure::Busy(format!(
            "who user {uid} is cannot be found out now: {error}"
        ))),
    }
}

/// A person's state; made, if there is none yet.
fn open(base: &Path, folders: &Folders) -> Result<Store, Failure> {
    make_parent(&base.join("receipts"))?;
    folders.make().map_err(Failure::at(&folders.state))?;
    Ok(Store::open(&folders.state.join("broker.db"))?)
}

fn make_parent(path: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Failure::at(path))
}

#[cfg(test)]
mod tests;
