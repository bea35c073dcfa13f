//! The domain: policy, settings, identity records, receipts, readable names.

use std::collections::HashSet;

use mooring_core::collection::Collection;
use mooring_core::identity::{Record, RecoveryCode};
use mooring_core::policy::{
    Actor, Data, Decision, Denial, Facts, Policy, Problem, Source, TakenBackup, Verb, check,
    decide, unite,
};
use mooring_core::receipt::{self, Receipt};
use mooring_core::settings::{self, Settings};

use crate::Target;

/// Targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("policy", policy),
    ("settings", settings),
    ("identity", identity),
    ("receipt", receipt),
];

/// Between the files of one input: no byte of UTF-8.
const NEXT_FILE: u8 = 0xff;
/// Some Tuesday of 2026.
const NOW: u64 = 1_795_543_200;

/// The files of an input.
fn files(bytes: &[u8]) -> Vec<Source> {
    let parts = bytes.split(|b| *b == NEXT_FILE).enumerate();
    parts
        .filter_map(|(nr, part)| Source::from_bytes(&format!("{nr}.toml"), part).ok())
        .collect()
}

/// The questions of the first byte, then the files: whatever is united, one more file never loosens
/// it, and the order of files means nothing.
fn policy(bytes: &[u8]) {
    let Some((asked, rest)) = bytes.split_first() else {
        return;
    };
    let mut sources = files(rest);
    for source in &sources {
        assert_places(source, &check(source));
    }
    let Ok(after) = unite(&sources) else { return };
    assert!(!after.to_toml().is_empty() || after.rules().is_empty());
    for facts in questions(*asked) {
        let answer = decide(&after, &facts);
        assert_eq!(answer.allowed, answer.denials.is_empty());
        assert!(!answer.explanation.is_empty());
        for without in 0..sources.len() {
            let mut fewer = sources.clone();
            fewer.remove(without);
            if let Ok(before) = unite(&fewer) {
                assert_no_looser(&before, &answer, &facts);
            }
        }
    }
    sources.reverse();
    if let Ok(backward) = unite(&sources) {
        for facts in questions(*asked) {
            let (one, other) = (decide(&after, &facts), decide(&backward, &facts));
            assert_eq!((one.allowed, one.data), (other.allowed, other.data));
            assert_eq!(one.demands, other.demands);
        }
    }
}

fn questions(asked: u8) -> Vec<Facts> {
    let actor = Actor::ALL[usize::from(asked) % Actor::ALL.len()].1;
    let identity = ["alice", "bob", "", "guest-7"][usize::from(asked / 4) % 4];
    let backup = (asked & 0x40 != 0).then_some(TakenBackup {
        when: NOW - 7200,
        complete: true,
        read_back: asked & 0x20 != 0,
    });
    let about = |(_, verb): &(_, Verb)| Facts {
        collections: Collection::ALL.to_vec(),
        now: NOW,
        begins: (asked & 1 == 0).then_some(NOW),
        removes: asked & 2 == 0,
        backup: backup.clone(),
        ..Facts::new(*verb, actor, "local", identity)
    };
    Verb::ALL.iter().map(about).collect()
}

fn assert_no_looser(before: &Policy, after: &Decision, facts: &Facts) {
    let before = decide(before, facts);
    assert!(before.allowed || !after.allowed);
    let denials = |decision: &Decision| decision.denials.iter().cloned().collect();
    let (few, many): (HashSet<Denial>, HashSet<Denial>) = (denials(&before), denials(after));
    assert!(few.is_subset(&many));
    assert!(
        before.data == after.data || before.data == Data::Ask || after.data == Data::Conflict,
        "{:?} {:?}",
        before.data,
        after.data
    );
}

/// Every problem lies in the text, and says so on one line.
fn assert_places(source: &Source, problems: &[Problem]) {
    let lines = source.text.split('\n').count();
    for problem in problems {
        assert!(problem.line as usize <= lines, "{problem}");
        assert!(
            !problem.to_string().contains(char::is_control),
            "{problem:?}"
        );
    }
}

/// Files that are understood make settings within their bounds, or problems with a place.
fn settings(bytes: &[u8]) {
    let mut fragments = Vec::new();
    for source in files(bytes) {
        match settings::parse(&source) {
            Ok(fragment) => fragments.push(fragment),
            Err(problems) => {
                assert!(!problems.is_empty());
                assert_places(&source, &problems);
            }
        }
    }
    if let Ok(settings) = Settings::from_fragments(&fragments) {
        let name = settings.device("host");
        assert!(!name.contains(['/', '\n', '\0']) && !name.is_empty());
    }
}

/// A record that is understood is bounded, and is written as it is understood.
fn identity(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(record) = Record::parse(text)
        && let Ok(written) = record.to_toml()
    {
        let again = Record::parse(&written).expect("what is written can be read");
        assert_eq!(again.to_toml().ok(), Some(written));
    }
    let _ = RecoveryCode::parse(text);
}

/// A receipt that is understood can be written and read, and so can every name.
fn receipt(bytes: &[u8]) {
    let shown = receipt::readable(bytes);
    assert_eq!(receipt::unreadable(&shown).as_deref(), Some(bytes));
    assert!(!shown.contains(char::is_control));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = receipt::unreadable(text);
    if let Ok(found) = Receipt::from_toml(text) {
        let _ = receipt::seconds(&found.signed_out_at);
        let written = found.to_toml().expect("what was read can be written");
        assert_eq!(Receipt::from_toml(&written).ok(), Some(found));
    }
}
