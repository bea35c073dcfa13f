//! Refused sign-outs are counted, by reason, for those who watch many devices.

use std::collections::BTreeMap;

use mooring_api::{PlanOptions, SignOutOptions};

use crate::sign_out::unsynced;
use crate::world::*;

const DENY: &str = "[organisation]\nname = \"Example School\"\ncontact = \"help@example.org\"\n\
    [[rule]]\nname = \"exams\"\nsign-out = \"deny\"\nreason = \"Exams are under way.\"\n";

async fn counted(running: &Running) -> BTreeMap<String, u64> {
    let mut refusals = running.manager.list_refusals().await.unwrap();
    // Every reason is there, so that no series vanishes.
    assert!(refusals.contains_key("backup") && refusals.contains_key("inhibited"));
    refusals.retain(|_, times| *times > 0);
    refusals
}

fn expected(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let counts = counts.iter();
    counts
        .map(|(reason, n)| ((*reason).to_owned(), *n))
        .collect()
}

async fn cancel(running: &Running, number: u64) {
    running.job(number).await.cancel().await.unwrap();
    running.ended(number).await;
}

#[tokio::test]
async fn refused_sign_outs_are_counted_over_a_restart() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    assert_eq!(counted(&running).await, expected(&[]));

    let number = running.sign_out(Some("wrong"), &[]).await;
    running.blocked(number, "IncorrectPassword").await;
    // What the person gives up is no refusal.
    cancel(&running, number).await;
    assert_eq!(counted(&running).await, expected(&[("password", 1)]));

    world
        .clock
        .0
        .fetch_add(3_600, std::sync::atomic::Ordering::SeqCst);
    let drains = (0..6).map(|_| unsynced("/home/a/open.txt"));
    world.fake.state().drains.extend(drains);
    let number = running.sign_out(Some("right-password"), &[]).await;
    running.blocked(number, "UnsyncedData").await;
    cancel(&running, number).await;

    let account = running.account().await;
    let stale = account.sign_out("none", SignOutOptions::default()).await;
    assert_eq!(stale.unwrap_err().kind(), "PlanStale");
    world.write_policy(DENY);
    running.manager.reload().await.unwrap();
    for _ in 0..2 {
        let denied = account.sign_out("none", SignOutOptions::default()).await;
        assert_eq!(denied.unwrap_err().kind(), "PolicyDenied");
    }
    // To look at a plan is to ask for nothing.
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    assert_eq!(plan.blockers[0].error, "PolicyDenied");
    let all = [
        ("password", 1),
        ("plan-stale", 1),
        ("policy", 2),
        ("unsynced", 1),
    ];
    assert_eq!(counted(&running).await, expected(&all));
    running.stop().await;
    let running = world.start().await;
    assert_eq!(counted(&running).await, expected(&all));
}
