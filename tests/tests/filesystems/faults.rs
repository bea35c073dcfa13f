//! Storage that fails in the middle: each kind of call, with each error, at each stage. Nothing is
//! lost, the account says what is wrong and what to do, and it goes on once the fault is gone.

use std::fs;
use std::path::PathBuf;

use mooring_api::RetryOptions;
use mooring_tests::{Daemon, Manifest, World};
use nix::libc::{EACCES, EDQUOT, EIO, ENOSPC, EROFS};

use crate::disk::world;
use crate::fuse::Fuse;
use crate::orders::Op;
use crate::place;
use crate::stage::{
    ALICE, Client, PASSWORD, belongings, everything_comes_back, fill, plain, sign_in, sign_out,
    signed_in, sync, write,
};

/// What fails: the call, the error, from which call on, and what has to be said of it.
const FAULTS: &[(Op, i32, u64, &[&str])] = &[
    (Op::Write, EIO, 1, &["Input/output"]),
    (Op::Write, EIO, 3, &["Input/output"]),
    (
        Op::Write,
        ENOSPC,
        1,
        &["no space is left", "free some space"],
    ),
    (Op::Write, EDQUOT, 2, &["quota", "free some space"]),
    (Op::Fsync, EIO, 1, &["Input/output"]),
    (Op::Fsync, EIO, 3, &["Input/output"]),
    (Op::Fsync, ENOSPC, 2, &["no space is left"]),
    (Op::Rename, EIO, 1, &["Input/output"]),
    (Op::Rename, EACCES, 1, &["ermission denied"]),
    (Op::Create, ENOSPC, 1, &["no space is left"]),
    (Op::Create, EROFS, 1, &["ead-only"]),
    (Op::Create, EACCES, 2, &["ermission denied"]),
    (Op::List, EIO, 1, &["Input/output"]),
    (Op::List, EIO, 4, &["Input/output"]),
    (Op::Open, EIO, 2, &["Input/output"]),
    (Op::Unlink, EIO, 1, &["Input/output"]),
    (Op::SetTimes, EIO, 1, &["Input/output"]),
    (Op::Change, EROFS, 1, &["ead-only"]),
];

/// Alice in step with a storage on a FUSE, and the folder that it really lies in.
struct Scene {
    world: World,
    daemon: Option<Daemon>,
    behind: PathBuf,
    fuse: Option<Fuse>,
}

impl Scene {
    async fn new() -> Self {
        let world = world();
        let (fuse, behind) = place::fuse(&world, &world.storage());
        let (daemon, _) = signed_in(&world).await;
        Self {
            world,
            daemon: Some(daemon),
            behind,
            fuse: Some(fuse),
        }
    }

    fn fuse(&self) -> &Fuse {
        self.fuse.as_ref().unwrap()
    }

    /// What the storage truly holds, looked at past the FUSE.
    fn stored(&self) -> Manifest {
        plain(self.world.manifest(&self.behind))
    }

    async fn message(&self) -> String {
        let account = self.world.account(ALICE).await.unwrap();
        account.state_message().await.unwrap()
    }

    /// Changes of all kinds, so that a sync has to do all kinds of things.
    fn edit(&self, nr: u32) {
        let home = self.world.account_folder(ALICE);
        let content = format!("edited {nr}");
        write(&home.join("Documents/empty"), content.as_bytes(), 0o644, nr);
        let new = format!("Documents/new {nr}/file");
        write(&home.join(new), content.as_bytes(), 0o600, nr);
    }

    /// A file of Alice's gets another name.
    fn rename(&self, nr: u32) {
        let photos = self.world.account_folder(ALICE).join("Photos");
        let [from, to] = [nr - 1, nr].map(|nr| photos.join(format!("moves about {nr}")));
        if from.exists() {
            fs::rename(from, to).unwrap();
        } else {
            write(&to, b"moves about", 0o644, 3);
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A daemon in a call to the FUSE must not outlive who answers it.
        drop(self.daemon.take());
        drop(self.fuse.take());
    }
}

#[tokio::test]
async fn a_sync_survives_every_fault_and_goes_on_without_a_restart() {
    let scene = Scene::new().await;
    let mut met = 0;
    for (nr, (op, errno, nth, said)) in (1..).zip(FAULTS) {
        let shown = format!("{op:?} {errno} from {nth}");
        scene.edit(nr);
        scene.rename(nr);
        let (here, there) = (belongings(&scene.world), scene.stored());
        scene.fuse().orders.fail(*op, *errno, *nth);
        let told = sync(&scene.world).await;
        let struck = scene.fuse().orders.met();
        here.assert_same(&belongings(&scene.world));
        nothing_lost(&shown, &[&here, &there], &[&here, &scene.stored()]);
        if struck > 0 {
            met += 1;
            let text = format!(
                "{}\n{}\n{}",
                told.stdout,
                told.stderr,
                scene.message().await
            );
            println!("{shown}: exit {}\n{text}", told.code);
            if *op == Op::Unlink && told.code == 0 && text.contains("in step") {
                // Only a replaced file would not go: its successor is in place, and the next sync
                // sweeps it.
                scene.fuse().orders.heal();
                let _ = sync(&scene.world).await.expect_code(0);
                let uploads = scene.behind.join(".mooring/uploads");
                assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0, "{shown}");
                continue;
            }
            let known = said.iter().all(|said| text.contains(said));
            assert!(known, "{shown}: exit {}: {text}", told.code);
            // Files that wait are told one by one; whatever stops the whole is the account's state.
            let waits = text.contains("could not be synced now");
            assert!(
                waits || told.code == 1,
                "{shown}: exit {}: {text}",
                told.code
            );
            assert!(!text.contains("in step"), "{shown}: {text}");
            // A right that is missing on the way is told by the command alone.
            if !waits && *errno != EACCES {
                let account = scene.world.account(ALICE).await.unwrap();
                let state = account.state().await.unwrap();
                assert_eq!(state, "needs-attention", "{shown}: {text}");
            }
        }
        scene.fuse().orders.heal();
        let _ = sync(&scene.world).await.expect_code(0);
        here.assert_same(&belongings(&scene.world));
        here.assert_same(&scene.stored());
        assert_eq!(
            scene.message().await,
            "",
            "{shown}: nothing is wrong any more"
        );
    }
    assert!(met >= FAULTS.len() - 2, "only {met} faults were met");
}

/// Every content of `before` is in `after`, under whatever name.
fn nothing_lost(shown: &str, before: &[&Manifest], after: &[&Manifest]) {
    let there: Vec<_> = after
        .iter()
        .flat_map(|m| m.0.values())
        .map(|e| &e.kind)
        .collect();
    for (name, entry) in before.first().unwrap().0.iter() {
        assert!(
            there.contains(&&entry.kind),
            "{shown}: lost: {}",
            name.escape_ascii()
        );
    }
}

#[tokio::test]
async fn a_sign_out_survives_every_fault_and_goes_on() {
    let scene = Scene::new().await;
    let mut client = Client::new(&scene.world).await;
    let faults = [
        (Op::Write, EIO, 1),
        (Op::Fsync, EIO, 2),
        (Op::Fsync, EIO, 5),
        (Op::Rename, EIO, 2),
        (Op::Read, EIO, 1),
        (Op::Read, EIO, 20),
        (Op::Open, EIO, 9),
        (Op::List, EIO, 6),
        (Op::List, EIO, 12),
        (Op::List, EACCES, 15),
        (Op::Change, EROFS, 1),
        (Op::Create, ENOSPC, 1),
    ];
    for (nr, (op, errno, nth)) in (1..).zip(faults) {
        scene.edit(nr);
        let before = belongings(&scene.world);
        scene.fuse().orders.fail(op, errno, nth);
        let account = client.account(&scene.world).await.unwrap();
        if let Err(error) = account.plan_sign_out(Default::default()).await {
            // There is not even a plan, so that nothing began.
            println!("{op:?} {errno} from {nth}: {error}");
            assert!(scene.fuse().orders.heal() > 0, "{error}");
            before.assert_same(&belongings(&scene.world));
        }
        let job = client.begin_sign_out(&scene.world).await;
        let state = client
            .until("that it ends or waits", async || {
                let state = job.state().await.unwrap();
                (state == "finished" || state == "blocked").then_some(state)
            })
            .await;
        let struck = scene.fuse().orders.met();
        let said = job.blocked().await.unwrap();
        println!("{op:?} {errno} from {nth}: {struck} met, {state}, {said:?}");
        nothing_lost(
            "sign-out",
            &[&before],
            &[&belongings(&scene.world), &scene.stored()],
        );
        scene.fuse().orders.heal();
        if state == "blocked" {
            assert!(struck > 0 && !said.message.is_empty(), "{said:?}");
            job.retry(RetryOptions::default()).await.unwrap();
        }
        let outcome = client.outcome(&job).await;
        assert!(outcome.success, "{op:?} {errno}: {outcome:?}");
        before.assert_same(&scene.stored());
        assert_eq!(belongings(&scene.world).files(), 0);
        everything_comes_back(&scene.world, &before).await;
    }
}

#[tokio::test]
async fn a_return_survives_every_fault() {
    let scene = Scene::new().await;
    let before = belongings(&scene.world);
    let _ = sign_out(&scene.world, &[]).await.expect_code(0);
    for (op, errno, nth) in [
        (Op::Read, EIO, 1),
        (Op::Read, EIO, 12),
        (Op::Open, EIO, 8),
        (Op::List, EIO, 3),
        (Op::List, EIO, 7),
        (Op::Change, EROFS, 1),
    ] {
        scene.fuse().orders.fail(op, errno, nth);
        let told = sign_in(&scene.world).password(PASSWORD).run().await;
        println!(
            "{op:?} {errno} from {nth}: exit {}\n{}",
            told.code, told.stderr
        );
        before.assert_same(&scene.stored());
        let struck = scene.fuse().orders.heal();
        assert!(struck == 0 || told.code != 0, "{told:?}");
        if let Some(account) = scene.world.account(ALICE).await {
            // What can no longer be undone waits, and goes on.
            let job = account.job().await.unwrap();
            let number = job.rsplit('/').next().unwrap().to_owned();
            let retry = scene.world.ctl(&["jobs", "retry", &number]);
            let _ = retry.run().await.expect_code(0);
            let follow = scene.world.ctl(&["jobs", "follow", &number]);
            // mooringctl asked it to be cancelled, which it can be again now.
            if follow.run().await.code != 0 {
                let call = sign_in(&scene.world).password(PASSWORD).run().await;
                let _ = call.expect_code(0);
            }
        } else {
            let call = sign_in(&scene.world).password(PASSWORD).run().await;
            let _ = call.expect_code(0);
        }
        before.assert_same(&belongings(&scene.world));
        let _ = sign_out(&scene.world, &[]).await.expect_code(0);
        before.assert_same(&scene.stored());
    }
}

/// A copy that reads back otherwise than it was written is no copy, and nothing is removed for it.
#[tokio::test]
async fn a_bit_that_flips_in_reading_keeps_the_file_here() {
    let scene = Scene::new().await;
    let before = belongings(&scene.world);
    let home = scene.world.account_folder(ALICE);
    write(&home.join("Videos/fresh.avi"), &vec![5; 50_000], 0o644, 2);
    let all = belongings(&scene.world);
    scene.fuse().orders.rot("Videos/fresh.avi");
    let told = sign_out(&scene.world, &[]).await;
    println!("flip: exit {}\n{}\n{}", told.code, told.stdout, told.stderr);
    assert_ne!(told.code, 0);
    assert!(scene.fuse().orders.met() > 0);
    assert!(told.stderr.contains("fresh.avi"), "{}", told.stderr);
    nothing_lost("flip", &[&all, &before], &[&belongings(&scene.world)]);
    scene.fuse().orders.heal();
    let _ = sync(&scene.world).await.expect_code(0);
    let _ = sign_out(&scene.world, &[]).await.expect_code(0);
    all.assert_same(&scene.stored());
    everything_comes_back(&scene.world, &all).await;
}

#[tokio::test]
async fn a_power_cut_takes_nothing_that_was_reported_done() {
    let mut scene = Scene::new().await;
    for nr in 1..6 {
        scene.edit(nr);
        let before = belongings(&scene.world);
        scene.fuse().orders.hold(&scene.behind, None).unwrap();
        let _ = sync(&scene.world).await.expect_code(0);
        let _ = scene.daemon.take().map(Daemon::kill);
        // All of it: what was reported done has to stand without any luck.
        let taken = scene.fuse().orders.cut_power(0).unwrap();
        println!("not durable was {taken:?}");
        before.assert_same(&scene.stored());
        scene.daemon = Some(scene.world.daemon().await);
        let _ = sync(&scene.world).await.expect_code(0);
        before.assert_same(&belongings(&scene.world));
    }
}

#[tokio::test]
async fn a_backup_on_a_failing_disk_does_not_count() {
    let world = world();
    let at = world.folder().join("stick");
    let (fuse, _) = place::fuse(&world, &at);
    let (daemon, before) = signed_in(&world).await;
    let to = at.to_str().unwrap().to_owned();
    for (op, errno, nth) in [
        (Op::Write, EIO, 5),
        (Op::Write, ENOSPC, 1),
        (Op::Fsync, EIO, 3),
        (Op::Rename, EIO, 1),
        (Op::Read, EIO, 2),
        (Op::Create, EROFS, 1),
    ] {
        fuse.orders.fail(op, errno, nth);
        let told = world.ctl(&["backup", ALICE, "--to", &to]).run().await;
        println!("{op:?} {errno}: exit {}\n{}", told.code, told.stderr);
        assert!(fuse.orders.heal() > 0 && told.code == 1, "{op:?}: {told:?}");
        before.assert_same(&belongings(&world));
    }
    let call = world.ctl(&["backup", ALICE, "--to", &to]).run().await;
    let _ = call.expect_code(0);
    assert!(daemon.terminate().await.success());
    drop(fuse);
}

/// The home itself is on a FUSE.
#[tokio::test]
async fn a_home_on_fuse_is_left_without_loss() {
    let world = world();
    let (fuse, _) = place::fuse(&world, &world.home().join("Accounts"));
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    fill(&world);
    let before = belongings(&world);
    let _ = sync(&world).await.expect_code(0);
    let told = sign_out(&world, &[]).await.expect_code(0);
    println!("{}", told.stdout);
    before.assert_same(&crate::stage::copies(&world));
    everything_comes_back(&world, &before).await;
    assert!(daemon.terminate().await.success());
    drop(fuse);
}
