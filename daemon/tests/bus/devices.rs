//! Other devices: seen, asked, and heeded as policy says, once, whatever dies in between.

use std::sync::atomic::Ordering;

use mooring_api::DevicesProxy;
use mooring_wire::DeviceRequest;
use mooringd::published::{Holder, Published};

use crate::worker::Act;
use crate::world::*;

const DENY: &str = r#"[organisation]
name = "Harbour Lights Ltd"
contact = "it@harbour.example"

[[rule]]
name = "no-remote-sign-out"
reason = "This device stays."
sign-out = "deny"
actors = ["device"]
"#;

fn ask(world: &World, id: &str) {
    world.fake.state().requests.push(DeviceRequest {
        id: id.into(),
        device: "phone".into(),
        sign_in_id: "p1".into(),
    });
}

/// A change in the storage was noticed.
fn look(running: &Running) {
    running
        .broker
        .noticed
        .look_for_requests(&running.account_id());
}

fn answers(world: &World) -> Vec<(String, String)> {
    let answers = world.fake.state().answers.clone();
    answers
        .into_iter()
        .map(|(id, state, _)| (id, state))
        .collect()
}

fn said(id: &str, state: &str) -> (String, String) {
    (id.into(), state.into())
}

fn gone(p: &Published) -> bool {
    p.accounts.is_empty()
}

async fn signed_in(world: &World) -> Running {
    let running = world.start().await;
    running.signed_in().await;
    world.fake.effects();
    running
}

fn receipt(world: &World) -> String {
    let files = receipt_files(world);
    assert_eq!(files.len(), 1, "{files:?}");
    std::fs::read_to_string(&files[0]).unwrap()
}

#[tokio::test]
async fn devices_are_listed_and_asked_by_their_sign_in() {
    let world = World::new();
    let running = signed_in(&world).await;
    let devices = DevicesProxy::builder(&running.client)
        .path(format!("/org/mooring1/accounts/{}", running.account_id()))
        .build()
        .await
        .unwrap();
    assert!(devices.list().await.unwrap()[0].this);
    let target = "0123456789abcdef".repeat(2);
    let request = devices.sign_out(&target).await.unwrap();
    assert_eq!(request.len(), 32);
    for bad in ["", "phone", "../x", &target.to_uppercase(), &"a".repeat(33)] {
        let refused = devices.sign_out(bad).await.unwrap_err();
        assert_eq!(refused.kind(), "InvalidArgument", "{bad}");
    }
    assert!(world.fake.effects().contains(&format!("ask {target}")));
}

#[tokio::test]
async fn a_request_signs_out_without_a_password_and_is_told() {
    let world = World::new();
    let running = signed_in(&world).await;
    ask(&world, "r1");
    look(&running);
    running.until("the end", gone).await;
    assert_eq!(answers(&world), [said("r1", "signing-out")]);
    assert_eq!(world.fake.state().withdrawn.len(), 1);
    assert!(receipt(&world).contains("the device phone (request r1)"));
}

#[tokio::test]
async fn policy_denies_for_devices_and_the_account_says_so() {
    let world = World::new();
    world.write_policy(DENY);
    let running = signed_in(&world).await;
    ask(&world, "r1");
    look(&running);
    running
        .until("a word", |p| {
            p.accounts
                .values()
                .all(|view| view.account.message.contains("phone"))
        })
        .await;
    let account = running.account().await;
    assert_eq!(account.state().await.unwrap(), "active");
    let (_, state, message) = world.fake.state().answers[0].clone();
    assert_eq!(state, "denied");
    assert!(message.contains("This device stays."), "{message}");
    assert!(world.fake.effects().is_empty());
    // The person may.
    let job = running.sign_out(Some("right-password"), &[]).await;
    assert!(running.ended(job).await.outcome.success);
}

/// What the account says, once it says this.
async fn message(running: &Running, part: &str) -> String {
    let said = |p: &Published| {
        let mut views = p.accounts.values();
        views.all(|view| view.account.message.contains(part))
    };
    running.until(part, said).await;
    running.account().await.state_message().await.unwrap()
}

/// Monday, 23 November 2026, 15:00 UTC, is when a world begins.
const MONDAY: u64 = 1_795_446_000;
const HOUR: u64 = 3_600;

async fn at(world: &World, running: &Running, time: u64) {
    world.clock.0.store(time, Ordering::SeqCst);
    running.manager.reload().await.unwrap();
}

#[tokio::test]
async fn a_request_outside_of_its_hours_waits_and_begins_within_them() {
    let world = World::new();
    world.write_policy(&DENY.replace("sign-out = \"deny\"", "hours = \"Mon 18:00-20:00\""));
    let running = signed_in(&world).await;
    ask(&world, "r1");
    look(&running);
    let said = message(&running, "begins at 2026-11-23T18:00:00Z").await;
    assert!(said.contains("phone") && said.contains("This device stays."));
    let (_, state, told) = world.fake.state().answers[0].clone();
    assert_eq!(state, "waiting");
    assert!(told.contains("begins at 2026-11-23T18:00:00Z"), "{told}");
    assert_eq!(running.account().await.state().await.unwrap(), "active");

    // Whatever the clock says meanwhile, it waits as long as it is outside of them.
    at(&world, &running, MONDAY - 7 * 24 * HOUR).await;
    at(&world, &running, MONDAY + 6 * HOUR).await;
    look(&running);
    message(&running, "begins at 2026-11-30T18:00:00Z").await;
    assert!(answers(&world).iter().all(|a| *a == said_of("waiting")));
    assert!(world.fake.effects().is_empty());

    // A restart looks again. Then policy lets it begin, without another word of the storage.
    running.stop().await;
    let running = world.start().await;
    message(&running, "begins at 2026-11-30T18:00:00Z").await;
    at(&world, &running, MONDAY + 3 * HOUR).await;
    running.until("the end", gone).await;
    assert_eq!(answers(&world).last(), Some(&said_of("signing-out")));
    assert!(receipt(&world).contains("request r1"));
}

fn said_of(state: &str) -> (String, String) {
    said("r1", state)
}

#[tokio::test]
async fn a_request_outside_of_its_hours_is_refused_where_policy_says_so() {
    let world = World::new();
    let refuse = "hours = \"Mon 18:00-20:00\"\noutside-hours = \"refuse\"";
    world.write_policy(&DENY.replace("sign-out = \"deny\"", refuse));
    let running = signed_in(&world).await;
    ask(&world, "r1");
    look(&running);
    message(&running, "not allowed").await;
    assert_eq!(answers(&world), [said_of("denied")]);
    let refusals = running.manager.list_refusals().await.unwrap();
    assert_eq!(refusals["policy"], 1);
    // The next one comes within them, and hours bound the beginning alone.
    world.fake.next("verify", Act::Hang);
    ask(&world, "r1");
    at(&world, &running, MONDAY + 5 * HOUR - 1).await;
    look(&running);
    world.fake.hanging().await;
    running.stop().await;
    world.clock.0.store(MONDAY + 9 * HOUR, Ordering::SeqCst);
    let running = world.start().await;
    running.until("the end", gone).await;
}

#[tokio::test]
async fn policy_that_keeps_the_data_keeps_it() {
    let world = World::new();
    world.write_policy(&DENY.replace("sign-out = \"deny\"", "data = \"keep\""));
    let running = signed_in(&world).await;
    ask(&world, "r1");
    look(&running);
    running.until("the end", gone).await;
    let receipt = receipt(&world);
    assert!(receipt.contains("kept-files = 2"), "{receipt}");
    assert!(!receipt.contains("removed-files = 2"), "{receipt}");
}

#[tokio::test]
async fn a_sign_out_that_is_cancelled_here_does_not_begin_again() {
    let world = World::new();
    let running = signed_in(&world).await;
    world.fake.next("drain", Act::Hang);
    ask(&world, "r1");
    look(&running);
    world.fake.hanging().await;
    let number = running
        .broker
        .published
        .borrow()
        .accounts
        .values()
        .find_map(|view| match view.holder {
            Holder::Job(number) => Some(number),
            _ => None,
        })
        .unwrap();
    running.job(number).await.cancel().await.unwrap();
    let ended = running.ended(number).await;
    assert_eq!(ended.outcome.error, "Cancelled");
    let told = [said("r1", "signing-out"), said("r1", "cancelled")];
    assert_eq!(answers(&world), told);
    assert_eq!(running.account().await.state().await.unwrap(), "active");
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_asked() {
    let world = World::new();
    let running = signed_in(&world).await;
    world.fake.next("verify", Act::Hang);
    ask(&world, "r1");
    look(&running);
    world.fake.hanging().await;
    running.stop().await;
    let running = world.start().await;
    running.until("the end", gone).await;
    assert!(
        answers(&world)
            .iter()
            .all(|told| *told == said("r1", "signing-out"))
    );
    assert!(receipt(&world).contains("request r1"));
}

#[tokio::test]
async fn a_worker_that_dies_over_the_answer_answers_again() {
    let world = World::new();
    let running = signed_in(&world).await;
    world.fake.next("answer", Act::Die);
    world.fake.next("answered", Act::Die);
    ask(&world, "r1");
    look(&running);
    running.until("the end", gone).await;
    assert!(answers(&world).contains(&said("r1", "signing-out")));
}
