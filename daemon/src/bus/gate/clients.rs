//! Who is on the bus: which user each client is, and whom to tell what.
//!
//! A name of the bus (`:1.5`) is never given to another client, so what the bus once said of it
//! holds until it is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;
use zbus::Connection;
use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::fdo::DBusProxy;
use zbus::names::{BusName, OwnedUniqueName, UniqueName};

/// The most clients that are remembered. Of those beyond, the bus is asked at each call, and they
/// are told no changes.
pub const MAX_CLIENTS: usize = 4_096;
/// The most clients whose users are remembered where nobody hears who is gone.
const MAX_SEEN: usize = 256;

/// The clients that called, and are still there.
#[derive(Debug, Clone, Default)]
pub struct Clients(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By name; no user yet of whom the bus is just being asked.
    users: Mutex<BTreeMap<OwnedUniqueName, Option<u32>>>,
    /// Hears who is gone. One subscription for all: a bus gives each of its clients only some
    /// hundreds of them, and whoever connects often would use them up.
    listening: OnceCell<()>,
}

impl Clients {
    fn all(&self) -> MutexGuard<'_, BTreeMap<OwnedUniqueName, Option<u32>>> {
        let users = &self.0.users;
        users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user of a client of whom the bus has said so.
    pub fn known(&self, name: &UniqueName<'_>) -> Option<u32> {
        let name = OwnedUniqueName::from(name.to_owned());
        self.all().get(&name).copied().flatten()
    }

    /// The user of a client.
    ///
    /// # Errors
    /// When the bus does not say, as of one that is gone.
    pub async fn uid(&self, name: &UniqueName<'_>, connection: &Connection) -> zbus::Result<u32> {
        if let Some(uid) = self.known(name) {
            return Ok(uid);
        }
        let owned = OwnedUniqueName::from(name.to_owned());
        let bus = DBusProxy::new(connection).await?;
        self.0
            .listening
            .get_or_try_init(|| self.listen(&bus))
            .await?;
        self.expect(&owned);
        let name = BusName::Unique(name.as_ref());
        match bus.get_connection_unix_user(name).await {
            Ok(uid) => {
                self.found(&owned, uid);
                Ok(uid)
            }
            Err(error) => {
                self.gone(owned.as_str());
                Err(error.into())
            }
        }
    }

    /// Makes room for a client before the bus is asked: one that goes in between takes it along,
    /// and none that is gone is remembered.
    fn expect(&self, name: &OwnedUniqueName) {
        let mut all = self.all();
        if all.len() < MAX_CLIENTS {
            all.entry(name.clone()).or_insert(None);
        }
    }

    fn found(&self, name: &OwnedUniqueName, uid: u32) {
        if let Some(user) = self.all().get_mut(name) {
            *user = Some(uid);
        }
    }

    fn gone(&self, name: &str) {
        // A well-known name is not among them.
        if let Ok(name) = OwnedUniqueName::try_from(name) {
            self.all().remove(&name);
        }
    }

    async fn listen(&self, bus: &DBusProxy<'_>) -> zbus::Result<()> {
        let mut gone = bus.receive_name_owner_changed_with_args(&[(2, "")]).await?;
        let clients = self.clone();
        // Ends with the connection.
        tokio::spawn(async move {
            while let Some(signal) = gone.next().await {
                match signal.args() {
                    Ok(args) => clients.gone(args.name.as_str()),
                    Err(error) => tracing::warn!(%error, "an unreadable signal of the bus"),
                }
            }
        });
        Ok(())
    }

    /// The clients of which `meant` says so, by their users.
    pub fn of(&self, meant: impl Fn(u32) -> bool) -> Vec<OwnedUniqueName> {
        let all = self.all();
        all.iter()
            .filter(|(_, uid)| uid.is_some_and(&meant))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// The users of clients that called, where nobody is told anything and so nobody has to hear who is
/// gone: a daemon at rest is not woken by it. A flood then costs the bus no question for each call.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<BTreeMap<String, u32>>>);

impl Seen {
    /// The user of a client.
    ///
    /// # Errors
    /// When the bus does not say, as of one that is gone.
    pub async fn uid(&self, name: &UniqueName<'_>, connection: &Connection) -> zbus::Result<u32> {
        if let Some(uid) = self.all().get(name.as_str()) {
            return Ok(*uid);
        }
        let bus = DBusProxy::new(connection).await?;
        let asked = BusName::Unique(name.as_ref());
        let uid = bus.get_connection_unix_user(asked).await?;
        self.remember(name.as_str(), uid);
        Ok(uid)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, name: &str, uid: u32) {
        let mut all = self.all();
        if all.len() >= MAX_SEEN {
            // Most of them are gone; of the others the bus is asked once more.
            all.clear();
        }
        all.insert(name.to_owned(), uid);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn name(number: usize) -> OwnedUniqueName {
        OwnedUniqueName::try_from(format!(":1.{number}")).unwrap()
    }

    #[test]
    fn who_goes_while_the_bus_is_asked_is_not_remembered() {
        let clients = Clients::default();
        clients.expect(&name(1));
        assert!(clients.of(|_| true).is_empty(), "no user is known yet");
        clients.gone(":1.1");
        clients.found(&name(1), 1000);
        assert!(clients.all().is_empty());

        clients.expect(&name(2));
        clients.found(&name(2), 1000);
        assert_eq!(clients.of(|uid| uid == 1000), [name(2)]);
        assert!(clients.of(|uid| uid == 1001).is_empty());
        clients.gone("org.example");
        clients.gone(":1.2");
        assert!(clients.all().is_empty());
    }

    #[test]
    fn clients_are_bounded() {
        let clients = Clients::default();
        for number in 0..=MAX_CLIENTS {
            clients.expect(&name(number));
            clients.found(&name(number), 1000);
        }
        assert_eq!(clients.all().len(), MAX_CLIENTS);
    }

    #[test]
    fn what_is_remembered_of_clients_is_bounded() {
        let seen = Seen::default();
        for number in 0..2 * MAX_SEEN {
            seen.remember(&name(number), 1000);
            assert!(seen.all().len() <= MAX_SEEN);
        }
        let last = name(2 * MAX_SEEN - 1);
        assert_eq!(seen.all().get(last.as_str()), Some(&1000));
    }
}
