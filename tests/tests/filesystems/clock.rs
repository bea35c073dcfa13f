//! A wall clock that is set a year forth and a year back while Mooring runs. No password comes sooner,
//! nothing leaves the trash, and edits are carried over whatever their times are.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use mooring_tests::World;

use crate::disk::world;
use crate::stage::{ALICE, PASSWORD, belongings, copies, fill, sync, write};

const YEAR: i64 = 365 * 86_400;
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/filesystems/clock.c");

/// The wall clock of a world's daemon.
struct Clock {
    program: PathBuf,
    told: PathBuf,
}

impl Clock {
    fn new(world: &World) -> Self {
        let program = world.folder().join("clock.so");
        let told = world.folder().join("clock");
        let mut compile = Command::new("cc");
        compile
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&program)
            .arg(SOURCE);
        let made = compile.status().unwrap_or_else(|e| {
            panic!("cc is missing ({e}); run: apt-get install gcc libc6-dev (or: make setup)")
        });
        assert!(made.success(), "{SOURCE} does not compile");
        Self { program, told }
    }

    fn env(&self) -> [(&'static str, &OsStr); 2] {
        [
            ("LD_PRELOAD", self.program.as_os_str()),
            ("MOORING_TEST_CLOCK", self.told.as_os_str()),
        ]
    }

    fn set(&self, off: i64) {
        // In one step: whoever reads meanwhile reads the one or the other.
        let new = self.told.with_extension("new");
        fs::write(&new, off.to_string()).unwrap();
        fs::rename(new, &self.told).unwrap();
    }
}

/// Gives a file a time that is off from the true one by so many seconds.
fn set_time(path: &Path, off: i64) {
    let by = Duration::from_secs(off.unsigned_abs());
    let now = SystemTime::now();
    let time = if off < 0 { now - by } else { now + by };
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(time))
        .unwrap();
}

/// What lies in the trash with these bytes, on whichever day.
fn buried(world: &World, bytes: &[u8]) -> bool {
    let kind = mooring_tests::Kind::File(bytes.len() as u64, blake3::hash(bytes));
    let trash = world.manifest(Path::new(&world.storage()).join(".mooring/trash"));
    trash.0.values().any(|entry| entry.kind == kind)
}

#[tokio::test]
async fn a_year_forth_and_a_year_back() {
    let world = world();
    let clock = Clock::new(&world);
    clock.set(0);
    let daemon = world.daemon_with(&clock.env()).await;
    world.sign_in(ALICE, PASSWORD).await;
    fill(&world);
    let documents = world.account_folder(ALICE).join("Documents");
    write(
        &documents.join("to be deleted"),
        b"kept for thirty days",
        0o644,
        3,
    );
    let _ = sync(&world).await.expect_code(0);
    fs::remove_file(documents.join("to be deleted")).unwrap();
    let _ = sync(&world).await.expect_code(0);
    assert!(buried(&world, b"kept for thirty days"));

    for (nr, off) in (0..).zip([YEAR, 0, -YEAR, 2 * YEAR, -YEAR, 0]) {
        clock.set(off);
        let edited = format!("edited at {off}, {nr}");
        // Times of years ago, and of a year to come by the daemon's clock or by any.
        write(
            &documents.join("twin 1"),
            edited.as_bytes(),
            0o644,
            500 - nr,
        );
        write(
            &documents.join(format!("new {nr}")),
            edited.as_bytes(),
            0o644,
            nr,
        );
        set_time(&documents.join("twin 1"), off + YEAR);
        let there = world.storage().join("Documents/twin 2");
        write(&there, edited.as_bytes(), 0o600, 400 - nr);
        let _ = sync(&world).await.expect_code(0);
        assert_eq!(
            fs::read(documents.join("twin 2")).unwrap(),
            edited.as_bytes()
        );
        belongings(&world).assert_same(&copies(&world));
        assert!(buried(&world, b"kept for thirty days"), "off by {off}");
    }
    // Days that pass one by one are days; the jumps before them were not.
    for day in 1..=20 {
        clock.set(YEAR + day * 86_400);
        let _ = sync(&world).await.expect_code(0);
        assert!(buried(&world, b"kept for thirty days"), "day {day}");
    }
    assert!(daemon.terminate().await.success());
}

#[tokio::test]
async fn no_password_comes_sooner_by_a_clock_that_is_set() {
    let world = world();
    let clock = Clock::new(&world);
    clock.set(0);
    let _daemon = world.daemon_with(&clock.env()).await;
    world.sign_in(ALICE, PASSWORD).await;
    fill(&world);
    let _ = sync(&world).await.expect_code(0);
    let before = belongings(&world);
    let mut year = 0;
    let mut counted = Vec::new();
    // The waits after the fourth to the sixth failure are 2, 4 and 8 seconds.
    while counted.len() < 7 {
        clock.set(year * YEAR);
        year += 1;
        let call = world.ctl(&["sign-out", ALICE, "--yes", "--json"]);
        let told = call.password("not the password").run().await;
        let told = told.expect_code(4).json();
        if told["error"]["kind"] == "IncorrectPassword" {
            counted.push(Instant::now());
        } else {
            assert_eq!(told["error"]["kind"], "TooManyAttempts", "{told}");
        }
    }
    for (nr, seconds) in [(3, 2), (4, 4), (5, 8)] {
        // A try is counted before it is checked, and told after: a second is argon2's.
        let passed = counted[nr + 1] - counted[nr] + Duration::from_secs(1);
        let wait = Duration::from_secs(seconds);
        assert!(passed >= wait, "{passed:?} instead of {wait:?}");
    }
    before.assert_same(&belongings(&world));
}
