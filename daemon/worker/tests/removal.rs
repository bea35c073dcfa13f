//! The removal, while others do their worst: not one file goes that is foreign, changed, in use or
//! without a proven copy, and what stays is named.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use mooring_wire::RemoveReport;
use mooring_worker::account::Account;
use mooring_worker::files::twin::TwinFiles;
use mooring_worker::{leave, remove, signin, verify};
use stage::{PHOTOS, STORAGE, Stage, drain_verify_remove};

const HERE: &str = "/home/alice/Accounts/alice/Photos/trip/a.jpg";
const TRIP: &str = "/home/alice/Accounts/alice/Photos/trip";
const THERE: &str = "/mnt/nas/Photos/trip/a.jpg";
/// Longer than any step of a filesystem's time, so that stamps can be relied on.
const LATER: i64 = 10_000_000_000;

/// An account with one photo in a folder, in step, read back and verified for a sign-out.
struct Leaving {
    stage: Stage,
    account: Account<TwinFiles>,
    proof: verify::Verified,
}

/// An account with one photo in a folder, in step for a while.
fn in_step(prepare: impl FnOnce(&Stage)) -> Stage {
    let mut stage = Stage::new();
    prepare(&stage);
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    write(&stage.twin, HERE, "first");
    stage.twin.advance(LATER);
    signin::sync_now(&stage.account(), true).unwrap();
    stage.twin.advance(LATER);
    stage
}

fn leaving(prepare: impl FnOnce(&Stage)) -> Leaving {
    let stage = in_step(prepare);
    let account = stage.account();
    assert_eq!(leave::drain(&account, &[]).unwrap().unsynced_total, 0);
    let (_, proof) = verify::verify(&account, &[], "receipt-x").unwrap();
    Leaving {
        stage,
        account,
        proof: proof.unwrap(),
    }
}

impl Leaving {
    fn remove(self) -> (Stage, RemoveReport) {
        let report = remove::remove(&self.account, self.proof, &[]).unwrap();
        (self.stage, report)
    }
}

fn write(twin: &TwinFiles, path: &str, content: &str) {
    twin.write_durable(path, content).unwrap();
}

fn save(twin: &TwinFiles, path: &str, content: &str) {
    write(twin, "/home/alice/.beside", content);
    twin.rename("/home/alice/.beside", path).unwrap();
}

/// Names below the photos' folder, Mooring's own left out.
fn names(stage: &Stage) -> Vec<String> {
    let tree = stage.twin.tree(PHOTOS).unwrap();
    let names = tree.keys().map(|path| path.to_str().unwrap().to_owned());
    names.filter(|name| !name.starts_with(".mooring")).collect()
}

/// Whether the report or the list of what is left has a path that ends so.
fn named(report: &RemoveReport, end: &str) -> bool {
    let ends = |path: &[u8]| path.ends_with(end.as_bytes());
    report.left.iter().any(|left| ends(&left.path))
        && report.left.iter().all(|left| !left.reason.is_empty())
}

#[test]
fn undisturbed_all_goes() {
    let (stage, report) = leaving(|_| ()).remove();
    assert_eq!(names(&stage), Vec::<String>::new());
    assert_eq!((report.remaining, report.left.len()), (0, 0));
    assert!(report.writers_excluded);
}

/// What somebody does to the file, and its content afterwards.
type Deed = (&'static str, fn(&TwinFiles), Option<&'static str>);

const DEEDS: [Deed; 8] = [
    (
        "opened for writing",
        |twin| twin.open_writer(HERE).unwrap(),
        Some("first"),
    ),
    ("edited", |twin| drop(twin.write(HERE, "theirs")), None),
    (
        "saved anew",
        |twin| save(twin, HERE, "theirs"),
        Some("theirs"),
    ),
    (
        "saved anew with the same bytes, and still being written",
        |twin| {
            save(twin, HERE, "first");
            twin.open_writer(HERE).unwrap();
        },
        Some("first"),
    ),
    (
        "touched",
        |twin| twin.set_mtime(HERE, 1).unwrap(),
        Some("first"),
    ),
    (
        "made unreadable",
        |twin| twin.chmod(HERE, 0).unwrap(),
        Some("first"),
    ),
    (
        "replaced by a link",
        |twin| {
            twin.remove(HERE).unwrap();
            twin.symlink("/etc/passwd", HERE).unwrap();
        },
        None,
    ),
    (
        "replaced by a FIFO",
        |twin| {
            twin.remove(HERE).unwrap();
            twin.fifo(HERE).unwrap();
        },
        None,
    ),
];

/// Before the folder is listed (after two staging folders, and the root on both sides), and before
/// the file is opened (after two markers), leased and moved.
const MOMENTS: [(&str, u64); 4] = [("list", 5), ("open", 3), ("lease", 1), ("rename", 1)];

/// Each deed at each moment of the removal up to the move into the staging folder.
#[test]
fn whatever_happens_to_the_file_before_it_is_moved() {
    for (what, deed, content) in DEEDS {
        for (moment, nth) in MOMENTS {
            let now = leaving(|_| ());
            now.stage.twin.before(moment, nth, deed);
            let (stage, report) = now.remove();
            let when = format!("{what} before {moment}");
            if what == "edited" {
                let there = stage.everything();
                assert!(there.contains(b"first".as_slice()), "{when}");
                continue;
            }
            if ["made unreadable", "touched"].contains(&what) && moment == "rename" {
                // It is leased by then, and its bytes are the ones that were proven.
                continue;
            }
            assert!(stage.twin.exists(HERE), "{when}: it went");
            assert!(
                named(&report, "trip/a.jpg"),
                "{when}: not named: {report:?}"
            );
            if let Some(content) = content.filter(|_| what != "made unreadable") {
                assert_eq!(stage.twin.read(HERE).unwrap(), content.as_bytes(), "{when}");
            }
            assert_eq!(stage.twin.read(THERE).unwrap(), b"first", "{when}");
        }
    }
}

/// Somebody asks to write right after the lease was given: it is broken, and the file stays.
#[test]
fn a_broken_lease_brings_the_file_back() {
    for moment in ["rename", "stat", "lease-holds", "unlink"] {
        let now = leaving(|_| ());
        now.stage.twin.break_next_lease(HERE).unwrap();
        // Meanwhile the name is taken by something else.
        if moment == "lease-holds" {
            now.stage.twin.before("lease-holds", 1, |twin| {
                write(twin, HERE, "new under this name")
            });
        }
        let (stage, report) = now.remove();
        assert!(report.remaining > 0, "{moment}");
        let there = stage.everything();
        assert!(there.contains(b"first".as_slice()), "{moment}");
        let here: Vec<_> = stage.contents(TRIP).into_values().collect();
        assert!(here.contains(&b"first".to_vec()), "{moment}: {here:?}");
        if moment == "lease-holds" {
            assert!(here.contains(&b"new under this name".to_vec()), "{here:?}");
            assert!(named(&report, "trip/a.jpg"), "{report:?}");
            assert_eq!(report.left.len(), 2, "{report:?}");
        }
    }
}

/// Names that are taken twice over still leave nothing behind in the staging folder.
#[test]
fn a_conflict_copy_of_the_same_name_is_in_the_way() {
    let now = leaving(|_| ());
    now.stage.twin.break_next_lease(HERE).unwrap();
    now.stage
        .twin
        .before("lease-holds", 1, |twin| write(twin, HERE, "other"));
    now.stage.twin.before("rename", 2, |twin| {
        let hash = blake3::hash(b"first").to_hex();
        let date = mooring_core::receipt::timestamp(1_700_000_000);
        let copy = format!(
            "{TRIP}/a (conflict laptop {} {}).jpg",
            &date[..10],
            &hash[..8]
        );
        write(twin, &copy, "in the way");
    });
    let (stage, _) = now.remove();
    let here: Vec<_> = stage.contents(TRIP).into_values().collect();
    for content in ["first", "other", "in the way"] {
        assert!(
            here.contains(&content.as_bytes().to_vec()),
            "{content:?} in {here:?}"
        );
    }
}

/// The folder is moved away, and a link to elsewhere takes its place.
#[test]
fn a_folder_swapped_for_a_link() {
    for (moment, nth) in MOMENTS {
        let now = leaving(|_| ());
        write(&now.stage.twin, "/home/alice/elsewhere/a.jpg", "first");
        now.stage.twin.before(moment, nth, |twin| {
            twin.rename(TRIP, "/home/alice/moved").unwrap();
            twin.symlink("/home/alice/elsewhere", TRIP).unwrap();
        });
        let (stage, _) = now.remove();
        assert_eq!(
            stage.twin.read("/home/alice/elsewhere/a.jpg").unwrap(),
            b"first",
            "{moment}"
        );
        assert!(stage.twin.exists(TRIP), "{moment}");
    }
}

/// What somebody does to a copy.
type Change = (&'static str, fn(&TwinFiles));

/// The copy, after it was read back.
#[test]
fn without_its_copy_nothing_goes() {
    let deeds: [Change; 6] = [
        ("removed", |twin| twin.remove(THERE).unwrap()),
        ("edited", |twin| write(twin, THERE, "other")),
        ("truncated", |twin| write(twin, THERE, "")),
        ("same length", |twin| write(twin, THERE, "FIRST")),
        ("replaced by a link", |twin| {
            twin.remove(THERE).unwrap();
            twin.symlink(HERE, THERE).unwrap();
        }),
        ("its folder is gone", |twin| {
            twin.remove("/mnt/nas/Photos/trip").unwrap()
        }),
    ];
    for (what, deed) in deeds {
        for known_good in [true, false] {
            let now = leaving(|stage| {
                stage
                    .twin
                    .configure(stage.nas, |disk| disk.known_good = known_good);
            });
            deed(&now.stage.twin);
            let (stage, report) = now.remove();
            let when = format!("{what}, known good: {known_good}");
            assert_eq!(stage.twin.read(HERE).unwrap(), b"first", "{when}");
            assert!(named(&report, "trip/a.jpg"), "{when}: {report:?}");
        }
    }
}

/// Where stamps prove little, the copy is read once more, and rot is seen. Its sign-out does not
/// end by itself.
#[test]
fn a_copy_that_rots_after_it_was_read_back() {
    let now = leaving(|stage| {
        stage
            .twin
            .configure(stage.nas, |disk| disk.known_good = false)
    });
    now.stage.twin.rot(THERE, "rot!!").unwrap();
    let (stage, report) = now.remove();
    assert_eq!(stage.twin.read(HERE).unwrap(), b"first");
    assert!(named(&report, "trip/a.jpg"), "{report:?}");
}

#[test]
fn what_arrives_meanwhile_stays_and_is_named() {
    for (moment, nth) in [("open", 1), ("rename", 1), ("unlink", 1), ("remove-dir", 1)] {
        let now = leaving(|_| ());
        now.stage.twin.before(moment, nth, |twin| {
            write(twin, &format!("{TRIP}/new.jpg"), "new");
            write(twin, &format!("{PHOTOS}/other/new.jpg"), "other");
        });
        let (stage, report) = now.remove();
        let when = format!("before {moment}");
        assert_eq!(
            names(&stage),
            ["other", "other/new.jpg", "trip", "trip/new.jpg"],
            "{when}"
        );
        assert!(
            named(&report, "trip/new.jpg") && named(&report, "other/new.jpg"),
            "{when}"
        );
        assert_eq!(report.remaining, 0, "{when}: {report:?}");
    }
}

#[test]
fn a_file_that_vanishes_is_not_missed() {
    for (moment, nth) in MOMENTS {
        let now = leaving(|_| ());
        now.stage.twin.before(moment, nth, |twin| {
            twin.rename(HERE, "/home/alice/mine.jpg").unwrap();
        });
        let (stage, _) = now.remove();
        let (_, report) = drain_verify_remove(&stage.account(), &[], "receipt-x").unwrap();
        assert_eq!(report.remaining, 0, "{moment}");
        assert_eq!(
            stage.twin.read("/home/alice/mine.jpg").unwrap(),
            b"first",
            "{moment}"
        );
        assert_eq!(stage.twin.read(THERE).unwrap(), b"first", "{moment}");
    }
}

/// A proof that was made for another removal opens nothing, and neither does a changed epoch.
#[test]
fn a_proof_is_good_for_its_removal_only() {
    let now = leaving(|_| ());
    let keep = [mooring_core::collection::Collection::Photos];
    remove::remove(&now.account, now.proof, &keep).unwrap_err();
    assert_eq!(now.stage.twin.read(HERE).unwrap(), b"first");
    assert!(now.account.state.epoch().unwrap() == mooring_worker::state::Epoch::Leaving);
}

/// Another owner's file cannot be leased: it is read once more, and the report says so.
#[test]
fn without_leases_it_is_said() {
    let now = leaving(|stage| {
        let home = stage.twin.disk_at("/home").unwrap();
        stage.twin.configure(home, |disk| disk.leases = false);
    });
    let (stage, report) = now.remove();
    assert!(!report.writers_excluded && !report.remarks.is_empty());
    assert_eq!(names(&stage), Vec::<String>::new());
    assert_eq!(stage.contents(&format!("{STORAGE}/Photos")).len(), 1);

    // An edit in place that no lease kept out is seen.
    let now = leaving(|stage| {
        let home = stage.twin.disk_at("/home").unwrap();
        stage.twin.configure(home, |disk| disk.leases = false);
    });
    now.stage
        .twin
        .before("rename", 1, |twin| write(twin, HERE, "theirs"));
    let (stage, report) = now.remove();
    assert_eq!(stage.twin.read(HERE).unwrap(), b"theirs");
    assert!(named(&report, "trip/a.jpg"));
}

/// What rots changes no stamp: a read-back of long ago is made anew, and the original stays until the
/// good bytes are in the storage again.
#[test]
fn a_copy_that_was_read_back_long_ago_is_read_again() {
    const DAYS: i64 = 24 * 60 * 60 * 1_000_000_000;
    for (days, reads) in [(29, 0), (31, 1)] {
        let stage = in_step(|_| ());
        // Read back when it had long been as it is.
        mooring_worker::check::check(&stage.account()).unwrap();
        stage.twin.advance(days * DAYS);
        let planned = mooring_worker::plan::plan(&stage.account(), &[]).unwrap();
        let verified: u64 = planned.collections.iter().map(|c| c.verified).sum();
        assert_eq!(verified, 1 - reads, "{planned:?}");
        if reads == 1 {
            stage.twin.rot(THERE, "f1rst").unwrap();
        }
        let account = stage.account();
        let (_, report) = drain_verify_remove(&account, &[], "receipt-x").unwrap();
        assert_eq!(report.remaining, 0);
        assert_eq!(stage.twin.read(THERE).unwrap(), b"first", "{days} days");
    }
}
