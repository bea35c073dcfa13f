//! When an account is synced by itself. Takes values and returns values; the clock is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time from the end of a sync to the next one by itself.
const GAP: Duration = Duration::from_millis(200);
/// The first wait after a failure; it doubles with each further one, up to the time between looks.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// How often an account is looked at whose changes are all told.
const SAFETY: Duration = Duration::from_secs(60 * 60);

/// How a sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did what it could.
    Synced {
        /// Whether every further change will be told, and no file has to wait.
        settled: bool,
        /// How long it took.
        took: Duration,
    },
    /// Something has to be put right.
    Failed,
    /// It made room for something that a person wants.
    MadeRoom,
}

/// How often to look where changes are not told.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The time between two looks.
    pub poll: Duration,
    /// Moves that time within a tenth to either side, so that devices do not look all at once.
    pub jitter: u8,
}

impl Pace {
    fn next(self) -> Duration {
        self.poll - self.poll / 10 + self.poll / 5 * u32::from(self.jitter) / 255
    }
}

/// The turns of all accounts.
#[derive(Debug, Default)]
pub struct Schedule(BTreeMap<String, Turn>);

#[derive(Debug)]
struct Turn {
    due: Instant,
    /// Changes do not make it earlier than this.
    not_before: Instant,
    failures: u32,
    running: bool,
    /// Something changed while it ran.
    again: bool,
}

impl Schedule {
    /// Follows the accounts that come and go. One that is new is due.
    pub fn follow(&mut self, accounts: &BTreeSet<String>, now: Instant) {
        self.0.retain(|id, _| accounts.contains(id));
        for id in accounts {
            self.0.entry(id.clone()).or_insert_with(|| Turn {
                due: now,
                not_before: now,
                failures: 0,
                running: false,
                again: false,
            });
        }
    }

    /// Something changed.
    pub fn changed(&mut self, id: &str, now: Instant) {
        if let Some(turn) = self.0.get_mut(id) {
            turn.again = turn.running;
            turn.due = turn.due.min(turn.not_before.max(now));
        }
    }

    /// Something may have changed anywhere: nobody watches any more.
    pub fn unwatched(&mut self, now: Instant) {
        let all: Vec<String> = self.0.keys().cloned().collect();
        for id in all {
            self.changed(&id, now + GAP);
        }
    }

    /// Those of the `ready` whose turn it is; they count as begun.
    pub fn begin(&mut self, ready: &BTreeSet<String>, now: Instant) -> Vec<String> {
        let due = |(id, turn): (&String, &mut Turn)| {
            let due = !turn.running && turn.due <= now && ready.contains(id);
            turn.running |= due;
            due.then(|| id.clone())
        };
        self.0.iter_mut().filter_map(due).collect()
    }

    /// The next time at which a turn of the `ready` comes.
    pub fn next(&self, ready: &BTreeSet<String>) -> Option<Instant> {
        let waiting = |(id, turn): (&String, &Turn)| {
            (!turn.running && ready.contains(id)).then_some(turn.due)
        };
        self.0.iter().filter_map(waiting).min()
    }

    /// A sync ended.
    pub fn ended(&mut self, id: &str, ended: Ended, pace: Pace, now: Instant) {
        let Some(turn) = self.0.get_mut(id) else {
            return;
        };
        turn.running = false;
        let again = std::mem::take(&mut turn.again);
        match ended {
            Ended::Synced { settled, took } => {
                turn.failures = 0;
                // Never at work for more than half of the time.
                turn.not_before = now + took.clamp(GAP, pace.poll.max(GAP));
                turn.due = match (again, settled) {
                    (true, _) => turn.not_before,
                    (false, true) => now + SAFETY.max(pace.poll),
                    (false, false) => (now + pace.next()).max(turn.not_before),
                };
            }
            Ended::Failed => {
                let doubled = 1u32.checked_shl(turn.failures).unwrap_or(u32::MAX);
                turn.failures = turn.failures.saturating_add(1);
                let wait = FIRST_RETRY.saturating_mul(doubled).min(pace.next());
                turn.due = now + wait;
                turn.not_before = turn.due;
            }
            Ended::MadeRoom => {
                turn.not_before = now + GAP;
                turn.due = turn.not_before;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const PACE: Pace = Pace {
        poll: Duration::from_secs(600),
        jitter: 0,
    };
    const SETTLED: Ended = Ended::Synced {
        settled: true,
        took: Duration::ZERO,
    };

    fn one() -> (Schedule, BTreeSet<String>, Instant) {
        let mut schedule = Schedule::default();
        let (all, now) = (BTreeSet::from(["a".to_owned()]), Instant::now());
        schedule.follow(&all, now);
        assert_eq!(schedule.begin(&all, now), ["a"]);
        assert_eq!(schedule.next(&all), None);
        (schedule, all, now)
    }

    #[test]
    fn what_is_watched_is_looked_at_rarely_and_else_often() {
        let (mut schedule, all, now) = one();
        schedule.ended("a", SETTLED, PACE, now);
        assert_eq!(schedule.next(&all), Some(now + SAFETY));
        assert!(schedule.begin(&all, now + SAFETY / 2).is_empty());
        assert_eq!(schedule.begin(&all, now + SAFETY), ["a"]);
        let unsettled = Ended::Synced {
            settled: false,
            took: Duration::ZERO,
        };
        schedule.ended("a", unsettled, PACE, now);
        assert_eq!(schedule.next(&all), Some(now + Duration::from_secs(540)));
        let late = Pace {
            jitter: 255,
            ..PACE
        };
        assert_eq!(late.next(), Duration::from_secs(660));
    }

    #[test]
    fn a_change_is_due_at_once_but_not_right_after_a_long_sync() {
        let (mut schedule, all, now) = one();
        let long = Duration::from_secs(40);
        let synced = Ended::Synced {
            settled: true,
            took: long,
        };
        schedule.ended("a", synced, PACE, now);
        schedule.changed("a", now);
        assert_eq!(schedule.next(&all), Some(now + long));
        let later = now + 2 * long;
        assert_eq!(schedule.begin(&all, later), ["a"]);
        // Seen or not by the sync under way: it is done again.
        schedule.changed("a", later);
        schedule.ended("a", SETTLED, PACE, later);
        assert_eq!(schedule.next(&all), Some(later + GAP));
    }

    #[test]
    fn failures_are_tried_again_after_ever_longer_waits() {
        let (mut schedule, all, mut now) = one();
        let mut waits = Vec::new();
        for _ in 0..40 {
            schedule.ended("a", Ended::Failed, PACE, now);
            // Changes do not make it earlier.
            schedule.changed("a", now);
            schedule.unwatched(now);
            let next = schedule.next(&all).unwrap();
            waits.push((next - now).as_secs());
            now = next;
            assert_eq!(schedule.begin(&all, now), ["a"]);
        }
        assert_eq!(waits[..4], [2, 4, 8, 16]);
        assert_eq!(waits[39], 540);
        schedule.ended("a", SETTLED, PACE, now);
        schedule.begin(&all, now + SAFETY);
        schedule.ended("a", Ended::Failed, PACE, now);
        assert_eq!(schedule.next(&all), Some(now + FIRST_RETRY));
    }

    #[test]
    fn who_is_not_ready_waits_without_a_timer() {
        let (mut schedule, all, now) = one();
        schedule.ended("a", Ended::MadeRoom, PACE, now);
        let none = BTreeSet::new();
        assert_eq!(schedule.next(&none), None);
        assert!(schedule.begin(&none, now + SAFETY).is_empty());
        assert_eq!(schedule.begin(&all, now + GAP), ["a"]);
        schedule.follow(&none, now);
        schedule.ended("a", SETTLED, PACE, now);
        assert_eq!(schedule.next(&all), None);
    }
}
