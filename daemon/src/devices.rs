//! The other devices of a storage: who they are, asking one to sign out, and heeding those that
//! ask this one.
//!
//! A request proves only that somebody can write into the storage. So policy decides here, as about
//! another device, and what it allows is a sign-out as any other: drained, read back, receipted,
//! and undone by whoever sits here as long as nothing was removed. A request counts once: what
//! became of it is durable before its file goes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mooring_api as api;
use mooring_core::account::{Event, State};
use mooring_core::policy::{Actor, Verb};
use mooring_core::receipt::timestamp;
use mooring_wire::{Device, DeviceRequest};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::failure::Failure;
use crate::published::{AccountView, Holder};
use crate::random;

/// How long the storage may take to show its requests, and to take an answer: they are looked at
/// again later.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the clock is looked at while a request waits for its hours: a timer knows nothing of a
/// clock that is turned, or of a device that slept.
const HOURS_EVERY: Duration = Duration::from_secs(30);

/// What a device that asks is told.
pub mod word {
    /// The sign-out is under way.
    pub const SIGNING_OUT: &str = "signing-out";
    /// It has not begun: policy there wants it at other hours.
    pub const WAITING: &str = "waiting";
    /// It waits for somebody there.
    pub const BLOCKED: &str = "blocked";
    /// Policy there does not allow it.
    pub const DENIED: &str = "denied";
    /// Somebody there cancelled it.
    pub const CANCELLED: &str = "cancelled";
}

impl Broker {
    /// The devices that use an account's storage, this one first, and those that left.
    ///
    /// # Errors
    /// [`Failure::Busy`] when a job is under way; when the storage cannot be reached.
    pub async fn devices(&self, id: &str) -> Result<Vec<api::Device>, Failure> {
        let looking = self.looking(id).await?;
        let found = looking
            .ask(|live, id| Box::pin(async move { live.proxy().devices(&id).await }))
            .await?;
        Ok(found.into_iter().map(shown).collect())
    }

    /// Asks another device to sign out; answers the request's ID.
    ///
    /// # Errors
    /// When there is no such device; [`Failure::Busy`]; when the storage cannot be reached.
    pub async fn ask_device(&self, id: &str, device: String) -> Result<String, Failure> {
        let request = random::hex::<16>()?;
        let looking = self.looking(id).await?;
        let asked = looking
            .ask(move |live, id| {
                let (device, request) = (device.clone(), request.clone());
                Box::pin(async move { live.proxy().ask_device(&id, &device, &request).await })
            })
            .await?;
        tracing::info!(
            account = id,
            request = asked,
            "another device is asked to sign out"
        );
        Ok(asked)
    }

    /// Looks whether another device asks for something, and does it or answers why not, or not yet.
    async fn heed_requests(self: &Arc<Self>, id: &str) -> Result<Heeded, Failure> {
        let looking = self.looking(id).await?;
        let requests =
            looking.ask(|live, id| Box::pin(async move { live.proxy().requests(&id).await }));
        let requests = tokio::time::timeout(PATIENCE, requests)
            .await
            .map_err(|_| Failure::Internal("the storage shows no requests in time".to_owned()))??;
        drop(looking);
        let mut heeded = Heeded::All;
        for request in requests {
            if let Some(why) = self.hours_to_wait_for(id)? {
                self.answer(id, &request, (word::WAITING, "waits", &why))
                    .await?;
                heeded = Heeded::SomeWait;
                continue;
            }
            match self.sign_out_for_device(id, &request).await {
                // The other requests come to their turn if this one is undone.
                Ok(_) => return Ok(heeded),
                Err(failure @ (Failure::PolicyDenied(_) | Failure::BackupRequired(_))) => {
                    self.count_refusal(&failure);
                    let why = format!("this is not allowed: {failure}");
                    self.answer(id, &request, (word::DENIED, "denied", &why))
                        .await?;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(heeded)
    }

    /// Until when policy lets no sign-out begin that another device wants, and who says so, if it is
    /// to begin then; none when it may begin now, or never. By the clock as it is at each look: one
    /// that was turned, or stood still meanwhile, is followed.
    fn hours_to_wait_for(&self, id: &str) -> Result<Option<String>, Failure> {
        let account = self.published.borrow().account(id)?.account.clone();
        let decision = self.decide(&account, Verb::SignOut, Actor::Device);
        let until = decision.waits_until(self.clock.now());
        Ok(until.map(|until| {
            let (when, why) = (timestamp(until), decision.refusal().unwrap_or_default());
            format!("it waits and begins at {when}: {why}")
        }))
    }

    /// Tells the device that asked, and whoever sits here.
    async fn answer(
        &self,
        id: &str,
        request: &DeviceRequest,
        (state, what, why): (&'static str, &str, &str),
    ) -> Result<(), Failure> {
        let looking = self.looking(id).await?;
        let (asked, said) = (request.id.clone(), why.to_owned());
        let answer = looking.ask(move |live, id| {
            let (asked, said) = (asked.clone(), said.clone());
            Box::pin(async move {
                let worker = live.proxy();
                worker.answer_request(&id, &asked, state, &said).await
            })
        });
        let late = |_| Failure::Internal("the storage takes no answer in time".to_owned());
        tokio::time::timeout(PATIENCE, answer)
            .await
            .map_err(late)??;
        drop(looking);
        let message = format!(
            "the device {} asked to sign out here, and {why}",
            request.device
        );
        // Each look says again what waits.
        let news = |view: &AccountView| {
            view.account.state == State::Active && view.account.message != message
        };
        let news = self.published.borrow().account(id).map(news);
        if news.unwrap_or(false) {
            tracing::warn!(account = id, request = request.id, message, "{what}");
            self.event(id, Event::Recovered, &message);
        }
        Ok(())
    }
}

/// What became of the requests of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heeded {
    /// All are answered.
    All,
    /// Some wait for the hours of policy.
    SomeWait,
}

/// Heeds the requests of other devices, until the broker stops.
pub async fn run(broker: Arc<Broker>) {
    let mut published = broker.published.subscribe();
    let mut due = everyone(&broker);
    let mut waiting = BTreeSet::new();
    let mut looked = Instant::now();
    loop {
        due.extend(broker.noticed.take_requests());
        due.extend(over(&broker, &mut waiting));
        let free: Vec<String> = {
            let published = published.borrow_and_update();
            due.retain(|id| published.account(id).is_ok_and(is_in_use));
            let free = |id: &&String| {
                let view = published.accounts.get(*id);
                view.is_some_and(|view| view.holder == Holder::Free)
            };
            due.iter().filter(free).cloned().collect()
        };
        for id in free {
            due.remove(&id);
            match broker.heed_requests(&id).await {
                Ok(Heeded::All) => {}
                Ok(Heeded::SomeWait) => {
                    waiting.insert(id);
                }
                // Whatever it is, the next sync or the next poll looks again.
                Err(failure) => {
                    tracing::info!(account = id, error = %failure, "no look at requests");
                }
            }
        }
        // Counted from the last look: what changes meanwhile does not put it off.
        let poll = poll(&broker).map(|every| looked + every);
        tokio::select! {
            changed = published.changed() => if changed.is_err() {
                return;
            },
            () = broker.noticed.more_requests() => {}
            () = tokio::time::sleep(HOURS_EVERY), if !waiting.is_empty() => {}
            () = later(poll) => {
                looked = Instant::now();
                due.extend(everyone(&broker));
            }
        }
    }
}

/// Takes those accounts out whose requests need wait no longer, or wait for nothing any more.
fn over(broker: &Broker, waiting: &mut BTreeSet<String>) -> BTreeSet<String> {
    let waits = |id: &String| {
        broker
            .hours_to_wait_for(id)
            .is_ok_and(|until| until.is_some())
    };
    let (still, over) = std::mem::take(waiting).into_iter().partition(waits);
    *waiting = still;
    over
}

/// When to look although nobody says so: never while every account is synced by itself, as each such
/// sync says so.
fn poll(broker: &Broker) -> Option<Duration> {
    let settings = &broker.rules.in_force().settings;
    let syncs = |view: &AccountView| {
        view.account.state == State::Active && !view.account.paused && view.rest.is_none()
    };
    let published = broker.published.borrow();
    let all = settings.continuous && published.accounts.values().all(|view| syncs(view));
    (!all).then(|| Duration::from_secs(60 * u64::from(settings.poll_minutes)))
}

async fn later(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn everyone(broker: &Broker) -> BTreeSet<String> {
    broker.published.borrow().accounts.keys().cloned().collect()
}

fn is_in_use(view: &AccountView) -> bool {
    matches!(view.account.state, State::Active | State::NeedsAttention(_))
}

fn shown(device: Device) -> api::Device {
    api::Device {
        name: device.name,
        sign_in_id: device.sign_in_id,
        this: device.this,
        identity: device.identity,
        collections: device.collections,
        pending: device.pending,
        held: device.held,
        last_seen: device.last_seen,
        state: device.state,
        message: device.message,
        receipt: device.receipt,
    }
}
