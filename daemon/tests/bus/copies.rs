use mooring_api::RestoreOptions;
use mooring_wire::Error as Wire;

use crate::worker::Act;
use crate::world::*;

/// The warnings of a plan made now.
async fn plan(running: &Running) -> String {
    let account = running.account().await;
    let plan = account.plan_sign_out(Default::default()).await.unwrap();
    plan.warnings.join("|")
}

#[tokio::test]
async fn a_backup_is_remembered_over_restarts_and_the_plan_shows_its_age() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let files = running.files().await;
    assert_eq!(files.last_backup().await.unwrap(), Default::default());
    assert!(plan(&running).await.contains("No backup was made."));
    let path = files.backup(b"/mnt/stick").await.unwrap();
    let outcome = running.ended(number(&path)).await.outcome;
    assert!(outcome.success && outcome.copied == 5, "{outcome:?}");
    let folder = String::from_utf8(outcome.path).unwrap();
    assert!(folder.starts_with("/mnt/stick/alice-20"), "{folder}");
    running.stop().await;
    let age = 3 * 24 * 60 * 60 + 5;
    world
        .clock
        .0
        .fetch_add(age, std::sync::atomic::Ordering::SeqCst);
    let running = world.start().await;
    let last = running.files().await.last_backup().await.unwrap();
    assert_eq!((last.path, last.files), (folder.clone().into_bytes(), 5));
    let warnings = plan(&running).await;
    let said = format!(
        "Last backup: 3 days ago to {folder}; 2 files came or changed since and may not be in it."
    );
    assert!(warnings.contains(&said), "{warnings}");
}

#[tokio::test]
async fn what_could_not_be_taken_is_named_and_two_backups_have_two_names() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let files = running.files().await;
    let busy = (b"/home/busy".to_vec(), "is written to".to_owned());
    world.fake.state().missing = vec![busy];
    let first = files.backup(b"/mnt/stick").await.unwrap();
    let first = running.ended(number(&first)).await.outcome;
    assert_eq!((first.success, first.error.as_str()), (false, "Failed"));
    assert_eq!(first.problems[0].path, b"/home/busy");
    assert!(first.message.contains("incomplete"), "{first:?}");
    // One that lacks files is none to count on; its folder's name is taken all the same.
    assert_eq!(files.last_backup().await.unwrap(), Default::default());
    let second = files.backup(b"/mnt/stick").await.unwrap();
    let second = running.ended(number(&second)).await.outcome;
    assert!(second.success && second.path != first.path);
    assert_eq!(second.message, "It is on the disk of the storage.");
    let full = Wire::NoSpace("no room".into());
    world.fake.next("backup", Act::Fail(full));
    let third = files.backup(b"/mnt/stick").await.unwrap();
    assert_eq!(
        running.ended(number(&third)).await.outcome.message,
        "no room"
    );
    assert_eq!(files.last_backup().await.unwrap().path, second.path);
}

#[tokio::test]
async fn a_backup_goes_on_after_a_restart_under_the_same_name_and_can_be_cancelled() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    world.fake.next("backup", Act::Hang);
    let path = running.files().await.backup(b"/mnt/stick").await.unwrap();
    world.fake.hanging().await;
    running.stop().await;
    let begun = running_name(&world);
    let running = world.start().await;
    let outcome = running.ended(number(&path)).await.outcome;
    assert!(outcome.success, "{outcome:?}");
    assert!(outcome.path.ends_with(begun.as_bytes()));
    world.fake.next("backup", Act::Hang);
    let path = running.files().await.backup(b"/mnt/stick").await.unwrap();
    world.fake.hanging().await;
    let job = running.job(number(&path)).await;
    job.cancel().await.unwrap();
    assert_eq!(
        running.ended(number(&path)).await.outcome.error,
        "Cancelled"
    );
}

/// The name in the journal of the one backup under way.
fn running_name(world: &World) -> String {
    let store = mooringd::store::Store::open(&world.folders().state.join("broker.db")).unwrap();
    match store.jobs().unwrap().swap_remove(0).work {
        mooringd::jobs::journal::Work::Copies(mooringd::jobs::copies::Copies::Backup {
            name,
            ..
        }) => name,
        work => panic!("{work:?}"),
    }
}

#[tokio::test]
async fn conflict_copies_are_listed() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let copies = running.files().await.list_conflicts().await.unwrap();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].original, b"/home/a.jpg");
    assert_eq!((copies[0].device.as_str(), copies[0].size), ("d", 3));
}

#[tokio::test]
async fn restore_verify_and_why() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    let files = running.files().await;
    let options = RestoreOptions {
        path: Some(b"Photos/a".to_vec()),
        to: Some(b"/back".to_vec()),
    };
    let job = files.restore(b"/mnt/stick/alice/", options).await.unwrap();
    let outcome = running.ended(number(&job)).await.outcome;
    let counts = (outcome.copied, outcome.conflicts, outcome.adopted);
    assert_eq!((outcome.success, counts), (true, (2, 1, 3)));
    let asked = world.fake.effects().join("|");
    assert!(
        asked.ends_with("restore|/mnt/stick/alice Photos/a /back"),
        "{asked}"
    );
    for path in [&b"../x"[..], b"/x", b"a//b", b"a/"] {
        let options = RestoreOptions {
            path: Some(path.to_vec()),
            to: None,
        };
        let refused = files.restore(b"/mnt/stick", options).await.unwrap_err();
        assert_eq!(refused.kind(), "InvalidArgument");
    }
    let rotten = (b"/home/rotten".to_vec(), "has other bytes".to_owned());
    world.fake.state().missing = vec![rotten];
    let job = files.verify().await.unwrap();
    let outcome = running.ended(number(&job)).await.outcome;
    assert!(
        !outcome.success && outcome.problems_total == 1,
        "{outcome:?}"
    );
    let job = files.verify().await.unwrap();
    assert!(running.ended(number(&job)).await.outcome.success);
    let why = files.why(b"/home/a").await.unwrap();
    assert_eq!((why.state.as_str(), why.read_back_at), ("in-step", 7));
    assert_eq!(files.why(b"a").await.unwrap_err().kind(), "InvalidArgument");
}
