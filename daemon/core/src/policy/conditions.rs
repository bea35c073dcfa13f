//! Where and with whom a rule holds: the device, its person and its network, besides the account.
//!
//! A condition asks for a fact. One that is not known counts as met, so that a rule holds wherever
//! it cannot be told that it does not: what nobody knows never loosens anything.

use toml::Value;

use super::only::patterns;
use super::pattern::Pattern;
use super::reader::{Reader, Section};
use super::source::quoted;
use crate::collection::Collection;

/// What is known of the device and its person; none where it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The person: their user name and their number, as text.
    pub person: Option<Vec<String>>,
    /// The names of the person's groups.
    pub groups: Option<Vec<String>>,
    /// The name of this host.
    pub host: Option<String>,
    /// `ID` of os-release(5), e.g. `debian`.
    pub system: Option<String>,
    /// `VERSION_ID` of os-release(5), e.g. `12`.
    pub system_version: Option<String>,
    /// Whether the network costs by what goes through it.
    pub metered: Option<bool>,
}

impl Circumstances {
    /// What is known, as a sentence; of what is not, every rule holds that asks for it.
    pub fn words(&self) -> String {
        let one = |known: &Option<String>| quoted_or_unknown(known.as_deref());
        let list = |known: &Option<Vec<String>>| match known {
            None => "not known".to_owned(),
            Some(names) => names
                .iter()
                .map(|n| quoted(n))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let metered = match self.metered {
            None => "not known",
            Some(true) => "metered",
            Some(false) => "not metered",
        };
        format!(
            "What rules may ask for: people {}; groups {}; host {}; system {}, version {}; network {metered}. \
             A rule that asks for what is not known holds",
            list(&self.person),
            list(&self.groups),
            one(&self.host),
            one(&self.system),
            one(&self.system_version),
        )
    }
}

fn quoted_or_unknown(known: Option<&str>) -> String {
    known.map_or_else(|| "not known".to_owned(), quoted)
}

/// The conditions of a rule, all of which have to be met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    people: Option<Vec<Pattern>>,
    groups: Option<Vec<Pattern>>,
    hosts: Option<Vec<Pattern>>,
    systems: Option<Vec<Pattern>>,
    system_versions: Option<Vec<Pattern>>,
    collections: Option<Vec<Collection>>,
    metered: Option<bool>,
}

impl Conditions {
    /// Every key, in the order in which they are written.
    pub(super) const KEYS: [&'static str; 7] = [
        "people",
        "groups",
        "hosts",
        "systems",
        "system-versions",
        "collections",
        "metered",
    ];

    /// Reads every key that is written; a problem for each that is wrong.
    pub(super) fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Self {
        let collections = Collection::ALL.map(|collection| (collection.name(), collection));
        Self {
            people: patterns(reader, section, "people"),
            groups: patterns(reader, section, "groups"),
            hosts: patterns(reader, section, "hosts"),
            systems: patterns(reader, section, "systems"),
            system_versions: patterns(reader, section, "system-versions"),
            collections: reader.choices(section, "collections", &collections),
            metered: reader.flag(section, "metered"),
        }
    }

    /// Whether none is missed, for an account with these collections; with none, for an account of
    /// which they are not known.
    pub(super) fn hold(&self, now: &Circumstances, collections: Option<&[Collection]>) -> bool {
        let one =
            |fact: &Option<String>| fact.as_ref().map(std::slice::from_ref).map(<[_]>::to_vec);
        let named = [
            (&self.people, now.person.clone()),
            (&self.groups, now.groups.clone()),
            (&self.hosts, one(&now.host)),
            (&self.systems, one(&now.system)),
            (&self.system_versions, one(&now.system_version)),
        ];
        let met = |(asked, fact): &(&Option<Vec<Pattern>>, Option<Vec<String>>)| match (asked, fact)
        {
            (Some(patterns), Some(names)) => {
                let any = |name: &String| patterns.iter().any(|p| p.matches(name));
                names.iter().any(any)
            }
            _ => true,
        };
        let brought = match (&self.collections, collections) {
            (Some(asked), Some(brought)) => brought.iter().any(|c| asked.contains(c)),
            _ => true,
        };
        let metered = match (self.metered, now.metered) {
            (Some(asked), Some(metered)) => asked == metered,
            _ => true,
        };
        named.iter().all(met) && brought && metered
    }

    /// Whether both can hold at once, as far as two rules can tell: a person has several names and
    /// groups, and an account several collections.
    pub(super) fn meet(&self, other: &Self) -> bool {
        let common = |a: &Option<Vec<Pattern>>, b: &Option<Vec<Pattern>>| match (a, b) {
            (Some(a), Some(b)) => a.iter().any(|x| b.iter().any(|y| x.overlaps(y))),
            _ => true,
        };
        common(&self.hosts, &other.hosts)
            && common(&self.systems, &other.systems)
            && common(&self.system_versions, &other.system_versions)
            && !matches!((self.metered, other.metered), (Some(a), Some(b)) if a != b)
    }

    /// Whether it matters if the network is metered.
    pub(super) fn ask_for_network(&self) -> bool {
        self.metered.is_some()
    }

    /// The conditions as they are written in a file.
    pub(super) fn written(&self) -> Vec<(&'static str, Value)> {
        let mut written = Vec::new();
        let lists = [
            ("people", &self.people),
            ("groups", &self.groups),
            ("hosts", &self.hosts),
            ("systems", &self.systems),
            ("system-versions", &self.system_versions),
        ];
        for (key, patterns) in lists {
            if let Some(patterns) = patterns {
                let names = patterns.iter().map(|p| Value::String(p.to_string()));
                written.push((key, Value::Array(names.collect())));
            }
        }
        if let Some(collections) = &self.collections {
            let names = collections
                .iter()
                .map(|c| Value::String(c.name().to_owned()));
            written.push(("collections", Value::Array(names.collect())));
        }
        if let Some(metered) = self.metered {
            written.push(("metered", Value::Boolean(metered)));
        }
        written
    }
}
