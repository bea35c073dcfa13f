//! What waits here while the storage cannot be reached: a walk of the local side alone, against
//! what was agreed on when both sides were last seen.

use std::os::unix::ffi::OsStrExt;

use mooring_core::collection::Collection;
use mooring_wire::Counts;

use crate::account::Account;
use crate::backup::{Root, list, open_own};
use crate::error::{Error, Result};
use crate::files::{Entry, Files, Kind};
use crate::ignored::{self, Rules};
use crate::place::{is_own, path};
use crate::state::{Item, Stamp, join};

/// What the local side of a collection has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Here {
    /// The files that are not ignored.
    pub items: Counts,
    /// Of these, the ones that have no copy in the storage as they are now, as far as stamps tell.
    /// These are numbers for people: what is removed goes by more than stamps.
    pub unsynced: u64,
}

/// Counts what a collection has here, without its storage. Folders that cannot be listed are left
/// out: what is in them is not known.
///
/// # Errors
/// [`Error::HomeGone`] when the folder is not there or is somebody else's; when the state cannot
/// be read; [`Error::Cancelled`].
pub fn count<F: Files>(account: &Account<F>, collection: Collection) -> Result<Here> {
    let root = open_own(account, collection)?;
    let mut here = Here::default();
    let mut folders: Vec<(Vec<u8>, Rules)> = vec![(Vec::new(), None)];
    while let Some((folder, above)) = folders.pop() {
        account.check_stop()?;
        let Ok(entries) = list(account, &root, &folder)? else {
            continue;
        };
        let Some(rules) = rules(account, &root, &folder, &entries, above)? else {
            continue;
        };
        let items = account.state.items(collection, &folder)?;
        for entry in &entries {
            let name = entry.name.as_bytes();
            let is_dir = entry.stat.kind == Kind::Dir;
            if is_own(&folder, name) || ignored::ignores(&rules, &folder, name, is_dir).is_some() {
                continue;
            }
            match entry.stat.kind {
                Kind::Dir => folders.push((join(&folder, name), rules.clone())),
                Kind::File => {
                    here.items.files += 1;
                    here.items.bytes = here.items.bytes.saturating_add(entry.stat.size);
                    here.unsynced += u64::from(!is_as_agreed(&items, entry));
                }
                Kind::Symlink | Kind::Special => {}
            }
        }
    }
    Ok(here)
}

/// Whether a file is as it was when both sides had the same bytes.
fn is_as_agreed(items: &[Item], entry: &Entry) -> bool {
    let name = entry.name.as_bytes();
    let item = items.binary_search_by(|item| item.name.as_slice().cmp(name));
    item.is_ok_and(|index| {
        let known = items[index].local;
        known.is_some_and(|known| Stamp::from(&entry.stat) == known.stamp)
    })
}

/// What is ignored in a folder; nothing when its file of rules cannot be read, because then it is
/// not known.
fn rules<F: Files>(
    account: &Account<F>,
    root: &Root<F::Dir>,
    folder: &[u8],
    entries: &[Entry],
    above: Rules,
) -> Result<Option<Rules>> {
    let is_rules = |entry: &&Entry| {
        entry.name.as_bytes() == ignored::FILE.as_bytes() && entry.stat.kind == Kind::File
    };
    if entries.iter().find(is_rules).is_none() {
        return Ok(Some(above));
    }
    let fail = |e| Error::io("read the rules in", &root.path.join(path(folder)), e);
    let files = &account.files;
    let dir = files.open_dir(&root.dir, path(folder)).map_err(fail)?;
    let read = ignored::read(files, &dir, folder, &above).map_err(fail)?;
    Ok(read.ok().map(|(rules, _)| rules))
}
