//! The main story in system mode, by `mooringctl` as the person, over the system bus, with polkit: sign
//! in, sync, a refusal by policy, a wrong password, a sign-out with proof, and everything back.

use std::fs;

use mooring_tests::{Machine, samples};

use crate::stage::*;

/// Lets Ann do this, as an administrator would. For everything else it is as the package has it: people
/// in no session are asked for the password of the device, and here is nobody to ask.
fn allow_ann(machine: &Machine, action: &str) {
    let rule = format!(
        "polkit.addRule(function(action, subject) {{ \
         if (action.id == 'org.mooring1.{action}' && subject.user == 'ann') return polkit.Result.YES; }});"
    );
    let file = format!("/etc/polkit-1/rules.d/10-{action}.rules");
    fs::write(machine.path(&file), rule).unwrap();
    machine.run(&["systemctl", "restart", "polkit.service"]);
}

/// Holds that polkit lets a person do nothing of the kind.
async fn refused_by_polkit(machine: &Machine, person: &str, words: &[&str]) {
    let words = [&["--no-ask-password"], words].concat();
    let refused = machine.ctl(person, &words).password(PASSWORD).run().await;
    let refused = refused.expect_code(4);
    assert!(refused.stderr.contains("polkit"), "{refused:?}");
}

/// Gives Ann files like a person's own, with their times and permissions; answers how many.
fn give_samples(machine: &Machine) -> u64 {
    let files = samples::write(&machine.path("/home/ann/samples")).unwrap();
    machine.run(&["chown", "-R", "ann:ann", "/home/ann/samples"]);
    let give =
        "shopt -s dotglob; cd samples; for c in *; do mv \"$c\"/* ~/Accounts/ann/\"$c\"/; done";
    machine.run_as(ANN, &["bash", "-ec", give]);
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
    allow_ann(&machine, "sign-in");
    settings(&machine, "[sync]\ncontinuous = false\n");
    machine.run_as("bob", &["mkdir", "Storage"]);
    let words = [
        "sign-in",
        "local",
        "--identity",
        "bob",
        "--yes",
        "--storage",
    ];
    let words = [&words[..], &["/home/bob/Storage"]].concat();
    refused_by_polkit(&machine, "bob", &words).await;

    let told = sign_in(&machine).await;
    assert!(told.contains("ecovery code"), "{told}");
    let files = give_samples(&machine);
    let told = machine.ctl(ANN, &sync()).run().await;
    expect(&machine, told);
    let before = belongings(&machine);
    assert_eq!(before.files() as u64, files);
    let stored = copies(&machine);
    assert_eq!(stored.files() as u64, files);

    // Policy is an answer, whatever polkit would say.
    forbid(&machine);
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
    refused_by_polkit(&machine, ANN, &sign_out()).await;
    allow_ann(&machine, "sign-out");

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
}
