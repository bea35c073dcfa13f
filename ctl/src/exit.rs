//! How `mooringctl` ends: the exit codes, and the one place that maps what the daemon answered to
//! a code, a sentence and a hint.

use std::process::ExitCode;

use mooring_api::Error;
use serde_json::{Map, Value};

use crate::text;

/// The exit codes, as the manual lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something went wrong that no other code names.
    Failed = 1,
    /// The command line is wrong, or a question has nobody to answer it.
    Usage = 2,
    /// Device management forbids it.
    PolicyDenied = 3,
    /// Not allowed, or a wrong password.
    NotAuthorized = 4,
    /// Something stands in the way: unsynced files, an outdated plan, another job.
    Blocked = 5,
    /// The daemon cannot be reached.
    Unreachable = 6,
    /// The job was cancelled.
    Cancelled = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The kind, as on the bus or one of ctl's own, for `--json`.
    pub kind: String,
    /// What happened, and where.
    pub message: String,
    /// What to do, or empty.
    pub hint: String,
    /// What `--json` prints besides the error: the plan, the job, …
    pub document: Map<String, Value>,
}

/// What a command returns.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        let kind = match exit {
            Exit::Failed => "Failed",
            Exit::Usage => "Usage",
            Exit::PolicyDenied => "PolicyDenied",
            Exit::NotAuthorized => "NotAuthorized",
            Exit::Blocked => "Blocked",
            Exit::Unreachable => "Unreachable",
            Exit::Cancelled => "Cancelled",
        };
        Self {
            exit,
            kind: kind.to_owned(),
            message: message.into(),
            hint: String::new(),
            document: Map::new(),
        }
    }

    /// A mistake on the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// With what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With another kind, as the bus names it.
    pub fn kind(mut self, kind: &str) -> Self {
        self.kind = kind.to_owned();
        self
    }

    /// With something more for `--json` to say.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.document.insert(key.to_owned(), value);
        self
    }

    /// The failure of a job or call whose error has this kind on the bus.
    pub fn of_kind(kind: &str, message: &str) -> Self {
        Error::from_kind(kind, message.to_owned()).into()
    }

    /// The daemon cannot be reached, for this reason.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, message).hint(
            "Start it with `systemctl --user start mooringd`, or in a terminal with \
             `mooringd --session`; where it runs for all people of the device, the administrator \
             starts it with `systemctl start mooringd`.",
        )
    }

    /// The document of `--json`: what was gathered, and the error.
    pub fn to_json(&self) -> Value {
        let mut document = self.document.clone();
        document.insert(
            "error".to_owned(),
            serde_json::json!({
                "kind": self.kind,
                "message": self.message,
                "hint": self.hint,
                "exit-code": self.exit as u8,
            }),
        );
        Value::Object(document)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (exit, hint) = match &error {
            Error::ZBus(inner) => return transport(inner),
            Error::PolicyDenied(_) => (
                Exit::PolicyDenied,
                "`mooringctl policy explain` says who decided this and why.",
            ),
            Error::NotAuthorized(_) => (Exit::NotAuthorized, ""),
            Error::IncorrectPassword(_) => (Exit::NotAuthorized, ""),
            Error::TooManyAttempts(_) => (Exit::NotAuthorized, "Wait, then try again."),
            Error::ReauthRequired(_) => (
                Exit::NotAuthorized,
                "Run the command in a terminal, or give --password-fd.",
            ),
            Error::UnsyncedData(_) => (
                Exit::Blocked,
                "Make room or reconnect the storage and try again, or keep these files on this \
                 device with --keep-here.",
            ),
            Error::PlanStale(_) => (
                Exit::Blocked,
                "Look at the plan again with `mooringctl sign-out ACCOUNT --dry-run`.",
            ),
            Error::BackupRequired(_) => (
                Exit::Blocked,
                "Make the backup first: `mooringctl backup ACCOUNT --to FOLDER`.",
            ),
            Error::Inhibited(_) => (Exit::Blocked, "Try again when it is done."),
            Error::Busy(_) => (Exit::Blocked, "`mooringctl jobs` shows what is under way."),
            Error::Offline(_) => (Exit::Failed, "Reconnect the storage, then try again."),
            Error::Revoked(_) => (Exit::NotAuthorized, "Sign in again."),
            Error::SecretsLocked(_) => (Exit::Failed, "Unlock the keyring, then try again."),
            Error::InvalidArgument(_) => (Exit::Usage, ""),
            Error::NotFound(_) => (Exit::Failed, "`mooringctl` lists what there is."),
            Error::Cancelled(_) => (Exit::Cancelled, ""),
            Error::Failed(_) => (
                Exit::Failed,
                "The daemon's log has more: `journalctl -u mooringd`, with --user in a session.",
            ),
        };
        let message = text::full(error.message());
        // A sentence that names the command to run needs no other advice.
        let hint = if message.contains("`mooringctl") {
            ""
        } else {
            hint
        };
        Self::new(exit, message).kind(error.kind()).hint(hint)
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        Error::from(error).into()
    }
}

/// A call that got no answer of Mooring's own.
fn transport(error: &zbus::Error) -> Failure {
    use zbus::fdo::Error as Fdo;
    let said = text::sentence(&error.to_string());
    if is_gone(error) {
        return Failure::unreachable("The Mooring daemon does not answer.").kind("Unreachable");
    }
    match error {
        zbus::Error::FDO(inner) => match &**inner {
            Fdo::AccessDenied(_) | Fdo::AuthFailed(_) => Failure::new(
                Exit::NotAuthorized,
                format!("The bus refused the call: {said}."),
            ),
            Fdo::UnknownObject(_) => Failure::new(Exit::Failed, "There is no such object.")
                .kind("NotFound")
                .hint("`mooringctl` lists the accounts, `mooringctl jobs` the jobs."),
            _ => other_version(&said),
        },
        _ => other_version(&said),
    }
}

fn other_version(said: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("The daemon's answer was not understood: {said}."),
    )
    .hint("The daemon and mooringctl may be of different versions: restart the daemon.")
}

/// Whether an error means that nobody answers: no daemon, no bus, or gone in mid-call.
pub fn is_gone(error: &zbus::Error) -> bool {
    use zbus::fdo::Error as Fdo;
    match error {
        zbus::Error::InputOutput(_) | zbus::Error::Handshake(_) | zbus::Error::Address(_) => true,
        zbus::Error::FDO(inner) => matches!(
            &**inner,
            Fdo::ServiceUnknown(_)
                | Fdo::NameHasNoOwner(_)
                | Fdo::NoReply(_)
                | Fdo::Disconnected(_)
                | Fdo::NoServer(_)
                | Fdo::Timeout(_)
                | Fdo::TimedOut(_)
                | Fdo::SpawnExecFailed(_)
                | Fdo::SpawnChildExited(_)
                | Fdo::SpawnChildSignaled(_)
                | Fdo::SpawnFailed(_)
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code() {
        let codes = [
            ("PolicyDenied", 3),
            ("NotAuthorized", 4),
            ("IncorrectPassword", 4),
            ("TooManyAttempts", 4),
            ("ReauthRequired", 4),
            ("UnsyncedData", 5),
            ("PlanStale", 5),
            ("BackupRequired", 5),
            ("Inhibited", 5),
            ("Busy", 5),
            ("Offline", 1),
            ("Revoked", 4),
            ("SecretsLocked", 1),
            ("InvalidArgument", 2),
            ("NotFound", 1),
            ("Cancelled", 7),
            ("Failed", 1),
            ("SomethingOfLater", 1),
        ];
        for (kind, code) in codes {
            assert_eq!(Failure::of_kind(kind, "x").exit as u8, code, "{kind}");
        }
    }

    #[test]
    fn a_missing_daemon_is_not_a_plain_failure() {
        let gone = zbus::Error::FDO(Box::new(zbus::fdo::Error::ServiceUnknown("x".into())));
        let failure = Failure::from(gone);
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.hint.contains("mooringd --session"));
    }

    #[test]
    fn messages_of_the_daemon_cannot_drive_the_terminal() {
        assert_eq!(
            Failure::of_kind("Failed", "a\x1b[2Jb").message,
            "a\\x1b[2Jb."
        );
    }
}
