//! Policy that changes while the daemon runs, and while a sign-out is under way.

use std::fs::{self, File};
use std::path::PathBuf;

use mooring_api::{ManagerProxy, PlanOptions, RetryOptions, SignOutOptions};
use mooring_tests::{AUDIT, World};

use crate::stage::{
    ALICE, Client, PASSWORD, belongings, copies, everything_comes_back, piped, sign_out, signed_in,
};

/// The line and the column at which this stops being TOML are 2 and 8.
const BROKEN: &str = "[organisation]\nname = = \"x\"\n";

fn about_data(name: &str, data: &str) -> String {
    format!(
        "[organisation]\nname = \"Harbour Lights Ltd\"\ncontact = \"it@harbour.example\"\n\n\
         [[rule]]\nname = \"{name}\"\nreason = \"So it was decided.\"\ndata = \"{data}\"\n"
    )
}

fn file(world: &World, name: &str) -> PathBuf {
    world.config().join("policy.d").join(name)
}

/// Puts a policy file in its place, whole at once.
fn put(world: &World, name: &str, text: &str) {
    fs::create_dir_all(world.config().join("policy.d")).unwrap();
    let new = file(world, ".new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file(world, name)).unwrap();
}

async fn wait_for(client: &mut Client, manager: &ManagerProxy<'_>, state: &str) {
    client
        .until(state, async || {
            (manager.policy_state().await.unwrap() == state).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_denial_names_who_what_where_why_and_whom_to_ask() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    assert_eq!(manager.policy_state().await.unwrap(), "none");
    put(&world, "50-audit.toml", AUDIT);
    wait_for(&mut client, &manager, "in-force").await;

    let place = format!("{}:5", file(&world, "50-audit.toml").display());
    let five = [
        "Harbour Lights Ltd",
        "no-sign-out-during-audit",
        &place,
        "The auditors are here until Friday.",
        "it@harbour.example",
    ];
    let refused = sign_out(&world, &[]).await.expect_code(3);
    for word in five {
        assert!(
            refused.stderr.contains(word),
            "no {word:?} in: {}",
            refused.stderr
        );
    }
    let json = sign_out(&world, &["--json"]).await.expect_code(3).json();
    assert_eq!(json["error"]["kind"], "PolicyDenied");
    let denial = &json["plan"]["policy"]["denials"][0];
    let said = ["organisation", "rule", "reason", "contact"].map(|key| denial[key].as_str());
    let expected = [five[0], five[1], five[3], five[4]].map(Some);
    assert_eq!(said, expected);
    assert_eq!(denial["line"], 5);

    // By the bus, before anything is looked at, and whatever the digest.
    let account = client.account(&world).await.unwrap();
    let refused = account
        .sign_out("", SignOutOptions::default())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), "PolicyDenied");
    assert_eq!(account.state().await.unwrap(), "active");
    before.assert_same(&belongings(&world));

    fs::remove_file(file(&world, "50-audit.toml")).unwrap();
    wait_for(&mut client, &manager, "none").await;
    let _ = sign_out(&world, &[]).await.expect_code(0);
}

#[tokio::test]
async fn a_bad_file_leaves_the_last_good_policy_in_force_over_a_restart() {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    put(&world, "50-audit.toml", AUDIT);
    wait_for(&mut client, &manager, "in-force").await;
    put(&world, "50-audit.toml", BROKEN);
    wait_for(&mut client, &manager, "last-good").await;
    let place = format!("{}:2:8", file(&world, "50-audit.toml").display());
    let shown = world.ctl(&["policy", "show"]).run().await.expect_code(0);
    assert!(
        shown.stdout.contains(&place),
        "no {place} in: {}",
        shown.stdout
    );
    let refused = sign_out(&world, &[]).await.expect_code(3);
    assert!(
        refused.stderr.contains("no-sign-out-during-audit"),
        "{}",
        refused.stderr
    );

    assert!(daemon.terminate().await.success());
    let _daemon = world.daemon().await;
    let manager = world.manager().await;
    assert_eq!(manager.policy_state().await.unwrap(), "last-good");
    let _ = sign_out(&world, &[]).await.expect_code(3);
    before.assert_same(&belongings(&world));
}

#[tokio::test]
async fn a_first_file_that_is_bad_refuses_everything() {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    put(&world, "50-audit.toml", BROKEN);
    wait_for(&mut client, &manager, "invalid").await;
    let refused = sign_out(&world, &[]).await.expect_code(3);
    let place = format!("{}:2:8", file(&world, "50-audit.toml").display());
    assert!(
        refused.stderr.contains(&place),
        "no {place} in: {}",
        refused.stderr
    );
    assert!(daemon.terminate().await.success());

    let _daemon = world.daemon().await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    assert_eq!(manager.policy_state().await.unwrap(), "invalid");
    let _ = sign_out(&world, &["--keep", "all"]).await.expect_code(3);
    before.assert_same(&belongings(&world));
    fs::remove_file(file(&world, "50-audit.toml")).unwrap();
    wait_for(&mut client, &manager, "none").await;
    let _ = sign_out(&world, &[]).await.expect_code(0);
}

#[tokio::test]
async fn rules_about_the_data_bind_and_opposite_ones_block() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    put(&world, "10-keep.toml", &about_data("archive-stays", "keep"));
    wait_for(&mut client, &manager, "in-force").await;
    let refused = sign_out(&world, &[]).await.expect_code(3);
    assert!(refused.stderr.contains("--keep all"), "{}", refused.stderr);
    let _ = sign_out(&world, &["--keep", "photos"]).await.expect_code(3);

    put(
        &world,
        "20-remove.toml",
        &about_data("leave-nothing", "remove"),
    );
    manager.reload().await.unwrap();
    for keep in [&[][..], &["--keep", "all"]] {
        let refused = sign_out(&world, keep).await.expect_code(3);
        for rule in ["archive-stays", "leave-nothing"] {
            assert!(
                refused.stderr.contains(rule),
                "no {rule} in: {}",
                refused.stderr
            );
        }
    }

    fs::remove_file(file(&world, "10-keep.toml")).unwrap();
    manager.reload().await.unwrap();
    let _ = sign_out(&world, &["--keep", "contacts"])
        .await
        .expect_code(3);
    before.assert_same(&belongings(&world));

    put(
        &world,
        "20-remove.toml",
        &about_data("archive-stays", "keep"),
    );
    manager.reload().await.unwrap();
    let told = sign_out(&world, &["--keep", "all"]).await.expect_code(0);
    assert!(told.stdout.contains("0 files removed"), "{}", told.stdout);
    before.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));
}

#[tokio::test]
async fn a_denial_before_the_removal_ends_the_sign_out_without_loss() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    let account = client.account(&world).await.unwrap();
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    let job = account
        .sign_out(&plan.digest, SignOutOptions::default())
        .await
        .unwrap();
    let job = client.job(&job).await;
    assert_eq!(client.blocked(&job).await.error, "ReauthRequired");
    put(&world, "50-audit.toml", AUDIT);
    wait_for(&mut client, &manager, "in-force").await;
    job.authenticate(piped(PASSWORD)).await.unwrap();
    let outcome = client.outcome(&job).await;
    assert_eq!(
        (outcome.success, outcome.error.as_str()),
        (false, "PolicyDenied")
    );
    assert!(
        outcome.message.contains("no-sign-out-during-audit"),
        "{outcome:?}"
    );
    assert_eq!(account.state().await.unwrap(), "active");
    before.assert_same(&belongings(&world));
    let _ = crate::stage::sync(&world).await.expect_code(0);
}

#[tokio::test]
async fn a_denial_after_the_removal_began_comes_too_late() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    let held = world.account_folder(ALICE).join("Videos/waves.avi");
    let writer = File::options().append(true).open(&held).unwrap();
    let job = client.begin_sign_out(&world).await;
    assert_eq!(client.blocked(&job).await.error, "UnsyncedData");
    assert!(!job.cancellable().await.unwrap(), "the others are removed");
    assert_eq!(belongings(&world).files(), 1);
    put(&world, "50-audit.toml", AUDIT);
    wait_for(&mut client, &manager, "in-force").await;
    drop(writer);
    job.retry(RetryOptions::default()).await.unwrap();
    let outcome = client.outcome(&job).await;
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(outcome.removed, before.files() as u64);
    before.assert_same(&copies(&world));
    everything_comes_back(&world, &before).await;
}

fn rule(lines: &str) -> String {
    format!(
        "[organisation]\nname = \"Harbour Lights Ltd\"\ncontact = \"it@harbour.example\"\n\n\
         [[rule]]\nname = \"n\"\nreason = \"So it was decided.\"\n{lines}\n"
    )
}

#[tokio::test]
async fn an_account_that_is_required_stays_and_only_some_may_sign_in() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let manager = world.manager().await;
    put(
        &world,
        "10-a.toml",
        &rule(&format!("require-account = \"{ALICE}\"")),
    );
    manager.reload().await.unwrap();
    let refused = sign_out(&world, &[]).await.expect_code(3);
    assert!(
        refused.stderr.contains("has to be on this device"),
        "{}",
        refused.stderr
    );
    before.assert_same(&belongings(&world));

    put(
        &world,
        "10-a.toml",
        &rule("require-account = \"somebody\"\nonly-identities = [\"some*\"]"),
    );
    manager.reload().await.unwrap();
    let status = world.ctl(&["status"]).run().await.expect_code(0);
    assert!(status.stdout.contains("somebody"), "{}", status.stdout);
    // A sign-out is another matter than a sign-in; nobody gets in again.
    let _ = sign_out(&world, &[]).await.expect_code(0);
    let again = crate::stage::sign_in(&world).password(PASSWORD);
    let refused = again.run().await.expect_code(3);
    assert!(
        refused.stderr.contains("only these may be signed in here"),
        "{}",
        refused.stderr
    );
    before.assert_same(&copies(&world));
}

#[tokio::test]
async fn a_backup_is_made_first_and_a_simulation_said_so() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let manager = world.manager().await;
    let new = world.config().join("20-backup.toml");
    fs::write(&new, rule("backup = \"verified\"\nbackup-max-age = \"1d\"")).unwrap();
    let simulate = ["policy", "simulate", new.to_str().unwrap(), "--json"];
    let told = world.ctl(&simulate).run().await.expect_code(0).json();
    let change = &told["changes"][0];
    assert_eq!(
        (&change["verb"], &change["after"]),
        (&"sign-out".into(), &"needs a backup".into())
    );
    assert_eq!(manager.policy_state().await.unwrap(), "none");

    put(&world, "20-backup.toml", &fs::read_to_string(&new).unwrap());
    manager.reload().await.unwrap();
    let refused = sign_out(&world, &[]).await.expect_code(5);
    for part in [
        "no backup was made",
        "Harbour Lights Ltd",
        "mooringctl backup",
    ] {
        assert!(
            refused.stderr.contains(part),
            "{part} in {}",
            refused.stderr
        );
    }
    before.assert_same(&belongings(&world));
    let disk = world.config().join("disk");
    fs::create_dir(&disk).unwrap();
    let backup = ["backup", "--to", disk.to_str().unwrap()];
    let _ = world.ctl(&backup).run().await.expect_code(0);
    let _ = sign_out(&world, &[]).await.expect_code(0);
    before.assert_same(&copies(&world));
}

/// A file that is right by itself may contradict what is in force: whoever checks it hears that, and
/// so does whoever looks after the device.
#[tokio::test]
async fn a_contradiction_is_told_before_and_after() {
    let world = World::new();
    let (_daemon, _) = signed_in(&world).await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    put(&world, "10-keep.toml", &about_data("archive-stays", "keep"));
    wait_for(&mut client, &manager, "in-force").await;
    let doctor = world.ctl(&["doctor"]).run().await.expect_code(0);
    assert!(
        doctor.stdout.contains("the policy is in force"),
        "{doctor:?}"
    );
    let file = world.folder().join("20-remove.toml");
    std::fs::write(&file, about_data("nothing-stays", "remove")).unwrap();
    let file = file.to_str().unwrap();
    let checked = world.ctl(&["policy", "check", file]).run().await;
    let checked = checked.expect_code(1).stdout;
    assert!(checked.contains("archive-stays"), "{checked}");
    put(
        &world,
        "20-remove.toml",
        &about_data("nothing-stays", "remove"),
    );
    manager.reload().await.unwrap();
    let doctor = world.ctl(&["doctor"]).run().await.expect_code(1);
    assert!(doctor.stdout.contains("contradicts itself"), "{doctor:?}");
    let report = world.ctl(&["report"]).run().await.expect_code(0);
    assert!(report.stdout.contains("nothing-stays"), "{report:?}");
}

/// To look is no attempt; to ask is one, also where the plan already says no.
#[tokio::test]
async fn only_attempts_are_counted_and_audited() {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    put(&world, "50-audit.toml", AUDIT);
    wait_for(&mut client, &manager, "in-force").await;
    let counted = async || manager.list_refusals().await.unwrap()["policy"];
    let audited = || {
        daemon
            .log()
            .matches("sign-out of alice by person denied")
            .count()
    };
    let look = world.ctl(&["sign-out", ALICE, "--dry-run"]).run().await;
    let _ = look.expect_code(3);
    assert_eq!((counted().await, audited()), (0, 0));
    let _ = sign_out(&world, &[]).await.expect_code(3);
    assert_eq!((counted().await, audited()), (1, 1));
    before.assert_same(&belongings(&world));
    assert!(manager.list_refusals().await.unwrap()["password"] == 0);
    let jobs = world.ctl(&["jobs", "--json"]).run().await.expect_code(0);
    let open = jobs.json()["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|job| job["state"] != "finished")
        .count();
    assert_eq!(open, 0);
}

/// Whether somebody may sign in is asked, and answered, before anything is looked at.
#[tokio::test]
async fn a_forbidden_identity_is_told_at_once() {
    let world = World::new();
    let daemon = world.daemon().await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    put(
        &world,
        "30-guests.toml",
        &rule(
            "sign-in = \"deny\"\nidentities = [\"visitor-*\"]\ngroups = [\"no-such-group\", \"*\"]",
        ),
    );
    wait_for(&mut client, &manager, "in-force").await;
    let explain = async |who: &str| {
        let words = ["policy", "explain", "sign-in", who, "--json"];
        world.ctl(&words).run().await.expect_code(0).json()
    };
    let denied = explain("visitor-1").await;
    assert_eq!(denied["allowed"], false, "{denied}");
    let known = denied["known"].as_str().unwrap();
    assert!(
        known.contains("groups") && known.contains("network not known"),
        "{known}"
    );
    assert_eq!(explain("alice").await["allowed"], true);
    let storage = world.storage();
    let words = [
        "sign-in",
        "local",
        "--identity",
        "visitor-1",
        "--storage",
        storage.to_str().unwrap(),
        "--yes",
    ];
    let refused = world
        .ctl(&words)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(3);
    assert!(
        !refused.stdout.contains("has no account yet"),
        "{refused:?}"
    );
    assert!(!storage.join(".mooring").exists());
    let log = daemon.log();
    assert!(
        log.contains("sign-in of visitor-1 by person denied"),
        "{log}"
    );
}
