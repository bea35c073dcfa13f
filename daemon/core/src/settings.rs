//! The daemon's own configuration: fragments (every key optional) → merged → [`Settings`].
//!
//! Of a key that several fragments set, the last one counts, so an administrator's file corrects
//! the vendor's. Only what counts is held to its bounds.

use toml::de::DeTable;

use crate::policy::reader::Reader;
use crate::policy::values::Located;
use crate::policy::{Problem, Source};

/// The longest name of a device, in characters.
pub const MAX_DEVICE_NAME: usize = 64;
/// How many finished jobs can be kept.
pub const KEEP_FINISHED: std::ops::RangeInclusive<u16> = 1..=256;
/// How many finished jobs are kept when nobody says.
pub const DEFAULT_KEEP_FINISHED: u16 = 16;

/// How the daemon works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `[device] name`: what other devices call this one; the host's name when none is set.
    pub device_name: Option<String>,
    /// `[sync] read-back`: read every copy back right after a sync, and not only at a sign-out.
    pub read_back: bool,
    /// `[jobs] keep-finished`: how many finished jobs stay on the bus, within [`KEEP_FINISHED`].
    pub keep_finished: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            device_name: None,
            read_back: true,
            keep_finished: DEFAULT_KEEP_FINISHED,
        }
    }
}

impl Settings {
    /// What other devices call this one.
    pub fn device<'a>(&'a self, host_name: &'a str) -> &'a str {
        self.device_name.as_deref().unwrap_or(host_name)
    }

    /// The settings of all fragments; a later one counts for more.
    ///
    /// # Errors
    /// Every value that counts and is out of bounds.
    pub fn from_fragments(fragments: &[Fragment]) -> Result<Self, Vec<Problem>> {
        let merged = fragments.iter().fold(Fragment::default(), Fragment::merge);
        let mut settings = Self::default();
        let mut problems = Vec::new();
        match merged.device_name.map(Placed::device_name).transpose() {
            Ok(name) => settings.device_name = name,
            Err(problem) => problems.push(problem),
        }
        if let Some(read_back) = merged.read_back {
            settings.read_back = read_back;
        }
        match merged.keep_finished.map(Placed::keep_finished).transpose() {
            Ok(number) => settings.keep_finished = number.unwrap_or(DEFAULT_KEEP_FINISHED),
            Err(problem) => problems.push(problem),
        }
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }
}

/// What one file sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment {
    device_name: Option<Placed<String>>,
    read_back: Option<bool>,
    keep_finished: Option<Placed<i64>>,
}

impl Fragment {
    fn merge(self, later: &Self) -> Self {
        let later = later.clone();
        Self {
            device_name: later.device_name.or(self.device_name),
            read_back: later.read_back.or(self.read_back),
            keep_finished: later.keep_finished.or(self.keep_finished),
        }
    }
}

/// A value and where it stands, for a problem that is only found after merging.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed<T> {
    value: T,
    /// With an empty message.
    place: Problem,
}

impl<T> Placed<T> {
    fn new(source: &Source, value: Located<T>) -> Self {
        let place = source.problem(value.span().start, String::new());
        Self {
            value: value.into_inner(),
            place,
        }
    }

    fn refuse(self, message: String) -> Problem {
        Problem {
            message,
            ..self.place
        }
    }
}

impl Placed<String> {
    fn device_name(self) -> Result<String, Problem> {
        if self.value.chars().count() > MAX_DEVICE_NAME {
            let message =
                format!("a device's name has at most {MAX_DEVICE_NAME} characters: shorten it");
            return Err(self.refuse(message));
        }
        // It becomes part of file names: `name (conflict DEVICE DATE HASH8).ext`.
        if self.value.contains('/') || self.value.starts_with('.') {
            let message = "a device's name has no `/` and no `.` at its start, for it becomes part \
                           of file names: remove them";
            return Err(self.refuse(message.to_owned()));
        }
        Ok(self.value)
    }
}

impl Placed<i64> {
    fn keep_finished(self) -> Result<u16, Problem> {
        match u16::try_from(self.value) {
            Ok(number) if KEEP_FINISHED.contains(&number) => Ok(number),
            _ => {
                let (least, most) = (KEEP_FINISHED.start(), KEEP_FINISHED.end());
                let message = format!("`keep-finished` lies between {least} and {most}: change it");
                Err(self.refuse(message))
            }
        }
    }
}

/// Reads one file.
///
/// # Errors
/// Everything that is wrong with its text: syntax, unknown keys, wrong types.
pub fn parse(source: &Source) -> Result<Fragment, Vec<Problem>> {
    let mut reader = Reader::new(source);
    let fragment = match reader.document() {
        Some(document) => read(&mut reader, source, &document),
        None => Fragment::default(),
    };
    let problems = reader.problems();
    if problems.is_empty() {
        Ok(fragment)
    } else {
        Err(problems)
    }
}

fn read(reader: &mut Reader<'_>, source: &Source, document: &DeTable<'_>) -> Fragment {
    let mut fragment = Fragment::default();
    let root = reader.root(document);
    reader.expect_keys(&root, &["device", "sync", "jobs"]);
    if let Some(device) = reader.section(&root, "device", "[device]") {
        reader.expect_keys(&device, &["name"]);
        let name = reader.text(&device, "name");
        fragment.device_name = name.map(|name| Placed::new(source, name));
    }
    if let Some(sync) = reader.section(&root, "sync", "[sync]") {
        reader.expect_keys(&sync, &["read-back"]);
        fragment.read_back = reader.flag(&sync, "read-back");
    }
    if let Some(jobs) = reader.section(&root, "jobs", "[jobs]") {
        reader.expect_keys(&jobs, &["keep-finished"]);
        let number = reader.number(&jobs, "keep-finished");
        fragment.keep_finished = number.map(|number| Placed::new(source, number));
    }
    fragment
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const SAMPLE: &str = include_str!("../../../config/mooring.toml");

    fn source(text: &str) -> Source {
        Source {
            path: "mooring.toml".to_owned(),
            text: text.to_owned(),
        }
    }

    fn fragment(text: &str) -> Fragment {
        parse(&source(text)).unwrap()
    }

    fn complaints(text: &str) -> Vec<String> {
        let found = parse(&source(text)).and_then(|f| Settings::from_fragments(&[f]));
        found.unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_sample_is_the_default() {
        let settings = Settings::from_fragments(&[fragment(SAMPLE)]).unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.device("host"), "host");
    }

    #[test]
    fn the_sample_is_right_when_its_lines_are_taken_up() {
        let text: String = SAMPLE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => key,
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let taken = fragment(&text);
        assert!(taken.device_name.is_some());
        assert!(taken.read_back.is_some());
        assert!(taken.keep_finished.is_some());
        let settings = Settings::from_fragments(&[taken]).unwrap();
        assert_eq!(
            Settings {
                device_name: None,
                ..settings
            },
            Settings::default()
        );
    }

    #[test]
    fn the_last_fragment_counts_key_by_key() {
        let vendor = fragment("[device]\nname = \"desk\"\n[jobs]\nkeep-finished = 0\n");
        let site = fragment("[jobs]\nkeep-finished = 256\n[sync]\nread-back = false\n");
        let settings = Settings::from_fragments(&[vendor, site]).unwrap();
        assert_eq!(settings.device("host"), "desk");
        assert_eq!((settings.read_back, settings.keep_finished), (false, 256));
    }

    #[test]
    fn bounds_name_the_place_of_the_value() {
        for wrong in ["0", "257", "-1", "9223372036854775807"] {
            let found = complaints(&format!("[jobs]\nkeep-finished = {wrong}\n"));
            assert_eq!(
                found,
                ["mooring.toml:2:17: `keep-finished` lies between 1 and 256: change it"]
            );
        }
        let found = complaints("[jobs]\nkeep-finished = 99999999999999999999\n");
        assert!(
            found[0].starts_with("mooring.toml:2:17: `keep-finished` is far too"),
            "{found:?}"
        );
        for wrong in ["a/b", "..", &"x".repeat(65)] {
            let found = complaints(&format!("[device]\nname = \"{wrong}\"\n"));
            assert!(
                found[0].starts_with("mooring.toml:2:8: a device's name"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let found = complaints(
            "[device]\nname = 1\n[sync]\nread_back = \"yes\"\n[[jobs]]\n[log]\nlevel = \"x\"\n",
        );
        assert_eq!(
            found,
            [
                "mooring.toml:2:8: `name` is text in quotation marks, and this is a number: \
                 correct it",
                "mooring.toml:4:1: there is no key `read_back` in [sync]: did you mean `read-back`?",
                "mooring.toml:5:1: there is one [jobs] in a file: write it with single brackets",
                "mooring.toml:6:2: there is no key `log` in this file: use device, sync, jobs, or \
                 remove it",
            ]
        );
    }
}
