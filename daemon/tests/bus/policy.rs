use mooring_api::{PlanOptions, SignOutOptions};

use crate::worker::Act;
use crate::world::*;

const DENY: &str = "[organisation]\nname = \"Example School\"\ncontact = \"help@example.org\"\n\
    [[rule]]\nname = \"exams\"\nsign-out = \"deny\"\nreason = \"Exams are under way.\"\n";
const KEEP: &str = "[organisation]\nname = \"Example School\"\ncontact = \"help@example.org\"\n\
    [[rule]]\nname = \"archive\"\ndata = \"keep\"\nreason = \"Work is archived.\"\n";

/// A refusal says all of this.
#[track_caller]
fn expect_named(refused: &mooring_api::Error, parts: &[&str]) {
    for part in parts {
        assert!(refused.message().contains(part), "{part}: {refused}");
    }
}

#[tokio::test]
async fn a_denial_is_an_answer_that_names_everything() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let account = running.account().await;
    let before = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    world.write_policy(DENY);
    running.manager.reload().await.unwrap();
    assert_eq!(running.manager.policy_state().await.unwrap(), "in-force");
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    assert!(!plan.policy.allowed && !plan.policy.enforced);
    assert_eq!(plan.blockers[0].error, "PolicyDenied");
    assert_ne!(plan.digest, before.digest);
    let error = account
        .sign_out(&plan.digest, SignOutOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "PolicyDenied");
    let named = ["Example School", "exams", "10-test.toml:4", "help@"];
    expect_named(&error, &named);
    expect_named(&error, &["Exams are under way"]);
    let id = running.account_id();
    let manager = &running.manager;
    assert!(
        !manager
            .explain_policy("sign-out", &id, "person")
            .await
            .unwrap()
            .allowed
    );
    assert!(
        manager
            .explain_policy("sign-out", &id, "organisation")
            .await
            .unwrap()
            .allowed
    );
    assert!(manager.explain_policy("wipe", &id, "person").await.is_err());
    assert_eq!(
        manager
            .explain_policy("sign-out", "a1", "person")
            .await
            .unwrap_err()
            .kind(),
        "NotFound"
    );
}

#[tokio::test]
async fn data_that_has_to_stay_stays() {
    let world = World::new();
    world.write_policy(KEEP);
    let running = world.start().await;
    running.signed_in().await;
    let account = running.account().await;
    let part = PlanOptions {
        keep: Some(vec!["photos".into()]),
    };
    let plan = account.plan_sign_out(part).await.unwrap();
    assert_eq!(plan.blockers[0].error, "PolicyDenied");
    assert!(plan.blockers[0].message.contains("--keep all"));
    let all = PlanOptions {
        keep: Some(vec!["all".into()]),
    };
    assert!(
        account
            .plan_sign_out(all)
            .await
            .unwrap()
            .blockers
            .is_empty()
    );
    let number = running.sign_out(Some("right-password"), &["all"]).await;
    let outcome = running.ended(number).await.outcome;
    assert_eq!((outcome.removed, outcome.kept), (0, 4));
}

#[tokio::test]
async fn a_rule_that_comes_before_the_first_unlink_stops_the_sign_out() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    world.fake.effects();
    world.fake.next("verify", Act::Die);
    world.fake.next("verify", Act::Hang);
    let number = running.sign_out(Some("right-password"), &[]).await;
    world.fake.hanging().await;
    running.stop().await;
    world.write_policy(DENY);
    let running = world.start().await;
    let outcome = running.ended(number).await.outcome;
    assert_eq!(outcome.error, "PolicyDenied");
    assert!(outcome.message.contains("exams"));
    let effects = world.fake.effects();
    assert_eq!(effects, ["drain", "verify", "drain", "verify", "stay"]);
    assert_eq!(running.account().await.state().await.unwrap(), "active");
}

#[tokio::test]
async fn a_policy_file_is_checked_and_not_applied() {
    let world = World::new();
    let running = world.start().await;
    let findings = running
        .manager
        .check_policy("x.toml", piped("[[rule]\n").into())
        .await
        .unwrap();
    assert_eq!(findings[0].line, 1);
    assert!(
        running
            .manager
            .check_policy("x.toml", piped(DENY).into())
            .await
            .unwrap()
            .is_empty()
    );
    let long = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(long.path(), "#".repeat(100_000)).unwrap();
    let file = || std::os::fd::OwnedFd::from(std::fs::File::open(long.path()).unwrap());
    assert_eq!(
        running
            .manager
            .check_policy("x", file().into())
            .await
            .unwrap()
            .len(),
        1
    );
    let socket = std::os::unix::net::UnixStream::pair().unwrap().0;
    let error = running
        .manager
        .check_policy("x", std::os::fd::OwnedFd::from(socket).into())
        .await;
    assert_eq!(error.unwrap_err().kind(), "InvalidArgument");
    assert_eq!(running.manager.policy_state().await.unwrap(), "none");
}

fn rule(lines: &str) -> String {
    format!(
        "[organisation]\nname = \"Example School\"\ncontact = \"help@example.org\"\n\
         [[rule]]\nname = \"n\"\nreason = \"So it is.\"\n{lines}\n"
    )
}

#[tokio::test]
async fn a_denied_sign_in_looks_at_nothing_and_leaves_nothing() {
    let world = World::new();
    for (lines, said) in [
        ("sign-in = \"deny\"\nidentities = [\"al*\"]", "So it is."),
        (
            "only-identities = [\"bob\"]",
            "only these may be signed in here",
        ),
        ("only-providers = [\"nextcloud\"]", "at these providers"),
        ("only-collections = [\"photos\"]", "leave out documents"),
    ] {
        world.write_policy(&rule(lines));
        let running = world.start().await;
        let (code, options) = new_identity("right-password");
        let denied = running.manager.sign_in("local", "alice", options).await;
        let denied = denied.unwrap_err();
        assert_eq!(denied.kind(), "PolicyDenied", "{lines}");
        expect_named(
            &denied,
            &[said, "Example School", "10-test.toml:4", "help@"],
        );
        assert_eq!(written(code), "", "no identity, no code");
        assert!(world.fake.effects().is_empty());
        assert!(running.broker.published.borrow().accounts.is_empty());
        running.stop().await;
    }
    world.write_policy(&rule("only-collections = [\"photos\", \"documents\"]"));
    world.start().await.signed_in().await;
}

#[tokio::test]
async fn a_denial_that_comes_while_a_sign_in_waits_is_heeded() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let number_of = running.sign_out(Some("right-password"), &[]).await;
    assert!(running.ended(number_of).await.outcome.success);
    let sign_in = running.manager.sign_in("local", "alice", known_identity());
    let waiting = number(&sign_in.await.unwrap());
    running.blocked(waiting, "ReauthRequired").await;
    world.fake.effects();
    world.write_policy(&rule("sign-in = \"deny\""));
    running.manager.reload().await.unwrap();
    let job = running.job(waiting).await;
    let right = piped("right-password").into();
    job.authenticate(right).await.unwrap();
    let outcome = running.ended(waiting).await.outcome;
    assert_eq!(outcome.error, "PolicyDenied", "{outcome:?}");
    assert!(outcome.message.contains("So it is."), "{outcome:?}");
    assert!(world.fake.effects().is_empty());
    assert!(running.broker.published.borrow().accounts.is_empty());
    assert!(running.broker.store.accounts().unwrap().is_empty());
}

#[tokio::test]
async fn a_denial_that_comes_with_a_restart_undoes_the_sign_in() {
    let world = World::new();
    let running = world.start().await;
    world.fake.next("sign_in", Act::Hang);
    let (_code, options) = new_identity("right-password");
    let sign_in = running.manager.sign_in("local", "alice", options);
    let begun = number(&sign_in.await.unwrap());
    world.fake.hanging().await;
    running.stop().await;
    world.fake.effects();
    world.write_policy(&rule("sign-in = \"deny\""));
    let running = world.start().await;
    let outcome = running.ended(begun).await.outcome;
    assert_eq!(outcome.error, "PolicyDenied", "{outcome:?}");
    assert_eq!(world.fake.effects(), ["abandon"]);
    assert!(running.broker.store.accounts().unwrap().is_empty());
}

#[tokio::test]
async fn a_required_account_cannot_leave_and_is_missed() {
    let world = World::new();
    world.write_policy(&rule("require-account = \"alice\""));
    let running = world.start().await;
    let told = running.manager.diagnose().await.unwrap();
    let missing = |d: &&mooring_api::Diagnosis| d.message.contains("requires the account alice");
    assert!(told.iter().find(missing).is_some_and(|d| d.state == "bad"));
    let shown = running.manager.show_policy().await.unwrap();
    assert_eq!(shown.problems.len(), 1, "{:?}", shown.problems);
    running.signed_in().await;
    assert!(
        running
            .manager
            .show_policy()
            .await
            .unwrap()
            .problems
            .is_empty()
    );
    assert!(
        !running
            .manager
            .diagnose()
            .await
            .unwrap()
            .iter()
            .any(|d| missing(&d))
    );
    let account = running.account().await;
    let denied = account
        .sign_out("", SignOutOptions::default())
        .await
        .unwrap_err();
    assert_eq!(denied.kind(), "PolicyDenied");
    assert!(
        denied.message().contains("has to be on this device"),
        "{denied}"
    );
    let id = running.account_id();
    for (verb, allowed) in [
        ("sign-out", false),
        ("forget", false),
        ("sign-in", true),
        ("backup", true),
    ] {
        let decision = running
            .manager
            .explain_policy(verb, &id, "person")
            .await
            .unwrap();
        assert_eq!((decision.verb.as_str(), decision.allowed), (verb, allowed));
    }
}

#[tokio::test]
async fn a_sign_out_waits_for_a_backup_that_is_young_enough() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let account = running.account().await;
    world.write_policy(&rule("backup = \"verified\"\nbackup-max-age = \"2d\""));
    running.manager.reload().await.unwrap();
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    assert!(plan.policy.allowed);
    assert_eq!(plan.blockers[0].error, "BackupRequired");
    let refused = account
        .sign_out(&plan.digest, SignOutOptions::default())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), "BackupRequired");
    let named = ["Example School", "10-test.toml:4", "help@"];
    expect_named(&refused, &named);
    expect_named(&refused, &["no backup was made"]);
    // Nothing is removed, nothing is wanted.
    let all = PlanOptions {
        keep: Some(vec!["all".into()]),
    };
    assert!(
        account
            .plan_sign_out(all)
            .await
            .unwrap()
            .blockers
            .is_empty()
    );

    let path = running.files().await.backup(b"/mnt/stick").await.unwrap();
    assert!(running.ended(number(&path)).await.outcome.success);
    let begun = running.sign_out(None, &[]).await;
    running.blocked(begun, "ReauthRequired").await;
    // Decided again, before the first unlink: meanwhile the backup grew old.
    world
        .clock
        .0
        .fetch_add(3 * 24 * 60 * 60, std::sync::atomic::Ordering::SeqCst);
    let job = running.job(begun).await;
    job.authenticate(piped("right-password").into())
        .await
        .unwrap();
    let outcome = running.ended(begun).await.outcome;
    assert_eq!(outcome.error, "BackupRequired", "{outcome:?}");
    assert!(outcome.message.contains("older than 2days"), "{outcome:?}");
    assert_eq!(account.state().await.unwrap(), "active");
    assert!(!world.fake.effects().iter().any(|effect| effect == "remove"));
}

#[tokio::test]
async fn a_simulated_file_changes_nothing_and_says_what_it_would() {
    let world = World::new();
    world.write_policy(KEEP);
    let running = world.start().await;
    running.signed_in().await;
    let simulate = async |name: &str, text: &str| {
        let file = piped(text).into();
        running.manager.simulate_policy(name, file).await.unwrap()
    };
    let told = simulate(
        "20-new.toml",
        &rule("sign-out = \"deny\"\nactors = [\"person\"]"),
    )
    .await;
    let [change, forget] = &told.changes[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (change.identity.as_str(), change.actor.as_str()),
        ("alice", "person")
    );
    assert_eq!(
        (
            change.what.as_str(),
            change.before.as_str(),
            change.after.as_str()
        ),
        ("sign-out", "allowed", "denied")
    );
    assert!(change.because[0].contains("20-new.toml:4"), "{change:?}");
    assert_eq!(forget.verb, "forget");
    assert_eq!((told.replaces.as_str(), told.conflicts.len()), ("", 0));

    let told = simulate(
        "20-new.toml",
        &rule("backup = \"required\"\ndata = \"remove\""),
    )
    .await;
    assert_eq!(told.conflicts.len(), 1);
    let told = simulate("10-test.toml", &rule("require-account = \"bob\"")).await;
    assert!(told.replaces.ends_with("10-test.toml"));
    assert!(told.missing[0].contains("bob"));
    assert!(
        told.changes
            .iter()
            .any(|c| c.what == "data" && c.after == "ask")
    );
    let told = simulate("20-new.toml", "[[rule]\n").await;
    assert_eq!((told.findings[0].line, told.changes.len()), (1, 0));
    let id = running.account_id();
    let decision = running
        .manager
        .explain_policy("sign-out", &id, "person")
        .await
        .unwrap();
    assert!(decision.allowed, "nothing was applied");
}
