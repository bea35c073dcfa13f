//! Why a rule denies something, with everything a person needs to ask the right people.

use super::demand::Data;
use super::facts::Verb;
use super::rule::Rule;
use super::source::Problem;
use crate::receipt::readable;

/// Why a rule denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ground {
    /// It says so.
    Forbidden,
    /// It demands something of the data, and another denial of the same decision demands the
    /// opposite.
    Contradiction(Data),
    /// It requires that the account is on this device.
    Required,
    /// It allows others only. The key that names them.
    Only(&'static str),
    /// It allows it at other hours.
    Hours,
    /// It wants a backup first.
    Backup,
    /// The policy cannot be read.
    Unreadable,
}

/// A rule that denies something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Denial {
    /// Who says so.
    pub organisation: String,
    /// The rule's name.
    pub rule: String,
    /// The file that holds the rule.
    pub file: String,
    /// The line of its `[[rule]]`, counted from 1; 0 when a whole file is meant.
    pub line: u32,
    /// Why, for a person.
    pub reason: String,
    /// Whom to ask.
    pub contact: String,
    /// What makes it a denial.
    pub ground: Ground,
}

impl Denial {
    /// What happened, why, whose rule it is and whom to ask.
    pub fn sentence(&self) -> String {
        let place = match (self.line, readable(self.file.as_bytes())) {
            (0, file) => file,
            (line, file) => format!("{file}:{line}"),
        };
        let verdict = match self.ground {
            Ground::Backup => "wants a backup before this",
            _ => "does not allow this",
        };
        format!(
            "{} {verdict}: {} (Rule {}, {place}; contact: {}.)",
            self.organisation,
            full_stop(&self.reason),
            self.rule,
            self.contact
        )
    }

    /// A denial because the rule says so.
    pub(super) fn forbidden(rule: &Rule) -> Self {
        Self {
            organisation: rule.organisation.name.clone(),
            rule: rule.name.clone(),
            file: rule.file.clone(),
            line: rule.line,
            reason: rule.reason.clone(),
            contact: rule.organisation.contact.clone(),
            ground: Ground::Forbidden,
        }
    }

    /// A denial that follows from what the rule says, with how it does.
    pub(super) fn because(rule: &Rule, ground: Ground, how: &str) -> Self {
        Self {
            reason: format!("{how}. The rule's own reason: {}", rule.reason),
            ground,
            ..Self::forbidden(rule)
        }
    }

    /// Names no other rule, so that it stays the same whatever rules are added.
    pub(super) fn contradiction(rule: &Rule, data: Data) -> Self {
        let reason = format!(
            "this rule wants the data {} and another wants the opposite, so neither can be done. \
             Its own reason: {}",
            data.participle(),
            rule.reason
        );
        Self {
            reason,
            ground: Ground::Contradiction(data),
            ..Self::forbidden(rule)
        }
    }

    /// A denial because nobody knows the rules.
    pub(super) fn unreadable(problem: &Problem) -> Self {
        Self {
            organisation: "The administration of this device".to_owned(),
            rule: "policy-unreadable".to_owned(),
            file: problem.file.clone(),
            line: problem.line,
            reason: format!(
                "the policy cannot be read, so nobody knows what it forbids: {problem}"
            ),
            contact: "whoever administers this device".to_owned(),
            ground: Ground::Unreadable,
        }
    }

    /// The key that it follows from.
    pub(super) fn key(&self, verb: Verb) -> &'static str {
        match self.ground {
            Ground::Forbidden if verb == Verb::SignIn => "sign-in",
            Ground::Forbidden | Ground::Unreadable => "sign-out",
            Ground::Contradiction(_) => "data",
            Ground::Required => "require-account",
            Ground::Only(key) => key,
            Ground::Hours => "hours",
            Ground::Backup => "backup",
        }
    }
}

/// A sentence that ends as one.
pub(super) fn full_stop(text: &str) -> String {
    let stop = if text.ends_with(['.', '!', '?', '…']) {
        ""
    } else {
        "."
    };
    format!("{text}{stop}")
}
