//! What a file would change, before it is put into its place.

use std::collections::BTreeSet;

use super::bundle::Bundle;
use super::conditions::Circumstances;
use super::decide::{Decision, decide};
use super::facts::Facts;
use super::source::{Problem, Source};
use super::standing::{Standing, State};
use super::{Policy, unite};

/// The most bytes of changes that are told: a few rules about many accounts repeat themselves.
pub const MAX_SIMULATION_BYTES: usize = 4 * 1024 * 1024;
/// What a change takes besides its reasons, about.
const CHANGE_BYTES: usize = 512;

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
    /// What would be answered otherwise: the first of it, at most [`MAX_SIMULATION_BYTES`].
    pub changes: Vec<Change>,
    /// How many changes there are in all.
    pub changes_total: usize,
    /// Contradictions in which it would take part.
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
    let new = (sources, vec![file]);
    simulate_sources(standing, replaces, new, questions, present, now)
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
    let replaces = before.map(|before| before.path.clone());
    let new = (sources, bundle.files);
    simulate_sources(standing, replaces, new, questions, present, now)
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
    replaces: Option<String>,
    (others, new): (Vec<Source>, Vec<Source>),
    questions: &[Facts],
    present: &[(String, String)],
    now: &Circumstances,
) -> Result<Simulation, Vec<Problem>> {
    let mut sources = [others.clone(), new].concat();
    sources.sort_by(|a, b| base_name(&a.path).cmp(base_name(&b.path)));
    let (before, after) = (standing.policy(), unite(&sources)?);
    // Those without it: what it takes part in now, it would take part in then.
    let known = unite(&others)?.conflicts();
    let new = |conflict: &Problem| !known.iter().any(|k| k.message == conflict.message);
    let (changes, changes_total) = changes(before, &after, questions);
    Ok(Simulation {
        replaces,
        changes,
        changes_total,
        conflicts: after.conflicts().into_iter().filter(new).collect(),
        missing: after.missing(present, now),
    })
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What would be answered otherwise, as far as it is told, and how much there is of it.
fn changes(before: &Policy, after: &Policy, questions: &[Facts]) -> (Vec<Change>, usize) {
    let (mut changes, mut total) = (Vec::new(), 0);
    let mut room = MAX_SIMULATION_BYTES;
    for (question, facts) in questions.iter().enumerate() {
        let (old, new) = (decide(before, facts), decide(after, facts));
        let differences = differences(&old, &new, facts);
        total += differences.len();
        if room == 0 || differences.is_empty() {
            continue;
        }
        let because = said(&old, &new);
        let size = CHANGE_BYTES + because.iter().map(String::len).sum::<usize>();
        for (what, before, after) in differences {
            let size = size + before.len() + after.len();
            let Some(left) = room.checked_sub(size) else {
                room = 0;
                break;
            };
            room = left;
            changes.push(Change {
                question,
                what,
                before,
                after,
                because: because.clone(),
            });
        }
    }
    (changes, total)
}

/// What two decisions about a question do not have in common: what it is, before and after.
fn differences(
    old: &Decision,
    new: &Decision,
    facts: &Facts,
) -> Vec<(&'static str, String, String)> {
    let verb = facts.verb.name();
    let verdicts = (verb, verdict(old).to_owned(), verdict(new).to_owned());
    let terms = old.demands.terms(facts.verb).into_iter();
    let terms = terms.zip(new.demands.terms(facts.verb));
    let terms = terms.map(|((key, old), (_, new))| (key, old, new));
    // What a verdict says already is not said twice.
    let terms = terms.filter(|(key, ..)| *key != "sign-out" && *key != "sign-in");
    let all = std::iter::once(verdicts).chain(terms);
    all.filter(|(_, before, after)| before != after).collect()
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
        let known: BTreeSet<&String> = b.explanation.iter().collect();
        let fresh = |sentence: &&String| !known.contains(sentence);
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
