//! What a [`Fuse`](crate::fuse::Fuse) loses when the power goes.
//!
//! A file's bytes count once it was synced, a name once its folder was; nothing else makes anything
//! durable, and a rename is one change. What was not made durable survives or not, by a seed: each
//! change of names by itself, but never without the earlier ones about the same name or file; files
//! whole, not at all, or torn. Names that are taken away lie beside in limbo until the end, so that
//! they can come back as the same inodes. The process's own databases lie elsewhere and lose nothing:
//! what is written down there is ahead of the files, which is the worse case.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The unit in which bytes reach a disk.
const PAGE: usize = 4096;

/// One name: the folder's inode, and the name in it.
type Name = (u64, OsString);

/// A change of names that is not durable: what each stands for afterwards.
struct Change(Vec<(Name, Option<u64>)>);

impl Change {
    fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().map(|(name, _)| name)
    }

    fn inodes(&self) -> impl Iterator<Item = u64> {
        self.0.iter().filter_map(|(_, inode)| *inode)
    }
}

/// What of a file is durable.
struct Content {
    file: File,
    bytes: Vec<u8>,
    times: FileTimes,
}

/// What a power cut took.
#[derive(Debug, Default, Clone, Copy)]
pub struct Taken {
    /// Changes of names that are undone.
    pub names: usize,
    /// Files whose bytes are others than they were a moment before.
    pub files: usize,
}

/// What is durable of a tree, and what has been done since.
pub struct Power {
    root: PathBuf,
    limbo: PathBuf,
    /// What each durable name stands for, by folder.
    durable: HashMap<u64, BTreeMap<OsString, u64>>,
    pending: Vec<Change>,
    unsynced: HashMap<u64, Content>,
}

impl Power {
    /// All that is below `root` now is durable. `limbo` is a folder beside it on the same disk.
    pub fn watch(root: &Path, limbo: &Path) -> io::Result<Self> {
        fs::create_dir_all(limbo)?;
        let mut power = Self {
            root: root.to_owned(),
            limbo: limbo.to_owned(),
            durable: HashMap::new(),
            pending: Vec::new(),
            unsynced: HashMap::new(),
        };
        power.take_stock(root)?;
        Ok(power)
    }

    fn take_stock(&mut self, folder: &Path) -> io::Result<()> {
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            names.insert(entry.file_name(), entry.metadata()?.ino());
            if entry.file_type()?.is_dir() {
                self.take_stock(&entry.path())?;
            }
        }
        self.durable.insert(fs::metadata(folder)?.ino(), names);
        Ok(())
    }

    fn name(&self, relative: &Path) -> io::Result<Name> {
        let parent = self.root.join(relative.parent().unwrap_or(Path::new("")));
        let name = relative.file_name().unwrap_or_default().to_owned();
        Ok((fs::metadata(parent)?.ino(), name))
    }

    /// A name was made for something.
    pub fn made(&mut self, relative: &Path) -> io::Result<()> {
        let inode = fs::symlink_metadata(self.root.join(relative))?.ino();
        let name = self.name(relative)?;
        self.pending.push(Change(vec![(name, Some(inode))]));
        Ok(())
    }

    /// Takes a name away; what it stood for lies in limbo.
    pub fn remove(&mut self, relative: &Path) -> io::Result<()> {
        let name = self.name(relative)?;
        self.banish(&self.root.join(relative))?;
        self.pending.push(Change(vec![(name, None)]));
        Ok(())
    }

    /// Before a rename: what is about to be replaced lies in limbo, too.
    pub fn before_rename(&mut self, to: &Path, exchange: bool) -> io::Result<()> {
        let whole = self.root.join(to);
        match fs::symlink_metadata(&whole) {
            Ok(meta) if !exchange && meta.is_file() => {
                let there = self.limbo.join(meta.ino().to_string());
                match fs::hard_link(&whole, there) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// A rename was made.
    pub fn renamed(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut change = Vec::new();
        for relative in [from, to] {
            let now = fs::symlink_metadata(self.root.join(relative));
            change.push((self.name(relative)?, now.ok().map(|meta| meta.ino())));
        }
        self.pending.push(Change(change));
        Ok(())
    }

    /// Before the bytes of a file change.
    pub fn before_write(&mut self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        self.before_write_to(&file)
    }

    /// The same of one that is open for reading and writing.
    pub fn before_write_to(&mut self, file: &File) -> io::Result<()> {
        let file = file.try_clone()?;
        let meta = file.metadata()?;
        if self.unsynced.contains_key(&meta.ino()) {
            return Ok(());
        }
        let mut bytes = vec![0; meta.size() as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let times = FileTimes::new().set_modified(meta.modified()?);
        let content = Content { file, bytes, times };
        self.unsynced.insert(meta.ino(), content);
        Ok(())
    }

    /// A file was synced.
    pub fn synced(&mut self, inode: u64) {
        self.unsynced.remove(&inode);
    }

    /// A folder was synced: its changes of names are durable, and what they build upon.
    pub fn folder_synced(&mut self, inode: u64) {
        let mut wanted: HashSet<Name> = HashSet::new();
        let mut inodes = HashSet::new();
        let mut stay = Vec::new();
        let mut done = Vec::new();
        for change in self.pending.drain(..).rev() {
            let here = change.names().any(|name| name.0 == inode);
            let before = change.names().any(|name| wanted.contains(name))
                || change.inodes().any(|inode| inodes.contains(&inode));
            if here || before {
                wanted.extend(change.names().cloned());
                inodes.extend(change.inodes());
                done.push(change);
            } else {
                stay.push(change);
            }
        }
        stay.reverse();
        self.pending = stay;
        for change in done.into_iter().rev() {
            apply(&mut self.durable, change);
        }
    }

    /// The power is cut, and is back. What survives is chosen by `seed`; with 0 nothing does.
    pub fn cut(mut self, seed: u64) -> io::Result<Taken> {
        let mut dice = Dice(seed);
        let mut taken = Taken::default();
        let (mut names, mut inodes) = (HashSet::new(), HashSet::new());
        for change in std::mem::take(&mut self.pending) {
            let broken = change.names().any(|name| names.contains(name))
                || change.inodes().any(|inode| inodes.contains(&inode));
            if broken || seed == 0 || dice.coin() {
                taken.names += 1;
                names.extend(change.names().cloned());
                inodes.extend(change.inodes());
            } else {
                apply(&mut self.durable, change);
            }
        }
        for content in self.unsynced.values() {
            taken.files += usize::from(content.fall_back(seed, &mut dice)?);
        }
        self.unsynced.clear();
        self.flatten(&self.root.clone())?;
        self.rebuild(&self.root, fs::metadata(&self.root)?.ino())?;
        fs::remove_dir_all(&self.limbo)?;
        Ok(taken)
    }

    fn banish(&self, path: &Path) -> io::Result<()> {
        let there = self
            .limbo
            .join(fs::symlink_metadata(path)?.ino().to_string());
        if there.symlink_metadata().is_ok() {
            // Another name of it is there already.
            return fs::remove_file(path);
        }
        fs::rename(path, there)
    }

    /// Brings everything below a folder into limbo, each by itself.
    fn flatten(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.flatten(&entry.path())?;
            }
            self.banish(&entry.path())?;
        }
        Ok(())
    }

    /// Gives everything the durable names below a folder.
    fn rebuild(&self, folder: &Path, inode: u64) -> io::Result<()> {
        for (name, inode) in self.durable.get(&inode).into_iter().flatten() {
            let (from, to) = (self.limbo.join(inode.to_string()), folder.join(name));
            if from.symlink_metadata()?.is_dir() {
                fs::rename(&from, &to)?;
                self.rebuild(&to, *inode)?;
            } else {
                fs::hard_link(from, to)?;
            }
        }
        Ok(())
    }
}

fn apply(durable: &mut HashMap<u64, BTreeMap<OsString, u64>>, change: Change) {
    for ((folder, name), inode) in change.0 {
        let names = durable.entry(folder).or_default();
        match inode {
            Some(inode) => names.insert(name, inode),
            None => names.remove(OsStr::new(&name)),
        };
    }
}

impl Content {
    /// Puts in place what a power cut leaves; whether that is anything else than there was.
    fn fall_back(&self, seed: u64, dice: &mut Dice) -> io::Result<bool> {
        let mut latest = vec![0; self.file.metadata()?.size() as usize];
        self.file.read_exact_at(&mut latest, 0)?;
        let kind = if seed == 0 { 0 } else { dice.roll() % 4 };
        let left = match kind {
            0 => self.bytes.clone(),
            1 => latest.clone(),
            _ => torn(&self.bytes, &latest, dice),
        };
        if left == latest {
            return Ok(false);
        }
        self.file.set_len(0)?;
        self.file.write_all_at(&left, 0)?;
        // A file that is torn may have its new time all the same.
        if kind == 0 {
            self.file.set_times(self.times)?;
        }
        Ok(true)
    }
}

/// Some pages of the one and some of the other, in the length of one of them; a page that was never
/// written holds zeros.
fn torn(before: &[u8], latest: &[u8], dice: &mut Dice) -> Vec<u8> {
    let size = if dice.coin() {
        before.len()
    } else {
        latest.len()
    };
    let mut left = vec![0; size];
    for at in (0..size).step_by(PAGE) {
        let from = if dice.coin() { before } else { latest };
        let end = size.min(at + PAGE).min(from.len());
        if at < end {
            left[at..end].copy_from_slice(&from[at..end]);
        }
    }
    left
}

/// Numbers from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn coin(&mut self) -> bool {
        self.roll() & 1 == 1
    }
}
