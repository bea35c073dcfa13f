//! Requests to sign out: leaving one for another device, finding those for this one, and answering
//! them.
//!
//! A request is open as long as its file lies there and its ID was not answered. The broker first
//! makes durable what it decided (a job, or a denial that would be decided again), then has it
//! answered here: first in the state, so that the same request never counts again, then where the
//! other device reads it, and only then the file goes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;

use mooring_wire::DeviceRequest;

use super::document::{Answer, Request};
use super::{DEVICES, REQUESTS, documents, file_name, folder, folder_if_there, is_id, read};
use crate::account::Account;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::{Files, seconds};
use crate::place::open_storage;
use crate::state::Epoch;

/// The most open requests that are told at once.
const MAX_OPEN: usize = 16;

/// Leaves a request for another device; answers its ID. One of this device that is open already
/// stands for it.
///
/// # Errors
/// [`Error::Refused`] when the target is this device, or not there; when the storage is gone.
pub fn ask<F: Files>(account: &Account<F>, target: &str, id: &str) -> Result<String> {
    let spec = &account.spec;
    if !is_id(target) || !is_id(id) {
        return Err(Error::Refused("this is no device's ID".to_owned()));
    }
    if target == spec.sign_in_id {
        return Err(Error::Refused(
            "this is the device itself: sign out here instead".to_owned(),
        ));
    }
    let storage = open_storage(account)?;
    let fail = |e| Error::io("leave a request in", &spec.storage, e);
    if !is_there(account, &storage, target).map_err(fail)? {
        return Err(Error::Refused(format!(
            "no device with the sign-in {target} uses this storage"
        )));
    }
    let dir = folder(account, &storage, REQUESTS)?;
    let found = documents(&account.files, &dir).map_err(fail)?;
    for there in &found.ids {
        if let Some(Ok(text)) = read(&account.files, &dir, there).map_err(fail)?
            && let Ok(request) = Request::parse(&text, there)
            && (request.target.as_str(), &request.sign_in_id) == (target, &spec.sign_in_id)
        {
            return Ok(request.request_id);
        }
    }
    if found.more > 0 {
        return Err(Error::Refused(
            "there are too many requests in the storage already".to_owned(),
        ));
    }
    let request = Request {
        version: Request::VERSION,
        request_id: id.to_owned(),
        target: target.to_owned(),
        device: spec.device.clone(),
        sign_in_id: spec.sign_in_id.clone(),
        asked_at: seconds(account.files.now()),
    };
    let text = toml::to_string(&request).map_err(|e| fail(io::Error::other(e)))?;
    durable::create(&account.files, &dir, &file_name(id), text.as_bytes()).map_err(fail)?;
    Ok(id.to_owned())
}

/// The requests to this device that nobody answered yet. Those that were answered go, and those
/// to devices that are not there any more.
///
/// # Errors
/// When the storage is gone or fails, or the state cannot be read.
pub fn open<F: Files>(account: &Account<F>) -> Result<Vec<DeviceRequest>> {
    if account.state.epoch()? != Epoch::Active {
        return Ok(Vec::new());
    }
    let storage = open_storage(account)?;
    let fail = |e| Error::io("look at the requests in", &account.spec.storage, e);
    let mut open = Vec::new();
    let Some(dir) = folder_if_there(&account.files, &storage, REQUESTS).map_err(fail)? else {
        return Ok(open);
    };
    let mut swept = false;
    for id in documents(&account.files, &dir).map_err(fail)?.ids {
        let request = match read(&account.files, &dir, &id).map_err(fail)? {
            None => continue,
            Some(text) => text.and_then(|text| Request::parse(&text, &id)),
        };
        let request = match request {
            Ok(request) => request,
            Err(why) => {
                tracing::warn!(document = id, why, "a request is not read");
                continue;
            }
        };
        let ours = request.target == account.spec.sign_in_id;
        let over = if ours {
            account.state.is_answered(&id)?
        } else {
            !is_there(account, &storage, &request.target).map_err(fail)?
        };
        if over {
            tracing::info!(request = id, target = request.target, "a request is over");
            durable::remove_if_there(&account.files, &dir, OsStr::new(&file_name(&id)))
                .map_err(fail)?;
            swept = true;
        } else if ours && open.len() < MAX_OPEN {
            open.push(DeviceRequest {
                id,
                device: request.device,
                sign_in_id: request.sign_in_id,
            });
        }
    }
    if swept {
        account.files.sync_dir(&dir).map_err(fail)?;
    }
    Ok(open)
}

/// Answers a request: from now on it never counts again, unless it is told to wait. Durable on this device when this fails
/// over the storage: the next sync then tells the others.
///
/// # Errors
/// [`Error::Refused`] for what is no answer; when the state or the storage cannot be written.
pub fn answer<F: Files>(account: &Account<F>, answer: Answer) -> Result<()> {
    if !answer.is_one() {
        return Err(Error::Refused("this is no answer to a request".to_owned()));
    }
    let answer = answer.bounded();
    let id = answer.request.clone();
    if account.state.last_answer()?.as_ref() != Some(&answer) {
        account.state.record_answer(&answer)?;
    }
    super::tell(account)?;
    if answer.is_to_wait() {
        return Ok(());
    }
    let storage = open_storage(account)?;
    let fail = |e| Error::io("take a request out of", &account.spec.storage, e);
    if let Some(dir) = folder_if_there(&account.files, &storage, REQUESTS).map_err(fail)? {
        durable::remove_if_there(&account.files, &dir, OsStr::new(&file_name(&id)))
            .map_err(fail)?;
        account.files.sync_dir(&dir).map_err(fail)?;
    }
    Ok(())
}

/// The open requests by the device they are for.
pub(super) fn targets<F: Files>(
    account: &Account<F>,
    storage: &F::Dir,
) -> io::Result<BTreeMap<String, Vec<String>>> {
    let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let Some(dir) = folder_if_there(&account.files, storage, REQUESTS)? else {
        return Ok(targets);
    };
    for id in documents(&account.files, &dir)?.ids {
        if let Some(Ok(text)) = read(&account.files, &dir, &id)?
            && let Ok(request) = Request::parse(&text, &id)
        {
            targets.entry(request.target).or_default().push(id);
        }
    }
    Ok(targets)
}

/// Takes away the requests to one device.
pub(super) fn sweep_target<F: Files>(files: &F, dir: &F::Dir, target: &str) -> io::Result<()> {
    for id in documents(files, dir)?.ids {
        if let Some(Ok(text)) = read(files, dir, &id)?
            && Request::parse(&text, &id).is_ok_and(|request| request.target == target)
        {
            durable::remove_if_there(files, dir, OsStr::new(&file_name(&id)))?;
        }
    }
    files.sync_dir(dir)
}

/// Whether a device's document is there, readable or not.
fn is_there<F: Files>(account: &Account<F>, storage: &F::Dir, id: &str) -> io::Result<bool> {
    let Some(dir) = folder_if_there(&account.files, storage, DEVICES)? else {
        return Ok(false);
    };
    match account.files.stat(&dir, OsStr::new(&file_name(id))) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
