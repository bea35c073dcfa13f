//! Checking that every file has its copy: each copy is read back from the storage now, whatever
//! was proven before, and each file here is the one that was recorded.

use std::mem;

use mooring_wire::CheckReport;

use crate::account::Account;
use crate::error::{FileTrouble, Result};
use crate::files::Files;
use crate::look::{FolderLook, Odd, Seen, walk};
use crate::place::{self, Place};
use crate::prove::{self, Check};
use crate::readback::{SAME_FILE, local_as_recorded, same_inode};
use crate::state::Key;
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
                books.problems.add(shown, SAME_FILE);
            }
            (Some(local), Some(_), Some(item)) => checks.push(Check {
                hash_local: !local_as_recorded(&local, &item),
                read_back: true,
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
    prove::batch(
        account,
        place,
        checks,
        Vec::new(),
        |check, proved| match proved {
            Ok(()) => {
                books.report.proven.files += 1;
                books.report.proven.bytes += check.size;
            }
            Err(why) => books.problems.add(place.shown_key(&check.key), &why),
        },
    )?;
    let proven = books.report.proven;
    account.tell("reading back", (proven.files, proven.bytes), (0, 0));
    Ok(())
}
