//! What policy demands of passwords and of the age of a session.

use std::sync::atomic::Ordering;

use mooring_api::{ChangePasswordOptions, Error};
use mooringd::published::Published;

use crate::world::*;

const DAY: u64 = 24 * 60 * 60;
const RIGHT: &str = "right-password";

fn rule(demand: &str) -> String {
    format!(
        "[organisation]\nname = \"Example School\"\ncontact = \"help@example.org\"\n[[rule]]\n\
         name = \"care\"\nreason = \"Devices get lost.\"\n{demand}\n"
    )
}

async fn demand(world: &World, running: &Running, demand: &str) {
    world.write_policy(&rule(demand));
    running.manager.reload().await.unwrap();
}

fn pass(world: &World, seconds: u64) {
    world.clock.0.fetch_add(seconds, Ordering::SeqCst);
}

async fn prove(running: &Running, password: &str) -> Result<(), Error> {
    let account = running.account().await;
    account.reauthenticate(piped(password).into()).await
}

async fn needs_proof(running: &Running) {
    let waits = |p: &Published| {
        let detail = |view: &mooringd::published::AccountView| view.account.state.detail();
        p.accounts
            .values()
            .all(|view| detail(view) == "reauthenticate")
    };
    running.until("the session ends", waits).await;
}

async fn state(running: &Running) -> String {
    running.account().await.state().await.unwrap()
}

#[tokio::test]
async fn a_new_identity_has_a_password_that_is_long_enough() {
    let world = World::new();
    let running = world.start().await;
    // The code's reader stays: it is written after the call was answered.
    let sign_in = async |password| {
        let (code, options) = new_identity(password);
        let answer = running.manager.sign_in("local", "alice", options).await;
        (code, answer)
    };
    let short = sign_in("seven c").await.1.unwrap_err();
    assert_eq!(short.kind(), "InvalidArgument");
    assert!(short.message().contains("8 characters"), "{short}");
    demand(&world, &running, "password-min-length = 15").await;
    let short = sign_in(RIGHT).await.1.unwrap_err();
    for part in [
        "15 characters",
        "Example School",
        "Devices get lost",
        "help@",
    ] {
        assert!(short.message().contains(part), "{part}: {short}");
    }
    // Nothing was begun, and the storage is as it was.
    assert!(running.broker.published.borrow().accounts.is_empty());
    assert!(world.fake.effects().is_empty());
    let (_code, answer) = sign_in("fifteen letters").await;
    let job = number(&answer.unwrap());
    assert!(running.ended(job).await.outcome.success);

    let change = |new: &str| ChangePasswordOptions {
        password: Some(piped("fifteen letters").into()),
        new_password: Some(piped(new).into()),
    };
    let account = running.account().await;
    let short = account.change_password(change(RIGHT)).await.unwrap_err();
    assert!(short.message().contains("15 characters"), "{short}");
    account
        .change_password(change("sixteen letters!"))
        .await
        .unwrap();
    running.stop().await;

    // An identity that is there already signs in with the password that it has.
    world.write_policy(&rule("password-min-length = 100"));
    let running = world.start().await;
    let number = running.sign_out(Some("sixteen letters!"), &[]).await;
    assert!(running.ended(number).await.outcome.success);
    let options = mooring_api::SignInOptions {
        password: Some(piped("sixteen letters!").into()),
        ..known_identity()
    };
    let path = running.manager.sign_in("local", "alice", options).await;
    let number = crate::world::number(&path.unwrap());
    assert!(running.ended(number).await.outcome.success);
}

#[tokio::test]
async fn fewer_tries_and_longer_waits_and_always_a_next_time() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let strict = "password-tries = 0\npassword-delay = \"1h\"";
    demand(&world, &running, strict).await;
    let mut waited = Vec::new();
    for _ in 0..14 {
        let wrong = prove(&running, "wrong").await.unwrap_err();
        assert_eq!(wrong.kind(), "IncorrectPassword", "{wrong}");
        let soon = prove(&running, RIGHT).await.unwrap_err();
        assert_eq!(soon.kind(), "TooManyAttempts", "{soon}");
        let id = &running.broker.store.accounts().unwrap()[0].storage_id;
        let counted = running.broker.store.attempts(id).unwrap();
        waited.push(counted.not_before - counted.last_failure);
        pass(&world, waited[waited.len() - 1]);
    }
    assert_eq!(waited[..3], [2, 4, 8]);
    assert_eq!(waited[11..], [3600; 3]);
    prove(&running, RIGHT).await.unwrap();
    // A rule that is lifted lifts the wait.
    for _ in 0..2 {
        prove(&running, "wrong").await.unwrap_err();
        pass(&world, 2);
    }
    prove(&running, RIGHT).await.unwrap_err();
    demand(&world, &running, "password-tries = 3").await;
    prove(&running, RIGHT).await.unwrap();
}

#[tokio::test]
async fn a_session_that_is_too_old_rests_until_the_person_proves_who_they_are() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    pass(&world, 30 * DAY);
    // Nobody asked for it until now.
    assert_eq!(state(&running).await, "active");
    demand(&world, &running, "session-max-age = \"30d\"").await;
    needs_proof(&running).await;
    world.fake.effects();
    let account = running.account().await;
    let message = account.state_message().await.unwrap();
    for part in [
        "mooringctl reauthenticate alice",
        "Example School",
        "Devices get lost",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let files = running.files().await;
    assert_eq!(files.sync().await.unwrap_err().kind(), "ReauthRequired");
    let backup = files.backup(b"/mnt/backup").await;
    assert_eq!(backup.unwrap_err().kind(), "ReauthRequired");
    // Looking is free, and takes no file anywhere.
    let look = number(&files.verify().await.unwrap());
    assert!(running.ended(look).await.outcome.success);
    assert_eq!(state(&running).await, "needs-attention");
    assert_eq!(world.fake.effects(), ["check"]);
    running.stop().await;

    let running = world.start().await;
    needs_proof(&running).await;
    assert_eq!(
        prove(&running, "wrong").await.unwrap_err().kind(),
        "IncorrectPassword"
    );
    assert_eq!(state(&running).await, "needs-attention");
    prove(&running, RIGHT).await.unwrap();
    assert_eq!(state(&running).await, "active");
    let job = number(&running.files().await.sync().await.unwrap());
    assert!(running.ended(job).await.outcome.success);
}

#[tokio::test]
async fn a_clock_that_is_set_back_lengthens_no_session() {
    let world = World::new();
    world.write_policy(&rule("session-max-age = \"30d\""));
    let mut running = world.start().await;
    running.signed_in().await;
    // Each time most of the days that passed are hidden from the wall clock.
    for _ in 0..3 {
        pass(&world, 9 * DAY);
        running.manager.reload().await.unwrap();
        let files = running.files().await;
        assert!(
            running
                .ended(number(&files.sync().await.unwrap()))
                .await
                .outcome
                .success
        );
        running.stop().await;
        world.clock.0.fetch_sub(8 * DAY, Ordering::SeqCst);
        running = world.start().await;
        assert_eq!(state(&running).await, "active");
    }
    pass(&world, 3 * DAY);
    let refused = running.files().await.sync().await.unwrap_err();
    assert_eq!(refused.kind(), "ReauthRequired");
    prove(&running, RIGHT).await.unwrap();
    pass(&world, 30 * DAY - 1);
    running.files().await.sync().await.unwrap();
}

#[tokio::test]
async fn what_is_too_old_leaves_all_the_same_and_a_lifted_rule_wakes_it() {
    let world = World::new();
    world.write_policy(&rule("session-max-age = \"1h\""));
    world.write_settings("[sync]\ncontinuous = true\n");
    let running = world.start().await;
    running.signed_in().await;
    pass(&world, 3600);
    world.fake.change();
    needs_proof(&running).await;
    demand(&world, &running, "session-max-age = \"2h\"").await;
    running
        .until("it works again", |p| {
            p.accounts
                .values()
                .all(|v| v.account.state.name() == "active")
        })
        .await;
    pass(&world, 3600);
    running.manager.reload().await.unwrap();
    needs_proof(&running).await;
    let number = running.sign_out(Some(RIGHT), &[]).await;
    assert!(running.ended(number).await.outcome.success);
    assert!(running.broker.published.borrow().accounts.is_empty());
}
