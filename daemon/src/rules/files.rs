//! Reads the files of settings and policy, within bounds, and only those that may be trusted.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mooring_core::policy::{MAX_FILE_BYTES, MAX_FILES, Problem, Source};
use mooring_core::settings::{self, Settings};

use crate::folders::Folders;

pub(super) fn read_policy(folders: &Folders) -> Result<Vec<Source>, Vec<Problem>> {
    let read = |folder: &PathBuf| read_folder(folder, folders.trusted);
    whole(folders.policies.iter().map(read))
}

pub(super) fn read_settings(folders: &Folders) -> Result<Settings, Vec<Problem>> {
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
pub(super) fn read_folder(folder: &Path, trusted: bool) -> Result<Vec<Source>, Vec<Problem>> {
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
pub(super) fn whole<T>(
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
pub(super) fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
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
pub(super) fn bytes_if_there(
    path: &Path,
    most: usize,
    trusted: bool,
) -> Result<Option<Vec<u8>>, Problem> {
    match bytes(path, most, trusted) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link(path) => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// What a regular file holds, and one byte more than `most` at most, so that the excess is noticed.
pub(super) fn bytes(path: &Path, most: usize, trusted: bool) -> io::Result<Vec<u8>> {
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

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::of_file(
        &path.to_string_lossy(),
        format!("this cannot be read: {error}"),
    )
}
