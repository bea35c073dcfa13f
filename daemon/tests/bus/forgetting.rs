//! Forgetting an account: what is at work is left alone, and what cannot be forgotten goes on.

use mooring_wire::Error as Wire;
use mooringd::published::JobState;

use crate::worker::Act;
use crate::world::*;

/// A sign-out that has begun to remove and cannot go on.
async fn stuck(world: &World) -> (Running, u64) {
    let running = world.start().await;
    running.signed_in().await;
    for _ in 0..20 {
        let gone = Act::Fail(Wire::StorageGone("unplugged".into()));
        world.fake.next("removing", gone);
    }
    let number = running.sign_out(Some("right-password"), &[]).await;
    let blocked = running.blocked(number, "Offline").await;
    assert!(!blocked.cancellable);
    (running, number)
}

#[tokio::test]
async fn a_job_that_can_be_undone_is_no_reason_to_forget() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let number = running.sign_out(None, &[]).await;
    running.blocked(number, "ReauthRequired").await;
    let refused = running.account().await.forget().await.unwrap_err();
    assert_eq!(refused.kind(), "Busy", "{refused}");
    running.job(number).await.cancel().await.unwrap();
    running.ended(number).await;
    let receipt = running.account().await.forget().await.unwrap();
    assert!(running.broker.published.borrow().accounts.is_empty());
    let text = running.manager.read_receipt(&receipt).await.unwrap();
    assert!(text.contains("level = \"none\""), "{text}");
    running.stop().await;
    let running = world.start().await;
    assert!(running.broker.published.borrow().accounts.is_empty());
}

#[tokio::test]
async fn a_sign_out_that_can_never_end_ends_with_its_account() {
    let world = World::new();
    let (running, number) = stuck(&world).await;
    let receipt = running.account().await.forget().await.unwrap();
    let ended = running.ended(number).await;
    assert_eq!(ended.outcome.receipt, receipt);
    let text = running.manager.read_receipt(&receipt).await.unwrap();
    assert!(text.contains("had begun to remove"), "{text}");
    running.stop().await;
    let running = world.start().await;
    assert!(running.broker.published.borrow().accounts.is_empty());
    // Nothing of the job was at work any more.
    let effects = world.fake.effects();
    let at = effects.iter().position(|e| e == "release").unwrap();
    assert!(
        !effects[at..].iter().any(|e| e.starts_with("remov")),
        "{effects:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_forgotten_goes_on_as_it_was() {
    let world = World::new();
    let (running, number) = stuck(&world).await;
    let failed = Act::Fail(Wire::Failed("a folder cannot be read".into()));
    world.fake.next("release", failed);
    let refused = running.account().await.forget().await.unwrap_err();
    assert!(refused.message().contains("cannot be read"), "{refused}");
    running
        .job_until(number, |job| job.state == JobState::Blocked)
        .await;
    world.fake.state().acts.remove("removing");
    running
        .job(number)
        .await
        .retry(Default::default())
        .await
        .unwrap();
    // A password that was given before a sign-out began to remove is not asked for again.
    let outcome = running.ended(number).await.outcome;
    assert!(outcome.success, "{outcome:?}");
}

/// Also a look that never ends: a call to a storage that is not there may not return.
#[tokio::test]
async fn whatever_hangs_keeps_no_account_from_being_forgotten() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    for _ in 0..8 {
        world.fake.next("conflicts", Act::Deaf);
    }
    let account = running.account().await;
    let looking = {
        let account = running.files().await;
        tokio::spawn(async move { account.list_conflicts().await })
    };
    world.fake.hanging().await;
    account.forget().await.unwrap();
    assert!(running.broker.published.borrow().accounts.is_empty());
    // It was not made once more on another worker.
    let failed = looking.await.unwrap().unwrap_err();
    assert_eq!(failed.kind(), "Cancelled", "{failed}");
    let asked = world.fake.effects();
    assert_eq!(asked.iter().filter(|e| *e == "conflicts").count(), 1);
}

/// From its mark on, an account is forgotten by whoever comes after; its job does not begin again.
#[tokio::test]
async fn what_was_begun_is_ended_after_a_restart() {
    let world = World::new();
    let (running, number) = stuck(&world).await;
    let failed = Act::Fail(Wire::Failed("a disk fails".into()));
    world.fake.next("discard", failed);
    let account = running.account().await;
    let failed = account.forget().await.unwrap_err();
    assert!(
        failed.message().contains("as soon as") && failed.message().contains("a disk fails"),
        "{failed}"
    );
    let refused = account.forget().await.unwrap_err();
    assert_eq!(refused.kind(), "Busy", "{refused}");
    let retried = running.job(number).await.retry(Default::default()).await;
    assert_eq!(retried.unwrap_err().kind(), "Busy");
    running.stop().await;
    world.fake.state().calls.clear();
    let running = world.start().await;
    running
        .until("the account is gone", |p| p.accounts.is_empty())
        .await;
    let effects = world.fake.effects();
    assert!(
        !effects
            .iter()
            .any(|e| e.starts_with("remov") || e == "release"),
        "{effects:?}"
    );
    let receipts = running.manager.list_receipts().await.unwrap();
    assert_eq!(receipts.len(), 1, "{receipts:?}");
    let text = running.manager.read_receipt(&receipts[0].id).await.unwrap();
    assert!(text.contains("had begun to remove"), "{text}");
}

/// A person cancels a job that hangs; it hears nothing of it, and ends with its worker.
#[tokio::test]
async fn a_job_that_was_cancelled_and_hangs_keeps_no_account_either() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    for _ in 0..8 {
        world.fake.next("sync", Act::Deaf);
    }
    let number = number(&running.files().await.sync().await.unwrap());
    world.fake.hanging().await;
    let account = running.account().await;
    assert_eq!(account.forget().await.unwrap_err().kind(), "Busy");
    running.job(number).await.cancel().await.unwrap();
    account.forget().await.unwrap();
    assert!(running.broker.published.borrow().accounts.is_empty());
    assert_eq!(running.ended(number).await.outcome.error, "Cancelled");
    running.stop().await;
    let running = world.start().await;
    assert!(running.broker.published.borrow().accounts.is_empty());
}

/// The same where it cannot be cancelled any more; one that only gets on slowly is left alone.
#[tokio::test]
async fn a_removal_that_hangs_keeps_no_account_either() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    for _ in 0..8 {
        world.fake.next("removing", Act::Deaf);
    }
    let number = running.sign_out(Some("right-password"), &[]).await;
    world.fake.hanging().await;
    let job = running.job(number).await;
    assert_eq!(job.cancel().await.unwrap_err().kind(), "Busy");
    let receipt = running.account().await.forget().await.unwrap();
    assert!(running.broker.published.borrow().accounts.is_empty());
    assert_eq!(running.ended(number).await.outcome.receipt, receipt);
    let text = running.manager.read_receipt(&receipt).await.unwrap();
    assert!(text.contains("had begun to remove"), "{text}");
}
