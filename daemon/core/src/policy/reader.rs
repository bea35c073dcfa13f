//! Reads a TOML file key by key and collects everything that is wrong with it, not only the first
//! thing. A key that nobody knows is a mistake, and so is told.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::source::{MAX_FILE_BYTES, MAX_PROBLEMS, Problem, Source, quoted};
use super::spelling::nearest;

/// A table and where it begins.
#[derive(Clone)]
pub(crate) struct Section<'a, 'i> {
    /// The name as it is written, e.g. `[[rule]]`.
    pub(crate) name: &'static str,
    /// Its header, or its key, or its opening brace.
    pub(crate) span: Range<usize>,
    pub(super) table: &'a DeTable<'i>,
}

impl Section<'_, '_> {
    /// Whether the key is written, right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }
}

/// One file while it is being read.
pub(crate) struct Reader<'s> {
    source: &'s Source,
    found: Vec<(usize, String)>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self {
            source,
            found: Vec::new(),
        }
    }

    /// The document; none, and problems, when it is not TOML.
    pub(crate) fn document(&mut self) -> Option<DeTable<'s>> {
        if let Some(problem) = self.source.oversize() {
            self.found.push((MAX_FILE_BYTES, problem.message));
            return None;
        }
        let (document, errors) = DeTable::parse_recoverable(&self.source.text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            self.found.push((offset, advice(error.message())));
        }
        errors.is_empty().then(|| document.into_inner())
    }

    /// Notes a problem at a place.
    pub(crate) fn note(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.found.push((span.start, message.into()));
    }

    /// What was found, in the order of the file.
    pub(crate) fn problems(mut self) -> Vec<Problem> {
        self.found.sort();
        self.found.dedup();
        let more = self.found.len().saturating_sub(MAX_PROBLEMS);
        self.found.truncate(MAX_PROBLEMS);
        let mut problems: Vec<Problem> = self
            .found
            .into_iter()
            .map(|(offset, message)| self.source.problem(offset, message))
            .collect();
        if let (Some(last), 1..) = (problems.last().cloned(), more) {
            let message = format!("{more} more problems follow: correct these first");
            problems.push(Problem { message, ..last });
        }
        problems
    }

    /// The whole document as a section.
    pub(crate) fn root<'a, 'i>(&self, table: &'a DeTable<'i>) -> Section<'a, 'i> {
        Section {
            name: "this file",
            span: 0..0,
            table,
        }
    }

    /// Notes every key that is none of `known`.
    pub(crate) fn expect_keys(&mut self, section: &Section<'_, '_>, known: &[&str]) {
        for key in section.table.keys() {
            if known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let word = quoted(key.get_ref());
            let advice = meant(key.get_ref(), known);
            self.note(
                &key.span(),
                format!("there is no key {word} in {}: {advice}", section.name),
            );
        }
    }

    /// A table of its own, `[key]`.
    pub(crate) fn section<'a, 'i>(
        &mut self,
        section: &Section<'a, 'i>,
        key: &str,
        name: &'static str,
    ) -> Option<Section<'a, 'i>> {
        let value = section.table.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Section {
                name,
                span: value.span(),
                table,
            }),
            DeValue::Array(array) if array.iter().all(|item| item.get_ref().is_table()) => {
                let message =
                    format!("there is one {name} in a file: write it with single brackets");
                self.note(&value.span(), message);
                None
            }
            other => self.mismatch(value, &format!("`{key}` is the table {name}"), other),
        }
    }

    /// All tables `[[key]]`, up to `most`.
    pub(crate) fn sections<'a, 'i>(
        &mut self,
        section: &Section<'a, 'i>,
        key: &str,
        name: &'static str,
        most: usize,
    ) -> Vec<Section<'a, 'i>> {
        let Some(value) = section.table.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            let message = format!("there may be several: write {name}, with two brackets");
            self.note(&value.span(), message);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                _ if sections.len() == most => {
                    let message = format!("a file has at most {most} {name}: split it here");
                    self.note(&item.span(), message);
                    break;
                }
                DeValue::Table(table) => sections.push(Section {
                    name,
                    span: item.span(),
                    table,
                }),
                other => {
                    self.mismatch::<()>(item, &format!("here must be a table {name}"), other);
                }
            }
        }
        sections
    }
}

/// What to write instead of a word that is not known.
pub(super) fn meant(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("use {}, or remove it", known.join(", ")),
    }
}

/// What a complaint of the TOML parser asks of a person.
fn advice(message: &str) -> String {
    match message {
        "duplicate key" => "this is here a second time: keep one of the two".to_owned(),
        "recursion limit" => "this is nested too deeply: no key needs that".to_owned(),
        message => {
            let message: String = message.escape_debug().collect();
            format!("this is not TOML ({message}): correct it")
        }
    }
}
