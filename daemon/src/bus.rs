//! The public bus: objects, the gate in front of them, and the task that tells what changed.
//!
//! Everything that D-Bus knows and nobody else has to (headers, paths, connections) stays here. A
//! method body parses, passes the [`gate`], calls the broker and maps the answer.

mod account;
mod arguments;
mod devices;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod gate;
mod job;
mod manager;
mod publisher;

use std::sync::Arc;

use mooring_api::{ACCOUNTS_PATH, BUS_NAME, JOBS_PATH, ROOT_PATH};
use zbus::fdo::{ObjectManager, RequestNameFlags, RequestNameReply};
use zbus::{Connection, OwnedObjectPath};

use crate::broker::Broker;
use crate::published::Published;

use gate::Gate;
pub use publisher::Publisher;

/// What every object of the bus needs.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) broker: Arc<Broker>,
    pub(crate) gate: Gate,
    /// The state of the world that the publisher has told.
    told: tokio::sync::watch::Receiver<u64>,
}

impl Shared {
    /// Waits until everything that has happened so far has been told: whoever gets the answer of
    /// a method finds the objects it speaks of.
    async fn told(&self) {
        let now = publisher::version(&self.broker);
        let mut told = self.told.clone();
        // An error means that the publisher, and so the connection, has ended.
        let _ = told.wait_for(|version| *version >= now).await;
    }

    fn published(&self) -> tokio::sync::watch::Ref<'_, Published> {
        self.broker.published.borrow()
    }
}

/// Where an account is.
fn account_path(id: &str) -> OwnedObjectPath {
    path(&format!("{ACCOUNTS_PATH}/{id}"))
}

/// Where a job is.
fn job_path(number: u64) -> OwnedObjectPath {
    path(&format!("{JOBS_PATH}/{number}"))
}

/// IDs and numbers are letters and digits: their paths are always valid.
fn path(text: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text).unwrap_or_default()
}

/// Why the daemon is not on the bus.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon owns the name.
    #[error("another daemon owns {BUS_NAME} on this bus")]
    Taken,
    /// The bus says no.
    #[error("the bus: {0}")]
    Bus(#[from] zbus::Error),
}

/// Serves everything on a connection, what was under way as well, and only then asks for the
/// name: whoever finds the daemon finds all of it. With the name, the work goes on.
///
/// # Errors
/// When the name is taken, the bus fails, or the state cannot be read.
pub async fn serve(
    connection: &Connection,
    broker: &Arc<Broker>,
) -> Result<Publisher, Box<dyn std::error::Error + Send + Sync>> {
    let (told_version, told) = tokio::sync::watch::channel(0);
    let gate = Gate::new(broker.mode, broker.uid);
    let shared = Shared {
        broker: broker.clone(),
        gate,
        told,
    };
    let server = connection.object_server();
    server.at(ROOT_PATH, ObjectManager).await?;
    server
        .at(ROOT_PATH, manager::ManagerObject::new(shared.clone()))
        .await?;
    let work = broker.resume()?;
    let mut publisher = Publisher::new(connection.clone(), shared, told_version);
    publisher.tell().await?;
    let flags = RequestNameFlags::DO_NOT_QUEUE;
    match connection.request_name_with_flags(BUS_NAME, flags).await {
        Ok(RequestNameReply::PrimaryOwner) => {
            work.into_iter().for_each(|work| broker.spawn(work));
            broker.spawn(crate::background::run(broker.clone()));
            broker.spawn(crate::devices::run(broker.clone()));
            broker.spawn(crate::sessions::run(broker.clone()));
            broker.spawn(crate::surroundings::run(broker.clone()));
            Ok(publisher)
        }
        Ok(_) | Err(zbus::Error::NameTaken) => Err(Error::Taken.into()),
        Err(error) => Err(Error::Bus(error).into()),
    }
}
