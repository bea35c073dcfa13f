//! The broker's failures as errors of the bus: the one place where the two meet.

use mooring_api::Error;
use mooring_wire::Error as Worker;

use crate::failure::Failure;

/// A sentence as the bus carries it. A NUL in what somebody sends makes the bus part from them (D-Bus
/// Specification, "Marshaling": `STRING`), and what is told again at each start would part them for good.
pub fn sayable(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

/// A failure as clients see it.
pub fn to_api(failure: &Failure) -> Error {
    let message = sayable(failure.to_string());
    match failure {
        Failure::NotAuthorized(_) => Error::NotAuthorized(message),
        Failure::PolicyDenied(_) => Error::PolicyDenied(message),
        Failure::BackupRequired(_) => Error::BackupRequired(message),
        Failure::InvalidArgument(_) => Error::InvalidArgument(message),
        Failure::NotFound(_) => Error::NotFound(message),
        Failure::Busy(_) => Error::Busy(message),
        Failure::IncorrectPassword { .. } | Failure::IncorrectCode { .. } => {
            Error::IncorrectPassword(message)
        }
        Failure::TooManyAttempts { .. } | Failure::TooManyCodes { .. } => {
            Error::TooManyAttempts(message)
        }
        Failure::CodeVoid(cause) => Error::from_kind(to_api(cause).kind(), message),
        Failure::SecretsLocked(_) | Failure::Store(crate::store::Error::Locked { .. }) => {
            Error::SecretsLocked(message)
        }
        Failure::ReauthRequired(_) => Error::ReauthRequired(message),
        Failure::PlanStale(_) => Error::PlanStale(message),
        Failure::Cancelled(_) | Failure::GivenUp | Failure::Ended => Error::Cancelled(message),
        Failure::Inhibited(_) => Error::Inhibited(message),
        Failure::Worker(worker) => match worker {
            Worker::StorageGone(_) => Error::Offline(message),
            Worker::Refused(_) => Error::InvalidArgument(message),
            Worker::Busy(_) => Error::Busy(message),
            Worker::Cancelled(_) => Error::Cancelled(message),
            Worker::ZBus(_)
            | Worker::HomeGone(_)
            | Worker::NotVerified(_)
            | Worker::NoSpace(_)
            | Worker::DiskTrouble(_)
            | Worker::Unfenced(_)
            | Worker::StateDamaged(_)
            | Worker::Failed(_) => Error::Failed(message),
        },
        // A name or a password that cannot be one is the caller's; a bad record is the storage's.
        Failure::Identity(identity) => match identity {
            mooring_core::identity::Error::Name
            | mooring_core::identity::Error::PasswordLength
            | mooring_core::identity::Error::RecoveryCode(_) => Error::InvalidArgument(message),
            mooring_core::identity::Error::TooLong(_)
            | mooring_core::identity::Error::Syntax(_)
            | mooring_core::identity::Error::Version(_)
            | mooring_core::identity::Error::StorageId
            | mooring_core::identity::Error::Generation
            | mooring_core::identity::Error::Hash { .. }
            | mooring_core::identity::Error::Argon2(_) => Error::Failed(message),
        },
        Failure::Launch(_)
        | Failure::WorkerDies(_)
        | Failure::WorkerReplaced
        | Failure::Store(_)
        | Failure::Io { .. }
        | Failure::Unknown(_)
        | Failure::Internal(_) => Error::Failed(message),
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = to_api(&failure);
        if matches!(error, Error::Failed(_)) {
            tracing::warn!(error = %failure, source = ?failure, "a call failed");
        }
        error
    }
}
