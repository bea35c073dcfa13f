//! A sparse file of many bytes on this machine's own filesystem: carried, backed up and restored
//! without filling the disk. `MOORING_TEST_LARGE` may say how many bytes; 300 MB without it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use mooring_worker::{backup, restore};
use stage::real::Real;

/// More than a few batches of holes, and quickly hashed.
const LENGTH: u64 = 300_000_000;
/// What the file may take, in bytes: its own few pages, and what a filesystem rounds up to.
const SPACE: u64 = 16 * 1024 * 1024;

fn length() -> u64 {
    let asked = std::env::var("MOORING_TEST_LARGE").ok();
    asked.map_or(LENGTH, |text| text.parse().expect("MOORING_TEST_LARGE"))
}

fn assert_sparse(path: &Path, length: u64) {
    let meta = fs::metadata(path).unwrap();
    assert_eq!(meta.len(), length, "{}", path.display());
    let space = meta.blocks() * 512;
    assert!(space <= SPACE, "{} takes {space} bytes", path.display());
    let mut end = [0; 3];
    let file = File::open(path).unwrap();
    file.read_exact_at(&mut end, length - 3).unwrap();
    assert_eq!(&end, b"end", "{}", path.display());
}

#[test]
fn a_sparse_file_stays_one_everywhere() {
    let real = Real::new();
    real.sign_in(false).unwrap();
    let film = real.photos().join("film.mov");
    let file = File::create(&film).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(b"end", length() - 3).unwrap();
    drop(file);
    if fs::metadata(&film).unwrap().blocks() * 512 > SPACE {
        eprintln!("this filesystem has no holes: nothing to see here");
        return;
    }
    real.sync().unwrap();
    assert_sparse(&real.copies().join("film.mov"), length());

    let stick = real.path("stick");
    fs::create_dir(&stick).unwrap();
    let report = backup::backup(&real.account(), &stick, "alice-1").unwrap();
    assert_eq!((report.files.files, report.files.bytes), (1, length()));
    assert_sparse(&stick.join("alice-1/Photos/film.mov"), length());

    fs::remove_file(&film).unwrap();
    let from = stick.join("alice-1");
    let report = restore::restore(&real.account(), &from, b"Photos/film.mov", None).unwrap();
    assert_eq!(report.restored.files, 1);
    assert_sparse(&film, length());
}
