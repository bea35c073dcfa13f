#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::os::unix::fs::PermissionsExt;

use mooring_core::account::State;
use mooring_core::collection::Collection;

use super::*;
use crate::account::Chosen;
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
    store.forget("a1", 7).unwrap();
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
    store.end_job(&account(), 1).unwrap();
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
