//! The two sides of a collection, opened and checked: a marker lies in each. Without the marker
//! there is no sync and no removal, because an empty folder may be a disk that is not mounted.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::carry::Way;
use crate::durable::{self, NEW};
use crate::error::{Error, Result};
use crate::files::{Abilities, Files};
use crate::state::{Key, join};
use crate::uploads::UPLOADS;

/// The marker's name, in both roots.
pub const MARKER: &str = ".mooring-collection";
/// The staging folder's name, in the local root: what is about to come or to go.
pub const STAGING: &str = ".mooring-staging";
/// What Mooring keeps in the storage, outside every collection.
pub const STORE: &str = ".mooring";
/// The longest marker, in bytes.
const MAX_MARKER: u64 = 4096;

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Marker {
    /// Of the format.
    pub version: u32,
    /// The collection's name.
    pub collection: String,
    /// The storage's random ID.
    pub storage_id: String,
    /// In a local root: the account's ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Marker {
    /// The text of the marker, with a word to whoever finds it.
    pub fn to_toml(&self) -> String {
        let account = self.account.as_ref().map(|a| format!("account = {a:?}\n"));
        format!(
            "# Mooring keeps this folder in step with a storage. Without this file it touches\n\
             # nothing here.\nversion = {}\ncollection = {:?}\nstorage-id = {:?}\n{}",
            self.version,
            self.collection,
            self.storage_id,
            account.unwrap_or_default()
        )
    }
}

/// The two sides of one collection.
pub struct Place<F: Files> {
    /// Which one.
    pub collection: Collection,
    /// The local root, and its path for messages.
    pub local: F::Dir,
    /// The local root's path.
    pub local_path: PathBuf,
    /// The device of the local root. A folder with another one is a subvolume of its own.
    pub device: u64,
    /// The local staging folder.
    pub staging: F::Dir,
    /// The root in the storage.
    pub remote: F::Dir,
    /// The storage's path of that root.
    pub remote_path: PathBuf,
    /// The folder for uploads under way, outside every collection.
    pub uploads: F::Dir,
    /// What the local filesystem can do.
    pub here: Abilities,
    /// What the storage's filesystem can do.
    pub there: Abilities,
}

/// One side of a collection, as the destination of what is carried.
pub struct End<'a, F: Files> {
    /// The root.
    pub root: &'a F::Dir,
    /// Its path, for messages.
    pub shown: &'a Path,
    /// Where copies wait until they are whole.
    pub waiting: &'a F::Dir,
    /// Whether the filesystem makes everything durable at once, and keeps names as they are.
    pub known_good: bool,
}

impl<F: Files> Place<F> {
    /// Where a way leads to.
    pub fn end(&self, way: Way) -> End<'_, F> {
        match way {
            Way::Up => End {
                root: &self.remote,
                shown: &self.remote_path,
                waiting: &self.uploads,
                known_good: self.there.known_good,
            },
            Way::Down => End {
                root: &self.local,
                shown: &self.local_path,
                waiting: &self.staging,
                known_good: self.here.known_good,
            },
        }
    }

    /// On which sides, this device's first, an inode is the same at each mount.
    pub fn stable(&self) -> [bool; 2] {
        [self.here.known_good, self.there.known_good]
    }

    /// The absolute local path of an item, for messages.
    pub fn shown(&self, folder: &[u8], name: &[u8]) -> Vec<u8> {
        join(self.local_path.as_os_str().as_bytes(), &join(folder, name))
    }

    /// The absolute local path of a key.
    pub fn shown_key(&self, key: &Key) -> Vec<u8> {
        self.shown(&key.folder, &key.name)
    }
}

/// Whether a name in a collection's root is Mooring's own.
pub fn is_own(folder: &[u8], name: &[u8]) -> bool {
    folder.is_empty()
        && (name == MARKER.as_bytes() || name == STAGING.as_bytes() || name == new_marker())
}

/// Opens the storage.
///
/// # Errors
/// [`Error::StorageGone`] when there is no storage of this account's identity at its path.
pub fn open_storage<F: Files>(account: &Account<F>) -> Result<F::Dir> {
    let path = &account.spec.storage;
    let gone = |what: &str| {
        Error::StorageGone(format!(
            "the storage at {} {what}: mount or plug it in and try again; nothing was changed",
            readable(path.as_os_str().as_bytes())
        ))
    };
    let root = account
        .files
        .open_root(path)
        .map_err(|e| gone(&format!("cannot be opened ({e})")))?;
    let store = account.files.open_dir(&root, Path::new(STORE));
    store.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => {
            gone("is not there, or the disk is not mounted (it has no .mooring folder)")
        }
        _ => gone(&format!("cannot be looked into ({e})")),
    })?;
    Ok(root)
}

/// Opens both sides of a collection and checks their markers.
///
/// # Errors
/// [`Error::StorageGone`] or [`Error::HomeGone`] when a side or its marker is missing, or belongs
/// to another storage or account.
pub fn open<F: Files>(account: &Account<F>, collection: Collection) -> Result<Place<F>> {
    let files = &account.files;
    let storage = open_storage(account)?;
    let remote_path = account.spec.storage.join(collection.folder());
    let gone = |why: String| {
        Error::StorageGone(format!(
            "{} {why}; nothing was changed",
            readable(remote_path.as_os_str().as_bytes())
        ))
    };
    let remote = files
        .open_dir(&storage, Path::new(collection.folder()))
        .map_err(|e| gone(format!("cannot be opened ({e})")))?;
    check_marker(account, &remote, collection, false).map_err(gone)?;

    let local_path = account.spec.root(collection)?.to_owned();
    let gone = |why: String| {
        Error::HomeGone(format!(
            "{} {why}; nothing was changed",
            readable(local_path.as_os_str().as_bytes())
        ))
    };
    let local = files.open_root(&local_path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => gone(format!("is not there: mount its disk, or {FILL}")),
        _ => gone(format!("cannot be opened ({e})")),
    })?;
    check_marker(account, &local, collection, true).map_err(|why| {
        match is_marked(files, &local) {
            true => gone(why),
            false => gone(format!("{why}. Where it is empty, you can {FILL}")),
        }
    })?;

    let staging = durable::ensure_dir(files, &local, Path::new(STAGING), true)
        .map_err(|e| Error::io("make the staging folder in", &local_path, e))?;
    let uploads = durable::ensure_dir(files, &storage, &Path::new(STORE).join(UPLOADS), true)
        .map_err(|e| Error::io("make the upload folder in", &account.spec.storage, e))?;
    let here = files
        .abilities(&local)
        .map_err(|e| Error::io("look at", &local_path, e))?;
    let there = files
        .abilities(&remote)
        .map_err(|e| Error::io("look at", &remote_path, e))?;
    let device = files
        .stat_dir(&local)
        .map_err(|e| Error::io("look at", &local_path, e))?
        .dev;
    Ok(Place {
        collection,
        local,
        device,
        local_path,
        staging,
        remote,
        remote_path,
        uploads,
        here,
        there,
    })
}

/// What a person can do about a root that was removed.
const FILL: &str = "have it made anew and its files brought back (mooringctl resolve --keep)";

/// Whether anything is a marker there, readable or not.
fn is_marked<F: Files>(files: &F, root: &F::Dir) -> bool {
    files.stat(root, os(MARKER.as_bytes())).is_ok()
}

pub(crate) fn check_marker<F: Files>(
    account: &Account<F>,
    root: &F::Dir,
    collection: Collection,
    local: bool,
) -> std::result::Result<(), String> {
    match read_marker(&account.files, root) {
        Err(e) => Err(format!("has a marker ({MARKER}) that cannot be read ({e})")),
        Ok(None) => Err(format!(
            "has no marker ({MARKER}): perhaps its disk is not mounted, or the folder was replaced"
        )),
        Ok(Some(marker)) if marker == account.spec.marker(collection, local) => Ok(()),
        Ok(Some(_)) => Err("belongs to another storage or account (its marker says so)".to_owned()),
    }
}

/// The marker in a root, if there is one.
pub fn read_marker<F: Files>(files: &F, root: &F::Dir) -> io::Result<Option<Marker>> {
    let Some(bytes) = durable::read(files, root, MARKER, MAX_MARKER)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()))?;
    toml::from_str(&text)
        .map(Some)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// The name of a marker that is being written.
fn new_marker() -> Vec<u8> {
    [NEW.as_bytes(), MARKER.as_bytes()].concat()
}

/// Puts the marker into a root, where there is none yet.
///
/// # Errors
/// `Refused` when another marker is there.
pub fn put_marker<F: Files>(files: &F, root: &F::Dir, path: &Path, marker: &Marker) -> Result<()> {
    match read_marker(files, root).map_err(|e| Error::io("read the marker in", path, e))? {
        // Where a rename is two steps, a death between them left both names.
        Some(there) if there == *marker => durable::remove_if_there(files, root, os(&new_marker()))
            .map_err(|e| Error::io("tidy up in", path, e)),
        Some(_) => Err(Error::Refused(format!(
            "{} already belongs to another account or storage (see {MARKER} in it): choose \
             another folder",
            readable(path.as_os_str().as_bytes())
        ))),
        None => durable::create(files, root, MARKER, marker.to_toml().as_bytes())
            .map_err(|e| Error::io("write the marker in", path, e)),
    }
}

/// A name as the seam wants it.
pub fn os(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

/// A path below a root as the seam wants it.
pub fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// A folder below another; `folder` may be empty, which joining alone would turn into a `/`.
pub fn under(base: PathBuf, folder: &[u8]) -> PathBuf {
    if folder.is_empty() {
        base
    } else {
        base.join(path(folder))
    }
}
