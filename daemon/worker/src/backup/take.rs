//! Taking: every file copied into the partial backup, which is then durable and read back.

use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_core::receipt::timestamp;
use mooring_wire::{BackupReport, Counts};

use super::about::{ABOUT, About, Entry, report};
use super::copy::{Copied, Copier, Load, about_the_target};
use super::measure::list;
use super::read_back;
use super::roots::Root;
use crate::account::Account;
use crate::durable::{self, FOLDER_MODE};
use crate::error::{Error, FileTrouble, Result};
use crate::files::{Files, Kind, seconds};
use crate::hash::{CARRIED_MODE, Failed, Source};
use crate::place::{is_own, path};
use crate::state::join;
use crate::sums::{self, Line, NAMES, SUMS, stored_name};

/// How often a file that changes while it is read is tried in all.
const TRIES: u32 = 3;
/// Small files of a folder copied between two looks at whether to stop.
const BATCH: usize = 256;

/// What is known before the first file is taken.
pub(super) struct Plan {
    /// Whether everything can be made durable at once.
    pub(super) known_good: bool,
    /// What there is to take.
    pub(super) total: Counts,
    /// What a person should know about the backup.
    pub(super) remarks: Vec<String>,
}

struct Taking<'a, F: Files> {
    account: &'a Account<F>,
    roots: &'a [Root<F::Dir>],
    copier: Copier<'a, F>,
    shown: &'a Path,
    list: BufWriter<F::File>,
    names: String,
    not_backed_up: Vec<Entry>,
    left_out: Vec<Entry>,
    made: Vec<Vec<u8>>,
    done: Counts,
    total: Counts,
}

/// Writes the partial backup, durable and read back.
pub(super) fn take<F: Files>(
    account: &Account<F>,
    target: &F::Dir,
    partial: &str,
    roots: &[Root<F::Dir>],
    plan: Plan,
    shown: &Path,
) -> Result<BackupReport> {
    let files = &account.files;
    let fail = |e| Error::io("write the backup", shown, e);
    let name = OsStr::new(partial);
    files.make_dir(target, name, FOLDER_MODE).map_err(fail)?;
    let dir = files.open_dir(target, Path::new(name)).map_err(fail)?;
    let list = files.create(&dir, OsStr::new(SUMS)).map_err(fail)?;
    let mut taking = Taking {
        account,
        roots,
        copier: Copier {
            account,
            roots,
            partial: dir.clone(),
            sync: !plan.known_good,
        },
        shown,
        list: BufWriter::new(list),
        names: String::new(),
        not_backed_up: Vec::new(),
        left_out: Vec::new(),
        made: vec![Vec::new()],
        done: Counts::default(),
        total: plan.total,
    };
    let mut again = Vec::new();
    for nr in 0..roots.len() {
        taking.root(nr, &mut again)?;
    }
    for last in (1..TRIES).map(|nr| nr + 1 == TRIES) {
        for load in mem::take(&mut again) {
            taking.files(vec![load], last, &mut again)?;
        }
    }
    let about = taking.finish(plan.remarks)?;
    if plan.known_good {
        files.sync_all(&dir).map_err(fail)?;
    }
    // What is durable is read from the disk itself, the list of hashes included.
    let from = Source::Storage {
        sync: !plan.known_good,
    };
    let counts = read_back(account, (&dir, shown), from)?;
    Ok(report(shown, counts, &about))
}

impl<F: Files> Taking<'_, F> {
    fn fail(&self, e: io::Error) -> Error {
        Error::io("write the backup", self.shown, e)
    }

    /// Takes everything below a root. Files that change right now are left for later.
    fn root(&mut self, nr: usize, again: &mut Vec<Load>) -> Result<()> {
        let root = &self.roots[nr];
        let top = root.collection.folder().as_bytes().to_vec();
        let mut folders = vec![(Vec::new(), top)];
        while let Some((folder, to_folder)) = folders.pop() {
            self.account.check_stop()?;
            let entries = match list(self.account, root, &folder)? {
                Ok(entries) => entries,
                Err(FileTrouble(why)) => {
                    let shown = join(root.path.as_os_str().as_bytes(), &folder);
                    self.not_backed_up.push(Entry::new(&shown, &why));
                    continue;
                }
            };
            if let Some(FileTrouble(why)) = self.folder(nr, &folder, &to_folder)? {
                let shown = join(root.path.as_os_str().as_bytes(), &folder);
                self.not_backed_up.push(Entry::new(&shown, &why));
                continue;
            }
            let mut loads = Vec::new();
            for entry in entries {
                let name = entry.name.as_bytes();
                let shown = join(root.path.as_os_str().as_bytes(), &join(&folder, name));
                match entry.stat.kind {
                    _ if is_own(&folder, name) => {}
                    Kind::Dir => {
                        folders.push((join(&folder, name), join(&to_folder, &stored_name(name))));
                    }
                    Kind::Symlink => self.left_out.push(Entry::new(&shown, "symbolic link")),
                    Kind::Special => {
                        let why = "no regular file (socket, FIFO or device)";
                        self.left_out.push(Entry::new(&shown, why));
                    }
                    Kind::File => {
                        loads.push(Load {
                            size: entry.stat.size,
                            root: nr,
                            folder: folder.clone(),
                            name: name.to_vec(),
                            to_folder: to_folder.clone(),
                        });
                    }
                }
            }
            self.files(loads, false, again)?;
        }
        Ok(())
    }

    /// Makes a folder; or answers why the disk takes none of that name.
    fn folder(&mut self, root: usize, folder: &[u8], to: &[u8]) -> Result<Option<FileTrouble>> {
        let files = &self.account.files;
        let mode = files
            .open_dir(&self.roots[root].dir, path(folder))
            .and_then(|dir| files.stat_dir(&dir))
            .map_or(FOLDER_MODE, |stat| stat.mode & CARRIED_MODE | FOLDER_MODE);
        if let Err(e) = durable::ensure_dir_with(files, &self.copier.partial, path(to), mode, false)
        {
            return about_the_target(&e).map(Some).ok_or_else(|| self.fail(e));
        }
        self.made.push(to.to_vec());
        let real = join(self.roots[root].collection.folder().as_bytes(), folder);
        if !folder.is_empty() && real != to {
            self.names.push_str(&sums::name_line(to, &real));
        }
        Ok(None)
    }

    /// Takes files of one folder. Those that change meanwhile go to `again`, or are named when this
    /// was the `last` try.
    fn files(&mut self, loads: Vec<Load>, last: bool, again: &mut Vec<Load>) -> Result<()> {
        let is_large = |load: &Load| self.copier.is_large(load);
        let (large, mut small): (Vec<_>, Vec<_>) = loads.into_iter().partition(is_large);
        while !small.is_empty() {
            self.account.check_stop()?;
            let rest = small.split_off(small.len().min(BATCH));
            let copied = self.copier.copy_small(&small);
            for (load, copied) in mem::replace(&mut small, rest).into_iter().zip(copied) {
                self.settle(load, copied, last, again)?;
            }
        }
        for load in large {
            let copied = self.copier.copy_large(&load, |bytes| self.tell(bytes));
            self.settle(load, copied, last, again)?;
        }
        Ok(())
    }

    /// Writes down what became of a file.
    fn settle(
        &mut self,
        load: Load,
        copied: Copied,
        last: bool,
        again: &mut Vec<Load>,
    ) -> Result<()> {
        let root = &self.roots[load.root];
        match copied {
            Ok((hash, size)) => {
                let to = join(&load.to_folder, &stored_name(&load.name));
                let real = join(&load.folder, &load.name);
                let real = join(root.collection.folder().as_bytes(), &real);
                if real != to {
                    self.names.push_str(&sums::name_line(&to, &real));
                }
                let text = Line { hash, path: to }.text();
                self.list.write_all(&text).map_err(|e| self.fail(e))?;
                self.done.files += 1;
                self.done.bytes += size;
                self.tell(0);
            }
            Err(Failed::One(_)) if !last => again.push(load),
            Err(Failed::One(FileTrouble(why))) => {
                let shown = join(&load.folder, &load.name);
                let shown = join(root.path.as_os_str().as_bytes(), &shown);
                self.not_backed_up.push(Entry::new(&shown, &why));
            }
            Err(Failed::Stopped) => return Err(Error::Cancelled),
            Err(Failed::All(e)) => return Err(self.fail(e)),
        }
        Ok(())
    }

    /// Tells how far it is, with so many bytes of the file at hand.
    fn tell(&self, bytes: u64) {
        let (done, total) = (self.done, self.total);
        let done = (done.files, done.bytes.saturating_add(bytes));
        self.account
            .tell("backing up", done, (total.files, total.bytes));
    }

    /// Writes the backup's own files, and makes durable what is not made so all at once.
    fn finish(mut self, remarks: Vec<String>) -> Result<About> {
        let about = About {
            version: 1,
            identity: self.account.spec.identity.clone(),
            device: self.account.spec.device.clone(),
            sign_in_id: self.account.spec.sign_in_id.clone(),
            taken_at: timestamp(seconds(self.account.files.now())),
            complete: self.not_backed_up.is_empty(),
            remarks,
            not_backed_up: mem::take(&mut self.not_backed_up),
            left_out: mem::take(&mut self.left_out),
        };
        let text = toml::to_string(&about).map_err(|e| self.fail(io::Error::other(e)))?;
        let names = mem::take(&mut self.names);
        self.own_file(ABOUT, text.as_bytes())?;
        if !names.is_empty() {
            self.own_file(NAMES, names.as_bytes())?;
        }
        let files = &self.account.files;
        let finished = self.list.flush().and_then(|()| {
            files.sync_file(self.list.get_ref())?;
            for folder in self.made.iter().filter(|_| self.copier.sync) {
                files.sync_dir(&files.open_dir(&self.copier.partial, path(folder))?)?;
            }
            Ok(())
        });
        finished.map_err(|e| self.fail(e))?;
        Ok(about)
    }

    fn own_file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let files = &self.account.files;
        let written = durable::create(files, &self.copier.partial, name, bytes).and_then(|()| {
            let hash = blake3::hash(bytes).into();
            let path = name.as_bytes().to_vec();
            self.list.write_all(&Line { hash, path }.text())
        });
        written.map_err(|e| self.fail(e))
    }
}
