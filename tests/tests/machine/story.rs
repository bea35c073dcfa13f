//! The main story in system mode, by `mooringctl` as the person, over the system bus, with polkit: sign
//! in, sync, a refusal by policy, a wrong password, a sign-out with proof, and everything back.

use std::fs;

use mooring_tests::{AUDIT, Machine, samples};

use crate::stage::*;

const POLICY: &str = "/etc/mooring/policy.d/50-audit.toml";

/// Ann may, and of what polkit is asked about it keeps a list.
fn allow_ann(machine: &Machine) {
    let rule = "polkit.addRule(function(action, subject) { \
                if (action.id.indexOf('org.mooring1.') != 0) return polkit.Result.NOT_HANDLED; \
                polkit.log('asked: ' + action.id + ' by ' + subject.user); \
                if (subject.user == 'ann') return polkit.Result.YES; });";
    fs::write(machine.path("/etc/polkit-1/rules.d/10-test.rules"), rule).unwrap();
}

/// Gives Ann files like a person's own, with their times and permissions; answers how many.
fn give_samples(machine: &Machine) -> u64 {
    let files = samples::write(&machine.path("/home/ann/samples")).unwrap();
    machine.run(&["chown", "-R", "ann:ann", "/home/ann/samples"]);
    machine.run_as(ANN, &["cp", "-a", "samples/.", "Accounts/ann/"]);
    files
}

async fn policy_names(machine: &Machine, organisation: &str, there: bool) {
    until("the policy to be read", || {
        let shown = machine.run_as(ANN, &["mooringctl", "--system", "policy", "show"]);
        shown.contains(organisation) == there
    })
    .await;
}

#[tokio::test]
async fn the_whole_story_of_one_person() {
    let machine = Machine::new();
    allow_ann(&machine);
    settings(&machine, "[sync]\ncontinuous = false\n");
    // Bob may not: polkit wants his password, and there is nobody to ask.
    let words = [
        "--no-ask-password",
        "sign-in",
        "local",
        "--identity",
        "bob",
        "--yes",
    ];
    let words = [&words[..], &["--storage", "/home/bob"]].concat();
    let refused = machine.ctl("bob", &words).password(PASSWORD).run().await;
    assert!(refused.expect_code(4).stderr.contains("polkit"));

    let told = sign_in(&machine).await;
    assert!(told.contains("ecovery code"), "{told}");
    let files = give_samples(&machine);
    let told = machine.ctl(ANN, &sync()).run().await;
    expect(&machine, told);
    let before = belongings(&machine);
    assert_eq!(before.files() as u64, files);
    let stored = copies(&machine);
    assert_eq!(stored.files() as u64, files);

    fs::write(machine.path(POLICY), AUDIT).unwrap();
    policy_names(&machine, "Harbour Lights Ltd", true).await;
    let refused = machine.ctl(ANN, &sign_out()).password(PASSWORD).run().await;
    let refused = refused.expect_code(3);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    let place = format!("{POLICY}:5");
    let reason = "The auditors are here until Friday.";
    let rule = "no-sign-out-during-audit";
    for word in [
        "Harbour Lights Ltd",
        rule,
        &place,
        reason,
        "it@harbour.example",
    ] {
        assert!(said.contains(word), "no {word:?} in:\n{said}");
    }
    fs::remove_file(machine.path(POLICY)).unwrap();
    policy_names(&machine, "Harbour Lights Ltd", false).await;

    let wrong = machine
        .ctl(ANN, &sign_out())
        .password("let me in")
        .run()
        .await;
    let _ = wrong.expect_code(4);
    before.assert_same(&belongings(&machine));

    let told = machine.ctl(ANN, &sign_out()).password(PASSWORD).run().await;
    let told = expect(&machine, told);
    let removed = format!("{files} files removed.");
    assert!(told.contains(&removed), "{told}");
    stored.assert_same(&copies(&machine));
    is_gone(&machine, &before);
    // What it names is there for her to read, and is what her storage has, too.
    let (_, show) = told.split_once("Receipt: mooringctl ").unwrap();
    let words: Vec<&str> = show.trim().split(' ').collect();
    let shown = machine.ctl(ANN, &words).run().await;
    assert_eq!(expect(&machine, shown), receipt(&machine));
    let copy = format!("/home/ann/Storage/.mooring/receipts/{}.toml", words[2]);
    assert_eq!(
        fs::read_to_string(machine.path(&copy)).unwrap(),
        receipt(&machine)
    );

    comes_back(&machine, &before).await;
    let asked = machine.run(&["journalctl", "--no-pager", "--output=cat"]);
    for action in ["sign-in", "sync", "sign-out"] {
        let asked_about = format!("asked: org.mooring1.{action} by ann");
        assert!(asked.contains(&asked_about), "{asked_about}");
    }
}
