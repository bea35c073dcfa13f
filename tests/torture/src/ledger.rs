//! Every content that was ever written, and what the people at the devices did with it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a content's bytes are called.
pub type Hash = blake3::Hash;

/// What people did with a content. It only ever goes down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Written, and wanted.
    Wanted,
    /// Deleted by a person: the trash owes it, if it had come to the storage.
    Deleted,
    /// Overwritten by a person: nobody owes it any more.
    Overwritten,
}

/// A content.
#[derive(Debug, Clone)]
pub struct Content {
    /// What people did with it.
    pub fate: Fate,
    /// Whether the storage was seen to have it in a collection while it was wanted.
    pub reached: bool,
    /// What happened to it, a line each.
    pub history: String,
}

/// All contents. No two writes make the same bytes, so a hash names one write.
#[derive(Debug, Default)]
pub struct Ledger {
    contents: HashMap<Hash, Content>,
    /// Where contents were deleted, below the folder of the collections.
    deleted: Vec<(PathBuf, Hash)>,
    clock: u64,
}

impl Ledger {
    /// The next moment, for histories.
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A content is about to be written. Told before it is, so that nobody ever sees a stranger.
    pub fn writes(&mut self, hash: Hash, how: &str, path: &Path) {
        let now = self.tick();
        let history = format!("    {now}: {how} {}\n", path.display());
        let content = Content {
            fate: Fate::Wanted,
            reached: false,
            history,
        };
        self.contents.insert(hash, content);
    }

    /// A person did something with a content that lay at `path`.
    pub fn does(&mut self, hash: Hash, fate: Fate, how: &str, path: &Path) {
        let now = self.tick();
        if let Some(content) = self.contents.get_mut(&hash) {
            content.fate = content.fate.max(fate);
            // Writing into a String cannot fail.
            let _ = writeln!(content.history, "    {now}: {how} {}", path.display());
        }
    }

    /// A person deleted a content at `below`. What was deleted there before had come back under
    /// another content, from a backup or from the trash, and so it was overwritten.
    pub fn deletes(&mut self, hash: Hash, how: &str, below: &Path) {
        self.is_now(below, &hash);
        self.does(hash, Fate::Deleted, how, below);
        self.deleted.push((below.to_owned(), hash));
    }

    /// Something is put where contents were deleted: together that is no deletion, but an edit.
    pub fn takes_place(&mut self, below: &Path) {
        let (gone, rest) = std::mem::take(&mut self.deleted)
            .into_iter()
            .partition(|(path, _)| path.starts_with(below));
        self.deleted = rest;
        let gone: Vec<(PathBuf, Hash)> = gone;
        for (path, hash) in gone {
            self.does(hash, Fate::Overwritten, "something new is put at", &path);
        }
    }

    /// Something lies at `below`: contents that were deleted there and are others were overwritten.
    pub fn is_now(&mut self, below: &Path, hash: &Hash) {
        let other = |(path, gone): &&(PathBuf, Hash)| path == below && gone != hash;
        let others: Vec<Hash> = self
            .deleted
            .iter()
            .filter(other)
            .map(|(_, gone)| *gone)
            .collect();
        for gone in others {
            self.does(gone, Fate::Overwritten, "something else is back at", below);
        }
        self.deleted
            .retain(|(path, gone)| path != below || gone == hash);
    }

    /// The storage has these in a collection.
    pub fn reached<'a>(&mut self, hashes: impl Iterator<Item = &'a Hash>) {
        for hash in hashes {
            if let Some(content) = self.contents.get_mut(hash) {
                content.reached |= content.fate == Fate::Wanted;
            }
        }
    }

    /// Whether somebody wrote it.
    pub fn knows(&self, hash: &Hash) -> bool {
        self.contents.contains_key(hash)
    }

    /// How many were written, and how many of them somebody owes.
    pub fn counts(&self) -> (usize, usize) {
        (self.contents.len(), self.owed().count())
    }

    /// What must be somewhere.
    pub fn owed(&self) -> impl Iterator<Item = (&Hash, &Content)> {
        self.contents
            .iter()
            .filter(|(_, content)| match content.fate {
                Fate::Wanted => true,
                Fate::Deleted => content.reached,
                Fate::Overwritten => false,
            })
    }
}
