//! Small files that Mooring itself keeps in a person's folders and in the storage: read whole,
//! written whole and durably, never half.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::files::{Files, Kind};

/// What the name of a file that is being written begins with.
pub const NEW: &str = ".mooring-new-";
/// The mode of folders that Mooring makes: the person's alone.
pub const FOLDER_MODE: u32 = 0o700;

/// The bytes of a small file; `None` when there is none.
///
/// # Errors
/// `InvalidData` when it is longer than `max` or no regular file.
pub fn read<F: Files>(
    files: &F,
    dir: &F::Dir,
    name: &str,
    max: u64,
) -> io::Result<Option<Vec<u8>>> {
    let name = OsStr::new(name);
    match files.stat(dir, name) {
        Ok(stat) if stat.kind != Kind::File => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a regular file",
            ));
        }
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    }
    let mut bytes = Vec::new();
    files
        .open(dir, name)?
        .take(max + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("longer than {max} bytes"),
        ));
    }
    Ok(Some(bytes))
}

/// Writes a new small file, durable when this returns; `AlreadyExists` when the name is taken.
pub fn create<F: Files>(files: &F, dir: &F::Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let fill = |file: &mut F::File| file.write_all(bytes);
    write(files, dir, name, fill, |file, new, name| {
        files.rename_new(dir, new, dir, name)?;
        expect_ours(files, dir, name, file)
    })
}

/// Writes a small file over an earlier one, durable when this returns.
pub fn replace<F: Files>(
    files: &F,
    dir: &F::Dir,
    name: &str,
    fill: impl FnOnce(&mut F::File) -> io::Result<()>,
) -> io::Result<()> {
    write(files, dir, name, fill, |file, new, name| {
        match files.rename_new(dir, new, dir, name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => supersede(files, dir, new, name)?,
            result => result?,
        }
        expect_ours(files, dir, name, file)
    })
}

/// Writes a small file that nobody else writes over an earlier one, durable when this returns: at
/// every moment one of the two is there.
pub fn replace_at_once<F: Files>(
    files: &F,
    dir: &F::Dir,
    name: &str,
    bytes: &[u8],
) -> io::Result<()> {
    let fill = |file: &mut F::File| file.write_all(bytes);
    write(files, dir, name, fill, |_, new, name| {
        match files.rename_new(dir, new, dir, name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => files.rename_over(dir, new, name),
            result => result,
        }
    })
}

/// Writes a file beside its place, and puts it there by `put(FILE, BESIDE, NAME)`.
fn write<F: Files>(
    files: &F,
    dir: &F::Dir,
    name: &str,
    fill: impl FnOnce(&mut F::File) -> io::Result<()>,
    put: impl FnOnce(&F::File, &OsStr, &OsStr) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = format!("{NEW}{name}");
    let temporary = OsStr::new(&temporary);
    // A dead predecessor may have left one; only the holder of the account's lock writes here.
    remove_if_there(files, dir, temporary)?;
    let mut file = files.create(dir, temporary)?;
    let installed = fill(&mut file)
        .and_then(|()| file.flush())
        .and_then(|()| files.sync_file(&file))
        .and_then(|()| put(&file, temporary, OsStr::new(name)));
    if let Err(e) = installed {
        // The first error is the one to tell; the leftover is removed by the next writer.
        let _ = files.unlink(dir, temporary);
        return Err(e);
    }
    files.sync_dir(dir)
}

/// In a storage another device may write the same name just now: what counts is whose it is.
fn expect_ours<F: Files>(files: &F, dir: &F::Dir, name: &OsStr, file: &F::File) -> io::Result<()> {
    let (wrote, there) = (files.stat_file(file)?, files.stat(dir, name)?);
    if (wrote.dev, wrote.ino) == (there.dev, there.ino) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "another device wrote it meanwhile",
        ))
    }
}

fn supersede<F: Files>(files: &F, dir: &F::Dir, new: &OsStr, old: &OsStr) -> io::Result<()> {
    match files.exchange(dir, new, dir, old) {
        // Without an exchange there is a moment without the file. What is kept this way can be
        // made again (a base, a receipt); the identity is never replaced like this.
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {
            files.unlink(dir, old)?;
            files.rename_new(dir, new, dir, old)
        }
        Err(e) => Err(e),
        Ok(()) => files.unlink(dir, new),
    }
}

/// Removes a name, if it is there.
pub fn remove_if_there<F: Files>(files: &F, dir: &F::Dir, name: &OsStr) -> io::Result<()> {
    match files.unlink(dir, name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes a folder, if it is there and has nothing in it. Answers whether it is gone.
///
/// # Errors
/// As the system says.
pub fn remove_dir_if_empty<F: Files>(files: &F, dir: &F::Dir, name: &OsStr) -> io::Result<bool> {
    match files.remove_dir(dir, name) {
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        removed => removed.map(|()| true),
    }
}

/// Opens a folder below another, if it is there.
///
/// # Errors
/// When something else is in its place, or it cannot be looked at.
pub fn open_if_there<F: Files>(
    files: &F,
    root: &F::Dir,
    path: &Path,
) -> io::Result<Option<F::Dir>> {
    match files.open_dir(root, path) {
        Ok(dir) => Ok(Some(dir)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Opens a folder below another, making it (and its parents) where it is missing. With `sync`
/// each new entry is durable when this returns; without, once the filesystem is synced.
pub fn ensure_dir<F: Files>(
    files: &F,
    root: &F::Dir,
    path: &Path,
    sync: bool,
) -> io::Result<F::Dir> {
    ensure_dir_with(files, root, path, FOLDER_MODE, sync)
}

/// [`ensure_dir`], with a mode for the folder itself; parents that are missing are the person's
/// alone.
pub fn ensure_dir_with<F: Files>(
    files: &F,
    root: &F::Dir,
    path: &Path,
    mode: u32,
    sync: bool,
) -> io::Result<F::Dir> {
    match files.open_dir(root, path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return files.open_dir(root, path);
    };
    let parent = ensure_dir(files, root, parent, sync)?;
    match files.make_dir(&parent, name, mode) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        result => result?,
    }
    if sync {
        files.sync_dir(&parent)?;
    }
    files.open_dir(&parent, Path::new(name))
}
