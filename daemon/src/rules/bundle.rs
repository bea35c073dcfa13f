//! The signed bundle: where it lies, who may sign it, and what is remembered of it.
//!
//! What is remembered belongs to the device and not to a person: whoever is new on it is held to
//! the bundle that is in force, and no older one is let in through them.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use mooring_core::policy::Problem;
use mooring_core::policy::bundle::{
    Bundle, Held, Key, MAX_BUNDLE_BYTES, MAX_KEYS, MAX_SIGNATURE_BYTES, Memory, Offer, hold,
    refusal,
};

use super::files::{bytes, bytes_if_there, files, unreadable, whole};
use crate::durable;
use crate::folders::{Folders, STATE};
use crate::store::Error;

/// Where the fetcher of system mode, which is another user, puts the bundle.
const FETCHED: &str = "/var/lib/mooring-policy";
/// The bundle's name; its signature has [`SIGNATURE`] after it.
const NAME: &str = "policy.bundle";
/// What minisign puts behind a file's name for its signature.
const SIGNATURE: &str = ".minisig";
/// The file of what is remembered.
const MEMORY: &str = "accepted.json";
/// The most that is read of what is remembered: a bundle with every byte of it escaped.
const MAX_MEMORY_BYTES: usize = 8 * MAX_BUNDLE_BYTES;

/// The folder of the bundle.
pub(super) fn folder(folders: &Folders) -> PathBuf {
    if folders.trusted {
        PathBuf::from(FETCHED)
    } else {
        folders.state.join("policy")
    }
}

/// The bundle's file.
pub(super) fn path(folders: &Folders) -> PathBuf {
    folder(folders).join(NAME)
}

/// The folder of the keys that may sign it.
pub(super) fn key_folder(folders: &Folders) -> PathBuf {
    folders.config.join("policy-keys.d")
}

fn memory_folder(folders: &Folders) -> PathBuf {
    if folders.trusted {
        Path::new(STATE).join("policy")
    } else {
        folder(folders)
    }
}

/// The bundle in force, from what lies there at `now` and what is remembered. Changes nothing.
///
/// # Errors
/// When what is remembered cannot be read: an older bundle must not come in through that.
pub(super) fn look(folders: &Folders, now: u64) -> Result<Held, Error> {
    let keys = keys(folders);
    let trusted: Vec<_> = keys.iter().flatten().map(|key| key.text.clone()).collect();
    Ok(hold(&recall(folders)?, offer(folders, keys), &trusted, now))
}

/// Keeps what is to be remembered.
///
/// # Errors
/// When it cannot be written; then nothing has changed.
pub(super) fn keep(folders: &Folders, held: &Held) -> Result<(), Error> {
    if recall(folders)? == held.memory {
        return Ok(());
    }
    let folder = memory_folder(folders);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)?;
    let text = serde_json::to_vec(&held.memory).map_err(damaged)?;
    let new = folder.join(format!("{MEMORY}.new"));
    Ok(durable::replace(&new, &folder.join(MEMORY), &text)?)
}

fn recall(folders: &Folders) -> Result<Memory, Error> {
    match bytes(
        &memory_folder(folders).join(MEMORY),
        MAX_MEMORY_BYTES,
        false,
    ) {
        Ok(text) => serde_json::from_slice(&text).map_err(damaged),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Memory::default()),
        Err(error) => Err(error.into()),
    }
}

fn damaged(source: serde_json::Error) -> Error {
    Error::Damaged {
        what: "accepted policy bundle".to_owned(),
        source,
    }
}

/// What lies in the place of the bundle.
fn offer(folders: &Folders, keys: Result<Vec<Key>, Vec<Problem>>) -> Offer {
    let keys = match keys {
        Ok(keys) => keys,
        Err(problems) => return Offer::Refused(problems),
    };
    let path = path(folders);
    let signature = folder(folders).join(format!("{NAME}{SIGNATURE}"));
    let signed = match (
        bytes_if_there(&path, MAX_BUNDLE_BYTES, false),
        bytes_if_there(&signature, MAX_SIGNATURE_BYTES, false),
    ) {
        (Ok(None), Ok(_)) if keys.is_empty() => return Offer::NothingTrusted,
        (Ok(None), Ok(_)) => return Offer::Nothing,
        (Ok(Some(bundle)), Ok(signature)) => (bundle, signature.unwrap_or_default()),
        (Err(problem), _) | (_, Err(problem)) => return Offer::Refused(vec![problem]),
    };
    match Bundle::open(&path.to_string_lossy(), &signed.0, &signed.1, &keys) {
        Ok(bundle) => Offer::Signed(bundle),
        Err(problems) => Offer::Refused(problems),
    }
}

/// A bundle as it was handed over, checked by the keys of this device, and whether it may come into
/// force at `now`, which an older or expired one does not; applies nothing.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(
    folders: &Folders,
    name: &str,
    (bundle, signature): (&[u8], &[u8]),
    now: u64,
) -> Result<Bundle, Vec<Problem>> {
    let bundle = Bundle::open(name, bundle, signature, &keys(folders)?)?;
    let memory = recall(folders).map_err(|error| {
        let place = memory_folder(folders).join(MEMORY);
        vec![Problem::of_file(
            &place.to_string_lossy(),
            error.to_string(),
        )]
    })?;
    match refusal(&memory, &bundle, now) {
        Some(message) => Err(vec![Problem::of_file(name, message)]),
        None => Ok(bundle),
    }
}

/// The keys that may sign a bundle.
///
/// # Errors
/// What cannot be read or is no key: then nobody knows who may sign.
fn keys(folders: &Folders) -> Result<Vec<Key>, Vec<Problem>> {
    let folder = key_folder(folders);
    let paths = files(&folder, "pub").map_err(|error| vec![unreadable(&folder, &error)])?;
    if paths.len() > MAX_KEYS {
        let message = format!("at most {MAX_KEYS} keys may sign a bundle: remove some");
        return Err(vec![Problem::of_file(&folder.to_string_lossy(), message)]);
    }
    whole(paths.into_iter().map(|path| {
        let read = bytes(&path, MAX_SIGNATURE_BYTES, folders.trusted);
        let bytes = read.map_err(|error| vec![unreadable(&path, &error)])?;
        let key = Key::read(&path.to_string_lossy(), &bytes).map_err(|problem| vec![problem])?;
        Ok([key])
    }))
}
