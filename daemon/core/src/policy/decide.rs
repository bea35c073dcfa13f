//! The decision: a question, all rules, one answer with everyone who had a say in it.

use std::fmt;

use super::Policy;
use super::demand::{Data, Join, Verdict};
use super::facts::{Actor, Facts, Verb};
use super::rule::Rule;
use super::source::Problem;
use crate::receipt::readable;

/// What policy says about something that someone wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may happen. True exactly when there are no denials.
    pub allowed: bool,
    /// What happens to the data, if it may.
    pub data: Data,
    /// Who forbids it.
    pub denials: Vec<Denial>,
    /// How every rule that is about it contributed, as sentences, denials first.
    pub explanation: Vec<String>,
}

impl Decision {
    /// All denials as one text for a person; none when it is allowed.
    pub fn refusal(&self) -> Option<String> {
        let sentences: Vec<String> = self.denials.iter().map(Denial::sentence).collect();
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }
}

/// Why a rule denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ground {
    /// It says so.
    Forbidden,
    /// It demands something of the data, and another denial of the same decision demands the
    /// opposite.
    Contradiction(Data),
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
        format!(
            "{} does not allow this: {} (Rule {}, {place}; contact: {}.)",
            self.organisation,
            full_stop(&self.reason),
            self.rule,
            self.contact
        )
    }

    fn forbidden(rule: &Rule) -> Self {
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

    /// Names no other rule, so that it stays the same whatever rules are added.
    fn contradiction(rule: &Rule, data: Data) -> Self {
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

    fn unreadable(problem: &Problem) -> Self {
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
}

/// Whether something may happen, and on what terms.
pub fn decide(policy: &Policy, facts: &Facts) -> Decision {
    if let Some(problem) = &policy.unreadable {
        let denial = Denial::unreadable(problem);
        let explanation = vec![denial.sentence()];
        return Decision {
            allowed: false,
            data: Data::Ask,
            denials: vec![denial],
            explanation,
        };
    }
    let rules: Vec<&Rule> = policy
        .rules
        .iter()
        .filter(|rule| rule.is_about(facts))
        .collect();
    match facts.verb {
        Verb::SignOut => sign_out(&rules, facts),
    }
}

fn sign_out(rules: &[&Rule], facts: &Facts) -> Decision {
    let verdict = joined(rules.iter().filter_map(|rule| rule.sign_out));
    let data = joined(rules.iter().filter_map(|rule| rule.data));
    let mut denials: Vec<Denial> = rules
        .iter()
        .filter(|rule| rule.sign_out == Some(Verdict::Deny))
        .map(|rule| Denial::forbidden(rule))
        .collect();
    if data == Data::Conflict {
        denials.extend(rules.iter().filter_map(|rule| match rule.data {
            Some(demand @ (Data::Remove | Data::Keep)) => Some(Denial::contradiction(rule, demand)),
            _ => None,
        }));
    }
    Decision {
        allowed: verdict == Verdict::Allow && data != Data::Conflict,
        data,
        explanation: explain(rules, facts, &denials, data),
        denials,
    }
}

fn joined<T: Join>(demands: impl Iterator<Item = T>) -> T {
    demands.fold(T::default(), Join::join)
}

fn explain(rules: &[&Rule], facts: &Facts, denials: &[Denial], data: Data) -> Vec<String> {
    let mut sentences: Vec<String> = denials.iter().map(Denial::sentence).collect();
    for rule in rules {
        let name = &rule.organisation.name;
        match rule.data {
            Some(demand) if data != Data::Conflict || demand == Data::Ask => {
                sentences.push(format!(
                    "{name}: {rule} wants the data {}: {}",
                    demand.participle(),
                    full_stop(&rule.reason)
                ))
            }
            _ => {}
        }
    }
    for rule in rules
        .iter()
        .filter(|rule| rule.sign_out == Some(Verdict::Allow))
    {
        let reason = full_stop(&rule.reason);
        let (name, but) = (&rule.organisation.name, "which overrides no denial");
        sentences.push(format!("{name}: {rule} allows it, {but}: {reason}"));
    }
    if rules.is_empty() {
        sentences.push(format!(
            "No rule speaks about {} of {} at {} by {}: it is allowed.",
            facts.verb.name(),
            facts.identity.escape_debug(),
            facts.provider.escape_debug(),
            Subject(facts.actor)
        ));
    }
    sentences
}

/// An actor in a sentence.
struct Subject(Actor);

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Actor::Person => "the person",
            Actor::Device => "another device",
            Actor::Organisation => "the organisation",
        })
    }
}

/// A sentence that ends as one.
fn full_stop(text: &str) -> String {
    let stop = if text.ends_with(['.', '!', '?', '…']) {
        ""
    } else {
        "."
    };
    format!("{text}{stop}")
}
