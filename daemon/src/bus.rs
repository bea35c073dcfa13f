//! The public bus: objects, the gate in front of them, and the task that tells what changed.
//!
//! Everything that D-Bus knows and nobody else has to (headers, paths, connections) stays here. A
//! method body parses, passes the [`gate`], calls the broker and maps the answer.

mod account;
pub mod actions;
mod arguments;
mod bundle;
mod devices;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod gate;
mod job;
mod manager;
mod map;
mod objects;
pub mod pace;
mod persons;
mod publisher;

use std::sync::Arc;

use mooring_api::{ACCOUNTS_PATH, BUS_NAME, JOBS_PATH, ROOT_PATH};
use tokio::sync::mpsc;
use zbus::fdo::{RequestNameFlags, RequestNameReply};
use zbus::message::Header;
use zbus::{Connection, OwnedObjectPath};

use crate::account::Account;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::folders::Mode;
use crate::people::People;
use crate::polkit::About;
use crate::published::Published;

use gate::{Caller, Gate};
use persons::Persons;

/// What every object of the bus needs.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) broker: Arc<Broker>,
    pub(crate) gate: Gate,
    /// What the publisher has told of each object.
    objects: objects::Kept,
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

    /// Lets a call in, or not, that is about an account.
    async fn admit(
        &self,
        header: &Header<'_>,
        connection: &Connection,
        id: &str,
    ) -> Result<Caller, Failure> {
        self.admit_by(header, connection, id, |_| Ok(())).await
    }

    /// The same where the organisation has a say. Its `policy` is asked about the account.
    async fn admit_by(
        &self,
        header: &Header<'_>,
        connection: &Connection,
        id: &str,
        policy: impl FnOnce(&Account) -> Result<(), Failure>,
    ) -> Result<Caller, Failure> {
        let account = self.published().account(id)?.account.clone();
        let about = About::identity(&account.identity);
        let arrived = self.gate.arrive(header, connection).await?;
        arrived.let_in(connection, about, || policy(&account)).await
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

/// Everything that is served.
pub struct Serving {
    ended: mpsc::Receiver<zbus::Result<()>>,
}

impl Serving {
    /// Serves until something cannot be told any more.
    ///
    /// # Errors
    /// What went wrong with it.
    pub async fn run(mut self) -> zbus::Result<()> {
        // Without an end of anything, none is left to tell: then all of it has ended.
        self.ended.recv().await.unwrap_or(Ok(()))
    }
}

/// Serves everything on a connection, what was under way as well, and only then asks for the
/// name: whoever finds the daemon finds all of it. With the name, the work goes on.
///
/// # Errors
/// When the name is taken, the bus fails, or the state cannot be read.
pub async fn serve(
    connection: &Connection,
    people: Arc<People>,
) -> Result<Serving, Box<dyn std::error::Error + Send + Sync>> {
    let (sender, ended) = mpsc::channel(1);
    let persons = Arc::new(Persons::new(people, connection.clone(), sender));
    let server = connection.object_server();
    server
        .at(ROOT_PATH, objects::Objects::new(persons.clone()))
        .await?;
    server
        .at(ROOT_PATH, manager::ManagerObject::new(persons.clone()))
        .await?;
    if persons.people().mode() == Mode::System {
        map::put_up(server, &persons).await?;
    }
    let ready = persons.prepare_all().await?;
    let flags = RequestNameFlags::DO_NOT_QUEUE;
    match connection.request_name_with_flags(BUS_NAME, flags).await {
        Ok(RequestNameReply::PrimaryOwner) => {
            ready.into_iter().for_each(|ready| persons.begin(ready));
            Ok(Serving { ended })
        }
        Ok(_) | Err(zbus::Error::NameTaken) => Err(Error::Taken.into()),
        Err(error) => Err(Error::Bus(error).into()),
    }
}
