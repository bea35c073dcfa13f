//! Accounts and their states. Every change of state goes through [`transition`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::signout::Stage;

/// Why an account cannot do its work until something changes outside Mooring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The storage is not mounted, its marker is missing, or another storage is in its place.
    StorageGone,
    /// A local folder or its marker is missing.
    HomeGone,
    /// The disk of the storage or of the device is full.
    NoSpace,
    /// A disk, or the way to it, does not do what it is asked.
    DiskTrouble,
    /// The worker's state of the account is damaged.
    StateDamaged,
    /// The worker cannot be started or keeps failing.
    WorkerFailed,
    /// What seals the account's secrets cannot be had.
    SecretsLocked,
    /// The session is older than policy lets it be: the person has to prove who they are.
    Reauthenticate,
}

impl Reason {
    /// The name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::StorageGone => "storage-gone",
            Self::HomeGone => "home-gone",
            Self::NoSpace => "no-space",
            Self::DiskTrouble => "disk-trouble",
            Self::StateDamaged => "state-damaged",
            Self::WorkerFailed => "worker-failed",
            Self::SecretsLocked => "secrets-locked",
            Self::Reauthenticate => "reauthenticate",
        }
    }

    /// What puts it right, as an order to a person.
    pub fn advice(self) -> &'static str {
        match self {
            Self::StorageGone => "mount or plug in the storage, then: mooringctl sync",
            Self::HomeGone => "mount the folder's disk, or: mooringctl resolve --keep",
            Self::NoSpace => "free space on the disk that is named, then: mooringctl sync",
            Self::DiskTrouble => "look at the disk that is named (dmesg), then: mooringctl sync",
            Self::StateDamaged => "build it anew from both sides: mooringctl doctor --repair",
            Self::WorkerFailed => "look into the daemon's log, then: mooringctl sync",
            Self::SecretsLocked => "make the key readable again; nothing is lost meanwhile",
            Self::Reauthenticate => "mooringctl reauthenticate",
        }
    }
}

/// The state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not on this device.
    SignedOut,
    /// A sign-in is under way.
    SigningIn,
    /// In use.
    Active,
    /// In use, but something has to be put right first.
    NeedsAttention(Reason),
    /// A sign-out is under way and has reached this stage.
    SigningOut(Stage),
}

impl State {
    /// The name on the bus, without the data.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignedOut => "signed-out",
            Self::SigningIn => "signing-in",
            Self::Active => "active",
            Self::NeedsAttention(_) => "needs-attention",
            Self::SigningOut(_) => "signing-out",
        }
    }

    /// The reason or the stage, or nothing.
    pub fn detail(self) -> &'static str {
        match self {
            Self::NeedsAttention(reason) => reason.name(),
            Self::SigningOut(stage) => stage.name(),
            Self::SignedOut | Self::SigningIn | Self::Active => "",
        }
    }
}

/// What happened to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A person began to sign in.
    SignInBegan,
    /// All data is here.
    SignInEnded,
    /// The sign-in was cancelled or refused.
    SignInUndone,
    /// Something outside has to be put right.
    Trouble(Reason),
    /// It was put right.
    Recovered,
    /// A sign-out reached a stage.
    SignOutReached(Stage),
    /// A sign-out was cancelled before the first unlink.
    SignOutUndone,
    /// Nothing of the account is left here.
    Forgotten,
}

/// An event that cannot happen in a state: a mistake in the program, told and survived.
#[derive(Debug, thiserror::Error)]
#[error("an account that is {from} cannot take {event:?}")]
pub struct Illegal {
    from: &'static str,
    event: Event,
}

/// The state after an event.
///
/// # Errors
/// [`Illegal`] when the event makes no sense in the state; the state then stays as it is.
pub fn transition(from: State, event: Event) -> Result<State, Illegal> {
    use State as S;
    match (from, event) {
        (S::SignedOut, Event::SignInBegan) => Ok(S::SigningIn),
        (S::SigningIn, Event::SignInEnded) => Ok(S::Active),
        (S::SigningIn, Event::SignInUndone) => Ok(S::SignedOut),
        (S::Active | S::NeedsAttention(_), Event::Trouble(reason)) => Ok(S::NeedsAttention(reason)),
        (S::Active | S::NeedsAttention(_), Event::Recovered) => Ok(S::Active),
        (S::Active | S::NeedsAttention(_) | S::SigningOut(_), Event::SignOutReached(stage)) => {
            Ok(S::SigningOut(stage))
        }
        (S::SigningOut(_), Event::SignOutUndone) => Ok(S::Active),
        (S::SigningOut(_), Event::Forgotten) => Ok(S::SignedOut),
        (from, event) => Err(Illegal {
            from: from.name(),
            event,
        }),
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail() {
            "" => f.write_str(self.name()),
            detail => write!(f, "{} ({detail})", self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_signing_out_account_cannot_become_active_by_recovery() {
        let leaving = State::SigningOut(Stage::Drained);
        assert!(transition(leaving, Event::Recovered).is_err());
        assert!(transition(leaving, Event::SignInEnded).is_err());
        assert_eq!(
            transition(leaving, Event::SignOutUndone).unwrap(),
            State::Active
        );
    }

    #[test]
    fn only_a_sign_out_ends_in_signed_out() {
        for from in [State::Active, State::NeedsAttention(Reason::StorageGone)] {
            assert!(transition(from, Event::Forgotten).is_err());
            assert!(transition(from, Event::SignInUndone).is_err());
        }
    }
}
