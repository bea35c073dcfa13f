//! The life of an account, from taking up what is there to the return after a sign-out, whatever
//! its files are like; every step timed, every promise looked at from outside.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mooring_tests::{Ctl, Daemon, World};

use crate::probe::{Measured, Probe, peak};
use crate::walk::{self, Sum};

/// A step of a million files on a slow disk.
const STEP_BOUND: Duration = Duration::from_secs(60 * 60);
/// The collection that holds the files, on this device and in the storage.
const COLLECTION: &str = "Documents";
const IDENTITY: &str = "alice";
const PASSWORD: &str = "a password of many words";
/// The file that is changed once.
const CHANGED: &str = "changed.txt";

/// A machine with a running daemon and a client that watches it.
pub struct Stage {
    pub world: Arc<World>,
    pub daemon: Arc<Daemon>,
    probe: Probe,
    /// What took how long.
    pub steps: Vec<(&'static str, Duration)>,
    quiet: bool,
    /// How often an account came or left: each time another fence, and so another worker.
    fences: u64,
}

/// What came of it.
pub struct Outcome {
    /// The measured memory and waits.
    pub measured: Measured,
    /// What took how long.
    pub steps: Vec<(&'static str, Duration)>,
    /// Promises that did not hold.
    pub broken: Vec<String>,
    /// The most workers that there can have been without a death.
    pub workers: u64,
}

impl Stage {
    /// Starts a daemon with the settings that people have, and the client.
    pub async fn new() -> Self {
        let world = Arc::new(World::new());
        world.sync_by_itself();
        // What is logged of every file would be measured, too.
        let daemon = world.daemon_with(&[("MOORING_LOG", "info".as_ref())]).await;
        let daemon = Arc::new(daemon);
        let probe = Probe::start(world.clone(), daemon.clone());
        Self {
            world,
            daemon,
            probe,
            steps: Vec::new(),
            quiet: false,
            fences: 0,
        }
    }

    /// A call of `mooringctl` that has to succeed.
    pub async fn call(&mut self, step: &'static str, arguments: &[&str], password: bool) {
        let begun = Instant::now();
        self.fences += u64::from(matches!(arguments.first(), Some(&("sign-in" | "sign-out"))));
        let ctl: Ctl = self.world.ctl(arguments).within(STEP_BOUND);
        let ctl = if password {
            ctl.password(PASSWORD)
        } else {
            ctl
        };
        let _ = ctl.run().await.expect_code(0);
        if !std::mem::take(&mut self.quiet) {
            self.took(step, begun);
        }
    }

    /// The next step is one of many, and not noted.
    pub fn quietly(&mut self) -> &mut Self {
        self.quiet = true;
        self
    }

    /// Notes a step that has ended.
    pub fn took(&mut self, step: &'static str, begun: Instant) {
        let took = begun.elapsed();
        let peak = self
            .daemon
            .worker_pid()
            .map_or(0, |pid| peak(pid.as_raw()) / 1000);
        eprintln!(
            "  {step}: {:.1} s, the worker at most {peak} MB by now",
            took.as_secs_f64()
        );
        self.steps.push((step, took));
    }

    /// Signs an identity in to a storage, with one collection.
    pub async fn sign_in(&mut self, step: &'static str, identity: &str, storage: &Path) {
        let storage = storage.to_str().expect("a plain name");
        let arguments = [
            "sign-in",
            "local",
            "--identity",
            identity,
            "--adopt",
            "--yes",
        ];
        let rest = ["--collection", "documents", "--storage", storage];
        self.call(step, &[&arguments[..], &rest[..]].concat(), true)
            .await;
    }

    /// Where an identity's files are on this device.
    pub fn here(&self, identity: &str) -> PathBuf {
        self.world.account_folder(identity).join(COLLECTION)
    }

    /// Ends the client and the daemon.
    pub async fn end(self, broken: Vec<String>) -> Outcome {
        let measured = self.probe.end();
        let daemon = Arc::try_unwrap(self.daemon);
        let status = daemon.expect("nobody else has it").terminate().await;
        assert!(status.success(), "the daemon ended with {status}");
        Outcome {
            measured,
            steps: self.steps,
            broken,
            workers: 1 + self.fences,
        }
    }
}

/// Plays it over the files that `make` makes in a folder.
pub async fn play(make: impl FnOnce(&Path)) -> Outcome {
    let mut stage = Stage::new().await;
    let (here, storage) = (stage.here(IDENTITY), stage.world.storage());
    let there = storage.join(COLLECTION);
    let begun = Instant::now();
    fs::create_dir_all(&here).expect("a folder");
    make(&here);
    stage.took("make", begun);
    let mut broken = Vec::new();

    stage.sign_in("sign in", IDENTITY, &storage).await;
    compare("after the sign-in", &here, &there, &mut broken);
    stage.call("look again", &["sync", "--wait"], false).await;
    let folder = File::open(&here).expect("the folder");
    walk::write(&folder, CHANGED, b"one change\n");
    drop(folder);
    stage.call("one change", &["sync", "--wait"], false).await;
    let whole = compare("after the change", &here, &there, &mut broken);

    let begun = Instant::now();
    stage
        .call("sign out", &["sign-out", IDENTITY, "--yes"], true)
        .await;
    eprintln!(
        "    {:.0} files/s",
        whole.files as f64 / begun.elapsed().as_secs_f64()
    );
    let left = Sum::of(&here);
    if left != Sum::default() {
        broken.push(format!("after the sign-out there is left here {left:?}"));
    }
    equal(
        "the storage after the sign-out",
        whole,
        Sum::of(&there),
        &mut broken,
    );

    stage.sign_in("sign in again", IDENTITY, &storage).await;
    equal("what came back", whole, Sum::of(&here), &mut broken);
    stage.end(broken).await
}

fn compare(when: &str, here: &Path, there: &Path, broken: &mut Vec<String>) -> Sum {
    let here = Sum::of(here);
    equal(when, here, Sum::of(there), broken);
    here
}

/// How much more space a copy may take than its original: blocks at the edges of holes.
const MORE_SPACE: u64 = 64 * 1024 * 1024;

/// The same files, and no holes that were filled.
fn equal(when: &str, one: Sum, other: Sum, broken: &mut Vec<String>) {
    if one.contents() != other.contents() {
        broken.push(format!("{when}: {other:?}, not {one:?}"));
    } else if other.space > one.space + one.space / 2 + MORE_SPACE {
        broken.push(format!(
            "{when}: {} MB take {} MB of the disk",
            one.space / 1_000_000,
            other.space / 1_000_000
        ));
    }
}
