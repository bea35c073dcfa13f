//! The removal on real files, raced by real writers: what anybody wrote is on the device or in the
//! storage, whole.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mooring_worker::account::Account;
use mooring_worker::error::Error;
use mooring_worker::files::real::RealFiles;
use mooring_worker::{leave, remove, verify};
use stage::real::{Real, contents};

/// Rounds of the race, and the most time it may take.
const ROUNDS: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(10);
/// Files in the race: few, so that they are met often.
const FILES: usize = 6;

fn in_step(names: &[&str]) -> Real {
    let real = Real::new();
    real.sign_in(false).unwrap();
    for name in names {
        let path = real.photos().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("content of {name}")).unwrap();
    }
    assert_eq!(real.sync().unwrap(), 0);
    real
}

fn verified(account: &Account<RealFiles>) -> verify::Verified {
    assert_eq!(leave::drain(account, &[]).unwrap().unsynced_total, 0);
    verify::verify(account, &[], "receipt-x").unwrap().1.unwrap()
}

/// A program that keeps a file open for writing, by whatever name.
#[test]
fn a_file_that_is_open_for_writing_stays() {
    let real = in_step(&["a.jpg", "b.jpg"]);
    let account = real.account();
    let proof = verified(&account);
    let a = real.photos().join("a.jpg");
    fs::hard_link(real.photos().join("b.jpg"), real.path("home/other name")).unwrap();
    let mut writer = File::options().append(true).open(&a).unwrap();
    let report = remove::remove(&account, proof, &[]).unwrap();
    // The other has got a new name meanwhile, so it is not the file that was verified.
    assert_eq!(report.remaining, 2, "{report:?}");
    assert_eq!(contents(real.photos()).len(), 2);

    writer.write_all(b", and more").unwrap();
    drop(writer);
    let (_, report) = stage::drain_verify_remove(&account, &[], "receipt-x").unwrap();
    assert_eq!((report.remaining, report.left.len()), (0, 0), "{report:?}");
    assert_eq!(fs::read(real.copies().join("a.jpg")).unwrap(), b"content of a.jpg, and more");
    assert_eq!(fs::read(real.path("home/other name")).unwrap(), b"content of b.jpg");
}

/// A program that opened a file for reading only does not hold it up, and keeps what it has.
#[test]
fn a_reader_is_no_obstacle() {
    let real = in_step(&["a.jpg"]);
    let account = real.account();
    let proof = verified(&account);
    let reader = File::open(real.photos().join("a.jpg")).unwrap();
    let report = remove::remove(&account, proof, &[]).unwrap();
    assert_eq!(report.remaining, 0);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "content of a.jpg");
}

/// On one disk, the "copy" may be the very same file.
#[test]
fn a_hard_link_to_the_copy_is_no_copy() {
    let real = in_step(&["a.jpg"]);
    let (here, there) = (real.photos().join("a.jpg"), real.copies().join("a.jpg"));
    fs::remove_file(&there).unwrap();
    fs::hard_link(&here, &there).unwrap();
    real.sync().unwrap();
    let account = real.account();
    match stage::drain_verify_remove(&account, &[], "receipt-x") {
        // Either it is said, or a copy of its own was made.
        Err(e) => assert!(matches!(e, Error::Refused(_)), "{e}"),
        Ok(_) => assert!(!here.exists()),
    }
    assert_eq!(fs::read(&there).unwrap(), b"content of a.jpg");

    // Linked only after it was verified.
    let real = in_step(&["a.jpg"]);
    let account = real.account();
    let proof = verified(&account);
    let (here, there) = (real.photos().join("a.jpg"), real.copies().join("a.jpg"));
    fs::remove_file(&there).unwrap();
    fs::hard_link(&here, &there).unwrap();
    let report = remove::remove(&account, proof, &[]).unwrap();
    assert_eq!(report.remaining, 1, "{report:?}");
    assert!(here.exists());
}

/// Everything that was ever written, and what may be gone because its writer replaced it.
#[derive(Default)]
struct Books {
    number: AtomicU64,
    over: AtomicBool,
}

impl Books {
    fn next(&self) -> String {
        format!("version {:08}", self.number.fetch_add(1, Ordering::Relaxed))
    }
}

/// One deed of the writer on a file. Answers the versions that must be somewhere from now on.
fn deed(books: &Books, path: &Path, kind: u64) -> Vec<String> {
    let new = books.next();
    let beside = path.with_extension("new");
    match kind % 5 {
        // Edits in place what is there. The old version is the writer's to destroy, and the new
        // one counts only if it went into a file that has a name.
        0 => {
            let Ok(mut file) = File::options().write(true).open(path) else { return vec![] };
            // A name that was taken away meanwhile leads to a file that nobody can find.
            if file.rewind().and_then(|()| file.write_all(new.as_bytes())).is_err() {
                return vec![];
            }
            let found = fs::read_to_string(path).is_ok_and(|text| text == new);
            if found { vec![new] } else { vec![] }
        }
        // Saves as editors do.
        1 => {
            fs::write(&beside, &new).unwrap();
            fs::rename(&beside, path).unwrap();
            vec![new]
        }
        // Makes a new file, where there is none.
        2 => match File::create_new(path) {
            Ok(mut file) => {
                file.write_all(new.as_bytes()).unwrap();
                vec![new]
            }
            Err(_) => vec![],
        },
        // Swaps two files' names, by way of a third.
        3 => {
            let other = path.with_file_name("0.jpg");
            if fs::rename(path, &beside).is_ok() {
                let _ = fs::hard_link(&other, path);
                let _ = fs::hard_link(&beside, path.with_extension(format!("{new}.jpg")));
                let _ = fs::remove_file(&beside);
            }
            vec![]
        }
        // Moves the whole folder away and back.
        _ => {
            let folder = path.parent().unwrap();
            let away = folder.with_extension("away");
            if fs::rename(folder, &away).is_ok() {
                if fs::rename(&away, folder).is_err() {
                    // Mooring has put a file back meanwhile, so that the folder is there again.
                    for entry in fs::read_dir(&away).unwrap().flatten() {
                        let name = format!("{new} {}", entry.file_name().display());
                        fs::rename(entry.path(), folder.join(name)).unwrap();
                    }
                    fs::remove_dir(&away).unwrap();
                }
            }
            vec![]
        }
    }
}

/// A removal after the other, while a writer edits, saves, swaps and moves.
#[test]
fn a_race_with_a_writer() {
    let real = in_step(&["trip/0.jpg"]);
    let books = Books::default();
    let files: Vec<PathBuf> =
        (0..FILES).map(|n| real.photos().join(format!("trip/{n}.jpg"))).collect();
    let account = real.account();
    let start = Instant::now();
    let (versions, rounds) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut last: Vec<Option<String>> = vec![None; FILES];
            let mut kept = BTreeSet::new();
            let mut dice = 88_172_645_463_325_252_u64;
            while !books.over.load(Ordering::Relaxed) {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                let which = (dice >> 8) as usize % FILES;
                let _ = fs::create_dir(real.photos().join("trip"));
                for version in deed(&books, &files[which], dice >> 32) {
                    // What the writer itself replaces may be gone, or may have been saved.
                    last[which] = Some(version);
                }
                kept.extend(last.iter().flatten().last().cloned());
                std::thread::yield_now();
            }
            last.into_iter().flatten().collect::<Vec<_>>()
        });
        let mut rounds = 0;
        while rounds < ROUNDS && start.elapsed() < PATIENCE {
            let drained = leave::drain(&account, &[]).unwrap();
            if drained.unsynced_total == 0 {
                let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
                if let Some(proof) = proof {
                    let _ = remove::remove(&account, proof, &[]);
                }
            }
            rounds += 1;
        }
        books.over.store(true, Ordering::Relaxed);
        (writer.join().unwrap(), rounds)
    });
    assert!(rounds > 20, "only {rounds} rounds");
    let there = real.everything();
    for version in versions {
        assert!(there.contains(version.as_bytes()), "{version:?} is lost");
    }
}
