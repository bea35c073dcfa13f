//! Bringing files back from a backup: checked against its list first, and never over anything.
//!
//! A file that is there with the same bytes is passed over; beside one with other bytes the file
//! from the backup gets a conflict copy's name, made from the day of the backup, so that a second
//! try finds it. Damaged files are named and stay where they are.

mod install;
mod target;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_core::receipt::readable;
use mooring_core::sync::Hash;
use mooring_wire::RestoreReport;

use crate::account::Account;
use crate::backup::{self, ABOUT};
use crate::beside::{self, Waits};
use crate::durable;
use crate::error::{Error, FileTrouble, Result};
use crate::files::Files;
use crate::hash::{self, Failed, Source};
use crate::large;
use crate::place::{is_own, os, path};
use crate::staging;
use crate::state::{Epoch, join, split};
use crate::sums::{self, Line, NAMES, SUMS};
use crate::trouble::Named;

use install::Ready;
use target::{Target, below, own, remove_waiting};

/// Files copied between two syncs of the filesystem.
const BATCH: usize = 256;
/// The most damaged files of a backup that are passed over; their names are kept in memory.
const MAX_DAMAGED: usize = 64 * 1024;
/// The longest `NAMES` that is read, in bytes.
const MAX_NAMES: u64 = 64 * 1024 * 1024;

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
    match files.stat(&source, SUMS.as_ref()) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(no_backup("is no backup: it has no B3SUMS"));
        }
        Err(e) => return Err(Error::io("look at", &from.join(SUMS), e)),
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
    let Restoring {
        mut report,
        problems,
        targets,
        ..
    } = restoring;
    let tidy = to.map_or(Ok(()), |to| remove_waiting(account, to, &targets));
    done.and(swept).and(tidy)?;
    report.problems = problems.some;
    report.problems_total = problems.total;
    Ok(report)
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
                    if damaged.len() > MAX_DAMAGED {
                        return Err(Error::Refused(format!(
                            "more than {MAX_DAMAGED} files of {} are missing or damaged: restore \
                             from another backup, or a part of it",
                            readable(self.from.as_os_str().as_bytes())
                        )));
                    }
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
        let (from, to) = ((&source, os(stored)), (&there.waiting, waiting.as_os_str()));
        let (sync, stop) = (!there.known_good, &self.account.stop);
        let size = files.stat(from.0, from.1)?.size;
        let (reading, _) = if size < files.large().from {
            hash::copy(files, from, to, sync, stop)?
        } else {
            let carried = Cell::new(0);
            let tell = |more| {
                carried.set(carried.get() + more);
                self.account
                    .tell("restoring", (0, carried.get()), (1, size));
            };
            large::copy(files, from, to, sync, stop, &tell)?
        };
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

    /// What the names of waiting copies begin with; a sync sweeps such names up as well.
    fn prefix(&self) -> String {
        format!("{}restore-", beside::prefix(self.account, Waits::New))
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

    fn problem(&mut self, stored: &[u8], FileTrouble(why): &FileTrouble) {
        let shown = join(self.from.as_os_str().as_bytes(), stored);
        self.problems.add(shown, why);
    }

    fn fail(&self, stored: &[u8], e: io::Error) -> Error {
        Error::io("restore", &self.from.join(path(stored)), e)
    }
}
