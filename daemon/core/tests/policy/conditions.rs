//! Rules that hold for some devices, people and networks only.

use mooring_core::collection::Collection;
use mooring_core::policy::{Circumstances, Facts, decide};

use crate::{alice, policy};

/// Alice of the students, on a Debian in the laboratory.
fn here() -> Circumstances {
    Circumstances {
        person: Some(vec!["alice".to_owned(), "1001".to_owned()]),
        groups: Some(vec!["alice".to_owned(), "students".to_owned()]),
        host: Some("lab-7".to_owned()),
        system: Some("debian".to_owned()),
        system_version: Some("12".to_owned()),
        metered: Some(false),
    }
}

fn denied(condition: &str, circumstances: Circumstances) -> bool {
    let text =
        format!("[[rule]]\nname = \"r\"\nreason = \"R.\"\nsign-out = \"deny\"\n{condition}\n");
    let facts = Facts {
        circumstances,
        collections: vec![Collection::Photos],
        ..alice()
    };
    !decide(&policy(&text), &facts).allowed
}

#[test]
fn a_rule_holds_where_every_condition_is_met() {
    for (condition, holds) in [
        ("people = [\"alice\"]", true),
        ("people = [\"1001\"]", true),
        ("people = [\"bob\", \"0\"]", false),
        ("groups = [\"stud*\"]", true),
        ("groups = [\"staff\"]", false),
        ("hosts = [\"lab-*\"]", true),
        ("hosts = [\"office-*\"]", false),
        ("systems = [\"debian\"]\nsystem-versions = [\"12\"]", true),
        ("systems = [\"debian\"]\nsystem-versions = [\"13\"]", false),
        ("systems = [\"fedora\"]", false),
        ("collections = [\"photos\", \"videos\"]", true),
        ("collections = [\"contacts\"]", false),
        ("metered = false", true),
        ("metered = true", false),
        ("groups = [\"students\"]\nhosts = [\"office\"]", false),
    ] {
        assert_eq!(denied(condition, here()), holds, "{condition}");
    }
}

#[test]
fn what_is_not_known_counts_as_met() {
    for condition in [
        "people = [\"bob\"]",
        "groups = [\"staff\"]",
        "hosts = [\"office\"]",
        "systems = [\"fedora\"]",
        "system-versions = [\"41\"]",
        "metered = true",
    ] {
        assert!(denied(condition, Circumstances::default()), "{condition}");
        assert!(!denied(condition, here()), "{condition}");
    }
    // In no group at all is known.
    let alone = Circumstances {
        groups: Some(Vec::new()),
        ..here()
    };
    assert!(!denied("groups = [\"staff\"]", alone));
}

#[test]
fn rules_for_different_hosts_do_not_contradict_each_other() {
    let rules = |first: &str, second: &str| {
        policy(&format!(
            "[[rule]]\nname = \"a\"\nreason = \"A.\"\ndata = \"keep\"\n{first}\n\
             [[rule]]\nname = \"b\"\nreason = \"B.\"\ndata = \"remove\"\n{second}\n"
        ))
    };
    assert!(
        rules("hosts = [\"lab-*\"]", "hosts = [\"office\"]")
            .conflicts()
            .is_empty()
    );
    assert!(
        rules("metered = true", "metered = false")
            .conflicts()
            .is_empty()
    );
    // One person may be in both.
    assert_eq!(
        rules("groups = [\"a\"]", "groups = [\"b\"]")
            .conflicts()
            .len(),
        1
    );
}

#[test]
fn terms_and_required_accounts_are_bound_to_them_as_well() {
    let policy = policy(
        "[[rule]]\nname = \"r\"\nreason = \"R.\"\nrequire-account = \"bob\"\n\
         password-min-length = 20\nhosts = [\"office\"]\n",
    );
    assert!(policy.missing(&[], &here()).is_empty());
    assert!(policy.terms("local", "alice", &here()).min_length.is_none());
    let there = Circumstances {
        host: Some("office".to_owned()),
        ..here()
    };
    assert_eq!(policy.missing(&[], &there).len(), 1);
    assert!(policy.terms("local", "alice", &there).min_length.is_some());
    assert!(policy.to_toml().contains("hosts = [\"office\"]"));
}
