use mooring_api::CollectionStatus;
use mooring_wire::Error as Wire;
use mooringd::published::JobState;

use crate::worker::Act;
use crate::world::*;

#[tokio::test]
async fn one_job_at_a_time_with_progress_and_cancellation() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    world.fake.next("sync", Act::Hang);
    let files = running.files().await;
    let first = number(&files.sync().await.unwrap());
    world.fake.hanging().await;
    let job = running.job(first).await;
    let told = running.job_until(first, |job| job.progress.done == 1).await;
    assert_eq!(told.progress.activity, "uploading");
    assert_eq!(files.sync().await.unwrap_err().kind(), "Busy");
    let account = running.account().await;
    assert_eq!(
        account
            .plan_sign_out(Default::default())
            .await
            .unwrap_err()
            .kind(),
        "Busy"
    );
    assert!(
        account
            .job()
            .await
            .unwrap()
            .as_str()
            .ends_with(&first.to_string())
    );
    assert_eq!(
        job.authenticate(piped("x").into())
            .await
            .unwrap_err()
            .kind(),
        "InvalidArgument"
    );
    job.cancel().await.unwrap();
    assert_eq!(running.ended(first).await.outcome.error, "Cancelled");
    assert_eq!(job.cancel().await.unwrap_err().kind(), "InvalidArgument");
    let second = number(&files.sync().await.unwrap());
    let outcome = running.ended(second).await.outcome;
    assert!(outcome.success && outcome.uploaded == 2);
}

#[tokio::test]
async fn what_a_worker_says_is_held_to_bounds() {
    const LONG: usize = 40 << 20;
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    world.fake.state().activity = Some("x".repeat(LONG));
    world.fake.next("sync", Act::Hang);
    let files = running.files().await;
    let first = number(&files.sync().await.unwrap());
    let told = running.job_until(first, |job| job.progress.done == 1).await;
    assert!(told.progress.activity.len() < LONG / 1024);
    let job = running.job(first).await;
    assert!(job.progress().await.unwrap().activity.len() < LONG / 1024);
    world.fake.hanging().await;
    job.cancel().await.unwrap();
    running.ended(first).await;

    world.fake.state().activity = None;
    let fails = Act::Fail(Wire::StorageGone("y".repeat(LONG)));
    world.fake.next("sync", fails);
    let second = number(&files.sync().await.unwrap());
    let outcome = running.ended(second).await.outcome;
    assert_eq!(outcome.error, "Offline");
    assert!(outcome.message.len() < LONG / 1024);
    let message = running.account().await.state_message().await.unwrap();
    assert!(message.starts_with('y') && message.len() < LONG / 1024);
}

#[tokio::test]
async fn a_lost_storage_needs_attention_until_a_sync_succeeds() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let account = running.account().await;
    let mut states = account.receive_state_changed().await;
    world.fake.next(
        "sync",
        Act::Fail(Wire::StorageGone("/mnt/nas is not mounted".into())),
    );
    let files = running.files().await;
    let outcome = running
        .ended(number(&files.sync().await.unwrap()))
        .await
        .outcome;
    assert_eq!(outcome.error, "Offline");
    while next(&mut states).await.get().await.unwrap() != "needs-attention" {}
    assert_eq!(account.state_detail().await.unwrap(), "storage-gone");
    assert_eq!(
        account.state_message().await.unwrap(),
        "/mnt/nas is not mounted"
    );
    assert!(
        running
            .ended(number(&files.sync().await.unwrap()))
            .await
            .outcome
            .success
    );
    while next(&mut states).await.get().await.unwrap() != "active" {}
    assert_eq!(account.state_message().await.unwrap(), "");
}

#[tokio::test]
async fn a_worker_that_dies_is_started_again_a_bounded_number_of_times() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let files = running.files().await;
    world.fake.next("sync", Act::Die);
    let outcome = running
        .ended(number(&files.sync().await.unwrap()))
        .await
        .outcome;
    assert!(outcome.success, "{outcome:?}");
    for _ in 0..5 {
        world.fake.next("sync", Act::Die);
    }
    let outcome = running
        .ended(number(&files.sync().await.unwrap()))
        .await
        .outcome;
    assert!(
        !outcome.success && outcome.message.contains("5 times"),
        "{outcome:?}"
    );
    assert_eq!(
        running.account().await.state_detail().await.unwrap(),
        "worker-failed"
    );
}

#[tokio::test]
async fn a_sync_goes_on_after_a_restart() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    world.fake.next("sync", Act::Hang);
    let path = running.files().await.sync().await.unwrap();
    world.fake.hanging().await;
    running.stop().await;
    let running = world.start().await;
    assert!(running.ended(number(&path)).await.outcome.success);
    running
        .until("free", |p| {
            p.accounts.values().all(|v| v.collections.len() == 2)
        })
        .await;
}

#[tokio::test]
async fn accounts_are_looked_at_when_the_broker_starts() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    running.stop().await;
    let running = world.start().await;
    running
        .until("counts", |p| p.accounts.values().all(|v| v.last_sync == 77))
        .await;
    let photos: CollectionStatus = running
        .files()
        .await
        .collections()
        .await
        .unwrap()
        .swap_remove(0);
    assert_eq!(photos.bytes, 50);
}

/// Whoever cancels while a worker is only being started is heard, and nothing waits for ever.
#[tokio::test]
async fn a_job_that_waits_for_a_worker_can_be_cancelled() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let files = running.files().await;
    let starting = world.fake.starting.clone().lock_owned().await;
    world.fake.next("sync", Act::Die);
    let number = number(&files.sync().await.unwrap());
    let dead = |p: &mooringd::published::Published| p.jobs[&number].state == JobState::Running;
    running.until("the sync", dead).await;
    running.job(number).await.cancel().await.unwrap();
    // Long enough for an interruption, while the worker is still being started.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    drop(starting);
    let ended = running.ended(number).await;
    assert_eq!(ended.outcome.error, "Cancelled");
    // And the worker serves whoever comes next.
    let next = files.sync().await.unwrap();
    assert!(
        running
            .ended(crate::world::number(&next))
            .await
            .outcome
            .success
    );
}
