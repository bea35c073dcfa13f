//! What the files of configuration and policy say: read whole, exchanged at once, never half.
//!
//! The files are the device's and read once for everybody on it ([`Device`]); what is known of a
//! person, and so which rules hold for them, is each person's own ([`Rules`]).

mod bundle;
mod files;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mooring_core::policy::bundle::Held;
use mooring_core::policy::{Circumstances, Problem, Source, Standing, Term};
use mooring_core::settings::Settings;
use tokio::sync::watch::{Receiver, Sender};

use crate::audit;
use crate::circumstances;
use crate::folders::Folders;
use crate::store::{Error, Store};

use files::{read_policy, read_settings};

pub use bundle::check as check_bundle;
pub use watch::Watch;

/// The longest time between two looks at a bundle that will expire: a sleep of the device does not
/// count as waiting, and the clock may be set.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// What the files say, of which everybody on the device has the same.
#[derive(Debug, Clone)]
struct Said {
    standing: Arc<Standing>,
    settings: Arc<Settings>,
    settings_problems: Arc<[Problem]>,
    /// Whether files ever said these settings; else they are what holds without any.
    settings_read: bool,
}

/// The rules of the device.
#[derive(Debug)]
pub struct Device {
    folders: Folders,
    /// Keeps the last good policy.
    store: Arc<Store>,
    said: Sender<Said>,
    /// What a reload was asked to tell of a bundle's term, last.
    tried: Mutex<Option<Term>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    /// Reads everything for the first time, `now` in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When the last good policy cannot be read from, or kept in, the state.
    pub fn load(folders: Folders, store: Arc<Store>, now: u64) -> Result<Arc<Self>, Error> {
        let last_good = store.last_good_policy()?;
        let (said, held) = read(&folders, (last_good, None), now)?;
        tell(&said);
        if keep(&folders, &store, &said, &held)? {
            tell_change(&said);
        }
        Ok(Arc::new(Self {
            folders,
            store,
            said: Sender::new(said),
            tried: Mutex::default(),
        }))
    }

    /// Whether the settings in force are those of files, and not what holds without any.
    pub fn settings_were_read(&self) -> bool {
        self.said.borrow().settings_read
    }

    /// The settings as their files have them now, in force or not, or what is wrong with them.
    ///
    /// # Errors
    /// The problems, each with file, line and column.
    pub fn settings_on_disk(&self) -> Result<Settings, Vec<Problem>> {
        read_settings(&self.folders)
    }

    /// The folders that it reads.
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Waits until the signed bundle in force has expired and nobody has seen it, or was seen to have
    /// expired by a clock that was set back since: a reload has to tell. One that could not is tried
    /// again later.
    pub async fn bundle_expires(&self, now: impl Fn() -> u64) {
        let mut said = self.said.subscribe();
        loop {
            let term = said.borrow_and_update().standing.term();
            let left = term.map(|term| {
                let left = Duration::from_secs(term.expires.saturating_sub(now()));
                let untold = left.is_zero() != term.expired;
                let tried = lock(&self.tried).is_some_and(|tried| tried == term);
                match untold && !tried {
                    true => Duration::ZERO,
                    false if left.is_zero() => LOOK_EVERY,
                    false => left.min(LOOK_EVERY),
                }
            });
            if left == Some(Duration::ZERO) {
                *lock(&self.tried) = term;
                return;
            }
            let look = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = look => *lock(&self.tried) = None,
                // Never an error: the sender is here.
                _ = said.changed() => {}
            }
        }
    }

    /// Reads everything again at `now`. What is wrong keeps what was right before in force. Whoever
    /// is held to it takes it up with [`Rules::take_up`].
    ///
    /// # Errors
    /// When the last good policy cannot be kept; then nothing has changed.
    pub fn reload(&self, now: u64) -> Result<(), Error> {
        let before = self.said.borrow().clone();
        let last_good = before.standing.last_good().map(<[Source]>::to_vec);
        let settings = before.settings_read.then(|| before.settings.clone());
        let kept = (last_good, settings);
        let (said, held) = read(&self.folders, kept, now)?;
        tell(&said);
        let otherwise = before.standing.state() != said.standing.state();
        if keep(&self.folders, &self.store, &said, &held)? || otherwise {
            tell_change(&said);
        }
        self.said.send_replace(said);
        Ok(())
    }
}

/// What is in force for a person.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The policy, and how it came to be.
    pub standing: Arc<Standing>,
    /// What is known of the device and its person, as far as the policy asks.
    pub circumstances: Circumstances,
    /// How the daemon works.
    pub settings: Arc<Settings>,
    /// What is wrong with the files of settings; then the settings before are in force.
    pub settings_problems: Arc<[Problem]>,
}

/// The rules that hold for a person.
#[derive(Debug)]
pub struct Rules {
    device: Arc<Device>,
    uid: u32,
    in_force: Sender<Arc<InForce>>,
}

impl Rules {
    /// The device's rules, for this user.
    pub fn new(device: Arc<Device>, uid: u32) -> Self {
        let in_force = Sender::new(Arc::new(of_person(&device, uid)));
        Self {
            device,
            uid,
            in_force,
        }
    }

    /// The rules of the device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Takes up what the device's rules are by now, and what is known of the person.
    pub fn take_up(&self) {
        let in_force = of_person(&self.device, self.uid);
        self.in_force.send_replace(Arc::new(in_force));
    }

    /// What is in force now.
    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.borrow().clone()
    }

    /// Tells when something else is in force.
    pub fn changes(&self) -> Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }
}

fn of_person(device: &Device, uid: u32) -> InForce {
    let Said {
        standing,
        settings,
        settings_problems,
        settings_read: _,
    } = device.said.borrow().clone();
    InForce {
        circumstances: circumstances(&standing, uid),
        standing,
        settings,
        settings_problems,
    }
}

/// Everything as the files have it now; what is wrong with them leaves in force what was `kept`.
fn read(
    folders: &Folders,
    kept: (Option<Vec<Source>>, Option<Arc<Settings>>),
    now: u64,
) -> Result<(Said, Held), Error> {
    let held = bundle::look(folders, now)?;
    let (last_good, before) = kept;
    let standing = Standing::united(last_good, read_policy(folders), &held);
    let (settings, settings_problems) = match read_settings(folders) {
        Ok(settings) => (Some(Arc::new(settings)), Vec::new()),
        Err(problems) => (before, problems),
    };
    let said = Said {
        standing: Arc::new(standing),
        settings_read: settings.is_some(),
        settings: settings.unwrap_or_default(),
        settings_problems: settings_problems.into(),
    };
    Ok((said, held))
}

/// Everything that is wrong with the files, for `--check-config`.
pub fn check(folders: &Folders, now: u64) -> Vec<Problem> {
    let mut problems = read_settings(folders).err().unwrap_or_default();
    match bundle::look(folders, now) {
        Ok(held) => {
            let standing = Standing::united(None, read_policy(folders), &held);
            problems.extend_from_slice(standing.problems());
        }
        Err(error) => {
            let memory = folders.state.to_string_lossy();
            problems.push(Problem::of_file(&memory, error.to_string()));
        }
    }
    problems
}

fn circumstances(standing: &Standing, uid: u32) -> Circumstances {
    if standing.policy().asks_for_circumstances() {
        circumstances::gather(uid)
    } else {
        Circumstances::default()
    }
}

/// Keeps what is in force for the next start. Answers whether it is another policy than was kept.
fn keep(folders: &Folders, store: &Store, said: &Said, held: &Held) -> Result<bool, Error> {
    if let Some(bundle) = &held.released {
        // Before it is forgotten: a trace too many is better than none.
        audit::released(bundle);
    }
    bundle::keep(folders, held)?;
    let last_good = said.standing.last_good();
    let changed = store.last_good_policy()?.as_deref() != last_good;
    if changed {
        store.save_last_good_policy(last_good)?;
    }
    Ok(changed)
}

fn tell_change(said: &Said) {
    let standing = &said.standing;
    let files = standing.policy().files().len();
    audit::policy(standing.state().name(), files, standing.bundle());
}

fn tell(said: &Said) {
    for problem in said.settings_problems.iter() {
        tracing::warn!("{problem}");
    }
    for problem in said.standing.problems() {
        tracing::warn!("{problem}");
    }
    let state = said.standing.state().name();
    tracing::info!(
        state,
        files = said.standing.policy().files().len(),
        "policy"
    );
}

#[cfg(test)]
mod tests;
