//! One operation of the worker's engine on real files, in a process of its own, so that its time,
//! memory, system calls and instructions can be told from those of all others.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mooring_core::collection::Collection;
use mooring_core::policy::{Actor, Facts, Source, Verb, decide, unite};
use mooring_core::receipt;
use mooring_worker::account::{Account, Spec};
use mooring_worker::files::real::RealFiles;
use mooring_worker::state::State;
use mooring_worker::sync::Looked;
use mooring_worker::watch::Folders;
use mooring_worker::{backup, erase, leave, plan, remove, restore, signin, storage, sync, verify};

use crate::tree::{self, Shape};

/// Where the measured part begins and ends, for whoever reads a list of system calls.
pub const MARKS: [&str; 2] = ["/mooring-bench-begins", "/mooring-bench-ends"];
/// The function that is counted under callgrind.
pub const COUNTED: &str = "*step*measured*";
/// The account's files are small, so that their number is what counts.
const SHAPE: Shape = Shape {
    small: (64, 2048),
    large: 0,
};
/// Decisions of one count.
const DECISIONS: usize = 1000;
const RECEIPT: &str = "receipt-0";

/// The steps of a story, in the order in which they can be taken, and what each is.
pub const STEPS: &[(&str, &str)] = &[
    ("first-sync", "First sync: hash, carry, make durable"),
    ("read-back", "Read back every copy"),
    ("look", "Look at everything, nothing changed"),
    (
        "changed-everything",
        "One changed file, looking at everything",
    ),
    (
        "changed-told",
        "One changed file, its folder told by the watch",
    ),
    ("plan", "Plan a sign-out"),
    ("backup", "Backup, first"),
    ("restore", "Restore, everything is there"),
    ("verify", "Sign-out: drain and verify"),
    ("remove", "Sign-out: remove"),
    ("return", "Sign-in again: bring everything back"),
];

/// Takes one step in a world, and prints what it cost.
pub fn run(world: &Path, step: &str, files: usize) {
    let mut measured = Measured::default();
    match step {
        "make" => make(world, files),
        "policy" => policy(&mut measured),
        "return" => come_back(world, &mut measured),
        "remove" => sign_out(world, &mut measured),
        _ => in_use(world, step, &mut measured),
    }
    println!("{}", measured.to_line());
}

/// What a step cost.
#[derive(Debug, Default)]
pub struct Measured {
    pub milliseconds: f64,
    /// Peak memory of the process.
    pub peak_kib: u64,
    /// Bytes that went from and to the disk.
    pub read: u64,
    pub written: u64,
}

impl Measured {
    fn of(&mut self, mut work: impl FnMut()) {
        let before = disk();
        let started = Instant::now();
        let _ = fs::metadata(MARKS[0]);
        measured(&mut work);
        let _ = fs::metadata(MARKS[1]);
        self.milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let after = disk();
        self.read = after[0] - before[0];
        self.written = after[1] - before[1];
        self.peak_kib = field("/proc/self/status", "VmHWM:");
    }

    fn to_line(&self) -> String {
        let Self {
            milliseconds,
            peak_kib,
            read,
            written,
        } = self;
        format!("{milliseconds} {peak_kib} {read} {written}")
    }

    /// What a step's process printed.
    pub fn from_line(line: &str) -> Self {
        let words: Vec<_> = line.split_whitespace().collect();
        let [milliseconds, peak, read, written] = words.as_slice() else {
            panic!("no measurement: {line:?}");
        };
        Self {
            milliseconds: milliseconds.parse().unwrap(),
            peak_kib: peak.parse().unwrap(),
            read: read.parse().unwrap(),
            written: written.parse().unwrap(),
        }
    }
}

#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

/// Bytes read from and written to the disk by this process so far (proc(5)).
fn disk() -> [u64; 2] {
    ["read_bytes:", "write_bytes:"].map(|key| field("/proc/self/io", key))
}

fn field(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).expect(key);
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn spec(world: &Path, sign_in: u32) -> Spec {
    Spec {
        id: format!("a{sign_in}"),
        identity: "alice".into(),
        storage: world.join("storage"),
        storage_id: "storage-1".into(),
        sign_in_id: format!("s{sign_in}"),
        left_with: String::new(),
        device: "laptop".into(),
        home: world.join("home"),
        collections: vec![(Collection::Documents, documents(world))],
    }
}

fn documents(world: &Path) -> std::path::PathBuf {
    world.join("home/Accounts/alice/Documents")
}

fn account(world: &Path, sign_in: u32) -> Account<RealFiles> {
    let home = world.join(format!("state-{sign_in}"));
    fs::create_dir_all(&home).unwrap();
    Account {
        spec: spec(world, sign_in),
        files: RealFiles::new(),
        state: State::open(&home).unwrap(),
        report: Box::new(|_| {}),
        stop: Arc::new(AtomicBool::new(false)),
    }
}

/// Makes a home, a storage and a tree, and signs in to an empty account.
fn make(world: &Path, files: usize) {
    for name in ["home", "storage", "backups"] {
        fs::create_dir_all(world.join(name)).unwrap();
    }
    let identity = "identity = \"alice\"\n";
    storage::create_identity(&RealFiles::new(), &world.join("storage"), identity).unwrap();
    signin::sign_in(&account(world, 0), false).unwrap();
    tree::make(&documents(world), files, SHAPE);
}

fn in_use(world: &Path, step: &str, measured: &mut Measured) {
    let account = account(world, 0);
    let sync = |read_back| {
        let ledger = signin::sync_now(&account, read_back).unwrap();
        assert_eq!(ledger.waiting.total, 0, "{:?}", ledger.waiting);
        ledger
    };
    match step {
        "first-sync" => measured.of(|| drop(sync(false))),
        "read-back" => measured.of(|| drop(sync(true))),
        "look" => measured.of(|| drop(sync(true))),
        "changed-everything" => {
            change(world, "once");
            measured.of(|| assert_eq!(sync(true).uploaded, 1));
        }
        "changed-told" => {
            let (_, mut looked) = signin::sync_answering(&account, true, None).unwrap();
            change(world, "twice");
            let told = told();
            measured.of(|| told_sync(&account, &told, &mut looked));
        }
        "plan" => measured.of(|| drop(plan::plan(&account, &[]).unwrap())),
        "backup" => measured.of(|| {
            let report = backup::backup(&account, &world.join("backups"), "today").unwrap();
            assert!(report.files.files > 0);
        }),
        "restore" => measured.of(|| {
            let from = world.join("backups/today");
            drop(restore::restore(&account, &from, b"", None).unwrap());
        }),
        "verify" => measured.of(|| {
            assert_eq!(leave::drain(&account, &[]).unwrap().unsynced_total, 0);
            assert!(verify::verify(&account, &[], RECEIPT).unwrap().1.is_some());
        }),
        other => panic!("no step {other}"),
    }
}

fn told_sync(
    account: &Account<RealFiles>,
    told: &BTreeMap<Collection, Folders>,
    looked: &mut Looked,
) {
    let ledger = signin::sync_told(account, true, told, looked).unwrap();
    assert_eq!(ledger.uploaded, 1);
    let _ = sync::numbers(account, Collection::Documents).unwrap();
    drop(plan::from_state(account).unwrap());
}

/// Changes one file of the tree.
fn change(world: &Path, text: &str) {
    fs::write(documents(world).join(tree::first()), text).unwrap();
}

/// What a watch tells of [`change`].
fn told() -> BTreeMap<Collection, Folders> {
    use std::os::unix::ffi::OsStrExt;
    let mut folders = Folders::default();
    let file = tree::first();
    let folder = file.parent().unwrap().as_os_str().as_bytes().to_vec();
    folders.add(folder, false);
    BTreeMap::from([(Collection::Documents, folders)])
}

/// Removes what was verified, and forgets the account.
fn sign_out(world: &Path, measured: &mut Measured) {
    let account = account(world, 0);
    let (report, proof) = verify::verify(&account, &[], RECEIPT).unwrap();
    let mut proof = Some(proof.expect("a proof"));
    measured.of(|| {
        let report = remove::remove(&account, proof.take().unwrap(), &[]).unwrap();
        assert_eq!(report.remaining, 0);
    });
    erase::erase_roots(&account, &[]).unwrap();
    let text = receipt(world, &report.base_blake3).to_toml().unwrap();
    storage::store_receipt(&account.files, &account.spec.storage, RECEIPT, &text).unwrap();
    account.state.destroy().unwrap();
}

fn receipt(world: &Path, base: &str) -> receipt::Receipt {
    let text = |text: &str| text.to_owned();
    receipt::Receipt {
        version: receipt::VERSION,
        id: text(RECEIPT),
        identity: text("alice"),
        provider: text("local"),
        device: text("laptop"),
        signed_out_at: receipt::timestamp(1_700_000_000),
        sequence: 0,
        authorised_by: text("password"),
        policy: text("no policy"),
        remarks: Vec::new(),
        storage: receipt::Storage {
            path: world.join("storage").display().to_string(),
            id: text("storage-1"),
        },
        proof: receipt::Proof {
            level: text("read-back"),
            writers_excluded: true,
            base: format!("{RECEIPT}.base"),
            base_blake3: text(base),
        },
        backup: None,
        revocation: receipt::Revocation {
            state: text("not-needed"),
            detail: String::new(),
        },
        collections: vec![receipt::CollectionEntry {
            name: Collection::Documents.to_string(),
            root: documents(world).display().to_string(),
            removed_files: 0,
            removed_bytes: 0,
            kept_files: 0,
            kept_bytes: 0,
        }],
        gone_before: receipt::GoneBefore::default(),
        left: Vec::new(),
    }
}

fn come_back(world: &Path, measured: &mut Measured) {
    let account = account(world, 1);
    measured.of(|| {
        let (ledger, _) = signin::sign_in(&account, false).unwrap();
        assert!(ledger.downloaded > 0);
    });
}

/// Decides again and again, by a policy of some length.
fn policy(measured: &mut Measured) {
    let rules: String = (0..20)
        .map(|nr| {
            format!(
                "[[rule]]\nname = \"rule-{nr}\"\nreason = \"Because.\"\nidentities = [\"user{nr}*\"]\n\
                 sign-out = \"deny\"\nactors = [\"person\"]\n"
            )
        })
        .collect();
    let text = format!("[organisation]\nname = \"Example\"\ncontact = \"it@example.org\"\n{rules}");
    let path = "10-organisation.toml".to_owned();
    let policy = unite(&[Source { path, text }]).unwrap();
    let facts = Facts::new(Verb::SignOut, Actor::Person, "local", "user7.bench");
    assert!(!decide(&policy, &facts).allowed);
    measured.of(|| {
        for _ in 0..DECISIONS {
            black_box(decide(&policy, black_box(&facts)));
        }
    });
}
