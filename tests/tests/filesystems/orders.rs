//! What a [`Fuse`](crate::fuse::Fuse) is told to do wrong.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use nix::libc::{EIO, EPERM};
use tokio::sync::Notify;

use crate::power::{Power, Taken};

/// A call that can be told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Open,
    Create,
    Read,
    Write,
    Fsync,
    Rename,
    Unlink,
    List,
    Chmod,
    SetTimes,
    /// Every one that changes something.
    Change,
}

impl Op {
    fn covers(self, other: Self) -> bool {
        let changes = !matches!(other, Self::Open | Self::Read | Self::List);
        self == other || (self == Self::Change && changes)
    }
}

/// One order: the calls of a kind fail, from the n-th on.
#[derive(Debug, Clone)]
struct Failure {
    op: Op,
    errno: i32,
    /// So many more go well first.
    after: u64,
    /// So many fail then; the last ones go well again.
    times: u64,
}

#[derive(Default)]
struct Told {
    failures: Vec<Failure>,
    met: u64,
    flipped: Option<PathBuf>,
    folds: bool,
    granularity: u64,
    fixed_mode: bool,
    /// What is durable, while that is kept apart.
    power: Option<Power>,
    /// So many changes more are made before the power goes.
    changes_left: Option<u64>,
    light: Light,
}

/// Whether there is power.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Light {
    #[default]
    On,
    /// It went: every call hangs until whoever called is dead.
    Gone,
    /// Those that hung are let go, and nothing works.
    Out,
}

/// The orders in force; none at first.
#[derive(Default)]
pub struct Orders {
    told: Mutex<Told>,
    let_go: Condvar,
    dark: Notify,
}

impl Orders {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// Calls of this kind fail with `errno` from the `nth` (1 is the next) on, until [`Self::heal`].
    pub fn fail(&self, op: Op, errno: i32, nth: u64) {
        self.fail_times(op, errno, nth, u64::MAX);
    }

    /// The same, `times` times.
    pub fn fail_times(&self, op: Op, errno: i32, nth: u64, times: u64) {
        let after = nth - 1;
        self.told().failures.push(Failure {
            op,
            errno,
            after,
            times,
        });
    }

    /// Everything goes well again; answers how many calls had failed.
    pub fn heal(&self) -> u64 {
        let mut told = self.told();
        told.failures.clear();
        told.flipped = None;
        std::mem::take(&mut told.met)
    }

    /// How many calls failed since the last [`Self::heal`].
    pub fn met(&self) -> u64 {
        self.told().met
    }

    /// Reading a file whose path ends so turns a bit over.
    pub fn rot(&self, path: &str) {
        self.told().flipped = Some(path.into());
    }

    /// Upper and lower case are the same from now on.
    pub fn fold_case(&self) {
        self.told().folds = true;
    }

    /// Times are whole multiples of so many seconds.
    pub fn coarse_times(&self, seconds: u64) {
        self.told().granularity = seconds;
    }

    /// As on FAT: every file is 0755 and no mode is kept.
    pub fn no_modes(&self) {
        self.told().fixed_mode = true;
    }

    /// From now on nothing is there for good that was not synced; what is there now is. The power
    /// goes after so many changes, if any.
    pub fn hold(&self, behind: &Path, changes: Option<u64>) -> io::Result<()> {
        let power = Power::watch(behind, &behind.with_extension("limbo"))?;
        let mut told = self.told();
        told.power = Some(power);
        told.changes_left = changes;
        Ok(())
    }

    /// Waits until the power goes.
    pub async fn darkness(&self) {
        self.dark.notified().await;
    }

    /// Lets go of the calls that hang since the power went, so that the killed can die.
    pub fn let_go(&self) {
        self.told().light = Light::Out;
        self.let_go.notify_all();
    }

    /// The power was cut and is back: answers what that took. Nobody may be at work.
    pub fn cut_power(&self, seed: u64) -> io::Result<Taken> {
        let mut told = self.told();
        told.light = Light::On;
        told.changes_left = None;
        told.power
            .take()
            .map_or(Ok(Taken::default()), |power| power.cut(seed))
    }

    /// What is durable, if that is kept apart.
    pub fn power<T>(
        &self,
        with: impl FnOnce(&mut Power) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.told().power.as_mut().map(with).transpose()
    }

    /// Counts a change, and hangs when the power is gone.
    fn expect_light(&self, op: Op) -> bool {
        let mut told = self.told();
        if told.light == Light::On && Op::Change.covers(op) {
            match told.changes_left {
                Some(0) => {
                    told.light = Light::Gone;
                    self.dark.notify_one();
                }
                Some(n) => told.changes_left = Some(n - 1),
                None => {}
            }
        }
        while told.light == Light::Gone {
            told = self.let_go.wait(told).unwrap();
        }
        told.light == Light::On
    }

    pub fn meets(&self, op: Op) -> Option<i32> {
        if !self.expect_light(op) {
            return Some(EIO);
        }
        let mut told = self.told();
        if op == Op::Chmod && told.fixed_mode {
            return Some(EPERM);
        }
        let failure = told.failures.iter_mut().find(|f| f.op.covers(op))?;
        if failure.after > 0 {
            failure.after -= 1;
            return None;
        }
        failure.times = failure.times.checked_sub(1)?;
        let errno = failure.errno;
        told.met += 1;
        Some(errno)
    }

    pub fn folds_case(&self) -> bool {
        self.told().folds
    }

    pub fn coarse(&self, since: Duration) -> Duration {
        match self.told().granularity {
            0 => since,
            seconds => Duration::from_secs(since.as_secs() / seconds * seconds),
        }
    }

    pub fn shown_mode(&self, folder: bool, mode: u16) -> u16 {
        match (self.told().fixed_mode, folder) {
            (true, true) => 0o700,
            (true, false) => 0o755,
            (false, _) => mode,
        }
    }

    pub fn flip(&self, path: &Path, offset: u64, bytes: &mut [u8]) {
        let told = self.told();
        let Some(ending) = &told.flipped else { return };
        if path.ends_with(ending) && offset == 0 && !bytes.is_empty() {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            drop(told);
            self.told().met += 1;
        }
    }
}
