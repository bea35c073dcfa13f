//! Bringing an account: roots, markers, all data, and the comparison with the receipt before.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_core::sync::Phase;

use crate::account::Account;
use crate::delete::Answer;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::left;
use crate::partial;
use crate::place::{self, open_storage, put_marker};
use crate::readback;
use crate::returned;
use crate::state::Epoch;
use crate::sync::{self, Looked};
use crate::trash;
use crate::trouble::Ledger;
use crate::watch::Folders;

/// Brings the account's data to this device. Can be repeated after it was interrupted.
///
/// # Errors
/// [`Error::Refused`] for roots that must not be, or that have files without consent to `adopt`;
/// what stops a sync.
pub fn sign_in<F: Files>(
    account: &Account<F>,
    adopt: bool,
) -> Result<(Ledger, mooring_wire::ReturnCheck)> {
    if account.state.epoch()? > Epoch::Active {
        return Err(Error::Refused("the account is signing out".to_owned()));
    }
    let storage = open_storage(account)?;
    check_roots(
        &account.files,
        &account.spec.storage,
        &account.spec.collections,
    )?;
    for (collection, root) in &account.spec.collections {
        prepare_remote(account, &storage, *collection)?;
        prepare_local(account, *collection, root, adopt)?;
    }
    if account.state.epoch()? == Epoch::New && account.state.meta("returning")?.is_none() {
        returned::remember_kept(account)?;
        account.state.set_meta("returning", "1")?;
    }
    let collections: Vec<_> = account.spec.collections.iter().map(|(c, _)| *c).collect();
    let ledger = sync::sync(account, &collections, Phase::Arriving)?;
    let check = returned::check(account)?;
    if account.state.epoch()? == Epoch::New {
        account.state.set_epoch(Epoch::Active)?;
    }
    finish(account, &ledger)?;
    Ok((ledger, check))
}

/// Brings an account that is in use in step, and with `read_back` reads new copies back.
///
/// # Errors
/// As [`sync::sync`].
pub fn sync_now<F: Files>(account: &Account<F>, read_back: bool) -> Result<Ledger> {
    answer(account, read_back, None).map(|(ledger, _)| ledger)
}

/// [`sync_now`], but only where something changed since `looked`.
///
/// # Errors
/// As [`sync::sync_told`].
pub fn sync_told<F: Files>(
    account: &Account<F>,
    read_back: bool,
    told: &BTreeMap<Collection, Folders>,
    looked: &mut Looked,
) -> Result<Ledger> {
    let mut ledger = sync::sync_told(account, told, looked)?;
    for (collection, told) in told.iter().filter(|_| read_back) {
        let folders = partial::folders_with_items(account, *collection, told)?;
        let place = place::open(account, *collection)?;
        readback::read_back_in(account, &place, folders, &mut ledger)?;
    }
    trash::expire(account)?;
    finish(account, &ledger)?;
    Ok(ledger)
}

/// [`sync_now`], with an answer to the question about held deletions. Answers also what was found
/// where.
///
/// # Errors
/// As [`sync::sync`].
pub fn answer<F: Files>(
    account: &Account<F>,
    read_back: bool,
    answer: Option<Answer>,
) -> Result<(Ledger, Looked)> {
    if account.state.epoch()? == Epoch::New {
        return Err(account.state.missing());
    }
    let collections: Vec<_> = account.spec.collections.iter().map(|(c, _)| *c).collect();
    let (mut ledger, looked) = sync::sync_with(account, &collections, Phase::Active, answer)?;
    for collection in collections.into_iter().filter(|_| read_back) {
        readback::read_back_new(account, &place::open(account, collection)?, &mut ledger)?;
    }
    trash::expire(account)?;
    finish(account, &ledger)?;
    Ok((ledger, looked))
}

fn finish<F: Files>(account: &Account<F>, ledger: &Ledger) -> Result<()> {
    if ledger.waiting.total > 0 {
        return Ok(());
    }
    let seconds = u64::try_from(account.files.now() / 1_000_000_000).unwrap_or(0);
    account.state.set_last_sync(seconds)
}

/// Refuses roots that are, contain or lie in one another or the storage: by path, with all links
/// resolved, and by what the folders on the way really are (bind mounts).
///
/// # Errors
/// [`Error::Refused`] naming both.
pub fn check_roots<F: Files>(
    files: &F,
    storage: &Path,
    roots: &[(Collection, PathBuf)],
) -> Result<()> {
    let mut places = vec![("the storage".to_owned(), storage)];
    for (collection, root) in roots {
        places.push((format!("the folder for {collection}"), root));
    }
    for (name, path) in &places {
        let normal = path.is_absolute()
            && path.components().all(|c| {
                matches!(
                    c,
                    std::path::Component::RootDir | std::path::Component::Normal(_)
                )
            });
        if !normal || path.parent().is_none() {
            return Err(Error::Refused(format!(
                "{name}, {}, must be an absolute path below / without . and ..",
                readable(path.as_os_str().as_bytes())
            )));
        }
    }
    let real = places
        .iter()
        .map(|(_, path)| resolved(files, path))
        .collect::<Result<Vec<_>>>()?;
    for (nr, (name, path)) in places.iter().enumerate() {
        for (other_nr, (other_name, other)) in places.iter().enumerate().skip(nr + 1) {
            let (real, real_other) = (&real[nr], &real[other_nr]);
            let related = path.starts_with(other)
                || other.starts_with(path)
                || real.starts_with(real_other)
                || real_other.starts_with(real)
                || lies_in(files, real, real_other)?
                || lies_in(files, real_other, real)?
                || truly_overlap(files, real, real_other)?;
            if related {
                return Err(Error::Refused(format!(
                    "{name} ({}) and {other_name} ({}) must not be the same folder or lie in one \
                     another: choose another folder",
                    readable(path.as_os_str().as_bytes()),
                    readable(other.as_os_str().as_bytes())
                )));
            }
        }
    }
    Ok(())
}

/// Refuses a folder that is, contains or lies in one of `others`, as [`check_roots`] does.
///
/// # Errors
/// [`Error::Refused`] naming both.
pub fn check_apart<F: Files>(
    files: &F,
    (name, path): (&str, &Path),
    others: &[(String, &Path)],
) -> Result<()> {
    let real = resolved(files, path)?;
    for (other_name, other) in others {
        let real_other = resolved(files, other)?;
        let related = real.starts_with(&real_other)
            || real_other.starts_with(&real)
            || lies_in(files, &real, &real_other)?
            || lies_in(files, &real_other, &real)?
            || truly_overlap(files, &real, &real_other)?;
        if related {
            return Err(Error::Refused(format!(
                "{name} ({}) and {other_name} ({}) must not be the same folder or lie in one \
                 another: choose another folder",
                readable(path.as_os_str().as_bytes()),
                readable(other.as_os_str().as_bytes())
            )));
        }
    }
    Ok(())
}

/// Refuses roots that are, contain or lie in a folder of another account.
///
/// # Errors
/// [`Error::Refused`] naming both.
pub fn check_others<F: Files>(account: &Account<F>, others: &[(String, PathBuf)]) -> Result<()> {
    let others: Vec<_> = others
        .iter()
        .map(|(name, path)| (name.clone(), path.as_path()))
        .collect();
    for (collection, root) in &account.spec.collections {
        let name = format!("the folder for {collection}");
        check_apart(&account.files, (&name, root), &others)?;
    }
    Ok(())
}

/// A path with the links resolved in that part of it that exists.
fn resolved<F: Files>(files: &F, path: &Path) -> Result<PathBuf> {
    for ancestor in path.ancestors() {
        match files.resolve(ancestor) {
            Ok(real) => {
                return Ok(path
                    .strip_prefix(ancestor)
                    .map_or(real.clone(), |rest| real.join(rest)));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("look at", ancestor, e)),
        }
    }
    Ok(path.to_owned())
}

/// Whether two paths are, or lie in, one another on the filesystem itself: a part of one may be
/// mounted as the other.
fn truly_overlap<F: Files>(files: &F, a: &Path, b: &Path) -> Result<bool> {
    let place = |path: &Path| {
        files
            .true_place(path)
            .map_err(|e| Error::io("find out what is mounted at", path, e))
    };
    let places = place(a)?.zip(place(b)?);
    Ok(places.is_some_and(|(a, b)| a.overlaps(&b)))
}

/// Whether `inner`, or a folder on the way to it, is the very folder `outer`.
fn lies_in<F: Files>(files: &F, inner: &Path, outer: &Path) -> Result<bool> {
    let identity = |path: &Path| match files.open_root(path) {
        Ok(dir) => files.stat_dir(&dir).map(|s| Some((s.dev, s.ino))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    };
    let outer_is = identity(outer).map_err(|e| Error::io("look at", outer, e))?;
    let Some(outer_is) = outer_is else {
        return Ok(false);
    };
    for ancestor in inner.ancestors() {
        match identity(ancestor) {
            Ok(Some(is)) if is == outer_is => return Ok(true),
            Ok(_) => {}
            // That one could be opened, so this is another.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(e) => return Err(Error::io("look at", ancestor, e)),
        }
    }
    Ok(false)
}

fn prepare_remote<F: Files>(
    account: &Account<F>,
    storage: &F::Dir,
    collection: Collection,
) -> Result<()> {
    let path = account.spec.storage.join(collection.folder());
    let files = &account.files;
    let dir = durable::ensure_dir(files, storage, Path::new(collection.folder()), true)
        .map_err(|e| Error::io("make the folder", &path, e))?;
    put_marker(files, &dir, &path, &account.spec.marker(collection, false))?;
    files
        .sync_dir(storage)
        .map_err(|e| Error::io("make durable", &account.spec.storage, e))
}

fn prepare_local<F: Files>(
    account: &Account<F>,
    collection: Collection,
    path: &Path,
    adopt: bool,
) -> Result<()> {
    let files = &account.files;
    let fail = |e| Error::io("make the folder", path, e);
    let missing = missing_ancestors(files, path).map_err(fail)?;
    if !missing.is_empty() {
        // Written down before they are made: what Mooring made, it removes.
        account.state.add_roots_made(collection, &missing)?;
        files.make_root(path).map_err(fail)?;
    }
    let root = files
        .open_root(path)
        .map_err(|e| Error::io("open the folder", path, e))?;
    let marker = account.spec.marker(collection, true);
    let ours = place::read_marker(files, &root)
        .map_err(|e| Error::io("read the marker in", path, e))?
        .is_some_and(|there| there == marker);
    // Files that this sign-in brought before it was interrupted need no consent.
    if !ours && !left::is_empty(files, &root).map_err(fail)? {
        if !adopt {
            return Err(Error::Refused(format!(
                "the folder for {collection}, {}, already has files: agree to take them up \
                 (adopt), or choose another folder",
                readable(path.as_os_str().as_bytes())
            )));
        }
        account
            .state
            .set_meta(&sync::adopted_key(collection), "1")?;
    }
    put_marker(files, &root, path, &marker)
}

/// The folders on the way to a path that are not there, outermost first.
fn missing_ancestors<F: Files>(files: &F, path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    for ancestor in path.ancestors() {
        match files.open_root(ancestor) {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(ancestor.to_owned()),
            Err(e) => return Err(e),
        }
    }
    missing.reverse();
    Ok(missing)
}

/// Undoes a sign-in: Mooring's own names go, and the folders that it made where they are empty.
/// Files stay where they are.
///
/// # Errors
/// [`Error::Refused`] for an account that is in use already.
pub fn abandon<F: Files>(account: &Account<F>) -> Result<()> {
    if account.state.epoch()? != Epoch::New {
        return Err(Error::Refused(
            "the account is signed in: sign out instead".to_owned(),
        ));
    }
    for (collection, _) in &account.spec.collections {
        match place::open(account, *collection) {
            Ok(place) => {
                crate::staging::tidy(account, &place)?;
                crate::remove::remove_folders(account, &place)?;
            }
            // Not all of it had been made.
            Err(Error::HomeGone(_) | Error::StorageGone(_)) => {}
            Err(e) => return Err(e),
        }
    }
    let keep: Vec<_> = account.spec.collections.iter().map(|(c, _)| *c).collect();
    crate::erase::erase_roots(account, &keep).map(drop)
}
