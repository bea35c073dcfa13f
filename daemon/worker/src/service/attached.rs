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
use crate::error::{Error, Result};
use crate::files::Files;
use crate::files::real::RealFiles;
use crate::state::{Epoch, State};
use crate::verify::Verified;
use crate::watch::{Lost, Watch};

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

/// An account that this worker holds.
pub struct Attached {
    /// The account.
    pub account: Account<RealFiles>,
    /// One operation at a time.
    work: Mutex<()>,
    proof: Mutex<Option<Verified>>,
    watch: Mutex<Option<Watch>>,
    stop: Arc<AtomicBool>,
    _lock: Flock<File>,
}

impl Attached {
    /// Takes the account's lock and opens its state.
    ///
    /// # Errors
    /// [`Error::Busy`] when another worker does not let go of it.
    pub fn open(spec: Spec, states: &Path, progress: mpsc::Sender<Told>) -> Result<Self> {
        let home = states.join(&spec.id);
        make_private(&home)?;
        let lock = lock(&home.join("lock"), &spec.id)?;
        let state = State::open(&home)?;
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
            proof: Mutex::default(),
            watch: Mutex::default(),
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
        self.stop.store(false, Ordering::Relaxed);
        let result = work(self);
        drop(guard);
        result
    }

    /// Stops the operation under way.
    pub fn interrupt(&self) {
        self.stop.store(true, Ordering::Relaxed);
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
        let (roots, mut all) = self.watchable();
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.as_ref().is_none_or(|watch| !watch.covers(&roots)) {
            // First the old one, or there would be twice as many watches.
            *watch = None;
            let (account, changes) = (self.account.spec.id.clone(), changes.clone());
            let tell = move || changes.blocking_send(account.clone()).is_ok();
            *watch = match Watch::start(roots.clone(), Box::new(tell)) {
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
        Ok(all)
    }

    /// Watches no longer.
    pub fn unwatch(&self) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The account's folders that tell their changes, and whether these are all it has. A folder
    /// on another machine tells only what is done through this one.
    fn watchable(&self) -> (Vec<PathBuf>, bool) {
        let account = &self.account;
        let local = |path: &Path| {
            let dir = account.files.open_root(path)?;
            account.files.abilities(&dir).map(|there| !there.remote)
        };
        let sides = account
            .spec
            .collections
            .iter()
            .flat_map(|(c, root)| [root.clone(), account.spec.storage.join(c.folder())]);
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

fn make_private(home: &PathBuf) -> Result<()> {
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
