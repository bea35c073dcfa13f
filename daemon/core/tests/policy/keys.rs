//! What each key means, and which keys contradict each other.

use mooring_core::collection::Collection;
use mooring_core::policy::{
    Actor, Circumstances, Facts, Ground, MAX_SIMULATION_BYTES, Source, Standing, TakenBackup, Verb,
    check, decide, simulate,
};

use crate::{HEAD, alice, policy, source};

/// Tuesday, 24 November 2026, 18:00 UTC.
const TUESDAY: u64 = 1_795_543_200;
const DAY: u64 = 24 * 60 * 60;

fn rule(name: &str, lines: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nreason = \"So it is.\"\n{lines}\n")
}

fn sign_in(identity: &str, provider: &str) -> Facts {
    Facts {
        collections: vec![Collection::Photos, Collection::Contacts],
        ..Facts::new(Verb::SignIn, Actor::Person, provider, identity)
    }
}

/// Alice signs out and her files are removed; her backup is this old.
fn leaving(backup_age: Option<u64>) -> Facts {
    let backup = backup_age.map(|age| TakenBackup {
        when: TUESDAY - age,
        complete: true,
        read_back: true,
    });
    Facts {
        now: TUESDAY,
        begins: Some(TUESDAY),
        removes: true,
        backup,
        ..alice()
    }
}

#[test]
fn a_sign_in_is_denied_by_name_or_allowed_to_few() {
    let denied = policy(&rule("n", "sign-in = \"deny\"\nidentities = [\"guest-*\"]"));
    assert!(!decide(&denied, &sign_in("guest-1", "local")).allowed);
    assert!(decide(&denied, &sign_in("alice", "local")).allowed);
    let few = policy(&format!(
        "{}{}",
        rule("a", "only-identities = [\"al*\", \"bob\"]"),
        rule(
            "b",
            "only-identities = [\"*ce\"]\nonly-providers = [\"local\"]"
        ),
    ));
    assert!(decide(&few, &sign_in("alice", "local")).allowed);
    for (identity, provider, denials) in [
        ("bob", "local", 1),
        ("eve", "local", 2),
        ("alice", "oidc", 1),
    ] {
        let decision = decide(&few, &sign_in(identity, provider));
        assert_eq!(decision.denials.len(), denials, "{identity} {decision:?}");
    }
    // A sign-out is another question.
    assert!(decide(&denied, &alice()).allowed);
    assert!(
        decide(
            &few,
            &Facts {
                identity: "eve".to_owned(),
                ..alice()
            }
        )
        .allowed
    );
}

#[test]
fn a_collection_is_denied_by_its_name() {
    let few = policy(&rule("n", "only-collections = [\"photos\", \"videos\"]"));
    let decision = decide(&few, &sign_in("alice", "local"));
    let refusal = decision.refusal().unwrap();
    assert_eq!(decision.denials[0].ground, Ground::Only("only-collections"));
    for part in [
        "photos, videos",
        "leave out contacts",
        "So it is.",
        "a.toml:4",
        "it@example.org",
    ] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    let photos = Facts {
        collections: vec![Collection::Photos],
        ..sign_in("alice", "local")
    };
    assert!(decide(&few, &photos).allowed);
}

#[test]
fn a_required_account_stays_and_is_missed() {
    let required = policy(&rule(
        "n",
        "require-account = \"al*\"\nproviders = [\"local\"]",
    ));
    for verb in [Verb::SignOut, Verb::Forget] {
        let decision = decide(&required, &Facts { verb, ..alice() });
        assert_eq!(decision.denials[0].ground, Ground::Required);
        let organisation = Facts {
            verb,
            actor: Actor::Organisation,
            ..alice()
        };
        assert!(decide(&required, &organisation).allowed);
    }
    assert!(
        decide(
            &required,
            &Facts {
                identity: "bob".to_owned(),
                ..alice()
            }
        )
        .allowed
    );
    let here = |provider: &str, identity: &str| (provider.to_owned(), identity.to_owned());
    assert_eq!(
        required.missing(&[here("local", "alice")], &Circumstances::default()),
        Vec::<String>::new()
    );
    for wrong in [here("local", "bob"), here("oidc", "alice")] {
        let missing = required.missing(&[wrong], &Circumstances::default());
        assert!(
            missing[0].contains("al*") && missing[0].contains("a.toml:4"),
            "{missing:?}"
        );
    }
}

#[test]
fn a_backup_is_wanted_of_what_is_removed() {
    let wanted = policy(&format!(
        "{}{}",
        rule("any", "backup = \"required\""),
        rule("young", "backup = \"verified\"\nbackup-max-age = \"7d\""),
    ));
    let none = decide(&wanted, &leaving(None));
    assert!(none.allowed && none.refusal().is_none());
    assert_eq!(none.lacking.len(), 2);
    let said = none.backup_first().unwrap();
    assert!(
        said.starts_with("Example GmbH wants a backup before this: no backup was made."),
        "{said}"
    );
    let old = decide(&wanted, &leaving(Some(8 * DAY)));
    assert_eq!(old.lacking.len(), 1);
    assert!(old.backup_first().unwrap().contains("older than 7days"));
    assert_eq!(
        decide(&wanted, &leaving(Some(7 * DAY))).backup_first(),
        None
    );
    let keeps = Facts {
        removes: false,
        ..leaving(None)
    };
    assert_eq!(decide(&wanted, &keeps).backup_first(), None);
    // The age alone asks for nothing, and is told.
    let found = check(&source(
        "a.toml",
        format!("{HEAD}{}", rule("n", "backup-max-age = \"7d\"")),
    ));
    assert!(found[0].message.contains("add backup"), "{found:?}");
}

#[test]
fn hours_are_about_the_beginning_only() {
    let office = policy(&rule("n", "hours = \"Mon-Fri 08:00-18:00\""));
    let late = decide(&office, &leaving(None));
    assert_eq!(late.denials[0].ground, Ground::Hours);
    assert!(
        late.refusal()
            .unwrap()
            .contains("Mon-Fri 08:00-18:00 (UTC)")
    );
    let early = Facts {
        begins: Some(TUESDAY - 1),
        ..leaving(None)
    };
    assert!(decide(&office, &early).allowed);
    let under_way = Facts {
        begins: None,
        ..leaving(None)
    };
    assert!(decide(&office, &under_way).allowed);
}

#[test]
fn outside_of_its_hours_it_waits_or_is_refused() {
    let until = |rules: &str| {
        let decision = decide(&policy(rules), &leaving(None));
        assert!(!decision.allowed);
        decision.waits_until(TUESDAY)
    };
    let (office, early) = (
        "hours = \"Mon-Fri 08:00-18:00\"",
        "hours = \"Wed-Fri 06:00-12:00\"",
    );
    let morning = TUESDAY + 14 * 60 * 60;
    assert_eq!(until(&rule("a", office)), Some(morning));
    let wait = format!("{office}\noutside-hours = \"wait\"");
    assert_eq!(until(&rule("a", &wait)), Some(morning));
    // With several rules: the first time that is within all.
    let both = format!("{}{}", rule("a", &wait), rule("b", early));
    assert_eq!(until(&both), Some(morning));
    let refuse = format!("{office}\noutside-hours = \"refuse\"");
    let one = format!("{}{}", rule("a", &refuse), rule("b", early));
    assert_eq!(until(&one), None, "to refuse prevails");
    // What time does not cure is refused at once.
    let denied = format!("{}{}", rule("a", &wait), rule("b", "sign-out = \"deny\""));
    assert_eq!(until(&denied), None);
    let never = format!(
        "{}{}",
        rule("a", office),
        rule("b", "hours = \"Sat 08:00-18:00\"")
    );
    assert_eq!(until(&never), None);
    // What may begin now waits for nothing.
    let now = rule("a", "hours = \"Tue 18:00-19:00\"");
    assert_eq!(
        decide(&policy(&now), &leaving(None)).waits_until(TUESDAY),
        None
    );

    let found = check(&source(
        "p.toml",
        format!("{HEAD}{}", rule("n", "outside-hours = \"wait\"")),
    ));
    assert!(found[0].message.contains("add hours"), "{found:?}");
}

#[test]
fn what_cannot_be_met_is_told_when_files_are_read() {
    for (first, second, said) in [
        (
            "only-identities = [\"al*\"]",
            "only-identities = [\"bob\"]",
            "`only-identities`",
        ),
        (
            "only-providers = [\"local\"]",
            "only-providers = [\"oidc\"]",
            "`only-providers`",
        ),
        (
            "only-collections = [\"photos\"]",
            "only-collections = [\"videos\"]",
            "`only-collections`",
        ),
        (
            "hours = \"Mon 08:00-09:00\"",
            "hours = \"Tue 08:00-09:00\"",
            "`hours`",
        ),
        (
            "require-account = \"alice\"",
            "sign-in = \"deny\"",
            "lets nobody sign in",
        ),
        (
            "only-identities = [\"bob\"]",
            "require-account = \"al*\"",
            "lets nobody sign in",
        ),
    ] {
        let rules = policy(&format!(
            "{}{}",
            rule("first", first),
            rule("second", second)
        ));
        let conflicts = rules.conflicts();
        assert_eq!(conflicts.len(), 1, "{first} {second} {conflicts:?}");
        assert!(conflicts[0].message.contains(said), "{conflicts:?}");
        assert_eq!(conflicts[0].line, 8);
        let apart = policy(&format!(
            "{}{}",
            rule("first", &format!("{first}\nidentities = [\"alice\"]")),
            rule("second", &format!("{second}\nidentities = [\"bob\"]")),
        ));
        assert_eq!(apart.conflicts(), [], "{first} {second}");
    }
    let itself = policy(&rule(
        "n",
        "require-account = \"alice\"\nsign-in = \"deny\"",
    ));
    assert_eq!(itself.conflicts().len(), 1);
}

#[test]
fn the_effective_policy_shows_every_key_as_it_is_written() {
    let lines = "require-account = \"al*\"\nbackup = \"verified\"\nbackup-max-age = \"7days\"\n\
                 hours = \"Mon-Fri 08:00-18:00\"\noutside-hours = \"refuse\"\nsign-in = \"allow\"\n\
                 only-identities = [\"al*\"]\nonly-providers = [\"local\"]\n\
                 only-collections = [\"photos\"]\n";
    let text = policy(&rule("n", lines)).to_toml();
    assert!(text.contains(lines), "{text}");
}

fn in_force(rules: &str) -> Standing {
    let sources: Vec<Source> = vec![source("/etc/p/10-a.toml", format!("{HEAD}{rules}"))];
    Standing::new(None, Ok(sources))
}

#[test]
fn a_simulation_says_what_would_change_and_why() {
    let now = in_force(&rule("n", "data = \"keep\""));
    let file = |name: &str, lines: &str| source(name, format!("{HEAD}{}", rule("new", lines)));
    let questions = [Facts {
        begins: None,
        ..leaving(None)
    }];
    let run = |file| simulate(&now, file, &questions, &[], &Circumstances::default()).unwrap();
    let changes = |file| -> Vec<(&'static str, String, String)> {
        let changes = run(file).changes.into_iter();
        changes.map(|c| (c.what, c.before, c.after)).collect()
    };
    let change =
        |what: &'static str, before: &str, after: &str| (what, before.to_owned(), after.to_owned());
    assert_eq!(changes(file("b.toml", "sign-out = \"allow\"")), []);
    assert_eq!(
        changes(file("b.toml", "sign-out = \"deny\"")),
        [change("sign-out", "allowed", "denied")]
    );
    assert_eq!(
        changes(file(
            "b.toml",
            "backup = \"required\"\nhours = \"Mon 08:00-09:00\""
        )),
        [
            change("sign-out", "allowed", "needs a backup"),
            change("backup", "not required", "required"),
            change("hours", "at any time", "Mon 08:00-09:00 (UTC)"),
        ]
    );
    let opposed = run(file("b.toml", "data = \"remove\""));
    assert_eq!(opposed.conflicts.len(), 1);
    assert!(opposed.changes[0].because[0].contains("Example GmbH"));
    // A file of the same name takes the other's place, and so may loosen.
    let replaced = run(file("10-a.toml", "require-account = \"bob\""));
    assert_eq!(replaced.replaces.unwrap(), "/etc/p/10-a.toml");
    assert_eq!(replaced.changes.len(), 2);
    assert_eq!(replaced.changes[1].what, "require-account");
    assert_eq!(
        (replaced.changes[0].what, replaced.changes[0].after.as_str()),
        ("data", "ask")
    );
    assert!(replaced.missing[0].contains("bob"));
    let broken = simulate(
        &now,
        source("b.toml", "[[rule\n"),
        &questions,
        &[],
        &Circumstances::default(),
    );
    assert_eq!(broken.unwrap_err()[0].file, "b.toml");
}

#[test]
fn a_simulation_of_many_accounts_is_bounded_and_says_how_much_there_is() {
    let now = in_force("");
    let reason = "x".repeat(400);
    let rules: String = (0..64)
        .map(|n| format!("[[rule]]\nname = \"r{n}\"\nsign-out = \"deny\"\nreason = \"{reason}\"\n"))
        .collect();
    let file = source("b.toml", format!("{HEAD}{rules}"));
    let questions = vec![leaving(None); 600];
    let told = simulate(&now, file, &questions, &[], &Circumstances::default()).unwrap();
    assert_eq!(told.changes_total, questions.len());
    let texts = told.changes.iter().flat_map(|change| &change.because);
    let bytes: usize = texts.map(String::len).sum();
    assert!(bytes <= MAX_SIMULATION_BYTES && bytes > MAX_SIMULATION_BYTES / 2);
}
