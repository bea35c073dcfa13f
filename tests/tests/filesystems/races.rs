//! A program that changes Alice's files while Mooring removes them: it writes into them, renames over
//! them, and swaps folders for links to folders of decoys. Not one foreign or changed byte may go.
//! `MOORING_RACE_ROUNDS` says how many changes at least.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mooring_api::RetryOptions;
use mooring_tests::{Manifest, World};

use crate::disk::world;
use crate::stage::{ALICE, Client, PASSWORD, belongings, copies, signed_in, write};

const DEFAULT_ROUNDS: usize = 300;
/// Changes in one sign-out.
const IN_ONE: usize = 100;
/// Alice's files that are raced for.
const FILES: usize = 400;

/// What is owed: by its path the last content that the program gave a file.
type Owed = BTreeMap<PathBuf, Vec<u8>>;

struct Racer {
    photos: PathBuf,
    decoys: PathBuf,
    nr: usize,
    owed: Owed,
}

impl Racer {
    fn raced(photos: &Path, nr: usize) -> PathBuf {
        photos.join(format!("race {}/{nr:03}", nr % 4))
    }

    /// Changes files until it is told to stop, or has done enough.
    fn run(mut self, stop: &AtomicBool) -> Self {
        // From the moment at which the first file is taken off.
        while (0..FILES).all(|nr| Self::raced(&self.photos, nr).exists())
            && !stop.load(Ordering::Relaxed)
        {
            thread::yield_now();
        }
        for _ in 0..IN_ONE {
            self.nr += 1;
            self.act();
        }
        self
    }

    fn act(&mut self) {
        let nr = self.nr;
        let path = Self::raced(&self.photos, nr * 37 % FILES);
        let folder = path.parent().unwrap().to_owned();
        let content = format!("race {nr}").into_bytes();
        match nr % 4 {
            0 => {
                // In place, if it is still there.
                if let Ok(mut file) = fs::File::options().append(true).open(&path) {
                    use std::io::{Read, Write};
                    file.write_all(&content).unwrap();
                    let mut whole = Vec::new();
                    let mut again = fs::File::open(format!("/proc/self/fd/{}", {
                        use std::os::fd::AsRawFd;
                        file.as_raw_fd()
                    }))
                    .unwrap();
                    again.read_to_end(&mut whole).unwrap();
                    self.owed.insert(path, whole);
                }
            }
            1 => {
                let new = self.photos.join(format!("new {nr}"));
                fs::write(&new, &content).unwrap();
                let to = if fs::rename(&new, &path).is_ok() {
                    path
                } else {
                    new
                };
                self.owed.insert(to, content);
            }
            2 => {
                let new = folder.join(format!("arrived {nr}"));
                if fs::write(&new, &content).is_ok() {
                    self.owed.insert(new, content);
                }
            }
            _ => self.swap(&folder),
        }
    }

    /// A folder becomes a link to decoys of the same names, and is itself again.
    fn swap(&self, folder: &Path) {
        let aside = self.photos.join("aside");
        if fs::rename(folder, &aside).is_err() {
            return;
        }
        symlink(&self.decoys, folder).unwrap();
        for _ in 0..50 {
            thread::yield_now();
        }
        fs::remove_file(folder).unwrap();
        fs::rename(&aside, folder).unwrap();
    }
}

fn everything_owed_is_there(world: &World, owed: &Owed) {
    let all: Vec<_> = [belongings(world), copies(world)]
        .iter()
        .flat_map(|m: &Manifest| m.0.values().map(|e| e.kind.clone()).collect::<Vec<_>>())
        .collect();
    for (path, content) in owed {
        let kind = mooring_tests::Kind::File(content.len() as u64, blake3::hash(content));
        assert!(all.contains(&kind), "lost: {}", path.display());
    }
}

#[tokio::test]
async fn nothing_that_a_program_changes_during_the_removal_is_lost() {
    let rounds = std::env::var("MOORING_RACE_ROUNDS");
    let rounds = rounds.map_or(DEFAULT_ROUNDS, |n| n.parse().unwrap());
    let world = world();
    let (daemon, _) = signed_in(&world).await;
    let photos = world.account_folder(ALICE).join("Photos");
    let decoys = world.folder().join("decoys");
    for nr in 0..FILES {
        write(&decoys.join(format!("{nr:03}")), b"a decoy", 0o644, 1);
    }
    let untouched = world.manifest(&decoys);
    let mut racer = Racer {
        photos: photos.clone(),
        decoys: decoys.clone(),
        nr: 0,
        owed: Owed::new(),
    };
    while racer.nr < rounds {
        for nr in 0..FILES {
            let (path, content) = (Racer::raced(&photos, nr), format!("file {nr} {}", racer.nr));
            write(&path, content.as_bytes(), 0o644, nr as u32);
            racer.owed.insert(path, content.into_bytes());
        }
        let _ = crate::stage::sync(&world).await.expect_code(0);
        let mut client = Client::new(&world).await;
        let job = client.begin_sign_out(&world).await;
        let stop = Arc::new(AtomicBool::new(false));
        let racing = thread::spawn({
            let stop = stop.clone();
            move || racer.run(&stop)
        });
        let mut looks = 0;
        loop {
            let state = client
                .until("that it ends or waits", async || {
                    let state = job.state().await.unwrap();
                    (state == "finished" || state == "blocked").then_some(state)
                })
                .await;
            if state == "finished" {
                break;
            }
            if racing.is_finished() {
                looks += 1;
                assert!(looks < 20, "{:?}", job.blocked().await);
            }
            // Files changed and folders swapped: it looks again.
            let _ = job.retry(RetryOptions::default()).await;
        }
        stop.store(true, Ordering::Relaxed);
        racer = racing.join().unwrap();
        let outcome = job.outcome().await.unwrap();
        assert!(outcome.success, "{outcome:?}");
        everything_owed_is_there(&world, &racer.owed);
        untouched.assert_same(&world.manifest(&decoys));
        let storage = world.storage();
        let again = [
            "sign-in",
            "local",
            "--identity",
            ALICE,
            "--yes",
            "--adopt",
            "--storage",
        ];
        let again = [&again[..], &[storage.to_str().unwrap()]].concat();
        let told = world.ctl(&again).password(PASSWORD).run().await;
        let _ = told.expect_code(0);
        everything_owed_is_there(&world, &racer.owed);
        // What the return may have kept twice stays; the next round starts from what there is.
        racer.owed.clear();
    }
    println!("{} changes raced a removal", racer.nr);
    assert!(daemon.terminate().await.success());
}
