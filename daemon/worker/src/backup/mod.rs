//! Backups: everything that an account has on this device, as plain files in a dated folder.
//!
//! A folder under its final name is always whole: it is written beside (`.partial-…`), made
//! durable, read back file by file, and only then renamed. What could not be taken is named in the
//! report and in the backup's own `BACKUP.toml`.

mod about;
mod copy;
mod measure;
mod partial;
mod roots;
mod take;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_core::receipt::readable;
use mooring_wire::{BackupReport, Counts};

use crate::account::Account;
use crate::error::{Error, FileTrouble, Result, too_little_room};
use crate::files::Files;
use crate::hash::Source;
use crate::place::path;
use crate::sums::{self, NAMES};

pub use about::{ABOUT, About, about};
pub use roots::{Root, open_apart, open_own, open_roots};

use about::report;
pub(crate) use measure::list;
use measure::measure;
use partial::{partial_prefix, remove_partials};
use take::{Plan, take};

/// What a file takes beyond its bytes, when the space is reckoned up.
const OVERHEAD: u64 = 4096;

/// Takes a backup into the folder `name` of `to`. Taken up again after a death, it begins anew,
/// unless the folder is there already: then it is checked, and that is all.
///
/// # Errors
/// [`Error::Refused`] for a folder that must not be, [`Error::NoSpace`] before anything is
/// written; what stops the whole. A backup that failed leaves nothing under its name.
pub fn backup<F: Files>(account: &Account<F>, to: &Path, name: &str) -> Result<BackupReport> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(Error::Refused(format!("{name:?} is no name of a backup")));
    }
    let target = open_apart(account, "the folder for backups", to)?;
    let files = &account.files;
    let shown = to.join(name);
    let fail = |e| Error::io("write the backup", &shown, e);
    remove_partials(account, &target).map_err(fail)?;
    match files.open_dir(&target, Path::new(name)) {
        Ok(done) => return taken_before(account, &done, &shown),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(fail(e)),
    }
    let roots = open_roots(account)?;
    let there = files.abilities(&target).map_err(fail)?;
    let (total, needed) = measure(account, &roots)?;
    let too_small = || {
        let room = too_little_room(needed, to, there.free);
        Error::NoSpace(format!(
            "for the backup, about {room}: nothing is left there of it; make room, or choose another \
             disk"
        ))
    };
    if needed > there.free {
        return Err(too_small());
    }
    let partial = format!("{}{name}", partial_prefix(account));
    let remarks = same_disk(account, &target, &roots).map_err(fail)?;
    let plan = Plan {
        known_good: there.known_good,
        total,
        remarks,
    };
    let taken = take(account, &target, &partial, &roots, plan, &shown);
    let taken = taken.map_err(|e| match e {
        Error::NoSpace(_) => too_small(),
        e => e,
    });
    let installed = taken.and_then(|report| {
        let (from, to) = (OsStr::new(&partial), OsStr::new(name));
        files
            .rename_new(&target, from, &target, to)
            .and_then(|()| files.sync_dir(&target))
            .map_err(fail)?;
        Ok(report)
    });
    if installed.is_err() {
        // The first error is the one to tell; the next backup tries to remove it once more.
        let _ = remove_partials(account, &target);
    }
    installed
}

/// What a person should know about where a backup lies: a disk that holds both fails with both.
fn same_disk<F: Files>(
    account: &Account<F>,
    target: &F::Dir,
    roots: &[Root<F::Dir>],
) -> io::Result<Vec<String>> {
    let files = &account.files;
    let disk = files.stat_dir(target)?.dev;
    let mut remarks = Vec::new();
    // A backup is taken without the storage, too.
    let storage = files.open_root(&account.spec.storage);
    if storage
        .and_then(|dir| files.stat_dir(&dir))
        .is_ok_and(|s| s.dev == disk)
    {
        remarks.push(
            "The backup is on the same disk as the storage: when that disk fails, both are gone."
                .to_owned(),
        );
    }
    for root in roots {
        if files.stat_dir(&root.dir)?.dev == disk {
            remarks.push(
                "The backup is on the same disk as the files here: when that disk fails, both are \
                 gone."
                    .to_owned(),
            );
            break;
        }
    }
    Ok(remarks)
}

/// A backup of this name is there: it is ours, of a life that did not live to tell, or it is not.
fn taken_before<F: Files>(
    account: &Account<F>,
    done: &F::Dir,
    shown: &Path,
) -> Result<BackupReport> {
    let refused = |why: &str| {
        let shown = readable(shown.as_os_str().as_bytes());
        Error::Refused(format!("{shown} is there already and {why}"))
    };
    let about = about(account, done, shown)?.ok_or_else(|| refused("is no backup of Mooring's"))?;
    if about.sign_in_id != account.spec.sign_in_id {
        return Err(refused("is a backup of another sign-in"));
    }
    let files = read_back(account, (done, shown), Source::Storage { sync: true })?;
    Ok(report(shown, files, &about))
}

/// Reads every file of a backup from its disk and holds it to the list.
fn read_back<F: Files>(
    account: &Account<F>,
    (backup, shown): (&F::Dir, &Path),
    from: Source,
) -> Result<Counts> {
    let mut counts = Counts::default();
    sums::check(
        account,
        (backup, shown),
        from,
        |_| true,
        |line, size| {
            match size {
                Ok(size) if line.path != NAMES.as_bytes() && line.path != ABOUT.as_bytes() => {
                    counts.files += 1;
                    counts.bytes += size;
                }
                Ok(_) => {}
                Err(FileTrouble(why)) => {
                    let path = shown.join(path(&line.path));
                    let source = io::Error::new(io::ErrorKind::InvalidData, why);
                    return Err(Error::io("read back", &path, source));
                }
            }
            account.tell("reading back", (counts.files, counts.bytes), (0, 0));
            Ok(())
        },
    )?;
    Ok(counts)
}
