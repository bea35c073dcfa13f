//! `mooringd --rotate-key`: seals everything by another key, while no daemon runs.
//!
//! A process of its own, under the daemon's lock: there is no moment at which two keys are in use,
//! and its exit code says that every state was done.
//!
//! A crash on the way leaves both keys where keys are kept, and each state says which of them holds:
//! that changes in the same transaction as everything that is sealed. The next start forgets the
//! other (in system mode `mooring-key`, once all is done).

use std::path::Path;
use std::process::ExitCode;

use mooring_wire::fault::{self, Process};

use super::file::KeyFiles;
use super::service::{Reached, SecretService};
use super::{FOLDER, add_new, credential, session};
use crate::failure::Failure;
use crate::folders::{Folders, Mode, STATE};
use crate::lock::Lock;
use crate::people::uid_of;
use crate::store::Store;

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// Seals by another key, and tells how much there was.
pub fn run(mode: Mode) -> ExitCode {
    let changed = match mode {
        Mode::Session => one_person(),
        Mode::System => everybody(),
    };
    match changed {
        Ok(count) => {
            println!("{count} sealed by a new key");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("mooringd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn one_person() -> Result<usize, Anything> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let folders = Folders::session(|name| std::env::var_os(name))?;
    folders.make()?;
    let _lock = Lock::take(&folders.state)?;
    let store = Store::open(&folders.state.join("broker.db"))?;
    Ok(runtime.block_on(new_key(&folders, &store))?)
}

async fn new_key(folders: &Folders, store: &Store) -> Result<usize, Failure> {
    session(folders, store).await?;
    let files = KeyFiles::new(folders.state.join(FOLDER));
    let (state, _) = store.sealed_by()?;
    let (key, place) = add_new(&files, &state).await?;
    let id = key.id().to_owned();
    let count = store.reseal(key, place)?;
    files.keep_only(&id)?;
    if let Reached::Yes(service) = SecretService::reach(&state).await {
        service.keep_only(&id).await?;
    }
    fault::point(Process::Broker, "key-forgotten");
    Ok(count)
}

/// Every person's state; one that cannot be done does not keep the others from it, and fails the
/// whole: the key before is needed still.
fn everybody() -> Result<usize, Anything> {
    let base = Path::new(STATE);
    let _lock = Lock::take(base)?;
    let (mut count, mut undone) = (0, Vec::new());
    for entry in std::fs::read_dir(base)? {
        let name = entry?.file_name();
        let Some(uid) = name.to_str().and_then(uid_of) else {
            continue;
        };
        let file = Folders::system(uid).state.join("broker.db");
        if !file.try_exists()? {
            continue;
        }
        let changed = Store::open(&file)
            .map_err(Failure::from)
            .and_then(|store| credential::rotate(&store));
        match changed {
            Ok(sealed) => count += sealed,
            Err(failure) => undone.push(format!("user {uid}: {failure}")),
        }
    }
    if undone.is_empty() {
        return Ok(count);
    }
    Err(undone.join("; ").into())
}
