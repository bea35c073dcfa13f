//! What a file would change, before it is put into its place.

use super::bundle::Bundle;
use super::conditions::Circumstances;
use super::decide::{Decision, decide};
use super::facts::Facts;
use super::source::{Problem, Source};
use super::standing::{Standing, State};
use super::{Policy, unite};

/// Something that would be answered otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The question, by its place in the list.
    pub question: usize,
    /// What changes: the question's verb, or a key.
    pub what: &'static str,
    /// What is answered now.
    pub before: String,
    /// What would be.
    pub after: String,
    /// Who would say so: organisation, rule, place and reason, as sentences.
    pub because: Vec<String>,
}

/// What a file would do to the policy in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simulation {
    /// The file of this name that it would take the place of.
    pub replaces: Option<String>,
    /// What would be answered otherwise.
    pub changes: Vec<Change>,
    /// Contradictions that would be new.
    pub conflicts: Vec<Problem>,
    /// Accounts that would be required, and are not on the device, as sentences.
    pub missing: Vec<String>,
}

/// Answers the questions with the policy in force, and with the file beside it, or, where a file
/// of the same name is in force, in its place.
///
/// `present` are the accounts of the device, each a provider and an identity.
///
/// # Errors
/// What is wrong with the file, or, when the policy in force cannot be read, what is wrong there.
pub fn simulate(
    standing: &Standing,
    file: Source,
    questions: &[Facts],
    present: &[(String, String)],
    now: &Circumstances,
) -> Result<Simulation, Vec<Problem>> {
    // The file first: what is wrong with it is what was asked.
    unite(std::slice::from_ref(&file))?;
    let mut sources = expect_readable(standing)?;
    let name = base_name(&file.path).to_owned();
    let same = sources.iter().position(|s| base_name(&s.path) == name);
    let replaces = same.map(|place| sources.remove(place).path);
    sources.push(file);
    simulate_sources(standing, (replaces, sources), questions, present, now)
}

/// The same with a signed bundle, which takes the place of the one in force.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_bundle(
    standing: &Standing,
    bundle: Bundle,
    questions: &[Facts],
    present: &[(String, String)],
    now: &Circumstances,
) -> Result<Simulation, Vec<Problem>> {
    unite(&bundle.files)?;
    let mut sources = expect_readable(standing)?;
    let before = standing.bundle();
    if let Some(before) = before {
        sources.retain(|source| !before.files.contains(source));
    }
    sources.extend(bundle.files);
    let replaces = before.map(|before| before.path.clone());
    simulate_sources(standing, (replaces, sources), questions, present, now)
}

/// The files of the policy in force.
fn expect_readable(standing: &Standing) -> Result<Vec<Source>, Vec<Problem>> {
    match standing.state() {
        State::Invalid => Err(standing.problems().to_vec()),
        _ => Ok(standing.last_good().unwrap_or_default().to_vec()),
    }
}

fn simulate_sources(
    standing: &Standing,
    (replaces, mut sources): (Option<String>, Vec<Source>),
    questions: &[Facts],
    present: &[(String, String)],
    now: &Circumstances,
) -> Result<Simulation, Vec<Problem>> {
    sources.sort_by(|a, b| base_name(&a.path).cmp(base_name(&b.path)));
    let (before, after) = (standing.policy(), unite(&sources)?);
    let known = before.conflicts();
    let new = |conflict: &Problem| !known.iter().any(|k| k.message == conflict.message);
    Ok(Simulation {
        replaces,
        changes: changes(before, &after, questions),
        conflicts: after.conflicts().into_iter().filter(new).collect(),
        missing: after.missing(present, now),
    })
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn changes(before: &Policy, after: &Policy, questions: &[Facts]) -> Vec<Change> {
    let mut changes = Vec::new();
    for (question, facts) in questions.iter().enumerate() {
        let (old, new) = (decide(before, facts), decide(after, facts));
        let mut tell = |what: &'static str, before: String, after: String| {
            if before != after {
                changes.push(Change {
                    question,
                    what,
                    before,
                    after,
                    because: said(&old, &new),
                });
            }
        };
        let verb = facts.verb.name();
        tell(verb, verdict(&old).to_owned(), verdict(&new).to_owned());
        let terms = old.demands.terms(facts.verb).into_iter();
        for ((key, old), (_, new)) in terms.zip(new.demands.terms(facts.verb)) {
            // What a verdict says already is not said twice.
            if key != "sign-out" && key != "sign-in" {
                tell(key, old, new);
            }
        }
    }
    changes
}

fn verdict(decision: &Decision) -> &'static str {
    match (decision.allowed, decision.lacking.is_empty()) {
        (false, _) => "denied",
        (true, false) => "needs a backup",
        (true, true) => "allowed",
    }
}

/// What is said by one of them only; what is new first.
fn said(old: &Decision, new: &Decision) -> Vec<String> {
    let only = |a: &Decision, b: &Decision| -> Vec<String> {
        let fresh = |sentence: &&String| !b.explanation.contains(sentence);
        a.explanation.iter().filter(fresh).cloned().collect()
    };
    let fresh = only(new, old);
    if fresh.is_empty() {
        only(old, new)
    } else {
        fresh
    }
}

impl Policy {
    /// The accounts that a rule requires and that are not among those of the device, as sentences
    /// that name who requires them, where, why, and whom to ask.
    ///
    /// `present` are the accounts of the device, each a provider and an identity.
    pub fn missing(&self, present: &[(String, String)], now: &Circumstances) -> Vec<String> {
        let mut missing = Vec::new();
        for rule in &self.rules {
            let Some(required) = &rule.demands.require_account else {
                continue;
            };
            if !rule.conditions.hold(now, None) {
                continue;
            }
            let here = present.iter().any(|(provider, identity)| {
                required.names(identity) && rule.names(provider, identity)
            });
            if !here {
                let accounts = super::demand::Demand::words(required);
                let organisation = &rule.organisation;
                missing.push(format!(
                    "{} requires the account {accounts} on this device, and it is not signed in: \
                     {} ({rule}; contact: {}.)",
                    organisation.name,
                    super::denial::full_stop(&rule.reason),
                    organisation.contact
                ));
            }
        }
        missing
    }
}
