//! The one gate that every method passes, and whose default is *no*.
//!
//! [`METHODS`] lists every method with its class; one that is not listed cannot be called, and a
//! test holds the list to the introspection XML. What a method does needs a [`Caller`], and only
//! the gate makes one.

pub mod calls;

use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::BusName;

use crate::failure::Failure;
use crate::folders::Mode;

use calls::{Calls, Underway};

/// What a method does, as far as permission goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Looks, and changes nothing.
    Read,
    /// Does something to an account of the caller.
    OwnAccount,
    /// Does something to the daemon.
    Admin,
}

/// Every method that can be called.
pub const METHODS: &[(&str, &str, Class)] = &[
    ("org.mooring1.Manager", "Inspect", Class::OwnAccount),
    ("org.mooring1.Manager", "SignIn", Class::OwnAccount),
    ("org.mooring1.Manager", "Reload", Class::Admin),
    ("org.mooring1.Manager", "ShowPolicy", Class::Read),
    ("org.mooring1.Manager", "CheckPolicy", Class::Read),
    ("org.mooring1.Manager", "ExplainPolicy", Class::Read),
    ("org.mooring1.Manager", "SimulatePolicy", Class::OwnAccount),
    ("org.mooring1.Manager", "ListReceipts", Class::OwnAccount),
    ("org.mooring1.Manager", "ReadReceipt", Class::OwnAccount),
    ("org.mooring1.Manager", "Diagnose", Class::OwnAccount),
    ("org.mooring1.Manager", "Inhibit", Class::OwnAccount),
    ("org.mooring1.Manager", "ListInhibitors", Class::Read),
    ("org.mooring1.Account", "PlanSignOut", Class::OwnAccount),
    ("org.mooring1.Account", "SignOut", Class::OwnAccount),
    ("org.mooring1.Account", "ChangePassword", Class::OwnAccount),
    ("org.mooring1.Account", "ResetPassword", Class::OwnAccount),
    ("org.mooring1.Account", "Reauthenticate", Class::OwnAccount),
    ("org.mooring1.Account", "Repair", Class::OwnAccount),
    ("org.mooring1.Account.Files", "Sync", Class::OwnAccount),
    ("org.mooring1.Account.Files", "Backup", Class::OwnAccount),
    ("org.mooring1.Account.Files", "Restore", Class::OwnAccount),
    ("org.mooring1.Account.Files", "Verify", Class::OwnAccount),
    ("org.mooring1.Account.Files", "Why", Class::OwnAccount),
    ("org.mooring1.Account.Files", "Resolve", Class::OwnAccount),
    ("org.mooring1.Account.Files", "ListTrash", Class::OwnAccount),
    (
        "org.mooring1.Account.Files",
        "ListConflicts",
        Class::OwnAccount,
    ),
    ("org.mooring1.Account.Files", "Undelete", Class::OwnAccount),
    ("org.mooring1.Account.Files", "Pause", Class::OwnAccount),
    ("org.mooring1.Account.Files", "Resume", Class::OwnAccount),
    ("org.mooring1.Account.Devices", "List", Class::OwnAccount),
    ("org.mooring1.Account.Devices", "SignOut", Class::OwnAccount),
    ("org.mooring1.Job", "Cancel", Class::OwnAccount),
    ("org.mooring1.Job", "Retry", Class::OwnAccount),
    ("org.mooring1.Job", "Authenticate", Class::OwnAccount),
];

/// Someone who passed the gate. Kept until the call is answered: so long it is under way.
#[derive(Debug)]
#[must_use]
pub struct Caller {
    uid: u32,
    _underway: Underway,
}

impl Caller {
    /// The user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Checks that a job is the caller's.
    ///
    /// # Errors
    /// [`Failure::NotAuthorized`].
    pub fn expect(&self, uid: u32) -> Result<(), Failure> {
        if self.uid == uid {
            Ok(())
        } else {
            Err(Failure::NotAuthorized(
                "this job belongs to another user".to_owned(),
            ))
        }
    }
}

/// The gate.
#[derive(Debug, Clone)]
pub struct Gate {
    mode: Mode,
    uid: u32,
    calls: Calls,
}

impl Gate {
    /// The gate of a broker that runs in this mode as this user.
    pub fn new(mode: Mode, uid: u32) -> Self {
        let calls = Calls::default();
        Self { mode, uid, calls }
    }

    /// Lets a call in, or not. Who calls is asked of the bus, for the sender of this message.
    ///
    /// # Errors
    /// [`Failure::NotAuthorized`], also when the bus cannot say who calls; [`Failure::Busy`] when too
    /// many calls are under way.
    pub async fn admit(
        &self,
        header: &Header<'_>,
        connection: &Connection,
    ) -> Result<Caller, Failure> {
        let interface = header.interface().map_or("", |name| name.as_str());
        let member = header.member().map_or("", |name| name.as_str());
        let class = class(interface, member)
            .ok_or_else(|| refused(format!("{interface}.{member} is not open to anyone")))?;
        let sender = header
            .sender()
            .ok_or_else(|| refused("nobody calls".to_owned()))?;
        // First of all: whoever floods is answered without a question to the bus.
        let underway = self.calls.begin(sender, header.unix_fds().unwrap_or(0))?;
        let bus = DBusProxy::new(connection).await.map_err(unknown)?;
        let uid = bus
            .get_connection_unix_user(BusName::Unique(sender.as_ref()))
            .await
            .map_err(unknown)?;
        self.decide(class, uid)?;
        Ok(Caller {
            uid,
            _underway: underway,
        })
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

    fn decide(&self, class: Class, uid: u32) -> Result<(), Failure> {
        match (self.mode, class) {
            // One person, who owns the daemon: all or nothing.
            (Mode::Session, Class::Read | Class::OwnAccount | Class::Admin) if uid == self.uid => {
                Ok(())
            }
            (Mode::Session, _) => Err(refused(format!(
                "this daemon serves user {} only, not {uid}",
                self.uid
            ))),
        }
    }
}

/// The class of a method; none for what is not listed.
fn class(interface: &str, member: &str) -> Option<Class> {
    METHODS
        .iter()
        .find(|(i, m, _)| *i == interface && *m == member)
        .map(|(_, _, class)| *class)
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_is_the_contract() {
        let listed: BTreeSet<(String, String)> = METHODS
            .iter()
            .map(|(i, m, _)| ((*i).to_owned(), (*m).to_owned()))
            .collect();
        assert_eq!(listed.len(), METHODS.len());
        let mut contract = BTreeSet::new();
        for (interface, xml) in mooring_api::INTROSPECTION {
            for rest in xml.split("<method name=\"").skip(1) {
                let member = rest.split('"').next().unwrap();
                contract.insert((interface.to_owned(), member.to_owned()));
            }
        }
        assert_eq!(listed, contract);
    }

    #[test]
    fn only_the_owner_passes() {
        let gate = Gate::new(Mode::Session, 1000);
        for class in [Class::Read, Class::OwnAccount, Class::Admin] {
            assert!(gate.decide(class, 1000).is_ok());
            for other in [0, 999, 1001, u32::MAX] {
                assert!(gate.decide(class, other).is_err());
            }
        }
        assert_eq!(class("org.mooring1.Manager", "Nothing"), None);
        assert_eq!(class("", "SignIn"), None);
    }
}
