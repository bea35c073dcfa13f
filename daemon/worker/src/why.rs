//! What is so about one file, why, and what comes next. Changes nothing.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::sync::{Held, Op, Phase, Side, is_conflict_copy};
use mooring_wire::WhyReport;

use crate::account::Account;
use crate::carry::Way;
use crate::change::Change;
use crate::error::{Error, FileTrouble, Result, about_one_file};
use crate::files::{Files, Kind, Stat};
use crate::hash::{self, Failed, Source};
use crate::look::Seen;
use crate::place::{self, Place, is_own, os, path};
use crate::readback::same_inode;
use crate::state::{Key, split};

/// Says how a file stands. `file` is an absolute path.
///
/// # Errors
/// When a side of its collection is gone, or the state cannot be read.
pub fn why<F: Files>(account: &Account<F>, file: &Path) -> Result<WhyReport> {
    let Some((collection, below)) = find(account, file) else {
        return Ok(says(
            "not-of-any-account",
            "it lies in no folder of this account",
            "",
        ));
    };
    let (folder, name) = split(&below);
    let first = below.split(|b| *b == b'/').next().unwrap_or_default();
    if below.is_empty() || is_own(b"", first) {
        let reason = "it is a folder of the account, or Mooring's own";
        return Ok(says("skipped", reason, ""));
    }
    let place = place::open(account, collection)?;
    let key = Key {
        collection,
        folder: folder.to_vec(),
        name: name.to_vec(),
    };
    let (local, remote) = (
        look(account, &place.local, &key, &place.local_path)?,
        look(account, &place.remote, &key, &place.remote_path)?,
    );
    let item = account.state.item(&key)?.filter(|item| !item.gone);
    let verified = item.as_ref().and_then(|i| i.verified).map_or(0, |p| p.at);
    let mut report = match (local, remote) {
        (Err(FileTrouble(why)), _) => says("skipped", &why, "It stays as it is."),
        (_, Err(FileTrouble(why))) => says("skipped", &format!("in the storage: {why}"), ""),
        (Ok(local), Ok(remote)) => {
            let mut report = decided(account, &place, &key, (local, remote))?;
            for (stat, root) in [(local, &place.local_path), (remote, &place.remote_path)] {
                if stat.is_some() {
                    let at = root.join(path(&key.path()));
                    report.copies.push(at.as_os_str().as_bytes().to_vec());
                }
            }
            report
        }
    };
    report.collection = collection.to_string();
    report.read_back_at = u64::try_from(verified / 1_000_000_000).unwrap_or(0);
    Ok(report)
}

fn says(state: &str, reason: &str, next: &str) -> WhyReport {
    WhyReport {
        state: state.to_owned(),
        reason: reason.to_owned(),
        next: next.to_owned(),
        ..WhyReport::default()
    }
}

/// The collection that a path lies in, and the path below its root.
fn find<F: Files>(account: &Account<F>, file: &Path) -> Option<(Collection, Vec<u8>)> {
    // The file itself may be gone, or a link: only its folder is resolved.
    let real: Option<PathBuf> = file
        .parent()
        .zip(file.file_name())
        .and_then(|(parent, name)| Some(account.files.resolve(parent).ok()?.join(name)));
    // What `..` means depends on links.
    let climbs = |part| part == std::path::Component::ParentDir;
    let plain = (!file.components().any(climbs)).then_some(file);
    for (collection, root) in &account.spec.collections {
        let resolved = account.files.resolve(root).ok();
        let roots = [Some(root.as_path()), resolved.as_deref()];
        for root in roots.into_iter().flatten() {
            for file in [plain, real.as_deref()].into_iter().flatten() {
                if let Ok(below) = file.strip_prefix(root) {
                    return Some((*collection, below.as_os_str().as_bytes().to_vec()));
                }
            }
        }
    }
    None
}

/// The regular file on one side; or why there is something that is none.
fn look<F: Files>(
    account: &Account<F>,
    root: &F::Dir,
    key: &Key,
    shown: &Path,
) -> Result<std::result::Result<Option<Stat>, FileTrouble>> {
    let files = &account.files;
    let found = files
        .open_dir(root, path(&key.folder))
        .and_then(|dir| files.stat(&dir, os(&key.name)));
    let odd = |why: &str| Ok(Err(FileTrouble(why.to_owned())));
    match found {
        Ok(stat) => match stat.kind {
            Kind::File => Ok(Ok(Some(stat))),
            Kind::Dir => odd("it is a folder; ask about the files in it"),
            Kind::Symlink => odd("symbolic links are neither followed, uploaded nor removed"),
            Kind::Special => odd("sockets, FIFOs and devices are neither uploaded nor removed"),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Ok(None)),
        Err(e) => match about_one_file(&e) {
            Some(why) => Ok(Err(why)),
            None => Err(Error::io("look at", &shown.join(path(&key.path())), e)),
        },
    }
}

fn decided<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
    (local, remote): (Option<Stat>, Option<Stat>),
) -> Result<WhyReport> {
    if let (Some(local), Some(remote)) = (local, remote)
        && same_inode(&local, &remote)
    {
        let reason = "its copy in the storage is the very same file (a hard link), and so no copy";
        return Ok(says(
            "changed",
            reason,
            "Remove one of the two names and sync.",
        ));
    }
    let seen = Seen {
        name: key.name.clone(),
        local,
        remote,
        item: account.state.item(key)?,
    };
    let known = seen.item.is_some();
    let mut change = Change::new(key.clone(), seen);
    if change.decide(Phase::Arriving) == Some(Op::Hash)
        && let Err(FileTrouble(reason)) = learn(account, place, &mut change)?
    {
        return Ok(says("changed", &reason, "The next sync looks again."));
    }
    let report = match change.decide(Phase::Arriving) {
        None if local.is_none() => says("not-of-any-account", "there is no such file", ""),
        None | Some(Op::Adopt) if is_conflict_copy(&key.name) => says(
            "conflict-copy",
            "it was changed on two sides, and this is the other version; it is in step",
            "Compare it with the file of the plain name, and keep what you want.",
        ),
        None | Some(Op::Adopt) => says("in-step", "here and in the storage are the same bytes", ""),
        Some(Op::Upload) if known => says(
            "changed",
            "it was changed here since the last sync",
            "The next sync uploads it.",
        ),
        Some(Op::Upload) => says(
            "waiting-to-upload",
            "the storage has no copy yet",
            "The next sync uploads it.",
        ),
        Some(Op::Download) => says(
            "changed",
            "the storage has a newer version, or one that is not here yet",
            "The next sync brings it.",
        ),
        Some(Op::SetAside | Op::Hash) => says(
            "changed",
            "it was changed here and in the storage",
            "The next sync keeps both, one as a conflict copy.",
        ),
        Some(Op::Hold(Held::DeletedHere) | Op::DeleteRemote) => says(
            "held",
            "it was deleted here, and the storage still has it",
            "Restore it from the storage, or delete it there.",
        ),
        Some(Op::Hold(Held::DeletedThere) | Op::DeleteLocal) => says(
            "held",
            "it was deleted in the storage, and is still here",
            "Change or delete it here.",
        ),
        Some(Op::Forget) => says("held", "it is gone here and in the storage", ""),
    };
    Ok(report)
}

/// Reads the sides whose bytes are not known.
fn learn<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    change: &mut Change,
) -> Result<std::result::Result<(), FileTrouble>> {
    let sides = [
        (Way::Up, change.local, &place.local),
        (Way::Down, change.remote, &place.remote),
    ];
    for (way, side, root) in sides {
        if side != Side::Unhashed {
            continue;
        }
        let key = &change.key;
        let read = account
            .files
            .open_dir(root, path(&key.folder))
            .map_err(Failed::from)
            .and_then(|dir| {
                let name = os(&key.name);
                hash::hash(&account.files, &dir, name, Source::Staged, &account.stop)
            });
        match read {
            Ok(reading) => change.learn(way, reading),
            Err(Failed::One(why)) => return Ok(Err(why)),
            Err(Failed::Stopped) => return Err(Error::Cancelled),
            Err(Failed::All(e)) => return Err(Error::io("read", path(&place.shown_key(key)), e)),
        }
    }
    Ok(Ok(()))
}
