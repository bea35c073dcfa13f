//! The errors of the bus, `org.mooring1.Error.*`, as one type for the daemon and its clients.

/// A reply of a Mooring method, or what went wrong.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything a Mooring method can answer besides success.
///
/// Each carries a sentence for a person: what happened, where, and what to do.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.mooring1.Error")]
pub enum Error {
    /// The call did not reach the daemon, or the reply could not be read.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// Device management forbids it. Names organisation, rule, file and line, reason, contact.
    PolicyDenied(String),
    /// The caller may not do this.
    NotAuthorized(String),
    /// The password is wrong. Says when the next attempt is allowed.
    IncorrectPassword(String),
    /// Too soon after a wrong password. Says when the next attempt is allowed.
    TooManyAttempts(String),
    /// A fresh login at the provider is needed.
    ReauthRequired(String),
    /// Some files have no copy in the storage yet.
    UnsyncedData(String),
    /// What the person agreed to no longer fits: ask for a new plan.
    PlanStale(String),
    /// A backup is required first.
    BackupRequired(String),
    /// An app or a policy asks to wait.
    Inhibited(String),
    /// Another job of this account is under way.
    Busy(String),
    /// The storage or the provider cannot be reached now.
    Offline(String),
    /// The provider says that this session has ended.
    Revoked(String),
    /// The store of secrets cannot be opened.
    SecretsLocked(String),
    /// An argument is wrong. Says which, and what is expected.
    InvalidArgument(String),
    /// There is no such account, job or receipt.
    NotFound(String),
    /// The job was cancelled.
    Cancelled(String),
    /// Anything else. The journal of the daemon has the cause.
    Failed(String),
}

macro_rules! kinds {
    ($($kind:ident),+ $(,)?) => {
        impl Error {
            /// The sentence for a person.
            pub fn message(&self) -> &str {
                match self {
                    $(Self::$kind(m) => m,)+
                    Self::ZBus(_) => "the call did not reach the daemon",
                }
            }

            /// The last part of the error's bus name, e.g. `PolicyDenied`.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)+
                    Self::ZBus(_) => "ZBus",
                }
            }

            /// The error of this kind (the last part of its bus name); `Failed` for a kind that
            /// this version does not know.
            pub fn from_kind(kind: &str, message: String) -> Self {
                match kind {
                    $(stringify!($kind) => Self::$kind(message),)+
                    _ => Self::Failed(message),
                }
            }
        }
    };
}

kinds!(
    PolicyDenied,
    NotAuthorized,
    IncorrectPassword,
    TooManyAttempts,
    ReauthRequired,
    UnsyncedData,
    PlanStale,
    BackupRequired,
    Inhibited,
    Busy,
    Offline,
    Revoked,
    SecretsLocked,
    InvalidArgument,
    NotFound,
    Cancelled,
    Failed,
);
