//! The people whose objects are on the bus: what serves each of them, made when it is first needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use mooring_api::BUS_NAME;
use tokio::sync::{Mutex, mpsc};
use zbus::Connection;
use zbus::message::Header;

use super::Shared;
use super::gate::{Arrived, Caller, Gate};
use super::objects::Kept;
use super::publisher::Publisher;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::launch::Later;
use crate::people::{ADMINISTRATOR, People};
use crate::polkit::About;
use crate::{background, devices, idle, sessions, surroundings};

/// Everybody who is served.
pub(crate) struct Persons {
    people: Arc<People>,
    gate: Gate,
    connection: Connection,
    served: Mutex<BTreeMap<u32, Shared>>,
    /// How a publisher ended: the daemon ends with it.
    ended: mpsc::Sender<zbus::Result<()>>,
}

/// A person whose objects are there, and whose work has not begun.
pub(super) struct Ready {
    broker: Arc<Broker>,
    publisher: Publisher,
    work: Vec<Later<'static, ()>>,
}

impl Persons {
    pub(super) fn new(
        people: Arc<People>,
        connection: Connection,
        ended: mpsc::Sender<zbus::Result<()>>,
    ) -> Self {
        let gate = Gate::new(people.mode(), people.device());
        Self {
            people,
            gate,
            connection,
            served: Mutex::default(),
            ended,
        }
    }

    /// All people.
    pub(super) fn people(&self) -> &People {
        &self.people
    }

    /// What serves each of those who are served.
    async fn all(&self) -> Vec<Shared> {
        self.served.lock().await.values().cloned().collect()
    }

    /// What serves each of those whose things whoever calls may see.
    ///
    /// # Errors
    /// As [`Gate::shows_to`].
    pub(super) async fn seen_by(
        &self,
        header: &Header<'_>,
        connection: &Connection,
    ) -> Result<Vec<Shared>, Failure> {
        let sight = self.gate.shows_to(header, connection).await?;
        let mut all = self.all().await;
        all.retain(|shared| sight.sees(shared.broker.uid));
        Ok(all)
    }

    /// Lets a call in that is about what belongs to whoever calls, and answers what serves them.
    pub(super) async fn admit(&self, header: &Header<'_>) -> Result<(Caller, Shared), Failure> {
        let arrived = self.gate.arrive_at_own(header, &self.connection).await?;
        let caller = arrived
            .let_in(&self.connection, About::default(), || Ok(()))
            .await?;
        let shared = self.of(caller.uid()).await?;
        Ok((caller, shared))
    }

    /// The same of a call that is not let in yet: the organisation is to be asked first.
    pub(super) async fn arrive<'m>(
        &self,
        header: &'m Header<'m>,
    ) -> Result<(Arrived<'m>, Shared), Failure> {
        let arrived = self.gate.arrive_at_own(header, &self.connection).await?;
        let shared = self.of(arrived.owner()).await?;
        Ok((arrived, shared))
    }

    /// What serves the owner of an account, if whoever is served by `own` may see it.
    pub(super) async fn with_account(&self, own: &Shared, id: &str) -> Shared {
        if own.broker.uid != ADMINISTRATOR {
            return own.clone();
        }
        let all = self.all().await;
        let owner = all
            .into_iter()
            .find(|shared| shared.published().accounts.contains_key(id));
        owner.unwrap_or_else(|| own.clone())
    }

    /// How the policy of the device came to be.
    pub(super) async fn policy_state(&self) -> String {
        let served = self.served.lock().await;
        let device = served.get(&self.people.device());
        device.map_or_else(String::new, |shared| {
            shared.published().policy_state.to_owned()
        })
    }

    /// What serves a person; from now on, if nothing did.
    async fn of(&self, uid: u32) -> Result<Shared, Failure> {
        let mut served = self.served.lock().await;
        if let Some(shared) = served.get(&uid) {
            return Ok(shared.clone());
        }
        let broker = self.people.broker(uid)?;
        let (shared, ready) = self.prepare(&broker).await?;
        served.insert(uid, shared.clone());
        self.begin(ready);
        tracing::info!(uid, "another person is served");
        Ok(shared)
    }

    /// Puts up the objects of everybody who has any, and of the device.
    ///
    /// # Errors
    /// When the device's own cannot be.
    pub(super) async fn prepare_all(&self) -> Result<Vec<Ready>, Failure> {
        let mut all = Vec::new();
        for broker in self.people.all() {
            let uid = broker.uid;
            match self.prepare(&broker).await {
                Ok((shared, ready)) => {
                    self.served.lock().await.insert(uid, shared);
                    all.push(ready);
                }
                Err(error) if uid == self.people.device() => return Err(error),
                // The others are not to wait for it. The next call of theirs tries again.
                Err(error) => {
                    tracing::error!(uid, %error, "the accounts of this person cannot be served");
                }
            }
        }
        Ok(all)
    }

    async fn prepare(&self, broker: &Arc<Broker>) -> Result<(Shared, Ready), Failure> {
        let (told_version, told) = tokio::sync::watch::channel(0);
        let shared = Shared {
            broker: broker.clone(),
            gate: self.gate.of(broker.uid),
            objects: Kept::default(),
            told,
        };
        let work = broker.resume()?;
        let is_device = broker.uid == self.people.device();
        let mut publisher = Publisher::new(
            self.connection.clone(),
            shared.clone(),
            told_version,
            is_device,
        );
        let told = publisher.tell().await;
        told.map_err(|e| Failure::Internal(format!("{BUS_NAME} cannot be served: {e}")))?;
        let ready = Ready {
            broker: broker.clone(),
            publisher,
            work,
        };
        Ok((shared, ready))
    }

    /// Begins a person's work.
    pub(super) fn begin(&self, ready: Ready) {
        let Ready {
            broker,
            publisher,
            work,
        } = ready;
        work.into_iter().for_each(|work| broker.spawn(work));
        broker.spawn(background::run(broker.clone()));
        broker.spawn(devices::run(broker.clone()));
        broker.spawn(idle::run(broker.clone()));
        broker.spawn(sessions::run(broker.clone()));
        broker.spawn(surroundings::run(broker.clone()));
        let ended = self.ended.clone();
        tokio::spawn(async move {
            let how = publisher.run().await;
            // Nobody listens any more when the daemon ends already.
            let _ = ended.send(how).await;
        });
    }
}
