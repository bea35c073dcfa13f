use mooring_api::{PlanOptions, SignOutOptions};

use crate::worker::Act;
use crate::world::*;

const DENY: &str = "[organisation]\nname = \"Example School\"\ncontact = \"help@example.org\"\n\
    [[rule]]\nname = \"exams\"\nsign-out = \"deny\"\nreason = \"Exams are under way.\"\n";
const KEEP: &str = "[organisation]\nname = \"Example School\"\ncontact = \"help@example.org\"\n\
    [[rule]]\nname = \"archive\"\ndata = \"keep\"\nreason = \"Work is archived.\"\n";

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
    for part in [
        "Example School",
        "exams",
        "10-test.toml:4",
        "Exams are under way",
        "help@",
    ] {
        assert!(
            error.message().contains(part),
            "{part}: {}",
            error.message()
        );
    }
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
    let number = running.sign_out(Some("right"), &["all"]).await;
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
    let number = running.sign_out(Some("right"), &[]).await;
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
