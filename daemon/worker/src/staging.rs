//! The staging folder: copies that wait for their place (`new-…`), and files on their way out
//! (`out-…`). After a crash the first are swept up and the second put back.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use mooring_core::sync::conflict_name;

use crate::account::Account;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::hash::{self, Failed, Source};
use crate::place::{Place, os, path};
use crate::state::Key;

const OUT: &[u8] = b"out-";

/// The name under which the file of a path goes out: made from the path, so that the way back is
/// known from the inventory alone.
pub fn out_name(path: &[u8]) -> OsString {
    OsString::from(format!("out-{}", &blake3::hash(path).to_hex()[..32]))
}

/// Sweeps up what a dead predecessor left: unfinished copies go, files on their way out go back.
///
/// # Errors
/// When a file cannot be put back; it then stays in the staging folder, and the message names it.
pub fn tidy<F: Files>(account: &Account<F>, place: &Place<F>) -> Result<()> {
    let files = &account.files;
    let own = format!("new-{}-", account.spec.id);
    let sides = [
        (&place.staging, &place.local, &place.local_path),
        (&place.uploads, &place.remote, &place.remote_path),
    ];
    for (dir, root, shown) in sides {
        let fail = |e| Error::io("tidy up in", shown, e);
        let mut out = Vec::new();
        for entry in files.list(dir).map_err(fail)? {
            let name = entry.name.as_bytes();
            if name.starts_with(own.as_bytes()) {
                durable::remove_if_there(files, dir, &entry.name).map_err(fail)?;
            } else if name.starts_with(OUT) {
                out.push(entry.name);
            }
        }
        if !out.is_empty() {
            put_back(account, place, (dir, root), &out)?;
        }
    }
    Ok(())
}

fn put_back<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    (staging, root): (&F::Dir, &F::Dir),
    names: &[OsString],
) -> Result<()> {
    let mut ways_back = Vec::new();
    account.state.each_item(place.collection, |key, _| {
        if names.contains(&out_name(&key.path())) {
            ways_back.push(key);
        }
        Ok(())
    })?;
    for key in &ways_back {
        let name = out_name(&key.path());
        restore_one(account, (staging, &name), root, key)
            .map_err(|e| Error::io("put back", &place.local_path.join(path(&key.path())), e))?;
    }
    account.files.sync_dir(staging).map_err(|e| Error::io("make durable", &place.local_path, e))
}

/// Puts one file back under its name; under a conflict copy's where that name was taken.
pub fn restore_one<F: Files>(
    account: &Account<F>,
    (staging, name): (&F::Dir, &OsStr),
    root: &F::Dir,
    key: &Key,
) -> io::Result<()> {
    let files = &account.files;
    let dir = durable::ensure_dir(files, root, path(&key.folder), true)?;
    match files.rename_new(staging, name, &dir, os(&key.name)) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let reading = match hash::hash(files, staging, name, Source::Cache, &account.stop) {
                Ok(reading) => reading,
                Err(Failed::All(e)) => return Err(e),
                Err(Failed::One(why)) => return Err(io::Error::other(why.0)),
                Err(Failed::Stopped) => return Err(io::ErrorKind::Interrupted.into()),
            };
            let copy = conflict_name(
                &key.name,
                &account.spec.device,
                &date(files.now()),
                &reading.hash,
                8,
            );
            files.rename_new(staging, name, &dir, os(&copy))?;
        }
        result => result?,
    }
    files.sync_dir(&dir)
}

/// The UTC date of a moment (ns), as `YYYY-MM-DD`.
pub fn date(now: i64) -> String {
    let seconds = u64::try_from(now / 1_000_000_000).unwrap_or(0);
    mooring_core::receipt::timestamp(seconds)[..10].to_owned()
}
