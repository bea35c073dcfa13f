//! Everything that the daemon signals, to be woken by it; the few that say more than what can be
//! read are kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mooring_api::ROOT_PATH;
use tokio::sync::Notify;
use zbus::names::OwnedUniqueName;
use zbus::{Message, MessageStream};

use super::watch::{current_owner, next, subscribe};
use crate::bus::Daemon;
use crate::exit::{Failure, Result};
use crate::text;

/// How many are kept until they are told; more than that come only when nobody reads.
const MAX_HEARD: usize = 256;

/// A signal that cannot be read again from a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Apps are told of a sign-out.
    SigningOut {
        /// The account's ID.
        account: String,
        /// False when it was given up.
        begins: bool,
    },
    /// The daemon came or went.
    Daemon {
        /// Whether it is there.
        here: bool,
    },
}

#[derive(Default)]
struct State {
    heard: VecDeque<Heard>,
    gone: bool,
    closed: bool,
}

#[derive(Default)]
struct Inbox {
    state: Mutex<State>,
    news: Notify,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears the daemon until dropped.
pub struct Signals {
    inbox: Arc<Inbox>,
    task: tokio::task::JoinHandle<()>,
}

impl Signals {
    /// Subscribes.
    ///
    /// # Errors
    /// When the bus is gone.
    pub async fn new(daemon: &Daemon) -> Result<Self> {
        let connection = daemon.connection();
        let (own, owners) = subscribe(connection, ROOT_PATH).await?;
        let inbox = Arc::new(Inbox::default());
        let owner = current_owner(connection).await?;
        let task = tokio::spawn(listen(own, owners, owner, inbox.clone()));
        Ok(Self { inbox, task })
    }

    /// Waits until something was signalled since the last call; answers what cannot be read.
    ///
    /// # Errors
    /// When the bus is gone.
    pub async fn next(&mut self) -> Result<Vec<Heard>> {
        self.inbox.news.notified().await;
        let mut state = self.inbox.state();
        if state.closed {
            return Err(Failure::unreachable("The bus is gone."));
        }
        Ok(state.heard.drain(..).collect())
    }

    /// What was signalled meanwhile and cannot be read; does not wait.
    pub async fn heard(&self) -> Vec<Heard> {
        // What came before an answer that was read is in the queue: its turn to be noted.
        tokio::task::yield_now().await;
        self.inbox.state().heard.drain(..).collect()
    }

    /// Whether the daemon is gone.
    pub fn gone(&self) -> bool {
        self.inbox.state().gone
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Drains both streams without ever waiting for a reader: a queue left alone would block the
/// whole connection.
async fn listen(
    mut own: MessageStream,
    mut owners: MessageStream,
    mut owner: Option<OwnedUniqueName>,
    inbox: Arc<Inbox>,
) {
    loop {
        let message = tokio::select! {
            message = next(&mut own) => message,
            message = next(&mut owners) => message,
        };
        match message {
            Some(Ok(message)) => note(&mut inbox.state(), &mut owner, &message),
            Some(Err(_)) | None => {
                inbox.state().closed = true;
                inbox.news.notify_one();
                return;
            }
        }
        inbox.news.notify_one();
    }
}

/// Any peer may send a signal to us alone: only the bus is believed about names, and only the
/// owner of the daemon's name about the rest.
fn note(state: &mut State, owner: &mut Option<OwnedUniqueName>, message: &Message) {
    let header = message.header();
    let sender = header.sender().map(|name| name.as_str());
    let heard = match header.member().map(|member| member.as_str()) {
        Some("NameOwnerChanged") if sender == Some("org.freedesktop.DBus") => {
            let body = message.body();
            let Ok((_, _, new)) = body.deserialize::<(&str, &str, &str)>() else {
                return;
            };
            state.gone = new.is_empty();
            *owner = OwnedUniqueName::try_from(new.to_owned()).ok();
            Heard::Daemon { here: !state.gone }
        }
        Some("SigningOut")
            if sender.is_some() && sender == owner.as_deref().map(|o| o.as_str()) =>
        {
            let (Some(path), Ok(begins)) = (header.path(), message.body().deserialize::<bool>())
            else {
                return;
            };
            let id = path.as_str().rsplit('/').next().unwrap_or_default();
            Heard::SigningOut {
                account: text::path(id.as_bytes()),
                begins,
            }
        }
        // A change of a property: waking up is enough.
        _ => return,
    };
    if state.heard.len() == MAX_HEARD {
        state.heard.pop_front();
    }
    state.heard.push_back(heard);
}
