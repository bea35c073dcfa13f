//! What the files of configuration and policy say: read whole, exchanged at once, never half.

mod bundle;
mod watch;

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mooring_core::policy::bundle::Held;
use mooring_core::policy::{Circumstances, MAX_FILE_BYTES, MAX_FILES, Problem, Source, Standing};
use mooring_core::settings::{self, Settings};
use tokio::sync::watch::{Receiver, Sender};

use crate::audit;
use crate::circumstances;
use crate::folders::Folders;
use crate::people::ADMINISTRATOR;
use crate::store::{Error, Store};

pub use bundle::check as check_bundle;
pub use watch::Watch;

/// What is in force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The policy, and how it came to be.
    pub standing: Standing,
    /// What is known of the device and its person, as far as the policy asks.
    pub circumstances: Circumstances,
    /// How the daemon works.
    pub settings: Settings,
    /// What is wrong with the files of settings; then the settings before are in force.
    pub settings_problems: Vec<Problem>,
}

/// The rules of this broker.
#[derive(Debug)]
pub struct Rules {
    folders: Folders,
    uid: u32,
    in_force: Sender<Arc<InForce>>,
}

impl Rules {
    /// Reads everything for the first time, for this user, `now` in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When the last good policy cannot be read from, or kept in, the state.
    pub fn load(folders: Folders, uid: u32, store: &Store, now: u64) -> Result<Self, Error> {
        let last_good = store.last_good_policy()?;
        let (in_force, held) = read(&folders, uid, (last_good, Settings::default()), now)?;
        let tells = tells(&folders, uid);
        if tells {
            tell(&in_force);
        }
        if keep(&folders, store, &in_force, &held, tells)? && tells {
            tell_change(&in_force);
        }
        Ok(Self {
            folders,
            uid,
            in_force: Sender::new(Arc::new(in_force)),
        })
    }

    /// Reads everything again at `now`. What is wrong keeps what was right before in force.
    ///
    /// # Errors
    /// When the last good policy cannot be kept; then nothing has changed.
    pub fn reload(&self, store: &Store, now: u64) -> Result<(), Error> {
        let before = self.in_force();
        let last_good = before.standing.last_good().map(<[Source]>::to_vec);
        let kept = (last_good, before.settings.clone());
        let (in_force, held) = read(&self.folders, self.uid, kept, now)?;
        let tells = tells(&self.folders, self.uid);
        if tells {
            tell(&in_force);
        }
        let otherwise = before.standing.state() != in_force.standing.state();
        let another = keep(&self.folders, store, &in_force, &held, tells)? || otherwise;
        if another && tells {
            tell_change(&in_force);
        }
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

/// Everything as the files have it now; what is wrong with them leaves in force what was `kept`.
fn read(
    folders: &Folders,
    uid: u32,
    kept: (Option<Vec<Source>>, Settings),
    now: u64,
) -> Result<(InForce, Held), Error> {
    let held = bundle::look(folders, now)?;
    let (last_good, before) = kept;
    let standing = Standing::united(last_good, read_policy(folders), &held);
    let (settings, settings_problems) = match read_settings(folders) {
        Ok(settings) => (settings, Vec::new()),
        Err(problems) => (before, problems),
    };
    let in_force = InForce {
        circumstances: circumstances(&standing, uid),
        standing,
        settings,
        settings_problems,
    };
    Ok((in_force, held))
}

/// Everything that is wrong with the files, for `--check-config`.
pub fn check(folders: &Folders, now: u64) -> Vec<Problem> {
    let mut problems = read_settings(folders).err().unwrap_or_default();
    match bundle::look(folders, now) {
        Ok(held) => {
            let standing = Standing::united(None, read_policy(folders), &held);
            problems.extend_from_slice(standing.problems());
        }
        Err(error) => {
            let memory = folders.state.to_string_lossy();
            problems.push(Problem::of_file(&memory, error.to_string()));
        }
    }
    problems
}

fn circumstances(standing: &Standing, uid: u32) -> Circumstances {
    if standing.policy().asks_for_circumstances() {
        circumstances::gather(uid)
    } else {
        Circumstances::default()
    }
}

/// Whether what becomes of the files is told here. Those of a device are read for each of its people,
/// and are told of once.
fn tells(folders: &Folders, uid: u32) -> bool {
    !folders.trusted || uid == ADMINISTRATOR
}

/// Keeps what is in force for the next start. Answers whether it is another policy than was kept.
fn keep(
    folders: &Folders,
    store: &Store,
    in_force: &InForce,
    held: &Held,
    tells: bool,
) -> Result<bool, Error> {
    if let Some(bundle) = held.released.as_ref().filter(|_| tells) {
        // Before it is forgotten: a trace too many is better than none.
        audit::released(bundle);
    }
    bundle::keep(folders, held)?;
    let last_good = in_force.standing.last_good();
    let changed = store.last_good_policy()?.as_deref() != last_good;
    if changed {
        store.save_last_good_policy(last_good)?;
    }
    Ok(changed)
}

fn tell_change(in_force: &InForce) {
    let standing = &in_force.standing;
    let files = standing.policy().files().len();
    audit::policy(standing.state().name(), files, standing.bundle());
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
    let read = |folder: &PathBuf| read_folder(folder, folders.trusted);
    whole(folders.policies.iter().map(read))
}

fn read_settings(folders: &Folders) -> Result<Settings, Vec<Problem>> {
    let (file, folder) = (
        folders.config.join("mooring.toml"),
        folders.config.join("mooring.d"),
    );
    let mut sources = Vec::new();
    sources.extend(read_file(&file, folders.trusted).map_err(|p| vec![p])?);
    sources.extend(read_folder(&folder, folders.trusted)?);
    let fragments = sources.iter().map(|source| Ok([settings::parse(source)?]));
    Settings::from_fragments(&whole(fragments)?)
}

/// The `*.toml` files of a folder in the order of their names; none when there is no folder.
fn read_folder(folder: &Path, trusted: bool) -> Result<Vec<Source>, Vec<Problem>> {
    if trusted {
        expect_trusted(folder).map_err(|error| vec![unreadable(folder, &error)])?;
    }
    let paths = files(folder, "toml").map_err(|error| vec![unreadable(folder, &error)])?;
    whole(
        paths
            .iter()
            .map(|path| read_file(path, trusted).map_err(|problem| vec![problem])),
    )
}

/// All of it, or everything that is wrong with any of it.
fn whole<T>(
    parts: impl Iterator<Item = Result<impl IntoIterator<Item = T>, Vec<Problem>>>,
) -> Result<Vec<T>, Vec<Problem>> {
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Ok(found) => all.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(all)
    } else {
        Err(problems)
    }
}

/// The files of a folder that have this extension, sorted; none when there is no folder.
fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
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
        if !hidden && path.extension().is_some_and(|e| e == extension) {
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

/// A file's text; none when it is not there (any more). Where files must be `trusted`, one that
/// anybody but the administrator could have written is as bad as one that cannot be read.
fn read_file(path: &Path, trusted: bool) -> Result<Option<Source>, Problem> {
    let bytes = bytes_if_there(path, MAX_FILE_BYTES, trusted)?;
    let source = |bytes: Vec<u8>| Source::from_bytes(&path.to_string_lossy(), &bytes);
    bytes.map(source).transpose()
}

/// [`bytes`], where there is a file.
fn bytes_if_there(path: &Path, most: usize, trusted: bool) -> Result<Option<Vec<u8>>, Problem> {
    match bytes(path, most, trusted) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link(path) => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// What a regular file holds, and one byte more than `most` at most, so that the excess is noticed.
fn bytes(path: &Path, most: usize, trusted: bool) -> io::Result<Vec<u8>> {
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
    if trusted {
        only_of_administrator(&file.metadata()?)?;
    }
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Passes for a folder that is only the administrator's, or not there: whoever can write to it can
/// take files away, and what they forbid with them.
fn expect_trusted(folder: &Path) -> io::Result<()> {
    match fs::metadata(folder) {
        Ok(found) => only_of_administrator(&found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn only_of_administrator(found: &fs::Metadata) -> io::Result<()> {
    let why = if found.uid() != 0 {
        format!("it belongs to user {}; run: chown root", found.uid())
    } else if found.mode() & 0o022 != 0 {
        "others than root can write to it; run: chmod go-w".to_owned()
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
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
