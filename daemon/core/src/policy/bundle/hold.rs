//! Which bundle is in force: a newer one takes the place of an older one, and nothing else does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::source::{Problem, Source};
use super::Bundle;
use crate::receipt::timestamp;

/// What is remembered of bundles over restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The version that no bundle in force may fall below, whoever signs it.
    pub highest: u64,
    /// The same for what each key signs. It stays when a bundle is given up: for another
    /// organisation's key its versions say nothing, and for those that were trusted then all.
    #[serde(default)]
    pub floors: BTreeMap<String, u64>,
    /// The bundle in force.
    pub accepted: Option<Bundle>,
}

/// What lies in the place of the bundle.
#[derive(Debug, Clone)]
pub enum Offer {
    /// Nothing, and no key is trusted.
    NothingTrusted,
    /// Nothing.
    Nothing,
    /// Something that does not count, and why.
    Refused(Vec<Problem>),
    /// A bundle that a trusted key signed.
    Signed(Bundle),
}

/// How the bundle in force came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// There is none, and there was none.
    None,
    /// The one that lies there is in force.
    InForce,
    /// What lies there does not count, or nothing does; an earlier one is in force.
    LastGood,
    /// The one in force should have been renewed.
    Expired,
    /// What lies there does not count, and none ever did.
    Invalid,
}

/// The bundle in force, why, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// To be kept before anyone is told.
    pub memory: Memory,
    /// How it came to be.
    pub holding: Holding,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// The bundle that was given up just now.
    pub released: Option<Bundle>,
}

impl Held {
    /// The policy files of the bundle in force.
    pub fn files(&self) -> &[Source] {
        self.memory
            .accepted
            .as_ref()
            .map_or(&[], |bundle| &bundle.files)
    }
}

/// The bundle in force from what is remembered and what lies there at `now`, in seconds since the
/// Unix epoch.
///
/// A bundle is only ever exchanged for a newer one. It goes without one only when its file *and*
/// every key are gone, which only the owner of the configuration can do; and even then no older
/// one comes back of a key that was trusted with it.
///
/// `trusted` are the keys that may sign one, as [`Bundle::signer`] names them.
pub fn hold(memory: &Memory, offer: Offer, trusted: &[String], now: u64) -> Held {
    let mut memory = memory.clone();
    let mut problems = Vec::new();
    match offer {
        Offer::NothingTrusted => {
            let released = memory.accepted.take();
            // One that an earlier version of the program took names no key, and binds them all.
            if released
                .as_ref()
                .is_some_and(|bundle| !bundle.signer.is_empty())
            {
                memory.highest = 0;
            }
            return Held {
                memory,
                holding: Holding::None,
                problems,
                released,
            };
        }
        Offer::Nothing => {
            if let Some(bundle) = &memory.accepted {
                let message = format!(
                    "the bundle is gone; version {} of {} stays in force. Put it back; or, to give it \
                     up for good, remove the keys in policy-keys.d as well",
                    bundle.version, bundle.organisation
                );
                problems.push(Problem::of_file(&bundle.path, message));
            }
        }
        Offer::Refused(found) => problems = found,
        Offer::Signed(bundle) => match refusal(&memory, &bundle, now) {
            Some(message) => problems.push(Problem::of_file(&bundle.path, message)),
            None => {
                memory.highest = bundle.version;
                for key in trusted.iter().chain([&bundle.signer]) {
                    let floor = memory.floors.entry(key.clone()).or_default();
                    *floor = bundle.version.max(*floor);
                }
                memory.accepted = Some(bundle);
            }
        },
    }
    let refused = !problems.is_empty();
    let holding = match &memory.accepted {
        None if refused => Holding::Invalid,
        None => Holding::None,
        Some(bundle) if bundle.expired(now) => {
            let message = format!(
                "the bundle of {}, version {}, expired at {}. It stays in force until a newer one comes",
                bundle.organisation,
                bundle.version,
                timestamp(bundle.expires)
            );
            problems.push(Problem::of_file(&bundle.path, message));
            Holding::Expired
        }
        Some(_) if refused => Holding::LastGood,
        Some(_) => Holding::InForce,
    };
    Held {
        memory,
        holding,
        problems,
        released: None,
    }
}

/// Why a signed bundle does not take the place of what is in force; none when it does, or is it.
pub fn refusal(memory: &Memory, bundle: &Bundle, now: u64) -> Option<String> {
    let version = bundle.version;
    let of_key = memory.floors.get(&bundle.signer).copied();
    let floor = memory.highest.max(of_key.unwrap_or_default());
    if version < floor {
        return Some(format!(
            "the bundle is of version {version}, and version {floor} was in force here already: an older \
             one never comes back. Give it a higher version and sign it again"
        ));
    }
    if let Some(accepted) = &memory.accepted
        && accepted.version == version
    {
        // Where it lies and which of two keys signed it makes no other bundle.
        let same = accepted.expires == bundle.expires
            && accepted.organisation == bundle.organisation
            && accepted
                .files
                .iter()
                .map(|f| &f.text)
                .eq(bundle.files.iter().map(|f| &f.text));
        return (!same).then(|| {
            format!(
                "this is another bundle of version {version} than the one in force: give it a higher \
                 version and sign it again"
            )
        });
    }
    bundle.expired(now).then(|| {
        format!(
            "the bundle of version {version} expired at {}, before it came here: renew it",
            timestamp(bundle.expires)
        )
    })
}
