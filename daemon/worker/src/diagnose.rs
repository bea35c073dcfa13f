//! Looks at everything an account stands on, and says for each part how it is and what to do.
//!
//! It changes nothing: no folder is made and no file written. What is wrong with one part does not
//! stop the look at the others.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_wire::Diagnosis;

use crate::account::Account;
use crate::files::{Files, Lease};
use crate::place::{self, MARKER, STAGING};
use crate::uploads::{self, UPLOADS};

/// Less free space than this (bytes) is worth a word.
const LITTLE: u64 = 1024 * 1024 * 1024;

/// Looks at an account.
pub fn diagnose<F: Files>(account: &Account<F>) -> Vec<Diagnosis> {
    let mut found = vec![state(account)];
    let storage = match place::open_storage(account) {
        Ok(storage) => Some(storage),
        Err(error) => {
            let advice = "mount or plug in the storage, then sync";
            found.push(bad("storage", error.to_string(), advice));
            None
        }
    };
    if let Some(storage) = &storage {
        abilities(
            account,
            "storage",
            storage,
            &account.spec.storage,
            &mut found,
        );
        unfinished(account, storage, &mut found);
    }
    for (collection, path) in &account.spec.collections {
        let area = collection.name();
        if let Some(storage) = &storage {
            let copies = Path::new(collection.folder());
            let shown = account.spec.storage.join(copies);
            match account.files.open_dir(storage, copies) {
                Ok(dir) => marker(account, (*collection, false), &dir, &shown, &mut found),
                Err(error) => found.push(missing(area, &shown, &error)),
            }
        }
        match account.files.open_root(path) {
            Ok(dir) => {
                marker(account, (*collection, true), &dir, path, &mut found);
                abilities(account, area, &dir, path, &mut found);
                leases(account, area, &dir, path, &mut found);
                leftovers(account, area, &dir, path, &mut found);
            }
            Err(error) => found.push(missing(area, path, &error)),
        }
        ignore_files(account, *collection, &mut found);
    }
    found
}

/// Copies that other devices began to write into the storage and never finished.
fn unfinished<F: Files>(account: &Account<F>, storage: &F::Dir, found: &mut Vec<Diagnosis>) {
    let at = account.spec.storage.join(place::STORE).join(UPLOADS);
    let shown = shown(&at);
    let left = match uploads::of_others(account, storage) {
        Ok(left) => left,
        Err(error) => {
            found.push(bad(
                "storage",
                format!("{shown} cannot be read: {error}"),
                "give yourself the right to read and write it",
            ));
            return;
        }
    };
    if left.files > 0 {
        found.push(warning(
            "storage",
            format!(
                "{} unfinished copies of other devices ({} MiB) lie in {shown} since a day or longer",
                left.files,
                left.bytes / (1024 * 1024)
            ),
            "each device clears its own away when it syncs or signs out; those of a device that is \
             gone for good (`mooringctl devices`), the files whose names begin with new- or part-, \
             can be deleted",
        ));
    }
    if left.swaps > 0 {
        found.push(warning(
            "storage",
            format!(
                "{} files that other devices were replacing when they stopped lie in {shown} since a \
                 day or longer",
                left.swaps
            ),
            "the device puts each in order at its next sync; of one that is gone for good, look at \
             the files whose names begin with swap- or old- before they are deleted: one may be the \
             only version",
        ));
    }
}

/// Lines of `.mooringignore` files that the last sync could not use.
fn ignore_files<F: Files>(
    account: &Account<F>,
    collection: Collection,
    found: &mut Vec<Diagnosis>,
) {
    let area = collection.name();
    // A state that cannot be read is told by itself.
    for line in crate::sync::bad_lines(account, collection).unwrap_or_default() {
        let advice = "mend the line: until then it ignores nothing, and the other lines count";
        found.push(warning(area, line, advice));
    }
}

/// SQLite's own check of the account's database.
fn state<F: Files>(account: &Account<F>) -> Diagnosis {
    let area = "state";
    let advice = "nothing is removed while the state is damaged: `mooringctl doctor --repair` puts it \
                  aside and builds it anew from both sides";
    match account.state.flaw() {
        Ok(None) => ok(area, "the account's database is whole".to_owned()),
        Ok(Some(said)) => bad(
            area,
            format!("the account's database is damaged: {said}"),
            advice,
        ),
        Err(error) => bad(area, error.to_string(), advice),
    }
}

fn marker<F: Files>(
    account: &Account<F>,
    (collection, local): (Collection, bool),
    dir: &F::Dir,
    path: &Path,
    found: &mut Vec<Diagnosis>,
) {
    let area = collection.name();
    let shown = shown(path);
    found.push(match place::check_marker(account, dir, collection, local) {
        Ok(()) => ok(area, format!("{shown} is there, and is this account's")),
        Err(why) => bad(
            area,
            format!("{shown} {why}"),
            "mount the disk, or put the folder back where it was; until then nothing is synced \
             and nothing is removed",
        ),
    });
}

fn abilities<F: Files>(
    account: &Account<F>,
    area: &str,
    dir: &F::Dir,
    path: &Path,
    found: &mut Vec<Diagnosis>,
) {
    let shown = shown(path);
    let there = match account.files.abilities(dir) {
        Ok(there) => there,
        Err(error) => {
            let said = format!("the filesystem of {shown} cannot be asked: {error}");
            return found.push(bad(area, said, "look at the disk and its mount"));
        }
    };
    let kind = &there.filesystem;
    found.push(if there.remote {
        warning(
            area,
            format!("{shown} is on another machine ({kind})"),
            "changes made there are only seen at the next sync; nothing else has to be done",
        )
    } else if there.known_good {
        ok(area, format!("{shown} is on {kind}"))
    } else {
        warning(
            area,
            format!("{shown} is on {kind}, which promises less than ext4, xfs or btrfs"),
            "every file is made durable by itself: slower, and as safe",
        )
    });
    if there.free < LITTLE {
        let mib = there.free / (1024 * 1024);
        found.push(warning(
            area,
            format!("{shown} has {mib} MiB left"),
            "make room: without it nothing can be carried over",
        ));
    }
}

/// Tries a read lease on the marker, which nobody writes to.
fn leases<F: Files>(
    account: &Account<F>,
    area: &str,
    dir: &F::Dir,
    path: &Path,
    found: &mut Vec<Diagnosis>,
) {
    let files = &account.files;
    // Without a marker that was said already.
    let Ok(file) = files.open(dir, MARKER.as_ref()) else {
        return;
    };
    let lease = files.lease(&file);
    files.release(&file);
    let shown = shown(path);
    match lease {
        Ok(Lease::Held) => found.push(ok(area, format!("{shown} has leases"))),
        Ok(Lease::InUse) => found.push(warning(
            area,
            format!("a program has {MARKER} in {shown} open for writing"),
            "close it: that file is Mooring's own",
        )),
        Ok(Lease::Unsupported) => found.push(warning(
            area,
            format!("{shown} has no leases"),
            "close your programs before you sign out: writers cannot be kept out while files are \
             removed, and the receipt will say so",
        )),
        Err(error) => found.push(warning(
            area,
            format!("leases cannot be tried in {shown}: {error}"),
            "look at the disk and its mount",
        )),
    }
}

/// What an operation that was broken off left in the staging folder.
fn leftovers<F: Files>(
    account: &Account<F>,
    area: &str,
    dir: &F::Dir,
    path: &Path,
    found: &mut Vec<Diagnosis>,
) {
    let files = &account.files;
    let staged = match files.open_dir(dir, Path::new(STAGING)) {
        Ok(staging) => files.list(&staging).map(|entries| entries.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => Err(error),
    };
    let shown = shown(&path.join(STAGING));
    match staged {
        Ok(0) => {}
        Ok(n) => found.push(warning(
            area,
            format!("{n} names lie in {shown}, from something that was broken off"),
            "sync: what is there is put back or cleared away; never delete it by hand",
        )),
        Err(error) => found.push(bad(
            area,
            format!("{shown} cannot be read: {error}"),
            "give yourself the right to read and write it",
        )),
    }
}

fn missing(area: &str, path: &Path, error: &std::io::Error) -> Diagnosis {
    bad(
        area,
        format!("{} cannot be opened: {error}", shown(path)),
        "mount the disk, or put the folder back where it was; until then nothing is synced and \
         nothing is removed",
    )
}

fn shown(path: &Path) -> String {
    readable(path.as_os_str().as_bytes())
}

fn ok(area: &str, message: String) -> Diagnosis {
    told(area, "ok", message, "")
}

fn warning(area: &str, message: String, advice: &str) -> Diagnosis {
    told(area, "warning", message, advice)
}

fn bad(area: &str, message: String, advice: &str) -> Diagnosis {
    told(area, "bad", message, advice)
}

fn told(area: &str, state: &str, message: String, advice: &str) -> Diagnosis {
    Diagnosis {
        area: area.to_owned(),
        state: state.to_owned(),
        message,
        advice: advice.to_owned(),
    }
}
