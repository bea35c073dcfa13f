use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use mooring_api::{ChangePasswordOptions, Error, PlanOptions, ResetPasswordOptions};
use mooring_core::identity::{Password, Record};
use mooring_wire::Error as Wire;
use mooringd::published::JobState;

use crate::worker::Act;
use crate::world::*;

const NEW: &str = "a new password";
const NEWER: &str = "a newer password";

fn change(old: &str, new: &str) -> ChangePasswordOptions {
    ChangePasswordOptions {
        password: Some(piped(old).into()),
        new_password: Some(piped(new).into()),
    }
}

/// Options, and where the new code comes.
fn reset(code: &str, new: &str) -> (OwnedFd, ResetPasswordOptions) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let options = ResetPasswordOptions {
        recovery_code: Some(piped(code).into()),
        new_password: Some(piped(new).into()),
        new_recovery_code: Some(writer.into()),
    };
    (reader, options)
}

/// Signs in, and answers the recovery code.
async fn ready(world: &World) -> (Running, String) {
    let running = world.start().await;
    let (code, options) = new_identity("right-password");
    let job = running.manager.sign_in("local", "alice", options).await;
    let job = running.ended(number(&job.unwrap())).await;
    assert!(job.outcome.success, "{:?}", job.outcome);
    world.fake.effects();
    (running, written(code))
}

fn stored(world: &World) -> Record {
    Record::parse(&world.fake.state().records[STORAGE]).unwrap()
}

fn opens(record: &Record, password: &str) -> bool {
    let password = Password::new(password.as_bytes().to_vec()).unwrap();
    record.check_password(&password).unwrap()
}

/// Whether the broker's own copies, the durable one as well, are the storage's.
fn assert_known(world: &World, running: &Running) {
    let text = stored(world).to_toml().unwrap();
    let published = running.broker.published.borrow();
    assert_eq!(
        published.accounts.values().next().unwrap().account.record,
        text
    );
    assert_eq!(running.broker.store.accounts().unwrap()[0].record, text);
}

async fn change_by(running: &Running, old: &str, new: &str) -> Result<(), Error> {
    running
        .account()
        .await
        .change_password(change(old, new))
        .await
}

#[tokio::test]
async fn a_password_is_changed_by_the_one_that_holds() {
    let world = World::new();
    let (running, _) = ready(&world).await;
    let wrong = change_by(&running, "wrong", NEW).await.unwrap_err();
    assert_eq!(wrong.kind(), "IncorrectPassword");
    for bad in ["seven c", &"x".repeat(1025)] {
        let bad = change_by(&running, "right-password", bad)
            .await
            .unwrap_err();
        assert_eq!(bad.kind(), "InvalidArgument", "{bad}");
    }
    let missing = running.account().await;
    let missing = missing.change_password(ChangePasswordOptions::default());
    assert_eq!(missing.await.unwrap_err().kind(), "InvalidArgument");
    assert_eq!(stored(&world).generation, 1);
    change_by(&running, "right-password", NEW).await.unwrap();
    assert_eq!(stored(&world).generation, 2);
    assert!(opens(&stored(&world), NEW) && !opens(&stored(&world), "right-password"));
    assert_known(&world, &running);
    assert_eq!(world.fake.effects(), ["replace_identity", "replaced"]);
    let number = running.sign_out(Some(NEW), &[]).await;
    assert!(running.ended(number).await.outcome.success);
}

#[tokio::test]
async fn settings_can_ask_for_longer_passwords() {
    let world = World::new();
    let (running, _) = ready(&world).await;
    let folder = world.folders().config;
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mooring.toml"), "[password]\nmin-length = 15\n").unwrap();
    running.manager.reload().await.unwrap();
    let short = change_by(&running, "right-password", NEW)
        .await
        .unwrap_err();
    assert!(short.message().contains("15 characters"), "{short}");
    change_by(&running, "right-password", NEWER).await.unwrap();
}

#[tokio::test]
async fn a_forgotten_password_is_reset_once_by_the_code() {
    let world = World::new();
    let (running, code) = ready(&world).await;
    let account = running.account().await;
    // Wrong passwords do not slow the code down, and are forgiven afterwards.
    for _ in 0..4 {
        change_by(&running, "wrong", NEW).await.unwrap_err();
    }
    let shouted = format!("  {}  ", code.to_uppercase().replace(' ', "\t "));
    let (fd, options) = reset(&shouted, NEW);
    account.reset_password(options).await.unwrap();
    let next = written(fd);
    assert_eq!(next.split_whitespace().count(), 12);
    assert_ne!(next, code);
    assert_known(&world, &running);
    assert_eq!(stored(&world).generation, 2);
    change_by(&running, NEW, NEWER).await.unwrap();
    let (fd, options) = reset(&code, NEW);
    let used = account.reset_password(options).await.unwrap_err();
    assert_eq!(used.kind(), "IncorrectPassword");
    assert!(used.message().contains("recovery code"), "{used}");
    assert_eq!(written(fd), "", "no code for a wrong one");
    let (_fd, options) = reset(&next, "short");
    let short = account.reset_password(options).await.unwrap_err();
    assert_eq!(short.kind(), "InvalidArgument");
    let (_fd, options) = reset(&next, NEW);
    account.reset_password(options).await.unwrap();
}

#[tokio::test]
async fn wrong_codes_are_counted_apart_and_over_a_restart() {
    let world = World::new();
    let (running, code) = ready(&world).await;
    let other = "abandon ".repeat(11) + "about";
    for _ in 0..4 {
        let (_fd, options) = reset(&other, NEW);
        let wrong = running.account().await.reset_password(options).await;
        assert_eq!(wrong.unwrap_err().kind(), "IncorrectPassword");
    }
    let (_fd, options) = reset("abandon abandon", NEW);
    let no_code = running.account().await.reset_password(options).await;
    assert_eq!(no_code.unwrap_err().kind(), "InvalidArgument");
    running.stop().await;
    let running = world.start().await;
    let (_fd, options) = reset(&code, NEW);
    let soon = running.account().await.reset_password(options).await;
    assert_eq!(soon.unwrap_err().kind(), "TooManyAttempts");
    change_by(&running, "right-password", NEW).await.unwrap();
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_sign_out_lets_the_same_job_go_on() {
    let world = World::new();
    let (running, code) = ready(&world).await;
    let number = running.sign_out(Some("wrong"), &[]).await;
    let job = running.blocked(number, "IncorrectPassword").await;
    let way_out = "mooringctl password forgot alice";
    assert!(job.blocked.message.contains(way_out), "{:?}", job.blocked);
    let (fd, options) = reset(&code, NEW);
    running
        .account()
        .await
        .reset_password(options)
        .await
        .unwrap();
    written(fd);
    let job = running.job(number).await;
    let old = job
        .authenticate(piped("right-password").into())
        .await
        .unwrap_err();
    assert_eq!(old.kind(), "IncorrectPassword");
    assert_known(&world, &running);
    world
        .fake
        .next("drain", Act::Fail(Wire::NoSpace("full".into())));
    job.authenticate(piped(NEW).into()).await.unwrap();
    running.blocked(number, "Failed").await;
    // The job wrote the account down since, and did not bring the old record back.
    assert_known(&world, &running);
    job.retry(Default::default()).await.unwrap();
    let done = running.ended(number).await;
    assert!(done.outcome.success, "{:?}", done.outcome);
    assert_eq!(done.state, JobState::Finished);
}

#[tokio::test]
async fn what_another_device_changed_holds_here_and_an_older_record_does_not() {
    let world = World::new();
    let (running, _) = ready(&world).await;
    let first = stored(&world).to_toml().unwrap();
    change_by(&running, "right-password", NEW).await.unwrap();
    let second = stored(&world).to_toml().unwrap();
    let words = async || {
        let account = running.account().await;
        let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
        let about = |word: &String| word.contains("identity record");
        plan.warnings.into_iter().filter(about).collect::<Vec<_>>()
    };
    assert!(words().await.is_empty());
    let put = |text: &str| {
        world
            .fake
            .state()
            .records
            .insert(STORAGE.to_vec(), text.to_owned())
    };
    put(&first);
    assert!(words().await[0].contains("older"));
    let back = change_by(&running, "right-password", NEWER)
        .await
        .unwrap_err();
    assert_eq!(back.kind(), "IncorrectPassword", "{back}");
    assert_eq!(stored(&world).to_toml().unwrap(), first);
    world.clock.0.fetch_add(3_600, Ordering::SeqCst);
    let number = running.sign_out(Some("right-password"), &[]).await;
    running.blocked(number, "IncorrectPassword").await;
    running.job(number).await.cancel().await.unwrap();
    running.ended(number).await;
    // Another device goes on from the second.
    let other = Record::parse(&second).unwrap();
    let password = Password::new(NEWER.as_bytes().to_vec()).unwrap();
    let cost = mooring_core::identity::Cost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    let third = other.with_password(&password, &[5; 16], cost).unwrap();
    put(&third.to_toml().unwrap());
    let number = running.sign_out(Some(NEW), &[]).await;
    running.blocked(number, "IncorrectPassword").await;
    assert_known(&world, &running);
    // Out of reach, what is known holds.
    let gone = || Act::Fail(Wire::StorageGone("unplugged".into()));
    world.fake.next("inspect", gone());
    let job = running.job(number).await;
    job.authenticate(piped(NEWER).into()).await.unwrap();
    assert!(running.ended(number).await.outcome.success);
}

/// With the later password there is a way out: a next one takes the place of the earlier record.
#[tokio::test]
async fn a_storage_that_was_set_back_takes_the_next_password() {
    let world = World::new();
    let (running, _) = ready(&world).await;
    let first = stored(&world);
    change_by(&running, "right-password", NEW).await.unwrap();
    let second = stored(&world);
    let text = first.to_toml().unwrap();
    world.fake.state().records.insert(STORAGE.to_vec(), text);
    let doctor = running.manager.diagnose().await.unwrap();
    let told = |d: &&mooring_api::Diagnosis| d.message.contains("old password");
    assert!(doctor.iter().any(|d| told(&d)), "{doctor:?}");
    change_by(&running, NEW, NEWER).await.unwrap();
    assert!(stored(&world).generation > second.generation);
    assert_known(&world, &running);
    let doctor = running.manager.diagnose().await.unwrap();
    assert!(!doctor.iter().any(|d| told(&d)), "{doctor:?}");
}

#[tokio::test]
async fn of_two_devices_at_once_one_starts_again() {
    let world = World::new();
    let (running, code) = ready(&world).await;
    let first = stored(&world);
    let refused = || Act::Fail(Wire::Refused("changed".into()));
    // Refused, although nothing has changed: the daemon says what it heard.
    world.fake.next("replace_identity", refused());
    let failed = change_by(&running, "right-password", NEW)
        .await
        .unwrap_err();
    assert_eq!(failed.kind(), "InvalidArgument");
    assert_eq!(stored(&world), first);
    // The code was out already.
    world.fake.next("replace_identity", refused());
    let (fd, options) = reset(&code, NEW);
    let void = running.account().await.reset_password(options).await;
    let void = void.unwrap_err();
    assert!(void.message().contains("is void"), "{void}");
    assert_eq!(written(fd).split_whitespace().count(), 12);
    assert_eq!(stored(&world), first);
    assert_known(&world, &running);
    // The worker died over it, before and after.
    for step in ["replace_identity", "replaced"] {
        world.fake.next(step, Act::Die);
        let before = stored(&world).generation;
        let (old, new) = if step == "replaced" {
            (NEW, NEWER)
        } else {
            ("right-password", NEW)
        };
        change_by(&running, old, new).await.unwrap();
        assert_eq!(stored(&world).generation, before + 1);
        assert_known(&world, &running);
    }
    // Offline: nothing is tried and nothing counted.
    world
        .fake
        .next("inspect", Act::Fail(Wire::StorageGone("unplugged".into())));
    let offline = change_by(&running, "wrong", NEW).await.unwrap_err();
    assert_eq!(offline.kind(), "Offline");
}
