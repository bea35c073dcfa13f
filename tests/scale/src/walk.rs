//! Making and reading trees of any depth and size: folder by folder, so that no path is too long,
//! and without keeping what was read, so that no number of files is too large.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Whence, lseek};

/// The unit in which contents are compared, in bytes; zeros are left out.
const BLOCK: usize = 64 * 1024;
/// How old a file is: a young one is hashed again by every look.
const AGE: Duration = Duration::from_secs(60 * 60);
/// The unit of `st_blocks`, in bytes.
const UNIT: u64 = 512;

/// What a tree holds, in a few bytes: equal for equal names and contents, in whatever order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Files.
    pub files: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// The space they take, in bytes.
    pub space: u64,
    /// Folders below one another.
    pub depth: u64,
    digest: [u64; 4],
}

impl Sum {
    /// Everything below a folder, but Mooring's own.
    pub fn of(root: &Path) -> Self {
        let mut sum = Self::default();
        if let Ok(root) = File::open(root) {
            sum.add(root.into(), blake3::hash(b""), 0);
        }
        sum
    }

    /// What must be the same of two trees.
    pub fn contents(&self) -> (u64, u64, u64, [u64; 4]) {
        (self.files, self.bytes, self.depth, self.digest)
    }

    fn add(&mut self, folder: OwnedFd, path: blake3::Hash, depth: u64) {
        self.depth = self.depth.max(depth);
        let again = openat(&folder, ".", OFlag::O_DIRECTORY, Mode::empty());
        let mut entries = Dir::from_fd(again.expect("a folder")).expect("a folder");
        for entry in entries.iter() {
            let entry = entry.expect("an entry");
            let name = entry.file_name();
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            // The path's own digest stands for it, however long it is.
            let mut hasher = blake3::Hasher::new();
            hasher.update(path.as_bytes()).update(name.to_bytes());
            let path = hasher.finalize();
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW;
            let opened = openat(&folder, name, flags, Mode::empty()).expect("a file or folder");
            let file = File::from(opened);
            let meta = file.metadata().expect("what it is");
            if meta.is_dir() {
                self.add(file.into(), path, depth + 1);
            } else {
                self.add_file(&file, path, meta.len(), meta.blocks() * UNIT);
            }
        }
    }

    fn add_file(&mut self, file: &File, path: blake3::Hash, size: u64, space: u64) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(path.as_bytes()).update(&size.to_le_bytes());
        hash_data(file, &mut hasher, size).expect("its bytes");
        self.files += 1;
        self.bytes += size;
        self.space += space;
        let hash = hasher.finalize();
        for (word, bytes) in self.digest.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            let bytes = bytes.try_into().expect("eight bytes");
            *word = word.wrapping_add(u64::from_le_bytes(bytes));
        }
    }
}

/// Hashes the blocks that are not zeros, each with its place; what is a hole is not read.
fn hash_data(file: &File, hasher: &mut blake3::Hasher, size: u64) -> io::Result<()> {
    let block = BLOCK as u64;
    let mut buffer = vec![0; BLOCK.min(usize::try_from(size).unwrap_or(BLOCK).max(1))];
    let mut at = 0;
    while at < size {
        match lseek(
            file,
            i64::try_from(at).expect("an offset"),
            Whence::SeekData,
        ) {
            Err(Errno::ENXIO) => break,
            data => at = u64::try_from(data?).expect("an offset") / block * block,
        }
        let length = buffer
            .len()
            .min(usize::try_from(size - at).unwrap_or(BLOCK));
        file.read_exact_at(&mut buffer[..length], at)?;
        if buffer[..length].iter().any(|byte| *byte != 0) {
            hasher.update(&at.to_le_bytes()).update(&buffer[..length]);
        }
        at += block;
    }
    Ok(())
}

/// Writes a file of an hour ago.
pub fn write(folder: impl AsFd, name: &str, bytes: &[u8]) {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    let file = openat(&folder, name, flags, Mode::from_bits_truncate(0o644));
    let mut file = File::from(file.expect("a file"));
    file.write_all(bytes).expect("room on the disk");
    file.set_modified(SystemTime::now() - AGE).expect("a time");
}

/// Makes a folder in another and opens it.
pub fn folder(parent: impl AsFd, name: &str) -> OwnedFd {
    match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => panic!("{name}: {errno}"),
    }
    openat(&parent, name, OFlag::O_DIRECTORY, Mode::empty()).expect("the folder just made")
}
