//! Demands of a backup: that there is one before files are removed, and how old it may be.

use std::time::Duration;

use toml::Value;

use super::demand::{Demand, Join};
use super::reader::{Reader, Section};
use super::source::quoted;

/// The shortest age that can be demanded: a sign-out has to begin within it.
const MIN_AGE: Duration = Duration::from_secs(60);
/// The longest age that can be demanded; what is older is no bound.
const MAX_AGE: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// How far ahead of the clock a backup may be dated and still count as new, in seconds. Beyond it
/// the clock was set, and nobody knows how old the backup is.
const MAX_AHEAD: u64 = 300;

/// Which backup there has to be before a sign-out removes files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backup {
    /// None. No file says so: leaving the key out does.
    #[default]
    NotRequired,
    /// One with everything that is removed.
    Required,
    /// One that was also read back.
    Verified,
}

impl Backup {
    /// What a file can demand, by name.
    const DEMANDS: [(&'static str, Self); 2] =
        [("required", Self::Required), ("verified", Self::Verified)];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotRequired => "not required",
            Self::Required => "required",
            Self::Verified => "verified",
        }
    }
}

impl Join for Backup {
    fn join(self, other: Self) -> Self {
        self.max(other)
    }
}

impl Demand for Backup {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        reader.choice(section, key, &Self::DEMANDS)
    }

    fn value(&self) -> Value {
        Value::String(self.name().to_owned())
    }
}

/// How old the backup may be. The shorter wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxAge(Duration);

impl Default for MaxAge {
    fn default() -> Self {
        Self(Duration::MAX)
    }
}

impl Join for MaxAge {
    fn join(self, other: Self) -> Self {
        self.min(other)
    }
}

impl Demand for MaxAge {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        let text = reader.text(section, key)?;
        match humantime::parse_duration(text.get_ref()) {
            Ok(age) if (MIN_AGE..=MAX_AGE).contains(&age) => Some(Self(age)),
            Ok(_) => {
                let message = format!("`{key}` is at least 1m and at most 3650d");
                reader.note(&text.span(), message);
                None
            }
            Err(_) => {
                let word = quoted(text.get_ref());
                let message = format!("`{key}` cannot be {word}: write a time, as in 12h or 7d");
                reader.note(&text.span(), message);
                None
            }
        }
    }

    fn value(&self) -> Value {
        Value::String(self.to_string())
    }
}

impl std::fmt::Display for MaxAge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// The last backup of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenBackup {
    /// When it was begun, in seconds since the Unix epoch.
    pub when: u64,
    /// Whether every file of the account is in it.
    pub complete: bool,
    /// Whether it was read back.
    pub read_back: bool,
}

/// What a demand of a backup misses; none when it is met.
pub(super) fn lacks(
    demand: Backup,
    age: Option<MaxAge>,
    last: Option<&TakenBackup>,
    now: u64,
) -> Option<String> {
    if demand == Backup::NotRequired {
        return None;
    }
    let Some(last) = last else {
        return Some("no backup was made".to_owned());
    };
    if !last.complete {
        return Some("the last backup misses some of the files".to_owned());
    }
    if demand == Backup::Verified && !last.read_back {
        return Some("the last backup was not read back".to_owned());
    }
    let age = age?;
    if last.when > now.saturating_add(MAX_AHEAD) {
        return Some("the last backup is dated in the future".to_owned());
    }
    let old = now.saturating_sub(last.when) > age.0.as_secs();
    old.then(|| format!("the last backup is older than {age}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const LAST: TakenBackup = TakenBackup {
        when: 1_000_000,
        complete: true,
        read_back: true,
    };

    #[test]
    fn a_backup_is_met_to_the_second() {
        let age = Some(MaxAge(Duration::from_secs(3600)));
        let lacks = |now| lacks(Backup::Verified, age, Some(&LAST), now);
        assert_eq!(lacks(LAST.when + 3600), None);
        assert!(lacks(LAST.when + 3601).unwrap().contains("older than 1h"));
        // A clock that was set back makes no old backup new.
        assert_eq!(lacks(LAST.when - MAX_AHEAD), None);
        assert!(lacks(LAST.when - MAX_AHEAD - 1).unwrap().contains("future"));
    }

    #[test]
    fn an_incomplete_or_missing_backup_is_none() {
        let part = TakenBackup {
            complete: false,
            ..LAST
        };
        assert!(lacks(Backup::Required, None, Some(&part), 0).is_some());
        assert!(lacks(Backup::Required, None, None, 0).is_some());
        assert_eq!(lacks(Backup::NotRequired, None, None, 0), None);
        assert_eq!(lacks(Backup::Required, None, Some(&LAST), u64::MAX), None);
        let unread = TakenBackup {
            read_back: false,
            ..LAST
        };
        assert_eq!(lacks(Backup::Required, None, Some(&unread), 0), None);
        assert!(lacks(Backup::Verified, None, Some(&unread), 0).is_some());
    }
}
