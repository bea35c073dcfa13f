//! The removal on real files, raced by real writers: what anybody wrote is on the device or in the
//! storage, whole.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mooring_core::collection::Collection;
use mooring_worker::account::Account;
use mooring_worker::error::Error;
use mooring_worker::files::real::RealFiles;
use mooring_worker::state::{Epoch, Item};
use mooring_worker::{leave, remove, verify};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use stage::real::{Real, contents};

/// Rounds of the race, and the most time it may take.
const ROUNDS: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(8);
/// Files in the race: few, so that they are met often.
const FILES: u64 = 6;
/// Deeds of the writer for each round, at most.
const DEEDS: u64 = 40;

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
    verify::verify(account, &[], "receipt-x")
        .unwrap()
        .1
        .unwrap()
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
    // The other has got a new name meanwhile, and still has the bytes that were verified.
    assert_eq!(report.remaining, 1, "{report:?}");
    assert_eq!(contents(real.photos()).len(), 1);

    writer.write_all(b", and more").unwrap();
    drop(writer);
    let (_, report) = stage::drain_verify_remove(&account, &[], "receipt-x").unwrap();
    assert_eq!((report.remaining, report.left.len()), (0, 0), "{report:?}");
    assert_eq!(
        fs::read(real.copies().join("a.jpg")).unwrap(),
        b"content of a.jpg, and more"
    );
    assert_eq!(
        fs::read(real.path("home/other name")).unwrap(),
        b"content of b.jpg"
    );
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

/// A writer that never destroys what it wrote: it appends, saves beside, moves and swaps. Every
/// line that went into a file which had a name has to be somewhere, ever after.
struct Writer {
    folder: PathBuf,
    dice: u64,
    number: u64,
    lines: Vec<String>,
    /// Times when the file was gone before it was open: nobody can tell it from one that was
    /// removed a moment earlier.
    too_late: u64,
}

/// Moves, and never replaces.
fn mv(from: &Path, to: &Path) -> bool {
    renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE).is_ok()
}

impl Writer {
    fn next(&mut self) -> String {
        self.number += 1;
        format!("line {:08}", self.number)
    }

    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice >> 16
    }

    fn file(&mut self) -> PathBuf {
        let nr = self.roll() % FILES;
        self.folder.join(format!("{nr}.txt"))
    }

    fn unused(&mut self) -> PathBuf {
        let name = self.next();
        self.folder.join(format!("{name}.txt"))
    }

    fn deed(&mut self) {
        // It may be away with its folder, or removed because it was empty.
        let _ = fs::create_dir(&self.folder);
        let path = self.file();
        match self.roll() % 8 {
            0..=3 => self.append(&path),
            4 => self.create(&path),
            5 => self.save(&path),
            6 => {
                let (other, between) = (self.file(), self.unused());
                mv(&path, &between);
                mv(&other, &path);
                mv(&between, &other);
            }
            _ => self.move_the_folder(),
        }
    }

    fn append(&mut self, path: &Path) {
        let Ok(mut file) = File::options().append(true).open(path) else {
            return;
        };
        if file.metadata().unwrap().nlink() == 0 {
            self.too_late += 1;
            return;
        }
        let line = self.next();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.lines.push(line);
    }

    fn create(&mut self, path: &Path) {
        if let Ok(mut file) = File::create_new(path) {
            let line = self.next();
            file.write_all(format!("{line}\n").as_bytes()).unwrap();
            self.lines.push(line);
        }
    }

    /// As editors save: the old file is put aside, and the new one takes its name.
    fn save(&mut self, path: &Path) {
        let (beside, aside) = (self.unused(), self.unused());
        self.create(&beside);
        mv(path, &aside);
        mv(&beside, path);
    }

    /// Away, with a link to elsewhere in its place, and back.
    fn move_the_folder(&mut self) {
        let away = self.folder.with_extension("away");
        if !mv(&self.folder, &away) {
            return;
        }
        let elsewhere = self.folder.with_file_name("../../../../elsewhere");
        if symlink(elsewhere, &self.folder).is_ok() {
            fs::remove_file(&self.folder).unwrap();
        }
        if !mv(&away, &self.folder) {
            // A file was put back meanwhile, so that the folder is there again.
            for entry in fs::read_dir(&away).unwrap().flatten() {
                let to = self.unused();
                assert!(mv(&entry.path(), &to));
            }
            let _ = fs::remove_dir(&away);
        }
    }
}

/// A sign-out after the other, while a writer appends, saves, swaps and moves.
#[test]
fn a_race_with_a_writer() {
    let real = in_step(&["trip/0.txt", "trip/1.txt"]);
    let elsewhere = real.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for nr in 0..FILES {
        fs::write(elsewhere.join(format!("{nr}.txt")), "not the account's").unwrap();
    }
    let account = real.account();
    let (begun, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut writer = Writer {
        folder: real.photos().join("trip"),
        dice: 88_172_645_463_325_252,
        number: 0,
        lines: Vec::new(),
        too_late: 0,
    };
    let mut removed = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut deeds = 0;
            while !over.load(Ordering::Relaxed) {
                // Not so far ahead that a round never ends.
                if deeds < begun.load(Ordering::Relaxed) * DEEDS {
                    writer.deed();
                    deeds += 1;
                }
                std::thread::yield_now();
            }
        });
        let start = Instant::now();
        while begun.load(Ordering::Relaxed) < ROUNDS && start.elapsed() < PATIENCE {
            begun.fetch_add(1, Ordering::Relaxed);
            removed += sign_out_once(&account);
        }
        over.store(true, Ordering::Relaxed);
    });
    let rounds = begun.load(Ordering::Relaxed);
    assert!(
        removed > 20,
        "only {removed} files were removed in {rounds} rounds"
    );
    assert!(
        writer.lines.len() > 100,
        "only {} lines in {rounds} rounds",
        writer.lines.len()
    );
    let everything = real.everything();
    let there: BTreeSet<&[u8]> = everything
        .iter()
        .flat_map(|c| c.split(|&b| b == b'\n'))
        .collect();
    let lost: Vec<_> = writer
        .lines
        .iter()
        .filter(|l| !there.contains(l.as_bytes()))
        .collect();
    let first = &lost[..lost.len().min(5)];
    assert!(
        lost.is_empty(),
        "{} lines lost in {rounds} rounds: {first:?}",
        lost.len()
    );
    assert!(
        writer.too_late < rounds,
        "{} files went while they were opened",
        writer.too_late
    );
    let strangers = contents(&elsewhere);
    assert_eq!(strangers.len() as u64, FILES);
    assert!(
        strangers
            .values()
            .all(|bytes| bytes == b"not the account's")
    );
}

/// One sign-out, as far as it comes: what it cannot do now, because something has just moved, it
/// says, and the next one goes on. What it removed is then as unknown as after a new sign-in.
/// Answers how many files that were.
fn sign_out_once(account: &Account<RealFiles>) -> u64 {
    account.state.set_epoch(Epoch::Leaving).unwrap();
    let round = || {
        leave::drain(account, &[])?;
        if let (_, Some(proof)) = verify::verify(account, &[], "receipt-x")? {
            remove::remove(account, proof, &[])?;
        }
        Ok::<_, Error>(())
    };
    let _ = round();
    let mut gone = Vec::new();
    let note = |key, item: Item| {
        gone.extend(item.gone.then_some(key));
        Ok(())
    };
    account.state.each_item(Collection::Photos, note).unwrap();
    account.state.forget(&gone).unwrap();
    gone.len() as u64
}
