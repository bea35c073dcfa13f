//! Apps that delay or block a sign-out.

use mooring_api::{PlanOptions, RetryOptions, SignOutOptions};
use mooringd::inhibitors::MAX_INHIBITORS_OF_USER;
use mooringd::published::JobState;

use crate::worker::Act;
use crate::world::*;

async fn ready(world: &World) -> Running {
    let running = world.start().await;
    running.signed_in().await;
    world.fake.effects();
    running
}

impl Running {
    async fn inhibit(&self, mode: &str) -> zbus::OwnedFd {
        let why = "unsaved text";
        self.manager
            .inhibit("sign-out", "editor", why, mode)
            .await
            .unwrap()
    }

    /// Waits until no lock is held.
    async fn free(&self) {
        for mode in [
            mooringd::inhibitors::Mode::Delay,
            mooringd::inhibitors::Mode::Block,
        ] {
            let gone = self.broker.inhibitors.released(self.broker.uid, mode);
            tokio::time::timeout(BOUND, gone).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_lock_is_listed_until_its_last_copy_is_closed() {
    let world = World::new();
    let running = ready(&world).await;
    let fd = running.inhibit("delay").await;
    let listed = running.manager.list_inhibitors().await.unwrap();
    assert_eq!(listed.len(), 1);
    let lock = &listed[0];
    assert_eq!(
        [&lock.what, &lock.who, &lock.why, &lock.mode],
        ["sign-out", "editor", "unsaved text", "delay"]
    );
    assert_eq!(lock.pid, std::process::id());
    let copy = std::os::fd::AsFd::as_fd(&fd).try_clone_to_owned().unwrap();
    drop(fd);
    // A later call is answered after the broker had its chance to see a closed pipe.
    assert_eq!(running.manager.list_inhibitors().await.unwrap().len(), 1);
    drop(copy);
    running.free().await;
    assert!(running.manager.list_inhibitors().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_a_lock_is_refused_and_there_are_not_too_many() {
    let world = World::new();
    let running = ready(&world).await;
    let long = "x".repeat(513);
    for (what, who, why, mode) in [
        ("shutdown", "a", "b", "delay"),
        ("sign-out", "a", "b", "weak"),
        ("sign-out", "", "b", "delay"),
        ("sign-out", "a", "line\nbreak", "delay"),
        ("sign-out", "a", &long, "delay"),
    ] {
        let error = running.manager.inhibit(what, who, why, mode).await;
        assert_eq!(
            error.unwrap_err().kind(),
            "InvalidArgument",
            "{what} {mode}"
        );
    }
    let mut held = Vec::new();
    for _ in 0..MAX_INHIBITORS_OF_USER {
        held.push(running.inhibit("delay").await);
    }
    let more = running.manager.inhibit("sign-out", "a", "b", "delay").await;
    assert_eq!(more.unwrap_err().kind(), "Busy");
    drop(held);
    running.free().await;
    drop(running.inhibit("delay").await);
}

#[tokio::test]
async fn a_sign_out_tells_apps_and_waits_for_those_that_delay() {
    let world = World::new();
    let running = ready(&world).await;
    let mut told = running.account().await.receive_signing_out().await.unwrap();
    let fd = running.inhibit("delay").await;
    let number = running.sign_out(Some("right-password"), &[]).await;
    let signal = next(&mut told).await;
    assert!(signal.args().unwrap().begins);
    running
        .job_until(number, |job| job.progress.activity == "waiting for apps")
        .await;
    assert!(world.fake.effects().is_empty());
    drop(fd);
    assert!(running.ended(number).await.outcome.success);
}

#[tokio::test]
async fn a_delay_is_bounded_and_a_cancellation_is_told() {
    let world = World::new();
    std::fs::create_dir_all(world.folders().config).unwrap();
    let settings = world.folders().config.join("mooring.toml");
    std::fs::write(&settings, "[sign-out]\ninhibit-delay-seconds = 60\n").unwrap();
    let running = ready(&world).await;
    let mut told = running.account().await.receive_signing_out().await.unwrap();
    let _fd = running.inhibit("delay").await;
    let number = running.sign_out(Some("right-password"), &[]).await;
    assert!(next(&mut told).await.args().unwrap().begins);
    running.job(number).await.cancel().await.unwrap();
    assert_eq!(running.ended(number).await.outcome.error, "Cancelled");
    assert!(!next(&mut told).await.args().unwrap().begins);
    assert_eq!(running.account().await.state().await.unwrap(), "active");

    std::fs::write(&settings, "[sign-out]\ninhibit-delay-seconds = 0\n").unwrap();
    running.manager.reload().await.unwrap();
    let number = running.sign_out(Some("right-password"), &[]).await;
    assert!(running.ended(number).await.outcome.success);
}

#[tokio::test]
async fn a_block_stands_in_the_way_of_a_plan_and_of_a_sign_out() {
    let world = World::new();
    let running = ready(&world).await;
    let fd = running.inhibit("block").await;
    let account = running.account().await;
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    let blocker = &plan.blockers[0];
    assert_eq!(blocker.error, "Inhibited");
    assert!(blocker.message.contains("editor") && blocker.message.contains("unsaved text"));
    let refused = account
        .sign_out(&plan.digest, SignOutOptions::default())
        .await;
    assert_eq!(refused.unwrap_err().kind(), "Inhibited");
    assert!(world.fake.effects().is_empty());
    drop(fd);
    running.free().await;
    let number = running.sign_out(Some("right-password"), &[]).await;
    assert!(running.ended(number).await.outcome.success);
}

#[tokio::test]
async fn a_block_taken_meanwhile_holds_it_until_it_is_released() {
    let world = World::new();
    let running = ready(&world).await;
    let number = running.sign_out(None, &[]).await;
    running.blocked(number, "ReauthRequired").await;
    let fd = running.inhibit("block").await;
    let job = running.job(number).await;
    job.authenticate(piped("right-password").into())
        .await
        .unwrap();
    let blocked = running.blocked(number, "Inhibited").await;
    assert!(blocked.cancellable);
    job.retry(RetryOptions::default()).await.unwrap();
    running.blocked(number, "Inhibited").await;
    assert!(world.fake.effects().is_empty());
    drop(fd);
    assert!(running.ended(number).await.outcome.success);
}

#[tokio::test]
async fn a_blocked_sign_out_can_be_cancelled() {
    let world = World::new();
    let running = ready(&world).await;
    let number = running.sign_out(None, &[]).await;
    running.blocked(number, "ReauthRequired").await;
    let _fd = running.inhibit("block").await;
    let job = running.job(number).await;
    job.authenticate(piped("right-password").into())
        .await
        .unwrap();
    running.blocked(number, "Inhibited").await;
    job.cancel().await.unwrap();
    assert_eq!(running.ended(number).await.outcome.error, "Cancelled");
    assert_eq!(running.account().await.state().await.unwrap(), "active");
}

#[tokio::test]
async fn nothing_blocks_once_the_removal_has_begun() {
    let world = World::new();
    let running = ready(&world).await;
    let gone = mooring_wire::Error::StorageGone("unplugged".into());
    world.fake.next("removing", Act::Fail(gone));
    let number = running.sign_out(Some("right-password"), &[]).await;
    running.blocked(number, "Offline").await;
    let _fd = running.inhibit("block").await;
    let job = running.job(number).await;
    job.retry(RetryOptions::default()).await.unwrap();
    let ended = running.ended(number).await;
    assert!(ended.outcome.success && ended.state == JobState::Finished);
}
