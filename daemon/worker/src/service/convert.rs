//! From the wire's structures to the engine's and back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_wire::{AccountSpec, CollectionSpec, Error, Result, SyncReport};

use crate::account::Spec;
use crate::error::Error as EngineError;
use crate::trouble::Ledger;

/// The longest path, in bytes (`PATH_MAX`).
const MAX_PATH: usize = 4096;
/// The longest account ID, in bytes.
const MAX_ID: usize = 64;

/// The engine's errors, as the wire has them.
pub fn to_wire(e: EngineError) -> Error {
    tracing::debug!(error = ?e, "an operation failed");
    let message = e.to_string();
    match e {
        EngineError::StorageGone(_) => Error::StorageGone(message),
        EngineError::HomeGone(_) => Error::HomeGone(message),
        EngineError::Refused(_) => Error::Refused(message),
        EngineError::Busy(_) => Error::Busy(message),
        EngineError::NotVerified(_) => Error::NotVerified(message),
        EngineError::NoSpace(_) => Error::NoSpace(message),
        EngineError::Unfenced(_) => Error::Unfenced(message),
        EngineError::Cancelled => Error::Cancelled(message),
        EngineError::Disk(_) => Error::DiskTrouble(message),
        EngineError::State { .. } | EngineError::StateMissing(_) => Error::StateDamaged(message),
        EngineError::Io { .. } => Error::Failed(message),
    }
}

/// An absolute path.
pub fn path(bytes: &[u8]) -> Result<PathBuf> {
    let path = Path::new(OsStr::from_bytes(bytes));
    if bytes.len() > MAX_PATH || bytes.contains(&0) || !path.is_absolute() {
        return Err(Error::Refused(format!(
            "{path:?} is no absolute path of at most {MAX_PATH} bytes"
        )));
    }
    Ok(path.to_owned())
}

/// Collections with their roots.
pub fn collections(wanted: &[CollectionSpec]) -> Result<Vec<(Collection, PathBuf)>> {
    let mut all: Vec<(Collection, PathBuf)> = Vec::new();
    for CollectionSpec { name, root } in wanted {
        let collection = collection(name)?;
        if all.iter().any(|(there, _)| *there == collection) {
            return Err(Error::Refused(format!(
                "the collection {name} is named twice"
            )));
        }
        all.push((collection, path(root)?));
    }
    Ok(all)
}

fn collection(name: &str) -> Result<Collection> {
    name.parse()
        .map_err(|e: mooring_core::collection::UnknownCollection| Error::Refused(e.to_string()))
}

/// The collections to keep, sorted.
pub fn keep(names: &[String]) -> Result<Vec<Collection>> {
    let mut keep = names
        .iter()
        .map(|name| collection(name))
        .collect::<Result<Vec<_>>>()?;
    keep.sort_unstable();
    keep.dedup();
    Ok(keep)
}

/// An account.
pub fn spec(wanted: &AccountSpec, home: &Path) -> Result<Spec> {
    let id = &wanted.id;
    let safe = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(safe) {
        return Err(Error::Refused(format!("{id:?} is no account's ID")));
    }
    Ok(Spec {
        id: id.clone(),
        identity: wanted.identity.clone(),
        storage: path(&wanted.storage)?,
        storage_id: wanted.storage_id.clone(),
        sign_in_id: wanted.sign_in_id.clone(),
        device: wanted.device.clone(),
        left_with: wanted.left_with.clone(),
        home: home.to_owned(),
        collections: collections(&wanted.collections)?,
    })
}

/// The folders of other accounts, with a word about each.
pub fn others(specs: &[AccountSpec]) -> Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for spec in specs {
        let identity = &spec.identity;
        folders.push((format!("the storage of {identity}"), path(&spec.storage)?));
        for CollectionSpec { name, root } in &spec.collections {
            folders.push((format!("the folder for {name} of {identity}"), path(root)?));
        }
    }
    Ok(folders)
}

/// A ledger, as the wire has it.
pub fn sync_report(ledger: Ledger) -> SyncReport {
    SyncReport {
        uploaded: ledger.uploaded,
        downloaded: ledger.downloaded,
        moved: ledger.moved,
        adopted: ledger.adopted,
        conflicts: ledger.conflicts,
        held: ledger.held_here + ledger.held_there.total,
        deleted: ledger.deleted,
        read_back: ledger.read_back,
        pending: ledger.waiting.some,
        pending_total: ledger.waiting.total,
        returned: Default::default(),
    }
}
