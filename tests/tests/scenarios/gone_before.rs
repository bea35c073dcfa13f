//! What goes while a sign-out is under way, by somebody else's hand, and what comes back with a
//! question. The receipt claims nothing that Mooring did not do.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use mooring_tests::{Fault, World};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::stage::{
    ALICE, PASSWORD, belongings, copies, everything_comes_back, last_receipt, sign_in, sign_out,
    signed_in,
};

/// A worker that, once `fault` has killed the one before, waits at a gate until it is let in. Later ones
/// go through.
struct Gate {
    worker: PathBuf,
    pipe: PathBuf,
}

impl Gate {
    fn new(world: &World, fault: &Fault) -> Self {
        let (worker, pipe) = (world.folder().join("worker"), world.folder().join("gate"));
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let real = world.binaries().join("mooring-worker");
        let mark = fault.env().1.to_str().unwrap().split_once('@').unwrap().1;
        let script = format!(
            "#!/bin/sh\nif [ -e '{mark}' ] && [ ! -e '{pipe}.in' ]; then\n\
             read go < '{pipe}'\n: > '{pipe}.in'\nfi\nexec '{real}' \"$@\"\n",
            pipe = pipe.display(),
            real = real.display()
        );
        fs::write(&worker, script).unwrap();
        fs::set_permissions(&worker, Permissions::from_mode(0o755)).unwrap();
        Self { worker, pipe }
    }

    /// Waits until a worker stands at the gate.
    async fn reached(&self) -> File {
        let pipe = self.pipe.clone();
        // Opens once the other end is opened.
        let open = move || File::options().write(true).open(pipe).unwrap();
        tokio::task::spawn_blocking(open).await.unwrap()
    }
}

#[tokio::test]
async fn what_somebody_else_takes_during_the_removal_is_not_claimed() {
    let world = World::new();
    let (daemon, before) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    let fault = world.fault("worker/commit-gone:1");
    let gate = Gate::new(&world, &fault);
    let worker = ("MOORING_WORKER", gate.worker.as_os_str());
    let _daemon = world.daemon_with(&[fault.env(), worker]).await;

    let call = tokio::spawn({
        let arguments = ["sign-out", ALICE, "--yes"];
        let call = world.ctl(&arguments).password(PASSWORD).start().await;
        call.output()
    });
    // The first died once the photos were gone, and could not say so. Those are its own doing; of
    // the documents nothing was about to go.
    let mut go = gate.reached().await;
    assert!(fault.struck());
    let taken = world.account_folder(ALICE).join("Documents/script");
    fs::remove_file(&taken).unwrap();
    go.write_all(b"go\n").unwrap();
    drop(go);

    let told = call.await.unwrap().expect_code(0).stdout;
    let said = format!(
        "{} files removed, 1 gone before that and named in the receipt.",
        before.files() - 1
    );
    assert!(told.contains(&said), "{told}");
    let receipt = last_receipt(&world).await;
    let (_, gone) = receipt.split_once("\n[gone-before]\n").unwrap();
    let (gone, _) = gone.split_once("\n[").unwrap();
    assert!(gone.contains("files = 1\n"), "{receipt}");
    assert!(gone.contains(taken.to_str().unwrap()), "{receipt}");
    before.assert_same(&copies(&world));
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn what_was_deleted_on_either_side_while_away_is_one_question() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let _ = sign_out(&world, &["--keep", "contacts"])
        .await
        .expect_code(0);
    let here = world.account_folder(ALICE).join("Contacts");
    let there = world.storage().join("Contacts");
    let [mine, theirs] = ["000000000003.vcf", "000000000004.vcf"];
    fs::remove_file(here.join(mine)).unwrap();
    fs::remove_file(there.join(theirs)).unwrap();

    let told = world
        .ctl(&[
            "sign-in",
            "local",
            "--identity",
            ALICE,
            "--storage",
            world.storage().to_str().unwrap(),
            "--yes",
            "--json",
        ])
        .password(PASSWORD);
    let told = told.run().await.expect_code(0).json();
    assert_eq!(told["outcome"]["returned"]["held"], 2, "{told}");
    assert_eq!(told["outcome"]["held"], 2, "{told}");
    assert_eq!(told["outcome"]["returned"]["missing-total"], 0, "{told}");
    assert!(!here.join(mine).exists() && !there.join(theirs).exists());
    // Neither side decides by itself, however often it is looked at, and no sign-out passes by it.
    let again = crate::stage::sync(&world).await.expect_code(0).stdout;
    assert!(again.contains("2 files held"), "{again}");
    let _ = world
        .ctl(&["sign-out", ALICE, "--dry-run"])
        .run()
        .await
        .expect_code(5);

    let _ = world.ctl(&["resolve", "--keep"]).run().await.expect_code(0);
    before.assert_same(&belongings(&world));
    before.assert_same(&copies(&world));
    let _ = sign_out(&world, &[]).await.expect_code(0);
    let _ = sign_in(&world)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(0);
    before.assert_same(&belongings(&world));
}
