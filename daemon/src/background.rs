//! Keeps accounts in step by itself: when something changed, now and then, and again after a
//! failure, until the account is paused or leaves.
//!
//! Such a sync is no job: it publishes how the account stands and nothing else. It makes room for
//! whatever a person wants of the account, which then goes on where it stopped.

mod noticed;
mod schedule;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use mooring_core::account::{Reason, State};
use mooring_wire::SyncReport;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::published::{AccountView, Holder, Published};
use crate::random;

pub use noticed::Noticed;
use schedule::{Ended, Pace, Schedule};

/// How long a sync may go on when something else wants the account: a short one just ends.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is told to stop from then on, until it does.
const INTERRUPT_EVERY: Duration = Duration::from_secs(1);

/// Keeps every account in step, until the broker stops.
pub async fn run(broker: Arc<Broker>) {
    let mut published = broker.published.subscribe();
    let mut schedule = Schedule::default();
    let mut syncs: JoinSet<(String, Ended)> = JoinSet::new();
    let mut asks_where = false;
    loop {
        let settings = broker.rules.in_force().settings.clone();
        asks_where = broker.settle_rest(asks_where);
        let ready = {
            let published = published.borrow_and_update();
            schedule.follow(&accounts(&published, in_use), Instant::now());
            accounts(&published, |view| settings.continuous && is_ready(view))
        };
        let news = broker.noticed.take();
        for id in &news.changed {
            schedule.changed(id, Instant::now());
        }
        if news.unwatched {
            schedule.unwatched(Instant::now());
        }
        for id in schedule.begin(&ready, Instant::now()) {
            let broker = broker.clone();
            syncs.spawn(async move {
                let ended = broker.sync_in_background(&id).await;
                (id, ended)
            });
        }
        tokio::select! {
            Some(ended) = syncs.join_next() => match ended {
                Ok((id, ended)) => {
                    let pace = pace(settings.poll_minutes);
                    schedule.ended(&id, ended, pace, Instant::now());
                }
                Err(error) => tracing::error!(%error, "a sync failed inside"),
            },
            changed = published.changed() => if changed.is_err() {
                return;
            },
            () = broker.noticed.more() => {}
            () = until(schedule.next(&ready)) => {}
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn accounts(published: &Published, which: impl Fn(&AccountView) -> bool) -> BTreeSet<String> {
    let chosen = published.accounts.iter().filter(|(_, view)| which(view));
    chosen.map(|(id, _)| id.clone()).collect()
}

fn in_use(view: &AccountView) -> bool {
    matches!(view.account.state, State::Active | State::NeedsAttention(_))
}

fn is_ready(view: &AccountView) -> bool {
    let too_old = view.account.state == State::NeedsAttention(Reason::Reauthenticate);
    in_use(view)
        && !too_old
        && view.rest.is_none()
        && !view.account.paused
        && view.holder == Holder::Free
}

fn pace(poll_minutes: u16) -> Pace {
    let poll = Duration::from_secs(60 * u64::from(poll_minutes));
    // Without chance all devices look at the same time, which is no reason not to look.
    let jitter = random::bytes::<1>().map_or(u8::MAX / 2, |[byte]| byte);
    Pace { poll, jitter }
}

impl Broker {
    /// Stops keeping an account in step by itself, or takes it up again. Durable.
    ///
    /// # Errors
    /// [`Failure::Busy`] while a job is under way.
    pub async fn pause(&self, id: &str, paused: bool) -> Result<(), Failure> {
        let mut looking = self.looking(id).await?;
        looking.account.paused = paused;
        self.store.save_account(&looking.account)?;
        self.change_account(id, |view| view.account.paused = paused);
        drop(looking);
        tracing::info!(account = id, paused, "continuous sync");
        if !paused {
            self.noticed.changed(id);
        }
        Ok(())
    }

    async fn sync_in_background(&self, id: &str) -> Ended {
        // Whoever was faster goes first.
        let Ok(account) = self.update(|p| p.hold(id, Holder::Background)) else {
            return Ended::MadeRoom;
        };
        if self.has_to_rest(id, &account.storage).await {
            self.change_account(id, |view| {
                view.holder = Holder::Free;
                view.wanted = false;
            });
            return Ended::MadeRoom;
        }
        let began = Instant::now();
        let done = match self.expect_fresh(&account) {
            Ok(()) => self.make_room(id, self.watch_and_sync(&account)).await,
            Err(failure) => Err(failure),
        };
        let ended = match done {
            Ok((report, watched)) => {
                self.recovered(id);
                self.noticed.look_for_requests(id);
                self.count(&account).await;
                Ended::Synced {
                    settled: watched && report.pending_total == 0,
                    took: began.elapsed(),
                }
            }
            Err(Failure::Cancelled(_)) => Ended::MadeRoom,
            Err(Failure::ReauthRequired(_)) => {
                self.watch_sessions();
                Ended::MadeRoom
            }
            Err(failure) => {
                self.trouble(id, &failure);
                self.count_after(&account, &failure).await;
                Ended::Failed
            }
        };
        self.change_account(id, |view| {
            view.holder = Holder::Free;
            view.wanted = false;
        });
        ended
    }

    /// Does some work, and interrupts it when somebody else wants the account.
    async fn make_room<T>(
        &self,
        id: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        let mut changes = self.published.subscribe();
        let wanted = |p: &Published| p.accounts.get(id).is_some_and(|view| view.wanted);
        tokio::select! {
            done = &mut work => return done,
            // An error only when the broker itself is gone.
            _ = changes.wait_for(wanted) => {}
        }
        let mut again = interruptions();
        loop {
            tokio::select! {
                done = &mut work => return done.map_err(|failure| match failure {
                    // The worker's word for it.
                    Failure::Worker(mooring_wire::Error::Cancelled(why)) => Failure::Cancelled(why),
                    failure => failure,
                }),
                _ = again.tick() => self.workers.interrupt(id).await,
            }
        }
    }

    async fn watch_and_sync(&self, account: &Account) -> Result<(SyncReport, bool), Failure> {
        let read_back = self.rules.in_force().settings.read_back;
        let asked = self.workers.ask(account.spec(), move |live, id| {
            Box::pin(async move {
                // First the watch, so that no change falls between.
                let watched = live.proxy().watch(&id).await?;
                Ok((live.proxy().sync_told(&id, read_back).await?, watched))
            })
        });
        asked.await
    }
}

fn interruptions() -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + GRACE, INTERRUPT_EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
