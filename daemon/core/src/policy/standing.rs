//! Which policy is in force when files come, go and break.
//!
//! A broken file changes nothing: the last good policy stays in force, and says so. Where none was
//! ever good, nobody knows what is forbidden, and so everything is. The last good *files* are kept
//! as text and read again at every start, so that a newer program reads them with its own rules.

use serde::{Deserialize, Serialize};

use super::bundle::{Bundle, Held, Holding};
use super::decide::{Decision, decide};
use super::facts::Facts;
use super::source::{Problem, Source};
use super::{Policy, unite};

/// How the policy in force came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There are no files: everything is allowed.
    None,
    /// The files are good.
    InForce,
    /// A file is bad; what was good before is in force.
    LastGood,
    /// The signed bundle should have been renewed; it stays in force.
    Expired,
    /// A file is bad and nothing was good before: everything is refused.
    Invalid,
}

impl State {
    /// Whether every file counts that is there.
    fn is_good(self) -> bool {
        matches!(self, Self::None | Self::InForce)
    }

    /// The name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::InForce => "in-force",
            Self::LastGood => "last-good",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
        }
    }
}

/// The term of a signed bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// When it has to have been renewed, in seconds since the Unix epoch.
    pub expires: u64,
    /// Whether it was seen to have expired.
    pub expired: bool,
}

/// The policy in force, why, and what is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    policy: Policy,
    state: State,
    problems: Vec<Problem>,
    last_good: Option<Vec<Source>>,
    bundle: Option<Bundle>,
    /// Whether it was seen that the bundle has expired.
    expired: bool,
}

impl Standing {
    /// What stands after files were read, all of them or none.
    ///
    /// `last_good` is what an earlier [`Standing::last_good`] gave. `read` holds all files, or why
    /// they cannot be read. Afterwards keep [`Standing::last_good`], before anyone is told.
    pub fn new(last_good: Option<Vec<Source>>, read: Result<Vec<Source>, Vec<Problem>>) -> Self {
        let united = read.and_then(|sources| Ok((unite(&sources)?, sources)));
        match united {
            Ok((policy, sources)) => Self::good(policy, sources),
            Err(problems) => Self::broken(last_good, problems),
        }
    }

    /// What stands after files were read again.
    #[must_use]
    pub fn reload(&self, read: Result<Vec<Source>, Vec<Problem>>) -> Self {
        Self::new(self.last_good.clone(), read)
    }

    /// What stands when the drop-ins that were read are united with the bundle in force.
    ///
    /// A bundle of which no version ever counted leaves nobody knowing what is forbidden: then it is
    /// as with a broken file.
    pub fn united(
        last_good: Option<Vec<Source>>,
        drop_ins: Result<Vec<Source>, Vec<Problem>>,
        held: &Held,
    ) -> Self {
        let read = match (drop_ins, held.holding) {
            (Ok(_), Holding::Invalid) => Err(held.problems.clone()),
            (Ok(mut sources), _) => {
                sources.extend_from_slice(held.files());
                Ok(sources)
            }
            (Err(mut problems), _) => {
                problems.extend_from_slice(&held.problems);
                Err(problems)
            }
        };
        let whole = read.is_ok();
        let mut standing = Self::new(last_good, read);
        let bundle = held.memory.accepted.clone();
        if standing.state.is_good() {
            standing.state = match held.holding {
                Holding::LastGood => State::LastGood,
                Holding::Expired => State::Expired,
                // A bundle without rules is a policy, too.
                Holding::InForce => State::InForce,
                Holding::None | Holding::Invalid => standing.state,
            };
        }
        if whole {
            standing.problems.extend_from_slice(&held.problems);
        }
        let expired = held.holding == Holding::Expired;
        Self {
            bundle,
            expired,
            ..standing
        }
    }

    /// How long the bundle in force is good for, and whether it was seen to be so no longer.
    pub fn term(&self) -> Option<Term> {
        let expired = self.expired;
        let term = |bundle: &Bundle| Term {
            expires: bundle.expires,
            expired,
        };
        self.bundle.as_ref().map(term)
    }

    /// The signed bundle that is part of it.
    pub fn bundle(&self) -> Option<&Bundle> {
        self.bundle.as_ref()
    }

    fn good(policy: Policy, sources: Vec<Source>) -> Self {
        let problems = policy.conflicts();
        if sources.is_empty() {
            // An empty policy is not "good": the first file of a device, if broken, must refuse.
            return Self {
                policy,
                state: State::None,
                problems,
                last_good: None,
                bundle: None,
                expired: false,
            };
        }
        Self {
            policy,
            state: State::InForce,
            problems,
            last_good: Some(sources),
            bundle: None,
            expired: false,
        }
    }

    fn broken(last_good: Option<Vec<Source>>, mut problems: Vec<Problem>) -> Self {
        if problems.is_empty() {
            problems.push(Problem::of_file(
                "policy.d",
                "the files could not be read: try again",
            ));
        }
        let first = problems[0].clone();
        let kept = last_good.filter(|sources| !sources.is_empty());
        let again = kept.as_deref().map(unite);
        let state = if let Some(Ok(_)) = again {
            State::LastGood
        } else {
            State::Invalid
        };
        let policy = match again {
            Some(Ok(policy)) => {
                problems.extend(policy.conflicts());
                policy
            }
            Some(Err(older)) => {
                // What was good for another version of the program is not for this one.
                problems.extend(older.into_iter().map(|problem| Problem {
                    message: format!("as last kept: {}", problem.message),
                    ..problem
                }));
                Policy::unreadable(first)
            }
            None => Policy::unreadable(first),
        };
        Self {
            policy,
            state,
            problems,
            last_good: kept,
            bundle: None,
            expired: false,
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How it came to be.
    pub fn state(&self) -> State {
        self.state
    }

    /// What is wrong with the files, and which rules of the policy in force contradict each other.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The files to keep for the next start; none means that what is kept is to be erased.
    pub fn last_good(&self) -> Option<&[Source]> {
        self.last_good.as_deref()
    }

    /// What the policy in force says.
    pub fn decide(&self, facts: &Facts) -> Decision {
        decide(&self.policy, facts)
    }
}

/// The kept text of the last good files is damaged.
#[derive(Debug, thiserror::Error)]
#[error("the last good policy, as it was kept, cannot be read")]
pub struct Damaged(#[source] Box<dyn std::error::Error + Send + Sync>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(default)]
    file: Vec<Source>,
}

/// Sources as one text that can be kept.
///
/// # Errors
/// None that is known; the writer of the format reserves the right.
pub fn sources_to_text(sources: &[Source]) -> Result<String, toml::ser::Error> {
    toml::to_string(&Kept {
        file: sources.to_vec(),
    })
}

/// The sources behind [`sources_to_text`].
///
/// # Errors
/// [`Damaged`] when the text is no such text.
pub fn sources_from_text(text: &str) -> Result<Vec<Source>, Damaged> {
    toml::from_str(text)
        .map(|kept: Kept| kept.file)
        .map_err(|error| Damaged(Box::new(error)))
}
