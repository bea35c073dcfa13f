use mooring_api::{PlanOptions, RetryOptions, SignOutOptions};
use mooring_core::receipt::Receipt;
use mooring_wire::{DrainReport, Error as Wire, RemoveReport, VerifyReport};
use mooringd::published::JobState;

use crate::worker::Act;
use crate::world::*;

const WHOLE: [&str; 5] = ["drain", "verify", "remove", "removing", "erase"];

pub(crate) fn unsynced(path: &str) -> DrainReport {
    DrainReport {
        unsynced: vec![(path.as_bytes().to_vec(), "in use".into())],
        unsynced_total: 1,
        ..DrainReport::default()
    }
}

async fn ready(world: &World) -> Running {
    let running = world.start().await;
    running.signed_in().await;
    world.fake.effects();
    running
}

#[tokio::test]
async fn a_sign_out_ends_in_a_receipt_and_nothing_else() {
    let world = World::new();
    let running = ready(&world).await;
    let account = running.account().await;
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    assert_eq!(
        (plan.collections[0].items, plan.collections[0].to_read_back),
        (5, 1)
    );
    assert_eq!(plan.collections[0].losses, ["ACLs of 1 file"]);
    let number = running
        .sign_out(Some("right-password"), &["documents"])
        .await;
    let job = running.ended(number).await;
    assert!(job.outcome.success, "{:?}", job.outcome);
    assert_eq!(
        (job.outcome.removed, job.outcome.kept, job.outcome.left),
        (2, 2, 2)
    );
    assert_eq!(job.stage, "forgotten");
    let effects = world.fake.effects();
    assert_eq!(effects[..5], WHOLE);
    assert_eq!(effects[5..], ["store_receipt"]);
    assert!(running.broker.published.borrow().accounts.is_empty());
    assert!(running.broker.store.accounts().unwrap().is_empty());
    assert!(running.broker.store.jobs().unwrap().is_empty());
    let text = running
        .manager
        .read_receipt(&job.outcome.receipt)
        .await
        .unwrap();
    assert_eq!(world.fake.state().receipts[&job.outcome.receipt], text);
    let receipt = Receipt::from_toml(&text).unwrap();
    assert_eq!(receipt.proof.base, format!("{}.base", job.outcome.receipt));
    assert_eq!(receipt.proof.base_blake3, "ab".repeat(32));
    assert_eq!(receipt.left[1].path, "/home/late\\xff");
    assert_eq!(receipt.left.len(), 2);
    assert!(!text.contains("argon2"));
    assert_eq!(receipt_files(&world).len(), 1);
    let listed = running.manager.list_receipts().await.unwrap();
    assert_eq!(
        (listed[0].removed, listed[0].left, listed[0].when),
        (2, 2, 1_795_446_000)
    );
    for bad in ["../state/broker.db", "", "x/y"] {
        assert_eq!(
            running.manager.read_receipt(bad).await.unwrap_err().kind(),
            "InvalidArgument"
        );
    }
    assert_eq!(
        running
            .manager
            .read_receipt("none")
            .await
            .unwrap_err()
            .kind(),
        "NotFound"
    );
}

#[tokio::test]
async fn another_consent_is_stale() {
    let world = World::new();
    let running = ready(&world).await;
    let account = running.account().await;
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    let other = || SignOutOptions {
        keep: Some(vec!["photos".into()]),
        password: None,
    };
    assert_eq!(
        account
            .sign_out(&plan.digest, other())
            .await
            .unwrap_err()
            .kind(),
        "PlanStale"
    );
    assert_eq!(
        account
            .sign_out("", SignOutOptions::default())
            .await
            .unwrap_err()
            .kind(),
        "PlanStale"
    );
    let unknown = SignOutOptions {
        keep: Some(vec!["videos".into()]),
        password: None,
    };
    assert_eq!(
        account.sign_out("", unknown).await.unwrap_err().kind(),
        "InvalidArgument"
    );
    assert!(world.fake.effects().is_empty());
}

#[tokio::test]
async fn nothing_happens_before_the_password() {
    let world = World::new();
    let running = ready(&world).await;
    let number = running.sign_out(None, &[]).await;
    running.blocked(number, "ReauthRequired").await;
    let job = running.job(number).await;
    assert_eq!(
        job.authenticate(piped("wrong").into())
            .await
            .unwrap_err()
            .kind(),
        "IncorrectPassword"
    );
    assert_eq!(
        running.account().await.state_detail().await.unwrap(),
        "planned"
    );
    job.cancel().await.unwrap();
    assert_eq!(running.ended(number).await.outcome.error, "Cancelled");
    assert_eq!(running.account().await.state().await.unwrap(), "active");
    assert!(world.fake.effects().is_empty());
    let number = running.sign_out(Some("wrong"), &[]).await;
    running.blocked(number, "IncorrectPassword").await;
    running
        .job(number)
        .await
        .authenticate(piped("right-password\n").into())
        .await
        .unwrap();
    assert!(running.ended(number).await.outcome.success);
}

#[tokio::test]
async fn files_without_a_copy_are_named_and_can_be_kept_here() {
    let world = World::new();
    let running = ready(&world).await;
    world
        .fake
        .state()
        .drains
        .extend((0..6).map(|_| unsynced("/home/a/open.txt")));
    let number = running.sign_out(Some("right-password"), &[]).await;
    let blocked = running.blocked(number, "UnsyncedData").await.blocked;
    assert_eq!(blocked.items, [b"/home/a/open.txt".to_vec()]);
    assert_eq!(world.fake.effects(), ["drain"; 3]);
    let job = running.job(number).await;
    job.retry(RetryOptions::default()).await.unwrap();
    running
        .until("asked again", |p| {
            p.jobs[&number].state == JobState::Blocked && world.fake.state().drains.is_empty()
        })
        .await;
    assert_eq!(world.fake.effects(), ["drain"; 3]);
    job.retry(RetryOptions {
        keep_here: Some(true),
    })
    .await
    .unwrap();
    assert!(running.ended(number).await.outcome.success);
    let effects = world.fake.effects();
    assert_eq!(effects[0], "keep_here");
    assert_eq!(effects[1..6], WHOLE);
}

#[tokio::test]
async fn a_file_in_use_goes_through_another_round() {
    let world = World::new();
    let running = ready(&world).await;
    let unproven = VerifyReport {
        unproven_total: 1,
        ..VerifyReport::default()
    };
    world.fake.state().verifications.push_back(unproven);
    let remaining = RemoveReport {
        remaining: 1,
        ..RemoveReport::default()
    };
    world.fake.state().removals.push_back(remaining);
    let number = running.sign_out(Some("right-password"), &[]).await;
    assert!(running.ended(number).await.outcome.success);
    let effects = world.fake.effects();
    assert_eq!(
        effects[..8],
        [
            "drain", "verify", "drain", "verify", "remove", "removing", "drain", "verify"
        ]
    );
    assert_eq!(effects[8..11], ["remove", "removing", "erase"]);
}

#[tokio::test]
async fn a_cancelled_sign_out_leaves_the_account_as_it_was() {
    let world = World::new();
    let running = ready(&world).await;
    for step in ["drain", "verify"] {
        world.fake.next(step, Act::Hang);
        let number = running.sign_out(Some("right-password"), &[]).await;
        world.fake.hanging().await;
        running.job(number).await.cancel().await.unwrap();
        assert_eq!(
            running.ended(number).await.outcome.error,
            "Cancelled",
            "{step}"
        );
        assert_eq!(world.fake.effects().last().unwrap(), "stay");
        assert_eq!(running.account().await.state().await.unwrap(), "active");
        assert!(running.broker.store.jobs().unwrap().is_empty());
    }
    assert!(receipt_files(&world).is_empty());
}

#[tokio::test]
async fn once_files_are_gone_it_only_goes_on() {
    let world = World::new();
    let running = ready(&world).await;
    world
        .fake
        .next("removing", Act::Fail(Wire::StorageGone("unplugged".into())));
    let number = running.sign_out(Some("right-password"), &[]).await;
    let blocked = running.blocked(number, "Offline").await;
    assert!(!blocked.cancellable);
    let job = running.job(number).await;
    assert_eq!(job.cancel().await.unwrap_err().kind(), "Busy");
    job.retry(RetryOptions::default()).await.unwrap();
    assert!(running.ended(number).await.outcome.success);
}

#[tokio::test]
async fn what_a_dead_worker_proved_is_proved_again() {
    for step in [
        "drain",
        "verify",
        "remove",
        "removing",
        "erase",
        "store_receipt",
    ] {
        let world = World::new();
        let running = ready(&world).await;
        world.fake.next(step, Act::Die);
        let number = running.sign_out(Some("right-password"), &[]).await;
        let outcome = running.ended(number).await.outcome;
        assert!(outcome.success, "{step}: {outcome:?}");
        let effects = world.fake.effects();
        assert!(
            !effects.iter().any(|e| e == "remove without proof"),
            "{step}: {effects:?}"
        );
        assert_eq!(receipt_files(&world).len(), 1);
    }
}

#[tokio::test]
async fn a_broker_that_stops_anywhere_finishes_the_next_time() {
    for step in [
        "drain",
        "verify",
        "remove",
        "removing",
        "erase",
        "store_receipt",
    ] {
        let world = World::new();
        let running = ready(&world).await;
        world.fake.next(step, Act::Hang);
        let number = running.sign_out(Some("right-password"), &["photos"]).await;
        world.fake.hanging().await;
        running.stop().await;
        let running = world.start().await;
        let outcome = running.ended(number).await.outcome;
        assert!(outcome.success, "{step}: {outcome:?}");
        assert_eq!((outcome.removed, outcome.kept), (2, 2), "{step}");
        let effects = world.fake.effects();
        assert!(
            !effects.iter().any(|e| e == "remove without proof"),
            "{step}: {effects:?}"
        );
        let files = receipt_files(&world);
        assert_eq!(files.len(), 1, "{files:?}");
        assert!(running.broker.published.borrow().accounts.is_empty());
    }
}

#[tokio::test]
async fn a_worker_without_state_removes_nothing() {
    let world = World::new();
    let running = ready(&world).await;
    world.fake.state().epochs.clear();
    let number = running.sign_out(Some("right-password"), &[]).await;
    let blocked = running.blocked(number, "Failed").await;
    assert!(blocked.blocked.message.contains("nothing is removed"));
    running.job(number).await.cancel().await.unwrap();
    assert!(world.fake.effects().is_empty());
}

#[tokio::test]
async fn a_password_is_not_kept_while_a_sign_out_waits() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    // Gone after the plan that is compared with the one that was agreed to.
    let gone = Act::Fail(Wire::StorageGone("not mounted".into()));
    world.fake.next("plan", Act::Pass);
    let plan = Act::Then("attach", Box::new(gone));
    world.fake.next("plan", plan);
    let begun = running.sign_out(Some("right-password"), &[]).await;
    running.blocked(begun, "Offline").await;
    let job = running.job(begun).await;
    job.retry(Default::default()).await.unwrap();
    running.blocked(begun, "ReauthRequired").await;
    let again = piped("right-password").into();
    job.authenticate(again).await.unwrap();
    assert!(running.ended(begun).await.outcome.success);
}

/// Whoever is asked for the password when the daemon ends is asked again by the next one.
#[tokio::test]
async fn a_sign_out_that_waits_for_the_password_waits_after_a_restart() {
    let world = World::new();
    let running = ready(&world).await;
    let number = running.sign_out(None, &[]).await;
    running.blocked(number, "ReauthRequired").await;
    running.stop().await;
    let running = world.start().await;
    let state = running.blocked(number, "ReauthRequired").await;
    assert_eq!(state.stage, "planned");
    assert!(world.fake.effects().is_empty());
    let job = running.job(number).await;
    let wrong = job.authenticate(piped("wrong").into()).await;
    assert_eq!(wrong.unwrap_err().kind(), "IncorrectPassword");
    let right = job.authenticate(piped("right-password").into()).await;
    right.unwrap();
    assert!(running.ended(number).await.outcome.success);
}

/// However well the steps before go: a worker that dies at the same one each time is told of.
#[tokio::test]
async fn a_worker_that_always_dies_at_one_step_blocks_the_sign_out() {
    let world = World::new();
    let running = ready(&world).await;
    for _ in 0..50 {
        world.fake.next("verify", Act::Die);
    }
    let number = running.sign_out(Some("right-password"), &[]).await;
    running.blocked(number, "Failed").await;
    running.job(number).await.cancel().await.unwrap();
    assert_eq!(running.ended(number).await.outcome.error, "Cancelled");
    assert_eq!(running.account().await.state().await.unwrap(), "active");
}

/// A state that cannot be read keeps nobody in a sign-out for ever: nothing was removed, and
/// `doctor --repair` comes after it.
#[tokio::test]
async fn a_sign_out_is_undone_without_the_worker_s_state() {
    let world = World::new();
    let running = ready(&world).await;
    let damaged = || Act::Fail(Wire::StateDamaged("not a database".into()));
    world.fake.next("verify", damaged());
    world.fake.next("stay", damaged());
    let number = running.sign_out(Some("right-password"), &[]).await;
    let blocked = running
        .job_until(number, |job| job.state == JobState::Blocked)
        .await;
    assert!(blocked.cancellable);
    running.job(number).await.cancel().await.unwrap();
    let outcome = running.ended(number).await.outcome;
    assert_eq!(outcome.error, "Cancelled", "{outcome:?}");
    let effects = world.fake.effects();
    assert!(
        !effects.iter().any(|effect| effect.starts_with("remov")),
        "{effects:?}"
    );
}
