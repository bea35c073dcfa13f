//! A program that writes through a shared mapping: no write call, no open descriptor, and nothing
//! in the stamps until the page is touched.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use mooring_worker::{leave, remove, verify};
use stage::real::Real;

/// Maps the file, closes it, looks at it, and writes through the mapping whenever a line comes.
const PROGRAM: &str = "
import mmap, sys
with open(sys.argv[1], 'r+b') as file:
    mapped = mmap.mmap(file.fileno(), 0)
mapped[0]
print('mapped', flush=True)
for line in sys.stdin:
    text = line.strip().encode()
    mapped[:len(text)] = text
    print('written', flush=True)
";

/// From this age on a stamp is believed where files are removed.
const BELIEVED: Duration = Duration::from_millis(50);

/// The program; killed when it is dropped.
struct Mapper {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Mapper {
    fn of(file: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed: tests/setup.sh test");
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut mapper = Self {
            child,
            orders,
            answers,
        };
        mapper.expect("mapped");
        mapper
    }

    fn expect(&mut self, word: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), word);
    }

    fn write(&mut self, text: &str) {
        writeln!(self.orders, "{text}").unwrap();
        self.expect("written");
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_written_through_a_mapping_is_not_lost() {
    let real = Real::new();
    real.sign_in(false).unwrap();
    let here = real.photos().join("a.jpg");
    let there = real.copies().join("a.jpg");
    fs::write(&here, "first content").unwrap();
    assert_eq!(real.sync().unwrap(), 0);
    let account = real.account();
    assert_eq!(leave::drain(&account, &[]).unwrap().unsynced_total, 0);
    let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();

    // Verified, then mapped: it stays as long as somebody could write to it.
    let mut mapper = Mapper::of(&here);
    let report = remove::remove(&account, proof.unwrap(), &[]).unwrap();
    assert_eq!(report.remaining, 1, "{report:?}");
    mapper.write("other");
    assert_eq!(fs::read(&here).unwrap(), b"other content");
    // Changed since, and perhaps changing still: it has no copy that could be counted on.
    let report = leave::drain(&account, &[]).unwrap();
    assert_eq!(report.unsynced_total, 1, "{report:?}");
    mapper.write("third");
    drop(mapper);

    let (_, report) = stage::drain_verify_remove(&account, &[], "receipt-x").unwrap();
    assert_eq!(report.remaining, 0, "{report:?}");
    assert!(!here.exists());
    assert_eq!(fs::read(&there).unwrap(), b"third content");
}

/// On tmpfs a page that was looked at before is written without a trace: no stamp tells, also when
/// the program is done and nothing is mapped any more.
#[test]
fn what_leaves_no_trace_is_noticed_before_it_goes() {
    let memory = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    let mut real = Real::new();
    real.collections[0].1 = memory.path().join("Photos");
    real.sign_in(false).unwrap();
    let here = real.photos().join("a.jpg");
    fs::write(&here, "first content").unwrap();
    // So old that its stamps are believed.
    let written = fs::metadata(&here).unwrap().modified().unwrap();
    while written.elapsed().unwrap() < BELIEVED {
        std::thread::yield_now();
    }
    assert_eq!(real.sync().unwrap(), 0);
    let account = real.account();
    assert_eq!(leave::drain(&account, &[]).unwrap().unsynced_total, 0);
    let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();

    let mut mapper = Mapper::of(&here);
    mapper.write("other");
    drop(mapper);
    let report = remove::remove(&account, proof.unwrap(), &[]).unwrap();
    assert_eq!(report.remaining, 1, "{report:?}");
    assert_eq!(fs::read(&here).unwrap(), b"other content");

    let (_, report) = stage::drain_verify_remove(&account, &[], "receipt-x").unwrap();
    assert_eq!(report.remaining, 0, "{report:?}");
    let there = real.copies().join("a.jpg");
    assert_eq!(fs::read(there).unwrap(), b"other content");
}
