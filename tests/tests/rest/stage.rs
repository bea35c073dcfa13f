//! An account at rest, and waiting for what comes out of it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mooring_tests::{Daemon, Manifest, PATIENCE, World};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

pub const ALICE: &str = "alice";
pub const BOB: &str = "bob";
pub const PASSWORD: &str = "correct horse battery staple";

/// A world that syncs by itself, and whose workers end after a second without work.
pub fn restless() -> World {
    let world = World::new();
    world.sync_by_itself();
    idle(&world, 1);
    world
}

/// How long a worker is without work when it ends. With more than the two seconds after which a watch
/// tells of what the worker itself wrote, nothing is about to be told at rest.
pub fn idle(world: &World, seconds: u8) {
    let settings = world.config().join("mooring.d/20-rest.toml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(settings, format!("[sync]\nidle-exit-seconds = {seconds}\n")).unwrap();
}

/// Alice signed in with a few files, everything in the storage, and no worker.
pub async fn at_rest() -> (World, Daemon) {
    let world = restless();
    let daemon = world.daemon().await;
    fill(&world).await;
    rested(&daemon).await;
    (world, daemon)
}

/// Signs Alice in with a few files, and waits until everything is in the storage.
pub async fn fill(world: &World) {
    world.sign_in(ALICE, PASSWORD).await;
    for n in 0..20 {
        write(world, &format!("Documents/folder {}/{n}", n % 4), "first");
    }
    in_step(world).await;
}

/// Writes one of Alice's files.
pub fn write(world: &World, name: &str, content: &str) {
    let path = here(world, name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// One of Alice's files, on this device.
pub fn here(world: &World, name: &str) -> PathBuf {
    world.account_folder(ALICE).join(name)
}

/// Its copy in the storage.
pub fn there(world: &World, name: &str) -> PathBuf {
    world.storage().join(name)
}

fn own(name: &[u8]) -> bool {
    name.split(|b| *b == b'/')
        .any(|part| part.starts_with(b".mooring"))
}

fn both(world: &World) -> [Manifest; 2] {
    [world.account_folder(ALICE), world.storage()].map(|folder| world.manifest(folder).without(own))
}

/// Waits until both sides hold the same.
pub async fn in_step(world: &World) {
    until("both sides in step", || {
        let [ours, theirs] = both(world);
        ours == theirs
    })
    .await;
}

/// Waits until something is so that no event tells: what stands in files and in the journal.
pub async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    while !seen() {
        assert!(Instant::now() < deadline, "never came: {what}");
        look.tick().await;
    }
}

/// Waits until no worker runs.
pub async fn rested(daemon: &Daemon) {
    until("the rest", || {
        daemon.worker_pid().is_none() && is_handed_over(daemon)
    })
    .await;
}

fn is_handed_over(daemon: &Daemon) -> bool {
    let log = daemon.log();
    let last = |what: &str| log.rfind(what);
    last("the worker rests") > last("started a worker")
}

/// How often the journal tells this.
pub fn told(daemon: &Daemon, what: &str) -> usize {
    daemon.log().matches(what).count()
}

/// How long after it was written here a file is in the storage: an event, not a look now and then.
pub fn arrives(world: &World, name: &str, content: &str) -> Duration {
    let inotify = Inotify::init(InitFlags::empty()).unwrap();
    let target = there(world, name);
    let folder = target.parent().unwrap();
    let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
    inotify.add_watch(folder, flags).unwrap();
    let began = Instant::now();
    fs::write(here(world, name), content).unwrap();
    while !fs::read(&target).is_ok_and(|found| found == content.as_bytes()) {
        assert!(began.elapsed() < PATIENCE, "{name} never came");
        inotify.read_events().unwrap();
    }
    began.elapsed()
}
