//! What the device runs on and how it is connected, as UPower and NetworkManager tell it on the
//! system bus; and the rest that accounts take because of it.
//!
//! Nothing is asked for that no setting and no rule cares about, and nothing is polled: both services tell when
//! something changes, and the bus tells when they come and go. Without a system bus, or without
//! the service, the fact is not known; then nothing rests, and `Diagnose` says so.

mod peers;

use std::sync::Arc;

use mooring_core::rest::{Surroundings, Wish, asks_where, rest};
use tokio::sync::Mutex;
use zbus::Connection;

use crate::broker::Broker;
use crate::published::{AccountView, Holder};
use crate::rules::InForce;

/// The connection to this machine's system bus, for all brokers of this process.
static SHARED: Mutex<Option<Connection>> = Mutex::const_new(None);

/// Follows the facts that settings and rules ask for, until the broker stops.
pub async fn run(broker: Arc<Broker>) {
    let mut rules = broker.rules.changes();
    let mut bus = None;
    loop {
        let asked = asked(&rules.borrow_and_update());
        tell(&broker, |now| *now = Surroundings::default());
        let changed = async {
            while self::asked(&rules.borrow_and_update()) == asked {
                rules.changed().await?;
            }
            Ok::<_, tokio::sync::watch::error::RecvError>(())
        };
        tokio::select! {
            () = follow(&broker, &mut bus, asked) => {}
            going_on = changed => if going_on.is_err() {
                return;
            },
        }
    }
}

/// The facts that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    wish: Wish,
    network: bool,
}

fn asked(in_force: &InForce) -> Asked {
    let wish = in_force.settings.rest;
    let rules = in_force.standing.policy().asks_for_network();
    Asked {
        wish,
        network: rules || wish.asks_for_network(),
    }
}

/// Follows for ever.
async fn follow(broker: &Broker, bus: &mut Option<Connection>, asked: Asked) {
    if !asked.wish.asks_for_power() && !asked.network {
        *bus = None;
        return std::future::pending().await;
    }
    let connection = match bus.clone() {
        Some(connection) => connection,
        None => match connect(broker.system_bus.as_deref()).await {
            Ok(connection) => bus.insert(connection).clone(),
            Err(error) => {
                tracing::info!(%error, "no system bus: power and network are not known");
                return std::future::pending().await;
            }
        },
    };
    let power = async {
        if asked.wish.asks_for_power() {
            ended(
                "power",
                peers::power(&connection, |f| tell(broker, f)).await,
            );
            tell(broker, |now| (now.on_battery, now.percent) = (None, None));
        }
    };
    let network = async {
        if asked.network {
            ended(
                "network",
                peers::network(&connection, |f| tell(broker, f)).await,
            );
            tell(broker, |now| now.metered = None);
        }
    };
    tokio::join!(power, network);
    // The bus is gone, and with it whoever could tell that it is back.
    std::future::pending().await
}

async fn connect(address: Option<&str>) -> zbus::Result<Connection> {
    match address {
        Some(address) => zbus::connection::Builder::address(address).build().await,
        None => {
            let mut shared = SHARED.lock().await;
            match &*shared {
                Some(connection) if !connection.is_closed() => Ok(connection.clone()),
                _ => Ok(shared.insert(Connection::system().await?).clone()),
            }
        }
    }
}

fn ended(what: &str, how: zbus::Result<()>) {
    match how {
        Ok(()) => tracing::warn!(what, "the system bus tells nothing any more"),
        Err(error) => tracing::warn!(what, %error, "the system bus does not tell"),
    }
}

fn tell(broker: &Broker, change: impl FnOnce(&mut Surroundings)) {
    let before = broker.published.borrow().surroundings;
    let mut now = before;
    change(&mut now);
    if now != before {
        tracing::info!(?now, "the surroundings");
        broker.update(|p| p.surroundings = now);
    }
}

impl Broker {
    /// Lets every account rest that has to, and wakes those that need not any more. Answers
    /// whether it matters now where a storage is.
    pub fn settle_rest(&self, asked: bool) -> bool {
        let wish = self.rules.in_force().settings.rest;
        let published = self.published.borrow();
        let now = published.surroundings;
        let asks = asks_where(wish, now);
        let turned = asks && !asked;
        let next = |view: &AccountView| {
            let remote = if asks { view.remote } else { None };
            let rest = rest(wish, now, remote);
            let begins = rest.is_some() && rest != view.rest;
            // A sync that began before the network was metered finds out where its storage is.
            let stops = (begins || turned && remote.is_none()) && view.holder == Holder::Background;
            (remote, rest, view.wanted || stops)
        };
        let differs = published
            .accounts
            .values()
            .any(|view| next(view) != (view.remote, view.rest, view.wanted));
        drop(published);
        if differs {
            self.update(|p| {
                for view in p.accounts.values_mut().map(Arc::make_mut) {
                    let rest = view.rest;
                    (view.remote, view.rest, view.wanted) = next(view);
                    if view.rest != rest {
                        let why = view.rest.map(mooring_core::rest::Rest::name);
                        tracing::info!(account = view.account.id, why, "rests, or not any more");
                    }
                }
            });
        }
        asks
    }

    /// Whether an account, which is about to be synced by itself, has to rest. Looks where its
    /// storage is, if that matters now: another one may be mounted there than before.
    pub async fn has_to_rest(&self, id: &str, storage: &[u8]) -> bool {
        let wish = self.rules.in_force().settings.rest;
        if !asks_where(wish, self.published.borrow().surroundings) {
            return false;
        }
        let asked = self.workers.call_about(id, |live| {
            let storage = storage.to_vec();
            Box::pin(async move { Ok(live.proxy().is_remote(&storage).await?) })
        });
        // One that cannot be looked at has another trouble, which the sync will tell.
        let remote = match asked.await {
            Ok(remote) => Some(remote),
            Err(error) => {
                tracing::debug!(account = id, %error, "where the storage is, is not known");
                None
            }
        };
        let now = self.published.borrow().surroundings;
        self.change_account(id, |view| view.remote = remote);
        rest(wish, now, remote).is_some()
    }
}
