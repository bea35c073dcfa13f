//! Copies that are none: bytes that went bad in the storage although nobody wrote the file, and
//! entries that are the very file they should be a copy of. The file here is then uploaded anew;
//! bytes that went bad are kept in the trash, in case they are somebody's after all.

use mooring_core::sync::Side;

use crate::account::Account;
use crate::carry::Way;
use crate::change::Change;
use crate::error::Result;
use crate::files::Files;
use crate::hash::Failed;
use crate::look::RACY;
use crate::place::{Place, open_storage};
use crate::readback::same_inode;
use crate::state::{Item, Proof, Stamp};
use crate::trash;

/// When the reading of a copy began that is not believed any more: before any stamp.
const NEVER: i64 = i64::MIN;

/// What a change of the storage's side turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What it looks like.
    Change,
    /// Rot: the copy's stamp is the recorded one, its bytes are not.
    Rot,
    /// Perhaps rot, perhaps an edit within one step of the filesystem's time.
    Unclear,
}

/// The item of a copy that has other bytes than agreed, so that it is looked at again; `None` when
/// the copy may have been written since: then it is looked at again anyhow.
pub fn disbelieve(item: &Item, found: Stamp) -> Option<Item> {
    let settled = |p: &Proof| p.stamp == found && p.stamp.mtime <= p.at.saturating_sub(RACY);
    let mut known = [item.remote, item.verified].into_iter().flatten();
    known.any(|p| settled(&p)).then(|| Item {
        remote: Some(Proof {
            stamp: found,
            at: NEVER,
        }),
        verified: None,
        ..item.clone()
    })
}

/// Whether the copy was found to have other bytes than agreed: it is to be read from the storage
/// itself.
pub fn is_suspect(change: &Change) -> bool {
    let item = change.seen.item.as_ref();
    item.is_some_and(|item| item.remote.is_some_and(|known| known.at == NEVER))
}

/// Whether new bytes in the storage are rot. Only where the file here is as agreed: an edited one
/// is no replacement for the agreed bytes.
pub fn judge(change: &Change) -> Verdict {
    let Some((item, (hash, read))) = change.seen.item.as_ref().zip(change.remote_reading()) else {
        return Verdict::Change;
    };
    if hash == item.agreed.remote || !change.local_is_agreed() {
        return Verdict::Change;
    }
    match item.remote {
        Some(known) if known.stamp != read.stamp => Verdict::Change,
        Some(known) if known.at == NEVER || disbelieve(item, read.stamp).is_some() => Verdict::Rot,
        Some(_) => Verdict::Unclear,
        None => Verdict::Change,
    }
}

/// Whether the storage's entry is the very file that is here.
pub fn is_no_copy(change: &Change) -> bool {
    let sides = change.seen.local.zip(change.seen.remote);
    let known = change.seen.item.is_some()
        && change.local != Side::Unhashed
        && change.remote != Side::Unhashed;
    known && sides.is_some_and(|(local, remote)| same_inode(&local, &remote))
}

/// Copies rotten bytes into the trash, durably, before they are replaced.
///
/// # Errors
/// When that cannot be done: then they must not be replaced.
pub fn keep_rot<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    change: &Change,
) -> Result<std::result::Result<(), Failed>> {
    let Some((hash, _)) = change.remote_reading() else {
        return Ok(Ok(()));
    };
    let storage = open_storage(account)?;
    tracing::warn!(
        file = mooring_core::receipt::readable(&place.shown_key(&change.key)),
        "its copy in the storage went bad; it is uploaded anew"
    );
    Ok(trash::bury_copy(
        account,
        place,
        (&storage, Way::Up),
        &change.key,
        &hash,
    ))
}
