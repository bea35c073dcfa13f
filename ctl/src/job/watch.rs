//! What the daemon's jobs tell, caught from before the first call on, so that nothing is missed.
//!
//! Signals only wake; what is so is then read. The one thing kept from a signal is a job's
//! outcome, because the object may be gone before it can be read.

use std::collections::VecDeque;
use std::pin::Pin;

use futures_core::Stream;
use mooring_api::{BUS_NAME, JOBS_PATH, JobOutcome};
use tokio::sync::watch;
use zbus::message::Type as MessageType;
use zbus::names::OwnedUniqueName;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath};

use crate::exit::Result;

/// How many outcomes are remembered until somebody asks for them.
const MAX_OUTCOMES: usize = 64;

/// What was heard so far.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// False while nobody owns the daemon's name.
    pub gone: bool,
    /// True when the bus itself is gone: nothing more will be heard.
    pub closed: bool,
    outcomes: VecDeque<(OwnedObjectPath, JobOutcome)>,
}

impl Heard {
    /// How a job ended, when it told so.
    pub fn outcome(&self, job: &OwnedObjectPath) -> Option<&JobOutcome> {
        self.outcomes
            .iter()
            .find(|(path, _)| path == job)
            .map(|(_, outcome)| outcome)
    }
}

/// Hears the daemon's jobs until dropped.
pub struct Watch {
    heard: watch::Receiver<Heard>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    /// Subscribes.
    ///
    /// # Errors
    /// When the bus is gone.
    pub async fn new(connection: &Connection) -> Result<Self> {
        let (jobs, owner) = subscribe(connection, JOBS_PATH).await?;
        let (sender, heard) = watch::channel(Heard::default());
        let task = tokio::spawn(listen(
            jobs,
            owner,
            current_owner(connection).await?,
            sender,
        ));
        Ok(Self { heard, task })
    }

    /// A receiver that has seen everything up to now.
    pub fn subscribe(&self) -> watch::Receiver<Heard> {
        self.heard.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Drains both streams without ever waiting for a reader: a queue left alone would block the
/// whole connection.
async fn listen(
    mut jobs: MessageStream,
    mut names: MessageStream,
    mut owner: Option<OwnedUniqueName>,
    sender: watch::Sender<Heard>,
) {
    loop {
        let message = tokio::select! {
            message = next(&mut jobs) => message,
            message = next(&mut names) => message,
        };
        match message {
            Some(Ok(message)) => sender.send_modify(|heard| note(heard, &mut owner, &message)),
            Some(Err(_)) | None => {
                sender.send_modify(|heard| heard.closed = true);
                return;
            }
        }
    }
}

/// Any peer may send a signal to us alone and call it what it likes: only the bus is believed
/// about names, and only the owner of the daemon's name about jobs.
fn note(heard: &mut Heard, owner: &mut Option<OwnedUniqueName>, message: &Message) {
    let header = message.header();
    let sender = header.sender().map(|name| name.as_str());
    match header.member().map(|member| member.as_str()) {
        Some("NameOwnerChanged") if sender == Some("org.freedesktop.DBus") => {
            if let Ok((_, _, new)) = message.body().deserialize::<(&str, &str, &str)>() {
                heard.gone = new.is_empty();
                *owner = OwnedUniqueName::try_from(new.to_owned()).ok();
            }
        }
        Some("Finished") if sender.is_some() && sender == owner.as_deref().map(|o| o.as_str()) => {
            if let (Some(path), Ok(outcome)) =
                (header.path(), message.body().deserialize::<JobOutcome>())
            {
                heard.outcomes.push_back((path.to_owned().into(), outcome));
                if heard.outcomes.len() > MAX_OUTCOMES {
                    heard.outcomes.pop_front();
                }
            }
        }
        // A change of a property: waking up is enough.
        _ => {}
    }
}

/// Subscribes to what the daemon signals below a path, and to who owns its name.
pub(super) async fn subscribe(
    connection: &Connection,
    below: &str,
) -> Result<(MessageStream, MessageStream)> {
    let own = MatchRule::builder()
        .msg_type(MessageType::Signal)
        .sender(BUS_NAME)
        .path_namespace(below)
        .build()?;
    let owner = MatchRule::builder()
        .msg_type(MessageType::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .arg(0, BUS_NAME)
        .build()?;
    let own = MessageStream::for_match_rule(own, connection, None).await?;
    let owner = MessageStream::for_match_rule(owner, connection, None).await?;
    Ok((own, owner))
}

pub(super) async fn current_owner(connection: &Connection) -> Result<Option<OwnedUniqueName>> {
    let reply = connection
        .call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus"),
            "GetNameOwner",
            &BUS_NAME,
        )
        .await;
    match reply {
        Ok(reply) => Ok(Some(reply.body().deserialize()?)),
        // Not started yet: the first call may start it.
        Err(zbus::Error::FDO(e)) if matches!(*e, zbus::fdo::Error::NameHasNoOwner(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

pub(super) async fn next(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}
