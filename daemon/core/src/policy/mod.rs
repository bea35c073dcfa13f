//! Policy: what the organisation that manages a device lets happen to its accounts.
//!
//! Rules lie in TOML files that are **united, never masked**. A rule names a demand and whom it is
//! about; each demand says how it is joined with the same demand of another rule ([`Join`]), and
//! the most restrictive wins. So one more rule, or one more file, never loosens anything.
//! Demands that oppose each other block what they are about, and are told when files are read.
//!
//! Everything here is a function of values: [`unite`] makes a [`Policy`] of texts, [`decide`]
//! answers a question, and [`Standing`] says which policy is in force when a file is broken.

mod backup;
pub mod bundle;
mod conditions;
mod conflicts;
mod decide;
mod demand;
mod demands;
mod denial;
mod effective;
mod facts;
mod hours;
mod only;
mod outside;
mod pattern;
pub(crate) mod reader;
mod rule;
mod simulate;
mod source;
mod spelling;
mod standing;
mod terms;
pub(crate) mod values;

pub use backup::{Backup, MaxAge, TakenBackup};
pub use conditions::Circumstances;
pub use decide::{Decision, decide};
pub use demand::{Data, Join, Verdict};
pub use demands::Demands;
pub use denial::{Denial, Ground};
pub use facts::{Actor, Facts, Unknown, Verb};
pub use hours::Hours;
pub use only::{Only, OnlyCollections, Required};
pub use outside::OutsideHours;
pub use pattern::MAX_PATTERN;
pub use rule::{MAX_NAME, Organisation, Rule};
pub use simulate::{Change, MAX_SIMULATION_BYTES, Simulation, simulate, simulate_bundle};
pub use source::{MAX_FILE_BYTES, MAX_PROBLEMS, Problem, Source};
pub use standing::{Damaged, Standing, State, Term, sources_from_text, sources_to_text};
pub use terms::{Delay, MinLength, SessionAge, SessionLimit, Terms, Tries};
pub use values::{MAX_LIST, MAX_TEXT};

use conditions::Conditions;
use reader::{Reader, Section};

/// The most files of one policy.
pub const MAX_FILES: usize = 64;
/// The most rules of one file.
pub const MAX_RULES_PER_FILE: usize = 64;
/// The most rules of one policy.
pub const MAX_RULES: usize = 512;
/// The most conflicts that are told; a decision finds its own and needs no list.
pub const MAX_CONFLICTS: usize = 50;

const KEYS: [&str; 2] = ["organisation", "rule"];

/// All rules in force. The default is the empty policy, which allows everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    files: Vec<String>,
    rules: Vec<Rule>,
    /// Why nobody knows the rules; then everything is denied.
    unreadable: Option<Box<Problem>>,
}

impl Policy {
    /// The policy of a device whose policy cannot be read: it denies everything and says why.
    pub fn unreadable(why: Problem) -> Self {
        Self {
            unreadable: Some(Box::new(why)),
            ..Self::default()
        }
    }

    /// The files it was read from, as their sources named them.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Whether some rule holds under conditions only.
    pub fn asks_for_circumstances(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.conditions != Conditions::default())
    }

    /// Whether some rule asks if the network is metered.
    pub fn asks_for_network(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.conditions.ask_for_network())
    }

    /// Its rules, in the order of files and lines.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

/// Everything that is wrong with one file, also demands that oppose each other within it.
pub fn check(source: &Source) -> Vec<Problem> {
    match unite(std::slice::from_ref(source)) {
        Ok(policy) => policy.conflicts(),
        Err(problems) => problems,
    }
}

/// One policy of all files.
///
/// Opposing demands are no error here: they are in force, and block ([`Policy::conflicts`]).
///
/// # Errors
/// All problems of all files; then none of them is in force.
pub fn unite(sources: &[Source]) -> Result<Policy, Vec<Problem>> {
    let mut policy = Policy::default();
    let mut problems = Vec::new();
    if let Some(excess) = sources.get(MAX_FILES) {
        let message = format!("a policy has at most {MAX_FILES} files: join some");
        return Err(vec![Problem::of_file(&excess.path, message)]);
    }
    for source in sources {
        match read(source) {
            Ok(rules) => policy.rules.extend(rules),
            Err(found) => problems.extend(found),
        }
        policy.files.push(source.path.clone());
    }
    if let Some(excess) = policy.rules.get(MAX_RULES) {
        let message = format!("a policy has at most {MAX_RULES} rules in all files: join some");
        problems.push(Problem {
            file: excess.file.clone(),
            line: excess.line,
            column: 1,
            message,
        });
    }
    if problems.is_empty() {
        Ok(policy)
    } else {
        Err(problems)
    }
}

/// The rules of one file.
fn read(source: &Source) -> Result<Vec<Rule>, Vec<Problem>> {
    let mut reader = Reader::new(source);
    let mut rules = Vec::new();
    if let Some(document) = reader.document() {
        let root = reader.root(&document);
        reader.expect_keys(&root, &KEYS);
        rules = read_rules(&mut reader, source, &root);
    }
    let problems = reader.problems();
    if problems.is_empty() {
        Ok(rules)
    } else {
        Err(problems)
    }
}

fn read_rules(reader: &mut Reader<'_>, source: &Source, root: &Section<'_, '_>) -> Vec<Rule> {
    let speaker = reader.section(root, "organisation", "[organisation]");
    let organisation = speaker.and_then(|section| Organisation::read(reader, &section));
    let sections = reader.sections(root, "rule", "[[rule]]", MAX_RULES_PER_FILE);
    if let (Some(first), false) = (sections.first(), root.has("organisation")) {
        let message =
            "nobody is named who gives this rule: add [organisation] with name and contact";
        reader.note(&first.span, message);
    }
    // Rules are read even when nobody gives them: their own mistakes are told as well.
    let organisation = organisation.unwrap_or_default();
    let mut rules: Vec<Rule> = Vec::new();
    for section in sections {
        let Some(rule) = Rule::read(reader, source, &section, &organisation) else {
            continue;
        };
        if let Some(namesake) = rules.iter().find(|other| other.name == rule.name) {
            let message = format!(
                "line {} has a rule of this name already: a rule's name is unique in its file",
                namesake.line
            );
            reader.note(&section.span, message);
        }
        rules.push(rule);
    }
    rules
}
