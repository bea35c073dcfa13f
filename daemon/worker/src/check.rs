//! Checking that every file has its copy: each copy is read back from the storage now, whatever
//! was proven before, and each file here is the one that was recorded.

use std::mem;

use mooring_wire::CheckReport;

use crate::account::Account;
use crate::error::{Error, FileTrouble, Result};
use crate::files::Files;
use crate::hash::{self, Failed, Reading, Source};
use crate::look::{FolderLook, Odd, Seen, walk};
use crate::place::{self, Place, os, path};
use crate::pool;
use crate::readback::{local_as_recorded, make_durable, read_back, same_inode, with_proof};
use crate::state::{Item, Key, Proof};
use crate::trouble::Named;

/// Files looked into between two commits.
const BATCH: usize = 512;

/// Checks every collection, and records what was proven.
///
/// # Errors
/// What stops the whole: a side that is gone, a wish to stop.
pub fn check<F: Files>(account: &Account<F>) -> Result<CheckReport> {
    let mut books = Books::default();
    for (collection, _) in &account.spec.collections {
        let place = place::open(account, *collection)?;
        let mut checks = Vec::new();
        walk(account, &place, |look| {
            examine(&place, look, &mut checks, &mut books);
            if checks.len() >= BATCH {
                settle(account, &place, mem::take(&mut checks), &mut books)?;
            }
            Ok(())
        })?;
        settle(account, &place, checks, &mut books)?;
    }
    let Books {
        mut report,
        problems,
    } = books;
    report.problems = problems.some;
    report.problems_total = problems.total;
    Ok(report)
}

#[derive(Default)]
struct Books {
    report: CheckReport,
    problems: Named,
}

/// A file whose copy is to be read back.
struct Check {
    key: Key,
    item: Item,
    /// The file here has to be hashed, too.
    hash_local: bool,
    size: u64,
}

fn examine<F: Files>(
    place: &Place<F>,
    look: FolderLook<F>,
    checks: &mut Vec<Check>,
    books: &mut Books,
) {
    for (name, odd) in look.odd.into_iter().chain(look.odd_remote) {
        if let Odd::Trouble(FileTrouble(why)) = odd {
            books.problems.add(place.shown(&look.path, &name), &why);
        }
    }
    for seen in look.names {
        let shown = place.shown(&look.path, &seen.name);
        let Seen {
            name,
            local,
            remote,
            item,
        } = seen;
        match (local, remote, item.filter(|item| !item.gone)) {
            (Some(local), Some(remote), _) if same_inode(&local, &remote) => {
                let why = "the copy in the storage is the same file (a hard link)";
                books.problems.add(shown, why);
            }
            (Some(local), Some(_), Some(item)) => checks.push(Check {
                hash_local: !local_as_recorded(&local, &item),
                size: local.size,
                key: Key {
                    collection: place.collection,
                    folder: look.path.clone(),
                    name,
                },
                item,
            }),
            (Some(_), None, Some(_)) => books.problems.add(shown, "the storage has no copy"),
            (Some(_), _, None) => {
                let why = "was not uploaded yet: the next sync does that";
                books.problems.add(shown, why);
            }
            (None, Some(_), Some(_)) => books.report.elsewhere += 1,
            (None, None, Some(_)) => {
                let why = "is gone here and in the storage";
                books.problems.add(shown, why);
            }
            (None, _, None) => {}
        }
    }
}

fn settle<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    checks: Vec<Check>,
    books: &mut Books,
) -> Result<()> {
    if checks.is_empty() {
        return Ok(());
    }
    make_durable(account, place)?;
    let results = pool::map(account.files.parallelism(), &checks, |check| {
        prove(account, place, check)
    });
    make_durable(account, place)?;
    let mut items = Vec::new();
    for (check, result) in checks.into_iter().zip(results) {
        match result {
            Ok((local, proof)) => {
                let mut item = with_proof(&check.item, proof);
                if let Some(reading) = local {
                    item.local = Some(reading.proof);
                    item.mode = reading.stat.mode;
                }
                books.report.proven.files += 1;
                books.report.proven.bytes += check.size;
                items.push((check.key, item));
            }
            Err(Failed::One(FileTrouble(why))) => {
                books.problems.add(place.shown_key(&check.key), &why);
            }
            Err(Failed::Stopped) => return Err(Error::Cancelled),
            Err(Failed::All(e)) => {
                let shown = place.remote_path.join(path(&check.key.path()));
                return Err(Error::io("read back", &shown, e));
            }
        }
    }
    let proven = books.report.proven;
    account.tell("reading back", (proven.files, proven.bytes), (0, 0));
    account.state.record(&items, &[])
}

fn prove<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    check: &Check,
) -> std::result::Result<(Option<Reading>, Proof), Failed> {
    let files = &account.files;
    let proof = read_back(account, place, &check.key, &check.item)?;
    if !check.hash_local {
        return Ok((None, proof));
    }
    let dir = files.open_dir(&place.local, path(&check.key.folder))?;
    let name = os(&check.key.name);
    let reading = hash::hash(files, &dir, name, Source::Cache, &account.stop)?;
    if reading.hash != check.item.agreed.local {
        return Err(Failed::one("changed here since it was uploaded"));
    }
    Ok((Some(reading), proof))
}
