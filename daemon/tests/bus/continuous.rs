//! Syncs that nobody asked for, and those that nobody wants.

use mooring_api::FilesProxy;
use mooring_wire::Error as Wire;
use mooringd::published::Holder;

use crate::worker::Act;
use crate::world::*;

const BY_ITSELF: &str = "[sync]\ncontinuous = true\n";

/// A broker whose account is signed in and in step.
async fn in_step() -> (World, Running) {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    assert_eq!(
        world.fake.effects(),
        ["create_identity", "created", "sign_in"]
    );
    running.stop().await;
    world.write_settings(BY_ITSELF);
    let running = world.start().await;
    synced(&world).await;
    idle(&running).await;
    assert_eq!(world.fake.effects(), ["watch", "sync"]);
    (world, running)
}

/// Waits for the end of one more sync than there were.
async fn synced(world: &World) {
    let mut syncs = world.fake.syncs.subscribe();
    let waited = tokio::time::timeout(BOUND, syncs.wait_for(|count| *count > 0)).await;
    drop(waited.expect("nothing syncs by itself").unwrap());
    world.fake.syncs.send_replace(0);
}

async fn idle(running: &Running) {
    running
        .until("idle", |p| {
            p.accounts.values().all(|view| view.holder == Holder::Free)
        })
        .await;
}

async fn paused(files: &FilesProxy<'_>) -> bool {
    files.paused().await.unwrap()
}

#[tokio::test]
async fn a_change_is_synced_without_a_job() {
    let (world, running) = in_step().await;
    world.fake.change();
    synced(&world).await;
    idle(&running).await;
    assert_eq!(world.fake.effects(), ["watch", "sync"]);
    let published = running.broker.published.borrow();
    // The sign-in of the life before is remembered, and nothing came to it.
    assert!(
        published
            .jobs
            .values()
            .all(|job| job.kind.name() == "sign-in")
    );
    assert!(published.accounts.values().all(|view| view.last_sync == 77));
}

#[tokio::test]
async fn a_sync_by_itself_makes_room_for_a_person_and_goes_on_after() {
    let (world, running) = in_step().await;
    world.fake.next("sync", Act::Hang);
    world.fake.change();
    world.fake.hanging().await;
    let job = number(&running.files().await.sync().await.unwrap());
    assert!(running.ended(job).await.outcome.success);
    synced(&world).await;
    // Once for the job, and once to go on.
    synced(&world).await;
    assert_eq!(
        world.fake.effects(),
        ["watch", "sync", "sync", "watch", "sync"]
    );
}

#[tokio::test]
async fn a_failure_needs_attention_and_is_tried_again() {
    let (world, running) = in_step().await;
    for _ in 0..2 {
        let gone = Wire::StorageGone("/mnt/nas is not mounted".into());
        world.fake.next("sync", Act::Fail(gone));
    }
    world.fake.change();
    let state = |name: &'static str| {
        move |p: &mooringd::published::Published| {
            p.accounts
                .values()
                .all(|view| view.account.state.name() == name)
        }
    };
    running.until("trouble", state("needs-attention")).await;
    let account = running.account().await;
    assert_eq!(account.state_detail().await.unwrap(), "storage-gone");
    running.until("recovery", state("active")).await;
    assert_eq!(world.fake.effects().len(), 6);
}

#[tokio::test]
async fn a_worker_that_dies_is_replaced_and_watches_again() {
    let (world, running) = in_step().await;
    world.fake.next("plan", Act::Die);
    let account = running.account().await;
    account.plan_sign_out(Default::default()).await.unwrap();
    synced(&world).await;
    assert_eq!(world.fake.effects(), ["watch", "sync"]);
}

#[tokio::test]
async fn a_paused_account_is_left_alone_until_it_is_resumed() {
    let (world, running) = in_step().await;
    let files = running.files().await;
    files.pause().await.unwrap();
    files.pause().await.unwrap();
    assert!(paused(&files).await);
    world.fake.change();
    // Asked for, it is synced; what changed before does not make it two.
    let job = number(&files.sync().await.unwrap());
    assert!(running.ended(job).await.outcome.success);
    idle(&running).await;
    assert_eq!(world.fake.effects(), ["sync"]);
    running.stop().await;

    let running = world.start().await;
    let files = running.files().await;
    running
        .until("a look", |p| p.accounts.values().all(|v| v.last_sync == 77))
        .await;
    idle(&running).await;
    assert!(paused(&files).await);
    assert!(world.fake.effects().is_empty());
    world.fake.syncs.send_replace(0);
    files.resume().await.unwrap();
    assert!(!paused(&files).await);
    synced(&world).await;
    assert_eq!(world.fake.effects(), ["watch", "sync"]);
}

#[tokio::test]
async fn pausing_waits_for_no_job_and_is_no_part_of_a_sign_out() {
    let (world, running) = in_step().await;
    let files = running.files().await;
    world.fake.next("sync", Act::Hang);
    let job = number(&files.sync().await.unwrap());
    world.fake.hanging().await;
    assert_eq!(files.pause().await.unwrap_err().kind(), "Busy");
    running.job(job).await.cancel().await.unwrap();
    running.ended(job).await;
    files.pause().await.unwrap();
    world.fake.effects();
    let job = running.sign_out(Some("right-password"), &[]).await;
    assert!(running.ended(job).await.outcome.success);
    assert!(!world.fake.effects().contains(&"sync".to_owned()));
    assert!(running.broker.published.borrow().accounts.is_empty());
}

#[tokio::test]
async fn a_sign_out_goes_through_a_sync_by_itself() {
    let (world, running) = in_step().await;
    world.fake.next("sync", Act::Hang);
    world.fake.change();
    world.fake.hanging().await;
    let job = running.sign_out(Some("right-password"), &[]).await;
    assert!(running.ended(job).await.outcome.success);
}
