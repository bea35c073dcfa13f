//! The staging folder: copies that wait for a free name (`new-…`), copies that wait to be swapped
//! with an older file and then that file (`swap-…`, `old-…`), and files on their way out (`out-…`).
//! After a crash the first are swept up and the last put back. Of the others only what is known to
//! be elsewhere, or was to be replaced, goes: anything else was somebody's, and gets a name again.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_core::sync::Hash;
use mooring_wire::Left;

use crate::account::Account;
use crate::beside::{self, Waits, half};
use crate::carry::Way;
use crate::conflict::{name_as_copy, rename_on};
use crate::durable;
use crate::error::{Error, Result, about_one_file};
use crate::files::{Files, seconds};
use crate::hash::{self, Failed, Source};
use crate::place::{End, Place, STAGING, os, path};
use crate::state::{Item, Key, Stamp, join};

const OUT: &[u8] = b"out-";

/// The name under which the file of a path goes out: made from the path, so that the way back is
/// known from the inventory alone.
pub fn out_name(path: &[u8]) -> OsString {
    OsString::from(format!("out-{}", half(blake3::hash(path).as_bytes())))
}

/// Sweeps up what a dead predecessor left: unfinished copies go, files on their way out go back.
///
/// # Errors
/// When a file cannot be put back; it then stays in the staging folder, and the message names it.
pub fn tidy<F: Files>(account: &Account<F>, place: &Place<F>) -> Result<()> {
    let files = &account.files;
    for way in [Way::Down, Way::Up] {
        let End {
            waiting: dir,
            shown,
            ..
        } = place.end(way);
        let fail = |e| Error::io("tidy up in", shown, e);
        let mut waiting = BTreeSet::new();
        for entry in files.list(dir).map_err(fail)? {
            if is_somebodys(account, &entry.name) {
                waiting.insert(entry.name);
            } else if let Some((Waits::New | Waits::Batch, true)) =
                beside::known(account, entry.name.as_bytes())
            {
                let _ = beside::sweep(account, dir, &entry).map_err(fail)?;
            }
        }
        if !waiting.is_empty() {
            put_back(account, place, way, waiting)?;
        }
    }
    Ok(())
}

/// Whether what waits under a name is no copy: a file on its way out, or one in a swap of this account.
fn is_somebodys<F: Files>(account: &Account<F>, name: &OsStr) -> bool {
    match beside::known(account, name.as_bytes()) {
        Some((waits, own)) => own && !waits.is_copy(),
        None => name.as_bytes().starts_with(OUT),
    }
}

fn put_back<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    way: Way,
    mut names: BTreeSet<OsString>,
) -> Result<()> {
    let End {
        waiting: staging,
        root,
        ..
    } = place.end(way);
    let mut ways_back = Vec::new();
    let mut going = Vec::new();
    account.state.each_item(place.collection, |key, item| {
        if item.burying && names.contains(&out_name(&key.path())) {
            going.push((key.clone(), item));
        }
        take_its(account, &mut names, &key, &mut ways_back);
        Ok(())
    })?;
    if way == Way::Down {
        // Their paths are not known any more. In the storage they may be of another collection.
        let unknown = unknown(place.collection);
        ways_back.extend(names.into_iter().map(|name| (name, unknown.clone())));
    }
    for (name, key) in &ways_back {
        let fail = |e| Error::io("put back", &place.local_path.join(path(&key.path())), e);
        if is_superseded(account, place, way, (name, key)).map_err(fail)? {
            account.files.unlink(staging, name).map_err(fail)?;
        } else {
            restore_one(account, (staging, name), root, key).map_err(fail)?;
        }
    }
    account
        .files
        .sync_dir(staging)
        .map_err(|e| Error::io("make durable", &place.local_path, e))?;
    go_on(account, place, going)
}

/// Puts files that were on their way, out or in a swap, back where they were, from this side alone: the
/// storage may be gone for good. Where a name is taken by now, both are kept. Answers those that cannot
/// be put back: they stay in the staging folder.
///
/// # Errors
/// When the folder fails as a whole.
pub fn bring_back<F: Files>(account: &Account<F>, collection: Collection) -> Result<Vec<Left>> {
    let files = &account.files;
    let path = account.spec.root(collection)?;
    let fail = |e| Error::io("put back", path, e);
    let root = files.open_root(path).map_err(fail)?;
    let below = Path::new(STAGING);
    let Some(staging) = durable::open_if_there(files, &root, below).map_err(fail)? else {
        return Ok(Vec::new());
    };
    let listed = files.list(&staging).map_err(fail)?;
    let names = listed.into_iter().map(|entry| entry.name);
    let mut names: BTreeSet<_> = names.filter(|name| is_somebodys(account, name)).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut ways_back = Vec::new();
    account.state.each_item(collection, |key, _| {
        take_its(account, &mut names, &key, &mut ways_back);
        Ok(())
    })?;
    ways_back.extend(names.into_iter().map(|name| (name, unknown(collection))));
    let mut left = Vec::new();
    for (name, key) in &ways_back {
        let Err(error) = restore_one(account, (&staging, name), &root, key) else {
            continue;
        };
        let Some(trouble) = about_one_file(&error) else {
            return Err(fail(error));
        };
        let waits = path.join(STAGING).join(name);
        left.push(Left {
            path: waits.into_os_string().into_encoded_bytes(),
            reason: format!(
                "could not be put back as {}: {}",
                readable(&key.path()),
                trouble.0
            ),
        });
    }
    files.sync_dir(&staging).map_err(fail)?;
    Ok(left)
}

/// Takes the names under which the file of a key waits.
fn take_its<F: Files>(
    account: &Account<F>,
    names: &mut BTreeSet<OsString>,
    key: &Key,
    ways_back: &mut Vec<(OsString, Key)>,
) {
    let out = names.take(&out_name(&key.path()));
    ways_back.extend(out.map(|name| (name, key.clone())));
    for waits in [Waits::Swap, Waits::Old] {
        let start = beside::prefix_of(account, waits, key);
        let is_its = |name: &&OsString| name.as_bytes().starts_with(start.as_bytes());
        let mut from_there = names.range(OsString::from(&start)..);
        let found = from_there.next().filter(is_its).cloned();
        let found = found.and_then(|name| names.take(&name));
        ways_back.extend(found.map(|name| (name, key.clone())));
    }
}

/// The place of a file whose path is not known any more.
fn unknown(collection: Collection) -> Key {
    Key {
        collection,
        folder: Vec::new(),
        name: b"recovered".to_vec(),
    }
}

/// A file whose deletion a death interrupted is the one that was to go: only its way out and back
/// moved its change time.
fn go_on<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    mut going: Vec<(Key, Item)>,
) -> Result<()> {
    going.retain_mut(|(key, item)| {
        let dir = account.files.open_dir(&place.local, path(&key.folder));
        let there = dir.and_then(|dir| account.files.stat(&dir, os(&key.name)));
        // One that cannot be looked at now is not taken for the one that was to go.
        let Some((there, known)) = there.ok().zip(item.local.as_mut()) else {
            return false;
        };
        let ctime = there.ctime;
        let same = Stamp {
            ctime,
            ..known.stamp
        } == Stamp::from(&there);
        known.stamp.ctime = ctime;
        same
    });
    account.state.record(&going, &[])
}

/// Whether a file that was in a swap is the one that was to be replaced, or a copy of what the
/// other side still has.
fn is_superseded<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    way: Way,
    (name, key): (&OsStr, &Key),
) -> io::Result<bool> {
    let End {
        waiting: staging,
        root,
        ..
    } = place.end(way);
    let source = match way {
        Way::Down => &place.remote,
        Way::Up => &place.local,
    };
    let files = &account.files;
    let holder = |root| files.open_dir(root, path(&key.folder));
    let taken = holder(root)
        .and_then(|dir| files.stat(&dir, os(&key.name)))
        .is_ok();
    if name.as_bytes().starts_with(OUT) || !taken {
        return Ok(false);
    }
    let Some(bytes) = bytes_of(account, staging, name)? else {
        return Ok(false);
    };
    if name.as_bytes().ends_with(half(&bytes).as_bytes()) {
        return Ok(true);
    }
    match holder(source) {
        Ok(dir) => Ok(bytes_of(account, &dir, os(&key.name))? == Some(bytes)),
        Err(e) => about_one_file(&e).map(|_| false).ok_or(e),
    }
}

/// The hash of a file, if it can be read.
fn bytes_of<F: Files>(
    account: &Account<F>,
    dir: &F::Dir,
    name: &OsStr,
) -> io::Result<Option<Hash>> {
    match hash::hash(&account.files, dir, name, Source::Cache, &account.stop) {
        Ok(reading) => Ok(Some(reading.hash)),
        Err(Failed::One(_)) => Ok(None),
        Err(Failed::All(e)) => Err(e),
        Err(Failed::Stopped) => Err(io::ErrorKind::Interrupted.into()),
    }
}

/// Puts one file back under its name; under a conflict copy's where that name was taken, and into
/// the collection's root under a conflict copy's where its folder is none any more (a link, say,
/// which is never followed). Answers where it is now, when that is not its place.
pub fn restore_one<F: Files>(
    account: &Account<F>,
    (staging, name): (&F::Dir, &OsStr),
    root: &F::Dir,
    key: &Key,
) -> io::Result<Option<Vec<u8>>> {
    let files = &account.files;
    let dir = match durable::ensure_dir(files, root, path(&key.folder), true) {
        Err(e) if !key.folder.is_empty() && about_one_file(&e).is_some() => {
            return restore_beside(account, (staging, name), root, key).map(Some);
        }
        result => result?,
    };
    let mut there = None;
    let taken = |e: &io::Error| e.kind() == io::ErrorKind::AlreadyExists;
    match rename_on(files, (staging, name), (&dir, os(&key.name))) {
        Err(e) if taken(&e) => {
            let copy = restore_as_copy(account, (staging, name), &dir, key)?;
            there = Some(join(&key.folder, &copy));
        }
        result => result?,
    }
    files.sync_dir(&dir)?;
    Ok(there)
}

/// Puts a file whose folder cannot be used into the root, and says so.
fn restore_beside<F: Files>(
    account: &Account<F>,
    staged: (&F::Dir, &OsStr),
    root: &F::Dir,
    key: &Key,
) -> io::Result<Vec<u8>> {
    let copy = restore_as_copy(account, staged, root, key)?;
    account.files.sync_dir(root)?;
    tracing::warn!(
        file = readable(&key.path()),
        now = readable(&copy),
        collection = %key.collection,
        "its folder is not the one it was; it was put beside"
    );
    Ok(copy)
}

/// Puts a file into a folder under a conflict copy's name, which is answered.
fn restore_as_copy<F: Files>(
    account: &Account<F>,
    (staging, name): (&F::Dir, &OsStr),
    dir: &F::Dir,
    key: &Key,
) -> io::Result<Vec<u8>> {
    // A link, or what cannot be read, gets a name of its own all the same.
    let hash =
        bytes_of(account, staging, name)?.unwrap_or_else(|| blake3::hash(name.as_bytes()).into());
    name_as_copy(account, key, &hash, (staging, name), dir)
}

/// The UTC date of a moment (ns), as `YYYY-MM-DD`.
pub fn date(now: i64) -> String {
    mooring_core::receipt::timestamp(seconds(now))[..10].to_owned()
}
