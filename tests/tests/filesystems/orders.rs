//! What a [`Fuse`](crate::fuse::Fuse) is told to do wrong.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

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

#[derive(Debug, Default)]
struct Told {
    failures: Vec<Failure>,
    met: u64,
    flipped: Option<PathBuf>,
    folds: bool,
    granularity: u64,
    fixed_mode: bool,
    /// What a file held when it was last made durable, by its inode.
    unsynced: Option<HashMap<u64, (File, Vec<u8>)>>,
}

/// The orders in force; none at first.
#[derive(Debug, Default)]
pub struct Orders(Mutex<Told>);

impl Orders {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
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

    /// From now on what is written is only there for good after an fsync.
    pub fn hold_writes(&self) {
        self.told().unsynced = Some(HashMap::new());
    }

    /// The power is cut: what was written and not made durable is as it was before. Answers how
    /// many files that were.
    pub fn cut_power(&self) -> io::Result<usize> {
        let Some(unsynced) = self.told().unsynced.take() else {
            return Ok(0);
        };
        for (file, before) in unsynced.values() {
            file.set_len(0)?;
            file.write_all_at(before, 0)?;
        }
        Ok(unsynced.len())
    }

    pub fn meets(&self, op: Op) -> Option<i32> {
        let mut told = self.told();
        if op == Op::Chmod && told.fixed_mode {
            return Some(nix::libc::EPERM);
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

    pub fn before_write(&self, file: &File, inode: u64) {
        let mut told = self.told();
        let Some(unsynced) = &mut told.unsynced else {
            return;
        };
        if unsynced.contains_key(&inode) {
            return;
        }
        let kept = file.try_clone().and_then(|copy| {
            let mut before = vec![0; file.metadata()?.size() as usize];
            file.read_exact_at(&mut before, 0)?;
            Ok((copy, before))
        });
        unsynced.insert(inode, kept.unwrap());
    }

    pub fn made_durable(&self, inode: u64) {
        if let Some(unsynced) = &mut self.told().unsynced {
            unsynced.remove(&inode);
        }
    }
}
