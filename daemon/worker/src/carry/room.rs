//! Room for a batch: one file that is larger than all that is free does not keep the others waiting.

use std::io;

use super::{Load, Way, is_large};
use crate::account::Account;
use crate::error::{Error, Result, too_little_room};
use crate::files::Files;
use crate::large;
use crate::place::{End, Place, os, path};
use crate::trouble::Ledger;

/// The loads of a batch that there may be room for, each by itself. Large ones that there is none for
/// are told as waiting. Where there is no room for the others either, the disk is full, which whoever
/// carries them meets.
///
/// # Errors
/// When the filesystem cannot be asked.
pub(super) fn that_may_fit<'l, F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    way: Way,
    loads: &'l [Load],
    ledger: &mut Ledger,
) -> Result<Vec<&'l Load>> {
    let known = match way {
        Way::Up => place.there.free,
        Way::Down => place.here.free,
    };
    let large = |load: &&Load| is_large(account, load);
    let sizes = loads.iter().filter(large).map(|load| load.size);
    if sizes.fold(0, u64::saturating_add) <= known {
        return Ok(loads.iter().collect());
    }
    let End { root, shown, .. } = place.end(way);
    let fail = |e| Error::io("look at", shown, e);
    let free = account.files.abilities(root).map_err(fail)?.free;
    let mut fit = Vec::new();
    for load in loads {
        if !is_large(account, load) {
            fit.push(load);
            continue;
        }
        let needed = needs(account, place, load).map_err(fail)?;
        if needed <= free {
            fit.push(load);
            continue;
        }
        let needs = too_little_room(needed, shown, free);
        ledger.no_room(place.shown_key(&load.key), &needs);
    }
    Ok(fit)
}

/// The bytes that a large file still needs: less where a part of it is there already, and none that can be
/// known where it has holes.
fn needs<F: Files>(account: &Account<F>, place: &Place<F>, load: &Load) -> io::Result<u64> {
    let files = &account.files;
    let part = large::part_name(account, &load.key);
    let there = match files.stat(place.end(load.way).waiting, &part) {
        Ok(part) => part.size,
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    let source = match load.way {
        Way::Up => &place.local,
        Way::Down => &place.remote,
    };
    let holes = files
        .open_dir(source, path(&load.key.folder))
        .and_then(|dir| files.open(&dir, os(&load.key.name)))
        .and_then(|file| files.extras(&file))
        // Whoever carries it says what is wrong with it.
        .is_ok_and(|extras| extras.holes);
    Ok(if holes {
        0
    } else {
        load.size.saturating_sub(there)
    })
}
