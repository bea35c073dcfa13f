//! The tree that is measured: many small files, a few large ones, always the same bytes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Files in a folder.
const IN_FOLDER: usize = 100;
/// Folders in the root.
const PARTS: usize = 20;
/// The size of a large file, in bytes.
const LARGE_BYTES: usize = 50_000_000;

/// How old a small file is.
const AGE: Duration = Duration::from_secs(60 * 60);

/// What the files are like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// A small file is at least and at most this long, in bytes.
    pub small: (usize, usize),
    /// How many large files there are.
    pub large: usize,
}

/// A person's documents: 1 to 16 KiB, and a few large ones.
pub const DOCUMENTS: Shape = Shape {
    small: (1024, 16 * 1024),
    large: 20,
};

/// The path of a file that every tree has.
pub fn first() -> PathBuf {
    PathBuf::from("part 0/folder 0/file 0.bin")
}

/// Makes a tree of `files` small files and the large ones.
pub fn make(root: &Path, files: usize, shape: Shape) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut noise = vec![0; 1 << 20];
    random.fill(&mut noise);
    for nr in 0..files {
        let folder = nr / IN_FOLDER;
        let folder = root
            .join(format!("part {}", folder % PARTS))
            .join(format!("folder {folder}"));
        if nr % IN_FOLDER == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        let size = shape.small.0 + random.below(shape.small.1 - shape.small.0);
        let at = random.below(noise.len() - size);
        let mut file = File::create(folder.join(format!("file {nr}.bin"))).unwrap();
        // Numbered, so that no two are the same.
        file.write_all(&nr.to_le_bytes()).unwrap();
        file.write_all(&noise[at..at + size - 8]).unwrap();
        // Old, as most files are: a young one is hashed again by every look.
        file.set_modified(SystemTime::now() - AGE).unwrap();
    }
    // The large ones shrink with the number of small ones, for a quick try.
    let large = shape.large * files.min(50_000) / 50_000;
    for nr in 0..large {
        let mut file = File::create(root.join(format!("large {nr}.bin"))).unwrap();
        for _ in 0..LARGE_BYTES / noise.len() {
            random.fill(&mut noise[..64]);
            file.write_all(&noise).unwrap();
        }
    }
}

/// A small generator (splitmix64): the same numbers every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}
