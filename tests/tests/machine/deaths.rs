//! What befalls the daemon in the middle of its work on a machine: a restart, a kill, a hang, an
//! upgrade, a power cut. Ann's worker is stopped half-way meanwhile. Nothing is lost, the job goes on
//! to its end, and the receipt is true.

use mooring_tests::{Machine, Manifest, Running};

use crate::packages::{VERSIONS, package};
use crate::service::{another_than, main_pid};
use crate::stage::*;

const FILES: usize = 300;
/// About half-way through so many files.
const REMOVING: &str = "unlink:150";
const UPLOADING: &str = "create:100";

/// What befalls the daemon.
#[derive(Debug, Clone, Copy)]
enum Blow<'p> {
    Restart,
    Kill,
    /// It stands still, until the watchdog of systemd ends it.
    Hang,
    /// A package is installed over the one that is there.
    Upgrade(&'p str),
}

impl Blow<'_> {
    /// Strikes, and waits until another daemon is there.
    async fn strike(self, machine: &Machine) {
        let first = main_pid(machine);
        // It is not the daemon that fails again and again.
        machine.run(&["systemctl", "reset-failed", DAEMON]);
        let signal = |name: &str| {
            let signal = format!("--signal={name}");
            machine.run(&["systemctl", "kill", &signal, "--kill-whom=main", DAEMON]);
        };
        match self {
            Self::Restart => drop(machine.run(&["systemctl", "restart", DAEMON])),
            Self::Kill => signal("KILL"),
            Self::Hang => signal("STOP"),
            Self::Upgrade(package) => drop(machine.run(&["dpkg", "--install", package])),
        }
        another_than(machine, first).await;
    }
}

/// Signs Ann in where nothing is synced but when a test says so, and a daemon that hangs is soon found.
async fn signed_in(machine: &Machine) {
    allow(machine);
    settings(machine, "[sync]\ncontinuous = false\n");
    machine.drop_in(DAEMON, "watchdog", "WatchdogSec=5\nTimeoutAbortSec=1");
    machine.run(&["systemctl", "restart", DAEMON]);
    sign_in(machine).await;
}

/// What Ann has, all of it in the storage.
async fn in_step(machine: &Machine) -> Manifest {
    let told = machine.ctl(ANN, &sync()).run().await;
    expect(machine, told);
    let before = belongings(machine);
    before.assert_same(&copies(machine));
    before
}

/// Ann signs out.
async fn leaving(machine: &Machine) -> Running {
    let call = machine.ctl(ANN, &sign_out()).password(PASSWORD);
    call.start().await
}

/// Holds that a removal is under way, and every file of `before` in the storage.
fn in_the_middle(machine: &Machine, before: &Manifest) {
    before.assert_same(&copies(machine));
    let left = remains(machine);
    assert!(
        left > 0 && left < before.files(),
        "{left} of {}",
        before.files()
    );
}

#[tokio::test]
async fn a_sync_goes_on_to_its_end_whatever_befalls_the_daemon() {
    let mut machine = Machine::off();
    let package = package(&machine, VERSIONS[0]);
    machine.boot();
    machine.run(&["dpkg", "--install", &package]);
    signed_in(&machine).await;
    let blows = [
        Blow::Restart,
        Blow::Kill,
        Blow::Hang,
        Blow::Upgrade(&package),
    ];
    for (n, blow) in blows.into_iter().enumerate() {
        println!("in the middle of a sync: {blow:?}");
        fill(&machine, &n.to_string(), FILES);
        let before = belongings(&machine);
        let halt = Halt::at(&machine, UPLOADING);
        let call = machine.ctl(ANN, &sync()).start().await;
        halt.reached().await;
        assert!(copies(&machine).files() < before.files(), "not the middle");
        blow.strike(&machine).await;
        let told = call.output().await;
        expect(&machine, told);
        before.assert_same(&belongings(&machine));
        before.assert_same(&copies(&machine));
    }
}

#[tokio::test]
async fn a_sign_out_goes_on_to_its_end_whatever_befalls_the_daemon() {
    let machine = Machine::new();
    signed_in(&machine).await;
    fill(&machine, "files", FILES);
    let mut before = in_step(&machine).await;
    for blow in [Blow::Restart, Blow::Kill, Blow::Hang] {
        println!("in the middle of a removal: {blow:?}");
        let halt = Halt::at(&machine, REMOVING);
        let call = leaving(&machine).await;
        halt.reached().await;
        in_the_middle(&machine, &before);
        blow.strike(&machine).await;
        let told = call.output().await;
        expect(&machine, told);
        is_gone(&machine, &before);
        comes_back(&machine, &before).await;
    }

    println!(
        "while what is new is uploaded before a removal: {:?}",
        Blow::Restart
    );
    fill(&machine, "last words", FILES);
    before = belongings(&machine);
    let halt = Halt::at(&machine, UPLOADING);
    let call = leaving(&machine).await;
    halt.reached().await;
    before.assert_same(&belongings(&machine));
    Blow::Restart.strike(&machine).await;
    let told = call.output().await;
    expect(&machine, told);
    is_gone(&machine, &before);
    comes_back(&machine, &before).await;
}

#[tokio::test]
async fn a_power_cut_in_the_middle_of_a_removal_is_gone_on_from_at_the_next_boot() {
    let mut machine = Machine::new();
    machine.run(&["systemctl", "enable", DAEMON]);
    signed_in(&machine).await;
    fill(&machine, "files", FILES);
    let before = in_step(&machine).await;
    let halt = Halt::at(&machine, REMOVING);
    let call = leaving(&machine).await;
    halt.reached().await;
    in_the_middle(&machine, &before);
    machine.cut_power();
    let told = call.output().await;
    assert_ne!(told.code, 0, "{told:?}");

    // Nobody calls: the journal says what to do.
    machine.boot();
    let gone = || !machine.path("/home/ann/Accounts/ann").exists();
    until("the removal to go on", gone).await;
    until("the receipt", || has_receipt(&machine)).await;
    is_gone(&machine, &before);
    comes_back(&machine, &before).await;
}
