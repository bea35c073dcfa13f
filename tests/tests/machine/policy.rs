//! The organisation's policy on a device of several people: read once for all of them, and asked
//! before anybody is asked for a password.

use std::fs;

use mooring_tests::Machine;

use crate::people::{ctl, sign_in};

const FILE: &str = "/etc/mooring/policy.d/50-school.toml";
/// The catalog's ID of "a policy is in force", and that of "policy let something not happen".
const IN_FORCE: &str = "MESSAGE_ID=01cc61a7a3a74604a917ae5ecd4d52f4";
const DENIED: &str = "MESSAGE_ID=c9455f424ee142fba087b07198d9bd81";

/// Puts a rule in force.
fn rule(machine: &Machine, demand: &str) {
    let text = format!(
        "[organisation]\nname = \"Harbour Lights Ltd\"\ncontact = \"it@harbour.example\"\n\
         [[rule]]\nname = \"ours\"\nreason = \"Exams.\"\n{demand}\n"
    );
    fs::create_dir_all(machine.path("/etc/mooring/policy.d")).unwrap();
    // As an editor does it: one change, and never half a file.
    let new = machine.path("/etc/mooring/policy.d/.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, machine.path(FILE)).unwrap();
    machine.run(&["systemctl", "reload", "mooringd.service"]);
}

/// How many entries of this ID the journal has.
fn entries(machine: &Machine, id: &str) -> usize {
    machine.run(&["journalctl", "--sync"]);
    let words = ["journalctl", "--no-pager", "--output=cat", "-q", id];
    machine.run(&words).lines().count()
}

/// What somebody is told of a call that is not let in. It could wait for a password, if polkit came
/// to ask for one, and nobody is there to give it.
fn refused(machine: &Machine, person: &str, (path, call): (&str, &[&str])) -> String {
    let before = [
        "busctl",
        "--system",
        "--allow-interactive-authorization=yes",
        "call",
        "org.mooring1",
        path,
    ];
    let words = [&before, call].concat();
    let output = machine.command_as(person, &words).output().unwrap();
    assert!(!output.status.success(), "{call:?}");
    String::from_utf8(output.stderr).unwrap()
}

const SIGN_IN: (&str, &[&str]) = (
    "/org/mooring1",
    &[
        "org.mooring1.Manager",
        "SignIn",
        "ssa{sv}",
        "local",
        "alice",
        "1",
        "storage",
        "ay",
        "2",
        "47",
        "115",
    ],
);

/// A sign-out that keeps nothing, or everything.
fn sign_out(keep: bool) -> Vec<&'static str> {
    let mut call = vec!["org.mooring1.Account", "SignOut", "sa{sv}", "none"];
    match keep {
        true => call.extend(["1", "keep", "as", "1", "all"]),
        false => call.push("0"),
    }
    call
}

#[tokio::test]
async fn one_reading_for_all_and_no_password_for_what_is_denied() {
    let machine = Machine::new();
    machine.run(&["useradd", "--create-home", "--uid", "1002", "cleo"]);
    let people = ["ann", "bob", "cleo"];
    for person in people {
        machine.run_as(person, &ctl(&["status"]));
        let why = refused(&machine, person, SIGN_IN);
        assert!(why.contains("there is nobody to ask"), "{why}");
    }
    let (loads, denials) = (entries(&machine, IN_FORCE), entries(&machine, DENIED));
    let lines = |machine: &Machine| {
        let journal = machine.journal("mooringd.service");
        journal.matches("policy state=\"in-force\" files=1").count()
    };
    assert_eq!(lines(&machine), 0);
    rule(&machine, "sign-in = \"deny\"");
    assert_eq!(entries(&machine, IN_FORCE), loads + 1);
    // The reload that was asked for, and the change that was noticed: at most one line each, and
    // not one for each person.
    assert!((1..=2).contains(&lines(&machine)), "{}", lines(&machine));
    for person in people {
        let why = refused(&machine, person, SIGN_IN);
        assert!(why.contains("Exams."), "{person}: {why}");
    }
    assert_eq!(entries(&machine, DENIED), denials + people.len());
}

#[tokio::test]
async fn what_policy_denies_of_a_sign_out_is_no_question_for_a_password() {
    let machine = Machine::new();
    let yes = "polkit.addRule(function(action, subject) { \
               if (action.id == 'org.mooring1.sign-in') return polkit.Result.YES; });";
    fs::write(machine.path("/etc/polkit-1/rules.d/10-test.rules"), yes).unwrap();
    sign_in(&machine, "ann");
    let tree = machine.run_as(
        "ann",
        &["busctl", "--system", "--list", "tree", "org.mooring1"],
    );
    let account = tree
        .lines()
        .find(|line| line.starts_with("/org/mooring1/accounts/a"))
        .unwrap_or_else(|| panic!("{tree}"));
    let told = |person: &str, keep| refused(&machine, person, (account, &sign_out(keep)));
    let asks = |why: String| assert!(why.contains("there is nobody to ask"), "{why}");
    let denies = |why: String| assert!(why.contains("Exams."), "{why}");
    asks(told("ann", false));
    asks(told("bob", false));
    rule(&machine, "sign-out = \"deny\"");
    let before = entries(&machine, DENIED);
    denies(told("ann", false));
    assert_eq!(entries(&machine, DENIED), before + 1);
    // Nobody else learns what is said of an account that they may not see.
    asks(told("bob", false));
    assert_eq!(entries(&machine, DENIED), before + 1);
    // What depends on the choice, and on what the account lacks.
    rule(&machine, "data = \"keep\"");
    denies(told("ann", false));
    asks(told("ann", true));
    rule(&machine, "backup = \"required\"");
    denies(told("ann", false));
    asks(told("ann", true));
    asks(told("bob", false));
    // A backup is never denied.
    rule(&machine, "sign-out = \"deny\"\nsign-in = \"deny\"");
    let backup = ["org.mooring1.Account.Files", "Backup", "ay", "1", "47"];
    let why = refused(&machine, "ann", (account, &backup));
    assert!(!why.contains("Exams."), "{why}");
}
