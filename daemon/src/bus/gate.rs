//! The one gate that every method passes, and whose default is *no*.
//!
//! [`ACTIONS`](super::actions::ACTIONS) lists every method with its action; one that is not listed
//! cannot be called, and a test holds the list to the introspection XML. What a method does needs a
//! [`Caller`], and only the gate makes one.

pub mod calls;
mod clients;

use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus::names::{BusName, OwnedUniqueName, UniqueName};

use crate::failure::Failure;
use crate::folders::Mode;
use crate::people::ADMINISTRATOR;
use crate::polkit::{About, Polkit};

use super::actions::{Action, action_of};
use calls::{Calls, Size, Underway};
use clients::{Clients, Seen};

/// Someone who passed the gate. Kept until the call is answered: so long it is under way.
#[derive(Debug)]
#[must_use]
pub struct Caller {
    owner: u32,
    _underway: Counted,
}

/// A call, counted as its client's and, where several people share the daemon, as its user's.
type Counted = (Underway, Option<Underway>);

impl Caller {
    /// The user whose accounts the call is about: the caller's own, unless an administrator calls.
    pub fn uid(&self) -> u32 {
        self.owner
    }

    /// Checks that a job is one of these.
    ///
    /// # Errors
    /// [`Failure::NotAuthorized`].
    pub fn expect(&self, uid: u32) -> Result<(), Failure> {
        if self.owner == uid {
            Ok(())
        } else {
            Err(refused("this job belongs to another user".to_owned()))
        }
    }
}

/// The gate in front of what belongs to one person.
#[derive(Debug, Clone)]
pub struct Gate {
    mode: Mode,
    owner: u32,
    calls: Calls,
    users: Calls,
    clients: Clients,
    seen: Seen,
}

/// A call that is known, and whose sender is, and of which nothing is decided.
struct Known<'m> {
    action: Action,
    sender: &'m UniqueName<'m>,
    uid: u32,
    interactive: bool,
    underway: Counted,
}

/// A call that stands at the gate: [`Arrived::let_in`] decides.
#[must_use]
pub struct Arrived<'m> {
    gate: Gate,
    known: Known<'m>,
    action: Action,
}

impl Arrived<'_> {
    /// The user whose accounts the call is about.
    pub fn owner(&self) -> u32 {
        self.gate.owner
    }

    /// Whether whoever calls may see what the call is about.
    fn sees(&self) -> bool {
        let sight = match self.gate.mode {
            Mode::Session => Sight(None),
            Mode::System => Sight(Some(self.known.uid)),
        };
        sight.sees(self.gate.owner)
    }

    /// Lets the call in, or not. What the organisation says (`policy`) comes before what polkit says:
    /// what it denies is no question for anybody's password. To whoever may not even see what the call
    /// is about it would tell of it: so they, as everybody in session mode, hear it where the call is
    /// carried out, and only there.
    ///
    /// # Errors
    /// What `policy` says; [`Failure::NotAuthorized`].
    pub async fn let_in(
        self,
        connection: &Connection,
        about: About,
        policy: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Caller, Failure> {
        let sees = self.sees();
        let Self {
            gate,
            known,
            action,
        } = self;
        if gate.mode == Mode::System {
            if sees {
                policy()?;
            }
            gate.permit(&known, action, connection, about).await?;
        }
        Ok(Caller {
            owner: gate.owner,
            _underway: known.underway,
        })
    }
}

impl Gate {
    /// The gate in front of what belongs to this user, of a broker that runs in this mode.
    pub fn new(mode: Mode, owner: u32) -> Self {
        Self {
            mode,
            owner,
            calls: Calls::of_clients(),
            users: Calls::of_users(),
            clients: Clients::default(),
            seen: Seen::default(),
        }
    }

    /// The same gate in front of what belongs to another.
    pub fn of(&self, owner: u32) -> Self {
        Self {
            owner,
            ..self.clone()
        }
    }

    /// Finds out who calls, of the bus, for the sender of this message.
    ///
    /// # Errors
    /// [`Failure::NotAuthorized`], also when the bus cannot say who calls; [`Failure::Busy`] when too
    /// many calls are under way.
    pub async fn arrive<'m>(
        &self,
        header: &'m Header<'m>,
        connection: &Connection,
    ) -> Result<Arrived<'m>, Failure> {
        let known = self.identify(header, connection).await?;
        self.clone().stop(known)
    }

    /// The same for a call that is about what belongs to whoever calls.
    ///
    /// # Errors
    /// As [`Gate::arrive`].
    pub async fn arrive_at_own<'m>(
        &self,
        header: &'m Header<'m>,
        connection: &Connection,
    ) -> Result<Arrived<'m>, Failure> {
        let known = self.identify(header, connection).await?;
        let owner = match self.mode {
            Mode::Session => self.owner,
            Mode::System => known.uid,
        };
        self.of(owner).stop(known)
    }

    fn stop(self, known: Known<'_>) -> Result<Arrived<'_>, Failure> {
        Ok(Arrived {
            action: self.decide(known.action, known.uid)?,
            gate: self,
            known,
        })
    }

    async fn identify<'m>(
        &self,
        header: &'m Header<'m>,
        connection: &Connection,
    ) -> Result<Known<'m>, Failure> {
        let interface = header.interface().map_or("", |name| name.as_str());
        let member = header.member().map_or("", |name| name.as_str());
        let action = action_of(interface, member)
            .ok_or_else(|| refused(format!("{interface}.{member} is not open to anyone")))?;
        let sender = header
            .sender()
            .ok_or_else(|| refused("nobody calls".to_owned()))?;
        // First of all: whoever floods is answered without a question to the bus.
        let of_client = self.calls.begin(sender, Size::of(header))?;
        let uid = match self.mode {
            Mode::Session => self.seen.uid(sender, connection).await,
            Mode::System => self.clients.uid(sender, connection).await,
        };
        let uid = uid.map_err(unknown)?;
        let of_user = match self.mode {
            Mode::Session => None,
            Mode::System => Some(self.users.count(&uid.to_string())?),
        };
        let flags = header.primary().flags();
        Ok(Known {
            action,
            sender,
            uid,
            interactive: flags.contains(Flags::ALLOW_INTERACTIVE_AUTH),
            underway: (of_client, of_user),
        })
    }

    /// Asks polkit. It says yes to root without being asked, and so root needs no polkit.
    async fn permit(
        &self,
        known: &Known<'_>,
        action: Action,
        connection: &Connection,
        about: About,
    ) -> Result<(), Failure> {
        if known.uid == ADMINISTRATOR {
            return Ok(());
        }
        let about = about.owned_by(self.owner);
        Polkit::new(connection)
            .permit(known.sender, action, known.interactive, &about)
            .await
    }

    /// Whether whoever calls may see what this gate stands in front of. On a session bus everybody
    /// is the same person, or could be.
    ///
    /// # Errors
    /// [`Failure::NotAuthorized`] when the bus cannot say who calls; [`Failure::Busy`] when too many
    /// wait for it to say so.
    pub async fn shows_to(
        &self,
        header: &Header<'_>,
        connection: &Connection,
    ) -> Result<Sight, Failure> {
        if self.mode == Mode::Session {
            return Ok(Sight(None));
        }
        let sender = header
            .sender()
            .ok_or_else(|| refused("nobody calls".to_owned()))?;
        if let Some(uid) = self.clients.known(sender) {
            return Ok(Sight(Some(uid)));
        }
        // Whatever waits for the bus has a place among the calls: what waits without one would keep
        // the answers of the bus from being read.
        let _underway = self.calls.begin(sender, Size::of(header))?;
        let uid = self.clients.uid(sender, connection).await;
        Ok(Sight(Some(uid.map_err(unknown)?)))
    }

    /// Who is to be told of what belongs to this user; none for everybody on the bus.
    pub fn audience(&self) -> Option<Vec<OwnedUniqueName>> {
        match self.mode {
            Mode::Session => None,
            Mode::System => {
                let sees = |uid| Sight(Some(uid)).sees(self.owner);
                Some(self.clients.of(sees))
            }
        }
    }

    /// The process that calls, for people to see; 0 when the bus does not say.
    pub async fn process(&self, header: &Header<'_>, connection: &Connection) -> u32 {
        let Some(sender) = header.sender() else {
            return 0;
        };
        let Ok(bus) = DBusProxy::new(connection).await else {
            return 0;
        };
        let name = BusName::Unique(sender.as_ref());
        bus.get_connection_unix_process_id(name).await.unwrap_or(0)
    }

    /// What somebody needs to be permitted, if they may be asked at all: in session mode nothing
    /// more, since one person owns the daemon, all or nothing.
    fn decide(&self, action: Action, uid: u32) -> Result<Action, Failure> {
        match self.mode {
            Mode::Session if uid == self.owner => Ok(action),
            Mode::Session => Err(refused(format!(
                "this daemon serves user {} only, not {uid}",
                self.owner
            ))),
            Mode::System if uid == self.owner => Ok(action),
            // Whatever it is, with the accounts of somebody else it is an administrator's.
            Mode::System => Ok(Action::Administer),
        }
    }
}

/// Whose things somebody sees.
#[derive(Debug, Clone, Copy)]
pub struct Sight(Option<u32>);

impl Sight {
    /// Whether what belongs to this user is seen.
    pub fn sees(self, owner: u32) -> bool {
        self.0
            .is_none_or(|uid| uid == owner || uid == ADMINISTRATOR)
    }
}

fn refused(message: String) -> Failure {
    Failure::NotAuthorized(message)
}

fn unknown(error: impl std::fmt::Display) -> Failure {
    refused(format!("the bus does not say who calls: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_the_owner_passes_on_a_session_bus() {
        let gate = Gate::new(Mode::Session, 1000);
        for action in Action::ALL {
            assert_eq!(gate.decide(action, 1000).unwrap(), action);
            for other in [0, 999, 1001, u32::MAX] {
                assert!(gate.decide(action, other).is_err());
            }
        }
    }

    #[test]
    fn what_is_somebody_elses_takes_an_administrator() {
        let gate = Gate::new(Mode::System, 1000);
        for action in Action::ALL {
            assert_eq!(gate.decide(action, 1000).unwrap(), action);
            for other in [0, 999, 1001, u32::MAX] {
                assert_eq!(gate.decide(action, other).unwrap(), Action::Administer);
            }
        }
    }

    #[test]
    fn ones_own_is_seen_and_by_the_administrator() {
        let sees = |uid| Sight(Some(uid)).sees(1000);
        assert!(sees(1000) && sees(ADMINISTRATOR));
        assert!(!sees(1001) && !sees(u32::MAX));
    }

    fn asks_from(client: usize) -> zbus::Message {
        let call = zbus::Message::method_call("/", "GetManagedObjects");
        let sender = format!(":1.{client}");
        call.sender(sender.as_str()).build(&()).unwrap()
    }

    #[tokio::test]
    async fn no_more_wait_for_the_bus_than_have_a_place() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let guid = zbus::Guid::generate();
        let ours = zbus::connection::Builder::unix_stream(ours)
            .server(guid)
            .p2p();
        // It reads, and answers nothing.
        let theirs = zbus::connection::Builder::unix_stream(theirs).p2p();
        let (ours, _silent) = tokio::try_join!(ours.build(), theirs.build()).unwrap();
        let gate = Gate::new(Mode::System, ADMINISTRATOR);
        let mut waiting = tokio::task::JoinSet::new();
        for client in 0..2 * calls::MAX_CALLS {
            let (gate, ours) = (gate.clone(), ours.clone());
            waiting.spawn(async move {
                let call = asks_from(client);
                gate.shows_to(&call.header(), &ours).await
            });
        }
        for _ in 0..calls::MAX_CALLS {
            let refused = waiting.join_next().await.unwrap().unwrap();
            assert!(matches!(refused, Err(Failure::Busy(_))), "{refused:?}");
        }
        assert_eq!(waiting.len(), calls::MAX_CALLS);
    }
}
