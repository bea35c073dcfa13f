//! Watches on real folders: what is told, what is not, and what ends a watch.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use mooring_worker::watch::{Lost, MOST, QUIET, Watch};

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

#[test]
fn more_changes_than_the_kernel_keeps_end_the_watch() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    let (tell, told) = channel();
    let (go_on, may_go_on) = channel::<()>();
    // While its listener is kept waiting, a watch reads nothing.
    let tell = move || tell.send(()).is_ok() && may_go_on.recv().is_ok();
    let watch = Watch::start(vec![root.clone()], Box::new(tell)).unwrap();
    let [one, other] = ["one", "other"].map(|name| root.join(name));
    fs::write(&one, "x").unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    let kept = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    // Two events each.
    for _ in 0..=kept.trim().parse::<u64>().unwrap() / 4 {
        fs::rename(&one, &other).unwrap();
        fs::rename(&other, &one).unwrap();
    }
    assert!(watch.covers(std::slice::from_ref(&root)));
    go_on.send(()).unwrap();
    told.recv_timeout(PATIENCE)
        .expect("that some were dropped is told");
    assert!(!watch.covers(std::slice::from_ref(&root)));
    go_on.send(()).unwrap();
    assert!(told.recv().is_err(), "the watch has ended");
    // Another one can be made.
    let tell = Box::new(|| true);
    let watch = Watch::start(vec![root.clone()], tell).unwrap();
    assert!(watch.covers(&[root]));
}

/// Set for the process in which few folders can be watched.
const FEW: &str = "MOORING_TEST_FEW_WATCHES";
/// How many can be.
const WATCHES: usize = 5;

#[test]
fn more_folders_than_can_be_watched() {
    if std::env::var_os(FEW).is_some() {
        return with_few_watches();
    }
    // Limits are those of a user namespace: one of its own makes them small for one process.
    let script = format!("echo {WATCHES} >/proc/sys/user/max_inotify_watches && exec \"$@\"");
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
        command
    };
    let may = unshare("echo 5 >/proc/sys/user/max_inotify_watches").output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("left out: this system gives no user namespaces");
        return;
    }
    let mut here = unshare(&script);
    here.arg(std::env::current_exe().unwrap());
    here.args(["--exact", "more_folders_than_can_be_watched", "--nocapture"]);
    let output = here.env(FEW, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("few watches: all seen"), "{said}");
}

fn with_few_watches() {
    let folders = |root: &Path, from: usize, to: usize| {
        (from..to).for_each(|nr| fs::create_dir(root.join(nr.to_string())).unwrap());
    };
    let world = World::new(|root| folders(root, 0, WATCHES - 1));
    let before = Instant::now();
    folders(&world.root, WATCHES - 1, WATCHES);
    assert!(world.told() < before + QUIET, "at once");
    assert!(!world.watch.covers(std::slice::from_ref(&world.root)));
    assert!(world.told.recv().is_err(), "the watch has ended");
    let again = Watch::start(vec![world.root.clone()], Box::new(|| true));
    assert!(matches!(again, Err(Lost::TooMany)), "{again:?}");
    // What was watched until it failed is free again.
    fs::remove_dir(world.root.join("0")).unwrap();
    Watch::start(vec![world.root.clone()], Box::new(|| true)).unwrap();
    eprintln!("few watches: all seen");
}
