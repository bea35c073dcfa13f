//! The end of a restore: copies that wait are made durable and get their names, never over
//! anything.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;

use mooring_core::sync::{Hash, conflict_name};

use super::Restoring;
use super::target::Target;
use crate::conflict::{DIGITS, MANY_DIGITS};
use crate::durable;
use crate::error::{Error, FileTrouble, Result, about_one_file};
use crate::files::Files;
use crate::hash::{CARRIED_MODE, Failed};
use crate::place::{os, path};
use crate::state::join;

/// A copy that waits for its place.
pub(super) struct Ready {
    pub(super) target: usize,
    pub(super) folder: Vec<u8>,
    /// Its folder in the backup.
    pub(super) stored_folder: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) waiting: OsString,
    pub(super) hash: Hash,
    pub(super) size: u64,
}

impl<F: Files> Restoring<'_, F> {
    /// Makes the copies that wait durable and puts them in their places.
    pub(super) fn settle(&mut self) -> Result<()> {
        let ready = mem::take(&mut self.ready);
        self.sync(&ready)?;
        let mut folders = HashSet::new();
        for ready in &ready {
            match self.install(ready) {
                Ok(Some(conflict)) => {
                    self.report.restored.files += 1;
                    self.report.restored.bytes += ready.size;
                    self.report.conflicts += u64::from(conflict);
                }
                Ok(None) => self.report.equal += 1,
                Err(e) => match about_one_file(&e) {
                    Some(FileTrouble(why)) => {
                        let shown = self.shown(ready);
                        self.problems.add(shown, &why);
                        let target = &self.targets[ready.target];
                        durable::remove_if_there(
                            &self.account.files,
                            &target.waiting,
                            &ready.waiting,
                        )
                        .map_err(|e| Error::io("tidy up in", &target.path, e))?;
                    }
                    None => return Err(Error::io("restore", path(&self.shown(ready)), e)),
                },
            }
            folders.insert((ready.target, ready.folder.clone()));
        }
        self.sync(&ready)?;
        for (target, folder) in folders {
            let target = &self.targets[target];
            if target.known_good {
                continue;
            }
            let synced = self.account.files.open_dir(&target.dir, path(&folder));
            match synced.and_then(|dir| self.account.files.sync_dir(&dir)) {
                Err(e) if about_one_file(&e).is_none() => {
                    return Err(Error::io(
                        "make durable",
                        &target.path.join(path(&folder)),
                        e,
                    ));
                }
                // It could not be made, and its files were named.
                _ => {}
            }
        }
        Ok(())
    }

    fn sync(&self, ready: &[Ready]) -> Result<()> {
        for (nr, target) in self.targets.iter().enumerate() {
            if target.known_good && ready.iter().any(|ready| ready.target == nr) {
                let synced = self.account.files.sync_all(&target.dir);
                synced.map_err(|e| Error::io("make durable", &target.path, e))?;
            }
        }
        Ok(())
    }

    /// Gives a copy its name; `Some(true)` when that is a conflict copy's, `None` when a file with
    /// the same bytes was there.
    fn install(&self, ready: &Ready) -> io::Result<Option<bool>> {
        let files = &self.account.files;
        let target = &self.targets[ready.target];
        let sync = !target.known_good;
        let dir = self.folder(target, ready, sync)?;
        let device = &self.account.spec.device;
        let copy = |digits| conflict_name(&ready.name, device, &self.date, &ready.hash, digits);
        let names = [ready.name.clone(), copy(DIGITS), copy(MANY_DIGITS)];
        for (nr, name) in names.iter().enumerate() {
            match files.rename_new(&target.waiting, &ready.waiting, &dir, os(name)) {
                Ok(()) => return Ok(Some(nr > 0)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
            let same = self.has_bytes(&dir, name, &ready.hash);
            match same {
                Ok(true) => {
                    files.unlink(&target.waiting, &ready.waiting)?;
                    return Ok(None);
                }
                Ok(false) | Err(Failed::One(_)) => {}
                Err(Failed::All(e)) => return Err(e),
                Err(Failed::Stopped) => return Err(io::ErrorKind::Interrupted.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Opens the folder of a copy, making it and its parents, with the modes of the backup's.
    fn folder(&self, target: &Target<F::Dir>, ready: &Ready, sync: bool) -> io::Result<F::Dir> {
        let files = &self.account.files;
        let ends = |path: &[u8]| {
            let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
            let mut ends: Vec<usize> = slashes.map(|(at, _)| at).collect();
            ends.push(path.len());
            ends
        };
        if ready.folder.is_empty() || files.open_dir(&target.dir, path(&ready.folder)).is_ok() {
            return files.open_dir(&target.dir, path(&ready.folder));
        }
        // A mapped path has as many parts as the real one, behind the collection's own.
        let stored = ends(&ready.stored_folder);
        for (to, from) in ends(&ready.folder)
            .into_iter()
            .zip(stored.into_iter().skip(1))
        {
            let source = files.open_dir(&self.source, path(&ready.stored_folder[..from]))?;
            let mode = files.stat_dir(&source)?.mode & CARRIED_MODE | durable::FOLDER_MODE;
            durable::ensure_dir_with(files, &target.dir, path(&ready.folder[..to]), mode, sync)?;
        }
        durable::ensure_dir(files, &target.dir, path(&ready.folder), sync)
    }

    fn shown(&self, ready: &Ready) -> Vec<u8> {
        let root = self.targets[ready.target].path.as_os_str().as_bytes();
        join(root, &join(&ready.folder, &ready.name))
    }
}
