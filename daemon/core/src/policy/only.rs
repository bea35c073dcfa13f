//! Demands that name what is meant: the only identities, providers and collections that may be
//! signed in with here, and the accounts that have to be.

use std::collections::BTreeSet;

use toml::Value;

use super::demand::{Demand, Join};
use super::pattern::Pattern;
use super::reader::{Reader, Section};
use crate::collection::Collection;

/// Lists of names; what may be is in every one of them. No list at all admits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only(BTreeSet<BTreeSet<Pattern>>);

impl Only {
    /// Whether this name is in every list.
    pub fn admits(&self, name: &str) -> bool {
        let listed = |list: &BTreeSet<Pattern>| list.iter().any(|pattern| pattern.matches(name));
        self.0.iter().all(listed)
    }

    /// Whether some name is in every list of both, as far as two lists at a time can tell.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let common = |a: &BTreeSet<Pattern>, b: &BTreeSet<Pattern>| {
            a.iter().any(|x| b.iter().any(|y| x.overlaps(y)))
        };
        self.0.iter().all(|a| other.0.iter().all(|b| common(a, b)))
    }

    /// Whether some name that the pattern is about is in every list, taken one by one.
    pub(super) fn meets_pattern(&self, pattern: &Pattern) -> bool {
        let overlaps = |list: &BTreeSet<Pattern>| list.iter().any(|p| p.overlaps(pattern));
        self.0.iter().all(overlaps)
    }
}

impl Join for Only {
    fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl Demand for Only {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        let patterns = patterns(reader, section, key)?;
        Some(Self(BTreeSet::from([patterns.into_iter().collect()])))
    }

    fn value(&self) -> Value {
        let mut lists = self.0.iter().map(listed);
        match (lists.next(), lists.len()) {
            (Some(list), 0) => list,
            // Of several rules: no file says it in one, and every list stands.
            (first, _) => Value::Array(first.into_iter().chain(lists).collect()),
        }
    }

    fn words(&self) -> String {
        let list = |list: &BTreeSet<Pattern>| comma(list.iter());
        let lists: Vec<String> = self.0.iter().map(list).collect();
        lists.join("; of these, ")
    }
}

/// Collections; what may be is one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlyCollections(BTreeSet<Collection>);

impl OnlyCollections {
    /// Whether this collection may be.
    pub fn admits(&self, collection: Collection) -> bool {
        self.0.contains(&collection)
    }

    /// Whether some collection may be by both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }
}

impl Default for OnlyCollections {
    fn default() -> Self {
        Self(BTreeSet::from(Collection::ALL))
    }
}

impl Join for OnlyCollections {
    fn join(self, other: Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }
}

impl Demand for OnlyCollections {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        let words = Collection::ALL.map(|collection| (collection.name(), collection));
        let chosen = reader.choices(section, key, &words)?;
        Some(Self(chosen.into_iter().collect()))
    }

    fn value(&self) -> Value {
        listed(&self.0)
    }

    fn words(&self) -> String {
        match self.0.is_empty() {
            true => "none".to_owned(),
            false => comma(self.0.iter()),
        }
    }
}

/// Accounts that have to be signed in on the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Required(pub(super) BTreeSet<Pattern>);

impl Required {
    /// Whether an account of this identity is one of them.
    pub fn names(&self, identity: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(identity))
    }
}

impl Join for Required {
    fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl Demand for Required {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        let text = reader.text(section, key)?;
        match Pattern::parse(text.get_ref()) {
            Ok(pattern) => Some(Self(BTreeSet::from([pattern]))),
            Err(message) => {
                reader.note(&text.span(), message);
                None
            }
        }
    }

    fn value(&self) -> Value {
        let mut patterns = self.0.iter();
        match (patterns.next(), patterns.len()) {
            (Some(pattern), 0) => Value::String(pattern.to_string()),
            _ => listed(&self.0),
        }
    }

    fn words(&self) -> String {
        comma(self.0.iter())
    }
}

/// A list of patterns; none when the key is missing.
pub(super) fn patterns(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    key: &str,
) -> Option<Vec<Pattern>> {
    let mut patterns = Vec::new();
    for text in reader.texts(section, key)? {
        match Pattern::parse(text.get_ref()) {
            Ok(pattern) => patterns.push(pattern),
            Err(message) => reader.note(&text.span(), message),
        }
    }
    Some(patterns)
}

fn listed<T: ToString>(names: &BTreeSet<T>) -> Value {
    Value::Array(names.iter().map(|n| Value::String(n.to_string())).collect())
}

fn comma<T: ToString>(names: impl Iterator<Item = T>) -> String {
    names.map(|n| n.to_string()).collect::<Vec<_>>().join(", ")
}
