//! Names of files that wait beside their place, here in the staging folder and in the storage in
//! `uploads`. The account's ID in them keeps devices that share a storage apart.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_core::sync::Hash;

use crate::account::Account;
use crate::durable;
use crate::files::{Entry, Files, Kind};
use crate::state::{Key, join};

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// A copy, for a free name. After a death it is swept up.
    New,
    /// A copy of a large file, with which the next try goes on.
    Part,
    /// A copy, to be swapped with an older file; and then that file.
    Swap,
    /// A file that made place for its successor, where entries cannot be swapped.
    Old,
    /// A folder of copies that wait for free names ([`crate::carry`]).
    Batch,
}

impl Waits {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::New, Self::Part, Self::Swap, Self::Old, Self::Batch];

    fn word(self) -> &'static str {
        match self {
            Self::New => "new-",
            Self::Part => "part-",
            Self::Swap => "swap-",
            Self::Old => "old-",
            Self::Batch => "batch-",
        }
    }

    /// Whether it is a copy of a file that its device still has, or a folder of them. What is in a swap
    /// may be the only one.
    pub fn is_copy(self) -> bool {
        matches!(self, Self::New | Self::Part | Self::Batch)
    }
}

/// What the names of an account's files of a kind begin with.
pub fn prefix<F: Files>(account: &Account<F>, waits: Waits) -> String {
    format!("{}{}-", waits.word(), account.spec.id)
}

/// The name of a waiting file of an account.
pub fn name<F: Files>(account: &Account<F>, waits: Waits, rest: impl Display) -> OsString {
    OsString::from(format!("{}{rest}", prefix(account, waits)))
}

/// What a name in such a folder is, and whether it is this account's.
pub fn known<F: Files>(account: &Account<F>, name: &[u8]) -> Option<(Waits, bool)> {
    let waits = Waits::ALL
        .into_iter()
        .find(|waits| name.starts_with(waits.word().as_bytes()))?;
    Some((waits, name.starts_with(prefix(account, waits).as_bytes())))
}

/// Takes away a copy, or a folder with the copies in it. Answers whether it is gone: a folder with
/// something else in it stays.
///
/// # Errors
/// As the system says.
pub fn sweep<F: Files>(account: &Account<F>, dir: &F::Dir, entry: &Entry) -> io::Result<bool> {
    let files = &account.files;
    if entry.stat.kind != Kind::Dir {
        return durable::remove_if_there(files, dir, &entry.name).map(|()| true);
    }
    let below = files.open_dir(dir, Path::new(&entry.name))?;
    for copy in files.list(&below)? {
        let known = known(account, copy.name.as_bytes());
        if copy.stat.kind != Kind::Dir && known == Some((Waits::New, true)) {
            durable::remove_if_there(files, &below, &copy.name)?;
        }
    }
    durable::remove_dir_if_empty(files, dir, &entry.name)
}

/// What the name of a swap with the file of a key begins with.
pub fn prefix_of<F: Files>(account: &Account<F>, waits: Waits, key: &Key) -> String {
    let place = join(key.collection.name().as_bytes(), &key.path());
    let place = half(blake3::hash(&place).as_bytes());
    format!("{}{place}-", prefix(account, waits))
}

/// The name of a swap with the file of a key. It says which bytes may go.
pub fn name_of<F: Files>(account: &Account<F>, waits: Waits, key: &Key, old: &Hash) -> OsString {
    OsString::from(format!("{}{}", prefix_of(account, waits, key), half(old)))
}

/// Half of a hash in hex: enough to tell files apart.
pub fn half(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex()[..32].to_owned()
}
