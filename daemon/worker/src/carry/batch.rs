//! Folders of their own for the copies of a batch.
//!
//! ext4 puts a file near the folder it is made in, and there passes over, one after the other and
//! under the folder's lock, every inode that was freed in the last minutes (`recently_deleted` in
//! Linux's `fs/ext4/ialloc.c`). Shortly after a sign-out that is each file's whole neighbourhood: the
//! return of 100,000 files took 19 s instead of 5. A new folder is put elsewhere, where the folder
//! above it says that those in it are not related ([`Files::spread`]). One for each thread, because
//! what is made in a folder is made one after the other.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::account::Account;
use crate::beside::{self, Waits};
use crate::durable;
use crate::files::Files;

/// The folders of one batch, or the common one for a batch that is not worth it.
pub(super) struct Batch<'a, F: Files> {
    waiting: &'a F::Dir,
    own: Vec<(OsString, F::Dir)>,
}

impl<'a, F: Files> Batch<'a, F> {
    /// Makes the folders for so many copies. Only for a filesystem that is made durable as a whole:
    /// elsewhere each file is made durable by itself, and that takes longer by far.
    ///
    /// # Errors
    /// When they cannot be made.
    pub(super) fn make(
        account: &Account<F>,
        waiting: &'a F::Dir,
        copies: usize,
    ) -> io::Result<Self> {
        let files = &account.files;
        let mut own = Vec::new();
        if copies >= files.batch_from() {
            files.spread(waiting);
            // A new name each time: the filesystem chooses the place by it.
            let now = files.now();
            for thread in 0..files.parallelism() {
                let name = beside::name(account, Waits::Batch, format_args!("{now:x}-{thread}"));
                let dir = durable::ensure_dir(files, waiting, Path::new(&name), false)?;
                own.push((name, dir));
            }
        }
        Ok(Self { waiting, own })
    }

    /// The folder for what a thread copies.
    pub(super) fn of(&self, thread: usize) -> &F::Dir {
        let own = self.own.get(thread);
        own.map_or(self.waiting, |(_, dir)| dir)
    }

    /// Takes the folders away. One with something in it stays: the next sync looks at it
    /// ([`crate::staging::tidy`]).
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn remove(self, files: &F) -> io::Result<()> {
        for (name, _) in &self.own {
            let _ = durable::remove_dir_if_empty(files, self.waiting, name)?;
        }
        Ok(())
    }
}
