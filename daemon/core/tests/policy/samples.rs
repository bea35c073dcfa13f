//! The samples that are shipped: harmless as they are, and right when they are taken up.

use mooring_core::policy::{Data, Facts, Source, Verb, check, decide, unite};

use crate::{alice, facts, source};

const SAMPLES: [(&str, &str); 5] = [
    (
        "10-organisation.toml",
        include_str!("../../../../config/policy.d/10-organisation.toml"),
    ),
    (
        "20-data.toml",
        include_str!("../../../../config/policy.d/20-data.toml"),
    ),
    (
        "30-accounts.toml",
        include_str!("../../../../config/policy.d/30-accounts.toml"),
    ),
    (
        "40-leaving.toml",
        include_str!("../../../../config/policy.d/40-leaving.toml"),
    ),
    (
        "50-passwords-and-sessions.toml",
        include_str!("../../../../config/policy.d/50-passwords-and-sessions.toml"),
    ),
];

fn shipped() -> Vec<Source> {
    SAMPLES
        .iter()
        .map(|(path, text)| source(path, *text))
        .collect()
}

/// The samples with every commented key taken up. Prose starts with `# ` and stays.
fn taken_up() -> Vec<Source> {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
            format!("{key}\n")
        }
        _ => format!("{line}\n"),
    };
    let text = |text: &str| text.lines().map(line).collect::<String>();
    SAMPLES
        .iter()
        .map(|(path, sample)| source(path, text(sample)))
        .collect()
}

#[test]
fn as_shipped_they_allow_everything() {
    let policy = unite(&shipped()).unwrap();
    assert_eq!(policy.rules(), []);
    assert_eq!(policy.files(), SAMPLES.map(|(path, _)| path));
    assert!(decide(&policy, &alice()).allowed);
}

#[test]
fn every_sample_is_in_the_test() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/policy.d");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, SAMPLES.map(|(path, _)| path));
}

#[test]
fn taken_up_they_say_what_their_comments_say() {
    let sources = taken_up();
    for source in &sources {
        assert_eq!(check(source), [], "{}", source.text);
    }
    let policy = unite(&sources).unwrap();
    assert_eq!(policy.rules().len(), 9);
    assert_eq!(policy.conflicts(), []);
    let person = |name| {
        decide(
            &policy,
            &facts(mooring_core::policy::Actor::Person, "local", name),
        )
    };
    assert!(!person("alice").allowed);
    assert!(!person("audit-7").allowed);
    assert_eq!(person("guest-1").data, Data::Remove);
    assert_eq!(person("archive").data, Data::Keep);
    assert!(person("bob").allowed);
    assert!(!person("kiosk").allowed, "it is required");
    assert!(person("eve@example.org").demands.backup.is_some());
    let sign_in = |name| {
        let person = mooring_core::policy::Actor::Person;
        let facts = Facts::new(Verb::SignIn, person, "local", name);
        decide(&policy, &facts).allowed
    };
    assert!(sign_in("eve@example.org") && sign_in("kiosk") && sign_in("guest-1"));
    assert!(!sign_in("visitor-1") && !sign_in("bob"));
}
