#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::path::Path;

use mooring_core::account::State;
use tempfile::TempDir;

use super::*;
use crate::account::Account;
use crate::sealed::KEY_BYTES;

/// In every record here, and so in nothing that is sealed.
const HASH: &str = "$argon2id$v=19$m=65536,t=3,p=1$c2FsdA$aGFzaA";

fn key(byte: u8) -> Key {
    Key::from_bytes(&[byte; KEY_BYTES]).unwrap()
}

fn account(id: &str) -> Account {
    Account {
        id: id.into(),
        provider: "local".into(),
        identity: "alice".into(),
        storage: b"/mnt".to_vec(),
        storage_id: "07".into(),
        sign_in_id: "s".into(),
        device: "laptop".into(),
        left_with: String::new(),
        collections: Vec::new(),
        adopt: false,
        record: format!("password = \"{HASH}\" # {id}"),
        signed_in_at: 1,
        state: State::Active,
        message: String::new(),
        paused: false,
        last_backup: None,
        backup_begun: 0,
        forgetting: None,
    }
}

fn folder() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    (folder, path)
}

fn open(path: &Path, with: u8) -> Store {
    let store = Store::open(path).unwrap();
    store.use_key(key(with), Place::Credential).unwrap();
    store
}

fn two(path: &Path) -> Store {
    let store = open(path, 1);
    store.save_account(&account("a1")).unwrap();
    store.save_account(&account("a2")).unwrap();
    store
}

/// Whether any file of the state gives the hash away.
fn is_told(folder: &TempDir) -> bool {
    std::fs::read_dir(folder.path()).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(HASH.len()).any(|w| w == HASH.as_bytes())
    })
}

fn change(path: &Path, sql: &str) {
    let other = Connection::open(path).unwrap();
    assert!(other.execute(sql, []).unwrap() > 0, "{sql}");
}

#[test]
fn a_record_is_sealed_and_comes_back() {
    let (folder, path) = folder();
    drop(two(&path));
    assert!(!is_told(&folder));
    // Without a key the accounts are there all the same.
    let store = Store::open(&path).unwrap();
    assert!(
        store
            .accounts()
            .unwrap()
            .iter()
            .all(|a| a.record.is_empty())
    );
    assert!(store.record_locked("a1").unwrap().is_some());
    store.use_key(key(1), Place::Credential).unwrap();
    assert!(store.accounts().unwrap() == [account("a1"), account("a2")]);
    assert_eq!(store.record_locked("a1").unwrap(), None);
}

#[test]
fn records_from_before_are_sealed_at_the_first_key_and_not_earlier() {
    let (folder, path) = folder();
    drop(Store::open(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    let row = serde_json::to_string(&account("a1")).unwrap();
    let row = mooring_core::seal::seal("account", "a1", &row);
    let query = "INSERT INTO account (id, data) VALUES ('a1', ?1)";
    other.execute(query, [row]).unwrap();
    other.pragma_update(None, "user_version", 1).unwrap();
    drop(other);

    let store = Store::open(&path).unwrap();
    // Without a key all goes on as before, but for what is new.
    assert!(store.accounts().unwrap() == [account("a1")]);
    let paused = Account {
        paused: true,
        ..account("a1")
    };
    store.save_account(&paused).unwrap();
    assert!(store.accounts().unwrap() == [paused.clone()]);
    let error = store.save_record("a1", "another").unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(is_told(&folder));

    store.use_key(key(1), Place::Credential).unwrap();
    assert!(store.accounts().unwrap() == [paused.clone()]);
    drop(store);
    assert!(!is_told(&folder), "the file still has what was in it");
    assert!(open(&path, 1).accounts().unwrap() == [paused]);
}

#[test]
fn another_key_opens_nothing_and_changes_nothing() {
    let (_folder, path) = folder();
    drop(two(&path));
    let store = Store::open(&path).unwrap();
    let error = store.use_key(key(2), Place::Credential).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(store.key_place().is_err());
    // What needs no secret can be written, and costs none.
    let paused = Account {
        paused: true,
        record: String::new(),
        ..account("a1")
    };
    store.save_account(&paused).unwrap();
    assert!(store.save_record("a1", "another").is_err());
    drop(store);
    let found = open(&path, 1).accounts().unwrap();
    assert_eq!(found[0].record, account("a1").record);
    assert!(found[0].paused);
}

#[test]
fn a_flipped_bit_locks_one_account_and_no_other() {
    let (_folder, path) = folder();
    drop(two(&path));
    change(
        &path,
        "UPDATE sealed SET secret = CAST(X'00' || substr(secret, 2) AS BLOB) WHERE account = 'a1'",
    );
    let store = open(&path, 1);
    let found = store.accounts().unwrap();
    assert!(found[0].record.is_empty() && found[1] == account("a2"));
    assert!(store.record_locked("a1").unwrap().is_some());
    assert!(store.record_locked("a2").unwrap().is_none());
    // A change of keys loses nothing: it does not begin.
    assert!(store.reseal(key(2), Place::Credential).is_err());
    assert_eq!(store.sealed_by().unwrap().1.as_deref(), Some(key(1).id()));
    assert!(store.accounts().unwrap()[1] == account("a2"));
}

#[test]
fn rows_cannot_stand_in_for_one_another() {
    let (_folder, path) = folder();
    drop(two(&path));
    change(
        &path,
        "UPDATE sealed SET secret = (SELECT secret FROM sealed WHERE account = 'a2')",
    );
    let store = open(&path, 1);
    assert!(store.record_locked("a1").unwrap().is_some());
    assert!(store.record_locked("a2").unwrap().is_none());
}

#[test]
fn a_change_of_keys_is_whole() {
    let (_folder, path) = folder();
    let store = two(&path);
    assert_eq!(store.reseal(key(2), Place::Credential).unwrap(), 2);
    assert!(store.accounts().unwrap() == [account("a1"), account("a2")]);
    drop(store);
    let store = Store::open(&path).unwrap();
    assert!(store.use_key(key(1), Place::Credential).is_err());
    store.use_key(key(2), Place::Credential).unwrap();
    assert!(store.accounts().unwrap() == [account("a1"), account("a2")]);
}

#[test]
fn what_is_forgotten_leaves_nothing_sealed() {
    let (_folder, path) = folder();
    let store = two(&path);
    let connection = store.connection();
    let gone = connection.execute("DELETE FROM account WHERE id = 'a1'", []);
    assert_eq!(gone.unwrap(), 1);
    assert_eq!(
        list(&connection).unwrap(),
        [("a2".into(), "identity-record".into())]
    );
}
