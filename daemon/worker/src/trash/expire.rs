//! Emptying the trash. A clock alone empties nothing: one that is set forward by a year would
//! take all at once. A day's folder goes when this device has looked at it on thirty days and
//! found it as it was, whatever its name says; a look that comes with a jump of the clock counts
//! as one, and a date on which it looked before counts no more, however often the clock comes back
//! to it (one that is without battery and network begins at the same date at each start: there the
//! trash is kept for ever). Files that came or changed since the last look begin anew, and are never part of what
//! goes. So the trash is kept for longer where a device is rarely on, and never for less.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{days, fail, trash_path};
use crate::account::Account;
use crate::error::{Error, Result, about_one_file};
use crate::files::{Files, Kind, Stat};
use crate::place::open_storage;
use crate::staging::date;

/// On how many days a folder of the trash is found unchanged before it goes.
const DAYS_KEPT: u32 = 30;
/// A day, in nanoseconds.
const DAY: i64 = 86_400_000_000_000;
/// The state's key for the looks: their dates, the last one first, then `DAY COUNT FINGERPRINT`
/// lines.
const LOOKS: &str = "trash-looks";
/// Days of the trash that are looked at, at most; the others wait for their turn.
const MAX_DAYS: usize = 1_000;
/// Dates of looks that are remembered: twice as many as empty a folder.
const MAX_DATES: usize = 2 * DAYS_KEPT as usize;

/// What was found on earlier days.
#[derive(Default)]
struct Looks {
    /// On which dates it looked, the last one first.
    dates: Vec<String>,
    days: BTreeMap<String, (u32, String)>,
}

/// Empties what has lain in the trash, unchanged, on thirty days on which this device looked.
/// It looks once a day.
///
/// # Errors
/// When the storage fails. What cannot be looked at stays.
pub fn expire<F: Files>(account: &Account<F>) -> Result<()> {
    let today = date(account.files.now());
    let before = read(account)?;
    let mut dates = before.dates;
    let last = dates.first();
    if last == Some(&today) {
        return Ok(());
    }
    let turned = last.is_some_and(|last| today < *last) || dates.contains(&today);
    dates.retain(|date| *date != today);
    dates.insert(0, today.clone());
    dates.truncate(MAX_DATES);
    let mut now = Looks {
        dates,
        ..Looks::default()
    };
    if turned {
        // The clock was turned back, or is there again: a look, and nothing that counts.
        now.days = before.days;
        return write(account, &now);
    }
    let storage = open_storage(account)?;
    let there = match days(account, &storage) {
        // A link, or another filesystem, where the trash should be: nothing of it is touched.
        Err(Error::Io { source, .. }) if about_one_file(&source).is_some() => Vec::new(),
        result => result?,
    };
    for day in there.into_iter().take(MAX_DAYS) {
        let below = trash_path().join(&day);
        let found = match find(account, &storage, &below) {
            Ok(found) => found,
            Err(e) => match about_one_file(&e) {
                // It counts anew once it can be looked at again.
                Some(why) => {
                    tracing::warn!(day, "a folder of the trash cannot be looked at: {}", why.0);
                    continue;
                }
                None => return Err(fail(account, &below, e)),
            },
        };
        let print = fingerprint(&found);
        let looks = match before.days.get(&day) {
            Some((looks, then)) if *then == print => looks.saturating_add(1),
            _ => 0,
        };
        if looks >= DAYS_KEPT && !is_young(account, &day, &today) {
            empty(account, &storage, &found).map_err(|e| fail(account, &below, e))?;
        } else {
            now.days.insert(day, (looks, print));
        }
    }
    // Last: whoever dies before looks once more, and finds less.
    write(account, &now)
}

/// Whether a day lies within the last thirty, by this device's clock. One to come was named by a
/// clock that was wrong.
fn is_young<F: Files>(account: &Account<F>, day: &str, today: &str) -> bool {
    let kept = i64::from(DAYS_KEPT) * DAY;
    let first = date(account.files.now().saturating_sub(kept));
    first.as_str() <= day && day <= today
}

fn read<F: Files>(account: &Account<F>) -> Result<Looks> {
    let text = account.state.meta(LOOKS)?.unwrap_or_default();
    let mut lines = text.lines();
    let dates = lines.next().unwrap_or_default().split_whitespace();
    let dates = dates.map(str::to_owned).collect();
    let days = lines.filter_map(|line| {
        let mut words = line.split(' ');
        let (day, looks, print) = (words.next()?, words.next()?, words.next()?);
        Some((day.to_owned(), (looks.parse().ok()?, print.to_owned())))
    });
    Ok(Looks {
        dates,
        days: days.collect(),
    })
}

fn write<F: Files>(account: &Account<F>, looks: &Looks) -> Result<()> {
    let lines = looks
        .days
        .iter()
        .map(|(day, (looks, print))| format!("\n{day} {looks} {print}"));
    let dates = looks.dates.join(" ");
    let text: String = std::iter::once(dates).chain(lines).collect();
    account.state.set_meta(LOOKS, &text)
}

/// A folder of the trash and what is in it, as it was found.
struct Found {
    folder: PathBuf,
    entries: Vec<(OsString, Stat)>,
}

/// A day's folder and all below it, parents before their children.
fn find<F: Files>(account: &Account<F>, storage: &F::Dir, day: &Path) -> io::Result<Vec<Found>> {
    let files = &account.files;
    let mut waiting = vec![day.to_owned()];
    let mut all = Vec::new();
    while let Some(folder) = waiting.pop() {
        let dir = files.open_dir(storage, &folder)?;
        let mut entries: Vec<_> = files
            .list(&dir)?
            .into_iter()
            .map(|entry| (entry.name, entry.stat))
            .collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let below = entries.iter().filter(|(_, stat)| stat.kind == Kind::Dir);
        waiting.extend(below.map(|(name, _)| folder.join(name)));
        all.push(Found { folder, entries });
    }
    Ok(all)
}

/// What tells whether anything came, went or changed. No inode: some filesystems make it up.
fn fingerprint(found: &[Found]) -> String {
    let mut hasher = blake3::Hasher::new();
    for Found { folder, entries } in found {
        hasher.update(folder.as_os_str().as_bytes()).update(b"\0");
        for (name, stat) in entries {
            hasher.update(name.as_bytes()).update(b"\0");
            if stat.kind != Kind::Dir {
                hasher.update(&stat.size.to_le_bytes());
                hasher.update(&stat.mtime.to_le_bytes());
                hasher.update(&stat.ctime.to_le_bytes());
            }
        }
        hasher.update(b"\0");
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Removes what was found, deepest first, and nothing that came meanwhile.
fn empty<F: Files>(account: &Account<F>, storage: &F::Dir, found: &[Found]) -> io::Result<()> {
    let files = &account.files;
    let fine = |result: io::Result<()>| match result {
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(e) if about_one_file(&e).is_some() => Ok(()),
        result => result,
    };
    for Found { folder, entries } in found.iter().rev() {
        let dir = match files.open_dir(storage, folder) {
            Err(e) if about_one_file(&e).is_some() => continue,
            result => result?,
        };
        for (name, then) in entries.iter().filter(|(_, then)| then.kind != Kind::Dir) {
            match files.stat(&dir, name) {
                Ok(now) if now == *then => fine(files.unlink(&dir, name))?,
                Ok(_) => {}
                Err(e) => fine(Err(e))?,
            }
        }
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
            continue;
        };
        let dir = files.open_dir(storage, parent)?;
        fine(files.remove_dir(&dir, OsStr::new(name)))?;
    }
    Ok(())
}
