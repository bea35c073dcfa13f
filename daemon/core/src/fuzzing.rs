//! What of the domain reads what others wrote by ways that are private to it, for the fuzzer
//! (`tests/fuzz`) and for the inputs that it found: each target takes any bytes, and panics where a
//! promise does not hold.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeSet, HashSet};

use crate::collection::Collection;
use crate::policy::bundle::{Bundle, Holding, Key, Memory, Offer, hold};
use crate::policy::{Actor, Circumstances, Facts, MAX_FILES, Problem, Source, Verb, decide, unite};
use crate::seal;
use crate::wal::{self, Standing};

/// A target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder in `tests/fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("bundle", bundle),
    ("conditions", conditions),
    ("seal", seals),
    ("wal", log),
];

/// Between the parts of one input: no byte of UTF-8.
const NEXT: u8 = 0xff;
/// Some Tuesday of 2026.
const NOW: u64 = 1_795_543_200;
/// A key that signed none of the inputs.
const KEY: &[u8] = include_bytes!("../tests/policy/bundle/other.pub");

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// A key, a signature and a bundle. What no key signed is refused; what a key could have signed is
/// within its bounds, and comes into force once, and never in place of a newer one.
fn bundle(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == NEXT);
    let mut part = || parts.next().unwrap_or_default();
    let (key, signature, document) = (part(), part(), part());
    let ours = Key::read("/k/other.pub", KEY).expect("a key");
    let theirs = Key::read("/k/fuzzed.pub", key).ok();
    // By their own key anybody can sign; by ours nobody here did.
    let keys = std::slice::from_ref(&ours);
    let refused = Bundle::open("/b", document, signature, keys).expect_err("not signed");
    assert_told(document, &refused);
    if let Some(theirs) = theirs {
        let _ = Bundle::open("/b", document, signature, &[theirs]);
    }
    let Some(written) = text(document) else {
        return;
    };
    match Bundle::read("/b", written, &ours) {
        Err(problem) => assert_told(document, &[problem]),
        Ok(bundle) => in_force(bundle),
    }
}

fn in_force(bundle: Bundle) {
    assert!(bundle.version > 0 && bundle.files.len() <= MAX_FILES);
    assert!(!bundle.organisation.contains(char::is_control));
    let names: BTreeSet<&str> = bundle.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names.len(), bundle.files.len());
    assert!(names.iter().all(|name| name.starts_with("/b:")));
    let first = hold(&Memory::default(), Offer::Signed(bundle.clone()), &[], NOW);
    assert_eq!(
        first.holding == Holding::InForce,
        first.memory.accepted.is_some()
    );
    let newer = Bundle {
        version: bundle.version.saturating_add(1),
        expires: NOW + 1,
        ..bundle.clone()
    };
    let memory = hold(&first.memory, Offer::Signed(newer.clone()), &[], NOW).memory;
    let again = hold(&memory, Offer::Signed(bundle), &[], NOW);
    assert!(
        again
            .memory
            .accepted
            .is_some_and(|held| held.version == newer.version)
    );
}

/// Every problem lies in the text, and is said on one line.
fn assert_told(document: &[u8], problems: &[Problem]) {
    assert!(!problems.is_empty());
    let lines = document.split(|byte| *byte == b'\n').count();
    for problem in problems {
        assert!(problem.line as usize <= lines, "{problem}");
        assert!(
            !problem.to_string().contains(char::is_control),
            "{problem:?}"
        );
    }
}

/// What is known of a device and its person, and rules: what nobody knows never loosens anything.
fn conditions(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == NEXT);
    let (facts, rules) = (parts.next().unwrap_or_default(), parts.next());
    let (Some(facts), Ok(source)) = (
        text(facts),
        Source::from_bytes("c.toml", rules.unwrap_or_default()),
    ) else {
        return;
    };
    let Ok(policy) = unite(&[source]) else {
        return;
    };
    let known = circumstances(facts);
    for (_, verb) in Verb::ALL {
        for (_, actor) in Actor::ALL {
            let asked = Facts {
                collections: Collection::ALL.to_vec(),
                now: NOW,
                ..Facts::new(verb, actor, "local", "alice")
            };
            let unknown = decide(&policy, &asked);
            let told = decide(
                &policy,
                &Facts {
                    circumstances: known.clone(),
                    ..asked
                },
            );
            assert!(told.allowed || !unknown.allowed);
            let more: HashSet<_> = unknown.denials.iter().collect();
            assert!(told.denials.iter().all(|denial| more.contains(denial)));
        }
    }
}

/// A fact a line: the host, its system and version, whether the network costs; then names.
fn circumstances(facts: &str) -> Circumstances {
    let mut lines = facts.lines();
    let mut one = || {
        lines
            .next()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
    };
    let (host, system, system_version, costs) = (one(), one(), one(), one());
    let names: Vec<String> = lines.map(str::to_owned).collect();
    Circumstances {
        person: (!names.is_empty()).then(|| names.clone()),
        groups: (!names.is_empty()).then_some(names),
        host,
        system,
        system_version,
        metered: costs.map(|costs| costs == "yes"),
    }
}

/// A kind, a key and a text: nothing opens but what was sealed, and that as it was.
fn seals(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == NEXT).map(text);
    let mut part = || parts.next().flatten().unwrap_or_default();
    let (kind, key, sealed) = (part(), part(), part());
    if let Ok(opened) = seal::open(kind, key, sealed) {
        assert_eq!(seal::seal(kind, key, opened), sealed);
    }
    let whole = seal::seal(kind, key, sealed);
    assert_eq!(seal::open(kind, key, &whole), Ok(sealed));
    assert!(seal::open(key, kind, &whole).is_err() || key == kind);
}

/// Any log, and one by the book. What a log that stands has lost at its end, it never had: it does
/// not become rotten by that.
fn log(bytes: &[u8]) {
    let standing = |log: &[u8]| wal::look(log).expect("memory can be read");
    let (log, damage) = by_the_book(bytes);
    for log in [bytes, &log] {
        let cut = bytes
            .first()
            .map_or(0, |byte| log.len() * usize::from(*byte) / 255);
        let all = standing(log);
        assert!(
            matches!(all, Standing::Rotten(_))
                || !matches!(standing(&log[..cut]), Standing::Rotten(_))
        );
    }
    let expected = match damage {
        None | Some((_, false, _)) => Standing::Whole,
        Some((_, true, false)) => Standing::Torn,
        Some((first, true, true)) => Standing::Rotten(first),
    };
    assert_eq!(standing(&log), expected);
}

/// The first frame that is damaged, whether a commit ended there or later, and whether a frame
/// follows that.
type Damage = (u64, bool, bool);

/// A log with one frame for each byte: the last bit makes it a commit, the others damage one.
fn by_the_book(bytes: &[u8]) -> (Vec<u8>, Option<Damage>) {
    const PAGE: usize = 512;
    let mut log = Vec::new();
    for word in [0x377f_0683_u32, 3_007_000, 512, 0, 7, 9] {
        log.extend(word.to_be_bytes());
    }
    let mut sums = add((0, 0), &log);
    log.extend([sums.0.to_be_bytes(), sums.1.to_be_bytes()].concat());
    let mut damage: Option<Damage> = None;
    for (number, byte) in (1..).zip(bytes) {
        let commits = byte & 1 == 1;
        let mut page = [*byte; PAGE];
        let head = [number, u32::from(commits)].map(u32::to_be_bytes).concat();
        sums = add(add(sums, &head), &page);
        damage = match damage {
            Some((first, true, _)) => Some((first, true, true)),
            Some((first, false, _)) => Some((first, commits, false)),
            None => (byte >> 1 == 0x7f).then_some((u64::from(number), commits, false)),
        };
        page[usize::from(*byte)] ^= u8::from(byte >> 1 == 0x7f);
        log.extend(head);
        for word in [7, 9, sums.0, sums.1] {
            log.extend(word.to_be_bytes());
        }
        log.extend(page);
    }
    (log, damage)
}

/// The checksums of SQLite's log, in its big-endian form.
fn add((mut one, mut two): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| u32::from_be_bytes(pair[at..at + 4].try_into().expect("four"));
        one = one.wrapping_add(word(0)).wrapping_add(two);
        two = two.wrapping_add(word(4)).wrapping_add(one);
    }
    (one, two)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzzer begins with, and every input that once went wrong.
    #[test]
    fn the_corpus_holds() {
        let corpus =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for entry in std::fs::read_dir(corpus.join(name)).unwrap() {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                inputs += 1;
            }
            assert!(inputs > 0, "{name} has nothing to begin with");
        }
    }
}
