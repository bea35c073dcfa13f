//! How jobs ended: told still after a restart, for a while, and nothing of an account that is
//! forgotten but that it is.

use std::sync::atomic::Ordering;

use mooringd::jobs::ended::REMEMBERED_SECONDS;
use mooringd::published::{JobState, JobView};

use crate::worker::Act;
use crate::world::*;

/// How far it was is no part of how it ended, and neither is which others had ended before.
fn at_rest(job: JobView) -> JobView {
    JobView {
        progress: Default::default(),
        ended: 0,
        ..job
    }
}

#[tokio::test]
async fn an_end_is_told_still_after_a_restart_and_for_a_day() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let path = running.files().await.sync().await.unwrap();
    let before = running.ended(number(&path)).await;
    assert!(before.outcome.success);
    running.stop().await;

    let running = world.start().await;
    let after = running.ended(number(&path)).await;
    assert_eq!(at_rest(before.clone()), at_rest(after));
    let job = running.job(number(&path)).await;
    assert_eq!(job.state().await.unwrap(), "finished");
    assert_eq!(job.outcome().await.unwrap(), before.outcome);
    assert!(job.cancel().await.is_err());
    // It is over: the account is free, and the number is never given again.
    let next = running.files().await.sync().await.unwrap();
    assert!(number(&next) > number(&path));
    running.ended(number(&next)).await;
    running.stop().await;

    let day = &world.clock.0;
    day.fetch_add(REMEMBERED_SECONDS + 1, Ordering::SeqCst);
    let running = world.start().await;
    assert!(running.broker.published.borrow().jobs.is_empty());
}

#[tokio::test]
async fn a_failure_is_told_still_and_as_many_as_settings_say() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let gone = mooring_wire::Error::StorageGone("unplugged".into());
    world.fake.next("sync", Act::Fail(gone));
    let path = running.files().await.sync().await.unwrap();
    let before = running.ended(number(&path)).await;
    assert_eq!(before.outcome.error, "Offline");
    running.stop().await;
    world.write_settings("[sync]\ncontinuous = false\n[jobs]\nkeep-finished = 1\n");
    let running = world.start().await;
    let jobs = running.broker.published.borrow().jobs.clone();
    assert_eq!(jobs.keys().collect::<Vec<_>>(), [&number(&path)]);
    assert_eq!(
        at_rest(JobView::clone(&jobs[&number(&path)])),
        at_rest(before)
    );
}

#[tokio::test]
async fn of_a_forgotten_account_only_its_sign_out_is_remembered() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let path = running.files().await.sync().await.unwrap();
    running.ended(number(&path)).await;
    let job = running.sign_out(Some("right-password"), &[]).await;
    let before = running.ended(job).await;
    assert!(before.outcome.success, "{:?}", before.outcome);
    running.stop().await;
    let running = world.start().await;
    let published = running.broker.published.borrow().clone();
    assert!(published.accounts.is_empty());
    assert_eq!(published.jobs.keys().collect::<Vec<_>>(), [&job]);
    assert_eq!(
        at_rest(JobView::clone(&published.jobs[&job])),
        at_rest(before.clone())
    );
    assert_eq!(before.state, JobState::Finished);
}

#[tokio::test]
async fn every_word_about_a_sign_out_is_told_in_order_even_of_an_account_that_is_gone() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let mut told = running.account().await.receive_signing_out().await.unwrap();
    let id = running.account_id();
    let words = &running.broker.announcements;
    // All of it between two looks of the publisher.
    [true, false, true, false]
        .into_iter()
        .for_each(|begins| words.add(&id, begins));
    running.broker.update(|_| ());
    for begins in [true, false, true, false] {
        assert_eq!(next(&mut told).await.args().unwrap().begins, begins);
    }
    words.add(&id, true);
    running.broker.update(|p| p.accounts.remove(&id));
    assert!(next(&mut told).await.args().unwrap().begins);
}

#[tokio::test]
async fn a_look_ends_when_whoever_looks_is_gone() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let id = running.account_id();
    world.fake.next("why", Act::Hang);
    let broker = running.broker.clone();
    let asked = id.clone();
    let caller = tokio::spawn(async move { broker.why(&asked, b"/home/a".to_vec()).await });
    world.fake.hanging().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    running
        .until("a free account", |p| {
            p.accounts[&id].holder == mooringd::published::Holder::Free
        })
        .await;
}

#[tokio::test]
async fn why_answers_from_memory_while_a_job_has_the_account() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let files = running.files().await;
    let looked = files.why(b"/home/a").await.unwrap();
    assert_eq!((looked.unseen.as_str(), looked.read_back_at), ("", 7));
    world.fake.next("sync", Act::Hang);
    let path = files.sync().await.unwrap();
    world.fake.hanging().await;
    let recalled = files.why(b"/home/a").await.unwrap();
    assert_eq!(recalled.state, "in-step");
    let job = format!("job {}", number(&path));
    assert!(recalled.unseen.contains(&job), "{}", recalled.unseen);
    running.job(number(&path)).await.cancel().await.unwrap();
    running.ended(number(&path)).await;

    // Nothing may keep an account that leaves.
    let number = running.sign_out(None, &[]).await;
    running.blocked(number, "ReauthRequired").await;
    assert_eq!(files.why(b"/home/a").await.unwrap_err().kind(), "Busy");
}

/// A long job has a low number, and is the last to end: its end is told, and that of an earlier one
/// is let go of.
#[tokio::test]
async fn the_job_that_ended_last_is_kept() {
    let world = World::new();
    world.write_settings("[sync]\ncontinuous = false\n[jobs]\nkeep-finished = 1\n");
    let running = world.start().await;
    running.signed_in().await;
    let (_code, mut options) = new_identity("right-password");
    options.storage = Some(b"/mnt/other".to_vec());
    let manager = &running.manager;
    let bob = manager.sign_in("local", "bob", options).await.unwrap();
    running.ended(number(&bob)).await;
    let of = async |identity: &str| {
        let published = running.broker.published.borrow().clone();
        let account = published.accounts.values().map(|view| &view.account);
        let mut found = account.filter(|account| account.identity == identity);
        let id = found.next().unwrap().id.clone();
        running.broker.sync(&id, 0).await.unwrap()
    };
    world.fake.next("sync", Act::Hang);
    let long = of("alice").await;
    world.fake.hanging().await;
    let short = of("bob").await;
    running.ended(short).await;
    running.job(long).await.cancel().await.unwrap();
    assert_eq!(running.ended(long).await.outcome.error, "Cancelled");
    assert_eq!(running.broker.published.borrow().jobs.len(), 1);
}
