use std::sync::atomic::Ordering;
use std::time::Duration;

use mooring_api::{Error, SignInOptions};
use mooring_core::account::State;
use mooring_wire::Error as Wire;
use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::fdo::ObjectManagerProxy;

use mooringd::published::JobState;

use crate::worker::Act;
use crate::world::*;

#[tokio::test]
async fn a_new_identity_is_made_and_its_code_comes_out_once() {
    let world = World::new();
    let running = world.start().await;
    let found = running
        .manager
        .inspect("local", known_identity())
        .await
        .unwrap();
    assert!(!found.exists);
    assert_eq!(found.warnings, ["same disk"]);
    running.signed_in().await;
    assert_eq!(
        world.fake.effects(),
        ["create_identity", "created", "sign_in"]
    );
    let account = running.account().await;
    assert_eq!(account.state().await.unwrap(), "active");
    assert_eq!(account.identity().await.unwrap(), "alice");
    assert_eq!(account.storage().await.unwrap(), STORAGE);
    assert_eq!(account.job().await.unwrap().as_str(), "/");
    let files = running.files().await;
    let collections = files.collections().await.unwrap();
    assert_eq!(collections[0].items, 5);
    assert!(collections[0].root.ends_with(b"/Accounts/alice/Photos"));
    assert_eq!(files.last_sync().await.unwrap(), 77);
    let found = running
        .manager
        .inspect("local", known_identity())
        .await
        .unwrap();
    assert_eq!((found.exists, found.identity.as_str()), (true, "alice"));
    assert!(
        found.collections[1]
            .root
            .ends_with(b"/Accounts/alice/Documents")
    );
}

#[tokio::test]
async fn the_bus_tells_objects_properties_and_the_end() {
    let world = World::new();
    let running = world.start().await;
    let objects = ObjectManagerProxy::new(&running.client, "org.mooring1", "/org/mooring1")
        .await
        .unwrap();
    let mut added = objects.receive_interfaces_added().await.unwrap();
    world.fake.next("sign_in", Act::Hang);
    let (_code, options) = new_identity("right-password");
    let path = running
        .manager
        .sign_in("local", "alice", options)
        .await
        .unwrap();
    let mut names = Vec::new();
    // The account's object with all that it has, and the job's.
    for _ in 0..2 {
        let signal = added.next().await.unwrap();
        let args = signal.args().unwrap();
        names.extend(
            args.interfaces_and_properties
                .keys()
                .map(ToString::to_string),
        );
    }
    names.sort();
    assert_eq!(
        names,
        [
            "org.mooring1.Account",
            "org.mooring1.Account.Devices",
            "org.mooring1.Account.Files",
            "org.mooring1.Job"
        ]
    );
    let job = running.job(number(&path)).await;
    let mut finished = job.receive_finished().await.unwrap();
    let mut states = job.receive_state_changed().await;
    world.fake.hanging().await;
    assert_eq!(job.kind().await.unwrap(), "sign-in");
    assert_eq!(job.stage().await.unwrap(), "authorised");
    job.cancel().await.unwrap();
    let outcome = finished.next().await.unwrap().args().unwrap().outcome;
    assert_eq!(outcome.error, "Cancelled");
    loop {
        if next(&mut states).await.get().await.unwrap() == "finished" {
            break;
        }
    }
    assert_eq!(
        world.fake.effects(),
        ["create_identity", "created", "sign_in", "abandon"]
    );
    assert!(running.broker.published.borrow().accounts.is_empty());
    assert!(running.broker.store.accounts().unwrap().is_empty());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_made() {
    let world = World::new();
    let running = world.start().await;
    let refused = async |identity: &str, options: SignInOptions| {
        running
            .manager
            .sign_in("local", identity, options)
            .await
            .unwrap_err()
    };
    let no_consent = SignInOptions {
        password: Some(piped("long enough").into()),
        ..known_identity()
    };
    assert!(
        refused("alice", no_consent)
            .await
            .message()
            .contains("--create")
    );
    let no_code = SignInOptions {
        create: Some(true),
        password: Some(piped("long enough").into()),
        ..known_identity()
    };
    assert!(
        refused("alice", no_code)
            .await
            .message()
            .contains("recovery code")
    );
    let no_password = SignInOptions {
        create: Some(true),
        ..known_identity()
    };
    assert!(
        refused("alice", no_password)
            .await
            .message()
            .contains("password")
    );
    let empty = SignInOptions {
        password: Some(piped("\n").into()),
        ..known_identity()
    };
    assert_eq!(refused("alice", empty).await.kind(), "InvalidArgument");
    assert_eq!(
        refused("../alice", known_identity()).await.kind(),
        "InvalidArgument"
    );
    world.fake.state().not_empty = vec!["photos".into()];
    let (_code, options) = new_identity("right-password");
    let error = refused("alice", options).await;
    assert!(
        error.message().contains("--adopt") && error.message().contains("Photos"),
        "{error:?}"
    );
    assert!(
        running
            .manager
            .sign_in("nextcloud", "a", known_identity())
            .await
            .is_err()
    );
    assert!(world.fake.effects().is_empty());
    assert!(running.broker.published.borrow().jobs.is_empty());
}

#[tokio::test]
async fn without_a_reader_of_the_code_no_identity_is_made() {
    let world = World::new();
    let running = world.start().await;
    let (code, options) = new_identity("right-password");
    drop(code);
    let path = running
        .manager
        .sign_in("local", "alice", options)
        .await
        .unwrap();
    let job = running.ended(number(&path)).await;
    assert_eq!(job.outcome.error, "InvalidArgument");
    assert!(world.fake.effects().is_empty());
    assert!(running.broker.published.borrow().accounts.is_empty());
}

async fn signed_out_again(world: &World) -> Running {
    let running = world.start().await;
    running.signed_in().await;
    let number = running.sign_out(Some("right-password"), &[]).await;
    assert!(running.ended(number).await.outcome.success);
    world.fake.effects();
    running
}

#[tokio::test]
async fn a_wrong_password_is_asked_for_again_and_slowed_down() {
    let world = World::new();
    let running = signed_out_again(&world).await;
    let options = SignInOptions {
        password: Some(piped("wrong\n").into()),
        ..known_identity()
    };
    let path = running
        .manager
        .sign_in("local", "alice", options)
        .await
        .unwrap();
    let job = running.job(number(&path)).await;
    running.blocked(number(&path), "IncorrectPassword").await;
    for _ in 0..3 {
        let error = job.authenticate(piped("wrong").into()).await.unwrap_err();
        assert_eq!(error.kind(), "IncorrectPassword");
    }
    let now = world.clock.0.load(Ordering::SeqCst);
    assert_eq!(job.blocked().await.unwrap().next_attempt, now + 2);
    let error = job
        .authenticate(piped("right-password").into())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "TooManyAttempts");
    assert!(matches!(
        job.retry(Default::default()).await,
        Err(Error::InvalidArgument(_))
    ));
    assert!(world.fake.effects().is_empty());
    world.clock.0.fetch_add(2, Ordering::SeqCst);
    job.authenticate(piped("right-password").into())
        .await
        .unwrap();
    assert!(running.ended(number(&path)).await.outcome.success);
    assert_eq!(world.fake.effects(), ["sign_in"]);
}

#[tokio::test]
async fn wrong_passwords_do_not_keep_a_sign_in_waiting() {
    let world = World::new();
    let running = signed_out_again(&world).await;
    let sign_in = running.manager.sign_in("local", "alice", known_identity());
    let begun = number(&sign_in.await.unwrap());
    running.blocked(begun, "ReauthRequired").await;
    later(Duration::from_secs(20 * 60)).await;
    let job = running.job(begun).await;
    let wrong = job.authenticate(piped("wrong").into()).await;
    assert_eq!(wrong.unwrap_err().kind(), "IncorrectPassword");
    later(Duration::from_secs(20 * 60)).await;
    let outcome = running.ended(begun).await.outcome;
    assert_eq!(outcome.error, "Cancelled", "{outcome:?}");
}

/// Lets time pass.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn another_identity_and_a_second_sign_in_are_refused() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let error = running
        .manager
        .sign_in("local", "bob", known_identity())
        .await
        .unwrap_err();
    assert!(error.message().contains("belongs to alice"), "{error:?}");
    let error = running
        .manager
        .sign_in("local", "alice", known_identity())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "Busy");
}

#[tokio::test]
async fn a_hostile_record_is_an_error_and_nothing_more() {
    let world = World::new();
    let running = world.start().await;
    for record in ["x", "version = 9", &"#".repeat(100_000)] {
        world
            .fake
            .state()
            .records
            .insert(STORAGE.to_vec(), record.to_owned());
        let error = running
            .manager
            .sign_in("local", "alice", known_identity())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "Failed");
    }
}

#[tokio::test]
async fn a_sign_in_goes_on_after_a_restart_once_the_password_was_right() {
    let world = World::new();
    let running = world.start().await;
    world.fake.next("sign_in", Act::Hang);
    let (_code, options) = new_identity("right-password");
    running
        .manager
        .sign_in("local", "alice", options)
        .await
        .unwrap();
    world.fake.hanging().await;
    running.stop().await;
    let running = world.start().await;
    running
        .until("active", |p| {
            p.accounts
                .values()
                .any(|v| v.account.state == State::Active)
        })
        .await;
    assert!(running.ended(1).await.outcome.success);
    running.stop().await;
    let running = world.start().await;
    let ended = running.ended(1).await;
    assert!(ended.outcome.success, "its end is remembered: {ended:?}");
    assert_eq!(running.broker.next_job(), 2);
}

/// One whose state cannot be read is given up all the same: what came stays.
#[tokio::test]
async fn a_sign_in_is_undone_without_the_worker_s_state() {
    let world = World::new();
    let running = world.start().await;
    let damaged = || Act::Fail(mooring_wire::Error::StateDamaged("not a database".into()));
    world.fake.next("sign_in", damaged());
    world.fake.next("abandon", damaged());
    let (_code, options) = new_identity("right-password");
    let manager = &running.manager;
    let path = manager.sign_in("local", "alice", options).await.unwrap();
    let number = number(&path);
    let blocked = |job: &mooringd::published::JobView| job.state == JobState::Blocked;
    running.job_until(number, blocked).await;
    running.job(number).await.cancel().await.unwrap();
    assert_eq!(running.ended(number).await.outcome.error, "Cancelled");
    assert!(running.broker.published.borrow().accounts.is_empty());
}

#[tokio::test]
async fn a_sign_in_before_the_password_is_gone_after_a_restart() {
    let world = World::new();
    let running = signed_out_again(&world).await;
    let path = running
        .manager
        .sign_in("local", "alice", known_identity())
        .await
        .unwrap();
    running.blocked(number(&path), "ReauthRequired").await;
    running.stop().await;
    let running = world.start().await;
    let published = running.broker.published.borrow();
    assert!(published.accounts.is_empty());
    let over =
        |job: &mooringd::published::JobView| job.state == mooringd::published::JobState::Finished;
    assert!(published.jobs.values().all(|job| over(job)));
}

#[tokio::test]
async fn trouble_blocks_a_sign_in_and_a_refusal_ends_it() {
    let world = World::new();
    let running = world.start().await;
    world.fake.next("sign_in", Act::Die);
    world.fake.next(
        "sign_in",
        Act::Fail(Wire::StorageGone("not mounted".into())),
    );
    world.fake.next(
        "sign_in",
        Act::Fail(Wire::Refused("inside one another".into())),
    );
    let (_code, options) = new_identity("right-password");
    let path = running
        .manager
        .sign_in("local", "alice", options)
        .await
        .unwrap();
    let blocked = running.blocked(number(&path), "Offline").await.blocked;
    assert_eq!(blocked.message, "not mounted");
    running
        .job(number(&path))
        .await
        .retry(Default::default())
        .await
        .unwrap();
    let outcome = running.ended(number(&path)).await.outcome;
    assert_eq!(outcome.error, "InvalidArgument");
    assert!(world.fake.effects().ends_with(&["abandon".to_owned()]));
}

/// Without an account nothing but the sign-in starts a worker.
#[tokio::test]
async fn a_worker_that_dies_as_it_starts_is_followed_by_another() {
    let world = World::new();
    let running = world.start().await;
    world.fake.next("hello", Act::Die);
    running.signed_in().await;
}

#[tokio::test]
async fn a_worker_that_never_starts_is_told() {
    let world = World::new();
    let running = world.start().await;
    world.fake.next("hello", Act::Die);
    world.fake.next("hello", Act::Die);
    let (_code, options) = new_identity("right-password");
    let told = running
        .manager
        .sign_in("local", "alice", options)
        .await
        .unwrap_err();
    assert_eq!(told.kind(), "Failed");
    assert!(told.message().starts_with("the worker ended as"), "{told}");
}

#[tokio::test]
async fn an_identity_that_a_dying_worker_made_is_recognised() {
    let world = World::new();
    let running = world.start().await;
    world.fake.next("created", Act::Die);
    running.signed_in().await;
    let calls = world.fake.effects();
    assert_eq!(
        calls,
        ["create_identity", "created", "create_identity", "sign_in"]
    );
}

/// A connection that sees every message, with copies of the descriptors in it.
async fn monitor(world: &World) -> zbus::Connection {
    let monitor = world.connect().await;
    let rules: Vec<String> = Vec::new();
    let bus = "org.freedesktop.DBus";
    let interface = Some("org.freedesktop.DBus.Monitoring");
    let path = "/org/freedesktop/DBus";
    monitor
        .call_method(Some(bus), path, interface, "BecomeMonitor", &(rules, 0_u32))
        .await
        .unwrap();
    monitor
}

#[tokio::test]
async fn the_code_ends_with_its_line_whoever_else_holds_the_pipe() {
    use std::io::{BufRead, BufReader, Read};
    let world = World::new();
    let running = world.start().await;
    let monitor = monitor(&world).await;
    let mut seen = zbus::MessageStream::from(&monitor);
    let (code, options) = new_identity("right-password");
    let path = running.manager.sign_in("local", "alice", options).await;
    let job = running.ended(number(&path.unwrap())).await;
    assert!(job.outcome.success, "{:?}", job.outcome);
    // What carried the pipe is kept by the monitor: there is no end, but there is the line.
    let kept = loop {
        let message = next(&mut seen).await.unwrap();
        let member = message.header().member().map(ToString::to_string);
        if member.as_deref() == Some("SignIn") {
            break message;
        }
    };
    let mut code = BufReader::new(std::fs::File::from(code));
    let mut line = String::new();
    code.read_line(&mut line).unwrap();
    assert_eq!(line.split_whitespace().count(), 12);
    // The daemon has closed its own copy: with the last other one gone, there is the end.
    drop((kept, seen));
    monitor.close().await.unwrap();
    let mut rest = String::new();
    code.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}
