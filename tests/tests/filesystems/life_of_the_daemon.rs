//! The daemon beside another one, without its bus, and told to end in the middle of each job.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use mooring_tests::{Bus, PATIENCE, Process};
use tokio::time::Instant;

use crate::disk::world;
use crate::stage::{
    ALICE, PASSWORD, belongings, copies, everything_comes_back, signed_in, sync, write,
};

/// How fast the daemon has to end once it is told to.
const END: Duration = Duration::from_secs(5);
/// How far apart the moments are at which it is told.
const STEP: Duration = Duration::from_millis(12);
/// How many moments there are in each job.
const MOMENTS: u32 = 20;

#[tokio::test]
async fn a_second_daemon_says_who_is_there() {
    let world = world();
    let (daemon, _) = signed_in(&world).await;
    let mut second = world.command("mooringd");
    let ended = second.arg("--session").output().unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    let pid = daemon.pid().to_string();
    assert!(
        said.contains("another mooringd runs already") && said.contains(&pid),
        "{said}"
    );
    let _ = sync(&world).await.expect_code(0);
    assert!(daemon.terminate().await.success());
}

#[tokio::test]
async fn a_bus_that_goes_is_told_and_a_restart_goes_on() {
    let world = world();
    let (daemon, before) = signed_in(&world).await;
    assert!(daemon.terminate().await.success());
    let folder = world.folder().join("other-bus");
    fs::create_dir(&folder).unwrap();
    let mut bus = Bus::start(
        &folder,
        &[("PATH", std::env::var_os("PATH").unwrap())],
        Stdio::null(),
    );
    let log = world.folder().join("without-bus.log");
    let mut command = world.command("mooringd");
    command
        .arg("--session")
        .env("DBUS_SESSION_BUS_ADDRESS", bus.address());
    command.stderr(fs::File::create(&log).unwrap());
    let mut daemon = Process::start("mooringd", &mut command);
    bus.wait_for_name(mooring_api::BUS_NAME, true, PATIENCE)
        .await;
    bus.stop();
    let status = daemon.wait(PATIENCE).await;
    let said = fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("the connection to the bus is lost"), "{said}");
    let daemon = world.daemon().await;
    let _ = sync(&world).await.expect_code(0);
    before.assert_same(&copies(&world));
    assert!(daemon.terminate().await.success());
}

#[tokio::test]
async fn it_ends_fast_in_the_middle_of_every_job() {
    let world = world();
    let (daemon, _) = signed_in(&world).await;
    let mut daemon = Some(daemon);
    let to = world.folder().join("backups");
    fs::create_dir(&to).unwrap();
    let to = to.to_str().unwrap().to_owned();
    let home = world.account_folder(ALICE);
    let jobs: [&[&str]; 4] = [
        &["sync", ALICE, "--wait"],
        &["backup", ALICE, "--to", &to],
        &["verify", ALICE],
        &["sign-out", ALICE, "--yes"],
    ];
    let mut slowest = Duration::ZERO;
    for moment in 0..MOMENTS {
        for nr in 0..20 {
            let file = home.join(format!("Documents/of {moment}/{nr}"));
            write(&file, &vec![moment as u8; 20_000], 0o644, nr);
        }
        let before = belongings(&world);
        let arguments = jobs[moment as usize % jobs.len()];
        let mut call = world.ctl(arguments);
        if arguments[0] == "sign-out" {
            call = call.password(PASSWORD);
        }
        let running = call.start().await;
        // No waiting for anything: the moment itself is what is chosen.
        tokio::time::sleep(STEP * moment).await;
        let told = Instant::now();
        let status = daemon.take().unwrap().terminate().await;
        slowest = slowest.max(told.elapsed());
        assert!(
            status.success() && told.elapsed() < END,
            "{arguments:?}: {:?}",
            told.elapsed()
        );
        daemon = Some(world.daemon().await);
        let _ = running.output().await;
        crate::aftermath::settle(&world).await;
        if world.account(ALICE).await.is_none() {
            everything_comes_back(&world, &before).await;
        }
        let _ = sync(&world).await.expect_code(0);
        before.assert_same(&belongings(&world));
        before.assert_same(&copies(&world));
    }
    println!("the slowest end took {} ms", slowest.as_millis());
}
