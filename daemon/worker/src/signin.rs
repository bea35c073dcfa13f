//! Bringing an account: roots, markers, all data, and the comparison with the receipt before.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_core::sync::Phase;

use crate::account::Account;
use crate::apart::check_roots;
use crate::delete::Answer;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::{Files, seconds};
use crate::left;
use crate::partial;
use crate::place::{self, open_storage, put_marker};
use crate::readback;
use crate::returned;
use crate::state::{Epoch, Item, Key};
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
    // All of them first: a fenced worker can make a folder that it cannot reach.
    for (collection, root) in &account.spec.collections {
        make_local(account, *collection, root)?;
    }
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
    ledger.expect_room()?;
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
    sync_answering(account, read_back, None).map(|(ledger, _)| ledger)
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
pub fn sync_answering<F: Files>(
    account: &Account<F>,
    read_back: bool,
    answer: Option<Answer>,
) -> Result<(Ledger, Looked)> {
    if account.state.epoch()? == Epoch::New {
        return Err(account.state.missing());
    }
    if answer == Some(Answer::Keep) {
        fill_roots(account)?;
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

/// Makes the roots anew that were removed, and marks those that are empty: whoever answers that
/// everything is to be kept wants their files back. Nothing else about a root without a marker can be
/// told, so that nothing else makes one.
fn fill_roots<F: Files>(account: &Account<F>) -> Result<()> {
    let files = &account.files;
    open_storage(account)?;
    for (collection, path) in &account.spec.collections {
        let fail = |e| Error::io("look at", path, e);
        match files.open_root(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(fail(e)),
            Ok(root) => {
                let marked = place::read_marker(files, &root).map_err(fail)?.is_some();
                if marked || !left::is_empty(files, &root).map_err(fail)? {
                    continue;
                }
            }
        }
        // Before there is a marker again: from then on, what is missing here is a deletion.
        hold_all(account, *collection)?;
        make_local(account, *collection, path)?;
        let root = files.open_root(path).map_err(fail)?;
        put_marker(files, &root, path, &account.spec.marker(*collection, true))?;
    }
    Ok(())
}

/// Holds every file of a collection: none of them goes or comes back without an answer.
fn hold_all<F: Files>(account: &Account<F>, collection: Collection) -> Result<()> {
    for folder in account.state.item_folders(collection)? {
        let items = account.state.items(collection, &folder)?;
        let held = items.into_iter().filter(|item| !item.gone && !item.held);
        let held = held.map(|item| {
            let key = Key {
                collection,
                folder: folder.clone(),
                name: item.name.clone(),
            };
            (key, Item { held: true, ..item })
        });
        account.state.record(&held.collect::<Vec<_>>(), &[])?;
    }
    Ok(())
}

fn finish<F: Files>(account: &Account<F>, ledger: &Ledger) -> Result<()> {
    ledger.expect_room()?;
    if ledger.waiting.total > 0 {
        return Ok(());
    }
    account.state.set_last_sync(seconds(account.files.now()))
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

fn make_local<F: Files>(account: &Account<F>, collection: Collection, path: &Path) -> Result<()> {
    let fail = |e| Error::io("make the folder", path, e);
    let missing = missing_ancestors(&account.files, path).map_err(fail)?;
    if !missing.is_empty() {
        // Written down before they are made: what Mooring made, it removes.
        account.state.add_roots_made(collection, &missing)?;
        account.files.make_root(path).map_err(fail)?;
    }
    Ok(())
}

fn prepare_local<F: Files>(
    account: &Account<F>,
    collection: Collection,
    path: &Path,
    adopt: bool,
) -> Result<()> {
    let files = &account.files;
    let root = files
        .open_root(path)
        .map_err(|e| Error::io("open the folder", path, e))?;
    let marker = account.spec.marker(collection, true);
    let ours = place::read_marker(files, &root)
        .map_err(|e| Error::io("read the marker in", path, e))?
        .is_some_and(|there| there == marker);
    // Files that this sign-in brought before it was interrupted need no consent.
    let fail = |e| Error::io("look at", path, e);
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
