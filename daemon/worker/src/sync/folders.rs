//! Folders of a run: made where one side lacks them, removed where the other let go of them.

use std::mem;

use mooring_core::sync::Phase;

use super::{Run, modes};
use crate::carry::Way;
use crate::durable::{self, FOLDER_MODE};
use crate::error::{Error, Result, about_one_file};
use crate::files::Files;
use crate::hash::CARRIED_MODE;
use crate::look::FolderLook;
use crate::place::{End, os, path};
use crate::state::{Folder, Modes, split};

/// What became of a folder that was to be on both sides.
enum Made {
    /// It is, with these permissions as far as they are known.
    With(Option<Modes>),
    /// It is not, now.
    Waits,
}

impl<F: Files> Run<'_, F> {
    /// The end of a run: deletions, and the folders that they leave empty. Creation comes first.
    pub(super) fn end(mut self) -> Result<()> {
        let deletions = mem::take(&mut self.deletions);
        deletions.carry_over(self.account, self.place, self.ledger)?;
        if self.phase != Phase::Active {
            return Ok(());
        }
        let files = &self.account.files;
        self.gone_folders.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        for (folder, way) in &self.gone_folders {
            let root = self.place.end(*way).root;
            let (parent, name) = split(folder);
            let removed = files.open_dir(root, path(parent)).and_then(|dir| {
                files
                    .remove_dir(&dir, os(name))
                    .and_then(|()| files.sync_dir(&dir))
            });
            match removed {
                Ok(()) => self
                    .account
                    .state
                    .forget_folder(self.place.collection, folder)?,
                // Something in it stays; so does the folder.
                Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
                Err(e) if about_one_file(&e).is_some() => {}
                Err(e) => {
                    let shown = self.place.shown(folder, b"");
                    return Err(Error::io("remove the folder", path(&shown), e));
                }
            }
        }
        self.forget_unseen_folders()
    }

    /// Folders that neither side has any more; one that is made anew is a new one.
    fn forget_unseen_folders(&self) -> Result<()> {
        let files = &self.account.files;
        let is_gone = |root, folder: &[u8]| {
            files
                .open_dir(root, path(folder))
                .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        };
        for folder in self.folders_looked_for()? {
            let seen = self.seen_folders.contains(&folder);
            if !seen && is_gone(&self.place.local, &folder) && is_gone(&self.place.remote, &folder)
            {
                self.account
                    .state
                    .forget_folder(self.place.collection, &folder)?;
            }
        }
        Ok(())
    }

    /// The folders known of where this run looked, deepest first.
    fn folders_looked_for(&self) -> Result<Vec<Vec<u8>>> {
        let (state, collection) = (&self.account.state, self.place.collection);
        let Some(told) = self.told else {
            let all = state.folders_deepest_first(collection)?;
            return Ok(all.into_iter().map(|folder| folder.path).collect());
        };
        let mut known = Vec::new();
        for (top, _) in told.iter().filter(|(_, deep)| *deep) {
            known.extend(state.folders_below(collection, top)?);
        }
        Ok(known)
    }

    /// A folder on one side only is made on the other, unless both once had it.
    pub(super) fn match_folder(&mut self, look: &FolderLook<F>) -> Result<()> {
        let (collection, folder) = (self.place.collection, &look.path);
        if folder.is_empty() {
            return Ok(());
        }
        if look.local.is_some() || look.remote.is_some() {
            self.seen_folders.insert(folder.clone());
        }
        if let Some(known) = self.account.state.folder(collection, folder)? {
            match (&look.local, &look.remote) {
                (Some(_), None) => self.gone_folders.push((folder.clone(), Way::Down)),
                (None, Some(_)) => self.gone_folders.push((folder.clone(), Way::Up)),
                _ if !self.removing => self.match_modes(look, known)?,
                _ => {}
            }
            return Ok(());
        }
        // What somebody makes while files are removed is theirs, and stays.
        if self.removing {
            return Ok(());
        }
        let made = match (&look.local, &look.remote) {
            (Some(here), None) => self.make_folder(Way::Up, folder, here)?,
            (None, Some(there)) if self.phase != Phase::Leaving => {
                self.make_folder(Way::Down, folder, there)?
            }
            // The next sync looks at its permissions.
            (Some(_), Some(_)) => Made::With(None),
            _ => Made::Waits,
        };
        if let Made::With(modes) = made {
            let here_before = self.adopting && look.local.is_some() && look.remote.is_some();
            self.folders.push((
                collection,
                Folder {
                    path: folder.clone(),
                    ours: !here_before,
                    modes,
                },
            ));
        }
        Ok(())
    }

    /// Makes a folder like `model` on the side a way leads to.
    fn make_folder(&mut self, way: Way, folder: &[u8], model: &F::Dir) -> Result<Made> {
        let End {
            root,
            shown,
            known_good,
            ..
        } = self.place.end(way);
        let files = &self.account.files;
        let made = files.stat_dir(model).and_then(|stat| {
            // The owner's own bits always, or nothing could be put into it.
            let mode = stat.mode & CARRIED_MODE | FOLDER_MODE;
            let dir = durable::ensure_dir_with(files, root, path(folder), mode, !known_good)?;
            match way {
                Way::Up => modes::modes(files, model, &dir),
                Way::Down => modes::modes(files, &dir, model),
            }
        });
        match made {
            Ok(modes) => {
                // Recorded before it is durable, it would look deleted after a power loss.
                self.unsynced_folders.extend(known_good.then_some(way));
                Ok(Made::With(Some(modes)))
            }
            Err(e) => match about_one_file(&e) {
                Some(why) => {
                    self.ledger.pending(self.place.shown(folder, b""), why);
                    Ok(Made::Waits)
                }
                None => Err(Error::io("make the folder", &shown.join(path(folder)), e)),
            },
        }
    }
}
