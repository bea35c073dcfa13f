//! Inhibitors: what apps hold so that a sign-out waits for them, as in logind.
//!
//! A lock is one end of a pipe in the app's hands; it ends when the last copy of that end is
//! closed, by hand or by death, and the system tells so at once. Nothing here is durable: when the
//! broker goes, an app sees the end of its pipe and can take a new lock. Every number is bounded.

use std::collections::BTreeMap;
use std::io::pipe;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::sync::watch;

use crate::broker::Broker;
use crate::failure::Failure;

/// The most locks in all.
pub const MAX_INHIBITORS: usize = 64;
/// The most locks of one user.
pub const MAX_INHIBITORS_OF_USER: usize = 16;
/// The longest name of who holds a lock, in bytes.
pub const MAX_WHO_BYTES: usize = 128;
/// The longest reason, in bytes.
pub const MAX_WHY_BYTES: usize = 512;
/// The most holders that are named when there are too many locks.
const MAX_NAMED: usize = 3;
/// What can be inhibited.
pub const SIGN_OUT: &str = "sign-out";

/// How a lock works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A sign-out that has begun waits for it, up to a bound.
    Delay,
    /// No sign-out begins, and one that has not removed anything yet waits.
    Block,
}

impl Mode {
    /// The name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Block => "block",
        }
    }
}

/// A lock on [`SIGN_OUT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibitor {
    /// Who holds it, for people.
    pub who: String,
    /// Why, for people.
    pub why: String,
    /// How it works.
    pub mode: Mode,
    /// The user who took it.
    pub uid: u32,
    /// The process that took it, or 0 when the bus does not say.
    pub pid: u32,
}

/// The locks that are held, by number in the order they were taken.
#[derive(Default)]
struct Held {
    next: u64,
    locks: BTreeMap<u64, Inhibitor>,
}

/// All locks.
#[derive(Default)]
pub struct Inhibitors {
    held: Arc<watch::Sender<Held>>,
}

impl Inhibitors {
    /// The locks, oldest first.
    pub fn list(&self) -> Vec<Inhibitor> {
        self.held.borrow().locks.values().cloned().collect()
    }

    /// What blocks a user's sign-out, as a sentence; nothing when nothing does.
    pub fn blocked(&self, uid: u32) -> Option<String> {
        sentence(&self.held.borrow(), uid)
    }

    /// Who delays a user's sign-out.
    pub fn delaying(&self, uid: u32) -> Vec<String> {
        let held = self.held.borrow();
        held.of(uid, Mode::Delay)
            .map(|lock| lock.who.clone())
            .collect()
    }

    /// Waits until no lock of a user has this mode.
    pub async fn released(&self, uid: u32, mode: Mode) {
        let mut held = self.held.subscribe();
        let gone = held.wait_for(|held| held.of(uid, mode).next().is_none());
        // The sender lives as long as this does.
        let _ = gone.await;
    }

    fn add(&self, lock: Inhibitor) -> Result<u64, Failure> {
        let mut number = Ok(0);
        self.held.send_if_modified(|held| {
            let own = held.locks.values().filter(|l| l.uid == lock.uid).count();
            if held.locks.len() >= MAX_INHIBITORS || own >= MAX_INHIBITORS_OF_USER {
                number = Err(full(held, lock.uid));
                return false;
            }
            held.next += 1;
            held.locks.insert(held.next, lock);
            number = Ok(held.next);
            true
        });
        number
    }
}

impl Held {
    fn of(&self, uid: u32, mode: Mode) -> impl Iterator<Item = &Inhibitor> {
        self.locks
            .values()
            .filter(move |lock| lock.uid == uid && lock.mode == mode)
    }
}

impl Broker {
    /// Takes a lock and answers what holds it: it ends when every copy of that is closed.
    ///
    /// # Errors
    /// [`Failure::Busy`] when there are too many; or the system has no pipe to give.
    pub fn inhibit(&self, lock: Inhibitor) -> Result<OwnedFd, Failure> {
        let failed = |e: std::io::Error| Failure::Internal(format!("no lock can be made: {e}"));
        let (theirs, ours) = pipe().map_err(failed)?;
        // Nothing is ever written: the only thing that can happen to our end is that theirs goes.
        let ours = Sender::from_owned_fd(ours.into()).map_err(failed)?;
        tracing::info!(
            who = lock.who,
            why = lock.why,
            mode = lock.mode.name(),
            pid = lock.pid,
            "inhibits signing out"
        );
        let number = self.inhibitors.add(lock)?;
        let held = self.inhibitors.held.clone();
        self.spawn(async move {
            closed(&ours).await;
            held.send_modify(|held| {
                if let Some(lock) = held.locks.remove(&number) {
                    tracing::info!(who = lock.who, "no longer inhibits signing out");
                }
            });
        });
        Ok(theirs.into())
    }
}

/// Waits until every reader of a pipe is gone.
async fn closed(ours: &Sender) {
    if let Err(error) = ours.ready(Interest::ERROR).await {
        // Only when the runtime ends: then every lock does.
        tracing::debug!(%error, "a lock is not watched any more");
    }
}

fn sentence(held: &Held, uid: u32) -> Option<String> {
    let mut blocks = held.of(uid, Mode::Block);
    let first = blocks.next()?;
    let more = match blocks.count() {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    };
    Some(format!(
        "{} asks to wait with signing out: {}{more}; let it finish, or close it",
        first.who, first.why
    ))
}

/// That there are too many, and whose they are, as far as they are the caller's.
fn full(held: &Held, uid: u32) -> Failure {
    let mut whose: Vec<&str> = held
        .locks
        .values()
        .filter(|lock| lock.uid == uid)
        .map(|lock| lock.who.as_str())
        .collect();
    whose.sort_unstable();
    whose.dedup();
    let more = whose.len().saturating_sub(MAX_NAMED);
    let mut named = whose[..whose.len() - more].join(", ");
    if more > 0 {
        named.push_str(&format!(" and {more} more"));
    }
    let told = if named.is_empty() {
        String::new()
    } else {
        format!("; held by {named}: close what is done")
    };
    Failure::Busy(format!(
        "there are too many inhibitors already: at most {MAX_INHIBITORS_OF_USER} of one user and \
         {MAX_INHIBITORS} in all{told}"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn lock(mode: Mode, uid: u32) -> Inhibitor {
        Inhibitor {
            who: "editor".into(),
            why: "unsaved text".into(),
            mode,
            uid,
            pid: 1,
        }
    }

    #[test]
    fn only_the_own_blocks_count() {
        let all = Inhibitors::default();
        all.add(lock(Mode::Delay, 1)).unwrap();
        all.add(lock(Mode::Block, 2)).unwrap();
        assert_eq!(all.blocked(1), None);
        assert!(all.delaying(2).is_empty());
        let said = all.blocked(2).unwrap();
        assert!(
            said.contains("editor") && said.contains("unsaved text"),
            "{said}"
        );
        all.add(lock(Mode::Block, 2)).unwrap();
        assert!(all.blocked(2).unwrap().contains("(and 1 more)"));
    }

    #[test]
    fn numbers_are_bounded_for_one_and_for_all() {
        let all = Inhibitors::default();
        for n in 0..MAX_INHIBITORS {
            let uid = (n / MAX_INHIBITORS_OF_USER) as u32;
            all.add(lock(Mode::Delay, uid)).unwrap();
            if n + 1 == MAX_INHIBITORS_OF_USER {
                assert!(matches!(
                    all.add(lock(Mode::Delay, 0)),
                    Err(Failure::Busy(_))
                ));
            }
        }
        assert!(matches!(
            all.add(lock(Mode::Delay, 99)),
            Err(Failure::Busy(_))
        ));
        assert_eq!(all.list().len(), MAX_INHIBITORS);
    }
}
