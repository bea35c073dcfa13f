//! Measures what a person waits for, each time side by side with the program they would use
//! instead, in the same run on the same tree. Prints a Markdown table of medians and ratios.
//!
//! `RUNS` (default 5) and `FILES` (default 50000) may be set. Figures of different runs cannot be
//! compared: disks and neighbours differ by more than programs do.

use std::ffi::OsStr;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use mooring_tests::{Daemon, World};
use mooring_worker::watch::QUIET;

use crate::process::field;
use crate::table::Table;
use crate::{least, machine, number, peer, tree};

const PASSWORD: &str = "correct horse battery staple";
/// Changes of one file, measured one by one.
const CHANGES: usize = 7;
/// How long a change may take to arrive.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures, and prints the table.
pub fn run() {
    let runs = number("RUNS", 5);
    let files = number("FILES", 50_000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let mut table = Table::default();
    runtime.expect("a runtime").block_on(async {
        for run in 1..=runs {
            eprintln!("run {run} of {runs}");
            measure(files, run, &mut table).await;
        }
    });
    machine::print();
    println!("{runs} runs, {files} small files and the large ones; medians.\n");
    table.print();
}

/// Both, in turn the one and the other first: the second finds the machine as the first left it.
async fn in_turn(
    run: usize,
    ours: impl Future<Output = ()>,
    theirs: impl FnOnce(),
) -> (Duration, Duration) {
    if run.is_multiple_of(2) {
        let ours = took(ours).await;
        (ours, peer::timed(theirs))
    } else {
        let theirs = peer::timed(theirs);
        (took(ours).await, theirs)
    }
}

/// How long something of ours takes.
async fn took(work: impl Future<Output = ()>) -> Duration {
    let started = Instant::now();
    work.await;
    started.elapsed()
}

async fn measure(files: usize, run: usize, table: &mut Table) {
    let world = World::new();
    fs::create_dir_all(world.config()).unwrap();
    let quiet: &[(&str, &OsStr)] = &[("MOORING_LOG", OsStr::new("warn"))];
    let daemon = world.daemon_with(quiet).await;
    world.sign_in("alice", PASSWORD).await;

    let tree = world.folder().join("tree");
    tree::make(&tree, files, tree::DOCUMENTS);
    let documents = world.account_folder("alice").join("Documents");
    peer::run(
        "cp",
        &[
            "-a",
            &format!("{}/.", tree.display()),
            &documents.display().to_string(),
        ],
    );
    let copy = world.folder().join("copy");
    peer::sync(&tree);

    read_back(&world, false).await;
    let (ours, theirs) = in_turn(run, sync(&world), || {
        peer::run("cp", &["-r", &shown(&tree), &shown(&copy)]);
        peer::sync(&copy);
    })
    .await;
    table.add(
        "First sync to a directory, durable",
        "`cp -r` + `sync -f`",
        ours,
        theirs,
        1.2,
    );

    let synced = world.folder().join("rsynced");
    let (from, to) = (
        format!("{}/", tree.display()),
        format!("{}/", synced.display()),
    );
    peer::run("rsync", &["-a", &from, &to]);
    peer::sync(&synced);
    let again = || peer::run("rsync", &["-a", &from, &to]);
    let (ours, theirs) = in_turn(run, sync(&world), again).await;
    table.add(
        "Look at the tree, nothing changed",
        "`rsync -a`",
        ours,
        theirs,
        1.0,
    );

    read_back(&world, true).await;
    peer::drop_caches();
    let theirs = peer::timed(|| peer::hash(&synced));
    peer::drop_caches();
    let ours = took(sync(&world)).await;
    table.add(
        "Read back the whole storage, cold",
        "`b3sum`, cold",
        ours,
        theirs,
        1.2,
    );

    one_change(&world, table).await;
    memory(&daemon, table);
    backup(&world, run, &tree, table).await;
    peer::sync(&documents);
    let remove = || peer::run("rm", &["-rf", &shown(&synced)]);
    let (ours, theirs) = in_turn(run, sign_out(&world), remove).await;
    table.add(
        "Sign out: one listing, then safe removal",
        "`rm -rf`",
        ours,
        theirs,
        1.0,
    );

    let restored = world.folder().join("restored");
    let sign_in = world.sign_in("alice", PASSWORD);
    let (ours, theirs) = in_turn(run, sign_in, || {
        peer::restic(
            &world.folder().join("restic"),
            &["restore", "latest", "--target", &shown(&restored)],
        );
        peer::sync(&restored);
    })
    .await;
    table.add(
        "Sign in again: everything back, durable",
        "`restic restore` + `sync -f`",
        ours,
        theirs,
        0.6,
    );
    beside_the_least(&world, &documents, ours, table);
    assert!(daemon.terminate().await.success());
    let started = Instant::now();
    let daemon = world.daemon_with(quiet).await;
    table.add_time(
        "Start to name owned (with the test's own polling)",
        started.elapsed(),
    );
    assert!(daemon.terminate().await.success());
}

/// What the disk alone needs for a return.
fn beside_the_least(world: &World, documents: &Path, ours: Duration, table: &mut Table) {
    let (copied, streamed) = (world.folder().join("least"), world.folder().join("stream"));
    let mut bytes = 0;
    let least = peer::timed(|| bytes = least::copy(documents, &copied));
    table.add_least(
        "… beside a bare copy of the same files",
        "two threads + `sync -f`",
        ours,
        least,
    );
    let least = peer::timed(|| least::stream(bytes, &streamed));
    table.add_least(
        "… beside as many bytes in one file",
        "`dd conv=fsync`",
        ours,
        least,
    );
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// One changed file, from its close until its copy has its place in the storage, which it gets
/// once its bytes are durable.
async fn one_change(world: &World, table: &mut Table) {
    let file = tree::first();
    let here = world.account_folder("alice").join("Documents").join(&file);
    let there = world.storage().join("Documents").join(&file);
    read_back(world, true).await;
    world.sync_by_itself();
    world.manager().await.reload().await.expect("a reload");
    for nr in 0..=CHANGES {
        let text = format!("change {nr}");
        fs::write(&here, &text).unwrap();
        let started = Instant::now();
        while fs::read(&there).is_ok_and(|bytes| bytes != text.as_bytes()) {
            assert!(started.elapsed() < PATIENCE, "the change does not arrive");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The first one waits for a look at everything.
        if nr > 0 {
            let took = started.elapsed();
            table.add_time("One changed file to its copy, with 2 s of quiet", took);
            table.add_time(
                "One changed file to its copy, without them",
                took.saturating_sub(QUIET),
            );
        }
    }
}

async fn backup(world: &World, run: usize, tree: &Path, table: &mut Table) {
    let repository = world.folder().join("restic");
    peer::restic(&repository, &["init"]);
    let to = world.folder().join("backups");
    fs::create_dir_all(&to).unwrap();
    let ours = async {
        let backup = world.ctl(&["backup", "alice", "--to", &shown(&to)]);
        let _ = backup.run().await.expect_code(0);
    };
    let (ours, theirs) = in_turn(run, ours, || {
        peer::restic(&repository, &["backup", &shown(tree)]);
        peer::sync(&repository);
    })
    .await;
    table.add(
        "Backup, first, read back",
        "`restic backup` + `sync -f`",
        ours,
        theirs,
        1.0,
    );
}

/// Lets a sync read new copies back, or not, so that both can be measured apart.
async fn read_back(world: &World, wanted: bool) {
    let text = format!("[sync]\nread-back = {wanted}\n");
    fs::write(world.config().join("mooring.toml"), text).unwrap();
    world.manager().await.reload().await.expect("a reload");
}

async fn sync(world: &World) {
    let _ = world
        .ctl(&["sync", "alice", "--wait"])
        .run()
        .await
        .expect_code(0);
}

async fn sign_out(world: &World) {
    let ctl = world
        .ctl(&["sign-out", "alice", "--yes"])
        .password(PASSWORD);
    let _ = ctl.run().await.expect_code(0);
}

fn memory(daemon: &Daemon, table: &mut Table) {
    let broker = daemon.pid();
    let worker = daemon.worker_pid().expect("a worker");
    table.add_kib("Broker at rest, RSS", field(broker, "smaps_rollup", "Rss:"));
    let dirty = field(broker, "smaps_rollup", "Private_Dirty:");
    table.add_kib("Broker at rest, private dirty", dirty);
    table.add_kib(
        "Worker, peak of all the above",
        field(worker, "status", "VmHWM:"),
    );
}
