//! What rules mean.

use mooring_core::policy::{Actor, Data, Ground, Policy, check, decide, unite};

use crate::{HEAD, alice, facts, policy, source};

const AUDIT: &str = "[[rule]]\nname = \"no-sign-out-during-audit\"\n\
                     reason = \"Audit until Friday\"\nsign-out = \"deny\"\n";

#[test]
fn no_rule_allows_and_says_so() {
    let decision = decide(&Policy::default(), &alice());
    assert!(decision.allowed);
    assert_eq!(decision.data, Data::Ask);
    assert_eq!(decision.refusal(), None);
    assert_eq!(
        decision.explanation,
        ["No rule speaks about sign-out of alice at local by the person: it is allowed."]
    );
}

#[test]
fn a_denial_names_everything() {
    let decision = decide(&policy(AUDIT), &alice());
    assert!(!decision.allowed);
    let [denial] = &decision.denials[..] else {
        panic!("{decision:?}")
    };
    assert_eq!(denial.organisation, "Example GmbH");
    assert_eq!(denial.rule, "no-sign-out-during-audit");
    assert_eq!((denial.file.as_str(), denial.line), ("a.toml", 4));
    assert_eq!(denial.reason, "Audit until Friday");
    assert_eq!(denial.contact, "it@example.org");
    assert_eq!(denial.ground, Ground::Forbidden);
    let sentence = "Example GmbH does not allow this: Audit until Friday. (Rule \
                    no-sign-out-during-audit, a.toml:4; contact: it@example.org.)";
    assert_eq!(denial.sentence(), sentence);
    assert_eq!(decision.refusal().unwrap(), sentence);
    assert_eq!(decision.explanation, [sentence]);
}

#[test]
fn a_rule_binds_person_and_device_unless_it_says_whom() {
    let unsaid = policy(AUDIT);
    let device = policy(&format!("{AUDIT}actors = [\"device\"]\n"));
    let everyone = policy(&format!(
        "{AUDIT}actors = [\"person\", \"device\", \"organisation\"]\n"
    ));
    for (actor, by_default, by_device) in [
        (Actor::Person, false, true),
        (Actor::Device, false, false),
        (Actor::Organisation, true, true),
    ] {
        let facts = facts(actor, "local", "alice");
        assert_eq!(decide(&unsaid, &facts).allowed, by_default, "{actor:?}");
        assert_eq!(decide(&device, &facts).allowed, by_device, "{actor:?}");
        assert!(!decide(&everyone, &facts).allowed);
    }
}

#[test]
fn a_rule_is_about_the_identities_and_providers_it_names() {
    let policy = policy(&format!(
        "{AUDIT}identities = [\"alice\", \"guest-*\", \"*@example.org\"]\nproviders = [\"local\"]\n"
    ));
    for (provider, identity, allowed) in [
        ("local", "alice", false),
        ("local", "guest-", false),
        ("local", "bob@example.org", false),
        ("local", "bob", true),
        ("local", "alice2", true),
        ("local", "bob@example.org.evil", true),
        ("nextcloud", "alice", true),
    ] {
        let decision = decide(&policy, &facts(Actor::Person, provider, identity));
        assert_eq!(decision.allowed, allowed, "{provider} {identity}");
    }
}

#[test]
fn allow_overrides_nothing_and_is_explained_last() {
    let allow = "[[rule]]\nname = \"fine\"\nreason = \"Why not.\"\nsign-out = \"allow\"\n";
    let data = "[[rule]]\nname = \"tidy\"\nreason = \"Shared room.\"\ndata = \"remove\"\n";
    let decision = decide(&policy(&format!("{allow}{data}{AUDIT}")), &alice());
    assert!(!decision.allowed);
    assert_eq!(decision.data, Data::Remove);
    assert_eq!(
        decision.explanation,
        [
            "Example GmbH does not allow this: Audit until Friday. (Rule \
             no-sign-out-during-audit, a.toml:12; contact: it@example.org.)",
            "Example GmbH: rule tidy (a.toml:8) wants the data removed: Shared room.",
            "Example GmbH: rule fine (a.toml:4) allows it, which overrides no denial: Why not.",
        ]
    );
    assert!(decide(&policy(allow), &alice()).allowed);
}

fn wants(name: &str, data: &str, identities: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nreason = \"Law.\"\ndata = \"{data}\"\n\
         identities = [\"{identities}\"]\n"
    )
}

#[test]
fn opposing_demands_are_told_when_loaded_and_block_what_they_are_about() {
    let first = source("a.toml", format!("{HEAD}{}", wants("stays", "keep", "al*")));
    let other_head = HEAD.replace("Example GmbH", "Another Ltd");
    let second = source(
        "b.toml",
        format!("{other_head}{}", wants("goes", "remove", "*ce")),
    );
    let policy = unite(&[first, second]).unwrap();

    let conflicts: Vec<String> = policy.conflicts().iter().map(ToString::to_string).collect();
    assert_eq!(
        conflicts,
        [
            "b.toml:4:1: rule goes wants the data removed, and rule stays (a.toml:4) of Example GmbH \
          wants it kept, for the same accounts: sign-out of these is refused until one of the two \
          is changed"
        ]
    );

    let decision = decide(&policy, &alice());
    assert!(!decision.allowed);
    assert_eq!(decision.data, Data::Conflict);
    let named: Vec<_> = decision
        .denials
        .iter()
        .map(|d| (d.rule.as_str(), d.ground))
        .collect();
    assert_eq!(
        named,
        [
            ("stays", Ground::Contradiction(Data::Keep)),
            ("goes", Ground::Contradiction(Data::Remove))
        ]
    );
    let refusal = decision.refusal().unwrap();
    for part in ["Another Ltd", "stays, a.toml:4", "goes, b.toml:4", "Law."] {
        assert!(refusal.contains(part), "{refusal}");
    }

    for (identity, data) in [
        ("albert", Data::Keep),
        ("grace", Data::Remove),
        ("bob", Data::Ask),
    ] {
        let decision = decide(&policy, &facts(Actor::Person, "local", identity));
        assert!(decision.allowed, "{identity}");
        assert_eq!(decision.data, data, "{identity}");
    }
}

#[test]
fn demands_about_different_accounts_are_no_conflict() {
    let text = format!(
        "{}{}",
        wants("stays", "keep", "alice"),
        wants("goes", "remove", "bob")
    );
    assert_eq!(policy(&text).conflicts(), []);
    let text = format!(
        "{}actors = [\"person\"]\n{}actors = [\"device\"]\n",
        wants("stays", "keep", "*"),
        wants("goes", "remove", "*")
    );
    assert_eq!(policy(&text).conflicts(), []);
    let text = format!(
        "{}{}",
        wants("stays", "keep", "*"),
        wants("open", "ask", "*")
    );
    assert_eq!(policy(&text).conflicts(), []);
}

#[test]
fn checking_a_file_finds_its_own_contradictions() {
    let text = format!(
        "{HEAD}{}{}",
        wants("stays", "keep", "*"),
        wants("goes", "remove", "bob")
    );
    let problems = check(&source("a.toml", text));
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].line, problems[0].column), (9, 1));
}

#[test]
fn files_of_one_name_are_all_in_force() {
    let vendor = source(
        "/usr/lib/mooring/policy.d/10-a.toml",
        format!("{HEAD}{AUDIT}"),
    );
    let site = source("/etc/mooring/policy.d/10-a.toml", "");
    let policy = unite(&[vendor, site]).unwrap();
    assert_eq!(policy.files().len(), 2);
    assert!(!decide(&policy, &alice()).allowed);
}

#[test]
fn the_effective_policy_is_toml_with_origins() {
    let policy = policy(&format!("{AUDIT}{}", wants("stays", "keep", "al*")));
    assert_eq!(
        policy.to_toml(),
        "# 2 rules of 1 file. The most restrictive rule wins.\n\
         #   a.toml\n\
         \n\
         # a.toml:4, Example GmbH (it@example.org)\n\
         [[rule]]\n\
         name = \"no-sign-out-during-audit\"\n\
         reason = \"Audit until Friday\"\n\
         sign-out = \"deny\"\n\
         actors = [\"person\", \"device\"]\n\
         identities = [\"*\"]\n\
         providers = [\"*\"]\n\
         \n\
         # a.toml:8, Example GmbH (it@example.org)\n\
         [[rule]]\n\
         name = \"stays\"\n\
         reason = \"Law.\"\n\
         data = \"keep\"\n\
         actors = [\"person\", \"device\"]\n\
         identities = [\"al*\"]\n\
         providers = [\"*\"]\n"
    );
    assert_eq!(
        Policy::default().to_toml(),
        "# 0 rules of 0 files. The most restrictive rule wins.\n"
    );
}
