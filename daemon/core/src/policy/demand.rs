//! What a rule can demand, and how the demands of several rules become one.

use toml::Value;

use super::reader::{Reader, Section};

/// How the demands of two rules become one. A join is commutative, associative and idempotent, and
/// never less restrictive than either side; its identity is `Default`. So one more rule can only
/// restrict, and the order of rules and files means nothing.
pub trait Join: Default {
    /// The least demand that is as restrictive as both.
    #[must_use]
    fn join(self, other: Self) -> Self;
}

/// The value of a key of a rule.
pub(super) trait Demand: Join {
    /// Reads it; none when the key is missing, or wrong, and then a problem.
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self>;

    /// As it is written in a file.
    fn value(&self) -> Value;

    /// As it is told to a person.
    fn words(&self) -> String {
        match self.value() {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }
}

/// Whether something may happen. A denial prevails over any number of permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It may.
    #[default]
    Allow,
    /// It may not.
    Deny,
}

impl Verdict {
    /// Every verdict with its name in files.
    pub const ALL: [(&'static str, Self); 2] = [("allow", Self::Allow), ("deny", Self::Deny)];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl Demand for Verdict {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        reader.choice(section, key, &Self::ALL)
    }

    fn value(&self) -> Value {
        Value::String(self.name().to_owned())
    }
}

impl Join for Verdict {
    fn join(self, other: Self) -> Self {
        self.max(other)
    }
}

/// What happens to the account's files on this device at a sign-out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Data {
    /// The person chooses.
    #[default]
    Ask,
    /// They are removed.
    Remove,
    /// They stay.
    Keep,
    /// One rule wants them removed and another kept: nothing may happen. No file can say so.
    Conflict,
}

impl Data {
    /// What a file can demand, by name.
    pub const DEMANDS: [(&'static str, Self); 3] = [
        ("remove", Self::Remove),
        ("keep", Self::Keep),
        ("ask", Self::Ask),
    ];

    /// The name in files and on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Remove => "remove",
            Self::Keep => "keep",
            Self::Conflict => "conflict",
        }
    }

    /// As in "wants the data kept".
    pub(super) fn participle(self) -> &'static str {
        match self {
            Self::Ask => "to be asked about",
            Self::Remove => "removed",
            Self::Keep => "kept",
            Self::Conflict => "both removed and kept",
        }
    }
}

impl Demand for Data {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        reader.choice(section, key, &Self::DEMANDS)
    }

    fn value(&self) -> Value {
        Value::String(self.name().to_owned())
    }
}

impl Join for Data {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Ask, data) | (data, Self::Ask) => data,
            (a, b) if a == b => a,
            _ => Self::Conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data() -> impl Strategy<Value = Data> {
        prop::sample::select(vec![Data::Ask, Data::Remove, Data::Keep, Data::Conflict])
    }

    proptest! {
        #[test]
        fn joining_data_is_a_semilattice(a in data(), b in data(), c in data()) {
            prop_assert_eq!(a.join(a), a);
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
            prop_assert_eq!(a.join(Data::default()), a);
        }
    }

    #[test]
    fn a_denial_prevails() {
        assert_eq!(Verdict::Deny.join(Verdict::Allow), Verdict::Deny);
        assert_eq!(Verdict::Allow.join(Verdict::Deny), Verdict::Deny);
        assert_eq!(Verdict::default(), Verdict::Allow);
    }
}
