//! The key that seals the broker's secrets: where it is kept, how it comes, how it changes.
//!
//! In session mode the Secret Service keeps it where there is one that takes it without asking,
//! otherwise a file of mode 0600 does. Either guards against whoever gets hold of a copy of the
//! state; not against the person's own programs, which can ask for the key as we do. In system mode
//! the service manager hands it over as a credential, which only the device itself can decrypt.
//!
//! A key that is not here locks the secrets, and nothing else: nothing is deleted, no other key is
//! put in its place, and what needs no secret goes on.

pub mod change;
mod credential;
mod file;
mod locked;
mod service;

use std::fmt;
use std::path::PathBuf;

use mooring_wire::fault::{self, Process};

use crate::failure::Failure;
use crate::folders::{Folders, Mode};
use crate::sealed::Key;
use crate::store::Store;

use file::KeyFiles;
use service::{Reached, SecretService};

pub use locked::mark;

/// The folder of key files, in the folder of the state.
const FOLDER: &str = "keys";

/// Where a key is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file that only its owner can read.
    KeyFile(PathBuf),
    /// The person's keyring.
    SecretService,
    /// The service manager.
    Credential,
}

impl Place {
    /// The name on the bus.
    pub fn name(&self) -> &'static str {
        match self {
            Self::KeyFile(_) => "key-file",
            Self::SecretService => "secret-service",
            Self::Credential => "credential",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile(path) => write!(
                f,
                "sealed by a key in {}; your own programs can read it",
                path.display()
            ),
            Self::SecretService => f.write_str(
                "sealed by a key in your keyring (Secret Service); your own programs can ask for it",
            ),
            Self::Credential => f.write_str("sealed by this device's credential"),
        }
    }
}

/// Brings the key and opens the secrets, or locks them.
pub async fn unlock(mode: Mode, folders: &Folders, store: &Store) {
    let opened = match mode {
        Mode::Session => session(folders, store).await,
        Mode::System => credential::unlock(store),
    };
    note(store, opened);
}

/// The same from the service manager's credentials alone.
pub fn unlock_by_credential(store: &Store) {
    note(store, credential::unlock(store));
}

fn note(store: &Store, opened: Result<(), Failure>) {
    let Err(failure) = opened else { return };
    // Two may have asked at once, and the other had it.
    if store.key_place().is_err() {
        tracing::warn!(error = %failure, "secrets are locked");
        store.lock(failure.to_string());
    }
}

async fn session(folders: &Folders, store: &Store) -> Result<(), Failure> {
    let files = KeyFiles::new(folders.state.join(FOLDER));
    let (state, wanted) = store.sealed_by()?;
    match wanted {
        Some(id) => again(&files, store, &state, &id).await,
        None => first(&files, store, &state).await,
    }
}

/// The key that the secrets are sealed by; what else is kept is left from a change of keys.
async fn again(files: &KeyFiles, store: &Store, state: &str, id: &str) -> Result<(), Failure> {
    let in_file = files.get(id);
    if let Ok(Some(key)) = in_file {
        store.use_key(key, Place::KeyFile(files.path(id)))?;
        tidied(files.keep_only(id));
        return Ok(());
    }
    let why_no_service = match SecretService::reach(state).await {
        Reached::Yes(service) => match service.get(id).await {
            Ok(Some(key)) => {
                store.use_key(key, Place::SecretService)?;
                tidied(service.keep_only(id).await);
                tidied(files.keep_only(id));
                return Ok(());
            }
            Ok(None) => "the keyring does not have it".to_owned(),
            Err(failure) => failure.to_string(),
        },
        Reached::No(why) => why,
    };
    let file = match in_file {
        Err(failure) => failure.to_string(),
        Ok(_) => format!("{} is not there", files.path(id).display()),
    };
    Err(Failure::SecretsLocked(format!(
        "the key {id} that seals what Mooring remembers of passwords cannot be had: {file}, and \
         {why_no_service}. Unlock the keyring or put the file back; nothing was changed. If the key \
         is lost, move broker.db and what begins with its name aside, start again, and sign in to \
         the same folders: what is there is taken up by comparing bytes"
    )))
}

/// A key that is left over does no harm until the next start.
fn tidied(removed: Result<(), Failure>) {
    if let Err(error) = removed {
        tracing::warn!(%error, "a key that seals nothing any more cannot be removed");
    }
}

/// A key that a start before this one made and did not come to use, or a new one.
async fn first(files: &KeyFiles, store: &Store, state: &str) -> Result<(), Failure> {
    if let Some(key) = files.any()? {
        let path = files.path(key.id());
        return Ok(store.use_key(key, Place::KeyFile(path))?);
    }
    let (key, place) = add_new(files, state).await?;
    Ok(store.use_key(key, place)?)
}

/// A new key, durable where it is kept.
async fn add_new(files: &KeyFiles, state: &str) -> Result<(Key, Place), Failure> {
    let key = Key::random()?;
    let why = match SecretService::reach(state).await {
        Reached::Yes(service) => match service.add(&key).await {
            Ok(()) => {
                fault::point(Process::Broker, "key-added");
                return Ok((key, Place::SecretService));
            }
            Err(failure) => failure.to_string(),
        },
        Reached::No(why) => why,
    };
    tracing::info!(why, "the key is kept in a file");
    files.add(&key)?;
    fault::point(Process::Broker, "key-added");
    let place = Place::KeyFile(files.path(key.id()));
    Ok((key, place))
}
