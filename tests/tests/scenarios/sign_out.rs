//! Sign-outs that are kept up: by a person, by files in use, by a second caller; what is kept, and
//! what is left.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use mooring_api::{Blocked, Error, PlanOptions, RetryOptions, SignOutOptions};
use mooring_tests::World;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::stage::{
    ALICE, Client, PASSWORD, Stopped, belongings, copies, everything_comes_back, piped, sign_in,
    sign_out, signed_in, sync, write,
};

/// How many large files come while a sign-out waits for the password.
const LATE: u32 = 12;

#[track_caller]
fn expect_named(blocked: &Blocked, file: &Path) {
    assert_eq!(blocked.error, "UnsyncedData", "{blocked:?}");
    assert_eq!(blocked.items_total, 1, "{blocked:?}");
    assert_eq!(
        blocked.items,
        [file.as_os_str().as_encoded_bytes()],
        "{blocked:?}"
    );
}

#[tokio::test]
async fn what_is_kept_stays_and_is_held_at_the_return() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let told = sign_out(&world, &["--keep", "contacts"])
        .await
        .expect_code(0);
    assert!(
        told.stdout.contains("31 files removed, 8 kept"),
        "{}",
        told.stdout
    );
    let kept = belongings(&world);
    assert_eq!(kept.files(), 8);
    let only = before
        .clone()
        .without(|name| !name.starts_with(b"Contacts"));
    only.assert_same(&kept);
    // Whole folders, without a trace of Mooring.
    only.assert_same(&world.manifest(world.account_folder(ALICE)));
    before.assert_same(&copies(&world));

    let gone = world
        .account_folder(ALICE)
        .join("Contacts/000000000003.vcf");
    fs::remove_file(&gone).unwrap();
    // Held is a question, and no failure.
    let told = sign_in(&world)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(0);
    assert!(told.stdout.contains("1 file held"), "{}", told.stdout);
    assert!(
        told.stdout.contains("mooringctl resolve"),
        "{}",
        told.stdout
    );
    assert!(
        !gone.exists(),
        "it is not brought back against the person's will"
    );
    before.assert_same(&copies(&world));
    let there = belongings(&world);
    assert_eq!(there.files(), before.files() - 1);
    let _ = sync(&world).await.expect_code(0);
    there.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));
}

#[tokio::test]
async fn a_file_that_a_program_writes_to_stays_until_it_is_closed() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut client = Client::new(&world).await;
    let held = world.account_folder(ALICE).join("Documents/script");
    let writer = File::options().append(true).open(&held).unwrap();
    let job = client.begin_sign_out(&world).await;
    expect_named(&client.blocked(&job).await, &held);
    assert!(held.exists());
    // Forward only: the others are gone, and are in the storage.
    assert_eq!(job.cancel().await.unwrap_err().kind(), "Busy");
    before.assert_same(&copies(&world));
    job.retry(RetryOptions::default()).await.unwrap();
    expect_named(&client.blocked(&job).await, &held);
    drop(writer);
    job.retry(RetryOptions::default()).await.unwrap();
    let outcome = client.outcome(&job).await;
    assert!(outcome.success, "{outcome:?}");
    assert_eq!((outcome.removed, outcome.left), (before.files() as u64, 0));
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn a_file_in_use_can_be_kept_in_a_folder_of_its_own() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let held = world.account_folder(ALICE).join("Documents/script");
    let writer = File::options().append(true).open(&held).unwrap();
    let told = sign_out(&world, &["--keep-here"]).await.expect_code(0);
    assert!(
        told.stdout
            .contains(&format!("{} files removed", before.files() - 1)),
        "{told:?}"
    );
    let kept = world.home().join("Kept from alice/Documents/script");
    assert_eq!(fs::read(&kept).unwrap(), b"#!/bin/sh\n");
    drop(writer);
    // It is on the device still, so the receipt names it.
    let listed = world.ctl(&["receipts", "--json"]).run().await;
    let listed: serde_json::Value = serde_json::from_str(&listed.expect_code(0).stdout).unwrap();
    let file = listed["receipts"][0]["path"].as_str().unwrap();
    let receipt = fs::read_to_string(file).unwrap();
    assert!(receipt.contains(kept.to_str().unwrap()), "{receipt}");
    assert!(receipt.contains("kept here as asked"), "{receipt}");
    assert!(!world.account_folder(ALICE).exists());
    before.assert_same(&copies(&world));
}

/// A file that nobody may remove, root included, while this lives.
struct Immutable(std::path::PathBuf);

impl Immutable {
    fn new(file: &Path) -> Self {
        assert!(
            chattr("+i", file),
            "chattr +i needs root and a filesystem that knows it"
        );
        Self(file.to_owned())
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        chattr("-i", &self.0);
    }
}

fn chattr(flag: &str, file: &Path) -> bool {
    let done = Command::new("chattr").arg(flag).arg(file).status();
    done.expect("chattr (apt-get install e2fsprogs)").success()
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_is_named_and_can_be_retried() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut client = Client::new(&world).await;
    let file = world.account_folder(ALICE).join("Documents/read only");
    let immutable = Immutable::new(&file);
    let job = client.begin_sign_out(&world).await;
    expect_named(&client.blocked(&job).await, &file);
    before.assert_same(&copies(&world));
    drop(immutable);
    job.retry(RetryOptions::default()).await.unwrap();
    let outcome = client.outcome(&job).await;
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(outcome.removed, before.files() as u64);
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn a_file_deleted_in_the_storage_blocks_until_a_person_decides() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut client = Client::new(&world).await;
    fs::remove_file(world.storage().join("Documents/script")).unwrap();
    let file = world.account_folder(ALICE).join("Documents/script");
    let told = sign_out(&world, &[]).await.expect_code(5);
    assert!(told.stderr.contains("script"), "{}", told.stderr);
    let job = client.begin_sign_out(&world).await;
    expect_named(&client.blocked(&job).await, &file);
    assert!(job.cancellable().await.unwrap());
    before.assert_same(&belongings(&world));
    job.cancel().await.unwrap();
    assert_eq!(client.outcome(&job).await.error, "Cancelled");
    let account = client.account(&world).await.unwrap();
    assert_eq!(account.state().await.unwrap(), "active");
    before.assert_same(&belongings(&world));
    // Once the account stays, the deletion is carried over like any other, into the trash.
    let _ = sync(&world).await.expect_code(0);
    let script = |name: &[u8]| name == b"Documents/script";
    before.without(script).assert_same(&belongings(&world));
}

#[tokio::test]
async fn a_cancel_in_the_middle_restores_all() {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    let mut client = Client::new(&world).await;
    let account = client.account(&world).await.unwrap();
    let plan = account.plan_sign_out(PlanOptions::default()).await.unwrap();
    let waiting = SignOutOptions::default();
    let job = account.sign_out(&plan.digest, waiting).await.unwrap();
    let job = client.job(&job).await;
    assert_eq!(client.blocked(&job).await.error, "ReauthRequired");

    // A second one is told, and changes nothing.
    let refused = account
        .sign_out(&plan.digest, SignOutOptions::default())
        .await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    let refused = account.plan_sign_out(PlanOptions::default()).await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    let _ = sign_out(&world, &[]).await.expect_code(5);
    let _ = sync(&world).await.expect_code(5);

    // Enough to upload that the drain cannot be over before it is seen.
    for n in 0..LATE {
        let late = world.account_folder(ALICE).join(format!("Videos/late {n}"));
        write(&late, &vec![n as u8; 8 << 20], 0o644, n);
    }
    let all = belongings(&world);
    job.authenticate(piped(PASSWORD)).await.unwrap();
    client
        .until("the drain", async || {
            (job.stage().await.unwrap() == "authorised").then_some(())
        })
        .await;
    let stopped = Stopped::worker_of(&daemon);
    job.cancel().await.unwrap();
    drop(stopped);
    let outcome = client.outcome(&job).await;
    assert_eq!(
        (outcome.success, outcome.error.as_str()),
        (false, "Cancelled")
    );
    assert_eq!(account.state().await.unwrap(), "active");
    all.assert_same(&belongings(&world));
    let _ = sync(&world).await.expect_code(0);
    all.assert_same(&copies(&world));
    assert_eq!(all.files(), before.files() + LATE as usize);
    let _ = sign_out(&world, &[]).await.expect_code(0);
    everything_comes_back(&world, &all).await;
}

#[tokio::test]
async fn what_is_no_file_is_left_and_named_in_the_receipt() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let home = world.account_folder(ALICE);
    symlink("/etc/passwd", home.join("Photos/link")).unwrap();
    symlink("2019", home.join("Photos/folder link")).unwrap();
    mkfifo(&home.join("Documents/pipe"), Mode::S_IRWXU).unwrap();
    let _ = std::os::unix::net::UnixListener::bind(home.join("Documents/socket")).unwrap();
    fs::create_dir(home.join("Videos/nothing in it")).unwrap();
    let told = sign_out(&world, &[]).await.expect_code(0);
    let counts = format!("{} files removed, 4 left behind", before.files());
    assert!(told.stdout.contains(&counts), "{}", told.stdout);
    let receipts = world.manager().await.list_receipts().await.unwrap();
    let text = world
        .manager()
        .await
        .read_receipt(&receipts[0].id)
        .await
        .unwrap();
    for left in [
        "Photos/link",
        "Photos/folder link",
        "Documents/pipe",
        "Documents/socket",
    ] {
        assert!(
            fs::symlink_metadata(home.join(left)).is_ok(),
            "{left} stays"
        );
        let path = format!("path = {:?}", home.join(left));
        assert!(text.contains(&path), "no {path} in:\n{text}");
    }
    assert_eq!(belongings(&world).files(), 0);
    before.assert_same(&copies(&world).without(|name| name.ends_with(b"nothing in it")));
}

/// Whoever only looks at a job that others began, from a script, leaves it as it is; with the password
/// it goes on.
#[tokio::test]
async fn to_follow_a_job_without_a_terminal_takes_nothing_back() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut client = Client::new(&world).await;
    let account = client.account(&world).await.unwrap();
    let plan = account.plan_sign_out(Default::default()).await.unwrap();
    let job = account.sign_out(&plan.digest, Default::default()).await;
    let job = client.job(&job.unwrap()).await;
    assert_eq!(client.blocked(&job).await.error, "ReauthRequired");
    let number = job.number().await.unwrap().to_string();
    let words = ["jobs", "follow", &number];
    let left = world.ctl(&words).run().await.expect_code(4);
    assert!(left.stderr.contains("still waits"), "{}", left.stderr);
    assert_eq!(client.blocked(&job).await.error, "ReauthRequired");
    let wrong = world.ctl(&words).password("no password of alice's");
    let wrong = wrong.run().await.expect_code(4);
    assert!(wrong.stderr.contains("still waits"), "{}", wrong.stderr);
    let _ = world
        .ctl(&words)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(0);
    assert_eq!(belongings(&world).files(), 0);
    before.assert_same(&copies(&world));
}
