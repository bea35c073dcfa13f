//! Naming what stays: every name below a root that is not Mooring's own, with the reason. Of very
//! many names, the deepest are told by their folder.

mod lines;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_wire::Left;

use crate::account::Account;
use crate::error::{Error, Result, about_one_file};
use crate::files::{Entry, Files, Kind};
use crate::ignored::{Rules, ignores, of_folder};
use crate::place::{is_own, open_storage, path};
use crate::state::{Key, join};
use lines::Lines;

/// Everything below a collection's root that stays on the device. Nothing when the root is gone.
///
/// # Errors
/// When the root cannot be looked at.
pub fn list<F: Files>(account: &Account<F>, collection: Collection) -> Result<Vec<Left>> {
    let Some(root) = Root::open(account, account.spec.root(collection)?.to_owned())? else {
        return Ok(Vec::new());
    };
    let mut left = root.lines();
    // The file that says what is ignored may be gone from here by now, and not from there.
    let copies = open_storage(account)
        .and_then(|storage| {
            let below = Path::new(collection.folder());
            let opened = account.files.open_dir(&storage, below);
            opened.map_err(|e| Error::io("open", &account.spec.storage.join(below), e))
        })
        .ok();
    let mut folders = vec![(Vec::new(), None)];
    while let Some((folder, above)) = folders.pop() {
        let Some(mut entries) = root.list(&account.files, &folder, &mut left)? else {
            continue;
        };
        entries.retain(|entry| !is_own(&folder, entry.name.as_bytes()));
        let rules = rules(account, [Some(&root.dir), copies.as_ref()], &folder, &above)
            .map_err(|e| root.fail(&folder, e))?;
        if entries.is_empty() && !folder.is_empty() {
            let reason = "empty folder that was here before, or came later";
            left.add(root.shown(&folder), reason);
        }
        for entry in entries {
            let below = join(&folder, entry.name.as_bytes());
            let is_dir = entry.stat.kind == Kind::Dir;
            if ignores(&rules, &folder, entry.name.as_bytes(), is_dir).is_some() {
                left.add(root.shown(&below), IGNORED);
                continue;
            }
            match reason(
                account,
                collection,
                &folder,
                entry.name.as_bytes(),
                entry.stat.kind,
            )? {
                Some(reason) => left.add(root.shown(&below), reason),
                None => folders.push((below, rules.clone())),
            }
        }
    }
    Ok(left.into_left())
}

/// What lies in the folder for single files that a person wanted to keep here.
///
/// # Errors
/// When it cannot be looked at.
pub fn kept_here<F: Files>(account: &Account<F>) -> Result<Vec<Left>> {
    let Some(root) = Root::open(account, account.spec.kept_from())? else {
        return Ok(Vec::new());
    };
    let mut left = root.lines();
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let entries = root.list(&account.files, &folder, &mut left)?;
        for entry in entries.into_iter().flatten() {
            let below = join(&folder, entry.name.as_bytes());
            if entry.stat.kind == Kind::Dir {
                folders.push(below);
            } else {
                left.add(root.shown(&below), KEPT);
            }
        }
    }
    Ok(left.into_left())
}

/// A folder below which everything that is left is named.
struct Root<D> {
    path: PathBuf,
    dir: D,
}

impl<D> Root<D> {
    /// Opens it, if it is there.
    fn open<F: Files<Dir = D>>(account: &Account<F>, path: PathBuf) -> Result<Option<Self>> {
        match account.files.open_root(&path) {
            Ok(dir) => Ok(Some(Self { path, dir })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("look at", &path, e)),
        }
    }

    fn lines(&self) -> Lines {
        Lines::below(self.path.as_os_str().as_bytes())
    }

    fn shown(&self, below: &[u8]) -> Vec<u8> {
        join(self.path.as_os_str().as_bytes(), below)
    }

    fn fail(&self, folder: &[u8], e: io::Error) -> Error {
        Error::io("look at", &self.path.join(path(folder)), e)
    }

    /// What is in a folder; nothing where it is gone, or cannot be looked into, which is named.
    fn list<F: Files<Dir = D>>(
        &self,
        files: &F,
        folder: &[u8],
        left: &mut Lines,
    ) -> Result<Option<Vec<Entry>>> {
        let listed = files
            .open_dir(&self.dir, path(folder))
            .and_then(|dir| files.list(&dir));
        match listed {
            Ok(entries) => Ok(Some(entries)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => {
                let Some(why) = about_one_file(&e) else {
                    return Err(self.fail(folder, e));
                };
                let reason = format!("folder that cannot be looked into: {}", why.0);
                left.add(self.shown(folder), reason);
                Ok(None)
            }
        }
    }
}

/// The reason of files that were moved out of the account's reach.
const KEPT: &str = "kept here as asked, at this sign-out or an earlier one";

/// The reason of what a person does not want to be synced, a whole folder in one.
const IGNORED: &str = "ignored by .mooringignore";

/// What is ignored in a folder. Where that cannot be read, other reasons are told.
fn rules<F: Files>(
    account: &Account<F>,
    roots: [Option<&F::Dir>; 2],
    folder: &[u8],
    above: &Rules,
) -> io::Result<Rules> {
    let files = &account.files;
    let [here, there] =
        roots.map(|root| root.and_then(|root| files.open_dir(root, path(folder)).ok()));
    let read = of_folder(files, folder, [here.as_ref(), there.as_ref()], above)?;
    Ok(read.map_or_else(|_| above.clone(), |(rules, _)| rules))
}

/// Why a name stays; `None` for a folder, which is looked into.
fn reason<F: Files>(
    account: &Account<F>,
    collection: Collection,
    folder: &[u8],
    name: &[u8],
    kind: Kind,
) -> Result<Option<String>> {
    let reason = match kind {
        Kind::Dir => return Ok(None),
        Kind::Symlink => "symbolic link: never followed, uploaded or removed",
        Kind::Special => "socket, FIFO or device: never uploaded or removed",
        Kind::File => {
            let key = Key {
                collection,
                folder: folder.to_vec(),
                name: name.to_vec(),
            };
            match account.state.item(&key)? {
                Some(item) if !item.gone => "could not be removed safely",
                Some(_) => "came back after it was removed",
                None => "not the account's: arrived after the last upload, or never uploaded",
            }
        }
    };
    Ok(Some(reason.to_owned()))
}

/// What stands in a root besides Mooring's own names.
///
/// # Errors
/// What the system says.
pub fn is_empty<F: Files>(files: &F, root: &F::Dir) -> io::Result<bool> {
    let entries = files.list(root)?;
    Ok(entries
        .iter()
        .all(|entry| is_own(b"", entry.name.as_bytes())))
}
