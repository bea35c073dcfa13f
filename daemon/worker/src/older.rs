//! Versions that go back in time: a side that was restored from an older copy looks like one that
//! was edited, and what it replaces may be the only newer version. So that one goes into the trash
//! first, durably, where a person finds it for thirty days.

use crate::account::Account;
use crate::carry::Way;
use crate::change::Change;
use crate::error::Result;
use crate::files::{Files, Stat};
use crate::hash::Failed;
use crate::place::{Place, open_storage};
use crate::trash;

/// Whether carrying a change over would replace a file with one whose time is earlier than that of
/// the version that both sides agreed on. Times of one side are compared: another filesystem may
/// keep coarser ones. A file that was gone there, and is there again with other bytes, mostly comes
/// from a backup.
pub fn goes_back(change: &Change, way: Way) -> bool {
    let Some(item) = &change.seen.item else {
        return false;
    };
    let (source, target, agreed) = match way {
        Way::Up => (change.seen.local, change.seen.remote, item.local),
        Way::Down => (change.seen.remote, change.seen.local, item.remote),
    };
    let earlier = |source: &Stat| agreed.is_none_or(|agreed| source.mtime < agreed.stamp.mtime);
    target.is_some() && source.as_ref().is_some_and(earlier)
}

/// Copies what a change replaces into the trash, and reads the copy back.
///
/// # Errors
/// What stops the whole sync; inside, why this file has to wait.
pub fn keep_newer<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    change: &Change,
    way: Way,
) -> Result<std::result::Result<(), Failed>> {
    let Some(expected) = change.load(way).replaces else {
        return Ok(Ok(()));
    };
    let storage = open_storage(account)?;
    let file = mooring_core::receipt::readable(&place.shown_key(&change.key));
    let kept = trash::bury_copy(
        account,
        place,
        (&storage, way),
        &change.key,
        &expected.bytes,
    );
    if kept.is_ok() {
        tracing::info!(
            file,
            "an older version comes: the newer one is in the trash"
        );
    }
    Ok(kept)
}
