#![allow(clippy::unwrap_used, clippy::expect_used)]
use mooring_core::policy::{Facts, Source, decide, unite};

use super::*;

const RULES: &str = "[organisation]\nname = \"Example\"\ncontact = \"help@example.org\"\n\
    [[rule]]\nname = \"stay\"\nsign-out = \"deny\"\nreason = \"Exams.\"\nidentities = [\"al*\"]\n";

fn entry(identity: &str) -> Entry {
    let source = Source {
        path: "/etc/mooring/policy.d/10.toml".to_owned(),
        text: RULES.to_owned(),
    };
    let facts = Facts::new(Verb::SignOut, Actor::Person, "local", identity);
    let decision = decide(&unite(&[source]).unwrap(), &facts);
    let about = Subject {
        account: "a0123456789abcdef",
        identity,
        provider: "local",
        verb: Verb::SignOut,
        actor: Actor::Person,
    };
    decided(1001, 12, about, &decision)
}

fn lines(entry: &Entry) -> Vec<&str> {
    std::str::from_utf8(&entry.bytes).unwrap().lines().collect()
}

#[test]
fn a_denial_names_the_rule_its_file_and_line() {
    let entry = entry("alice");
    for field in [
        "MESSAGE_ID=c9455f424ee142fba087b07198d9bd81",
        "MESSAGE=policy: sign-out of alice by person denied: stay (/etc/mooring/policy.d/10.toml:4)",
        "MOORING_DECISION=denied",
        "MOORING_RULE=stay (/etc/mooring/policy.d/10.toml:4)",
        "MOORING_UID=1001",
        "MOORING_POLICY_VERSION=12",
    ] {
        assert!(
            lines(&entry).contains(&field),
            "{field}: {:?}",
            lines(&entry)
        );
    }
}

#[test]
fn what_others_named_is_one_value_and_no_field() {
    let entry = entry(&format!(
        "bob\nMOORING_DECISION=denied\u{1b}{}",
        "x".repeat(4_000)
    ));
    let decisions: Vec<&str> = lines(&entry)
        .into_iter()
        .filter(|line| line.starts_with("MOORING_DECISION="))
        .collect();
    assert_eq!(decisions, ["MOORING_DECISION=allowed"]);
    assert!(
        lines(&entry)
            .iter()
            .all(|line| line.contains('=') && line.len() < 2 * MAX_VALUE)
    );
}

#[test]
fn the_journal_gets_the_entry_as_one_datagram() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let journal = UnixDatagram::bind(&path).unwrap();
    let sent = entry("alice");
    let bytes = sent.bytes.clone();
    sent.send(&path);
    let mut got = vec![0; 64 * 1024];
    let length = journal.recv(&mut got).unwrap();
    assert_eq!(got[..length], bytes);
    // A journal that takes nothing does not hold us up.
    drop(journal);
    entry("alice").send(&path);
}

#[test]
fn the_catalog_has_a_text_for_every_message() {
    let catalog = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../systemd/catalog/mooring.catalog"
    );
    let catalog = std::fs::read_to_string(catalog).unwrap();
    for id in [ALLOWED, DENIED, POLICY, RELEASED] {
        assert!(catalog.contains(&format!("-- {id}\n")), "{id}");
    }
}
