//! Which policy is in force while files come, go and break.

use mooring_core::policy::{
    Actor, Data, Ground, Problem, Source, Standing, State, sources_from_text, sources_to_text,
};

use crate::{HEAD, alice, facts, source};

fn deny(path: &str) -> Source {
    let rule = "[[rule]]\nname = \"no\"\nreason = \"No.\"\nsign-out = \"deny\"\n";
    source(path, format!("{HEAD}{rule}"))
}

fn broken() -> Source {
    source("/etc/mooring/policy.d/50-x.toml", "a = 1\n[[rule\n")
}

#[test]
fn no_files_allow_everything_and_leave_nothing_to_keep() {
    let standing = Standing::new(None, Ok(Vec::new()));
    assert_eq!(standing.state().name(), "none");
    assert!(standing.decide(&alice()).allowed);
    assert_eq!(standing.last_good(), None);
}

#[test]
fn good_files_are_in_force_and_kept() {
    let standing = Standing::new(None, Ok(vec![deny("a.toml")]));
    assert_eq!(standing.state(), State::InForce);
    assert!(!standing.decide(&alice()).allowed);
    assert_eq!(standing.last_good(), Some(&[deny("a.toml")][..]));
    assert_eq!(standing.problems(), []);
}

#[test]
fn a_broken_file_beside_good_ones_changes_nothing() {
    let good = Standing::new(None, Ok(vec![deny("a.toml")]));
    // Half of the files is not half of a policy: the good one alone is not taken either.
    let standing = good.reload(Ok(vec![source("a.toml", ""), broken()]));
    assert_eq!(standing.state().name(), "last-good");
    assert_eq!(standing.policy(), good.policy());
    assert_eq!(standing.last_good(), good.last_good());
    assert!(
        standing.problems()[0]
            .to_string()
            .starts_with("/etc/mooring/policy.d/50-x.toml:2:7:")
    );

    let mended = standing.reload(Ok(vec![source("a.toml", "")]));
    assert_eq!(
        (mended.state(), mended.problems()),
        (State::InForce, &[][..])
    );
    assert!(mended.decide(&alice()).allowed);
}

#[test]
fn what_was_kept_is_in_force_after_a_start() {
    let kept = sources_to_text(&[deny("a.toml")]).unwrap();
    let kept = sources_from_text(&kept).unwrap();
    let unreadable = Problem::of_file("/etc/mooring/policy.d/a.toml", "permission denied");
    let standing = Standing::new(Some(kept), Err(vec![unreadable.clone()]));
    assert_eq!(standing.state(), State::LastGood);
    assert_eq!(standing.problems(), [unreadable]);
    let decision = standing.decide(&alice());
    assert_eq!(decision.denials[0].rule, "no");
}

#[test]
fn without_a_last_good_policy_everything_is_refused_with_the_place() {
    let standing = Standing::new(None, Ok(vec![broken()]));
    assert_eq!(standing.state().name(), "invalid");
    assert_eq!(standing.last_good(), None);
    for (_, actor) in Actor::ALL {
        let decision = standing.decide(&facts(actor, "local", "alice"));
        assert!(!decision.allowed);
        assert_eq!(decision.data, Data::Ask);
        let [denial] = &decision.denials[..] else {
            panic!("{decision:?}")
        };
        assert_eq!(denial.ground, Ground::Unreadable);
        assert_eq!(denial.line, 2);
        let refusal = decision.refusal().unwrap();
        assert!(
            refusal.contains("/etc/mooring/policy.d/50-x.toml:2:7: "),
            "{refusal}"
        );
    }
    assert!(standing.policy().to_toml().contains("50-x.toml:2:7"));
    assert!(
        standing
            .policy()
            .to_toml()
            .lines()
            .all(|line| line.starts_with('#'))
    );
}

#[test]
fn the_first_file_of_a_device_must_be_right() {
    // Someone wanted to forbid something: that there was nothing before is no permission.
    let empty = Standing::new(None, Ok(Vec::new()));
    assert_eq!(empty.reload(Ok(vec![broken()])).state(), State::Invalid);
    assert_eq!(
        Standing::new(Some(Vec::new()), Ok(vec![broken()])).state(),
        State::Invalid
    );
}

#[test]
fn a_last_good_policy_that_is_no_longer_good_counts_for_nothing() {
    let old = vec![source("old.toml", "from-a-newer-version = 1\n")];
    let standing = Standing::new(Some(old.clone()), Ok(vec![broken()]));
    assert_eq!(standing.state(), State::Invalid);
    assert!(!standing.decide(&alice()).allowed);
    assert_eq!(standing.last_good(), Some(&old[..]));
    let last = standing.problems().last().unwrap().to_string();
    assert!(last.starts_with("old.toml:1:1: as last kept: "), "{last}");
}

#[test]
fn a_failure_without_words_still_refuses() {
    let standing = Standing::new(None, Err(Vec::new()));
    assert_eq!(standing.state(), State::Invalid);
    assert_eq!(standing.problems().len(), 1);
    assert!(!standing.decide(&alice()).allowed);
}

#[test]
fn removing_the_last_file_lifts_the_policy() {
    let good = Standing::new(None, Ok(vec![deny("a.toml")]));
    let gone = good.reload(Ok(Vec::new()));
    assert_eq!((gone.state(), gone.last_good()), (State::None, None));
    assert!(gone.decide(&alice()).allowed);
}

#[test]
fn contradictions_are_in_force_and_told() {
    let demand = |path, data| {
        let rule = format!("[[rule]]\nname = \"n\"\nreason = \"r\"\ndata = \"{data}\"\n");
        source(path, format!("{HEAD}{rule}"))
    };
    let standing = Standing::new(None, Ok(vec![demand("a", "keep"), demand("b", "remove")]));
    assert_eq!(standing.state(), State::InForce);
    assert_eq!(standing.problems().len(), 1);
    assert_eq!(standing.decide(&alice()).data, Data::Conflict);
}

#[test]
fn damaged_keepings_are_noticed() {
    for text in [
        "[",
        "[[file]]\npath = \"a\"\n",
        "[[file]]\npath = 1\ntext = \"\"\n",
        "x = 1\n",
    ] {
        assert!(sources_from_text(text).is_err(), "{text}");
    }
    assert_eq!(sources_from_text("").unwrap(), []);
}
