//! The public bus: objects, the gate in front of them, and the task that tells what changed.
//!
//! Everything that D-Bus knows and nobody else has to (headers, paths, connections) stays here. A
//! method body parses, passes the [`gate`], calls the broker and maps the answer.

mod account;
mod arguments;
pub mod error;
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
