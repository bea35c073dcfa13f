//! A simulated device with a storage, a person, another device, and a broker that remembers what
//! has been done: enough to live through a whole account and to die anywhere in it.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

pub mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mooring_core::collection::Collection;
use mooring_core::receipt;
use mooring_core::signout::{self, Facts, Removal, Step};
use mooring_wire::{RemoveReport, ReturnCheck, VerifyReport};
use mooring_worker::account::{Account, Spec};
use mooring_worker::error::{Error, Result};
use mooring_worker::files::Files;
use mooring_worker::files::twin::{DiskId, Node, TwinFiles};
use mooring_worker::state::{Epoch, State};
use mooring_worker::{erase, leave, remove, signin, storage, verify};
use rusqlite::{Connection, OpenFlags};

pub const HOME: &str = "/home/alice";
pub const STORAGE: &str = "/mnt/nas";
pub const PHOTOS: &str = "/home/alice/Accounts/alice/Photos";
pub const CONTACTS: &str = "/home/alice/Accounts/alice/Contacts";
pub const DEVICE: &str = "laptop";

/// The device, its storage, and what outlives a process.
pub struct Stage {
    pub twin: TwinFiles,
    pub nas: DiskId,
    database: String,
    /// Keeps the database in memory alive between lives.
    _keep: Connection,
    pub journal: Journal,
    /// The name of the device, and the person's home on it.
    device: &'static str,
    home: &'static str,
}

/// What the broker would have written down.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    pub step: usize,
    pub sign_in: u64,
    pub removal_done: Option<RemoveReport>,
    pub verified: VerifyReport,
    pub receipt_done: bool,
    pub returned: ReturnCheck,
    pub keep: Vec<Collection>,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Stage {
    /// A signed-in device with some photos in step, each with a content of its own.
    pub fn in_step(names: &[&str]) -> Self {
        let mut stage = Self::new();
        stage.create_identity().unwrap();
        stage.sign_in(false).unwrap();
        for name in names {
            let content = format!("content of {name}");
            let written = stage
                .twin
                .write_durable(Path::new(PHOTOS).join(name), content);
            written.unwrap();
        }
        signin::sync_now(&stage.account(), true).unwrap();
        stage
    }

    pub fn new() -> Self {
        let twin = TwinFiles::new();
        twin.mkdir(HOME).unwrap();
        let nas = twin.add_disk();
        twin.mount(nas, STORAGE).unwrap();
        twin.settle();
        Self::on(twin, nas, DEVICE, HOME)
    }

    /// Another device that shares this one's storage. In the simulation both are one machine, with
    /// a home each.
    pub fn another_device(&self) -> Self {
        let home = "/home/other";
        self.twin.mkdir(home).unwrap();
        self.twin.settle();
        Self::on(self.twin.clone(), self.nas, "desktop", home)
    }

    /// The same machine, as a hook of its files sees it.
    pub fn seen(twin: TwinFiles, nas: DiskId) -> Self {
        Self::on(twin, nas, DEVICE, HOME)
    }

    /// A device of that name, with that home, on a machine that has the storage.
    pub fn on(twin: TwinFiles, nas: DiskId, device: &'static str, home: &'static str) -> Self {
        let nr = NUMBER.fetch_add(1, Ordering::Relaxed);
        let database = format!("file:stage{nr}?mode=memory&cache=shared");
        let keep = connect(&database);
        Self {
            twin,
            nas,
            database,
            _keep: keep,
            journal: Journal::default(),
            device,
            home,
        }
    }

    pub fn spec(&self) -> Spec {
        Spec {
            id: format!("a{}{}", self.journal.sign_in, self.device),
            identity: "alice".into(),
            storage: STORAGE.into(),
            storage_id: "storage-1".into(),
            sign_in_id: format!("s{}{}", self.journal.sign_in, self.device),
            device: self.device.into(),
            left_with: String::new(),
            home: self.home.into(),
            collections: vec![
                (
                    Collection::Photos,
                    format!("{}/Accounts/alice/Photos", self.home).into(),
                ),
                (
                    Collection::Contacts,
                    format!("{}/Accounts/alice/Contacts", self.home).into(),
                ),
            ],
        }
    }

    /// A process's view: it shares the fuse with everything else of its life.
    pub fn account(&self) -> Account<TwinFiles> {
        let fuse = self.twin.fuse().clone();
        let hook = Box::new(move |name: &'static str| fuse.effect(name));
        Account {
            spec: self.spec(),
            files: self.twin.clone(),
            state: State::in_memory(connect(&self.database), hook).unwrap(),
            report: Box::new(|_| {}),
            stop: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The storage's identity, as the first sign-in makes it.
    pub fn create_identity(&self) -> Result<()> {
        match storage::create_identity(&self.twin, Path::new(STORAGE), "identity = \"alice\"\n") {
            Err(Error::Refused(_)) => Ok(()),
            result => result,
        }
    }

    pub fn sign_in(&mut self, adopt: bool) -> Result<ReturnCheck> {
        let (ledger, returned) = signin::sign_in(&self.account(), adopt)?;
        drop(ledger);
        self.journal.returned = returned.clone();
        Ok(returned)
    }

    /// Signs out as the broker does, from whatever was done before.
    pub fn sign_out(&mut self) -> Result<()> {
        let keep = self.journal.keep.clone();
        if self.journal.removal_done.is_none() {
            self.remove_all(&keep)?;
        }
        self.forget(&keep)
    }

    fn remove_all(&mut self, keep: &[Collection]) -> Result<()> {
        let account = self.account();
        let receipt = format!("receipt-{}{}", self.journal.sign_in, self.device);
        let (verified, report) = drain_verify_remove(&account, keep, &receipt)?;
        self.journal.verified = verified;
        self.journal.removal_done = Some(report);
        Ok(())
    }

    fn forget(&mut self, keep: &[Collection]) -> Result<()> {
        let id = format!("receipt-{}{}", self.journal.sign_in, self.device);
        let report = self.journal.removal_done.clone().unwrap();
        let account = self.account();
        let left = erase::erase_roots(&account, keep)?;
        let text = self.receipt(&id, &report, left.len()).to_toml().unwrap();
        storage::store_receipt(&self.twin, Path::new(STORAGE), &id, &text)?;
        account.state.destroy()?;
        self.journal.removal_done = None;
        self.journal.sign_in += 1;
        Ok(())
    }

    fn receipt(&self, id: &str, report: &RemoveReport, left: usize) -> receipt::Receipt {
        let entry = |(name, counts): &(String, mooring_wire::Counts), kept: bool| {
            let spec = self.spec();
            let root = spec
                .root(name.parse().unwrap())
                .unwrap()
                .display()
                .to_string();
            let zero = mooring_wire::Counts::default();
            let (removed, kept) = if kept {
                (zero, *counts)
            } else {
                (*counts, zero)
            };
            receipt::CollectionEntry {
                name: name.clone(),
                root,
                removed_files: removed.files,
                removed_bytes: removed.bytes,
                kept_files: kept.files,
                kept_bytes: kept.bytes,
            }
        };
        let mut collections: Vec<_> = report.removed.iter().map(|e| entry(e, false)).collect();
        collections.extend(report.kept.iter().map(|e| entry(e, true)));
        assert!(left >= report.left.len().min(left));
        receipt::Receipt {
            version: receipt::VERSION,
            id: id.into(),
            identity: "alice".into(),
            provider: "local".into(),
            device: self.device.into(),
            signed_out_at: receipt::timestamp(1_700_000_000 + self.journal.sign_in),
            sequence: 0,
            authorised_by: "password".into(),
            policy: "no policy".into(),
            remarks: report.remarks.clone(),
            storage: receipt::Storage {
                path: STORAGE.into(),
                id: "storage-1".into(),
            },
            proof: receipt::Proof {
                level: "read-back".into(),
                writers_excluded: report.writers_excluded,
                base: format!("{id}.base"),
                base_blake3: self.journal.verified.base_blake3.clone(),
            },
            backup: None,
            revocation: receipt::Revocation {
                state: "not-needed".into(),
                detail: String::new(),
            },
            collections,
            gone_before: receipt::GoneBefore::default(),
            left: Vec::new(),
        }
    }

    /// Every file's content below a folder, Mooring's own names left out.
    pub fn contents(&self, root: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        if !self.twin.exists(root) {
            return BTreeMap::new();
        }
        self.twin
            .tree(root)
            .unwrap()
            .into_iter()
            .filter_map(|(path, node)| match node {
                Node::File(bytes) => Some((path, bytes)),
                _ => None,
            })
            .filter(|(path, _)| path.file_name().is_none_or(|n| n != ".mooring-collection"))
            .collect()
    }

    /// All content that is anywhere: in the storage, on the device, staged or not.
    pub fn everything(&self) -> BTreeSet<Vec<u8>> {
        let mut all: BTreeSet<_> = self.contents(STORAGE).into_values().collect();
        all.extend(self.contents("/home").into_values());
        all
    }
}

/// The part of a sign-out in which files go, as the broker drives it.
pub fn drain_verify_remove<F: Files>(
    account: &Account<F>,
    keep: &[Collection],
    receipt: &str,
) -> Result<(VerifyReport, RemoveReport)> {
    let mut proof = None;
    let mut verified_report = VerifyReport::default();
    let removing = account.state.epoch()? == Epoch::Removing;
    let mut facts = Facts {
        allowed: true,
        authorised: true,
        drained: false,
        backup_missing: false,
        proven: false,
        removal: if removing {
            Removal::Begun
        } else {
            Removal::NotBegun
        },
        revoked: true,
        forgotten: false,
        rounds: 0,
    };
    loop {
        match signout::next(&facts) {
            Step::Drain => {
                let report = leave::drain(account, keep)?;
                facts.drained = report.unsynced_total == 0;
                facts.rounds += u8::from(!facts.drained);
            }
            Step::Verify => {
                let (report, verified) = verify::verify(account, keep, receipt)?;
                facts.proven = verified.is_some();
                facts.drained = facts.proven;
                facts.rounds += u8::from(!facts.proven);
                verified_report = report;
                proof = verified;
            }
            Step::Remove => {
                let report = remove::remove(account, proof.take().unwrap(), keep)?;
                facts.removal = Removal::Begun;
                if report.remaining == 0 {
                    return Ok((verified_report, report));
                }
                facts.proven = false;
                facts.drained = false;
                facts.rounds += 1;
            }
            Step::AskAboutUnsynced => {
                return Err(Error::Refused("files without a copy".into()));
            }
            step => panic!("unexpected step {step:?}"),
        }
    }
}

fn connect(database: &str) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(database, flags).unwrap()
}
