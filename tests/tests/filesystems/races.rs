//! Programs that change Alice's files while Mooring removes them, in every way that a program can
//! (`mooring_tests::Race`). Not one foreign or changed byte may go: each content that they ever
//! gave a file is on the device or in the storage, and the decoys are what they were.
//!
//! `MOORING_RACE_ROUNDS` says how many attacks at least. One counts when it met something: a file
//! that was still there, or the folder of one. Half of the sign-outs are on this system's own file
//! system, half on one in memory, where a mapping is written without a trace.

use std::process::Command;
use std::{env, fs};

use mooring_api::{JobProxy, RetryOptions};
use mooring_tests::{Attacks, Manifest, Race, Raced, Racer, World};
use tokio::time::Instant;

use crate::disk;
use crate::place::{self, Mounted};
use crate::stage::{ALICE, Client, PASSWORD, write};

const DEFAULT_ROUNDS: usize = 600;
/// Attacks in one sign-out, at most.
const IN_ONE: usize = 2000;
/// Alice's files that are raced for.
const FILES: usize = 800;
/// How often a sign-out is asked to go on after the last attack.
const LOOKS: usize = 20;

/// A world with files that are raced for, and a copy of `/etc` that is none of Alice's.
struct Arena {
    // Goes before the folder that it is mounted in.
    _memory: Option<Mounted>,
    world: World,
    race: Race,
    untouched: Manifest,
}

impl Arena {
    fn new(number: usize) -> Self {
        let world = match number {
            0 => disk::world(),
            // This thread has its own mounts already.
            _ => World::new(),
        };
        let memory = (number % 2 == 1).then(|| place::memory(&world.home()));
        let decoys = world.folder().join("decoys");
        let copied = Command::new("cp")
            .args(["-a", "/etc"])
            .arg(&decoys)
            .status();
        assert!(copied.unwrap().success());
        for nr in 0..FILES {
            write(&decoys.join(format!("{nr:04}")), b"a decoy", 0o644, 1);
        }
        let race = Race {
            root: world
                .account_folder(ALICE)
                .join("Photos")
                .to_str()
                .unwrap()
                .to_owned(),
            files: FILES,
            decoys: vec![decoys.to_str().unwrap().to_owned()],
            bind: true,
        };
        Self {
            _memory: memory,
            untouched: world.manifest(&decoys),
            world,
            race,
        }
    }

    /// Alice signs in and has her files in the storage.
    async fn fill(&self, number: usize, raced: &mut Raced) {
        self.world.sign_in(ALICE, PASSWORD).await;
        for nr in 0..FILES {
            let path = format!("{}/{}", self.race.root, Race::file(nr));
            let content = self.race.content(nr, number);
            write(path.as_ref(), &content, 0o644, nr as u32 % 500);
            raced.owed.insert(path, content);
        }
        let _ = crate::stage::sync(&self.world).await.expect_code(0);
    }

    fn check(&self, raced: &Raced) {
        let kept = self.world.manifest(self.world.home());
        raced.expect_in(&[kept, self.world.manifest(self.world.storage())]);
        let decoys = self.world.manifest(&self.race.decoys[0]);
        self.untouched.assert_same(&decoys);
    }

    /// Signs out while it is raced.
    async fn sign_out(&self, number: usize, rounds: usize, raced: &mut Raced) {
        let mut client = Client::new(&self.world).await;
        let command = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            command
        };
        let mut racers = [0, 1].map(|part| {
            let number = 2 * number + part;
            self.race.start(part, number, rounds.div_ceil(2), command)
        });
        let job = client.begin_sign_out(&self.world).await;
        go_on_to_the_end(&mut client, &job, &mut racers).await;
        for racer in racers {
            racer.end(raced);
        }
        let outcome = job.outcome().await.unwrap();
        assert!(outcome.success, "{outcome:?}");
    }
}

/// Files change and folders are swapped: whenever it waits, it is to look again.
async fn go_on_to_the_end(client: &mut Client, job: &JobProxy<'_>, racers: &mut [Racer]) {
    let mut looks = 0;
    loop {
        let state = client
            .until("that it ends or waits", async || {
                let state = job.state().await.unwrap();
                (state == "finished" || state == "blocked").then_some(state)
            })
            .await;
        if state == "finished" {
            return;
        }
        if racers.iter_mut().all(Racer::is_done) {
            looks += 1;
            assert!(looks < LOOKS, "{:?}", job.blocked().await);
        }
        // It may have gone on by itself meanwhile.
        let _ = job.retry(RetryOptions::default()).await;
    }
}

#[tokio::test]
async fn nothing_that_a_program_changes_during_the_removal_is_lost() {
    let rounds = env::var("MOORING_RACE_ROUNDS");
    let rounds = rounds.map_or(DEFAULT_ROUNDS, |n| n.parse().unwrap());
    let began = Instant::now();
    let (mut attacks, mut number) = (Attacks::default(), 0);
    while attacks.all() < rounds || number < 2 {
        let left = rounds.saturating_sub(attacks.all());
        let arena = Arena::new(number);
        let mut raced = Raced::default();
        let daemon = arena.world.daemon().await;
        arena.fill(number, &mut raced).await;
        arena
            .sign_out(
                number,
                left.clamp(rounds.min(IN_ONE) / 2, IN_ONE),
                &mut raced,
            )
            .await;
        arena.check(&raced);
        come_back(&arena.world).await;
        arena.check(&raced);
        attacks.add(raced);
        assert!(daemon.terminate().await.success());
        number += 1;
    }
    println!("{number} sign-outs, {:?}; {attacks}", began.elapsed());
}

/// Alice signs in again, and takes up what was left.
async fn come_back(world: &World) {
    let storage = world.storage();
    let storage = storage.to_str().unwrap();
    let words = ["sign-in", "local", "--identity", ALICE, "--yes", "--adopt"];
    let again = world.ctl(&[&words[..], &["--storage", storage]].concat());
    let _ = again.password(PASSWORD).run().await.expect_code(0);
}

/// A mapping on an overlay is of the file below, of which a lease knows nothing: the receipt says so.
#[tokio::test]
async fn on_an_overlay_the_receipt_says_that_writers_are_not_excluded() {
    let world = disk::world();
    let _overlay = place::overlay(&world, &world.home());
    let (daemon, _) = crate::stage::signed_in(&world).await;
    let _ = crate::stage::sign_out(&world, &[]).await.expect_code(0);
    let folder = world.state().join("receipts");
    let receipts = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let receipt = fs::read_to_string(receipts.last().unwrap().path()).unwrap();
    assert!(receipt.contains("writers-excluded = false"), "{receipt}");
    assert!(
        receipt.contains("none that keep every program out"),
        "{receipt}"
    );
    assert!(daemon.terminate().await.success());
}
