//! Backups: everything that an account has on this device, as plain files in a dated folder.
//!
//! A folder under its final name is always whole: it is written beside (`.partial-…`), made
//! durable, read back file by file, and only then renamed. What could not be taken is named in the
//! report and in the backup's own `BACKUP.toml`.

use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::{readable, timestamp, unreadable};
use mooring_wire::{BackupReport, Counts};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::durable::{self, FOLDER_MODE};
use crate::error::{Error, FileTrouble, Result, about_one_file};
use crate::files::{Abilities, Files, Kind};
use crate::hash::{self, CARRIED_MODE, Failed, Source};
use crate::place::{self, is_own, os, path};
use crate::signin;
use crate::state::{join, split};
use crate::sums::{self, Line, NAMES, SUMS, stored_name};
use crate::trouble::Named;

/// What a backup says about itself.
pub const ABOUT: &str = "BACKUP.toml";
/// The longest `BACKUP.toml` that is read, in bytes.
const MAX_ABOUT: u64 = 64 * 1024 * 1024;
/// How often a file that changes while it is read is tried in all.
const TRIES: u32 = 3;
/// What a file takes beyond its bytes, when the space is reckoned up.
const OVERHEAD: u64 = 4096;

/// What a backup says about itself, for people and for the next attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    version: u32,
    identity: String,
    device: String,
    sign_in_id: String,
    /// When it was taken, RFC 3339.
    pub taken_at: String,
    /// What could not be taken.
    #[serde(default)]
    not_backed_up: Vec<Entry>,
    /// What is never taken: links, sockets and the like.
    #[serde(default)]
    left_out: Vec<Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    path: String,
    reason: String,
}

impl Entry {
    fn new(path: &[u8], reason: &str) -> Self {
        Self {
            path: readable(path),
            reason: reason.to_owned(),
        }
    }
}

/// A local root, opened, with its marker in it.
pub struct Root<D> {
    /// Of this collection.
    pub collection: Collection,
    /// The folder.
    pub dir: D,
    /// Its path.
    pub path: PathBuf,
}

/// Opens the local roots; the storage need not be there.
///
/// # Errors
/// [`Error::HomeGone`] when one is not there, or is somebody else's.
pub fn open_roots<F: Files>(account: &Account<F>) -> Result<Vec<Root<F::Dir>>> {
    let open = |(collection, path): &(Collection, PathBuf)| {
        let gone = |why: String| {
            let shown = readable(path.as_os_str().as_bytes());
            Error::HomeGone(format!("{shown} {why}; nothing was changed"))
        };
        let dir = account.files.open_root(path);
        let dir = dir.map_err(|e| gone(format!("cannot be opened ({e})")))?;
        let marker = place::read_marker(&account.files, &dir)
            .map_err(|e| gone(format!("has a marker that cannot be read ({e})")))?;
        if marker != Some(account.spec.marker(*collection, true)) {
            return Err(gone("does not have this account's marker".to_owned()));
        }
        Ok(Root {
            collection: *collection,
            dir,
            path: path.clone(),
        })
    };
    account.spec.collections.iter().map(open).collect()
}

/// Opens a folder that a person named, which must have nothing to do with the account's own.
///
/// # Errors
/// [`Error::Refused`] when it is not there, or inside or around a root or the storage.
pub fn open_apart<F: Files>(account: &Account<F>, what: &str, at: &Path) -> Result<F::Dir> {
    let dir = account.files.open_root(at).map_err(|e| {
        Error::Refused(format!(
            "{what}, {}, cannot be opened ({e}): plug in its disk, or make the folder",
            readable(at.as_os_str().as_bytes())
        ))
    })?;
    let mut others = vec![("the storage".to_owned(), account.spec.storage.as_path())];
    for (collection, root) in &account.spec.collections {
        others.push((format!("the folder for {collection}"), root));
    }
    signin::check_apart(&account.files, (what, at), &others)?;
    Ok(dir)
}

/// Takes a backup into the folder `name` of `to`. Taken up again after a death, it begins anew,
/// unless the folder is there already: then it is checked, and that is all.
///
/// # Errors
/// [`Error::Refused`] for a folder that must not be, [`Error::NoSpace`] before anything is
/// written; what stops the whole. A backup that failed leaves nothing under its name.
pub fn backup<F: Files>(account: &Account<F>, to: &Path, name: &str) -> Result<BackupReport> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(Error::Refused(format!("{name:?} is no name of a backup")));
    }
    let target = open_apart(account, "the folder for backups", to)?;
    let files = &account.files;
    let shown = to.join(name);
    let fail = |e| Error::io("write the backup", &shown, e);
    remove_partials(account, &target).map_err(fail)?;
    match files.open_dir(&target, Path::new(name)) {
        Ok(done) => return taken_before(account, &done, &shown),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(fail(e)),
    }
    let roots = open_roots(account)?;
    let there = files.abilities(&target).map_err(fail)?;
    let total = measure(account, &roots)?;
    let needed = total.bytes.saturating_add(total.files * OVERHEAD);
    if needed > there.free {
        return Err(Error::NoSpace(format!(
            "the backup needs {needed} bytes, and {} has {} bytes free",
            readable(to.as_os_str().as_bytes()),
            there.free
        )));
    }
    let partial = format!("{}{name}", partial_prefix(account));
    let taken = take(account, &target, &partial, &roots, (&there, total), &shown);
    let installed = taken.and_then(|report| {
        let (from, to) = (OsStr::new(&partial), OsStr::new(name));
        files
            .rename_new(&target, from, &target, to)
            .and_then(|()| files.sync_dir(&target))
            .map_err(fail)?;
        Ok(report)
    });
    if installed.is_err() {
        // The first error is the one to tell; the next backup tries to remove it once more.
        let _ = remove_partials(account, &target);
    }
    installed
}

/// What the names of this account's unfinished backups begin with. Only the holder of the
/// account's lock writes them.
fn partial_prefix<F: Files>(account: &Account<F>) -> String {
    format!(".partial-{}-", account.spec.id)
}

fn remove_partials<F: Files>(account: &Account<F>, target: &F::Dir) -> io::Result<()> {
    let prefix = partial_prefix(account);
    for entry in account.files.list(target)? {
        let ours = entry.name.as_bytes().starts_with(prefix.as_bytes());
        if ours && entry.stat.kind == Kind::Dir {
            remove_tree(&account.files, target, &entry.name)?;
        }
    }
    Ok(())
}

/// Removes a folder and everything below it.
fn remove_tree<F: Files>(files: &F, at: &F::Dir, name: &OsStr) -> io::Result<()> {
    let top = files.open_dir(at, Path::new(name))?;
    let mut folders = vec![Vec::new()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let dir = files.open_dir(&top, path(&folder))?;
        for entry in files.list(&dir)? {
            if entry.stat.kind == Kind::Dir {
                folders.push(join(&folder, entry.name.as_bytes()));
            } else {
                files.unlink(&dir, &entry.name)?;
            }
        }
    }
    for folder in folders.iter().skip(1).rev() {
        let (parent, name) = split(folder);
        files.remove_dir(&files.open_dir(&top, path(parent))?, os(name))?;
    }
    files.remove_dir(at, name)
}

/// A backup of this name is there: it is ours, of a life that did not live to tell, or it is not.
fn taken_before<F: Files>(
    account: &Account<F>,
    done: &F::Dir,
    shown: &Path,
) -> Result<BackupReport> {
    let refused = |why: &str| {
        let shown = readable(shown.as_os_str().as_bytes());
        Error::Refused(format!("{shown} is there already and {why}"))
    };
    let about = about(account, done, shown)?.ok_or_else(|| refused("is no backup of Mooring's"))?;
    if about.sign_in_id != account.spec.sign_in_id {
        return Err(refused("is a backup of another sign-in"));
    }
    let files = read_back(account, (done, shown), Source::Storage { sync: true })?;
    Ok(report(shown, files, &about))
}

/// What a backup says about itself, if it does.
///
/// # Errors
/// When it cannot be read.
pub fn about<F: Files>(
    account: &Account<F>,
    backup: &F::Dir,
    shown: &Path,
) -> Result<Option<About>> {
    let bytes = durable::read(&account.files, backup, ABOUT, MAX_ABOUT)
        .map_err(|e| Error::io("read", &shown.join(ABOUT), e))?;
    Ok(bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| toml::from_str(&text).ok()))
}

fn report(shown: &Path, files: Counts, about: &About) -> BackupReport {
    let mut missing = Named::default();
    for Entry { path, reason } in &about.not_backed_up {
        let bytes = unreadable(path).unwrap_or_else(|| path.as_bytes().to_vec());
        missing.add(bytes, reason);
    }
    BackupReport {
        path: shown.as_os_str().as_bytes().to_vec(),
        files,
        left_out: about.left_out.len() as u64,
        missing: missing.some,
        missing_total: missing.total,
    }
}

/// Reads every file of a backup from its disk and holds it to the list.
fn read_back<F: Files>(
    account: &Account<F>,
    (backup, shown): (&F::Dir, &Path),
    from: Source,
) -> Result<Counts> {
    let mut counts = Counts::default();
    sums::check(
        account,
        (backup, shown),
        from,
        |_| true,
        |line, size| {
            match size {
                Ok(size) if line.path != NAMES.as_bytes() && line.path != ABOUT.as_bytes() => {
                    counts.files += 1;
                    counts.bytes += size;
                }
                Ok(_) => {}
                Err(FileTrouble(why)) => {
                    let path = shown.join(path(&line.path));
                    let source = io::Error::new(io::ErrorKind::InvalidData, why);
                    return Err(Error::io("read back", &path, source));
                }
            }
            account.tell("reading back", (counts.files, counts.bytes), (0, 0));
            Ok(())
        },
    )?;
    Ok(counts)
}

/// What would be taken now.
fn measure<F: Files>(account: &Account<F>, roots: &[Root<F::Dir>]) -> Result<Counts> {
    let mut total = Counts::default();
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
                    }
                    Kind::Symlink | Kind::Special => {}
                }
            }
        }
    }
    Ok(total)
}

/// The entries of a folder, ordered; or why this folder cannot be listed.
fn list<F: Files>(
    account: &Account<F>,
    root: &Root<F::Dir>,
    folder: &[u8],
) -> Result<std::result::Result<Vec<crate::files::Entry>, FileTrouble>> {
    let files = &account.files;
    let listed = files
        .open_dir(&root.dir, path(folder))
        .and_then(|dir| files.list(&dir));
    match listed {
        Ok(mut entries) => {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(Ok(entries))
        }
        Err(e) => match about_one_file(&e).filter(|_| !folder.is_empty()) {
            Some(why) => Ok(Err(why)),
            None => Err(Error::io("list", &root.path.join(path(folder)), e)),
        },
    }
}

/// A file to be taken: where it is, and where it goes.
struct Load {
    root: usize,
    folder: Vec<u8>,
    name: Vec<u8>,
    to_folder: Vec<u8>,
}

struct Taking<'a, F: Files> {
    account: &'a Account<F>,
    roots: &'a [Root<F::Dir>],
    partial: F::Dir,
    shown: &'a Path,
    /// Whether each file has to be made durable by itself.
    sync: bool,
    list: BufWriter<F::File>,
    names: String,
    not_backed_up: Vec<Entry>,
    left_out: Vec<Entry>,
    made: Vec<Vec<u8>>,
    done: Counts,
    total: Counts,
}

/// Writes the partial backup, durable and read back.
fn take<F: Files>(
    account: &Account<F>,
    target: &F::Dir,
    partial: &str,
    roots: &[Root<F::Dir>],
    (there, total): (&Abilities, Counts),
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
        partial: dir.clone(),
        shown,
        sync: !there.known_good,
        list: BufWriter::new(list),
        names: String::new(),
        not_backed_up: Vec::new(),
        left_out: Vec::new(),
        made: vec![Vec::new()],
        done: Counts::default(),
        total,
    };
    let mut again = Vec::new();
    for nr in 0..roots.len() {
        taking.root(nr, &mut again)?;
    }
    for last in (1..TRIES).map(|nr| nr + 1 == TRIES) {
        for load in mem::take(&mut again) {
            taking.file(load, last, &mut again)?;
        }
    }
    let about = taking.finish()?;
    if there.known_good {
        files.sync_all(&dir).map_err(fail)?;
    }
    // What is durable is read from the disk itself, the list of hashes included.
    let from = Source::Storage {
        sync: !there.known_good,
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
            self.folder(nr, &folder, &to_folder)?;
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
                        let load = Load {
                            root: nr,
                            folder: folder.clone(),
                            name: name.to_vec(),
                            to_folder: to_folder.clone(),
                        };
                        self.file(load, false, again)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn folder(&mut self, root: usize, folder: &[u8], to: &[u8]) -> Result<()> {
        let files = &self.account.files;
        let mode = files
            .open_dir(&self.roots[root].dir, path(folder))
            .and_then(|dir| files.stat_dir(&dir))
            .map_or(FOLDER_MODE, |stat| stat.mode & CARRIED_MODE | FOLDER_MODE);
        durable::ensure_dir_with(files, &self.partial, path(to), mode, false)
            .map_err(|e| self.fail(e))?;
        self.made.push(to.to_vec());
        let real = join(self.roots[root].collection.folder().as_bytes(), folder);
        if !folder.is_empty() && real != to {
            self.names.push_str(&sums::name_line(to, &real));
        }
        Ok(())
    }

    /// Takes one file; one that changes meanwhile goes to `again`, or is named when this was the
    /// `last` try.
    fn file(&mut self, load: Load, last: bool, again: &mut Vec<Load>) -> Result<()> {
        let root = &self.roots[load.root];
        let stored = stored_name(&load.name);
        match self.copy(&load, &stored) {
            Ok((hash, size)) => {
                let to = join(&load.to_folder, &stored);
                let real = join(&load.folder, &load.name);
                let real = join(root.collection.folder().as_bytes(), &real);
                if real != to {
                    self.names.push_str(&sums::name_line(&to, &real));
                }
                let text = Line { hash, path: to }.text();
                self.list.write_all(&text).map_err(|e| self.fail(e))?;
                self.done.files += 1;
                self.done.bytes += size;
                let (done, total) = (self.done, self.total);
                let (done, total) = ((done.files, done.bytes), (total.files, total.bytes));
                self.account.tell("backing up", done, total);
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

    fn copy(
        &self,
        load: &Load,
        stored: &[u8],
    ) -> std::result::Result<(mooring_core::sync::Hash, u64), Failed> {
        let files = &self.account.files;
        let from = files.open_dir(&self.roots[load.root].dir, path(&load.folder))?;
        let to = files
            .open_dir(&self.partial, path(&load.to_folder))
            .map_err(Failed::All)?;
        let from = (&from, os(&load.name));
        let (reading, _) = hash::copy(
            files,
            from,
            (&to, os(stored)),
            self.sync,
            &self.account.stop,
        )?;
        Ok((reading.hash, reading.stat.size))
    }

    /// Writes the backup's own files, and makes durable what is not made so all at once.
    fn finish(mut self) -> Result<About> {
        let about = About {
            version: 1,
            identity: self.account.spec.identity.clone(),
            device: self.account.spec.device.clone(),
            sign_in_id: self.account.spec.sign_in_id.clone(),
            taken_at: timestamp(
                u64::try_from(self.account.files.now() / 1_000_000_000).unwrap_or(0),
            ),
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
            for folder in self.made.iter().filter(|_| self.sync) {
                files.sync_dir(&files.open_dir(&self.partial, path(folder))?)?;
            }
            Ok(())
        });
        finished.map_err(|e| self.fail(e))?;
        Ok(about)
    }

    fn own_file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let files = &self.account.files;
        let written = durable::create(files, &self.partial, name, bytes).and_then(|()| {
            let hash = blake3::hash(bytes).into();
            let path = name.as_bytes().to_vec();
            self.list.write_all(&Line { hash, path }.text())
        });
        written.map_err(|e| self.fail(e))
    }
}
