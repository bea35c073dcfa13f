//! Who is on the bus: which user each client is, and whom to tell what.
//!
//! A name of the bus (`:1.5`) is never given to another client, so what the bus once said of it
//! holds until it is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zbus::Connection;
use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::fdo::DBusProxy;
use zbus::names::{BusName, OwnedUniqueName, UniqueName};

/// The most clients that are remembered. Of those beyond, the bus is asked at each call, and they
/// are told no changes.
pub const MAX_CLIENTS: usize = 4_096;

/// The clients that called, and are still there.
#[derive(Debug, Clone, Default)]
pub struct Clients(Arc<Mutex<BTreeMap<OwnedUniqueName, u32>>>);

impl Clients {
    fn all(&self) -> MutexGuard<'_, BTreeMap<OwnedUniqueName, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user of a client.
    ///
    /// # Errors
    /// When the bus does not say, as of one that is gone.
    pub async fn uid(&self, name: &UniqueName<'_>, connection: &Connection) -> zbus::Result<u32> {
        let owned = OwnedUniqueName::from(name.to_owned());
        if let Some(uid) = self.all().get(&owned) {
            return Ok(*uid);
        }
        let bus = DBusProxy::new(connection).await?;
        // Before it is asked for: one that goes in between is not missed.
        let mut gone = bus
            .receive_name_owner_changed_with_args(&[(0, name.as_str()), (2, "")])
            .await?;
        let uid = bus
            .get_connection_unix_user(BusName::Unique(name.as_ref()))
            .await?;
        let known = {
            let mut all = self.all();
            let room = all.len() < MAX_CLIENTS;
            room && all.insert(owned.clone(), uid).is_none()
        };
        if known {
            let clients = self.clone();
            tokio::spawn(async move {
                // The end of the stream is the end of the connection.
                gone.next().await;
                clients.all().remove(&owned);
            });
        }
        Ok(uid)
    }

    /// The clients of which `meant` says so, by their users.
    pub fn of(&self, meant: impl Fn(u32) -> bool) -> Vec<OwnedUniqueName> {
        let all = self.all();
        all.iter()
            .filter(|(_, uid)| meant(**uid))
            .map(|(name, _)| name.clone())
            .collect()
    }
}
