//! What is so about one file, why, and what comes next. Changes nothing. Where it cannot look, it
//! tells what is remembered, and says so.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_core::sync::{Held, Op, Phase, Side, is_conflict_copy};
use mooring_wire::WhyReport;

use crate::account::Account;
use crate::carry::Way;
use crate::change::Change;
use crate::error::{Error, FileTrouble, Result, about_one_file, too_little_room};
use crate::files::{Files, Kind, Stat, seconds};
use crate::hash::{self, Failed, Source};
use crate::ignored::{self, Origin};
use crate::look::Seen;
use crate::place::{self, Place, is_own, os, path};
use crate::readback::same_inode;
use crate::sparse;
use crate::state::{Key, split};

/// Says how a file stands. `file` is an absolute path. With a side of its collection gone, tells
/// what is remembered.
///
/// # Errors
/// When the state cannot be read.
pub fn why<F: Files>(account: &Account<F>, file: &Path) -> Result<WhyReport> {
    let key = match key(account, file) {
        Ok(key) => key,
        Err(answer) => return Ok(*answer),
    };
    let collection = key.collection;
    let place = match place::open(account, collection) {
        Ok(place) => place,
        Err(Error::StorageGone(why) | Error::HomeGone(why)) => {
            return remembered(account, &key, &why);
        }
        Err(other) => return Err(other),
    };
    if let Some(origin) = ignoring_line(account, &place, &key)? {
        let file = readable(&place.shown(b"", &origin.file));
        return Ok(WhyReport {
            collection: collection.to_string(),
            ..says(
                "ignored",
                &format!("line {} of {file} says so", origin.line),
                "It stays as it is, here and in the storage; no sign-out removes it.",
            )
        });
    }
    let (local, remote) = (
        look(account, &place.local, &key, &place.local_path)?,
        look(account, &place.remote, &key, &place.remote_path)?,
    );
    let item = account.state.item(&key)?.filter(|item| !item.gone);
    let verified = item.as_ref().and_then(|i| i.verified).map_or(0, |p| p.at);
    let mut report = match (local, remote) {
        (Err(FileTrouble(why)), Ok(Some(_))) => says(
            "skipped",
            &format!("{why}; in the storage it is a file"),
            RENAME,
        ),
        (Err(FileTrouble(why)), _) => says("skipped", &why, "It stays as it is."),
        (Ok(Some(_)), Err(FileTrouble(why))) => {
            says("skipped", &format!("in the storage: {why}"), RENAME)
        }
        (_, Err(FileTrouble(why))) => says(
            "skipped",
            &format!("in the storage: {why}"),
            "It stays there as it is.",
        ),
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
    report.read_back_at = seconds(verified);
    Ok(report)
}

/// What helps where two kinds have one name.
const RENAME: &str = "Neither is touched. Rename one of the two, and sync.";

/// The line that keeps a file, or a folder above it, from being synced.
fn ignoring_line<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    key: &Key,
) -> Result<Option<Origin>> {
    let roots = [&place.local, &place.remote];
    let below = key.path();
    let is_dir = ignored::is_dir(&account.files, roots, &below);
    ignored::on_path(&account.files, roots, &below, is_dir)
        .map_err(|e| Error::io("look at", path(&place.shown_key(key)), e))
}

/// What is remembered of a file, without a look at either side. `unseen` says why.
///
/// # Errors
/// When the state cannot be read.
pub fn recall<F: Files>(account: &Account<F>, file: &Path, unseen: &str) -> Result<WhyReport> {
    match key(account, file) {
        Ok(key) => remembered(account, &key, unseen),
        Err(answer) => Ok(*answer),
    }
}

fn remembered<F: Files>(account: &Account<F>, key: &Key, unseen: &str) -> Result<WhyReport> {
    let item = account.state.item(key)?;
    let report = match &item {
        None => says(
            "unknown",
            "it was never carried over, or not there, when last looked at",
            "The next sync looks.",
        ),
        Some(item) if item.gone => says(
            "not-of-any-account",
            "the sign-out that is under way removed it from this device, and its copy is in the \
             storage",
            "",
        ),
        Some(item) if item.held => says(
            "held",
            "when last looked at, it was deleted on one side and not on the other",
            "`mooringctl resolve` answers for it, with --keep or --delete.",
        ),
        Some(item) if item.local.is_none() => says(
            "unknown",
            "the storage had it when last looked at, and this device had not",
            "The next sync looks.",
        ),
        Some(_) => says(
            "in-step",
            "when last looked at, here and in the storage were the same bytes",
            "The next sync looks again.",
        ),
    };
    let verified = item.and_then(|item| item.verified).map_or(0, |p| p.at);
    Ok(WhyReport {
        collection: key.collection.to_string(),
        read_back_at: seconds(verified),
        unseen: unseen.to_owned(),
        ..report
    })
}

/// Which item a path names; or the answer, when it is none.
fn key<F: Files>(account: &Account<F>, file: &Path) -> std::result::Result<Key, Box<WhyReport>> {
    let answer = |state: &str, reason: &str| Err(Box::new(says(state, reason, "")));
    let Some((collection, below)) = find(account, file) else {
        return answer("not-of-any-account", "it lies in no folder of this account");
    };
    let first = below.split(|b| *b == b'/').next().unwrap_or_default();
    if below.is_empty() || is_own(b"", first) {
        return answer("skipped", "it is a folder of the account, or Mooring's own");
    }
    let (folder, name) = split(&below);
    Ok(Key {
        collection,
        folder: folder.to_vec(),
        name: name.to_vec(),
    })
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
        item: account
            .state
            .item(key)?
            .filter(|item| !item.came_back(local.as_ref(), remote.as_ref(), place.stable())),
    };
    let known = seen.item.is_some();
    let needed = local.map_or(0, |stat| sparse::space(&stat));
    let mut change = Change::new(key.clone(), seen);
    if change.decide(Phase::Arriving) == Some(Op::Hash)
        && let Err(FileTrouble(reason)) = learn(account, place, &mut change)?
    {
        return Ok(says(
            "changed",
            &reason,
            "Until that is put right it is neither uploaded nor removed; then the next sync takes it.",
        ));
    }
    let report = match change.decide(Phase::Arriving) {
        None if local.is_none() => says("not-of-any-account", "there is no such file", ""),
        None | Some(Op::Adopt) if is_conflict_copy(&key.name) => says(
            "conflict-copy",
            "it was changed on two sides, and this is the other version; it is in step",
            "Compare it with the file of the plain name, and keep what you want.",
        ),
        None | Some(Op::Adopt) => says("in-step", "here and in the storage are the same bytes", ""),
        Some(Op::Upload) if needed > place.there.free => says(
            "waiting-to-upload",
            &too_little_room(needed, &place.remote_path, place.there.free),
            "Make room there; then the next sync uploads it.",
        ),
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
            "If it waits for your answer, `mooringctl resolve` gives it; else the next sync carries the \
             deletion over, into the trash.",
        ),
        Some(Op::Hold(Held::DeletedThere) | Op::DeleteLocal) => says(
            "held",
            "it was deleted in the storage, and is still here",
            "If it waits for your answer, `mooringctl resolve` gives it; else the next sync carries the \
             deletion over, into the trash.",
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
