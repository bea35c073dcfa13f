//! A person (or a program of theirs) at a device, who makes, changes, moves and deletes files all the
//! while. Each thing is told to the ledger together with the bytes it really met: a file is moved
//! away before it counts as deleted, and swapped before it counts as overwritten.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::chance::Chance;
use crate::ledger::{Fate, Ledger};

/// The pause between two things a person does, at most, in milliseconds.
const PAUSE_MS: u64 = 60;
/// From this many files on, a person rather deletes than makes.
const MANY: usize = 150;
/// The collections' folders.
pub const FOLDERS: [&str; 4] = ["Photos", "Videos", "Documents", "Contacts"];
/// Names that trouble programs.
const NAMES: [&[u8]; 11] = [
    b"plain.jpg",
    b"two words.txt",
    b".hidden",
    "\u{e9}t\u{e9}.png".as_bytes(),
    "e\u{301}.png".as_bytes(),
    b"-rf",
    b"new\nline.txt",
    b"\xff\xfe.bin",
    b"quote'\"`$(x).md",
    b"back\\slash",
    b"card.vcf",
];

/// A person at work, until stopped.
#[derive(Debug)]
pub struct Person {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// Where a person works.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The folder that has the collections' folders in it.
    pub root: PathBuf,
    /// A folder outside, on the same disk, for what is being deleted.
    pub bin: PathBuf,
    /// A name for histories.
    pub name: String,
}

impl Desk {
    /// A path below the folder of the collections.
    fn below<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

impl Person {
    /// Lets a person work. The ledger is held while something is done: who holds it sees no half.
    pub fn start(desk: Desk, ledger: Arc<Mutex<Ledger>>, mut chance: Chance) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                {
                    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
                    // The daemon may move what we aim at at any moment: then nothing is done.
                    let _ = act(&desk, &mut ledger, &mut chance);
                }
                thread::sleep(Duration::from_millis(chance.below(PAUSE_MS)));
            }
        });
        Self {
            thread: Some(thread),
            stop,
        }
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A person that panicked is told by the thread itself.
            let _ = thread.join();
        }
    }
}

/// Does one thing.
///
/// # Errors
/// When something is not there any more, or is in the way.
pub fn act(desk: &Desk, ledger: &mut Ledger, chance: &mut Chance) -> io::Result<()> {
    let (files, folders) = look(&desk.root);
    let kind = if files.len() > MANY {
        6
    } else {
        chance.below(14)
    };
    let Some(folder) = chance.pick(&folders) else {
        return Ok(());
    };
    let file = chance.pick(&files);
    match (kind, file) {
        (0..=2, _) | (_, None) => create(desk, ledger, chance, folder),
        (3, Some(file)) => in_place(desk, ledger, chance, file),
        (4 | 5, Some(file)) => swap(desk, ledger, chance, file),
        (6 | 7, Some(file)) => delete(desk, ledger, file),
        (8, Some(file)) => rename(desk, ledger, chance, file, folder),
        (9, _) => fs::create_dir(folder.join(folder_name(chance))),
        (10, Some(file)) => fs::set_permissions(file, mode(chance)),
        (11, _) => move_folder(desk, ledger, chance, &folders),
        (12, Some(file)) => append(desk, ledger, chance, file),
        _ => File::open(folder)?.set_modified(std::time::SystemTime::now()),
    }
}

fn mode(chance: &mut Chance) -> fs::Permissions {
    let modes = [0o600, 0o644, 0o640, 0o755];
    fs::Permissions::from_mode(chance.pick(&modes).copied().unwrap_or(0o600))
}

/// Files and folders of the collections that a person would see.
fn look(root: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut folders: Vec<_> = FOLDERS.iter().map(|name| root.join(name)).collect();
    folders.retain(|folder| folder.is_dir());
    let (mut files, mut at) = (Vec::new(), 0);
    while let Some(folder) = folders.get(at).cloned() {
        at += 1;
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let ours = entry.file_name().as_bytes().starts_with(b".mooring");
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !ours => folders.push(entry.path()),
                Ok(kind) if kind.is_file() && !ours => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort_unstable();
    (files, folders)
}

fn name(chance: &mut Chance) -> OsString {
    let number = chance.below(100_000);
    let odd = chance.pick(&NAMES).copied().unwrap_or(b"x");
    let mut name = if chance.once_in(3) {
        format!("{number}-").into_bytes()
    } else {
        Vec::new()
    };
    name.extend_from_slice(odd);
    OsString::from_vec(name)
}

/// A folder is never called as a file: a name that is one here and the other there waits for a
/// person, and nothing would ever come to rest.
fn folder_name(chance: &mut Chance) -> OsString {
    let mut folder = OsString::from("f ");
    folder.push(name(chance));
    folder
}

/// Bytes that were never written before.
fn bytes(chance: &mut Chance) -> Vec<u8> {
    let len = match chance.below(40) {
        0 => 2_000_000,
        1..=6 => 60_000,
        _ => 900,
    };
    let len = 16 + chance.below(len);
    chance.bytes(usize::try_from(len).unwrap_or(16))
}

fn create(desk: &Desk, ledger: &mut Ledger, chance: &mut Chance, folder: &Path) -> io::Result<()> {
    let (path, bytes) = (folder.join(name(chance)), bytes(chance));
    let mut file = File::create_new(&path)?;
    ledger.takes_place(desk.below(&path));
    ledger.writes(blake3::hash(&bytes), &format!("{} makes", desk.name), &path);
    file.write_all(&bytes)
}

/// Writes into the very file, as databases and editors of old do.
fn in_place(desk: &Desk, ledger: &mut Ledger, chance: &mut Chance, path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut old = Vec::new();
    file.read_to_end(&mut old)?;
    let new = bytes(chance);
    ledger.writes(
        blake3::hash(&new),
        &format!("{} writes into", desk.name),
        path,
    );
    let how = format!("{} writes over it in", desk.name);
    ledger.does(blake3::hash(&old), Fate::Overwritten, &how, path);
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&new)
}

fn append(desk: &Desk, ledger: &mut Ledger, chance: &mut Chance, path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let mut all = Vec::new();
    file.read_to_end(&mut all)?;
    let old = blake3::hash(&all);
    let more = chance.bytes(64);
    all.extend_from_slice(&more);
    ledger.writes(
        blake3::hash(&all),
        &format!("{} appends to", desk.name),
        path,
    );
    let how = format!("{} appends to it in", desk.name);
    ledger.does(old, Fate::Overwritten, &how, path);
    file.write_all(&more)
}

/// Puts a new file in the place of an old one, as careful editors do. It is swapped, so that the old
/// one is met for sure.
fn swap(desk: &Desk, ledger: &mut Ledger, chance: &mut Chance, path: &Path) -> io::Result<()> {
    let new = bytes(chance);
    let beside = desk.bin.join("new");
    fs::write(&beside, &new)?;
    ledger.writes(blake3::hash(&new), &format!("{} saves", desk.name), path);
    let swapped = renameat2(
        AT_FDCWD,
        &beside,
        AT_FDCWD,
        path,
        RenameFlags::RENAME_EXCHANGE,
    );
    let old = blake3::hash(&fs::read(&beside)?);
    let how = match swapped {
        Ok(()) => "saves over it in",
        // The file went away: then nobody ever wanted the new one.
        Err(_) => "gives up saving",
    };
    let how = format!("{} {how}", desk.name);
    ledger.does(old, Fate::Overwritten, &how, path);
    fs::remove_file(&beside)?;
    Ok(swapped?)
}

fn delete(desk: &Desk, ledger: &mut Ledger, path: &Path) -> io::Result<()> {
    let away = desk.bin.join("deleted");
    fs::rename(path, &away)?;
    let hash = blake3::hash(&fs::read(&away)?);
    let how = format!("{} deletes", desk.name);
    ledger.deletes(hash, &how, desk.below(path));
    fs::remove_file(away)
}

fn rename(
    desk: &Desk,
    ledger: &mut Ledger,
    chance: &mut Chance,
    path: &Path,
    folder: &Path,
) -> io::Result<()> {
    let to = folder.join(name(chance));
    no_replace(path, &to)?;
    ledger.takes_place(desk.below(&to));
    let hash = blake3::hash(&fs::read(&to)?);
    let how = format!("{} moves {} to", desk.name, path.display());
    ledger.does(hash, Fate::Wanted, &how, &to);
    Ok(())
}

fn move_folder(
    desk: &Desk,
    ledger: &mut Ledger,
    chance: &mut Chance,
    folders: &[PathBuf],
) -> io::Result<()> {
    let own = |path: &Path| path.parent() == Some(desk.root.as_path());
    let (Some(from), Some(to)) = (chance.pick(folders), chance.pick(folders)) else {
        return Ok(());
    };
    if own(from) || to.starts_with(from) {
        return Ok(());
    }
    let to = to.join(folder_name(chance));
    no_replace(from, &to)?;
    ledger.takes_place(desk.below(&to));
    Ok(())
}

fn no_replace(from: &Path, to: &Path) -> io::Result<()> {
    let flags = RenameFlags::RENAME_NOREPLACE;
    Ok(renameat2(AT_FDCWD, from, AT_FDCWD, to, flags)?)
}

/// Whether a name is one of Mooring's own in a collection.
pub fn is_mooring(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".mooring")
}
