//! A program that changes a person's files while they are being removed (`racer.py`): how it is
//! started, and what it is owed in the end.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::manifest::{Kind, Manifest};

/// The program, for `python3 -c`.
const PROGRAM: &str = include_str!("racer.py");
/// Folders that the raced files lie in.
const FOLDERS: usize = 8;
/// Removals in a row that may be over before the programs, on a busy machine, had anything to attack.
const MISSED: usize = 10;

/// What it attacks.
#[derive(Debug, Clone)]
pub struct Race {
    /// The root of the collection.
    pub root: String,
    /// How many files there are.
    pub files: usize,
    /// Folders that are never to be touched, and that it offers in place of others.
    pub decoys: Vec<String>,
    /// Whether it mounts decoys, too, which takes root.
    pub bind: bool,
}

/// A running program. It ends when it is dropped.
#[derive(Debug)]
pub struct Racer {
    child: Child,
    told: File,
    errors: BufReader<ChildStderr>,
}

/// What it did, and what it is owed.
#[derive(Debug, Default)]
pub struct Raced {
    /// Attacks that met something, by their kind.
    pub rounds: BTreeMap<String, usize>,
    /// By its path the last content that each file had.
    pub owed: BTreeMap<String, Vec<u8>>,
}

impl Race {
    /// The path of a raced file below the root.
    pub fn file(nr: usize) -> String {
        format!("race {}/{nr:04}", nr % FOLDERS)
    }

    /// What a file contains at first: long enough for whatever is written over it.
    pub fn content(&self, nr: usize, race: usize) -> Vec<u8> {
        format!("{:.<60}", format!("file {nr} of race {race} ")).into_bytes()
    }

    /// Starts one of two programs that make these attacks together, each in half of the folders, and waits
    /// until it watches. `command` is to run its words as whoever it is.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(
        &self,
        part: usize,
        number: usize,
        rounds: usize,
        command: impl Fn(&[&str]) -> Command,
    ) -> Racer {
        let folders: Vec<String> = (0..FOLDERS)
            .filter(|nr| nr % 2 == part)
            .map(|nr| nr.to_string())
            .collect();
        let numbers = [self.files, rounds, number].map(|number| number.to_string());
        let mut words = vec!["/usr/bin/python3", "-c", PROGRAM, self.root.as_str()];
        let folders = folders.join(",");
        words.push(&folders);
        words.extend(numbers.iter().map(String::as_str));
        words.extend(self.decoys.iter().map(String::as_str));
        words.extend(self.bind.then_some("--bind"));
        // A file and not a pipe: it never waits for whoever reads.
        let told = tempfile::tempfile().expect("a file");
        let mut child = command(&words)
            .stdin(Stdio::piped())
            .stdout(told.try_clone().expect("a descriptor"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 is needed: tests/setup.sh test");
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let (mut said, mut line) = (String::new(), String::new());
        while line != "ready\n" {
            said.push_str(&std::mem::take(&mut line));
            let read = errors.read_line(&mut line).expect("text");
            assert!(read > 0, "the racer does not start: {said}");
        }
        Racer {
            child,
            told,
            errors,
        }
    }
}

impl Racer {
    /// Whether it is done.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn is_done(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Lets it end, and adds what it did.
    ///
    /// # Panics
    /// When it failed.
    pub fn end(mut self, raced: &mut Raced) {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.errors.read_to_string(&mut said).expect("text");
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "the racer failed: {status}: {said}");
        let mut told = String::new();
        self.told.rewind().expect("a file");
        self.told.read_to_string(&mut told).expect("text");
        for line in told.lines() {
            raced.add(line);
        }
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        // Ended already is as good.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The attacks of many removals, one after the other.
#[derive(Debug, Default)]
pub struct Attacks {
    by_kind: BTreeMap<String, usize>,
    missed: usize,
}

impl Attacks {
    /// Adds those of one removal.
    ///
    /// # Panics
    /// When too many in a row met nothing.
    #[track_caller]
    pub fn add(&mut self, raced: Raced) {
        self.missed = if raced.all() > 0 { 0 } else { self.missed + 1 };
        assert!(self.missed < MISSED, "nothing is raced");
        for (kind, count) in raced.rounds {
            *self.by_kind.entry(kind).or_default() += count;
        }
    }

    /// Of all kinds.
    pub fn all(&self) -> usize {
        self.by_kind.values().sum()
    }
}

impl fmt::Display for Attacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attacks: {:?}", self.all(), self.by_kind)
    }
}

impl Raced {
    fn add(&mut self, line: &str) {
        if let Some(owed) = line.strip_prefix("owed ") {
            let (path, content) = owed.split_once('\t').expect("a path and its content");
            self.owed.insert(path.to_owned(), content.into());
        } else {
            let round = line.strip_prefix("round ").and_then(|r| r.split_once(' '));
            let (kind, count) = round.expect("a kind and a number");
            let count: usize = count.parse().expect("a number");
            *self.rounds.entry(kind.to_owned()).or_default() += count;
        }
    }

    /// Attacks of all kinds.
    pub fn all(&self) -> usize {
        self.rounds.values().sum()
    }

    /// Holds what is owed to what there is.
    ///
    /// # Panics
    /// With what is lost.
    #[track_caller]
    pub fn expect_in(&self, places: &[Manifest]) {
        let there: std::collections::HashSet<_> = places
            .iter()
            .flat_map(|place| place.0.values())
            .filter_map(|entry| match &entry.kind {
                Kind::File(_, hash) => Some(*hash),
                _ => None,
            })
            .collect();
        let lost: Vec<_> = self
            .owed
            .iter()
            .filter(|(_, content)| !there.contains(&blake3::hash(content)))
            .map(|(path, content)| format!("{path}: {:?}", String::from_utf8_lossy(content)))
            .collect();
        assert!(
            lost.is_empty(),
            "{} contents are lost, among them {:#?}",
            lost.len(),
            &lost[..lost.len().min(5)]
        );
    }
}
