//! A machine in memory, for tests: filesystems that forget what was not made durable.
//!
//! Each disk has two states: what running processes see, and what a power cut leaves for certain.
//! Every effect is counted by a [`Fuse`] that can end the process in front of any of them; from
//! then on every operation answers an error that [`is_dead`] knows. [`TwinFiles::restart`] begins
//! the next life, with what a seed lets survive:
//!
//! - What was synced is there, after every seed.
//! - Content that was not may be old, new, empty, cut, zeros, or a mix of pages.
//! - Each change of entries has happened or has not, in whole. Changes of the same name keep
//!   their order, others need not. A rename never loses both names, and an unlink that was not
//!   synced may come undone.
//! - After a sync that failed, what was cached never reaches the storage, although the next sync
//!   succeeds (fsync(2)).
//!
//! The same calls and the same seed give the same world. [`stage`] is the side of the test: it
//! builds, looks, lets operations fail, and lets other programs come in between.

mod change;
mod crash;
mod disk;
mod entries;
mod file;
mod fuse;
mod inode;
mod seam;
pub mod stage;
mod world;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crash::{Crash, Dice};
use world::{At, World};

pub use disk::DiskOptions;
pub use file::{TwinDir, TwinFile};
pub use fuse::{Fuse, is_dead};
pub use stage::{DiskId, Node};

/// The simulated machine, as one life of a process sees it. Clones are the same process.
#[derive(Clone)]
pub struct TwinFiles {
    world: Arc<Mutex<World>>,
    fuse: Fuse,
    life: u64,
}

impl fmt::Debug for TwinFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwinFiles")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// Whether an operation changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Look,
    Effect,
}

impl Default for TwinFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl TwinFiles {
    /// A machine with one empty disk at `/`.
    pub fn new() -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new())),
            fuse: Fuse::new(),
            life: 0,
        }
    }

    /// The counter of this machine's effects.
    pub fn fuse(&self) -> &Fuse {
        &self.fuse
    }

    /// Ends this life of the process, if it has not ended, and begins the next one, with a fresh
    /// fuse. Other clones, and handles, stay dead.
    ///
    /// Seed 0: the power went, and everything not durable is lost. Seed 1: only the process died,
    /// the system lives on and nothing is lost yet. Any other: the power went, and of what was
    /// not durable the seed chooses.
    pub fn restart(&mut self, seed: u64) {
        let mut world = self.lock();
        let mut crash = match seed {
            0 => Crash::AllLost,
            1 => Crash::Killed,
            seed => Crash::Mixed(Dice::new(seed)),
        };
        for disk in &mut world.disks {
            disk.crash(&mut crash);
        }
        world.life += 1;
        let life = world.life;
        self.fuse.reset();
        drop(world);
        self.life = life;
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The door of every operation: hooks, the fuse, the clock; then the error it shall have.
    fn begin(
        &self,
        name: &str,
        phase: Phase,
    ) -> io::Result<(MutexGuard<'_, World>, io::Result<()>)> {
        let mut world = self.lock();
        if world.life != self.life {
            return Err(fuse::dead());
        }
        self.fuse.alive()?;
        let hooks = world.due_hooks(name);
        drop(world);
        for hook in hooks {
            (hook.act)(self);
        }
        match phase {
            Phase::Look => self.fuse.alive()?,
            Phase::Effect => self.fuse.effect(name)?,
        }
        let mut world = self.lock();
        if phase == Phase::Effect {
            world.tick();
        }
        let fault = world.fault(name).map_or(Ok(()), Err);
        Ok((world, fault))
    }

    fn enter(&self, name: &str, phase: Phase) -> io::Result<MutexGuard<'_, World>> {
        let (world, fault) = self.begin(name, phase)?;
        fault.map(|()| world)
    }

    /// The node of an open folder.
    fn at(&self, dir: &TwinDir) -> io::Result<At> {
        if dir.life == self.life {
            Ok(dir.at)
        } else {
            Err(fuse::dead())
        }
    }

    fn dir(&self, at: At) -> TwinDir {
        TwinDir {
            at,
            life: self.life,
        }
    }
}
