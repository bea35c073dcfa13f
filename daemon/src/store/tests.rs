#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::os::unix::fs::PermissionsExt;

use mooring_core::account::State;
use mooring_core::collection::Collection;

use super::*;
use crate::account::Chosen;
use crate::jobs::ended::{MAX_REMEMBERED, REMEMBERED_SECONDS};
use crate::jobs::journal::Work;

fn account() -> Account {
    Account {
        id: "a1".into(),
        provider: "local".into(),
        identity: "alice".into(),
        storage: b"/mnt/\xff".to_vec(),
        storage_id: "07".into(),
        sign_in_id: "s".into(),
        device: "laptop".into(),
        collections: vec![Chosen {
            collection: Collection::Photos,
            root: b"/home/p".to_vec(),
        }],
        adopt: false,
        record: String::new(),
        signed_in_at: 1,
        state: State::Active,
        message: String::new(),
        paused: false,
        last_backup: None,
        backup_begun: 0,
    }
}

fn entry(number: u64) -> Entry {
    Entry {
        number,
        account: "a1".into(),
        uid: 1000,
        work: Work::Sync,
    }
}

fn ended(number: u64) -> Ended {
    Ended {
        number,
        kind: "sync".into(),
        account: "a1".into(),
        uid: 1000,
        stage: "synced".into(),
        when: 1000,
        outcome: mooring_api::JobOutcome {
            success: true,
            pending: vec![b"/home/\xff".to_vec()],
            ..Default::default()
        },
    }
}

#[test]
fn ends_are_remembered_within_bounds_and_a_damaged_one_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    let store = Store::open(&path).unwrap();
    let most = u64::from(MAX_REMEMBERED);
    for number in 1..=most + 2 {
        store.save(&account(), &entry(number)).unwrap();
        store.end_job(&account(), &ended(number)).unwrap();
    }
    let numbers = |now: u64| -> Vec<u64> {
        let kept = store.ended(now).unwrap();
        kept.into_iter().map(|ended| ended.number).collect()
    };
    assert_eq!(numbers(1000), (3..=most + 2).collect::<Vec<_>>());
    assert_eq!(store.ended(1000).unwrap()[0], ended(3));
    // A clock that was set back hides nothing.
    assert_eq!(numbers(0).len(), MAX_REMEMBERED as usize);
    assert!(numbers(1000 + REMEMBERED_SECONDS).is_empty());
    let other = rusqlite::Connection::open(&path).unwrap();
    let spoil = "UPDATE finished SET outcome = x'ff0000ff' WHERE number < 100";
    other.execute(spoil, []).unwrap();
    assert_eq!(numbers(1000)[0], 100);
    store.save(&account(), &entry(most + 3)).unwrap();
    store.forget("a1", &ended(most + 3)).unwrap();
    assert_eq!(numbers(1000), [most + 3]);
}

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    let store = Store::open(&path).unwrap();
    store.save(&account(), &entry(7)).unwrap();
    store.save_job(&entry(7)).unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    assert!(store.accounts().unwrap() == [account()]);
    assert_eq!(store.jobs().unwrap(), [entry(7)]);
    store.forget("a1", &ended(7)).unwrap();
    for name in ["broker.db", "broker.db-wal"] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        assert!(!bytes.windows(5).any(|w| w == b"alice"), "{name}");
    }
    assert!(store.accounts().unwrap().is_empty() && store.jobs().unwrap().is_empty());
    assert_eq!(store.last_job().unwrap(), 7);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        assert_eq!(
            entry.unwrap().metadata().unwrap().permissions().mode() & 0o077,
            0
        );
    }
}

#[test]
fn one_job_of_an_account_and_no_job_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("broker.db")).unwrap();
    assert!(store.save_job(&entry(1)).is_err());
    store.save(&account(), &entry(1)).unwrap();
    assert!(store.save_job(&entry(2)).is_err());
    assert_eq!(store.last_job().unwrap(), 1);
    store.end_job(&account(), &ended(1)).unwrap();
    store.save_job(&entry(2)).unwrap();
}

#[test]
fn a_newer_state_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    drop(Store::open(&path).unwrap());
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 2)
        .unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Newer(2))));
    std::fs::write(
        &path,
        "this is no database, but long enough to be taken for one",
    )
    .unwrap();
    assert!(Store::open(&path).is_err());
}
