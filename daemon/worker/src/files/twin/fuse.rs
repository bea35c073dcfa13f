//! The counter of effects at which a simulated process dies.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts effects, and lets the process die in front of a chosen one. Clones share the count, so
/// that a database's transactions can be counted together with the effects on files.
///
/// Dying right after an effect needs no form of its own: nothing that can be seen happens between
/// an effect and the next one, so it is dying in front of the next.
#[derive(Debug, Clone, Default)]
pub struct Fuse(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    names: Vec<String>,
    die_at: Option<u64>,
    dead: bool,
}

/// The process died. What every operation answers from then on.
#[derive(Debug)]
struct Dead;

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated process is dead")
    }
}

impl std::error::Error for Dead {}

pub(super) fn dead() -> io::Error {
    io::Error::other(Dead)
}

/// Whether an error means that the simulated process died, and not that something failed.
pub fn is_dead(e: &io::Error) -> bool {
    e.get_ref().is_some_and(|inner| inner.is::<Dead>())
}

impl Fuse {
    /// A fuse that never blows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one effect, which happens only if this answers `Ok`.
    ///
    /// # Errors
    /// One that [`is_dead`] knows, at the chosen effect and ever after.
    pub fn effect(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.dead {
            return Err(dead());
        }
        state.names.push(name.to_owned());
        if state.die_at == Some(state.names.len() as u64) {
            state.dead = true;
            return Err(dead());
        }
        Ok(())
    }

    /// For what is not an effect: `Ok` while the process lives.
    ///
    /// # Errors
    /// One that [`is_dead`] knows.
    pub fn alive(&self) -> io::Result<()> {
        if self.state().dead {
            Err(dead())
        } else {
            Ok(())
        }
    }

    /// Lets the process die in front of the `at`th effect since the last [`Fuse::reset`] (the
    /// first is 1); `None` lets it live.
    pub fn set(&self, at: Option<u64>) {
        self.state().die_at = at;
    }

    /// Effects since the last [`Fuse::reset`], the deadly one included.
    pub fn count(&self) -> u64 {
        self.state().names.len() as u64
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<String> {
        self.state().names.clone()
    }

    /// Counts from zero again, with nothing to die at, and alive.
    pub fn reset(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
