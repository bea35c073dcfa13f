//! The power goes in the middle of everything, and takes what was not synced. Whatever contents there
//! were are on the device, in the storage or in its trash afterwards, and all goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use mooring_tests::{Daemon, Manifest, PATIENCE, World};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::aftermath::{Verb, settle};
use crate::disk::world;
use crate::fuse::Fuse;
use crate::place;
use crate::power::Taken;
use crate::stage::{ALICE, PASSWORD, belongings, copies, fill, sign_out, sync, write};

/// After how many changes the power goes; nothing unsynced survives an even one.
const MOMENTS: [u64; 6] = [2, 5, 11, 24, 40, 66];
/// Of so many of them at least something has to be taken, or the test shows nothing.
const MUST_TAKE: usize = 2;

/// Alice's home and storage on one disk that loses what was not synced; Mooring's own databases lie
/// elsewhere.
struct Scene {
    world: World,
    daemon: Option<Daemon>,
    fuse: Option<Fuse>,
    behind: PathBuf,
    taken: Taken,
    cuts: usize,
}

impl Scene {
    async fn new() -> Self {
        let world = world();
        let disk = world.folder().join("disk");
        let (fuse, behind) = place::fuse(&world, &disk);
        for name in ["home", "storage"] {
            fs::create_dir(behind.join(name)).unwrap();
            fs::remove_dir(world.folder().join(name)).unwrap();
            symlink(disk.join(name), world.folder().join(name)).unwrap();
        }
        let daemon = world.daemon().await;
        world.sign_in(ALICE, PASSWORD).await;
        fill(&world);
        Self {
            world,
            daemon: Some(daemon),
            fuse: Some(fuse),
            behind,
            taken: Taken::default(),
            cuts: 0,
        }
    }

    /// Every byte on the disk, past the FUSE.
    fn all(&self) -> Manifest {
        self.world.manifest(&self.behind)
    }

    /// Does a verb until the power goes, and starts everything again.
    async fn cut_in(&mut self, verb: Verb, moment: u64, seed: u64, known: &Manifest) {
        let shown = format!("{verb:?} after {moment} changes, seed {seed}");
        let orders = &self.fuse.as_ref().unwrap().orders;
        orders.hold(&self.behind, Some(moment)).unwrap();
        let mut call = tokio::spawn(verb.start(&self.world).await.output());
        let ended = tokio::select! {
            () = orders.darkness() => None,
            told = &mut call => Some(told.unwrap()),
        };
        let daemon = self.daemon.take().unwrap();
        let worker = daemon.worker_pid();
        daemon.kill();
        if let Some(worker) = worker {
            // It may have seen the end of its socket first.
            let _ = kill(worker, Signal::SIGKILL);
        }
        orders.let_go();
        if let Some(worker) = worker {
            is_no_more(worker).await;
        }
        let moment_before = self.all();
        let seed = if moment.is_multiple_of(2) {
            0
        } else {
            seed + 1
        };
        let taken = orders.cut_power(seed).unwrap();
        if taken.names > 0 {
            assert_ne!(moment_before, self.all(), "{shown}: names were taken");
        }
        println!(
            "{shown}: ended {:?}, {taken:?}",
            ended.map(|told| told.code)
        );
        self.cuts += usize::from(taken.names + taken.files > 0);
        self.taken.names += taken.names;
        self.taken.files += taken.files;
        nothing_lost(&format!("{shown}, at once"), known, &self.all());
        self.daemon = Some(self.world.daemon().await);
        settle(&self.world).await;
        // The command waits for a daemon that comes back, and may end in anything.
        if !call.is_finished() {
            let _ = call.await.unwrap();
        }
        nothing_lost(&format!("{shown}, settled"), known, &self.all());
    }

    /// Each cut counts for nothing if it takes nothing.
    fn took_something(&self) {
        let Self { taken, cuts, .. } = self;
        println!("{cuts} cuts took something: {taken:?}");
        assert!(*cuts >= MUST_TAKE, "only {cuts} cuts took anything");
        assert!(taken.names > 0, "{taken:?}");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(fuse) = &self.fuse {
            fuse.orders.let_go();
        }
        // A daemon in a call to the FUSE must not outlive who answers it.
        drop(self.daemon.take());
        drop(self.fuse.take());
    }
}

/// Waits for the end of a process that is nobody's child here.
async fn is_no_more(pid: Pid) {
    let stat = format!("/proc/{pid}/stat");
    let gone = async {
        while fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("the worker ends");
}

/// Every content of `known` lies somewhere.
fn nothing_lost(shown: &str, known: &Manifest, all: &Manifest) {
    for (name, entry) in &known.0 {
        let found = all.0.values().any(|other| other.kind == entry.kind);
        assert!(found, "{shown}: lost: {}", name.escape_ascii());
    }
}

#[tokio::test]
async fn in_a_sync_that_uploads() {
    let mut scene = Scene::new().await;
    for (nr, moment) in (0..).zip(MOMENTS) {
        let home = scene.world.account_folder(ALICE);
        for n in 0..6 {
            let text = format!("round {nr}, {n}");
            write(
                &home.join(format!("Documents/new {nr}/{n}")),
                text.as_bytes(),
                0o644,
                n,
            );
        }
        write(
            &home.join("Videos/waves.avi"),
            &vec![nr as u8; 40_000],
            0o640,
            70 + nr,
        );
        let before = belongings(&scene.world);
        scene
            .cut_in(Verb::Sync, moment, u64::from(nr), &before)
            .await;
        let _ = sync(&scene.world).await.expect_code(0);
        before.assert_same(&belongings(&scene.world));
        before.assert_same(&copies(&scene.world));
    }
    scene.took_something();
}

#[tokio::test]
async fn in_a_sync_that_downloads_and_deletes() {
    let mut scene = Scene::new().await;
    let _ = sync(&scene.world).await.expect_code(0);
    for (nr, moment) in (0..).zip(MOMENTS) {
        let there = scene.behind.join("storage");
        for n in 0..6 {
            let text = format!("from elsewhere {nr}, {n}");
            write(
                &there.join(format!("Documents/far {nr}/{n}")),
                text.as_bytes(),
                0o644,
                n,
            );
        }
        write(
            &there.join("Videos/waves.avi"),
            &vec![nr as u8; 40_000],
            0o640,
            70 + nr,
        );
        let gone = there.join(format!("Photos/{}/IMG_{nr:04}.jpg", 2019 + nr % 2));
        let known = copies(&scene.world);
        fs::remove_file(gone).unwrap();
        let after = copies(&scene.world);
        scene
            .cut_in(Verb::Sync, moment, u64::from(nr), &known)
            .await;
        let _ = sync(&scene.world).await.expect_code(0);
        nothing_lost("in step", &known, &scene.all());
        after.assert_same(&copies(&scene.world));
        after.assert_same(&belongings(&scene.world));
    }
    scene.took_something();
}

#[tokio::test]
async fn in_a_sign_out_and_in_the_return() {
    let mut scene = Scene::new().await;
    for (nr, moment) in (0..).zip(MOMENTS) {
        let _ = sync(&scene.world).await.expect_code(0);
        let before = belongings(&scene.world);
        scene.cut_in(Verb::SignOut, moment * 2, nr, &before).await;
        if scene.world.account(ALICE).await.is_some() {
            let _ = sign_out(&scene.world, &[]).await.expect_code(0);
        }
        before.assert_same(&copies(&scene.world));
        assert_eq!(belongings(&scene.world).files(), 0);
        scene
            .cut_in(Verb::SignIn, moment * 2, nr + 100, &before)
            .await;
        if scene.world.account(ALICE).await.is_none() {
            let call = Verb::SignIn.start(&scene.world).await;
            let _ = call.output().await.expect_code(0);
        }
        let _ = sync(&scene.world).await.expect_code(0);
        before.assert_same(&belongings(&scene.world));
        before.assert_same(&copies(&scene.world));
    }
    scene.took_something();
}

#[tokio::test]
async fn in_an_adoption() {
    let mut scene = Scene::new().await;
    let keep = ["photos", "videos", "documents", "contacts"];
    let keep: Vec<_> = keep.iter().flat_map(|name| ["--keep", name]).collect();
    for (nr, moment) in (0..).zip(MOMENTS) {
        let _ = sync(&scene.world).await.expect_code(0);
        let before = belongings(&scene.world);
        let _ = sign_out(&scene.world, &keep).await.expect_code(0);
        before.assert_same(&belongings(&scene.world));
        // Some of it is only here, and some only there.
        let home = scene.world.account_folder(ALICE);
        write(
            &home.join(format!("Documents/only here {nr}")),
            b"only here",
            0o644,
            nr,
        );
        let known = belongings(&scene.world);
        scene
            .cut_in(Verb::SignIn, moment, u64::from(nr), &known)
            .await;
        if scene.world.account(ALICE).await.is_none() {
            let call = Verb::SignIn.start(&scene.world).await;
            let _ = call.output().await.expect_code(0);
        }
        let _ = sync(&scene.world).await.expect_code(0);
        known.assert_same(&belongings(&scene.world));
        known.assert_same(&copies(&scene.world));
    }
    scene.took_something();
}
