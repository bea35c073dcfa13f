//! Looking at a collection: both sides and the inventory, folder by folder, side by side. Nothing
//! is changed here, and memory is bounded by the largest folder.

mod folder;
mod order;

use std::collections::{HashMap, HashSet};

use mooring_core::sync::{Agreed, Side};

use crate::account::Account;
use crate::error::{FileTrouble, Result};
use crate::files::{Files, Stat};
use crate::ignored::{self, BadLine, Origin};
use crate::place::Place;
use crate::state::{Item, Proof, Stamp, join, split};

use folder::look_at_ignored;
pub(crate) use folder::{empty_look, look_at, look_at_vanished};
pub(crate) use order::Waiting;
use order::{walk_in_order, walk_in_parallel};

/// A file modified later than this before it was hashed (ns) may have changed unseen: filesystems
/// count time in steps of up to two seconds.
pub const RACY: i64 = 2_000_000_000;

/// A name on either side or in the inventory.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The name.
    pub name: Vec<u8>,
    /// The regular file here.
    pub local: Option<Stat>,
    /// The regular file there.
    pub remote: Option<Stat>,
    /// What was agreed on.
    pub item: Option<Item>,
}

impl Seen {
    /// The local side, as far as stamps tell.
    pub fn local_side(&self) -> Side {
        side(
            self.local.as_ref(),
            self.item.as_ref().and_then(|i| i.local),
        )
    }

    /// The remote side, as far as stamps tell.
    pub fn remote_side(&self) -> Side {
        side(
            self.remote.as_ref(),
            self.item.as_ref().and_then(|i| i.remote),
        )
    }

    /// The agreement.
    pub fn agreed(&self) -> Option<Agreed> {
        self.item.as_ref().map(|i| i.agreed)
    }
}

fn side(stat: Option<&Stat>, known: Option<Proof>) -> Side {
    match (stat, known) {
        (None, _) => Side::Absent,
        (Some(stat), Some(known)) if same_file(stat, &known) => Side::AsAgreed,
        (Some(_), _) => Side::Unhashed,
    }
}

/// Whether a file is the one that was hashed. Stamps only ever mean "hash again".
pub fn same_file(stat: &Stat, known: &Proof) -> bool {
    Stamp::from(stat) == known.stamp && known.stamp.mtime <= known.at.saturating_sub(RACY)
}

/// Why a name is neither synced nor removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Odd {
    /// Of a kind that is never touched: it stays, and that is all.
    Stays(&'static str),
    /// It should be synced and cannot be, now.
    Trouble(FileTrouble),
}

/// A name that a person does not want to be synced.
#[derive(Debug, Clone)]
pub struct Ignored {
    /// The name.
    pub name: Vec<u8>,
    /// Whether it is a folder: what lies below it is not looked at.
    pub is_dir: bool,
    /// Whether it is here.
    pub here: bool,
    /// The line that says so.
    pub by: Origin,
    /// What was agreed on before.
    pub item: Option<Item>,
}

/// A folder as both sides have it.
pub struct FolderLook<F: Files> {
    /// Its path below the root.
    pub path: Vec<u8>,
    /// The folder here, if it is here.
    pub local: Option<F::Dir>,
    /// The folder there, if it is there.
    pub remote: Option<F::Dir>,
    /// Its regular files, ordered by name.
    pub names: Vec<Seen>,
    /// Local names that are passed over, and why.
    pub odd: Vec<(Vec<u8>, Odd)>,
    /// Names that only the storage has and that are passed over, and why.
    pub odd_remote: Vec<(Vec<u8>, Odd)>,
    /// Names that a person does not want to be synced.
    pub ignored: Vec<Ignored>,
    /// Lines of its `.mooringignore` that do not count.
    pub bad_lines: Vec<BadLine>,
}

impl<F: Files> FolderLook<F> {
    /// The file of rules, if what is ignored here and below may be something else than at the last
    /// look.
    pub fn new_rules(&self) -> Option<&Seen> {
        let file = self
            .names
            .iter()
            .find(|seen| seen.name == ignored::FILE.as_bytes())?;
        let sides = (file.local_side(), file.remote_side());
        (sides != (Side::AsAgreed, Side::AsAgreed)).then_some(file)
    }
}

/// Looks at every folder of a collection, parents before children, and hands each to `consume`;
/// last come folders that only the inventory knows.
///
/// # Errors
/// The first error of `consume`, or of a listing that failed for more than one folder's reasons.
/// After an error nothing may be concluded from what was not seen.
pub fn walk<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    mut consume: impl FnMut(FolderLook<F>) -> Result<()>,
) -> Result<()> {
    let mut visited = HashSet::new();
    let mut passed_over = HashMap::new();
    let mut visit = |look: FolderLook<F>| {
        account.check_stop()?;
        visited.insert(look.path.clone());
        let folders = look.ignored.iter().filter(|ignored| ignored.is_dir);
        passed_over.extend(folders.map(|f| (join(&look.path, &f.name), f.by.clone())));
        consume(look)
    };
    match account.files.parallelism() {
        0 | 1 => walk_in_order(account, place, &mut visit)?,
        threads => walk_in_parallel(account, place, threads, &mut visit)?,
    }
    let unvisited: Vec<_> = account
        .state
        .item_folders(place.collection)?
        .into_iter()
        .filter(|folder| !visited.contains(folder))
        .collect();
    for folder in unvisited {
        if let Some(by) = above(&folder).find_map(|folder| passed_over.get(folder)) {
            consume(look_at_ignored(account, place, &folder, by)?)?;
            continue;
        }
        // A folder behind an unreadable or odd one was not seen: that is not the same as gone.
        if let Some(look) = look_at_vanished(account, place, folder)? {
            consume(look)?;
        }
    }
    Ok(())
}

/// A folder and those above it, the root left out.
fn above(folder: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(folder), |folder| Some(split(folder).0))
        .take_while(|folder| !folder.is_empty())
}
