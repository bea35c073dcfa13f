//! What an operation found that a person should know: files that have to wait, and numbers.

use mooring_core::receipt::readable;

use crate::error::{Error, FileTrouble, Result};

/// How many files are named where a message has room for some only.
pub const NAMED: usize = 100;

/// Files with reasons: the first [`NAMED`] of them, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Absolute paths with reasons.
    pub some: Vec<(Vec<u8>, String)>,
    /// How many in all.
    pub total: u64,
}

impl Named {
    /// Adds a file.
    pub fn add(&mut self, path: Vec<u8>, reason: &str) {
        self.total += 1;
        if self.some.len() < NAMED {
            self.some.push((path, reason.to_owned()));
        }
    }
}

/// What a sync did and could not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Files that could not be synced now.
    pub waiting: Named,
    /// Files uploaded.
    pub uploaded: u64,
    /// Files downloaded.
    pub downloaded: u64,
    /// Files renamed on one side because they were on the other.
    pub moved: u64,
    /// Files found equal.
    pub adopted: u64,
    /// Conflict copies made.
    pub conflicts: u64,
    /// Files held because they were deleted here.
    pub held_here: u64,
    /// Files held because they were deleted there.
    pub held_there: Named,
    /// Deletions carried over.
    pub deleted: u64,
    /// Copies read back.
    pub read_back: u64,
    /// Names that stay untouched (links, sockets, …).
    pub skipped: u64,
    /// Conflict copies among the local files.
    pub copies_here: u64,
    /// Files looked at.
    pub seen: u64,
    /// The first file that there is no room for, which keeps no other one waiting.
    pub no_room: Option<String>,
}

impl Ledger {
    /// A file that there is no room for, and what it needs.
    pub fn no_room(&mut self, path: Vec<u8>, needs: &str) {
        let why = format!("no space is left for it: {needs}; free some space, or have it ignored");
        let first = || {
            format!(
                "no space is left for {}: {needs}; free some space and try again",
                readable(&path)
            )
        };
        self.no_room.get_or_insert_with(first);
        self.waiting.add(path, &why);
    }

    /// A full disk is told as one once everything else was carried.
    ///
    /// # Errors
    /// [`Error::NoSpace`].
    pub fn expect_room(&self) -> Result<()> {
        match &self.no_room {
            Some(why) => Err(Error::NoSpace(why.clone())),
            None => Ok(()),
        }
    }

    /// A file that has to wait, and why.
    pub fn pending(&mut self, path: Vec<u8>, FileTrouble(reason): FileTrouble) {
        self.waiting.add(path, &reason);
    }
}
