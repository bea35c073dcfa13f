//! Demands of an account in use: of its passwords, and of the age of its session.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;

use super::Policy;
use super::conditions::Circumstances;
use super::demand::{Demand, Join};
use super::demands::Demands;
use super::facts::Actor;
use super::reader::{Reader, Section};
use super::rule::Rule;
use super::source::quoted;
use crate::attempts::{FREE_FAILURES, LONGEST_DELAY_SECONDS, MAX_DELAY_SECONDS, Slowing};
use crate::settings::MIN_PASSWORD;

/// How many wrong passwords can be left free. More than without a policy would loosen something.
const TRIES: RangeInclusive<u32> = 0..=FREE_FAILURES;
/// How long the wait can get: at least as without a policy, at most so that there is a next time.
const DELAY: RangeInclusive<Duration> =
    Duration::from_secs(MAX_DELAY_SECONDS)..=Duration::from_secs(LONGEST_DELAY_SECONDS);
/// How old a session can be let become: long enough to work in, and short enough to mean something.
const SESSION: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(3650 * 24 * 60 * 60);

/// How many characters a new password has at least. The longer wins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinLength(u16);

impl Join for MinLength {
    fn join(self, other: Self) -> Self {
        self.max(other)
    }
}

impl Demand for MinLength {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        number(reader, section, key, MIN_PASSWORD).map(Self)
    }

    fn value(&self) -> Value {
        Value::Integer(self.0.into())
    }
}

/// How many wrong passwords cost no wait. The fewer win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tries(u32);

impl Default for Tries {
    fn default() -> Self {
        Self(*TRIES.end())
    }
}

impl Join for Tries {
    fn join(self, other: Self) -> Self {
        self.min(other)
    }
}

impl Demand for Tries {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        number(reader, section, key, TRIES).map(Self)
    }

    fn value(&self) -> Value {
        Value::Integer(self.0.into())
    }
}

/// How long the wait after wrong passwords gets. The longer wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delay(Duration);

impl Default for Delay {
    fn default() -> Self {
        Self(*DELAY.start())
    }
}

impl Join for Delay {
    fn join(self, other: Self) -> Self {
        self.max(other)
    }
}

impl Demand for Delay {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        duration(reader, section, key, DELAY).map(Self)
    }

    fn value(&self) -> Value {
        Value::String(humantime::format_duration(self.0).to_string())
    }
}

/// How old a session may become. The shorter wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionAge(Duration);

impl Default for SessionAge {
    fn default() -> Self {
        Self(Duration::MAX)
    }
}

impl Join for SessionAge {
    fn join(self, other: Self) -> Self {
        self.min(other)
    }
}

impl Demand for SessionAge {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        duration(reader, section, key, SESSION).map(Self)
    }

    fn value(&self) -> Value {
        Value::String(humantime::format_duration(self.0).to_string())
    }
}

fn number<T: Copy + PartialOrd + TryFrom<i64> + std::fmt::Display>(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    key: &str,
    range: RangeInclusive<T>,
) -> Option<T> {
    let number = reader.number(section, key)?;
    match T::try_from(*number.get_ref()) {
        Ok(value) if range.contains(&value) => Some(value),
        _ => {
            let (least, most) = (range.start(), range.end());
            let message = format!("`{key}` lies between {least} and {most}: change it");
            reader.note(&number.span(), message);
            None
        }
    }
}

/// A time in whole seconds: a clock that is compared knows no parts of them.
fn duration(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    key: &str,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    let text = reader.text(section, key)?;
    let message = match humantime::parse_duration(text.get_ref()) {
        Ok(time) if range.contains(&time) && time.subsec_nanos() == 0 => return Some(time),
        Ok(_) => {
            let [least, most] =
                [range.start(), range.end()].map(|t| humantime::format_duration(*t));
            format!("`{key}` lies between {least} and {most}, in whole seconds: change it")
        }
        Err(_) => {
            let word = quoted(text.get_ref());
            format!("`{key}` cannot be {word}: write a time, as in 1h or 30d")
        }
    };
    reader.note(&text.span(), message);
    None
}

/// How old the session of an account may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLimit {
    /// In seconds.
    pub seconds: u64,
    /// Who says so, why, where and whom to ask, as sentences.
    pub said: String,
}

/// What a policy demands of an account in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// How many characters a new password has at least, if any rule says, and who says so.
    pub min_length: Option<(u16, String)>,
    /// How wrong passwords are slowed down.
    pub slowing: Slowing,
    /// How old the session may become, if any rule says.
    pub session: Option<SessionLimit>,
}

impl Policy {
    /// What is demanded of the account of this identity at this kind of provider: of the person
    /// who uses it, so by rules that bind the person.
    pub fn terms(&self, provider: &str, identity: &str, now: &Circumstances) -> Terms {
        let binds = |rule: &&Rule| rule.binds(Actor::Person, provider, identity, now);
        let rules: Vec<&Rule> = self.rules.iter().filter(binds).collect();
        let all = rules.iter().map(|rule| rule.demands.clone());
        let all = all.fold(Demands::default(), Join::join);
        // Of several rules that say the same, the first one speaks.
        let first = |has: &dyn Fn(&Demands) -> bool| {
            let rule = rules.iter().find(|rule| has(&rule.demands));
            rule.map(|rule| said(rule)).unwrap_or_default()
        };
        let usual = Slowing::default();
        Terms {
            min_length: all
                .password_min_length
                .map(|least| (least.0, first(&|d| d.password_min_length == Some(least)))),
            slowing: Slowing {
                free_failures: all
                    .password_tries
                    .map_or(usual.free_failures, |tries| tries.0),
                max_delay_seconds: all
                    .password_delay
                    .map_or(usual.max_delay_seconds, |delay| delay.0.as_secs()),
            },
            session: all.session_max_age.map(|age| SessionLimit {
                seconds: age.0.as_secs(),
                said: first(&|d| d.session_max_age == Some(age)),
            }),
        }
    }
}

fn said(rule: &Rule) -> String {
    let reason = rule.reason.trim_end_matches('.');
    let (name, contact) = (&rule.organisation.name, &rule.organisation.contact);
    format!("{name} asks for it: {reason}. ({rule}; contact: {contact})")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::{Source, unite};
    use super::*;

    const HEAD: &str = "[organisation]\nname = \"Example GmbH\"\ncontact = \"it@example.org\"\n";

    fn policy(rules: &[&str]) -> Result<Policy, Vec<String>> {
        let mut text = HEAD.to_owned();
        for (n, rule) in rules.iter().enumerate() {
            text.push_str(&format!(
                "[[rule]]\nname = \"r{n}\"\nreason = \"Why {n}.\"\n{rule}\n"
            ));
        }
        let source = Source {
            path: "p.toml".to_owned(),
            text,
        };
        unite(&[source]).map_err(|found| found.into_iter().map(|p| p.message).collect())
    }

    #[test]
    fn the_most_restrictive_of_each_key_is_in_force_and_says_whose_it_is() {
        let strict = policy(&[
            "password-min-length = 12\npassword-tries = 3\npassword-delay = \"1h\"",
            "password-min-length = 10\npassword-tries = 0\npassword-delay = \"30m\"",
            "session-max-age = \"30d\"",
            "session-max-age = \"7d\"",
            "session-max-age = \"1d\"\nidentities = [\"bob\"]",
            "session-max-age = \"1h\"\nactors = [\"device\"]",
        ]);
        let terms = strict
            .unwrap()
            .terms("local", "alice", &Circumstances::default());
        assert_eq!(
            terms.slowing,
            Slowing {
                free_failures: 0,
                max_delay_seconds: 3600
            }
        );
        let (least, said) = terms.min_length.unwrap();
        assert!(least == 12 && said.contains("Why 0."), "{least} {said}");
        let session = terms.session.unwrap();
        assert_eq!(session.seconds, 7 * 86400);
        for part in [
            "Example GmbH",
            "Why 3.",
            "rule r3 (p.toml:",
            "it@example.org",
        ] {
            assert!(session.said.contains(part), "{}", session.said);
        }
    }

    #[test]
    fn no_rule_is_the_usual() {
        assert_eq!(
            Policy::default().terms("local", "alice", &Circumstances::default()),
            Terms::default()
        );
        let other = policy(&["session-max-age = \"7d\"\nidentities = [\"bob\"]"]).unwrap();
        assert_eq!(
            other.terms("local", "alice", &Circumstances::default()),
            Terms::default()
        );
    }

    #[test]
    fn nothing_looser_than_the_usual_can_be_written_and_nobody_is_locked_out() {
        for wrong in [
            "password-min-length = 7",
            "password-min-length = 129",
            "password-tries = 4",
            "password-tries = -1",
            "password-delay = \"14m\"",
            "password-delay = \"25h\"",
            "session-max-age = \"59s\"",
            "session-max-age = \"61500ms\"",
            "session-max-age = \"11y\"",
        ] {
            let found = policy(&[wrong]).unwrap_err();
            assert!(found[0].contains("lies between"), "{wrong}: {found:?}");
        }
        let found = policy(&["session-max-age = \"soon\""]).unwrap_err();
        assert!(found[0].contains("as in 1h or 30d"), "{found:?}");
    }
}
