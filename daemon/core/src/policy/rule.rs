//! A rule: what it demands, and of whom.

use std::fmt;

use super::conditions::{Circumstances, Conditions};
use super::demand::{Data, Verdict};
use super::demands::Demands;
use super::facts::{Actor, Facts};
use super::only::patterns;
use super::pattern::Pattern;
use super::reader::{Reader, Section};
use super::source::Source;
use super::values::Located;
use crate::receipt::readable;

/// The longest name of a rule, in characters.
pub const MAX_NAME: usize = 64;

/// The keys besides those that demand something.
const KEYS: [&str; 5] = ["name", "reason", "actors", "identities", "providers"];

/// Who speaks in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Organisation {
    /// Its name.
    pub name: String,
    /// Whom a person can ask: an address, a number.
    pub contact: String,
}

impl Organisation {
    const KEYS: [&str; 2] = ["name", "contact"];

    /// Reads `[organisation]`; none, and a problem, when it is wrong.
    pub(super) fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Self> {
        reader.expect_keys(section, &Self::KEYS);
        let name = reader.required_text(section, "name", "Example GmbH");
        let contact = reader.required_text(section, "contact", "it@example.org, +49 30 1234");
        Some(Self {
            name: name?.into_inner(),
            contact: contact?.into_inner(),
        })
    }
}

/// A rule of a file, with everything a person needs to know of its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) name: String,
    pub(super) reason: String,
    pub(super) organisation: Organisation,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) demands: Demands,
    pub(super) actors: Vec<Actor>,
    pub(super) identities: Option<Vec<Pattern>>,
    pub(super) providers: Option<Vec<Pattern>>,
    pub(super) conditions: Conditions,
}

impl Rule {
    /// Its name, unique in its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it is there.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whose rule it is.
    pub fn organisation(&self) -> &Organisation {
        &self.organisation
    }

    /// The file that holds it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line of its `[[rule]]`, counted from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// What it says of signing out, if anything.
    pub fn sign_out(&self) -> Option<Verdict> {
        self.demands.sign_out
    }

    /// What it says of the data, if anything.
    pub fn data(&self) -> Option<Data> {
        self.demands.data
    }

    /// Everything it demands.
    pub fn demands(&self) -> &Demands {
        &self.demands
    }

    /// Whether it is about these facts.
    pub(super) fn is_about(&self, facts: &Facts) -> bool {
        let collections = Some(&facts.collections[..]);
        self.actors.contains(&facts.actor)
            && self.names(&facts.provider, &facts.identity)
            && self.conditions.hold(&facts.circumstances, collections)
    }

    /// Whether it is about what this actor does with the account of this identity, whatever it
    /// brings.
    pub(super) fn binds(
        &self,
        actor: Actor,
        provider: &str,
        identity: &str,
        now: &Circumstances,
    ) -> bool {
        self.actors.contains(&actor)
            && self.names(provider, identity)
            && self.conditions.hold(now, None)
    }

    /// Whether it is about the account of this identity, whoever acts.
    pub(super) fn names(&self, provider: &str, identity: &str) -> bool {
        let any = |patterns: &Option<Vec<Pattern>>, name: &str| {
            patterns
                .as_ref()
                .is_none_or(|list| list.iter().any(|p| p.matches(name)))
        };
        any(&self.providers, provider) && any(&self.identities, identity)
    }

    /// Whether there are facts that both are about.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.actors.iter().any(|actor| other.actors.contains(actor)) && self.meets_names(other)
    }

    /// Whether there are accounts that both are about, whoever acts.
    pub(super) fn meets_names(&self, other: &Self) -> bool {
        let common = |a: &Option<Vec<Pattern>>, b: &Option<Vec<Pattern>>| match (a, b) {
            (Some(a), Some(b)) => a.iter().any(|x| b.iter().any(|y| x.overlaps(y))),
            _ => true,
        };
        common(&self.providers, &other.providers)
            && common(&self.identities, &other.identities)
            && self.conditions.meet(&other.conditions)
    }

    /// Whether it is about some identity that the pattern is about.
    pub(super) fn names_some(&self, pattern: &Pattern) -> bool {
        let list = self.identities.as_ref();
        list.is_none_or(|list| list.iter().any(|p| p.overlaps(pattern)))
    }

    /// Reads a `[[rule]]`; none, and a problem, when it is wrong.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        source: &Source,
        section: &Section<'_, '_>,
        organisation: &Organisation,
    ) -> Option<Self> {
        reader.expect_keys(
            section,
            &[&KEYS[..], &Conditions::KEYS, Demands::KEYS].concat(),
        );
        let name = reader.required_text(section, "name", "what-it-does");
        if let Some(name) = &name {
            check_name(reader, name);
        }
        let reason = reader.required_text(section, "reason", "Why, for the person to read.");
        let demands = Demands::read(reader, section);
        if !Demands::KEYS.iter().any(|key| section.has(key)) {
            let message = "this rule demands nothing: add sign-out = \"deny\" or data = \"keep\"";
            reader.note(&section.span, message);
        }
        if section.has("backup-max-age") && !section.has("backup") {
            let message = "`backup-max-age` says how old a backup may be, and this rule wants \
                           none: add backup = \"required\"";
            reader.note(&section.span, message);
        }
        if section.has("outside-hours") && !section.has("hours") {
            let message = "`outside-hours` says what becomes of a sign-out at other hours, and this \
                           rule has none: add hours = \"Mon-Fri 08:00-18:00\"";
            reader.note(&section.span, message);
        }
        let actors = reader.choices(section, "actors", &Actor::ALL);
        let identities = patterns(reader, section, "identities");
        let providers = patterns(reader, section, "providers");
        let conditions = Conditions::read(reader, section);
        Some(Self {
            name: name?.into_inner(),
            reason: reason?.into_inner(),
            organisation: organisation.clone(),
            file: source.path.clone(),
            line: source.line(section.span.start),
            demands,
            actors: actors.unwrap_or_else(|| Actor::DEFAULT.to_vec()),
            identities,
            providers,
            conditions,
        })
    }
}

fn check_name(reader: &mut Reader<'_>, name: &Located<String>) {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text = name.get_ref();
    if !text.chars().all(good) || text.chars().count() > MAX_NAME {
        let message = format!(
            "a rule's name is at most {MAX_NAME} letters, digits, `-`, `_` and `.`, without spaces: \
             put the rest into `reason`"
        );
        reader.note(&name.span(), message);
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = readable(self.file.as_bytes());
        write!(f, "rule {} ({file}:{})", self.name, self.line)
    }
}
