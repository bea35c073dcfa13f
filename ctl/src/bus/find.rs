//! Which bus the daemon is on: the system's, where it runs for all people of a device, or the
//! session's, where it runs for one.

use std::ffi::OsStr;
use std::time::Duration;

use mooring_api::BUS_NAME;
use zbus::Connection;
use zbus::fdo::DBusProxy;

use crate::exit::{Failure, Result};
use crate::text;

/// The variable that says which bus, when no option does.
pub const VARIABLE: &str = "MOORING_BUS";
/// How long the system bus may take to say whether the daemon is there, before the session's is
/// looked at.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// A bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The one of the device.
    System,
    /// The one of a person's session.
    Session,
}

/// Which bus the person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Given(Kind),
    /// The session's, if the daemon runs there already: that person chose it. Else the system's, if
    /// it runs or can be started there; else the session's.
    Auto,
}

impl Choice {
    /// By the options, and by [`VARIABLE`] where none is given.
    ///
    /// # Errors
    /// [`crate::exit::Exit::Usage`] when the variable names no bus.
    pub fn of(system: bool, session: bool, variable: Option<&OsStr>) -> Result<Self> {
        match (system, session) {
            (true, _) => return Ok(Self::Given(Kind::System)),
            (_, true) => return Ok(Self::Given(Kind::Session)),
            _ => {}
        }
        match variable.map(|word| word.to_string_lossy()).as_deref() {
            None | Some("" | "auto") => Ok(Self::Auto),
            Some("system") => Ok(Self::Given(Kind::System)),
            Some("session") => Ok(Self::Given(Kind::Session)),
            Some(other) => {
                let shown = text::path(other.as_bytes());
                Err(
                    Failure::usage(format!("{VARIABLE} is {shown}, which is no bus."))
                        .hint("Set it to system, session or auto, or do not set it."),
                )
            }
        }
    }

    /// Connects to it.
    ///
    /// # Errors
    /// [`crate::exit::Exit::Unreachable`] when it is not there.
    pub async fn connect(self) -> Result<(Connection, Kind)> {
        match self {
            Self::Given(kind) => Ok((connect(kind).await.map_err(|e| none(kind, &e))?, kind)),
            Self::Auto => match running_in_session().await {
                Some(connection) => Ok((connection, Kind::Session)),
                None => Self::find().await,
            },
        }
    }

    async fn find() -> Result<(Connection, Kind)> {
        match serving().await {
            Ok(Some(connection)) => Ok((connection, Kind::System)),
            Ok(None) => Self::session("the daemon is not on the system bus").await,
            Err(said) => Self::session(&format!("the system bus: {said}")).await,
        }
    }

    async fn session(system: &str) -> Result<(Connection, Kind)> {
        match connect(Kind::Session).await {
            Ok(connection) => Ok((connection, Kind::Session)),
            Err(e) => {
                let mut failure = none(Kind::Session, &e);
                failure.message = format!(
                    "{} ({}.)",
                    failure.message,
                    text::sentence(system).trim_end_matches('.')
                );
                Err(failure)
            }
        }
    }
}

/// The session bus, if the daemon runs there now.
async fn running_in_session() -> Option<Connection> {
    let look = async {
        let connection = connect(Kind::Session).await?;
        let bus = DBusProxy::new(&connection).await?;
        let here = bus.name_has_owner(BUS_NAME.try_into()?).await?;
        Ok::<_, zbus::Error>(here.then_some(connection))
    };
    // Without a session bus it runs on none.
    tokio::time::timeout(LOOK_LIMIT, look).await.ok()?.ok()?
}

/// The system bus, if the daemon is there or is started there by the first call.
async fn serving() -> std::result::Result<Option<Connection>, String> {
    let look = async {
        let connection = connect(Kind::System).await?;
        let bus = DBusProxy::new(&connection).await?;
        let name = BUS_NAME.try_into()?;
        let here = bus.name_has_owner(name).await?
            || bus
                .list_activatable_names()
                .await?
                .iter()
                .any(|name| name.as_str() == BUS_NAME);
        Ok::<_, zbus::Error>(here.then_some(connection))
    };
    match tokio::time::timeout(LOOK_LIMIT, look).await {
        Ok(found) => found.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", LOOK_LIMIT.as_secs())),
    }
}

async fn connect(kind: Kind) -> zbus::Result<Connection> {
    match kind {
        Kind::System => Connection::system().await,
        Kind::Session => Connection::session().await,
    }
}

fn none(kind: Kind, error: &zbus::Error) -> Failure {
    let said = text::sentence(&error.to_string());
    match kind {
        Kind::System => Failure::unreachable(format!(
            "There is no system bus to find the daemon on: {said}."
        ))
        .hint("Where Mooring runs for one person only, leave --system away (and MOORING_BUS)."),
        Kind::Session => Failure::unreachable(format!(
            "There is no session bus to find the daemon on: {said}."
        ))
        .hint(
            "Run it from within your session (a desktop, or a login of yours), or for a try of its \
             own: `dbus-run-session bash`, and in it `mooringd --session &`.",
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn an_option_wins_over_the_variable() {
        let of = |system, session, variable: Option<&str>| {
            Choice::of(system, session, variable.map(OsStr::new))
        };
        let (system, session) = (Choice::Given(Kind::System), Choice::Given(Kind::Session));
        assert_eq!(of(true, false, Some("session")).unwrap(), system);
        assert_eq!(of(false, true, Some("system")).unwrap(), session);
        assert_eq!(of(false, false, Some("system")).unwrap(), system);
        assert_eq!(of(false, false, Some("session")).unwrap(), session);
        for unset in [None, Some(""), Some("auto")] {
            assert_eq!(of(false, false, unset).unwrap(), Choice::Auto);
        }
        let wrong = of(false, false, Some("sytem")).unwrap_err();
        assert_eq!(wrong.exit, Exit::Usage);
        assert!(wrong.message.contains("sytem"), "{}", wrong.message);
    }
}
