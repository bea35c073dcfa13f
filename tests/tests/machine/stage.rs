//! Ann's account on a machine: her files and their copies, what her worker is stopped at, and what
//! must hold when she is gone and when she is back.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mooring_tests::{AUDIT, Kind, Machine, Manifest, Output, PATIENCE};

pub const ANN: &str = "ann";
pub const PASSWORD: &str = "correct horse battery staple";
pub const DAEMON: &str = "mooringd.service";
pub const WORKER: &str = "mooring-worker@1000.service";
const RECEIPTS: &str = "/var/lib/mooring/receipts/1000";
/// How long `mooringctl` waits for a daemon that is on its way back.
pub const BACK: [&str; 2] = ["--daemon-wait", "120"];

/// Lets people do with Mooring what they like: in no session, polkit's own default is to ask for a
/// password of the device.
pub fn allow(machine: &Machine) {
    let rule = "polkit.addRule(function(action, subject) { \
                if (action.id.indexOf('org.mooring1.') == 0) return polkit.Result.YES; });";
    fs::write(machine.path("/etc/polkit-1/rules.d/10-test.rules"), rule).unwrap();
}

/// Settings of the device, before its daemon is first started.
pub fn settings(machine: &Machine, text: &str) {
    let folder = machine.path("/etc/mooring/mooring.d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("10-test.toml"), text).unwrap();
}

/// A policy of the device.
pub const POLICY: &str = "/etc/mooring/policy.d/50-audit.toml";

/// Puts [`AUDIT`] into [`POLICY`].
pub fn forbid(machine: &Machine) {
    let file = machine.path(POLICY);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, AUDIT).unwrap();
}

/// Signs Ann in, to a storage in her home as another disk would be.
pub async fn sign_in(machine: &Machine) -> String {
    machine.run_as(ANN, &["mkdir", "-p", "Storage"]);
    let words = ["sign-in", "local", "--identity", ANN, "--storage"];
    let words = [&words[..], &["/home/ann/Storage", "--yes"], &BACK].concat();
    let told = machine.ctl(ANN, &words).password(PASSWORD).run().await;
    expect(machine, told)
}

/// What a call printed that should have come to its end.
pub fn expect(machine: &Machine, told: Output) -> String {
    let units = || {
        let look = format!("systemctl status {WORKER}; systemctl list-jobs; uptime; true");
        machine.run(&["sh", "-c", &look])
    };
    assert_eq!(
        told.code,
        0,
        "{told:?}\n{}\n{}\n{}",
        machine.journal(DAEMON),
        machine.journal(WORKER),
        units()
    );
    told.stdout
}

/// The words of a sign-out, for [`Machine::ctl`].
pub fn sign_out() -> Vec<&'static str> {
    [&["sign-out", ANN, "--yes"][..], &BACK].concat()
}

/// The words of a sync, for [`Machine::ctl`].
pub fn sync() -> Vec<&'static str> {
    [&["sync", ANN, "--wait"][..], &BACK].concat()
}

/// Writes so many files of Ann's, of random bytes, below a folder of her documents.
pub fn fill(machine: &Machine, folder: &str, count: usize) {
    let script = "import os, sys\n\
                  for n in range(int(sys.argv[2])):\n    \
                      to = f'Accounts/ann/Documents/{sys.argv[1]}/{n % 10}'\n    \
                      os.makedirs(to, exist_ok=True)\n    \
                      with open(f'{to}/{n}', 'wb') as file: file.write(os.urandom(1000 + 10 * n))";
    let count = count.to_string();
    machine.run_as(ANN, &["/usr/bin/python3", "-c", script, folder, &count]);
}

fn own(name: &[u8]) -> bool {
    name.split(|b| *b == b'/')
        .any(|part| part.starts_with(b".mooring"))
}

/// A folder of the machine without what is Mooring's own.
fn plain(machine: &Machine, folder: &str) -> Manifest {
    Manifest::of(&machine.path(folder)).without(own)
}

/// What Ann has in her account's folders.
pub fn belongings(machine: &Machine) -> Manifest {
    plain(machine, "/home/ann/Accounts/ann")
}

/// What her storage holds of it.
pub fn copies(machine: &Machine) -> Manifest {
    plain(machine, "/home/ann/Storage")
}

/// How many files of hers are on the device, those on their way out included.
pub fn remains(machine: &Machine) -> usize {
    let marker = |name: &[u8]| name.ends_with(b".mooring-collection");
    let all = Manifest::of(&machine.path("/home/ann/Accounts/ann"));
    all.without(marker).files()
}

/// Where Ann's worker marks that it stopped.
const HALTED: &str = "/home/ann/halted";

/// A point at which Ann's worker stops, once.
pub struct Halt(PathBuf);

impl Halt {
    /// Lets her next worker stop (SIGSTOP) at a point (`mooring-wire`, `fault.rs`); the one that runs
    /// is ended.
    pub fn at(machine: &Machine, point: &str) -> Self {
        let fault = format!("Environment=MOORING_FAULT=worker/{point}:stop@{HALTED}");
        machine.drop_in(WORKER, "fault", &fault);
        machine.run(&["systemctl", "stop", WORKER]);
        let mark = machine.path(HALTED);
        if mark.exists() {
            fs::remove_file(&mark).unwrap();
        }
        Self(mark)
    }

    /// Waits until it has.
    pub async fn reached(&self) {
        until("the worker to stop", || self.0.exists()).await;
    }
}

/// Waits until something is so that no event tells: what stands in files.
pub async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut look = tokio::time::interval(Duration::from_millis(20));
    while !seen() {
        assert!(Instant::now() < deadline, "never came: {what}");
        look.tick().await;
    }
}

/// What the newest receipt of Ann's says.
pub fn receipt(machine: &Machine) -> String {
    let newest = format!("cat \"$(ls -t {RECEIPTS}/*.toml | head -n 1)\"");
    machine.run(&["sh", "-c", &newest])
}

/// Whether there is one. A draft has another name.
pub fn has_receipt(machine: &Machine) -> bool {
    let files = fs::read_dir(machine.path(RECEIPTS)).into_iter().flatten();
    let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.any(|name| name.ends_with(".toml"))
}

/// What must hold after a sign-out: everything has its copy, nothing is on the device, and the receipt
/// says that, and names a list that is the one in the storage.
pub fn is_gone(machine: &Machine, before: &Manifest) {
    before.assert_same(&copies(machine));
    assert!(!machine.path("/home/ann/Accounts/ann").exists());
    let receipt = receipt(machine);
    let values = |key: &str| -> Vec<String> {
        let lines = receipt.lines();
        let of = |line: &str| Some(line.strip_prefix(key)?.strip_prefix(" = ")?.to_owned());
        lines.filter_map(of).collect()
    };
    let sum = |key: &str| -> u64 { values(key).iter().map(|n| n.parse::<u64>().unwrap()).sum() };
    assert_eq!(sum("removed-files"), before.files() as u64, "{receipt}");
    assert_eq!(sum("removed-bytes"), bytes(before), "{receipt}");
    assert_eq!(sum("kept-files"), 0, "{receipt}");
    assert_eq!(values("level"), ["\"read-back\""], "{receipt}");
    assert!(!receipt.contains("[[left]]"), "{receipt}");
    assert!(!receipt.contains("[gone-before]"), "{receipt}");
    let [base, digest] =
        ["base", "base-blake3"].map(|key| values(key)[0].trim_matches('"').to_owned());
    let base = format!("/home/ann/Storage/.mooring/receipts/{base}");
    let list = fs::read(machine.path(&base)).unwrap_or_else(|e| panic!("{base}: {e}\n{receipt}"));
    assert_eq!(blake3::hash(&list).to_hex().as_str(), digest);
}

fn bytes(manifest: &Manifest) -> u64 {
    let sizes = manifest.0.values().map(|entry| match entry.kind {
        Kind::File(size, _) => size,
        _ => 0,
    });
    sizes.sum()
}

/// Signs Ann in again, and holds what comes back to what there was.
pub async fn comes_back(machine: &Machine, before: &Manifest) {
    let told = sign_in(machine).await;
    let checked = format!("{0} of {0} checked", before.files());
    assert!(told.contains(&checked), "{told}");
    before.assert_same(&belongings(machine));
    before.assert_same(&copies(machine));
}
