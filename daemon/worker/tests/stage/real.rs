//! A device on real files: a home and a storage in a temporary folder, with a state on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mooring_core::collection::Collection;
use mooring_core::receipt;
use mooring_wire::{RemoveReport, ReturnCheck};
use mooring_worker::account::{Account, Spec};
use mooring_worker::error::{Error, Result};
use mooring_worker::files::real::RealFiles;
use mooring_worker::state::State;
use mooring_worker::{erase, signin, storage};
use tempfile::TempDir;

/// A device and a storage on this machine's own filesystem.
pub struct Real {
    folder: TempDir,
    pub sign_in_nr: u64,
    /// The local roots, where they are not the usual ones.
    pub collections: Vec<(Collection, PathBuf)>,
    pub storage: PathBuf,
}

impl Real {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join("nas");
        let photos = folder.path().join("home/Accounts/alice/Photos");
        fs::create_dir(folder.path().join("home")).unwrap();
        fs::create_dir(&storage).unwrap();
        let collections = vec![(Collection::Photos, photos)];
        let real = Self {
            folder,
            sign_in_nr: 0,
            collections,
            storage,
        };
        real.create_identity();
        real
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// The local folder of the photos.
    pub fn photos(&self) -> &Path {
        &self.collections[0].1
    }

    /// The folder of the photos in the storage.
    pub fn copies(&self) -> PathBuf {
        self.storage.join("Photos")
    }

    fn create_identity(&self) {
        storage::create_identity(&RealFiles::new(), &self.storage, "identity = \"alice\"\n")
            .unwrap();
    }

    pub fn spec(&self) -> Spec {
        Spec {
            id: format!("a{}", self.sign_in_nr),
            identity: "alice".into(),
            storage: self.storage.clone(),
            storage_id: "storage-1".into(),
            sign_in_id: format!("s{}", self.sign_in_nr),
            device: "laptop".into(),
            left_with: String::new(),
            home: self.path("home"),
            collections: self.collections.clone(),
        }
    }

    pub fn account(&self) -> Account<RealFiles> {
        let home = self.path(&format!("state-{}", self.sign_in_nr));
        fs::create_dir_all(&home).unwrap();
        Account {
            spec: self.spec(),
            files: RealFiles::new(),
            state: State::open(&home).unwrap(),
            report: Box::new(|_| {}),
            stop: Arc::new(AtomicBool::new(false)),
        }
    }

    pub fn sign_in(&self, adopt: bool) -> Result<ReturnCheck> {
        signin::sign_in(&self.account(), adopt).map(|(_, returned)| returned)
    }

    pub fn sync(&self) -> Result<u64> {
        signin::sync_now(&self.account(), true).map(|ledger| ledger.waiting.total)
    }

    /// Signs out, and stores a receipt. Answers what the removal said.
    pub fn sign_out(&mut self, keep: &[Collection]) -> Result<RemoveReport> {
        let id = format!("receipt-{}", self.sign_in_nr);
        let account = self.account();
        let (verified, report) = super::drain_verify_remove(&account, keep, &id)?;
        self.finish(account, keep, &id, &verified.base_blake3)?;
        Ok(report)
    }

    fn finish(
        &mut self,
        account: Account<RealFiles>,
        keep: &[Collection],
        id: &str,
        base: &str,
    ) -> Result<()> {
        erase::erase_roots(&account, keep)?;
        let text = self
            .receipt(id, base)
            .to_toml()
            .map_err(|e| Error::Refused(e.to_string()))?;
        storage::store_receipt(&account.files, &self.storage, id, &text)?;
        account.state.destroy()?;
        self.sign_in_nr += 1;
        Ok(())
    }

    fn receipt(&self, id: &str, base: &str) -> receipt::Receipt {
        let collections =
            self.collections
                .iter()
                .map(|(collection, root)| receipt::CollectionEntry {
                    name: collection.to_string(),
                    root: root.display().to_string(),
                    removed_files: 0,
                    removed_bytes: 0,
                    kept_files: 0,
                    kept_bytes: 0,
                });
        receipt::Receipt {
            version: receipt::VERSION,
            id: id.into(),
            identity: "alice".into(),
            provider: "local".into(),
            device: "laptop".into(),
            signed_out_at: receipt::timestamp(1_700_000_000 + self.sign_in_nr),
            sequence: 0,
            authorised_by: "password".into(),
            policy: "no policy".into(),
            remarks: Vec::new(),
            storage: receipt::Storage {
                path: self.storage.display().to_string(),
                id: "storage-1".into(),
            },
            proof: receipt::Proof {
                level: "read-back".into(),
                writers_excluded: true,
                base: format!("{id}.base"),
                base_blake3: base.into(),
            },
            backup: None,
            revocation: receipt::Revocation {
                state: "not-needed".into(),
                detail: String::new(),
            },
            collections: collections.collect(),
            gone_before: receipt::GoneBefore::default(),
            left: Vec::new(),
        }
    }

    /// All content of regular files below home and storage.
    pub fn everything(&self) -> BTreeSet<Vec<u8>> {
        let mut all: BTreeSet<_> = contents(&self.path("home")).into_values().collect();
        all.extend(contents(&self.storage).into_values());
        all
    }
}

/// Every regular file below a folder by its path from there, markers left out.
pub fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        // What is read here may be raced: what vanished meanwhile is not there.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file()
                && entry.file_name() != ".mooring-collection"
                && let Ok(bytes) = fs::read(entry.path())
            {
                let below = entry.path().strip_prefix(root).unwrap().to_owned();
                all.insert(below, bytes);
            }
        }
    }
    all
}
