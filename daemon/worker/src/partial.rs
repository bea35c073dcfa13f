//! Looking only where something changed: the folders that a watch told of, looked at as a walk of
//! everything looks at them. What is below a folder is looked at where that came or went.

use std::collections::HashSet;
use std::io;

use mooring_core::collection::Collection;

use crate::account::Account;
use crate::error::{Error, FileTrouble, Result};
use crate::files::{Files, Kind};
use crate::ignored::{self, Rules};
use crate::look::{FolderLook, Odd, empty_look, look_at, look_at_vanished};
use crate::place::{Place, path};
use crate::state::{Key, split};
use crate::watch::Folders;

/// Looks at the told folders of a collection, parents before children, and hands each to
/// `consume`; last come folders below them that only the inventory knows.
///
/// # Errors
/// As [`crate::look::walk`].
pub fn walk_told<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    told: &Folders,
    mut consume: impl FnMut(FolderLook<F>) -> Result<()>,
) -> Result<()> {
    let mut visited = HashSet::new();
    for (folder, mut deep) in told.iter() {
        let rules = match rules_above(account, place, folder)? {
            Above::Rules(rules) => rules,
            // What is ignored is let go of by the look at the folder in which that is said.
            Above::Ignored => continue,
            Above::Trouble(why) => {
                let mut look = empty_look(folder.to_vec());
                look.odd.push((Vec::new(), Odd::Trouble(why)));
                consume(look)?;
                continue;
            }
        };
        let mut waiting = vec![(folder.to_vec(), rules)];
        while let Some((folder, rules)) = waiting.pop() {
            if !visited.insert(folder.clone()) {
                continue;
            }
            account.check_stop()?;
            let (look, below) = look_at(account, place, folder, &rules)?;
            deep |= look.new_rules().is_some();
            if deep {
                waiting.extend(below.into_iter().rev());
            }
            consume(look)?;
        }
        if deep {
            vanished(account, place, folder, &mut visited, &mut consume)?;
        }
    }
    Ok(())
}

fn vanished<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    top: &[u8],
    visited: &mut HashSet<Vec<u8>>,
    consume: &mut impl FnMut(FolderLook<F>) -> Result<()>,
) -> Result<()> {
    for folder in account.state.item_folders_below(place.collection, top)? {
        if !visited.insert(folder.clone()) {
            continue;
        }
        if let Some(look) = look_at_vanished(account, place, folder)? {
            consume(look)?;
        }
    }
    Ok(())
}

/// Whether the rules that are there now let a file stay as it is; also when they cannot be read.
///
/// # Errors
/// When a side fails as a whole.
pub fn is_let_be<F: Files>(account: &Account<F>, place: &Place<F>, key: &Key) -> Result<bool> {
    let Above::Rules(above) = rules_above(account, place, &key.folder)? else {
        return Ok(true);
    };
    let rules = rules_in(account, place, &key.folder, &above)?;
    Ok(rules.map_or(true, |rules| {
        ignored::ignores(&rules, &key.folder, &key.name, false).is_some()
    }))
}

/// What the folders above one say about it.
enum Above {
    /// These rules count in it.
    Rules(Rules),
    /// It is ignored.
    Ignored,
    /// A file of rules cannot be read: nothing below it may be decided.
    Trouble(FileTrouble),
}

fn rules_above<F: Files>(account: &Account<F>, place: &Place<F>, folder: &[u8]) -> Result<Above> {
    let mut rules = None;
    let mut chain: Vec<&[u8]> = std::iter::successors(Some(folder), |folder| {
        (!folder.is_empty()).then(|| split(folder).0)
    })
    .collect();
    chain.reverse();
    for step in chain.windows(2) {
        let [parent, child] = step else { continue };
        rules = match rules_in(account, place, parent, &rules)? {
            Ok(rules) => rules,
            Err(why) => return Ok(Above::Trouble(why)),
        };
        if ignored::ignores(&rules, parent, split(child).1, true).is_some() {
            return Ok(Above::Ignored);
        }
    }
    Ok(Above::Rules(rules))
}

/// The rules from a folder on: the file here counts where there is one, else the storage's.
fn rules_in<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folder: &[u8],
    above: &Rules,
) -> Result<std::result::Result<Rules, FileTrouble>> {
    let files = &account.files;
    let sides = [
        (&place.local, &place.local_path),
        (&place.remote, &place.remote_path),
    ];
    for (root, shown) in sides {
        let fail = |e| Error::io("read the rules in", &shown.join(path(folder)), e);
        let found = files
            .open_dir(root, path(folder))
            .and_then(|dir| Ok((files.stat(&dir, ignored::FILE.as_ref())?.kind, dir)));
        match found {
            Ok((Kind::File, dir)) => {
                let read = ignored::read(files, &dir, folder, above).map_err(fail)?;
                return Ok(read.map(|(rules, _)| rules));
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            // The look at the folder itself says what is wrong with it.
            Err(e) if crate::error::about_one_file(&e).is_some() => {}
            Err(e) => return Err(fail(e)),
        }
    }
    Ok(Ok(above.clone()))
}

/// The folders that hold items among the told ones and, where that is meant, below them.
///
/// # Errors
/// When the state cannot be read.
pub fn folders_with_items<F: Files>(
    account: &Account<F>,
    collection: Collection,
    told: &Folders,
) -> Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for (folder, deep) in told.iter() {
        if deep {
            all.extend(account.state.item_folders_below(collection, folder)?);
        } else {
            all.push(folder.to_vec());
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
