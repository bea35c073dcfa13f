//! Telling how this device stands, seeing how the others do, and going.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_core::receipt::{self, Receipt, readable};
use mooring_wire::Device;

use super::document::{Answer, Presence};
use super::{DEVICES, REQUESTS, documents, file_name, folder, folder_if_there, install, read};
use crate::account::Account;
use crate::error::{Error, Result, about_one_file};
use crate::files::{Files, seconds};
use crate::place::open_storage;
use crate::{base, durable, plan};

/// After so many seconds a document is written again, although nothing else changed.
const DAILY: u64 = 24 * 60 * 60;
/// The most receipts of devices that left which are shown, the newest.
const MAX_LEFT: usize = 20;

/// Tells the other devices how this one stands, from the state alone; writes only what is new, and
/// the time once a day.
///
/// # Errors
/// When the storage is gone or full.
pub fn tell<F: Files>(account: &Account<F>) -> Result<()> {
    let spec = &account.spec;
    let storage = open_storage(account)?;
    let dir = folder(account, &storage, DEVICES)?;
    folder(account, &storage, REQUESTS)?;
    let facts = plan::from_state(account)?;
    let now = Presence {
        version: Presence::VERSION,
        device: spec.device.clone(),
        sign_in_id: spec.sign_in_id.clone(),
        identity: spec.identity.clone(),
        collections: facts.iter().map(|f| f.name.clone()).collect(),
        pending: facts.iter().map(|f| f.unsynced).sum(),
        held: facts.iter().map(|f| f.held).sum(),
        last_seen: seconds(account.files.now()),
        answer: account.state.last_answer()?,
    };
    let fail = |e| Error::io("tell the other devices in", &spec.storage, e);
    let before = match read(&account.files, &dir, &spec.sign_in_id).map_err(fail)? {
        Some(Ok(text)) => Presence::parse(&text, &spec.sign_in_id).ok(),
        _ => None,
    };
    let fits = |before: &Presence| {
        before.says_as(&now) && now.last_seen.abs_diff(before.last_seen) < DAILY
    };
    if before.as_ref().is_some_and(fits) {
        return Ok(());
    }
    let text = toml::to_string(&now).map_err(|e| fail(io::Error::other(e)))?;
    install(&account.files, &dir, &spec.sign_in_id, &text).map_err(fail)
}

/// Every device that uses the storage, this one first, and those that left; documents that cannot
/// be read are named.
///
/// # Errors
/// When the storage is gone or fails.
pub fn list<F: Files>(account: &Account<F>) -> Result<Vec<Device>> {
    let storage = open_storage(account)?;
    let fail = |e| Error::io("look at the devices of", &account.spec.storage, e);
    let asked = super::requests::targets(account, &storage).map_err(fail)?;
    let mut devices = Vec::new();
    if let Some(dir) = folder_if_there(&account.files, &storage, DEVICES).map_err(fail)? {
        let found = documents(&account.files, &dir).map_err(fail)?;
        for id in &found.ids {
            match read(&account.files, &dir, id).map_err(fail)? {
                None => {}
                Some(text) => devices.push(match text.and_then(|t| Presence::parse(&t, id)) {
                    Ok(presence) => shown(account, presence, &asked),
                    Err(why) => unreadable(id, &why),
                }),
            }
        }
        if found.more > 0 {
            devices.push(unreadable(DEVICES, &format!("holds {} more", found.more)));
        }
    }
    devices
        .sort_by(|a, b| (!a.this, &a.name, &a.sign_in_id).cmp(&(!b.this, &b.name, &b.sign_in_id)));
    devices.extend(left(account)?);
    Ok(devices)
}

fn shown<F: Files>(
    account: &Account<F>,
    presence: Presence,
    asked: &BTreeMap<String, Vec<String>>,
) -> Device {
    let open = asked.get(&presence.sign_in_id).into_iter().flatten();
    // An answered request that is still there is about to be deleted.
    let waiting = open
        .filter(|id| presence.answer.as_ref().is_none_or(|a| a.request != **id))
        .count();
    let (state, message) = match presence.answer {
        _ if waiting > 0 => ("asked".to_owned(), String::new()),
        Some(Answer { state, message, .. }) => (state, message),
        None => ("active".to_owned(), String::new()),
    };
    Device {
        this: presence.sign_in_id == account.spec.sign_in_id,
        name: presence.device,
        sign_in_id: presence.sign_in_id,
        identity: presence.identity,
        collections: presence.collections,
        pending: presence.pending,
        held: presence.held,
        last_seen: presence.last_seen,
        state,
        message,
        receipt: String::new(),
    }
}

fn unreadable(name: &str, why: &str) -> Device {
    tracing::warn!(document = name, why, "a device's document is not read");
    Device {
        name: name.to_owned(),
        state: "unreadable".to_owned(),
        message: why.to_owned(),
        ..Device::default()
    }
}

/// The devices that left this storage, by their receipts, the newest first.
fn left<F: Files>(account: &Account<F>) -> Result<Vec<Device>> {
    let dir = base::receipts_dir(account)?;
    let fail = |e| Error::io("list the receipts of", &account.spec.storage, e);
    let mut entries = account.files.list(&dir).map_err(fail)?;
    entries.retain(|entry| entry.name.as_bytes().ends_with(b".toml"));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.stat.mtime));
    let mut left = Vec::new();
    for entry in entries.iter().take(MAX_LEFT) {
        let Some(id) = entry.name.to_str().and_then(|n| n.strip_suffix(".toml")) else {
            continue;
        };
        if !base::is_receipt_id(id) {
            continue;
        }
        match durable::read(&account.files, &dir, &file_name(id), base::MAX_RECEIPT) {
            Ok(Some(bytes)) => {
                let text = std::str::from_utf8(&bytes).unwrap_or_default();
                match Receipt::from_toml(text) {
                    Ok(receipt) => left.extend(gone(account, id, receipt)),
                    Err(_) => tracing::warn!(receipt = id, "cannot be understood"),
                }
            }
            Ok(None) => {}
            Err(e) => tracing::warn!(receipt = id, "cannot be read: {e}"),
        }
    }
    Ok(left)
}

/// What a receipt tells of the device that wrote it, when it is about this storage.
fn gone<F: Files>(account: &Account<F>, id: &str, receipt: Receipt) -> Option<Device> {
    let ours = receipt.id == id && receipt.storage.id == account.spec.storage_id;
    ours.then(|| Device {
        name: super::document::name(&receipt.device),
        identity: super::document::name(&receipt.identity),
        last_seen: receipt::seconds(&receipt.signed_out_at).unwrap_or(0),
        state: "left".to_owned(),
        receipt: id.to_owned(),
        ..Device::default()
    })
}

/// Takes away what a sign-in that has ended left for the other devices: its presence, and the
/// requests to it. Repeating it is harmless.
///
/// # Errors
/// When the storage is gone or fails.
pub fn withdraw<F: Files>(files: &F, storage: &Path, sign_in_id: &str) -> Result<()> {
    let shown = readable(storage.as_os_str().as_bytes());
    if !super::is_id(sign_in_id) {
        return Err(Error::Refused("this is no sign-in's ID".to_owned()));
    }
    let fail = |e| Error::io("take this device out of", storage, e);
    let root = files.open_root(storage).map_err(|e| {
        Error::StorageGone(format!(
            "this device cannot be taken out of {shown} ({e}): mount or plug it in and try again"
        ))
    })?;
    if let Some(dir) = folder_if_there(files, &root, REQUESTS).map_err(fail)? {
        super::requests::sweep_target(files, &dir, sign_in_id).map_err(fail)?;
    }
    // The presence last: without it, a request to this device counts as nobody's.
    if let Some(dir) = folder_if_there(files, &root, DEVICES).map_err(fail)? {
        match durable::remove_if_there(files, &dir, OsStr::new(&file_name(sign_in_id))) {
            Ok(()) => files.sync_dir(&dir).map_err(fail)?,
            // Something that this device did not put there; it must not keep it from leaving.
            Err(e) if about_one_file(&e).is_some() => {
                tracing::warn!(sign_in_id, "its presence cannot be taken away: {e}");
            }
            Err(e) => return Err(fail(e)),
        }
    }
    Ok(())
}
