//! What becomes of a sign-out that another device or the organisation wants outside of its hours:
//! nobody is there who could be told to come back later.

use toml::Value;

use super::demand::{Demand, Join};
use super::reader::{Reader, Section};

/// Whether it waits for its hours. To refuse it is the stronger demand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutsideHours {
    /// It waits, and begins at the next of them.
    #[default]
    Wait,
    /// It does not happen.
    Refuse,
}

impl OutsideHours {
    /// Every demand with its name in files.
    const ALL: [(&'static str, Self); 2] = [("wait", Self::Wait), ("refuse", Self::Refuse)];
}

impl Demand for OutsideHours {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        reader.choice(section, key, &Self::ALL)
    }

    fn value(&self) -> Value {
        let name = match self {
            Self::Wait => "wait",
            Self::Refuse => "refuse",
        };
        Value::String(name.to_owned())
    }
}

impl Join for OutsideHours {
    fn join(self, other: Self) -> Self {
        self.max(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_refuse_prevails() {
        let (wait, refuse) = (OutsideHours::Wait, OutsideHours::Refuse);
        assert_eq!(wait.join(refuse), refuse);
        assert_eq!(refuse.join(wait), refuse);
        assert_eq!(wait.join(wait), OutsideHours::default());
    }
}
