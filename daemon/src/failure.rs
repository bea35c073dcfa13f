//! Why the broker did not do what it was asked: one type, mapped to the bus in `bus::error`.

use std::path::PathBuf;

use mooring_core::identity;

use crate::workers::{Said, shorten};
use crate::{launch, store};

/// What went wrong, with a sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The caller may not do this.
    #[error("{0}")]
    NotAuthorized(String),
    /// Policy forbids it. Names organisation, rule, file and line, reason, contact.
    #[error("{0}")]
    PolicyDenied(String),
    /// Policy wants a backup first. Names who says so, where, why, and what is missing.
    #[error("{0}")]
    BackupRequired(String),
    /// An argument is wrong.
    #[error("{0}")]
    InvalidArgument(String),
    /// There is no such account, job or receipt.
    #[error("{0}")]
    NotFound(String),
    /// Something else is under way.
    #[error("{0}")]
    Busy(String),
    /// The password is wrong.
    #[error("the password is wrong{}", wait(*.next_attempt))]
    IncorrectPassword {
        /// When the next try is allowed, in seconds since the Unix epoch; 0 for now.
        next_attempt: u64,
    },
    /// It is too soon after wrong passwords.
    #[error("too soon after a wrong password{}", wait(*.next_attempt))]
    TooManyAttempts {
        /// When the next try is allowed, in seconds since the Unix epoch.
        next_attempt: u64,
    },
    /// The recovery code is wrong.
    #[error("the recovery code is wrong{}", wait(*.next_attempt))]
    IncorrectCode {
        /// When the next try is allowed, in seconds since the Unix epoch; 0 for now.
        next_attempt: u64,
    },
    /// It is too soon after wrong recovery codes.
    #[error("too soon after a wrong recovery code{}", wait(*.next_attempt))]
    TooManyCodes {
        /// When the next try is allowed, in seconds since the Unix epoch.
        next_attempt: u64,
    },
    /// The password was not reset, after the next recovery code had been given out.
    #[error("{0}. The recovery code that was just shown is void; the earlier one still holds")]
    CodeVoid(Box<Failure>),
    /// Whether it was done is not known.
    #[error("{0}")]
    Unknown(String),
    /// The session is too old: the person has to prove who they are.
    #[error("{0}")]
    ReauthRequired(String),
    /// The broker's secrets cannot be opened: why, and what to do.
    #[error("{0}")]
    SecretsLocked(String),
    /// The consent no longer fits.
    #[error("{0}")]
    PlanStale(String),
    /// The job's account is being forgotten: it ends where it waits.
    #[error("the account was forgotten")]
    GivenUp,
    /// Not done once more, because the account is being forgotten and its storage hangs.
    #[error("ended, because the account is being forgotten")]
    Ended,
    /// The job was cancelled.
    #[error("{0}")]
    Cancelled(String),
    /// An app asks to wait with signing out.
    #[error("{0}")]
    Inhibited(String),
    /// The worker answered with an error, or is gone.
    #[error("{}", worker_said(.0))]
    Worker(#[source] mooring_wire::Error),
    /// No worker can be started.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// The worker was ended for one that reaches more.
    #[error("the worker was replaced by one that reaches more")]
    WorkerReplaced,
    /// The worker died again and again.
    #[error("the worker died {0} times in a row; its log has the cause")]
    WorkerDies(u32),
    /// The broker's own state cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An identity record, a name or a password.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// A file of the broker.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// Binds an I/O error to the path it happened at.
    pub fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// Whether the worker is gone, or cannot reach what it should, so that a new one may get further.
    pub fn calls_for_another_worker(&self) -> bool {
        if self.is_unfenced() || matches!(self, Self::WorkerReplaced) {
            return true;
        }
        // An error reply came from a worker that lives.
        matches!(self, Self::Worker(mooring_wire::Error::ZBus(error))
            if !matches!(error, zbus::Error::MethodError(..)))
    }

    /// Whether the worker cannot reach what it should.
    pub fn is_unfenced(&self) -> bool {
        matches!(self, Self::Worker(mooring_wire::Error::Unfenced(_)))
    }

    /// The same to somebody else who waits for it: its kind, as far as there is one to act on, and its
    /// sentence.
    #[must_use]
    pub fn again(&self) -> Self {
        use mooring_wire::Error as Worker;
        let said = self.to_string();
        match self {
            Self::NotFound(_) => Self::NotFound(said),
            Self::InvalidArgument(_) => Self::InvalidArgument(said),
            Self::Busy(_) | Self::Worker(Worker::Busy(_)) => Self::Busy(said),
            Self::SecretsLocked(_) | Self::Store(store::Error::Locked { .. }) => {
                Self::SecretsLocked(said)
            }
            Self::Cancelled(_) => Self::Cancelled(said),
            Self::Worker(Worker::StorageGone(_)) => Self::Worker(Worker::StorageGone(said)),
            _ => Self::Internal(said),
        }
    }

    /// When the next try of a password is allowed; 0 for now.
    pub fn next_attempt(&self) -> u64 {
        match self {
            Self::IncorrectPassword { next_attempt }
            | Self::TooManyAttempts { next_attempt }
            | Self::IncorrectCode { next_attempt }
            | Self::TooManyCodes { next_attempt } => *next_attempt,
            _ => 0,
        }
    }
}

impl From<mooring_wire::Error> for Failure {
    fn from(mut error: mooring_wire::Error) -> Self {
        error.hold();
        Self::Worker(error)
    }
}

/// An error that no worker should give has a text, too.
fn worker_said(error: &mooring_wire::Error) -> String {
    let mut message = error.message();
    shorten(&mut message);
    message
}

fn wait(next_attempt: u64) -> String {
    if next_attempt == 0 {
        return String::new();
    }
    let when = mooring_core::receipt::timestamp(next_attempt);
    format!("; the next try is allowed at {when}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::error::to_api;

    #[test]
    fn whoever_else_waits_is_told_the_same() {
        let locked = store::Error::Locked {
            account: "a1".to_owned(),
            why: "the keyring is locked".to_owned(),
        };
        for failure in [
            Failure::SecretsLocked("the keyring is locked".to_owned()),
            locked.into(),
            Failure::Busy("wait".to_owned()),
            Failure::NotFound("gone".to_owned()),
            mooring_wire::Error::StorageGone("not mounted".to_owned()).into(),
            Failure::Internal("no memory".to_owned()),
        ] {
            let (again, first) = (to_api(&failure.again()), to_api(&failure));
            assert_eq!(
                (again.kind(), again.message()),
                (first.kind(), first.message())
            );
        }
    }
}
