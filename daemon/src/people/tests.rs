#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::io::{Read, Seek};

use super::*;
use crate::jobs::sign_in::Wanted;
use crate::launch::{Error, Later, Launched};
use crate::store::tests::{account, entry};
use mooring_wire::reach::Reach;

/// Nothing is launched here.
struct Never;

impl Launcher for Never {
    fn launch(&self, _uid: u32, _reach: &Reach) -> Later<'_, Result<Launched, Error>> {
        Box::pin(std::future::pending())
    }
}

/// The device's folders, with files of settings and policy of the test's own.
fn device(base: &Path) -> Folders {
    let config = base.join("config");
    Folders {
        policies: vec![config.join("policy.d")],
        config,
        trusted: false,
        ..Folders::system_below(base, ADMINISTRATOR)
    }
}

fn load(base: &Path) -> Many {
    Many::load_from(base, device(base), Arc::new(Never)).unwrap()
}

fn store(base: &Path, uid: u32) -> Store {
    let folder = base.join(uid.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    Store::open(&folder.join("broker.db")).unwrap()
}

fn save_job(store: &Store, number: u64) {
    store.save(&account(), &entry(number)).unwrap();
}

#[test]
fn who_is_not_known_to_the_system_gets_no_place() {
    let base = tempfile::tempdir().unwrap();
    let many = load(base.path());
    let nobodys = 3_000_000_000;
    assert!(matches!(
        many.broker(nobodys),
        Err(Failure::NotAuthorized(_))
    ));
    assert!(!base.path().join(nobodys.to_string()).exists());
    assert!(many.broker(1).is_ok());
    assert_eq!(many.all().len(), 2);
    // Who never had an account takes no place over a restart.
    drop(many);
    assert_eq!(load(base.path()).all().len(), 1);
}

#[test]
fn numbers_of_jobs_are_nobody_elses() {
    let base = tempfile::tempdir().unwrap();
    save_job(&store(base.path(), 1), 7);
    let damaged = base.path().join("2");
    std::fs::create_dir_all(damaged.join("broker.db")).unwrap();
    let many = load(base.path());
    assert_eq!(many.all().len(), 2, "one person's damage is nobody else's");
    assert_eq!(many.broker(1).unwrap().next_job(), 8);
    assert!(many.broker(2).is_err());
    std::fs::remove_dir(damaged.join("broker.db")).unwrap();
    save_job(&store(base.path(), 2), 8);
    assert!(matches!(many.broker(2), Err(Failure::Internal(_))));
    drop(many);
    assert_eq!(load(base.path()).broker(2).unwrap().next_job(), 9);
}

/// What is logged meanwhile.
fn logged(what: impl FnOnce()) -> String {
    let mut log = tempfile::tempfile().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Arc::new(log.try_clone().unwrap()))
        .finish();
    tracing::subscriber::with_default(subscriber, what);
    let mut text = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut text).unwrap();
    text
}

/// Whether somebody may sign in.
fn may_sign_in(people: &People, uid: u32) -> bool {
    let wanted = Wanted {
        provider: "local".to_owned(),
        identity: Some("alice".to_owned()),
        storage: b"/mnt/nas".to_vec(),
        collections: Vec::new(),
    };
    match people.broker(uid).unwrap().expect_sign_in(&wanted) {
        Ok(()) => true,
        Err(Failure::PolicyDenied(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_devices_rules_are_read_once_and_hold_for_each_by_their_own_facts() {
    let base = tempfile::tempdir().unwrap();
    let many = load(base.path());
    let policies = many.rules.folders().policies[0].clone();
    let people = People::Many(many);
    let everybody = [1, 2, 3];
    for uid in everybody {
        assert!(may_sign_in(&people, uid));
    }
    std::fs::create_dir_all(&policies).unwrap();
    let rule = |condition: &str| {
        let text = format!(
            "[organisation]\nname = \"Example\"\ncontact = \"help@example.org\"\n[[rule]]\n\
             name = \"none\"\nsign-in = \"deny\"\nreason = \"Exams.\"\n{condition}\n"
        );
        std::fs::write(policies.join("10-school.toml"), text).unwrap();
        logged(|| people.reload().unwrap())
    };
    let read = |log: &str| log.matches("policy state=\"in-force\" files=1").count();
    let log = rule("");
    assert_eq!(read(&log), 1, "{log}");
    for uid in everybody {
        assert!(!may_sign_in(&people, uid), "{uid}");
    }
    // Nothing is read for whoever is new.
    let log = logged(|| assert!(!may_sign_in(&people, 4)));
    assert_eq!(read(&log), 0, "{log}");
    let log = rule("people = [\"2\"]");
    assert_eq!(read(&log), 1, "{log}");
    assert_eq!(
        everybody.map(|uid| may_sign_in(&people, uid)),
        [true, false, true]
    );
}

#[test]
fn only_a_users_number_is_the_name_of_a_folder() {
    assert_eq!(uid_of("1000"), Some(1000));
    for wrong in ["", "01", "+1", "-1", "receipts", "4294967296", "1 "] {
        assert_eq!(uid_of(wrong), None, "{wrong:?}");
    }
}
