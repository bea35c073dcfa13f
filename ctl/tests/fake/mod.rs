//! A stand-in for the daemon on a bus of its own, and ways to run `mooringctl` against it.
//!
//! It keeps to the contract of `mooring-api` and to a script: what is found, planned and
//! answered, and where a job stops.

// Each test program uses its own part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod bus;
pub mod job;
mod objects;
pub mod pty;
pub mod service;

use std::fs::File;
use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use mooring_api::{
    AccountFound, Blocked, Blocker, CollectionSpec, CollectionStatus, Denial, Finding, JobOutcome,
    Plan, PlanCollection, PolicyDecision, PolicyStatus, ReceiptSummary,
};
use zbus::OwnedFd;

/// The script, as the stand-in and the test share it.
pub type Shared = Arc<Mutex<Script>>;

/// Reads what a client passed.
pub fn read(fd: Option<OwnedFd>) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let fd: std::os::fd::OwnedFd = fd?.into();
    File::from(fd).read_to_end(&mut content).unwrap();
    Some(content)
}

/// What the stand-in does.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Whether an account is signed in.
    pub signed_in: bool,
    pub found: AccountFound,
    pub plan: Plan,
    pub policy: PolicyStatus,
    pub findings: Vec<Finding>,
    pub receipts: Vec<ReceiptSummary>,
    pub collections: Vec<CollectionStatus>,
    pub paused: bool,
    /// The right password.
    pub password: Vec<u8>,
    /// Seconds until the next try after a wrong one.
    pub delay: u64,
    /// What the job waits for once it is authorised.
    pub block: Option<Blocked>,
    /// True: the job runs on for ever, once it is authorised.
    pub hangs: bool,
    /// True: the job cannot be undone any more.
    pub removing: bool,
    pub outcome: JobOutcome,
    /// The collections that the last sign-in asked for.
    pub asked: Vec<CollectionSpec>,
    /// What the stand-in was asked, in order.
    pub calls: Vec<String>,
}

impl Script {
    /// An account named alice with photos, ready to sign out.
    pub fn alice() -> Self {
        let photos = CollectionStatus {
            name: "photos".into(),
            root: b"/home/alice/Accounts/alice/Photos".to_vec(),
            mode: "sync".into(),
            items: 1204,
            bytes: 3_100_000_000,
            verified: 1204,
            ..Default::default()
        };
        let plan = Plan {
            digest: "0123456789abcdef0123456789abcdef".into(),
            verb: "sign-out".into(),
            identity: "alice".into(),
            storage: b"/mnt/nas/alice".to_vec(),
            collections: vec![PlanCollection {
                name: photos.name.clone(),
                root: photos.root.clone(),
                items: photos.items,
                bytes: photos.bytes,
                to_read_back: 12,
                ..Default::default()
            }],
            policy: PolicyDecision {
                verb: "sign-out".into(),
                actor: "person".into(),
                allowed: true,
                data: "ask".into(),
                ..Default::default()
            },
            ..Default::default()
        };
        Self {
            signed_in: true,
            found: AccountFound {
                exists: true,
                identity: "alice".into(),
                ..Default::default()
            },
            plan,
            policy: PolicyStatus {
                state: "none".into(),
                ..Default::default()
            },
            receipts: vec![ReceiptSummary {
                id: "r1".into(),
                identity: "alice".into(),
                when: 1_700_000_000,
                removed: 1204,
                left: 0,
                path: b"/state/receipts/r1.toml".to_vec(),
            }],
            collections: vec![photos],
            password: b"secret".to_vec(),
            outcome: JobOutcome {
                success: true,
                receipt: "r1".into(),
                removed: 1204,
                ..Default::default()
            },
            ..Default::default()
        }
    }

    /// Nobody is signed in and the storage is new.
    pub fn nobody() -> Self {
        Self {
            signed_in: false,
            found: AccountFound {
                collections: vec![CollectionSpec {
                    name: "photos".into(),
                    root: b"/h/Accounts/Photos".to_vec(),
                }],
                ..Default::default()
            },
            outcome: JobOutcome {
                success: true,
                uploaded: 3,
                ..Default::default()
            },
            ..Self::alice()
        }
    }
}

/// A denial as an organisation writes it.
pub fn denial() -> Denial {
    Denial {
        organisation: "Example School".into(),
        rule: "no-leaving".into(),
        file: "/etc/mooring/policy.d/10-school.toml".into(),
        line: 7,
        reason: "Exams are under way.".into(),
        contact: "it@school.example".into(),
    }
}

/// A blocker of a plan.
pub fn blocker(error: &str, message: &str) -> Blocker {
    Blocker {
        error: error.into(),
        message: message.into(),
    }
}

/// The stand-in, running.
pub struct Fake {
    pub bus: bus::Bus,
    pub script: Arc<Mutex<Script>>,
    service: service::Service,
}

impl Fake {
    pub fn start(script: Script) -> Self {
        let bus = bus::Bus::start();
        let script = Arc::new(Mutex::new(script));
        let service = service::Service::start(&bus.address, script.clone());
        Self {
            bus,
            script,
            service,
        }
    }

    /// Tells each time the state of a job is read.
    pub fn job_reads(&self) -> &Receiver<()> {
        &self.service.job_reads
    }

    /// The daemon dies.
    pub fn vanish(self) -> bus::Bus {
        self.service.stop();
        self.bus
    }

    /// What was asked so far.
    pub fn calls(&self) -> Vec<String> {
        self.script.lock().unwrap().calls.clone()
    }

    /// A command that will find this bus and has no terminal.
    pub fn command(&self, args: &[&str]) -> Command {
        self.bus.command(args)
    }

    /// Runs to the end without a terminal.
    pub fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().unwrap())
    }

    /// The same with a password on the standard input.
    pub fn run_with(&self, password: &str, args: &[&str]) -> Run {
        use std::io::Write;
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // It may have refused before reading.
        let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
        Run::of(child.wait_with_output().unwrap())
    }
}

/// What a finished run left.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}
