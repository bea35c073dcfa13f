//! A NUL in what somebody sends makes the bus part from them: none gets there, wherever it comes from.

use std::sync::atomic::Ordering;

use mooring_core::account::{Reason, State};
use mooringd::published::Published;

use crate::world::*;

#[tokio::test]
async fn a_worker_that_babbles_takes_the_daemon_off_no_bus_and_not_at_the_next_start() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    world.fake.babbling.store(usize::MAX, Ordering::Relaxed);
    running.broker.workers.stop().await;
    let job = number(&running.files().await.sync().await.unwrap());
    let job = running.ended(job).await;
    assert!(job.outcome.message.contains("bus\\x00does"), "{job:?}");
    let id = running.account_id();
    let failed = |p: &Published| {
        let account = &p.accounts[&id].account;
        account.state == State::NeedsAttention(Reason::WorkerFailed)
            && account.message.contains("bus\\x00does")
    };
    running.until("the reason", failed).await;
    let shown = running.account().await.state_message().await.unwrap();
    assert!(shown.contains("bus\\x00does"), "{shown}");
    running.stop().await;
    let running = world.start().await;
    assert!(running.account().await.state_message().await.is_ok());
}

#[tokio::test]
async fn what_was_kept_with_a_nul_is_told_without() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let mut account = running.broker.store.accounts().unwrap().remove(0);
    account.message = "a\0b".into();
    running.broker.store.save_account(&account).unwrap();
    world.fake.babbling.store(usize::MAX, Ordering::Relaxed);
    running.stop().await;
    let running = world.start().await;
    assert!(
        !running
            .account()
            .await
            .state_message()
            .await
            .unwrap()
            .contains('\0')
    );
}

#[tokio::test]
async fn a_receipt_that_a_power_loss_left_full_of_zeros_is_damaged_and_nothing_more() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let job = running.sign_out(Some("right-password"), &[]).await;
    let receipt = running.ended(job).await.outcome.receipt;
    let file = receipt_files(&world).remove(0);
    let text = std::fs::read_to_string(&file).unwrap();
    let named = text.replace("identity = \"alice\"", "identity = \"ali\\u0000ce\"");
    assert_ne!(named, text);
    std::fs::write(&file, named).unwrap();
    let listed = running.manager.list_receipts().await.unwrap();
    assert_eq!(listed[0].identity, "ali\u{fffd}ce");
    std::fs::write(&file, vec![0; text.len()]).unwrap();
    assert!(running.manager.list_receipts().await.unwrap().is_empty());
    let told = running.manager.read_receipt(&receipt).await.unwrap_err();
    assert!(told.message().contains("damaged"), "{told}");
    assert!(running.manager.list_inhibitors().await.is_ok());
}
