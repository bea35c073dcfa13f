//! What an operation found that a person should know: files that have to wait, and numbers.

use crate::error::FileTrouble;

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
}

impl Ledger {
    /// A file that has to wait, and why.
    pub fn pending(&mut self, path: Vec<u8>, FileTrouble(reason): FileTrouble) {
        self.waiting.add(path, &reason);
    }
}
