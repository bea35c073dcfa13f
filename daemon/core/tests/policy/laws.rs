//! Laws that hold for every policy: one more rule never loosens anything, and order means nothing.

use std::collections::HashSet;

use mooring_core::collection::Collection;
use mooring_core::policy::{
    Actor, Circumstances, Data, Decision, Demands, Denial, Facts, Join, Policy, Source,
    TakenBackup, Verb, check, decide, sources_from_text, sources_to_text, unite,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::{HEAD, source};

/// Demands of every key, in ways that get along and in ways that do not.
fn demands() -> Vec<&'static str> {
    vec![
        "sign-out = \"deny\"",
        "sign-out = \"allow\"",
        "data = \"keep\"",
        "data = \"remove\"",
        "data = \"ask\"",
        "sign-out = \"allow\"\ndata = \"keep\"",
        "sign-out = \"deny\"\ndata = \"remove\"",
        "sign-in = \"deny\"",
        "sign-in = \"allow\"",
        "only-identities = [\"al*\", \"bob\"]",
        "only-identities = [\"*ice\"]",
        "only-providers = [\"local\"]",
        "only-providers = [\"*d\"]\nonly-identities = [\"bob\"]",
        "only-collections = [\"photos\", \"videos\"]",
        "only-collections = [\"videos\", \"contacts\"]",
        "require-account = \"al*\"",
        "require-account = \"bob\"\nsign-in = \"deny\"",
        "backup = \"required\"",
        "backup = \"verified\"",
        "backup = \"required\"\nbackup-max-age = \"1h\"",
        "backup = \"verified\"\nbackup-max-age = \"7d\"",
        "hours = \"Mon-Fri 08:00-18:00\"",
        "hours = \"Fri-Mon 22:00-06:00\"",
        "hours = \"Mon-Fri 08:00-18:00\"\noutside-hours = \"wait\"",
        "hours = \"Mon-Fri 08:00-18:00\"\noutside-hours = \"refuse\"",
        "password-min-length = 12\npassword-tries = 1",
        "password-min-length = 10\npassword-delay = \"1h\"",
        "session-max-age = \"7d\"",
        "session-max-age = \"1d\"\npassword-tries = 0",
    ]
}

/// Conditions of every key that there is, some of them, in any combination.
fn conditions() -> impl Strategy<Value = String> {
    let lines = vec![
        "people = [\"alice\", \"1001\"]",
        "groups = [\"students\", \"st*\"]",
        "hosts = [\"lab-*\"]",
        "systems = [\"debian\"]",
        "system-versions = [\"1*\"]",
        "collections = [\"photos\", \"contacts\"]",
        "metered = true",
    ];
    // Most rules have none, as in life.
    (any::<[bool; 2]>(), subsequence(lines, 0..=3)).prop_map(|(bare, lines)| match bare {
        [true, true] => lines.join("\n"),
        _ => String::new(),
    })
}

fn circumstances() -> impl Strategy<Value = Circumstances> {
    let names = |of: &[&str]| {
        let of: Vec<String> = of.iter().map(|n| (*n).to_owned()).collect();
        let most = of.len();
        prop::option::of(subsequence(of, 0..=most))
    };
    let name = |of: [&str; 2]| prop::option::of(select(of.map(str::to_owned).to_vec()));
    (
        names(&["alice", "bob", "1001"]),
        names(&["students", "staff", "wheel"]),
        name(["lab-7", "office"]),
        name(["debian", "fedora"]),
        name(["12", "41"]),
        any::<Option<bool>>(),
    )
        .prop_map(
            |(person, groups, host, system, system_version, metered)| Circumstances {
                person,
                groups,
                host,
                system,
                system_version,
                metered,
            },
        )
}

fn is_known(now: &Circumstances) -> bool {
    now.host.is_some()
        && now.system.is_some()
        && now.system_version.is_some()
        && now.metered.is_some()
}

/// The same with this fact not known.
fn forgotten(mut known: Circumstances, which: usize) -> Circumstances {
    match which {
        0 => known.person = None,
        1 => known.groups = None,
        2 => known.host = None,
        3 => known.system = None,
        4 => known.system_version = None,
        _ => known.metered = None,
    }
    known
}

#[test]
fn the_laws_are_about_every_key() {
    for key in Demands::KEYS {
        let line = format!("{key} = ");
        let written = |demand: &&str| demand.lines().any(|l| l.starts_with(&line));
        assert!(demands().iter().any(written), "add {key} to `demands`");
    }
}

/// The lines of a rule without its name.
fn rule() -> impl Strategy<Value = String> {
    let demands = (select(demands()), conditions()).prop_map(|(d, c)| format!("{d}\n{c}"));
    let actors = subsequence(vec!["person", "device", "organisation"], 0..=3);
    let names = || {
        subsequence(
            vec![
                "alice", "al*", "*ice", "bob", "*", "guest-*", "local", "l*", "*d",
            ],
            0..=3,
        )
    };
    (demands, actors, names(), names()).prop_map(|(demands, actors, identities, providers)| {
        let mut text = format!("reason = \"R\"\n{demands}\n");
        let lists = [
            ("actors", actors),
            ("identities", identities),
            ("providers", providers),
        ];
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            text.push_str(&format!("{key} = {list:?}\n"));
        }
        text
    })
}

fn question() -> impl Strategy<Value = Facts> {
    let who = (
        select(Verb::ALL.map(|(_, verb)| verb).to_vec()),
        select(Actor::ALL.map(|(_, actor)| actor).to_vec()),
        select(vec!["local", "nextcloud", "oidc"]),
        select(vec!["alice", "al", "ice", "bob", "guest-7", ""]),
    );
    let backup = (0..NOW + 1000, any::<bool>(), any::<bool>());
    let circumstances = (
        subsequence(Collection::ALL.to_vec(), 0..=4),
        prop::option::of(NOW..NOW + 7 * 24 * 3600),
        any::<bool>(),
        prop::option::of(backup),
        circumstances(),
    );
    (who, circumstances).prop_map(
        |(
            (verb, actor, provider, identity),
            (collections, begins, removes, backup, circumstances),
        )| Facts {
            circumstances,
            collections,
            begins,
            now: begins.unwrap_or(NOW),
            removes,
            backup: backup.map(|(when, complete, read_back)| TakenBackup {
                when,
                complete,
                read_back,
            }),
            ..Facts::new(verb, actor, provider, identity)
        },
    )
}

fn file(path: &str, rules: &[String]) -> Source {
    let mut text = HEAD.to_owned();
    for (number, rule) in rules.iter().enumerate() {
        text.push_str(&format!("[[rule]]\nname = \"r{number}\"\n{rule}"));
    }
    source(path, text)
}

/// Files of rules, each with up to four.
fn files() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec(rule(), 0..4), 0..4)
}

fn sources(files: &[Vec<String>]) -> Vec<Source> {
    files
        .iter()
        .enumerate()
        .map(|(i, rules)| file(&format!("{i}.toml"), rules))
        .collect()
}

fn denials(decision: &Decision) -> HashSet<&Denial> {
    decision.denials.iter().collect()
}

/// Some Tuesday of 2026.
const NOW: u64 = 1_795_543_200;

/// Whether data went the only way it can: ask, then keep or remove, then conflict.
fn tightened(before: Data, after: Data) -> bool {
    before == after || before == Data::Ask || after == Data::Conflict
}

fn assert_no_looser(before: &Policy, after: &Policy, facts: &Facts) -> Result<(), TestCaseError> {
    assert_tighter(&decide(before, facts), &decide(after, facts))
}

fn assert_tighter(before: &Decision, after: &Decision) -> Result<(), TestCaseError> {
    prop_assert!(before.allowed || !after.allowed);
    prop_assert!(denials(before).is_subset(&denials(after)));
    prop_assert!(
        tightened(before.data, after.data),
        "{:?} {:?}",
        before.data,
        after.data
    );
    let lacking = |decision: &Decision| decision.lacking.iter().cloned().collect::<HashSet<_>>();
    prop_assert!(lacking(before).is_subset(&lacking(after)));
    // What was refused does not come to wait, and what waited begins no earlier.
    let until = |decision: &Decision| decision.waits_until(NOW);
    prop_assert!(until(after).is_none() || before.allowed || until(before) <= until(after));
    prop_assert!(until(after).is_none() || before.allowed || until(before).is_some());
    // Every key at once: what is demanded now adds nothing to what is demanded then.
    let joined = before.demands.clone().join(after.demands.clone());
    prop_assert_eq!(&joined, &after.demands);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn one_more_rule_never_loosens(files in files(), extra in rule(), at in 0..4usize, facts in question()) {
        let before = unite(&sources(&files)).unwrap();
        let mut more = files;
        match more.get_mut(at) {
            Some(rules) => rules.push(extra),
            None => more.push(vec![extra]),
        }
        let after = unite(&sources(&more)).unwrap();
        assert_no_looser(&before, &after, &facts)?;
    }

    #[test]
    fn one_more_file_never_loosens(files in files(), extra in prop::collection::vec(rule(), 0..4), first: bool, facts in question()) {
        let mut texts = sources(&files);
        let before = unite(&texts).unwrap();
        texts.insert(if first { 0 } else { texts.len() }, file("extra.toml", &extra));
        assert_no_looser(&before, &unite(&texts).unwrap(), &facts)?;
    }

    #[test]
    fn what_nobody_knows_never_loosens(files in files(), facts in question(), which in 0..6usize) {
        let policy = unite(&sources(&files)).unwrap();
        let circumstances = forgotten(facts.circumstances.clone(), which);
        let less = Facts { circumstances, ..facts.clone() };
        assert_tighter(&decide(&policy, &facts), &decide(&policy, &less))?;
    }

    #[test]
    fn the_order_of_files_means_nothing(files in files(), facts in question()) {
        let mut texts = sources(&files);
        let forward = decide(&unite(&texts).unwrap(), &facts);
        texts.reverse();
        let backward = decide(&unite(&texts).unwrap(), &facts);
        prop_assert_eq!(forward.allowed, backward.allowed);
        prop_assert_eq!(forward.data, backward.data);
        prop_assert_eq!(denials(&forward), denials(&backward));
        prop_assert_eq!(forward.demands, backward.demands);
    }

    #[test]
    fn a_decision_agrees_with_itself(files in files(), facts in question()) {
        let policy = unite(&sources(&files)).unwrap();
        let decision = decide(&policy, &facts);
        prop_assert_eq!(decision.allowed, decision.denials.is_empty());
        prop_assert!(!decision.explanation.is_empty());
        prop_assert!(!decision.allowed || decision.data != Data::Conflict);
        // What blocks someone was told when the files were read.
        // Rules for different hosts meet where the host is not known, which no file can tell.
        if decision.data == Data::Conflict && is_known(&facts.circumstances) {
            prop_assert!(!policy.conflicts().is_empty());
        }
        for (denial, sentence) in decision.denials.iter().zip(&decision.explanation) {
            prop_assert_eq!(&denial.sentence(), sentence);
        }
    }

    #[test]
    fn the_effective_policy_is_toml_and_says_the_same(files in files()) {
        let policy = unite(&sources(&files)).unwrap();
        let text = policy.to_toml();
        let table: toml::Table = text.parse().unwrap();
        let rules = table.get("rule").and_then(|rules| rules.as_array()).map_or(0, Vec::len);
        prop_assert_eq!(rules, policy.rules().len());
    }

    #[test]
    fn any_text_is_answered_within_the_file(text in "\\PC{0,200}|[\\[\\]{}=\"'.,#\n\ra-c0-9 -]{0,200}") {
        assert_places(&text);
    }

    #[test]
    fn a_good_text_with_a_scar_is_answered_within_the_file(
        rules in prop::collection::vec(rule(), 1..3),
        at in any::<prop::sample::Index>(),
        scar in "[\\[\\]{}=\"'\n\u{0}\u{feff}é*-]{0,3}",
        cut in 0..8usize,
    ) {
        let mut text: Vec<char> = file("a.toml", &rules).text.chars().collect();
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        text.splice(start..end, scar.chars());
        assert_places(&text.into_iter().collect::<String>());
    }

    #[test]
    fn kept_sources_come_back(texts in prop::collection::vec(any::<(String, String)>(), 0..5)) {
        let sources: Vec<Source> = texts.iter().map(|(path, text)| source(path, text)).collect();
        let kept = sources_to_text(&sources).unwrap();
        prop_assert_eq!(sources_from_text(&kept).unwrap(), sources);
    }
}

/// Every problem lies in the text, on one line, and is not empty.
fn assert_places(text: &str) {
    for problem in check(&source("a.toml", text)) {
        let line = text.split('\n').nth(problem.line as usize - 1);
        let line = line.unwrap_or_else(|| panic!("no such line: {problem}\n{text:?}"));
        let column = problem.column as usize;
        assert!(
            (1..=line.chars().count() + 1).contains(&column),
            "{problem}\n{text:?}"
        );
        assert!(!problem.message.is_empty());
        assert!(
            !problem.to_string().contains(char::is_control),
            "{problem:?}"
        );
    }
}
