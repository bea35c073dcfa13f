//! Bringing files back from a backup: checked against its list first, and never over anything.
//!
//! A file that is there with the same bytes is passed over; beside one with other bytes the file
//! from the backup gets a conflict copy's name, made from the day of the backup, so that a second
//! try finds it. Damaged files are named and stay where they are.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_core::sync::{Hash, conflict_name};
use mooring_wire::RestoreReport;

use crate::account::Account;
use crate::backup::{self, ABOUT};
use crate::conflict::{DIGITS, MANY_DIGITS};
use crate::durable;
use crate::error::{Error, FileTrouble, Result, about_one_file};
use crate::files::Files;
use crate::hash::{self, CARRIED_MODE, Failed, Source};
use crate::place::{STAGING, is_own, os, path};
use crate::staging;
use crate::state::{Epoch, join, split};
use crate::sums::{self, Line, NAMES, SUMS};
use crate::trouble::Named;

/// Files copied between two syncs of the filesystem.
const BATCH: usize = 256;
/// The longest `NAMES` that is read, in bytes.
const MAX_NAMES: u64 = 64 * 1024 * 1024;

/// A folder that files of one collection go to.
struct Target<D> {
    collection: Collection,
    dir: D,
    path: PathBuf,
    /// Where copies wait for their place.
    waiting: D,
    known_good: bool,
}

/// A copy that waits for its place.
struct Ready {
    target: usize,
    folder: Vec<u8>,
    /// Its folder in the backup.
    stored_folder: Vec<u8>,
    name: Vec<u8>,
    waiting: OsString,
    hash: Hash,
    size: u64,
}

/// Restores what lies at or below `only` in the backup (everything, when it is empty) into the
/// account's folders, or below `to`.
///
/// # Errors
/// [`Error::Refused`] for a folder that is no backup, has nothing of that path, or must not be
/// written to; what stops the whole.
pub fn restore<F: Files>(
    account: &Account<F>,
    from: &Path,
    only: &[u8],
    to: Option<&Path>,
) -> Result<RestoreReport> {
    if account.state.epoch()? != Epoch::Active {
        return Err(Error::Refused(
            "the account is signing in or out: restore afterwards".to_owned(),
        ));
    }
    let files = &account.files;
    let shown = readable(from.as_os_str().as_bytes());
    let no_backup = |why: &str| Error::Refused(format!("{shown} {why}"));
    let source = files
        .open_root(from)
        .map_err(|e| no_backup(&format!("cannot be opened ({e})")))?;
    if files.stat(&source, SUMS.as_ref()).is_err() {
        return Err(no_backup("is no backup: it has no B3SUMS"));
    }
    let targets = match to {
        Some(to) => below(account, from, to)?,
        None => own(account)?,
    };
    let taken = backup::about(account, &source, from)?.map(|about| about.taken_at);
    let date = taken
        .and_then(|at| at.get(..10).map(str::to_owned))
        .unwrap_or_else(|| staging::date(files.now()));
    let mut restoring = Restoring {
        account,
        from,
        names: names(account, &source, from)?,
        source,
        only,
        targets,
        date,
        ready: Vec::new(),
        report: RestoreReport::default(),
        problems: Named::default(),
    };
    let done = restoring.run();
    let swept = restoring.sweep();
    done.and(swept)?;
    let Restoring {
        mut report,
        problems,
        targets,
        ..
    } = restoring;
    if let Some(to) = to {
        remove_waiting(account, to, &targets)?;
    }
    report.problems = problems.some;
    report.problems_total = problems.total;
    Ok(report)
}

/// The account's own folders.
fn own<F: Files>(account: &Account<F>) -> Result<Vec<Target<F::Dir>>> {
    let roots = backup::open_roots(account)?;
    roots
        .into_iter()
        .map(|root| {
            let waiting = durable::ensure_dir(&account.files, &root.dir, Path::new(STAGING), true);
            target(account, root.collection, root.dir, root.path, waiting)
        })
        .collect()
}

/// Folders below one that a person named.
fn below<F: Files>(account: &Account<F>, from: &Path, to: &Path) -> Result<Vec<Target<F::Dir>>> {
    let dir = backup::open_apart(account, "the folder to restore to", to)?;
    let backup = [("the backup".to_owned(), from)];
    crate::signin::check_apart(&account.files, ("the folder to restore to", to), &backup)?;
    account
        .spec
        .collections
        .iter()
        .map(|(collection, _)| {
            let at = to.join(collection.folder());
            let folder = Path::new(collection.folder());
            let root = durable::ensure_dir(&account.files, &dir, folder, true)
                .map_err(|e| Error::io("make the folder", &at, e))?;
            let waiting = durable::ensure_dir(&account.files, &dir, Path::new(STAGING), true);
            target(account, *collection, root, at, waiting)
        })
        .collect()
}

fn target<F: Files>(
    account: &Account<F>,
    collection: Collection,
    dir: F::Dir,
    path: PathBuf,
    waiting: io::Result<F::Dir>,
) -> Result<Target<F::Dir>> {
    let waiting = waiting.map_err(|e| Error::io("make the staging folder for", &path, e))?;
    let abilities = account.files.abilities(&dir);
    let known_good = abilities
        .map_err(|e| Error::io("look at", &path, e))?
        .known_good;
    Ok(Target {
        collection,
        dir,
        path,
        waiting,
        known_good,
    })
}

/// In a folder that is not the account's, the staging folder is not to stay.
fn remove_waiting<F: Files>(
    account: &Account<F>,
    to: &Path,
    targets: &[Target<F::Dir>],
) -> Result<()> {
    let fail = |e| Error::io("tidy up in", to, e);
    let files = &account.files;
    let dir = files.open_root(to).map_err(fail)?;
    let empty = match targets.first() {
        Some(target) => files.list(&target.waiting).map_err(fail)?.is_empty(),
        None => false,
    };
    // What another account's restore has in it is not ours to touch.
    if empty {
        files.remove_dir(&dir, STAGING.as_ref()).map_err(fail)?;
    }
    files.sync_dir(&dir).map_err(fail)
}

/// The real paths of what is stored under mapped names.
fn names<F: Files>(
    account: &Account<F>,
    source: &F::Dir,
    from: &Path,
) -> Result<HashMap<Vec<u8>, Vec<u8>>> {
    let fail = |e| Error::io("read", &from.join(NAMES), e);
    let bytes = durable::read(&account.files, source, NAMES, MAX_NAMES).map_err(fail)?;
    let text = String::from_utf8(bytes.unwrap_or_default())
        .map_err(|e| fail(io::Error::new(io::ErrorKind::InvalidData, e.utf8_error())))?;
    text.lines()
        .map(|line| {
            sums::parse_name(line)
                .ok_or_else(|| fail(io::Error::new(io::ErrorKind::InvalidData, "a broken line")))
        })
        .collect()
}

struct Restoring<'a, F: Files> {
    account: &'a Account<F>,
    from: &'a Path,
    source: F::Dir,
    names: HashMap<Vec<u8>, Vec<u8>>,
    only: &'a [u8],
    targets: Vec<Target<F::Dir>>,
    date: String,
    ready: Vec<Ready>,
    report: RestoreReport,
    problems: Named,
}

/// Names in a backup.
type Names = HashSet<Vec<u8>>;

impl<F: Files> Restoring<'_, F> {
    fn run(&mut self) -> Result<()> {
        self.sweep()?;
        let (damaged, total) = self.check()?;
        let list = self.from.join(SUMS);
        let fail = |e| Error::io("read the list", &list, e);
        let file = self.account.files.open(&self.source, SUMS.as_ref());
        let file = file.map_err(fail)?;
        let mut done = (0, 0);
        let each = |lines: Vec<Line>| {
            for line in lines {
                self.account.check_stop()?;
                if self.wanted(&line.path) && !damaged.contains(&line.path) {
                    done.0 += 1;
                    self.account.tell("restoring", done, total);
                    self.stage(&line)?;
                }
            }
            Ok(())
        };
        sums::read_batches(file, each, fail)?;
        self.settle()
    }

    /// The path that a stored path stands for.
    fn real<'b>(&'b self, stored: &'b [u8]) -> &'b [u8] {
        self.names.get(stored).map_or(stored, Vec::as_slice)
    }

    fn wanted(&self, stored: &[u8]) -> bool {
        if stored == NAMES.as_bytes() || stored == ABOUT.as_bytes() {
            return false;
        }
        let below = |path: &[u8]| {
            path.strip_prefix(self.only)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        self.only.is_empty() || below(self.real(stored)) || below(stored)
    }

    /// Holds what is to be restored, and the names of it, to the list. Answers what is damaged.
    fn check(&mut self) -> Result<(Names, (u64, u64))> {
        let mut damaged = HashSet::new();
        let mut problems = mem::take(&mut self.problems);
        let mut good = (0, 0);
        let at = (&self.source, self.from);
        let wanted = |path: &[u8]| path == NAMES.as_bytes() || self.wanted(path);
        sums::check(self.account, at, Source::Cache, wanted, |line, size| {
            match size {
                Ok(size) if line.path != NAMES.as_bytes() => {
                    good = (good.0 + 1, good.1 + size);
                }
                Ok(_) => {}
                Err(FileTrouble(why)) if line.path == NAMES.as_bytes() => {
                    let source = io::Error::new(io::ErrorKind::InvalidData, why);
                    return Err(Error::io("trust", &self.from.join(NAMES), source));
                }
                Err(FileTrouble(why)) => {
                    let shown = self.from.join(path(&line.path));
                    problems.add(shown.as_os_str().as_bytes().to_vec(), &why);
                    damaged.insert(line.path);
                }
            }
            self.account.tell("checking the backup", good, (0, 0));
            Ok(())
        })?;
        self.problems = problems;
        if good.0 == 0 && damaged.is_empty() && !self.only.is_empty() {
            return Err(Error::Refused(format!(
                "the backup has nothing at {}",
                readable(self.only)
            )));
        }
        Ok((damaged, (good.0, 0)))
    }

    /// Copies one file beside its place, unless it is there already.
    fn stage(&mut self, line: &Line) -> Result<()> {
        match self.copy(line) {
            Ok(None) => self.report.equal += 1,
            Ok(Some(ready)) => self.ready.push(ready),
            Err(Failed::One(why)) => self.problem(&line.path, &why),
            Err(Failed::Stopped) => return Err(Error::Cancelled),
            Err(Failed::All(e)) => return Err(self.fail(&line.path, e)),
        }
        if self.ready.len() >= BATCH {
            self.settle()?;
        }
        Ok(())
    }

    fn copy(&self, line: &Line) -> std::result::Result<Option<Ready>, Failed> {
        let files = &self.account.files;
        let (target, folder, name) = self.destination(&line.path)?;
        let there = &self.targets[target];
        if let Ok(dir) = files.open_dir(&there.dir, path(&folder))
            && self.has_bytes(&dir, &name, &line.hash)?
        {
            return Ok(None);
        }
        let (stored_folder, stored) = line.place();
        let source = files.open_dir(&self.source, path(stored_folder))?;
        let waiting = OsString::from(format!("{}{}", self.prefix(), self.ready.len()));
        let (reading, _) = hash::copy(
            files,
            (&source, os(stored)),
            (&there.waiting, &waiting),
            !there.known_good,
            &self.account.stop,
        )?;
        if reading.hash != line.hash {
            files
                .unlink(&there.waiting, &waiting)
                .map_err(Failed::All)?;
            return Err(Failed::one("changed since the backup was checked"));
        }
        Ok(Some(Ready {
            target,
            folder,
            stored_folder: stored_folder.to_vec(),
            name,
            waiting,
            hash: line.hash,
            size: reading.stat.size,
        }))
    }

    /// Where a stored file goes: which target, and the folder and the name in it.
    fn destination(&self, stored: &[u8]) -> std::result::Result<(usize, Vec<u8>, Vec<u8>), Failed> {
        let real = self.real(stored);
        let top = real.split(|b| *b == b'/').next().unwrap_or_default();
        let target = self
            .targets
            .iter()
            .position(|target| target.collection.folder().as_bytes() == top)
            .ok_or_else(|| Failed::one("the account has no such collection here"))?;
        let below = real.get(top.len() + 1..).unwrap_or_default();
        let harmless = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
        let (folder, name) = split(below);
        let first = below.split(|b| *b == b'/').next().unwrap_or_default();
        if !below.split(|b| *b == b'/').all(harmless) || is_own(b"", first) {
            return Err(Failed::one("its name in the backup is not one of a file"));
        }
        Ok((target, folder.to_vec(), name.to_vec()))
    }

    /// Whether a name is a file with these bytes.
    fn has_bytes(
        &self,
        dir: &F::Dir,
        name: &[u8],
        hash: &Hash,
    ) -> std::result::Result<bool, Failed> {
        let files = &self.account.files;
        match hash::hash(files, dir, os(name), Source::Staged, &self.account.stop) {
            Ok(reading) => Ok(reading.hash == *hash),
            // Not there, no file, or not readable: it is not overwritten in any case.
            Err(Failed::One(_)) => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    /// Makes the copies that wait durable and puts them in their places.
    fn settle(&mut self) -> Result<()> {
        let ready = mem::take(&mut self.ready);
        self.sync(&ready)?;
        let mut folders = HashSet::new();
        for ready in &ready {
            match self.install(ready) {
                Ok(Some(conflict)) => {
                    self.report.restored.files += 1;
                    self.report.restored.bytes += ready.size;
                    self.report.conflicts += u64::from(conflict);
                }
                Ok(None) => self.report.equal += 1,
                Err(e) => match about_one_file(&e) {
                    Some(FileTrouble(why)) => {
                        let shown = self.shown(ready);
                        self.problems.add(shown, &why);
                        let target = &self.targets[ready.target];
                        durable::remove_if_there(
                            &self.account.files,
                            &target.waiting,
                            &ready.waiting,
                        )
                        .map_err(|e| Error::io("tidy up in", &target.path, e))?;
                    }
                    None => return Err(Error::io("restore", path(&self.shown(ready)), e)),
                },
            }
            folders.insert((ready.target, ready.folder.clone()));
        }
        self.sync(&ready)?;
        for (target, folder) in folders {
            let target = &self.targets[target];
            if target.known_good {
                continue;
            }
            let synced = self.account.files.open_dir(&target.dir, path(&folder));
            match synced.and_then(|dir| self.account.files.sync_dir(&dir)) {
                Err(e) if about_one_file(&e).is_none() => {
                    return Err(Error::io(
                        "make durable",
                        &target.path.join(path(&folder)),
                        e,
                    ));
                }
                // It could not be made, and its files were named.
                _ => {}
            }
        }
        Ok(())
    }

    fn sync(&self, ready: &[Ready]) -> Result<()> {
        for (nr, target) in self.targets.iter().enumerate() {
            if target.known_good && ready.iter().any(|ready| ready.target == nr) {
                let synced = self.account.files.sync_all(&target.dir);
                synced.map_err(|e| Error::io("make durable", &target.path, e))?;
            }
        }
        Ok(())
    }

    /// Gives a copy its name; `Some(true)` when that is a conflict copy's, `None` when a file with
    /// the same bytes was there.
    fn install(&self, ready: &Ready) -> io::Result<Option<bool>> {
        let files = &self.account.files;
        let target = &self.targets[ready.target];
        let sync = !target.known_good;
        let dir = self.folder(target, ready, sync)?;
        let device = &self.account.spec.device;
        let copy = |digits| conflict_name(&ready.name, device, &self.date, &ready.hash, digits);
        let names = [ready.name.clone(), copy(DIGITS), copy(MANY_DIGITS)];
        for (nr, name) in names.iter().enumerate() {
            match files.rename_new(&target.waiting, &ready.waiting, &dir, os(name)) {
                Ok(()) => return Ok(Some(nr > 0)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
            let same = self.has_bytes(&dir, name, &ready.hash);
            match same {
                Ok(true) => {
                    files.unlink(&target.waiting, &ready.waiting)?;
                    return Ok(None);
                }
                Ok(false) | Err(Failed::One(_)) => {}
                Err(Failed::All(e)) => return Err(e),
                Err(Failed::Stopped) => return Err(io::ErrorKind::Interrupted.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Opens the folder of a copy, making it and its parents, with the modes of the backup's.
    fn folder(&self, target: &Target<F::Dir>, ready: &Ready, sync: bool) -> io::Result<F::Dir> {
        let files = &self.account.files;
        let ends = |path: &[u8]| {
            let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
            let mut ends: Vec<usize> = slashes.map(|(at, _)| at).collect();
            ends.push(path.len());
            ends
        };
        if ready.folder.is_empty() || files.open_dir(&target.dir, path(&ready.folder)).is_ok() {
            return files.open_dir(&target.dir, path(&ready.folder));
        }
        // A mapped path has as many parts as the real one, behind the collection's own.
        let stored = ends(&ready.stored_folder);
        for (to, from) in ends(&ready.folder)
            .into_iter()
            .zip(stored.into_iter().skip(1))
        {
            let source = files.open_dir(&self.source, path(&ready.stored_folder[..from]))?;
            let mode = files.stat_dir(&source)?.mode & CARRIED_MODE | durable::FOLDER_MODE;
            durable::ensure_dir_with(files, &target.dir, path(&ready.folder[..to]), mode, sync)?;
        }
        durable::ensure_dir(files, &target.dir, path(&ready.folder), sync)
    }

    /// What the names of waiting copies begin with; a sync sweeps such names up as well.
    fn prefix(&self) -> String {
        format!("new-{}-restore-", self.account.spec.id)
    }

    /// Removes copies that found no place: of a life before, or after an error.
    fn sweep(&self) -> Result<()> {
        let files = &self.account.files;
        for target in &self.targets {
            let fail = |e| Error::io("tidy up in", &target.path, e);
            for entry in files.list(&target.waiting).map_err(fail)? {
                if entry.name.as_bytes().starts_with(self.prefix().as_bytes()) {
                    durable::remove_if_there(files, &target.waiting, &entry.name).map_err(fail)?;
                }
            }
        }
        Ok(())
    }

    fn shown(&self, ready: &Ready) -> Vec<u8> {
        let root = self.targets[ready.target].path.as_os_str().as_bytes();
        join(root, &join(&ready.folder, &ready.name))
    }

    fn problem(&mut self, stored: &[u8], FileTrouble(why): &FileTrouble) {
        let shown = join(self.from.as_os_str().as_bytes(), stored);
        self.problems.add(shown, why);
    }

    fn fail(&self, stored: &[u8], e: io::Error) -> Error {
        Error::io("restore", &self.from.join(path(stored)), e)
    }
}
