//! What the files of configuration and policy say: read whole, exchanged at once, never half.

mod watch;

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mooring_core::policy::{MAX_FILE_BYTES, MAX_FILES, Problem, Source, Standing};
use mooring_core::settings::{self, Settings};
use tokio::sync::watch::{Receiver, Sender};

use crate::folders::Folders;
use crate::store::{Error, Store};

pub use watch::Watch;

/// What is in force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The policy, and how it came to be.
    pub standing: Standing,
    /// How the daemon works.
    pub settings: Settings,
    /// What is wrong with the files of settings; then the settings before are in force.
    pub settings_problems: Vec<Problem>,
}

/// The rules of this broker.
#[derive(Debug)]
pub struct Rules {
    folders: Folders,
    in_force: Sender<Arc<InForce>>,
}

impl Rules {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// When the last good policy cannot be read from, or kept in, the state.
    pub fn load(folders: Folders, store: &Store) -> Result<Self, Error> {
        let standing = Standing::new(store.last_good_policy()?, read_policy(&folders));
        let (settings, settings_problems) = match read_settings(&folders) {
            Ok(settings) => (settings, Vec::new()),
            Err(problems) => (Settings::default(), problems),
        };
        let in_force = InForce {
            standing,
            settings,
            settings_problems,
        };
        keep(store, &in_force)?;
        tell(&in_force);
        Ok(Self {
            folders,
            in_force: Sender::new(Arc::new(in_force)),
        })
    }

    /// Reads everything again. What is wrong keeps what was right before in force.
    ///
    /// # Errors
    /// When the last good policy cannot be kept; then nothing has changed.
    pub fn reload(&self, store: &Store) -> Result<(), Error> {
        let before = self.in_force();
        let standing = before.standing.reload(read_policy(&self.folders));
        let (settings, settings_problems) = match read_settings(&self.folders) {
            Ok(settings) => (settings, Vec::new()),
            Err(problems) => (before.settings.clone(), problems),
        };
        let in_force = InForce {
            standing,
            settings,
            settings_problems,
        };
        keep(store, &in_force)?;
        tell(&in_force);
        self.in_force.send_replace(Arc::new(in_force));
        Ok(())
    }

    /// What is in force now.
    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.borrow().clone()
    }

    /// Tells when something else is in force.
    pub fn changes(&self) -> Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }
}

/// Everything that is wrong with the files, for `--check-config`.
pub fn check(folders: &Folders) -> Vec<Problem> {
    let mut problems = read_settings(folders).err().unwrap_or_default();
    problems.extend_from_slice(Standing::new(None, read_policy(folders)).problems());
    problems
}

fn keep(store: &Store, in_force: &InForce) -> Result<(), Error> {
    let last_good = in_force.standing.last_good();
    if store.last_good_policy()?.as_deref() != last_good {
        store.save_last_good_policy(last_good)?;
    }
    Ok(())
}

fn tell(in_force: &InForce) {
    for problem in &in_force.settings_problems {
        tracing::warn!("{problem}");
    }
    for problem in in_force.standing.problems() {
        tracing::warn!("{problem}");
    }
    let state = in_force.standing.state().name();
    tracing::info!(
        state,
        files = in_force.standing.policy().files().len(),
        "policy"
    );
}

fn read_policy(folders: &Folders) -> Result<Vec<Source>, Vec<Problem>> {
    read_folder(&folders.policy())
}

fn read_settings(folders: &Folders) -> Result<Settings, Vec<Problem>> {
    let mut sources = Vec::new();
    sources.extend(read_file(&folders.config.join("mooring.toml")).map_err(|p| vec![p])?);
    sources.extend(read_folder(&folders.config.join("mooring.d"))?);
    let mut fragments = Vec::new();
    let mut problems = Vec::new();
    for source in &sources {
        match settings::parse(source) {
            Ok(fragment) => fragments.push(fragment),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Settings::from_fragments(&fragments)
    } else {
        Err(problems)
    }
}

/// The `*.toml` files of a folder in the order of their names; none when there is no folder.
fn read_folder(folder: &Path) -> Result<Vec<Source>, Vec<Problem>> {
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for path in files(folder).map_err(|error| vec![unreadable(folder, &error)])? {
        match read_file(&path) {
            Ok(source) => sources.extend(source),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(sources)
    } else {
        Err(problems)
    }
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // An editor's hidden and backup files are not meant.
        let hidden = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|e| e == "toml") {
            paths.push(path);
        }
        // One more than allowed, so that the excess is told, and no list without an end.
        if paths.len() > MAX_FILES {
            break;
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// A file's text; none when it is not there (any more).
fn read_file(path: &Path) -> Result<Option<Source>, Problem> {
    let open = || {
        // A pipe or device in the place of a file must not make us wait.
        let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "this is no regular file",
            ));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match open() {
        Ok(bytes) => Source::from_bytes(&path.to_string_lossy(), &bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link(path) => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// A link to nowhere is a mistake and not an absent file: a policy must not vanish with its target.
fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::of_file(
        &path.to_string_lossy(),
        format!("this cannot be read: {error}"),
    )
}

#[cfg(test)]
mod tests;
