//! Demands that cannot all be met, found when files are read, two rules at a time.

use super::demand::{Data, Join};
use super::demands::Demands;
use super::facts::Actor;
use super::rule::Rule;
use super::source::Problem;
use super::{MAX_CONFLICTS, Policy, Verdict};

impl Policy {
    /// Pairs of rules whose demands oppose each other, one problem a pair and demand, at most
    /// [`MAX_CONFLICTS`]. What they are about stays refused until a rule is changed.
    pub fn conflicts(&self) -> Vec<Problem> {
        let pairs = self.rules.iter().enumerate().flat_map(|(i, second)| {
            // A rule can contradict itself.
            self.rules[..=i].iter().map(move |first| (first, second))
        });
        pairs
            .flat_map(|(first, second)| opposed(first, second))
            .take(MAX_CONFLICTS)
            .collect()
    }
}

fn opposed(first: &Rule, second: &Rule) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut tell = |message: String| {
        problems.push(Problem {
            file: second.file.clone(),
            line: second.line,
            column: 1,
            message,
        });
    };
    let same = std::ptr::eq(first, second);
    if !same && first.meets(second) {
        if let Some(message) = data(first, second) {
            tell(message);
        }
        disjoint(first, second).into_iter().for_each(&mut tell);
    }
    let pairs = [(first, second), (second, first)];
    for (required, denied) in pairs.into_iter().take(if same { 1 } else { 2 }) {
        shut_out(required, denied).into_iter().for_each(&mut tell);
    }
    problems
}

fn data(first: &Rule, second: &Rule) -> Option<String> {
    let wanted = |rule: &Rule| rule.data().unwrap_or_default();
    (wanted(first).join(wanted(second)) == Data::Conflict).then(|| {
        format!(
            "rule {} wants the data {}, and {first} of {} wants it {}, for the same accounts: \
             sign-out of these is refused until one of the two is changed",
            second.name,
            wanted(second).participle(),
            first.organisation.name,
            wanted(first).participle(),
        )
    })
}

/// Keys by which two rules allow different things only, so that both together allow nothing.
fn disjoint(first: &Rule, second: &Rule) -> Vec<String> {
    let (a, b) = (&first.demands, &second.demands);
    let both = |key: &str, apart: Option<bool>| {
        let message = format!(
            "rule {} and {first} of {} have nothing in common in `{key}`, for the same accounts: \
             together they allow nothing, until one of the two is changed",
            second.name, first.organisation.name
        );
        (apart == Some(true)).then_some(message)
    };
    let pair = |a: &Demands, b: &Demands| {
        [
            both(
                "only-identities",
                apart(&a.only_identities, &b.only_identities, |a, b| !a.meets(b)),
            ),
            both(
                "only-providers",
                apart(&a.only_providers, &b.only_providers, |a, b| !a.meets(b)),
            ),
            both(
                "only-collections",
                apart(&a.only_collections, &b.only_collections, |a, b| !a.meets(b)),
            ),
            both(
                "hours",
                apart(&a.hours, &b.hours, |a, b| {
                    a.clone().join(b.clone()).is_never()
                }),
            ),
        ]
    };
    pair(a, b).into_iter().flatten().collect()
}

fn apart<T>(a: &Option<T>, b: &Option<T>, apart: impl Fn(&T, &T) -> bool) -> Option<bool> {
    Some(apart(a.as_ref()?, b.as_ref()?))
}

/// Accounts that one rule requires on the device, and another lets no person sign in to.
fn shut_out(required: &Rule, denied: &Rule) -> Vec<String> {
    let Some(accounts) = &required.demands.require_account else {
        return Vec::new();
    };
    if !denied.actors.contains(&Actor::Person) || !denied.meets_names(required) {
        return Vec::new();
    }
    let demands = &denied.demands;
    let shut = accounts.0.iter().filter(|pattern| {
        let forbidden = demands.sign_in == Some(Verdict::Deny);
        let others = demands
            .only_identities
            .as_ref()
            .is_some_and(|only| !only.meets_pattern(pattern));
        denied.names_some(pattern) && (forbidden || others)
    });
    shut.map(|pattern| {
        format!(
            "{required} of {} requires the account {pattern} on this device, and {denied} of {} \
             lets nobody sign in to it: change one of the two",
            required.organisation.name, denied.organisation.name
        )
    })
    .collect()
}
