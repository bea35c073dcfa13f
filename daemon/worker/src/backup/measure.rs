//! What a backup would take: the walk that counts first.

use std::os::unix::ffi::OsStrExt;

use mooring_wire::Counts;

use super::OVERHEAD;
use super::roots::Root;
use crate::account::Account;
use crate::error::{Error, FileTrouble, Result, about_one_source};
use crate::files::{Entry, Files, Kind};
use crate::place::{is_own, path};
use crate::sparse;
use crate::state::join;

/// What would be taken now, and the space that it needs, in bytes. What is compressed here is
/// reckoned as it is: the space may turn out too small, which the copying itself finds.
pub(super) fn measure<F: Files>(
    account: &Account<F>,
    roots: &[Root<F::Dir>],
) -> Result<(Counts, u64)> {
    let mut total = Counts::default();
    let mut space = 0_u64;
    for root in roots {
        let mut folders = vec![Vec::new()];
        while let Some(folder) = folders.pop() {
            account.check_stop()?;
            let Ok(entries) = list(account, root, &folder)? else {
                continue;
            };
            for entry in entries {
                let name = entry.name.as_bytes();
                match entry.stat.kind {
                    _ if is_own(&folder, name) => {}
                    Kind::Dir => folders.push(join(&folder, name)),
                    Kind::File => {
                        total.files += 1;
                        total.bytes = total.bytes.saturating_add(entry.stat.size);
                        space = space.saturating_add(sparse::space(&entry.stat) + OVERHEAD);
                    }
                    Kind::Symlink | Kind::Special => {}
                }
            }
        }
    }
    Ok((total, space))
}

/// The entries of a folder, ordered; or why this folder cannot be listed.
pub(crate) fn list<F: Files>(
    account: &Account<F>,
    root: &Root<F::Dir>,
    folder: &[u8],
) -> Result<std::result::Result<Vec<Entry>, FileTrouble>> {
    let files = &account.files;
    let listed = files
        .open_dir(&root.dir, path(folder))
        .and_then(|dir| files.list(&dir));
    match listed {
        Ok(mut entries) => {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(Ok(entries))
        }
        Err(e) => match about_one_source(&e).filter(|_| !folder.is_empty()) {
            Some(why) => Ok(Err(why)),
            None => Err(Error::io("list", &root.path.join(path(folder)), e)),
        },
    }
}
