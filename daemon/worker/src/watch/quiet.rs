//! When changes are told: once it was quiet for a while, and after a bounded time in any case.

use std::time::{Duration, Instant};

/// How long it has to be quiet, so that whoever writes has probably ended.
pub const QUIET: Duration = Duration::from_secs(2);
/// How long the first change waits at most, when it never is quiet.
pub const MOST: Duration = Duration::from_secs(10);

/// Changes that were noticed and not told yet.
#[derive(Debug, Default)]
pub struct Quiet(Option<Waiting>);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    first: Instant,
    last: Instant,
}

impl Quiet {
    /// Something changed.
    pub fn noticed(&mut self, now: Instant) {
        let first = self.0.map_or(now, |waiting| waiting.first);
        self.0 = Some(Waiting { first, last: now });
    }

    /// Whether something waits to be told.
    pub fn waits(&self) -> bool {
        self.0.is_some()
    }

    /// When to tell; never while nothing changed.
    pub fn due(&self) -> Option<Instant> {
        self.0
            .map(|waiting| (waiting.last + QUIET).min(waiting.first + MOST))
    }

    /// Whether to tell now; what was noticed counts as told then.
    pub fn take(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.0 = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_change_is_told_after_it_was_quiet() {
        let start = Instant::now();
        let mut quiet = Quiet::default();
        assert_eq!(quiet.due(), None);
        assert!(!quiet.take(start + MOST));
        quiet.noticed(start);
        quiet.noticed(start + QUIET / 2);
        assert!(!quiet.take(start + QUIET));
        assert!(quiet.take(start + QUIET / 2 + QUIET));
        assert_eq!(quiet.due(), None);
    }

    #[test]
    fn a_change_is_told_even_when_it_never_is_quiet() {
        let start = Instant::now();
        let mut quiet = Quiet::default();
        let mut now = start;
        while now < start + MOST {
            assert!(!quiet.take(now));
            quiet.noticed(now);
            now += QUIET / 4;
        }
        assert!(quiet.take(start + MOST));
        quiet.noticed(start + MOST);
        assert_eq!(quiet.due().unwrap(), start + MOST + QUIET);
    }
}
