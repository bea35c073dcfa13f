#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::os::unix::fs::PermissionsExt;

use mooring_core::account::State;
use mooring_core::collection::Collection;

use super::*;
use crate::account::Chosen;
use crate::jobs::ended::{MAX_REMEMBERED, REMEMBERED_SECONDS};
use crate::jobs::journal::Work;

pub(crate) fn account() -> Account {
    Account {
        id: "a1".into(),
        provider: "local".into(),
        identity: "alice".into(),
        storage: b"/mnt/\xff".to_vec(),
        storage_id: "07".into(),
        sign_in_id: "s".into(),
        device: "laptop".into(),
        left_with: String::new(),
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
        forgetting: None,
    }
}

pub(crate) fn entry(number: u64) -> Entry {
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
        .pragma_update(None, "user_version", 3)
        .unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Newer(3))));
    std::fs::write(
        &path,
        "this is no database, but long enough to be taken for one",
    )
    .unwrap();
    assert!(Store::open(&path).is_err());
}

#[test]
fn a_state_from_before_there_were_seals_is_sealed_once_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(schema::TABLES).unwrap();
    old.execute_batch(schema::ADDED).unwrap();
    let text = |value: serde_json::Result<String>| value.unwrap();
    let (account, job) = (account(), entry(7));
    let data = text(serde_json::to_string(&account));
    old.execute("INSERT INTO account VALUES ('a1', ?1)", [data])
        .unwrap();
    let data = text(serde_json::to_string(&job));
    old.execute("INSERT INTO job VALUES (7, 'a1', ?1)", [data])
        .unwrap();
    old.execute_batch(
        "INSERT INTO attempts VALUES ('07', 3, 20, 40); INSERT INTO session VALUES ('a1', 5, 6);
         INSERT INTO last_good_policy VALUES (1, '[]'); UPDATE counter SET last_job = 9;
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    for _ in 0..2 {
        let store = Store::open(&path).unwrap();
        assert!(store.accounts().unwrap() == [account.clone()]);
        assert_eq!(store.jobs().unwrap(), [entry(7)]);
        assert_eq!(store.last_job().unwrap(), 9);
        assert_eq!(store.attempts("07").unwrap().failures, 3);
        assert_eq!(store.session("a1").unwrap().unwrap().age, 5);
        assert_eq!(store.last_good_policy().unwrap(), Some(Vec::new()));
        assert_eq!(store.check().unwrap(), None);
    }
}

#[test]
fn a_row_that_says_something_else_is_refused_at_the_start_and_found_by_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    let store = Store::open(&path).unwrap();
    store.save(&account(), &entry(1)).unwrap();
    let tries = Attempts {
        failures: 7,
        last_failure: 1,
        not_before: 9,
    };
    store.save_attempts("07", tries).unwrap();
    drop(store);
    let changes = [
        (
            "UPDATE account SET data = replace(data, '\"paused\":false', '\"paused\":true')",
            "account",
        ),
        (
            "UPDATE account SET data = replace(data, 'alice', 'alicf')",
            "account",
        ),
        ("UPDATE job SET number = 3", "job"),
        ("UPDATE attempts SET failures = 3", "password tries"),
        ("UPDATE counter SET last_job = 0", "number of the last job"),
    ];
    let good = std::fs::read(&path).unwrap();
    for (change, named) in changes {
        std::fs::write(&path, &good).unwrap();
        let store = Store::open(&path).unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        assert_eq!(other.execute(change, []).unwrap(), 1);
        drop(other);
        assert!(store.check().unwrap().unwrap().contains(named), "{change}");
        drop(store);
        let refused = Store::open(&path).unwrap_err().to_string();
        assert!(
            refused.contains(named) && refused.contains("aside"),
            "{refused}"
        );
    }
}

#[test]
fn tries_elsewhere_push_out_neither_those_of_an_account_here_nor_those_that_are_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("broker.db")).unwrap();
    let tries = |last_failure: u64, not_before: u64| Attempts {
        failures: 9,
        last_failure,
        not_before,
    };
    let mine = account();
    store.save(&mine, &entry(1)).unwrap();
    let code = format!("recovery-code/{}", mine.storage_id);
    let all = rows::MAX_ATTEMPTS as usize;
    let fill = |t: &rusqlite::Transaction<'_>| {
        rows::put_attempts(t, &mine.storage_id, tries(1, 2))?;
        rows::put_attempts(t, &code, tries(1, 2))?;
        rows::put_attempts(t, "waits", tries(3, 5_000))?;
        rows::put_attempts(t, "over", tries(1_000, 1_002))?;
        (4..all).try_for_each(|n| rows::put_attempts(t, &format!("s{n}"), tries(1_001, 5_000)))
    };
    store.commit(fill).unwrap();
    store.save_attempts("new", tries(2_000, 5_000)).unwrap();
    for kept in [&mine.storage_id, &code, "waits", "new"] {
        assert_eq!(store.attempts(kept).unwrap().failures, 9, "{kept}");
    }
    assert_eq!(store.attempts("over").unwrap(), Attempts::default());
    let full = store.save_attempts("newer", tries(2_000, 5_000));
    assert!(matches!(full, Err(Error::TriesFull)));
    // One that is known goes on, also with a clock that was set back.
    store.save_attempts("waits", tries(10, 20)).unwrap();
    assert_eq!(store.attempts("waits").unwrap().not_before, 20);
    assert_eq!(store.check().unwrap(), None);
}

/// A job whose end could not be written down is in nobody's way.
#[test]
fn the_row_of_a_job_that_ended_unseen_makes_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("broker.db")).unwrap();
    store.save(&account(), &entry(1)).unwrap();
    store.save(&account(), &entry(2)).unwrap();
    store.save(&account(), &entry(2)).unwrap();
    let numbers: Vec<u64> = store.jobs().unwrap().iter().map(|job| job.number).collect();
    assert_eq!(numbers, [2]);
}
