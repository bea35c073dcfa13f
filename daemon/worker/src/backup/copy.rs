//! Copying files into the partial backup: small ones of a folder several at a time, large ones one
//! by one.

use std::cell::Cell;
use std::io;

use mooring_core::sync::Hash;

use super::roots::Root;
use crate::account::Account;
use crate::carry::LastFolder;
use crate::error::FileTrouble;
use crate::files::Files;
use crate::hash::{self, Failed, Reading};
use crate::large;
use crate::place::{os, path};
use crate::pool;
use crate::sums::stored_name;

/// A file to be taken: where it is, and where it goes.
pub(super) struct Load {
    pub(super) size: u64,
    pub(super) root: usize,
    pub(super) folder: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) to_folder: Vec<u8>,
}

/// The hash and the size of a file that was copied.
pub(super) type Copied = std::result::Result<(Hash, u64), Failed>;

/// From where, and to where.
pub(super) struct Copier<'a, F: Files> {
    pub(super) account: &'a Account<F>,
    pub(super) roots: &'a [Root<F::Dir>],
    pub(super) partial: F::Dir,
    /// Whether each file has to be made durable by itself.
    pub(super) sync: bool,
}

impl<F: Files> Copier<'_, F> {
    pub(super) fn is_large(&self, load: &Load) -> bool {
        load.size >= self.account.files.large().from
    }

    /// Copies small files of one folder. Two names that the target takes for one cannot meet: the
    /// second finds the first there, and is told.
    pub(super) fn copy_small(&self, loads: &[Load]) -> Vec<Copied> {
        let files = &self.account.files;
        let (sources, targets) = (LastFolder::default(), LastFolder::default());
        pool::map(files.parallelism(), loads, |load| {
            let from = sources.get(&load.folder, || self.open_source(load));
            let from = from.map_err(Failed::reading)?;
            let to = targets.get(&load.to_folder, || self.open_target(load));
            let to = to.map_err(Failed::All)?;
            let stored = stored_name(&load.name);
            let from = (&from, os(&load.name));
            let stop = &self.account.stop;
            let copied = hash::copy(files, from, (&to, os(&stored)), self.sync, stop);
            outcome(copied.map(|(reading, _)| reading))
        })
    }

    /// Copies a large file, and tells how many of its bytes there are as they come. Never two at
    /// once: what lies under its name would be taken for its own beginning.
    pub(super) fn copy_large(&self, load: &Load, tell: impl Fn(u64)) -> Copied {
        let files = &self.account.files;
        let from = self.open_source(load).map_err(Failed::reading)?;
        let to = self.open_target(load).map_err(Failed::All)?;
        let stored = stored_name(&load.name);
        // Only a copy of this very file would be gone on with, and here is none yet.
        match files.stat(&to, os(&stored)) {
            Ok(_) => return Err(Failed::One(taken())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Failed::All(e)),
        }
        let carried = Cell::new(0);
        let tell = |more| {
            carried.set(carried.get() + more);
            tell(carried.get());
        };
        let (from, to) = ((&from, os(&load.name)), (&to, os(&stored)));
        let copied = large::copy(files, from, to, self.sync, &self.account.stop, &tell);
        outcome(copied.map(|(reading, _)| reading))
    }

    fn open_source(&self, load: &Load) -> io::Result<F::Dir> {
        let root = &self.roots[load.root].dir;
        self.account.files.open_dir(root, path(&load.folder))
    }

    fn open_target(&self, load: &Load) -> io::Result<F::Dir> {
        let files = &self.account.files;
        files.open_dir(&self.partial, path(&load.to_folder))
    }
}

fn outcome(copied: std::result::Result<Reading, Failed>) -> Copied {
    match copied {
        Ok(reading) => Ok((reading.hash, reading.stat.size)),
        Err(Failed::All(e)) => Err(about_the_target(&e).map_or(Failed::All(e), Failed::One)),
        Err(failed) => Err(failed),
    }
}

/// Whether the disk that is written to refuses this name or size only, and then why: an older
/// filesystem takes less than the one here.
pub(super) fn about_the_target(error: &io::Error) -> Option<FileTrouble> {
    let why = match error.kind() {
        io::ErrorKind::AlreadyExists => return Some(taken()),
        io::ErrorKind::InvalidFilename => "the name is too long for the backup's disk",
        io::ErrorKind::InvalidInput => "the name is not allowed on the backup's disk",
        io::ErrorKind::FileTooLarge => "too large for the filesystem of the backup's disk",
        _ => return None,
    };
    Some(FileTrouble(why.to_owned()))
}

fn taken() -> FileTrouble {
    FileTrouble(
        "its name is taken by another file: the backup's disk does not tell capitals apart"
            .to_owned(),
    )
}
