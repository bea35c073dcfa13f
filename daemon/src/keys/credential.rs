//! The key from the service manager (systemd.exec(5), *Credentials*): a file in a folder that only
//! this service sees, in memory.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::Place;
use crate::failure::Failure;
use crate::sealed::{KEY_BYTES, Key};
use crate::store::Store;

/// The credential.
const NAME: &str = "mooring.key";
/// The one that is to follow it, while keys are changed.
const NEXT: &str = "mooring.key.next";
/// What to do when there is none.
const ADVICE: &str = "systemctl status mooring-key.service says why; put its credential back and \
                      restart mooringd. Nothing was changed";

/// Opens the secrets with whichever credential they are sealed by; the first ones by the one that
/// is current.
pub(super) fn unlock(store: &Store) -> Result<(), Failure> {
    let (_, wanted) = store.sealed_by()?;
    let current = read(NAME);
    let Some(id) = wanted else {
        return Ok(store.use_key(current?, Place::Credential)?);
    };
    // A change of keys that is under way may have come to this state already.
    match (current, read(NEXT)) {
        (Ok(key), _) | (_, Ok(key)) if key.id() == id => Ok(store.use_key(key, Place::Credential)?),
        (current, _) => Err(other(&id, current)),
    }
}

/// Seals everything by the credential that follows; answers how much there was, which is nothing
/// when it was done before.
///
/// # Errors
/// [`Failure::SecretsLocked`] when either credential cannot be had, or something sealed is damaged.
pub(super) fn rotate(store: &Store) -> Result<usize, Failure> {
    let next = read(NEXT)?;
    let (_, wanted) = store.sealed_by()?;
    if wanted.as_deref() == Some(next.id()) {
        store.use_key(next, Place::Credential)?;
        return Ok(0);
    }
    unlock(store)?;
    Ok(store.reseal(next, Place::Credential)?)
}

fn other(id: &str, current: Result<Key, Failure>) -> Failure {
    let said = match current {
        Ok(key) => format!("the credential {NAME} is another key ({})", key.id()),
        Err(failure) => failure.to_string(),
    };
    Failure::SecretsLocked(format!(
        "the key {id} that seals what Mooring remembers of passwords cannot be had: {said}; {ADVICE}"
    ))
}

fn read(name: &str) -> Result<Key, Failure> {
    let locked = |said: String| Failure::SecretsLocked(format!("{said}; {ADVICE}"));
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) else {
        return Err(locked(
            "the service manager handed over no credentials".to_owned(),
        ));
    };
    let path = folder.join(name);
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    let read =
        File::open(&path).and_then(|file| file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Key::from_bytes(&bytes)
            .map_err(|error| locked(format!("the credential {name} is no key: {error}"))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(locked(format!("there is no credential {name}")))
        }
        Err(error) => Err(locked(format!("{}: {error}", path.display()))),
    }
}
