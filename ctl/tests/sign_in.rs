//! `sign-in` without a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake;

use fake::{Fake, Script};
use mooring_api::{CollectionSpec, ReturnCheck};

const ALICE: [&str; 6] = [
    "sign-in",
    "local",
    "--storage",
    "/mnt/nas",
    "--password-fd",
    "0",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ALICE[..], more].concat()
}

#[test]
fn an_existing_identity_is_found_by_its_storage() {
    let fake = Fake::start(Script::alice());
    let run = fake.run_with("secret\n", &ALICE);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("Signed in as alice."), "{}", run.out);
    assert_eq!(
        fake.calls(),
        ["Inspect local", "SignIn alice create=false adopt=false"]
    );
    let run = fake.run_with("secret", &with(&["--identity", "bob"]));
    assert_eq!(run.code, 1, "{run:?}");
}

#[test]
fn a_wrong_password_is_told_by_the_exit_code() {
    let fake = Fake::start(Script::alice());
    let run = fake.run_with("guess", &with(&["--json"]));
    assert_eq!(
        (run.code, &run.json()["error"]["kind"]),
        (4, &"IncorrectPassword".into())
    );
}

#[test]
fn a_new_identity_needs_a_name_and_consent() {
    let fake = Fake::start(Script::nobody());
    assert_eq!(fake.run_with("secret", &ALICE).code, 2);
    let run = fake.run_with("secret", &with(&["--identity", "alice"]));
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.err.contains("--yes"), "{}", run.err);
    assert_eq!(fake.calls(), ["Inspect local"; 2]);
}

#[test]
fn the_recovery_code_never_goes_to_the_standard_output() {
    let fake = Fake::start(Script::nobody());
    let run = fake.run_with("secret", &with(&["--identity", "alice", "--yes", "--json"]));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.err.contains("anchor bridge cedar dune"), "{}", run.err);
    assert!(!run.out.contains("anchor"), "{}", run.out);
    assert_eq!(run.json()["created"], true);
    let asked = fake.script.lock().unwrap().asked.clone();
    assert_eq!(asked[0].root, b"/h/Accounts/alice/Photos");
    assert_eq!(run.json()["outcome"]["uploaded"], 3);
}

#[test]
fn folders_with_files_need_consent() {
    let mut script = Script::alice();
    script.found.not_empty = vec![CollectionSpec {
        name: "photos".into(),
        root: b"/p".to_vec(),
    }];
    let fake = Fake::start(script);
    let run = fake.run_with("secret", &ALICE);
    assert_eq!(run.code, 2, "{run:?}");
    assert_eq!(fake.run_with("secret", &with(&["--adopt"])).code, 0);
    assert_eq!(
        fake.calls().last().unwrap(),
        "SignIn alice create=false adopt=true"
    );
}

fn returning(check: ReturnCheck) -> Fake {
    let mut script = Script::alice();
    script.outcome.returned = check;
    Fake::start(script)
}

#[test]
fn what_came_back_is_counted() {
    let check = ReturnCheck {
        expected: 1204,
        checked: 1204,
        ..ReturnCheck::default()
    };
    let run = returning(check).run_with("secret", &ALICE);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("1,204 of 1,204 checked"), "{}", run.out);
}

#[test]
fn what_is_held_is_a_question_and_no_failure() {
    let check = ReturnCheck {
        receipt: "r1".into(),
        expected: 1204,
        checked: 1203,
        held: 1,
        ..ReturnCheck::default()
    };
    let run = returning(check).run_with("secret", &ALICE);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("1 file held"), "{}", run.out);
    assert!(run.out.contains("mooringctl resolve"), "{}", run.out);
}

#[test]
fn what_did_not_come_back_is_named_and_fails() {
    let check = ReturnCheck {
        receipt: "r1".into(),
        expected: 1204,
        checked: 1203,
        missing: vec![b"photos/a\nb.jpg".to_vec()],
        missing_total: 1,
        ..ReturnCheck::default()
    };
    let fake = returning(check);
    let run = fake.run_with("secret", &ALICE);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("photos/a\\x0ab.jpg"), "{}", run.out);
    assert!(run.err.contains("1 file did not come back"), "{}", run.err);
}
