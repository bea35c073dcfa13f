//! The daemon's own configuration: fragments (every key optional) → merged → [`Settings`].
//!
//! Of a key that several fragments set, the last one counts, so an administrator's file corrects
//! the vendor's. Only what counts is held to its bounds.

mod placed;

use toml::de::DeTable;

use crate::policy::reader::Reader;
use crate::policy::{Problem, Source};
use crate::rest::Wish;
use placed::Placed;

/// The longest name of a device, in characters.
pub const MAX_DEVICE_NAME: usize = 64;
/// How many finished jobs can be kept.
pub const KEEP_FINISHED: std::ops::RangeInclusive<u16> = 1..=256;
/// How many finished jobs are kept when nobody says.
pub const DEFAULT_KEEP_FINISHED: u16 = 16;
/// How often one can look for changes where none are told, in minutes.
pub const POLL_MINUTES: std::ops::RangeInclusive<u16> = 1..=1440;
/// How often to look for changes when nobody says, in minutes.
pub const DEFAULT_POLL_MINUTES: u16 = 10;

/// How long a worker can be idle before it ends, in seconds.
pub const IDLE_EXIT_SECONDS: std::ops::RangeInclusive<u16> = 1..=3600;
/// How long a worker is idle before it ends when nobody says, in seconds.
pub const DEFAULT_IDLE_EXIT_SECONDS: u16 = 60;
/// How long apps can delay a sign-out, in seconds.
pub const INHIBIT_DELAY_SECONDS: std::ops::RangeInclusive<u8> = 0..=60;
/// How long apps can delay a sign-out when nobody says, in seconds.
pub const DEFAULT_INHIBIT_DELAY_SECONDS: u8 = 5;
/// How short a new password may be, as far as settings can say, in characters.
pub const MIN_PASSWORD: std::ops::RangeInclusive<u16> = 8..=128;

/// How the daemon works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `[device] name`: what other devices call this one; the host's name when none is set.
    pub device_name: Option<String>,
    /// `[sync] read-back`: read every copy back right after a sync, and not only at a sign-out.
    pub read_back: bool,
    /// `[sync] continuous`: sync by itself when something changed, and now and then.
    pub continuous: bool,
    /// `[sync] poll-minutes`: how often to look for changes where none are told, within
    /// [`POLL_MINUTES`].
    pub poll_minutes: u16,
    /// `[sync] idle-exit-seconds`: how long a worker is idle before it ends, within
    /// [`IDLE_EXIT_SECONDS`].
    pub idle_exit_seconds: u16,
    /// `[sync] on-battery` and `on-metered`: when nothing is synced by itself.
    pub rest: Wish,
    /// `[jobs] keep-finished`: how many finished jobs stay on the bus, within [`KEEP_FINISHED`].
    pub keep_finished: u16,
    /// `[password] min-length`: how many characters a new password has at least, within
    /// [`MIN_PASSWORD`].
    pub min_password: u16,
    /// `[sign-out] inhibit-delay-seconds`: how long apps can delay a sign-out, within
    /// [`INHIBIT_DELAY_SECONDS`].
    pub inhibit_delay_seconds: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            device_name: None,
            read_back: true,
            continuous: true,
            poll_minutes: DEFAULT_POLL_MINUTES,
            idle_exit_seconds: DEFAULT_IDLE_EXIT_SECONDS,
            rest: Wish::default(),
            keep_finished: DEFAULT_KEEP_FINISHED,
            min_password: *MIN_PASSWORD.start(),
            inhibit_delay_seconds: DEFAULT_INHIBIT_DELAY_SECONDS,
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
        let Fragment {
            device_name,
            read_back,
            continuous,
            poll_minutes,
            idle_exit,
            on_battery,
            on_metered,
            keep_finished,
            min_password,
            inhibit_delay,
        } = fragments.iter().fold(Fragment::default(), Fragment::merge);
        let mut settings = Self::default();
        let mut problems = Vec::new();
        let mut wrong = |problem| problems.push(problem);
        let name = device_name.map(|name| name.device_name().map(Some));
        take(&mut settings.device_name, name, &mut wrong);
        settings.read_back = read_back.unwrap_or(settings.read_back);
        settings.continuous = continuous.unwrap_or(settings.continuous);
        let number = poll_minutes.map(|n| n.within("poll-minutes", &POLL_MINUTES));
        take(&mut settings.poll_minutes, number, &mut wrong);
        let number = idle_exit.map(|n| n.within("idle-exit-seconds", &IDLE_EXIT_SECONDS));
        take(&mut settings.idle_exit_seconds, number, &mut wrong);
        let wish = on_battery.map(Placed::on_battery);
        take(&mut settings.rest.on_battery, wish, &mut wrong);
        let wish = on_metered.map(Placed::on_metered);
        take(&mut settings.rest.on_metered, wish, &mut wrong);
        let number = keep_finished.map(|n| n.within("keep-finished", &KEEP_FINISHED));
        take(&mut settings.keep_finished, number, &mut wrong);
        let number = min_password.map(|n| n.within("min-length", &MIN_PASSWORD));
        take(&mut settings.min_password, number, &mut wrong);
        let number =
            inhibit_delay.map(|n| n.within("inhibit-delay-seconds", &INHIBIT_DELAY_SECONDS));
        take(&mut settings.inhibit_delay_seconds, number, &mut wrong);
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }
}

/// Takes a value up, if there is one; what is wrong with it is told, and the default stays.
fn take<T>(setting: &mut T, value: Option<Result<T, Problem>>, wrong: &mut impl FnMut(Problem)) {
    match value {
        None => {}
        Some(Ok(value)) => *setting = value,
        Some(Err(problem)) => wrong(problem),
    }
}

/// What one file sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment {
    device_name: Option<Placed<String>>,
    read_back: Option<bool>,
    continuous: Option<bool>,
    poll_minutes: Option<Placed<i64>>,
    idle_exit: Option<Placed<i64>>,
    on_battery: Option<Placed<String>>,
    on_metered: Option<Placed<String>>,
    keep_finished: Option<Placed<i64>>,
    min_password: Option<Placed<i64>>,
    inhibit_delay: Option<Placed<i64>>,
}

impl Fragment {
    fn merge(self, later: &Self) -> Self {
        let later = later.clone();
        Self {
            device_name: later.device_name.or(self.device_name),
            read_back: later.read_back.or(self.read_back),
            continuous: later.continuous.or(self.continuous),
            poll_minutes: later.poll_minutes.or(self.poll_minutes),
            idle_exit: later.idle_exit.or(self.idle_exit),
            on_battery: later.on_battery.or(self.on_battery),
            on_metered: later.on_metered.or(self.on_metered),
            keep_finished: later.keep_finished.or(self.keep_finished),
            min_password: later.min_password.or(self.min_password),
            inhibit_delay: later.inhibit_delay.or(self.inhibit_delay),
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
    reader.expect_keys(&root, &["device", "sync", "password", "jobs", "sign-out"]);
    if let Some(device) = reader.section(&root, "device", "[device]") {
        reader.expect_keys(&device, &["name"]);
        let name = reader.text(&device, "name");
        fragment.device_name = name.map(|name| Placed::new(source, name));
    }
    if let Some(sync) = reader.section(&root, "sync", "[sync]") {
        let keys = [
            "read-back",
            "continuous",
            "poll-minutes",
            "idle-exit-seconds",
            "on-battery",
            "on-metered",
        ];
        reader.expect_keys(&sync, &keys);
        let word = reader.text(&sync, "on-battery");
        fragment.on_battery = word.map(|word| Placed::new(source, word));
        let word = reader.text(&sync, "on-metered");
        fragment.on_metered = word.map(|word| Placed::new(source, word));
        fragment.read_back = reader.flag(&sync, "read-back");
        fragment.continuous = reader.flag(&sync, "continuous");
        let number = reader.number(&sync, "poll-minutes");
        fragment.poll_minutes = number.map(|number| Placed::new(source, number));
        let seconds = reader.number(&sync, "idle-exit-seconds");
        fragment.idle_exit = seconds.map(|seconds| Placed::new(source, seconds));
    }
    if let Some(password) = reader.section(&root, "password", "[password]") {
        reader.expect_keys(&password, &["min-length"]);
        let number = reader.number(&password, "min-length");
        fragment.min_password = number.map(|number| Placed::new(source, number));
    }
    if let Some(jobs) = reader.section(&root, "jobs", "[jobs]") {
        reader.expect_keys(&jobs, &["keep-finished"]);
        let number = reader.number(&jobs, "keep-finished");
        fragment.keep_finished = number.map(|number| Placed::new(source, number));
    }
    if let Some(sign_out) = reader.section(&root, "sign-out", "[sign-out]") {
        reader.expect_keys(&sign_out, &["inhibit-delay-seconds"]);
        let seconds = reader.number(&sign_out, "inhibit-delay-seconds");
        fragment.inhibit_delay = seconds.map(|seconds| Placed::new(source, seconds));
    }
    fragment
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::rest::{OnBattery, OnMetered};

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
        assert!(taken.continuous.is_some());
        assert!(taken.poll_minutes.is_some());
        assert!(taken.idle_exit.is_some());
        assert!(taken.on_battery.is_some() && taken.on_metered.is_some());
        assert!(taken.keep_finished.is_some());
        assert!(taken.inhibit_delay.is_some());
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
        for wrong in ["7", "129"] {
            let found = complaints(&format!("[password]\nmin-length = {wrong}\n"));
            assert_eq!(
                found,
                ["mooring.toml:2:14: `min-length` lies between 8 and 128: change it"]
            );
        }
        for wrong in ["0", "257", "-1", "9223372036854775807"] {
            let found = complaints(&format!("[jobs]\nkeep-finished = {wrong}\n"));
            assert_eq!(
                found,
                ["mooring.toml:2:17: `keep-finished` lies between 1 and 256: change it"]
            );
        }
        for wrong in ["0", "3601", "-1"] {
            let found = complaints(&format!("[sync]\nidle-exit-seconds = {wrong}\n"));
            assert_eq!(
                found,
                ["mooring.toml:2:21: `idle-exit-seconds` lies between 1 and 3600: change it"]
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
    fn apps_can_delay_a_sign_out_for_a_minute_at_most() {
        for wrong in ["-1", "61", "256"] {
            let found = complaints(&format!("[sign-out]\ninhibit-delay-seconds = {wrong}\n"));
            assert_eq!(
                found,
                ["mooring.toml:2:25: `inhibit-delay-seconds` lies between 0 and 60: change it"]
            );
        }
        let none = fragment("[sign-out]\ninhibit-delay-seconds = 0\n");
        let settings = Settings::from_fragments(&[none]).unwrap();
        assert_eq!(settings.inhibit_delay_seconds, 0);
    }

    #[test]
    fn resting_is_said_in_known_words() {
        let site = fragment("[sync]\non-battery = \"below-20\"\non-metered = \"pause\"\n");
        let rest = Settings::from_fragments(&[site]).unwrap().rest;
        assert_eq!(rest.on_battery, OnBattery::Below(20));
        assert_eq!(rest.on_metered, OnMetered::Pause);
        let found = complaints("[sync]\non-battery = \"below-0\"\non-metered = \"never\"\n");
        assert!(
            found[0].starts_with("mooring.toml:2:14: `on-battery` is"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("mooring.toml:3:14: `on-metered` is"),
            "{found:?}"
        );
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
                "mooring.toml:6:2: there is no key `log` in this file: use device, sync, password, jobs, sign-out, or \
                 remove it",
            ]
        );
    }
}
