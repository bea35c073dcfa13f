//! What a removal answers.

use std::os::unix::ffi::OsStrExt;

use mooring_core::collection::Collection;
use mooring_wire::{Counts, RemoveReport};

use super::NO_LEASES;
use crate::account::Account;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::left;
use crate::offline;
use crate::state::join;
use crate::trouble::{NAMED, Named};

/// What this sign-out removed so far, what it kept, and what is left.
pub(super) fn report<F: Files>(
    account: &Account<F>,
    keep: &[Collection],
    collections: &[Collection],
    remaining: Named,
) -> Result<RemoveReport> {
    let mut report = RemoveReport {
        remaining: remaining.total,
        remaining_files: remaining.some,
        writers_excluded: account.state.meta(NO_LEASES)?.is_none(),
        ..RemoveReport::default()
    };
    if !report.writers_excluded {
        report.remarks.push(
            "The filesystem gives no leases, or none that keep every program out: programs that \
             were writing to a file while it was removed were not excluded. Each file was read \
             once more right before it went."
                .to_owned(),
        );
    }
    for collection in collections {
        let tally = account.state.tally(*collection)?;
        let counts = Counts {
            files: tally.gone_files,
            bytes: tally.gone_bytes,
        };
        report.removed.push((collection.to_string(), counts));
        report.gone_before += tally.gone_before;
        let root = account.spec.root(*collection)?.as_os_str().as_bytes();
        let room = NAMED.saturating_sub(report.gone_before_files.len());
        let named = account.state.gone_before(*collection, room)?;
        let named = named.iter().map(|below| join(root, below));
        report.gone_before_files.extend(named);
        report.left.extend(left::list(account, *collection)?);
    }
    for collection in keep {
        let kept = kept(account, *collection, &mut report.remarks)?;
        report.kept.push((collection.to_string(), kept));
    }
    Ok(report)
}

/// What stays of a collection, synced or not, as it is on the disk.
fn kept<F: Files>(
    account: &Account<F>,
    collection: Collection,
    remarks: &mut Vec<String>,
) -> Result<Counts> {
    let here = match offline::count(account, collection) {
        Err(Error::HomeGone(why)) => {
            let tally = account.state.tally(collection)?;
            remarks.push(format!(
                "What was kept of {collection} is as it was last synced: {why}"
            ));
            return Ok(Counts {
                files: tally.files,
                bytes: tally.bytes,
            });
        }
        here => here?,
    };
    if here.unsynced > 0 {
        remarks.push(format!(
            "Of the files of {collection} that were kept, {} have no copy in the storage as they are \
             now.",
            here.unsynced
        ));
    }
    Ok(here.items)
}
