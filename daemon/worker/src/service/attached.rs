//! An account that this worker holds: its lock, its state, and the proof of its last verification.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mooring_wire::Progress;
use nix::fcntl::{Flock, FlockArg};
use tokio::sync::mpsc;

use crate::account::{Account, Report, Spec};
use crate::devices;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::files::real::RealFiles;
use crate::place::STORE;
use crate::state::{self, Epoch, State};
use crate::verify::Verified;
use crate::watch::{Lost, Tell, Told as Changes, Watch};

use super::following::Known;
use super::handing;

/// How long a dying predecessor may hold the account's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often the lock is tried meanwhile.
const LOCK_STEP: Duration = Duration::from_millis(20);
/// The shortest time between two tellings of one activity.
const TELL_STEP: Duration = Duration::from_millis(100);

/// Progress of an account's operation.
#[derive(Debug, Clone)]
pub struct Told {
    /// The account's ID.
    pub account: String,
    /// How far it is.
    pub progress: Progress,
}

/// An operation that was called and has not ended.
pub struct Called(Arc<Mutex<usize>>);

impl Drop for Called {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

/// An account that this worker holds.
pub struct Attached {
    /// The account.
    pub account: Account<RealFiles>,
    /// One operation at a time.
    work: Mutex<()>,
    /// Operations that were called and have not ended: what an interruption is about.
    called: Arc<Mutex<usize>>,
    proof: Mutex<Option<Verified>>,
    pub(super) watch: Mutex<Option<Watch>>,
    /// Whether every folder of the account tells its changes.
    all_tell: AtomicBool,
    pub(super) known: Mutex<Option<Known>>,
    /// What the worker before left behind when it handed its watch over, until it is used.
    pub(super) left: Mutex<Option<String>>,
    stop: Arc<AtomicBool>,
    _lock: Flock<File>,
}

impl Attached {
    /// Looks what is wrong with the state of an account that is in use and that nobody holds, and
    /// unless `dry` puts it aside and begins a new one, which the next sync fills by comparing bytes.
    /// Answers what is wrong, or where the old one is; nothing when all is well.
    ///
    /// # Errors
    /// [`Error::Busy`] when another worker does not let go of it; when it cannot be put aside.
    pub fn repair(id: &str, states: &Path, dry: bool) -> Result<Option<String>> {
        let home = states.join(id);
        make_private(&home)?;
        let _lock = lock(&home.join("lock"), id)?;
        let Some(why) = state::damage(&home)? else {
            return Ok(None);
        };
        if dry {
            return Ok(Some(why));
        }
        let aside = state::put_aside(&home)?;
        State::open(&home)?.set_epoch(Epoch::Active)?;
        tracing::warn!(account = id, why, aside = %aside.display(), "a new state was begun");
        Ok(Some(aside.display().to_string()))
    }

    /// Takes the account's lock and opens its state.
    ///
    /// # Errors
    /// [`Error::Busy`] when another worker does not let go of it.
    pub fn open(spec: Spec, states: &Path, progress: mpsc::Sender<Told>) -> Result<Self> {
        let home = states.join(&spec.id);
        make_private(&home)?;
        let lock = lock(&home.join("lock"), &spec.id)?;
        let state = State::open(&home)?;
        let left = handing::take_left(&state)?;
        let stop = Arc::new(AtomicBool::new(false));
        let account = Account {
            report: report(spec.id.clone(), progress),
            spec,
            files: RealFiles::new(),
            state,
            stop: stop.clone(),
        };
        Ok(Self {
            account,
            work: Mutex::default(),
            called: Arc::default(),
            proof: Mutex::default(),
            watch: Mutex::default(),
            all_tell: AtomicBool::new(false),
            known: Mutex::default(),
            left: Mutex::new(left),
            stop,
            _lock: lock,
        })
    }

    /// Runs work on the account while nothing else does.
    ///
    /// # Errors
    /// [`Error::Busy`] when something else does.
    pub fn alone<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let guard = match self.work.try_lock() {
            Ok(guard) => guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => {
                return Err(Error::Busy(
                    "another operation of the account is under way".to_owned(),
                ));
            }
        };
        let result = work(self);
        drop(guard);
        result
    }

    /// Says that an operation was called: from now on, and not only once it runs, an interruption
    /// is about it. It has ended when the answer is dropped.
    pub fn call(&self) -> Called {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        if *called == 0 {
            self.stop.store(false, Ordering::Relaxed);
        }
        *called += 1;
        Called(self.called.clone())
    }

    /// Stops the operation that was called; one that is called later is not meant.
    pub fn interrupt(&self) {
        let called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        if *called > 0 {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Watches the account's folders, unless that is done already; answers whether nothing is left
    /// out.
    ///
    /// # Errors
    /// [`Error::Refused`] unless the account is active.
    pub fn watch(&self, changes: &mpsc::Sender<String>) -> Result<bool> {
        if self.account.state.epoch()? != Epoch::Active {
            return Err(Error::Refused("the account is not in use".to_owned()));
        }
        if let Err(error) = devices::prepare(&self.account) {
            // Then they cannot be watched, which the answer says.
            tracing::debug!(%error, "requests of other devices cannot be watched");
        }
        let (roots, mut all) = self.watchable();
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.as_ref().is_none_or(|watch| !watch.covers(&roots)) {
            // First the old one, or there would be twice as many watches.
            *watch = None;
            self.forget_looks();
            *watch = match Watch::start(roots.clone(), self.teller(changes)) {
                Ok(watch) => Some(watch),
                Err(Lost::Root(_)) => None,
                Err(lost) => {
                    let account = &self.account.spec.id;
                    tracing::warn!(account, %lost, "changes are not noticed by themselves");
                    None
                }
            };
        }
        all &= watch.as_ref().is_some_and(|watch| watch.covers(&roots));
        self.all_tell.store(all, Ordering::Relaxed);
        Ok(all)
    }

    pub(super) fn set_all_tell(&self, all: bool) {
        self.all_tell.store(all, Ordering::Relaxed);
    }

    pub(super) fn teller(&self, changes: &mpsc::Sender<String>) -> Tell {
        let (account, changes) = (self.account.spec.id.clone(), changes.clone());
        Box::new(move || changes.blocking_send(account.clone()).is_ok())
    }

    /// Tells the other devices how this one stands. That it cannot is no failure of what was done:
    /// the next sync tells them.
    pub fn tell_devices(&self) {
        if let Err(error) = devices::tell(&self.account) {
            let account = &self.account.spec.id;
            tracing::warn!(account, %error, "the other devices are not told");
        }
    }

    /// Takes what the watch told; `None` unless it hears everything.
    pub(super) fn take_told(&self) -> Option<Changes> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let told = watch.as_ref().map(Watch::take_told);
        // Looked at after it was taken: what was lost before is missing in it.
        let hears = watch.as_ref().is_some_and(Watch::hears_all);
        told.filter(|_| hears && self.all_tell.load(Ordering::Relaxed))
    }

    /// Gives back what was taken and not acted on.
    pub(super) fn give_back(&self, told: Changes) {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        match &*watch {
            Some(watch) => watch.give_back(told),
            None => self.forget_looks(),
        }
    }

    /// Watches no longer.
    pub fn unwatch(&self) {
        self.forget_looks();
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The account's folders that tell their changes, and whether these are all it has. A folder
    /// on another machine tells only what is done through this one.
    pub(super) fn watchable(&self) -> (Vec<PathBuf>, bool) {
        let account = &self.account;
        let local = |path: &Path| {
            let dir = account.files.open_root(path)?;
            account.files.abilities(&dir).map(|there| !there.remote)
        };
        let sides = account
            .spec
            .collections
            .iter()
            .flat_map(|(c, root)| [root.clone(), account.spec.storage.join(c.folder())])
            .chain([account.spec.storage.join(STORE).join(devices::REQUESTS)]);
        let mut all = true;
        // What cannot be looked at now is not there, which the sync says.
        let roots = sides
            .filter(|path| {
                let local = local(path).unwrap_or(false);
                all &= local;
                local
            })
            .collect();
        (roots, all)
    }

    /// Keeps the proof of a verification, or voids the one there was.
    pub fn keep_proof(&self, proof: Option<Verified>) {
        *self.proof.lock().unwrap_or_else(PoisonError::into_inner) = proof;
    }

    /// Takes the proof: it is good for one removal.
    ///
    /// # Errors
    /// [`Error::NotVerified`] when there is none.
    pub fn take_proof(&self) -> Result<Verified> {
        self.proof
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or_else(|| {
                Error::NotVerified("nothing was verified since the worker started".to_owned())
            })
    }

    /// Erases the account's state.
    ///
    /// # Errors
    /// When a file of it cannot be removed.
    pub fn destroy(self, states: &Path) -> Result<()> {
        let home = states.join(&self.account.spec.id);
        self.account.state.destroy()?;
        let removed = std::fs::remove_file(home.join("lock"))
            .and_then(|()| std::fs::remove_dir(&home))
            .and_then(|()| File::open(states)?.sync_all());
        removed.map_err(|e| Error::io("remove", &home, e))
    }
}

/// Makes a folder, and those that lead to it, for this person alone.
///
/// # Errors
/// When it cannot be made.
pub fn make_private(home: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home)
        .map_err(|e| Error::io("make the folder", home, e))
}

fn lock(path: &Path, account: &str) -> Result<Flock<File>> {
    use std::os::unix::fs::OpenOptionsExt;
    let fail = |e: io::Error| Error::io("lock", path, e);
    let deadline = Instant::now() + LOCK_PATIENCE;
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(fail)?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                file = back;
                // A lock tells no change: look again until the predecessor is gone.
                std::thread::sleep(LOCK_STEP);
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                return Err(Error::Busy(format!(
                    "another worker holds account {account}"
                )));
            }
            Err((_, e)) => return Err(fail(e.into())),
        }
    }
}

/// Tells progress at most ten times a second, but each new activity at once.
fn report(account: String, progress: mpsc::Sender<Told>) -> Report {
    let last: Mutex<Option<(Instant, String)>> = Mutex::default();
    Box::new(move |now: Progress| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, activity)) = &*last
            && *activity == now.activity
            && when.elapsed() < TELL_STEP
        {
            return;
        }
        *last = Some((Instant::now(), now.activity.clone()));
        // A full channel means that the broker does not keep up: the next telling will do.
        let _ = progress.try_send(Told {
            account: account.clone(),
            progress: now,
        });
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn attached(states: &Path) -> Attached {
        let spec = Spec {
            id: "a1".into(),
            identity: "alice".into(),
            storage: states.join("storage"),
            storage_id: "storage-1".into(),
            sign_in_id: "s1".into(),
            device: "laptop".into(),
            left_with: String::new(),
            home: states.into(),
            collections: Vec::new(),
        };
        Attached::open(spec, states, mpsc::channel(1).0).unwrap()
    }

    #[test]
    fn an_interruption_before_the_start_is_not_lost() {
        let states = tempfile::tempdir().unwrap();
        let attached = attached(states.path());
        let called = attached.call();
        attached.interrupt();
        let stopped = attached.alone(|a| a.account.check_stop());
        assert!(matches!(stopped, Err(Error::Cancelled)));
        drop(called);
        // It came too late for that one, and is not about the next.
        attached.interrupt();
        let _called = attached.call();
        attached.alone(|a| a.account.check_stop()).unwrap();
    }
}
