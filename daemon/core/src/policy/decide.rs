//! The decision: a question, all rules, one answer with everyone who had a say in it.

use std::fmt;

use super::Policy;
use super::backup;
use super::demand::{Data, Join, Verdict};
use super::demands::Demands;
use super::denial::{Denial, Ground, full_stop};
use super::facts::{Actor, Facts, Verb};
use super::outside::OutsideHours;
use super::rule::Rule;

/// What policy says about something that someone wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may happen. True exactly when there are no denials.
    pub allowed: bool,
    /// What happens to the data, if it may.
    pub data: Data,
    /// Who forbids it.
    pub denials: Vec<Denial>,
    /// Who wants a backup first that is not there.
    pub lacking: Vec<Denial>,
    /// What is demanded in all, of the keys that this decision looks at.
    pub demands: Demands,
    /// How every rule that is about it contributed, as sentences, denials first.
    pub explanation: Vec<String>,
}

impl Decision {
    /// All denials as one text for a person; none when it is allowed.
    pub fn refusal(&self) -> Option<String> {
        text(&self.denials)
    }

    /// Until when it is to wait, if the hour is all that is against it and it is not to be refused
    /// for that; in seconds since the Unix epoch, as `now`.
    pub fn waits_until(&self, now: u64) -> Option<u64> {
        let only_the_hour = |denial: &Denial| denial.ground == Ground::Hours;
        let waits = self.demands.outside_hours.unwrap_or_default() == OutsideHours::Wait;
        if self.allowed || !waits || !self.denials.iter().all(only_the_hour) {
            return None;
        }
        self.demands.hours.as_ref()?.next(now)
    }

    /// Who wants a backup first, as one text for a person; none when nobody does.
    pub fn backup_first(&self) -> Option<String> {
        text(&self.lacking)
    }
}

fn text(denials: &[Denial]) -> Option<String> {
    let sentences: Vec<String> = denials.iter().map(Denial::sentence).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Whether something may happen, and on what terms.
///
/// A backup is never denied: it loses nothing, and may be what someone demands.
pub fn decide(policy: &Policy, facts: &Facts) -> Decision {
    if let (Some(problem), true) = (&policy.unreadable, facts.verb != Verb::Backup) {
        let denial = Denial::unreadable(problem);
        return Decision {
            allowed: false,
            data: Data::Ask,
            explanation: vec![denial.sentence()],
            denials: vec![denial],
            lacking: Vec::new(),
            demands: Demands::default(),
        };
    }
    let about = policy.rules.iter().filter(|rule| rule.is_about(facts));
    let heard: Vec<Heard<'_>> = about
        .map(|rule| (rule, rule.demands.of(facts.verb)))
        .filter(|(_, demands)| !demands.is_empty())
        .collect();
    let all = heard.iter().map(|(_, demands)| demands.clone());
    let demands = all.fold(Demands::default(), Join::join);
    let denials = denials(&heard, &demands, facts);
    let lacking = lacking(&heard, facts);
    Decision {
        allowed: denials.is_empty(),
        data: demands.data.unwrap_or_default(),
        explanation: explain(&heard, facts, &denials, &lacking),
        denials,
        lacking,
        demands,
    }
}

/// A rule that is about the question, and what of it is.
type Heard<'a> = (&'a Rule, Demands);

fn denials(heard: &[Heard<'_>], all: &Demands, facts: &Facts) -> Vec<Denial> {
    let mut denials = Vec::new();
    for (rule, demands) in heard {
        let verdicts = [demands.sign_out, demands.sign_in];
        if verdicts.contains(&Some(Verdict::Deny)) {
            denials.push(Denial::forbidden(rule));
        }
    }
    if all.data == Some(Data::Conflict) {
        denials.extend(heard.iter().filter_map(|(rule, demands)| {
            let demand = demands.data.filter(|demand| *demand != Data::Ask);
            demand.map(|demand| Denial::contradiction(rule, demand))
        }));
    }
    for (rule, demands) in heard {
        let because = |(ground, how): (Ground, String)| Denial::because(rule, ground, &how);
        denials.extend(grounds(demands, facts).into_iter().map(because));
    }
    denials
}

/// Why these demands deny it, besides that they say so: each with how.
fn grounds(demands: &Demands, facts: &Facts) -> Vec<(Ground, String)> {
    use super::demand::Demand;
    let mut grounds = Vec::new();
    let identity = facts.identity.escape_debug();
    let provider = facts.provider.escape_debug();
    // A device that is told to drop an account it must have is told by the same organisation.
    if let Some(required) = &demands.require_account
        && required.names(&facts.identity)
    {
        let how = format!("the account {identity} has to be on this device");
        grounds.push((Ground::Required, how));
    }
    if let Some(only) = &demands.only_identities
        && !only.admits(&facts.identity)
    {
        let how = format!(
            "only these may be signed in here, and {identity} is none of them: {}",
            only.words()
        );
        grounds.push((Ground::Only("only-identities"), how));
    }
    if let Some(only) = &demands.only_providers
        && !only.admits(&facts.provider)
    {
        let how = format!(
            "only accounts at these providers may be signed in here, and {provider} is none of \
             them: {}",
            only.words()
        );
        grounds.push((Ground::Only("only-providers"), how));
    }
    if let Some(only) = &demands.only_collections {
        let others = facts.collections.iter().filter(|c| !only.admits(**c));
        let others: Vec<&str> = others.map(|collection| collection.name()).collect();
        if !others.is_empty() {
            let how = format!(
                "only these collections may be on this device: {}; leave out {}",
                only.words(),
                others.join(", ")
            );
            grounds.push((Ground::Only("only-collections"), how));
        }
    }
    if let (Some(hours), Some(time)) = (&demands.hours, facts.begins)
        && !hours.contain(time)
    {
        let how = format!("it can be begun at these hours only: {}", hours.words());
        grounds.push((Ground::Hours, how));
    }
    grounds
}

/// Who wants a backup that is not there.
fn lacking(heard: &[Heard<'_>], facts: &Facts) -> Vec<Denial> {
    if !facts.removes {
        return Vec::new();
    }
    let denial = |(rule, demands): &Heard<'_>| {
        let (demand, age) = (demands.backup?, demands.backup_max_age);
        let how = backup::lacks(demand, age, facts.backup.as_ref(), facts.now)?;
        Some(Denial::because(rule, Ground::Backup, &how))
    };
    heard.iter().filter_map(denial).collect()
}

fn explain(
    heard: &[Heard<'_>],
    facts: &Facts,
    denials: &[Denial],
    lacking: &[Denial],
) -> Vec<String> {
    let against = || denials.iter().chain(lacking);
    let mut sentences: Vec<String> = against().map(Denial::sentence).collect();
    for (rule, demands) in heard {
        let told: Vec<&str> = against()
            .filter(|denial| (&denial.file, denial.line) == (&rule.file, rule.line))
            .map(|denial| denial.key(facts.verb))
            .collect();
        let (name, reason) = (&rule.organisation.name, full_stop(&rule.reason));
        for (key, value) in demands.written() {
            if told.contains(&key) {
                continue;
            }
            match (key, demands.data) {
                ("sign-out" | "sign-in", _) => {}
                ("data", Some(data)) => sentences.push(format!(
                    "{name}: {rule} wants the data {}: {reason}",
                    data.participle()
                )),
                _ => sentences.push(format!("{name}: {rule} demands {key} = {value}: {reason}")),
            }
        }
    }
    for (rule, demands) in heard {
        if [demands.sign_out, demands.sign_in].contains(&Some(Verdict::Allow)) {
            let reason = full_stop(&rule.reason);
            let (name, but) = (&rule.organisation.name, "which overrides no denial");
            sentences.push(format!("{name}: {rule} allows it, {but}: {reason}"));
        }
    }
    if sentences.is_empty() {
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
