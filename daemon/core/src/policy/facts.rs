//! What a decision is asked about: who wants what, for which account.

use std::str::FromStr;

use super::backup::TakenBackup;
use super::conditions::Circumstances;
use super::source::quoted;
use super::spelling::nearest;
use crate::collection::Collection;

/// What someone wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Sign an account out of this device.
    SignOut,
    /// Sign in to an account on this device.
    SignIn,
    /// Drop an account without the order of a sign-out.
    Forget,
    /// Take a backup of an account.
    Backup,
}

impl Verb {
    /// Every verb with its name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("sign-out", Self::SignOut),
        ("sign-in", Self::SignIn),
        ("forget", Self::Forget),
        ("backup", Self::Backup),
    ];

    /// The name on the bus and in plans.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignOut => "sign-out",
            Self::SignIn => "sign-in",
            Self::Forget => "forget",
            Self::Backup => "backup",
        }
    }
}

impl FromStr for Verb {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        known("verb", word, &Self::ALL)
    }
}

/// What a decision is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What is wanted.
    pub verb: Verb,
    /// Who wants it.
    pub actor: Actor,
    /// The kind of the account's provider, e.g. `local`.
    pub provider: String,
    /// The account's identity, e.g. `alice`.
    pub identity: String,
    /// The collections that are brought, or are on this device.
    pub collections: Vec<Collection>,
    /// The time, in seconds since the Unix epoch.
    pub now: u64,
    /// The time at which it is to begin, in seconds since the Unix epoch; none when it has begun.
    pub begins: Option<u64>,
    /// Whether files are removed from this device.
    pub removes: bool,
    /// The last backup of the account.
    pub backup: Option<TakenBackup>,
    /// What is known of the device and its person.
    pub circumstances: Circumstances,
}

impl Facts {
    /// A question about an account that removes nothing, at no time in particular.
    pub fn new(verb: Verb, actor: Actor, provider: &str, identity: &str) -> Self {
        Self {
            verb,
            actor,
            provider: provider.to_owned(),
            identity: identity.to_owned(),
            collections: Vec::new(),
            now: 0,
            begins: None,
            removes: false,
            backup: None,
            circumstances: Circumstances::default(),
        }
    }
}

/// Who wants something to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The person at this device.
    Person,
    /// Another device of the same account.
    Device,
    /// The organisation that manages the device, or the provider.
    Organisation,
}

impl Actor {
    /// Every actor with its name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("person", Self::Person),
        ("device", Self::Device),
        ("organisation", Self::Organisation),
    ];

    /// Whom a rule binds that names nobody.
    pub(super) const DEFAULT: [Self; 2] = [Self::Person, Self::Device];

    /// The name in files and on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Device => "device",
            Self::Organisation => "organisation",
        }
    }
}

/// There is no such word; says which there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(String);

/// The value with this name.
fn known<T: Copy>(kind: &str, word: &str, all: &[(&'static str, T)]) -> Result<T, Unknown> {
    if let Some((_, value)) = all.iter().find(|(name, _)| *name == word) {
        return Ok(*value);
    }
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let advice = match nearest(word, &names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("use {}", names.join(", ")),
    };
    Err(Unknown(format!(
        "there is no {kind} {}: {advice}",
        quoted(word)
    )))
}

impl FromStr for Actor {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        known("actor", word, &Self::ALL)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (name, actor) in Actor::ALL {
            assert_eq!(
                (actor.name(), name.parse::<Actor>().unwrap()),
                (name, actor)
            );
        }
        for (name, verb) in Verb::ALL {
            assert_eq!((verb.name(), name.parse::<Verb>().unwrap()), (name, verb));
        }
    }

    #[test]
    fn other_words_are_answered_with_advice() {
        let error = "sign_out".parse::<Verb>().unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no verb `sign_out`: did you mean `sign-out`?"
        );
        let error = "root".parse::<Actor>().unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no actor `root`: use person, device, organisation"
        );
    }
}
