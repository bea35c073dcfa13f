//! Watches on real folders: what is told, what is not, and what ends a watch.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use mooring_worker::watch::{MOST, QUIET, Watch};

const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    _home: tempfile::TempDir,
    root: PathBuf,
    watch: Watch,
    told: Receiver<Instant>,
}

impl World {
    fn new(before: impl FnOnce(&Path)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("root");
        fs::create_dir(&root).unwrap();
        before(&root);
        let (tell, told) = channel();
        let tell = move || tell.send(Instant::now()).is_ok();
        let watch = Watch::start(vec![root.clone()], Box::new(tell)).unwrap();
        assert!(watch.covers(std::slice::from_ref(&root)));
        Self {
            _home: home,
            root,
            watch,
            told,
        }
    }

    fn told(&self) -> Instant {
        self.told.recv_timeout(PATIENCE).expect("a change is told")
    }

    /// Checks that nothing but what follows now is told: a change that was noticed before would be
    /// told sooner than this one can be.
    fn nothing_before_now(&self) {
        let now = Instant::now();
        fs::write(self.root.join("now"), "now").unwrap();
        assert!(self.told() >= now + QUIET);
        assert!(self.told.try_recv().is_err());
    }
}

#[test]
fn a_change_is_told_once_it_is_quiet() {
    let world = World::new(|_| {});
    let mut file = File::create(world.root.join("a")).unwrap();
    file.write_all(b"first").unwrap();
    fs::rename(world.root.join("a"), world.root.join("b")).unwrap();
    drop(file);
    let closed = Instant::now();
    let told = world.told();
    assert!(told >= closed + QUIET && told < closed + MOST);
    world.nothing_before_now();
}

#[test]
fn folders_are_watched_wherever_they_come_to() {
    let world = World::new(|root| fs::create_dir_all(root.join("old/deep")).unwrap());
    let root = &world.root;
    fs::create_dir_all(root.join("new/er/est")).unwrap();
    fs::rename(root.join("old"), root.join("new/er/old")).unwrap();
    fs::create_dir_all(root.join("old/again")).unwrap();
    world.told();
    for folder in ["new/er/est", "new/er/old/deep", "old/again"] {
        fs::write(root.join(folder).join("file"), "x").unwrap();
        world.told();
    }
    // What was moved out of the root is none of its business.
    let out = root.with_file_name("out");
    fs::rename(root.join("new"), &out).unwrap();
    world.told();
    fs::write(out.join("er/est/file"), "y").unwrap();
    world.nothing_before_now();
}

#[test]
fn looks_own_names_and_links_tell_nothing() {
    let world = World::new(|root| {
        fs::create_dir(root.join(".mooring-staging")).unwrap();
        fs::create_dir(root.with_file_name("elsewhere")).unwrap();
        symlink(root.with_file_name("elsewhere"), root.join("link")).unwrap();
        fs::write(root.join("file"), "x").unwrap();
    });
    let root = &world.root;
    fs::write(root.join(".mooring-staging/1"), "x").unwrap();
    fs::remove_file(root.join(".mooring-staging/1")).unwrap();
    fs::write(root.join(".mooring-collection"), "x").unwrap();
    fs::write(root.with_file_name("elsewhere").join("file"), "x").unwrap();
    fs::read(root.join("file")).unwrap();
    fs::read_dir(root).unwrap().count();
    world.nothing_before_now();
}

#[test]
fn a_lost_root_is_told_at_once() {
    let world = World::new(|root| fs::create_dir(root.join("below")).unwrap());
    let before = Instant::now();
    fs::rename(&world.root, world.root.with_file_name("away")).unwrap();
    assert!(world.told() < before + QUIET);
    assert!(!world.watch.covers(std::slice::from_ref(&world.root)));
    assert!(world.told.recv().is_err(), "the watch has ended");
}

#[test]
fn a_missing_root_is_said_and_a_dropped_watch_ends() {
    let world = World::new(|_| {});
    let roots = vec![world.root.clone(), world.root.join("missing")];
    let (tell, told) = channel();
    let tell = move || tell.send(()).is_ok();
    let watch = Watch::start(roots.clone(), Box::new(tell)).unwrap();
    assert!(!watch.covers(&roots));
    drop(watch);
    assert!(told.recv().is_err(), "its thread is gone");
}
