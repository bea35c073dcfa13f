//! `sign-out` without a terminal: exit codes, documents, and what the daemon is asked.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake;

use fake::{Fake, Script, blocker, denial};
use mooring_api::{Blocked, JobOutcome};

const SIGN_OUT: [&str; 5] = ["sign-out", "alice", "--yes", "--password-fd", "0"];

fn json(args: &[&'static str]) -> Vec<&'static str> {
    [args, &["--json"]].concat()
}

#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let fake = Fake::start(Script::alice());
    let run = fake.run(&["sign-out", "alice", "--dry-run"]);
    assert_eq!(run.code, 0, "{run:?}");
    for part in [
        "1,204",
        "3.1 GB",
        "removed",
        "0123456789abcdef0123456789abcdef",
    ] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
    assert!(!run.out.contains('\x1b'), "no colours into a pipe");
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[test]
fn a_whole_sign_out_ends_with_the_receipt() {
    let fake = Fake::start(Script::alice());
    let run = fake.run_with("secret\n", &SIGN_OUT);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("✓ Every copy read back"), "{}", run.out);
    assert!(run.out.contains("1,204 files removed."), "{}", run.out);
    assert!(
        run.out.contains("Receipt: /state/receipts/r1.toml"),
        "{}",
        run.out
    );
    assert_eq!(
        fake.calls(),
        ["SignOut 0123456789abcdef0123456789abcdef keep="]
    );
}

#[test]
fn the_document_holds_plan_job_and_outcome() {
    let fake = Fake::start(Script::alice());
    let run = fake.run_with("secret", &json(&SIGN_OUT));
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.err, "", "a document and nothing else");
    let document = run.json();
    assert_eq!(document["plan"]["collections"][0]["to-read-back"], 12);
    assert_eq!(document["job"]["number"], 7);
    assert_eq!(document["outcome"]["removed"], 1204);
}

#[test]
fn keeping_is_passed_on_and_shown() {
    let fake = Fake::start(Script::alice());
    let run = fake.run_with("secret", &[&SIGN_OUT[..], &["--keep", "photos"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("kept"), "{}", run.out);
    assert_eq!(
        fake.calls(),
        ["SignOut 0123456789abcdef0123456789abcdef keep=photos"]
    );
}

#[test]
fn a_wrong_password_on_a_descriptor_cancels_the_job() {
    let fake = Fake::start(Script::alice());
    let run = fake.run_with("guess", &json(&SIGN_OUT));
    assert_eq!(run.code, 4, "{run:?}");
    assert_eq!(run.json()["error"]["kind"], "IncorrectPassword");
    assert_eq!(run.json()["outcome"]["error"], "Cancelled");
    assert_eq!(fake.calls().last().unwrap(), "Cancel");
    assert!(
        !fake.calls().contains(&"Authenticate".to_owned()),
        "no second try"
    );
}

#[test]
fn without_a_terminal_questions_need_an_answer_in_advance() {
    let fake = Fake::start(Script::alice());
    let run = fake.run_with("secret", &["sign-out", "alice", "--password-fd", "0"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.err.contains("--yes"), "{}", run.err);
    let run = fake.run(&["sign-out", "alice", "--yes"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.err.contains("--password-fd"), "{}", run.err);
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[test]
fn descriptors_that_hold_no_password_are_refused() {
    let fake = Fake::start(Script::alice());
    let with = |n| ["sign-out", "alice", "--yes", "--password-fd", n];
    let closed = fake.run(&with("9"));
    assert_eq!(
        (closed.code, closed.err.contains("closed")),
        (2, true),
        "{closed:?}"
    );
    let empty = fake.run_with("\n", &with("0"));
    assert_eq!(
        (empty.code, empty.err.contains("no password")),
        (2, true),
        "{empty:?}"
    );
    let endless = fake.run_with(&"x".repeat(5000), &with("0"));
    assert_eq!(
        (endless.code, endless.err.contains("at most 4096")),
        (2, true),
        "{endless:?}"
    );
}

#[test]
fn another_digest_is_stale() {
    let fake = Fake::start(Script::alice());
    let run = fake.run_with(
        "secret",
        &[&json(&SIGN_OUT)[..], &["--plan", "ffff"]].concat(),
    );
    assert_eq!(run.code, 5, "{run:?}");
    assert_eq!(run.json()["error"]["kind"], "PlanStale");
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[test]
fn a_denial_names_who_where_and_why() {
    let mut script = Script::alice();
    script.plan.policy.allowed = false;
    script.plan.policy.denials = vec![denial()];
    let fake = Fake::start(script);
    for args in [&["sign-out", "alice", "--dry-run"][..], &SIGN_OUT] {
        let run = fake.run_with("secret", args);
        assert_eq!(run.code, 3, "{run:?}");
        let place = "/etc/mooring/policy.d/10-school.toml:7";
        for part in [
            "Example School",
            place,
            "Exams are under way.",
            "it@school.example",
        ] {
            assert!(run.out.contains(part), "{part} in {}", run.out);
        }
    }
    // The attempt, not the look at what would be, is put to the daemon, which audits and counts it. This one
    // allows it meanwhile: what was told still holds, and nothing begins.
    assert_eq!(fake.calls().len(), 2, "{:?}", fake.calls());
    assert!(fake.calls()[0].starts_with("SignOut ") && fake.calls()[1] == "Cancel");
}

#[test]
fn a_blocker_stops_before_anything_starts() {
    let mut script = Script::alice();
    script.plan.blockers = vec![blocker("Offline", "The storage /mnt/nas is not there.")];
    let fake = Fake::start(script);
    let run = fake.run_with("secret", &SIGN_OUT);
    assert_eq!(run.code, 5, "{run:?}");
    assert!(run.err.contains("not there"), "{}", run.err);
    assert_eq!(fake.calls(), Vec::<String>::new());
}

fn unsynced() -> Script {
    let blocked = Blocked {
        error: "UnsyncedData".into(),
        message: "One file could not be uploaded: the storage is full.".into(),
        items: vec![b"/home/alice/new\x1b[2J\xff.jpg".to_vec()],
        items_total: 1,
        ..Blocked::default()
    };
    Script {
        block: Some(blocked),
        ..Script::alice()
    }
}

#[test]
fn unsynced_files_are_named_and_the_job_cancelled() {
    let fake = Fake::start(unsynced());
    let run = fake.run_with("secret", &SIGN_OUT);
    assert_eq!(run.code, 5, "{run:?}");
    assert!(
        run.err.contains("/home/alice/new\\x1b[2J\\xff.jpg"),
        "{}",
        run.err
    );
    assert!(!run.err.contains('\x1b'));
    assert_eq!(fake.calls().last().unwrap(), "Cancel");
}

#[test]
fn unsynced_files_stay_here_when_told_so() {
    let fake = Fake::start(unsynced());
    let run = fake.run_with("secret", &[&SIGN_OUT[..], &["--keep-here"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(fake.calls().last().unwrap(), "Retry keep-here=true");
}

#[test]
fn a_failed_job_is_a_failed_command() {
    let mut script = Script::alice();
    script.outcome = JobOutcome {
        error: "Offline".into(),
        message: "The storage went away.".into(),
        ..JobOutcome::default()
    };
    let fake = Fake::start(script);
    let run = fake.run_with("secret", &json(&SIGN_OUT));
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.json()["error"]["message"], "The storage went away.");
    assert_eq!(run.json()["job"]["path"], "/org/mooring1/jobs/7");
}

#[test]
fn hostile_names_reach_the_person_as_text() {
    let mut script = Script::alice();
    script.plan.identity = "ali\x1b[31mce".into();
    script.plan.storage = b"/mnt/\xff\n".to_vec();
    script.plan.collections[0].stays = 1;
    script.plan.collections[0].stays_names = vec!["\u{202e}gpj".as_bytes().to_vec()];
    script.plan.warnings = vec!["a\rb".into()];
    let fake = Fake::start(script);
    let run = fake.run(&["sign-out", "a1", "--dry-run"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(!run.out.contains(['\x1b', '\r', '\u{202e}']), "{}", run.out);
    assert!(run.out.contains("/mnt/\\xff\\x0a"), "{}", run.out);
    let document = fake.run(&["sign-out", "a1", "--dry-run", "--json"]).json();
    assert_eq!(document["plan"]["storage-bytes"], "2f6d6e742fff0a");
}
