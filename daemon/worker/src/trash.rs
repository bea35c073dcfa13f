//! The trash: what a deletion took away, and newer versions that older ones replaced, kept for thirty
//! days in the storage's `.mooring/trash`, as `DATE/COLLECTION/PATH`. A file deleted there goes from here only once a copy of it lies in
//! the trash and was read back. The trash knows what bytes were buried (`sums.rs`), and gives back no
//! others under their name.

mod back;
mod bury;
mod expire;
mod sums;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;

use crate::account::Account;
use crate::durable;
use crate::error::{Error, Result, about_one_file};
use crate::files::{Files, Kind};
use crate::place::{STORE, open_storage, os, path, under};
use crate::staging::date;
use crate::state::{Key, join};

pub use back::{Back, Damaged, undelete, undelete_path};
pub use bury::{bury_copy, bury_local, bury_remote};
pub use expire::expire;

/// Entries that a list of the trash holds, at most.
pub const MAX_LISTED: usize = 10_000;

fn trash_path() -> PathBuf {
    Path::new(STORE).join("trash")
}

/// Today's trash, for the files of a folder of a collection.
struct Today<F: Files> {
    /// Where they go.
    folder: F::Dir,
    /// What is noted of their bytes.
    sums: F::Dir,
}

fn open_today<F: Files>(account: &Account<F>, storage: &F::Dir, key: &Key) -> io::Result<Today<F>> {
    let files = &account.files;
    let today = trash_path().join(date(files.now()));
    let below = under(today.join(key.collection.folder()), &key.folder);
    Ok(Today {
        folder: durable::ensure_dir(files, storage, &below, true)?,
        sums: durable::ensure_dir(files, storage, &today.join(sums::FOLDER), true)?,
    })
}

/// Something in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buried {
    /// The day it was deleted or replaced, `YYYY-MM-DD` in UTC.
    pub date: String,
    /// Where it was.
    pub key: Key,
}

/// What the trash holds of this account's collections, newest day first, at most [`MAX_LISTED`].
///
/// # Errors
/// When the storage is gone.
pub fn list<F: Files>(account: &Account<F>) -> Result<Vec<Buried>> {
    let storage = open_storage(account)?;
    let mut all = Vec::new();
    for day in days(account, &storage)?.into_iter().rev() {
        for (collection, _) in &account.spec.collections {
            let below = trash_path().join(&day).join(collection.folder());
            let root = durable::open_if_there(&account.files, &storage, &below);
            let Some(root) = root.map_err(|e| fail(account, &below, e))? else {
                continue;
            };
            list_below(account, &root, &day, *collection, &mut all)
                .map_err(|e| fail(account, &below, e))?;
            if all.len() >= MAX_LISTED {
                return Ok(all);
            }
        }
    }
    Ok(all)
}

fn list_below<F: Files>(
    account: &Account<F>,
    root: &F::Dir,
    day: &str,
    collection: Collection,
    all: &mut Vec<Buried>,
) -> io::Result<()> {
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let dir = account.files.open_dir(root, path(&folder))?;
        for entry in account.files.list(&dir)? {
            let name = entry.name.as_bytes().to_vec();
            match entry.stat.kind {
                Kind::Dir => folders.push(join(&folder, &name)),
                Kind::File if all.len() < MAX_LISTED => {
                    let key = Key {
                        collection,
                        folder: folder.clone(),
                        name,
                    };
                    all.push(Buried {
                        date: day.to_owned(),
                        key,
                    });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// [`list`] as absolute local paths with their days.
///
/// # Errors
/// When the storage is gone.
pub fn listed<F: Files>(account: &Account<F>) -> Result<Vec<(Vec<u8>, String)>> {
    let shown = |Buried { date, key }: Buried| {
        let root = account.spec.root(key.collection)?;
        Ok((join(root.as_os_str().as_bytes(), &key.path()), date))
    };
    list(account)?.into_iter().map(shown).collect()
}

/// The trash as it is now, for looking up names in it.
pub struct Trash<'a, F: Files> {
    account: &'a Account<F>,
    storage: F::Dir,
    /// The newest first.
    days: Vec<String>,
}

/// Where a file lies in the trash.
struct Found<F: Files> {
    dir: F::Dir,
    below: PathBuf,
    /// What is noted of that day's files; an earlier Mooring noted nothing.
    sums: Option<F::Dir>,
}

impl<'a, F: Files> Trash<'a, F> {
    /// Looks at its days.
    ///
    /// # Errors
    /// When the storage is gone.
    pub fn open(account: &'a Account<F>) -> Result<Self> {
        let storage = open_storage(account)?;
        let mut days = days(account, &storage)?;
        days.reverse();
        Ok(Self {
            account,
            storage,
            days,
        })
    }

    /// Whether it has a file of this name.
    ///
    /// # Errors
    /// When the storage is gone.
    pub fn has(&self, key: &Key) -> Result<bool> {
        Ok(self.find(key)?.is_some())
    }

    /// The newest file of this name.
    fn find(&self, key: &Key) -> Result<Option<Found<F>>> {
        let files = &self.account.files;
        for day in &self.days {
            let day = trash_path().join(day);
            let below = under(day.join(key.collection.folder()), &key.folder);
            let dir = match files.open_dir(&self.storage, &below) {
                // Not there, or something else: a file, say, that had the folder's name that day.
                Err(e) if about_one_file(&e).is_some() => continue,
                result => result.map_err(|e| fail(self.account, &below, e))?,
            };
            match files.stat(&dir, os(&key.name)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                result => {
                    result
                        .map(drop)
                        .map_err(|e| fail(self.account, &below, e))?;
                    let sums =
                        durable::open_if_there(files, &self.storage, &day.join(sums::FOLDER));
                    let sums = sums.map_err(|e| fail(self.account, &day, e))?;
                    return Ok(Some(Found { dir, below, sums }));
                }
            }
        }
        Ok(None)
    }
}

/// The days that the trash has, oldest first.
fn days<F: Files>(account: &Account<F>, storage: &F::Dir) -> Result<Vec<String>> {
    let trash = durable::open_if_there(&account.files, storage, &trash_path());
    let Some(trash) = trash.map_err(|e| fail(account, &trash_path(), e))? else {
        return Ok(Vec::new());
    };
    let listed = account.files.list(&trash);
    let mut days: Vec<_> = listed
        .map_err(|e| fail(account, &trash_path(), e))?
        .into_iter()
        .filter(|entry| entry.stat.kind == Kind::Dir)
        .filter_map(|entry| entry.name.into_string().ok())
        .filter(|name| is_day(name))
        .collect();
    days.sort_unstable();
    Ok(days)
}

pub(crate) fn is_day(name: &str) -> bool {
    let bytes = name.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    bytes.len() == 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && digits(0..4)
        && digits(5..7)
        && digits(8..10)
}

fn fail<F: Files>(account: &Account<F>, below: &Path, e: io::Error) -> Error {
    Error::io("use the trash", &account.spec.storage.join(below), e)
}
