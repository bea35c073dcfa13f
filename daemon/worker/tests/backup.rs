//! Backups and restores on the simulated disk: whole under their final name after every death, and
//! never over anything; and what `check` and `why` say.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_wire::{BackupReport, RestoreReport};
use mooring_worker::error::{Error, Result};
use mooring_worker::files::Files;
use mooring_worker::files::twin::DiskId;
use mooring_worker::{backup, check, restore, signin, why};
use stage::{CONTACTS, PHOTOS, STORAGE, Stage, drain_verify_remove};

const STICK: &str = "/mnt/stick";
const NAME: &str = "alice-20261124T120000Z";
const SEEDS: [u64; 4] = [0, 1, 2, 77];

/// Alice signed in, with a few files in step, and a stick for backups.
fn stage() -> (Stage, DiskId) {
    let mut stage = Stage::new();
    let stick = stage.twin.add_disk();
    stage.twin.mount(stick, STICK).unwrap();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    let odd = Path::new(PHOTOS).join(OsStr::from_bytes(b"od\xff/n\xfe.jpg"));
    let put = |path: &Path, content: &str| stage.twin.write_durable(path, content).unwrap();
    put(&Path::new(PHOTOS).join("beach.jpg"), "beach");
    put(&Path::new(PHOTOS).join("trip/new\nline"), "newline");
    put(&Path::new(PHOTOS).join("trip/back\\slash"), "slash");
    put(&odd, "odd");
    put(&Path::new(CONTACTS).join("bob.vcf"), "bob");
    stage.twin.mkdir(format!("{PHOTOS}/empty")).unwrap();
    stage
        .twin
        .symlink("/etc", format!("{PHOTOS}/link"))
        .unwrap();
    stage
        .twin
        .chmod(format!("{PHOTOS}/beach.jpg"), 0o640)
        .unwrap();
    stage.twin.settle();
    // Old enough that stamps are believed.
    stage.twin.advance(10_000_000_000);
    signin::sync_now(&stage.account(), true).unwrap();
    stage.twin.advance(10_000_000_000);
    stage.twin.fuse().reset();
    (stage, stick)
}

fn take(stage: &Stage) -> Result<BackupReport> {
    backup::backup(&stage.account(), Path::new(STICK), NAME)
}

fn bring_back(stage: &Stage) -> Result<RestoreReport> {
    let from = Path::new(STICK).join(NAME);
    restore::restore(&stage.account(), &from, b"", None)
}

/// The files of a backup's collections.
fn taken(stage: &Stage) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = stage.contents(&format!("{STICK}/{NAME}"));
    files.retain(|path, _| path.components().count() > 1);
    files
}

/// The list names every file there is, with the hash of its bytes.
fn assert_whole(stage: &Stage, when: &str) {
    let files = taken(stage);
    assert_eq!(files.len(), 5, "{when}: {files:?}");
    let list = stage.twin.read(format!("{STICK}/{NAME}/B3SUMS")).unwrap();
    let list = String::from_utf8(list).unwrap();
    assert_eq!(list.lines().count(), 7, "{when}: {list}");
    for bytes in files.values() {
        assert!(
            list.contains(blake3::hash(bytes).to_hex().as_str()),
            "{when}"
        );
    }
    assert!(
        stage.twin.exists(format!("{STICK}/{NAME}/Photos/empty")),
        "{when}"
    );
}

#[test]
fn a_backup_holds_bytes_names_times_and_modes() {
    let (stage, _) = stage();
    let report = take(&stage).unwrap();
    assert_eq!(
        (report.files.files, report.missing_total, report.left_out),
        (5, 0, 1)
    );
    assert_whole(&stage, "undisturbed");
    let at = format!("{STICK}/{NAME}/Photos/beach.jpg");
    let (here, there) = (
        stage.twin.stat_path(format!("{PHOTOS}/beach.jpg")).unwrap(),
        stage.twin.stat_path(at).unwrap(),
    );
    assert_eq!((here.mtime, here.mode), (there.mtime, there.mode));
    let names = stage.twin.read(format!("{STICK}/{NAME}/NAMES")).unwrap();
    assert!(String::from_utf8(names).unwrap().contains("od%FF/n%FE.jpg"));
    assert_eq!(take(&stage).unwrap(), report, "a second call finds it done");
}

#[test]
fn every_point_of_death_of_a_backup() {
    let (whole, _) = stage();
    take(&whole).unwrap();
    let effects = whole.twin.fuse().count();
    assert!(effects > 20, "only {effects} effects");
    for seed in SEEDS {
        for at in 1..=effects {
            let (mut stage, _) = stage();
            stage.twin.fuse().set(Some(at));
            take(&stage).expect_err("it was to die");
            let when = format!("effect {at}, seed {seed}");
            stage.twin.restart(seed);
            if stage.twin.exists(format!("{STICK}/{NAME}")) {
                assert_whole(&stage, &format!("right after {when}"));
            }
            let report = take(&stage).unwrap_or_else(|e| panic!("{when}: {e}"));
            assert_eq!(report.files.files, 5, "{when}");
            assert_whole(&stage, &when);
            let left: Vec<_> = stage.twin.tree(STICK).unwrap().into_keys().collect();
            assert!(
                left.iter().all(|path| path.starts_with(NAME)),
                "{when}: {left:?}"
            );
        }
    }
}

#[test]
fn what_is_written_to_meanwhile_is_named_and_the_rest_is_taken() {
    let (stage, _) = stage();
    let beach = format!("{PHOTOS}/beach.jpg");
    stage.twin.open_writer(&beach).unwrap();
    let report = take(&stage).unwrap();
    assert_eq!((report.files.files, report.missing_total), (4, 1));
    assert_eq!(report.missing[0].0, beach.as_bytes());
    assert!(!taken(&stage).contains_key(Path::new("Photos/beach.jpg")));
    // Asked again after a death, it still says so.
    assert_eq!(take(&stage).unwrap(), report);
}

#[test]
fn rot_on_the_backups_disk_is_found_before_it_is_one() {
    let (stage, _) = stage();
    let partial = format!("{STICK}/.partial-{}-{NAME}", stage.spec().id);
    stage.twin.before("sync-all", 1, move |twin| {
        // What is durable goes bad before it is read back.
        twin.before("open", 2, move |twin| {
            twin.rot(format!("{partial}/Photos/beach.jpg"), "brach")
                .unwrap();
        });
    });
    let ended = take(&stage);
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(stage.twin.tree(STICK).unwrap().len(), 0);
}

#[test]
fn places_that_must_not_be_are_refused_and_space_is_reckoned_up_first() {
    let (stage, stick) = stage();
    for to in [STORAGE, "/mnt", PHOTOS, "/home/alice", "/", "/nowhere"] {
        let ended = backup::backup(&stage.account(), Path::new(to), NAME);
        assert!(matches!(ended, Err(Error::Refused(_))), "{to}: {ended:?}");
    }
    stage.twin.configure(stick, |disk| disk.capacity = Some(3));
    assert!(matches!(take(&stage), Err(Error::NoSpace(_))));
    assert_eq!(stage.twin.tree(STICK).unwrap().len(), 0);
}

/// What a restore has to bring back, and what it must not touch.
fn lose(stage: &Stage) {
    stage.twin.remove(format!("{PHOTOS}/trip")).unwrap();
    let odd = Path::new(PHOTOS).join(OsStr::from_bytes(b"od\xff"));
    stage.twin.remove(odd).unwrap();
    stage
        .twin
        .write_durable(format!("{PHOTOS}/beach.jpg"), "edited since")
        .unwrap();
    stage.twin.settle();
}

fn assert_restored(stage: &Stage, when: &str) {
    let photos = stage.contents(PHOTOS);
    let is = |name: &[u8], content: &str| {
        let there = photos.get(Path::new(OsStr::from_bytes(name)));
        assert_eq!(
            there.map(Vec::as_slice),
            Some(content.as_bytes()),
            "{when}: {name:?}"
        );
    };
    is(b"trip/new\nline", "newline");
    is(b"trip/back\\slash", "slash");
    is(b"od\xff/n\xfe.jpg", "odd");
    is(b"beach.jpg", "edited since");
    let copies: Vec<_> = photos
        .iter()
        .filter(|(_, bytes)| *bytes == b"beach")
        .collect();
    assert_eq!(copies.len(), 1, "{when}: {copies:?}");
    assert_eq!(photos.len(), 5, "{when}: {photos:?}");
}

#[test]
fn a_restore_overwrites_nothing_and_can_be_repeated() {
    let (stage, _) = stage();
    take(&stage).unwrap();
    lose(&stage);
    let report = bring_back(&stage).unwrap();
    assert_eq!(
        (report.restored.files, report.conflicts, report.equal),
        (4, 1, 1)
    );
    assert_restored(&stage, "undisturbed");
    let again = bring_back(&stage).unwrap();
    assert_eq!(
        (again.restored.files, again.equal, again.problems_total),
        (0, 5, 0)
    );
    assert_restored(&stage, "repeated");
}

#[test]
fn every_point_of_death_of_a_restore() {
    let (whole, _) = stage();
    take(&whole).unwrap();
    lose(&whole);
    whole.twin.fuse().reset();
    bring_back(&whole).unwrap();
    let effects = whole.twin.fuse().count();
    assert!(effects > 10, "only {effects} effects");
    for seed in SEEDS {
        for at in 1..=effects {
            let (mut stage, _) = stage();
            take(&stage).unwrap();
            lose(&stage);
            stage.twin.fuse().reset();
            stage.twin.fuse().set(Some(at));
            bring_back(&stage).expect_err("it was to die");
            let when = format!("effect {at}, seed {seed}");
            stage.twin.restart(seed);
            // Whatever has a name already is whole.
            for (path, bytes) in stage.contents(PHOTOS) {
                let known: [&[u8]; 5] = [b"beach", b"newline", b"slash", b"odd", b"edited since"];
                let staged = path.starts_with(".mooring-staging");
                assert!(
                    staged || known.contains(&&bytes[..]),
                    "{when}: {path:?} {bytes:?}"
                );
            }
            let report = bring_back(&stage).unwrap_or_else(|e| panic!("{when}: {e}"));
            assert_eq!(report.problems_total, 0, "{when}: {report:?}");
            assert_restored(&stage, &when);
        }
    }
}

#[test]
fn a_part_a_damaged_file_and_another_place() {
    let (stage, _) = stage();
    take(&stage).unwrap();
    let from = Path::new(STICK).join(NAME);
    stage.twin.mkdir("/home/alice/back").unwrap();
    let to = Path::new("/home/alice/back");
    let part = restore::restore(&stage.account(), &from, b"Photos/trip", Some(to)).unwrap();
    assert_eq!(part.restored.files, 2);
    let there = stage.contents("/home/alice/back");
    assert_eq!(there.len(), 2);
    assert_eq!(there[Path::new("Photos/trip/new\nline")], b"newline");
    let none = restore::restore(&stage.account(), &from, b"Photos/nothing", Some(to));
    assert!(matches!(none, Err(Error::Refused(_))), "{none:?}");
    for to in [from.as_path(), Path::new(STORAGE), Path::new(STICK)] {
        let ended = restore::restore(&stage.account(), &from, b"", Some(to));
        assert!(matches!(ended, Err(Error::Refused(_))), "{to:?}: {ended:?}");
    }
    stage
        .twin
        .write_durable(from.join("Photos/beach.jpg"), "damaged")
        .unwrap();
    let report = restore::restore(&stage.account(), &from, b"", Some(to)).unwrap();
    assert_eq!(
        (report.problems_total, report.restored.files, report.equal),
        (1, 2, 2)
    );
    assert!(report.problems[0].0.ends_with(b"Photos/beach.jpg"));
    assert!(!stage.twin.exists("/home/alice/back/.mooring-staging"));
    stage.twin.remove(from.join("Photos/beach.jpg")).unwrap();
    let report = restore::restore(&stage.account(), &from, b"", Some(to)).unwrap();
    assert_eq!(report.problems_total, 1);
    assert_eq!(report.problems[0].1, "is in B3SUMS and not in the backup");
}

#[test]
fn hostile_lists_write_nowhere_else() {
    let (stage, _) = stage();
    let before = stage.everything();
    let hash = blake3::hash(b"evil").to_hex();
    let odd = [
        "Photos/../../evil",
        "../evil",
        "/etc/evil",
        "Photos//evil",
        "Photos/./evil",
        "Photos",
        "Photos/.mooring-collection",
        "Photos/.mooring-staging/evil",
        "Nothing/evil",
        "evil",
    ];
    let list: String = odd.iter().map(|name| format!("{hash}  {name}\n")).collect();
    let mut list = list + &format!("{hash}  Photos/mapped\n");
    let names = b"Photos/mapped\tPhotos/%2E%2E/%2E%2E/evil\n";
    list += &format!("{}  NAMES\n", blake3::hash(names).to_hex());
    let at = |name: &str| format!("{STICK}/evil/{name}");
    stage.twin.write_durable(at("B3SUMS"), list).unwrap();
    stage.twin.write_durable(at("NAMES"), names).unwrap();
    for name in [
        "evil",
        "Photos/mapped",
        "Photos/.mooring-staging/evil",
        "Nothing/evil",
    ] {
        stage.twin.write_durable(at(name), "evil").unwrap();
    }
    let from = Path::new(STICK).join("evil");
    let report = restore::restore(&stage.account(), &from, b"", None).unwrap();
    assert_eq!(report.restored.files, 0, "{report:?}");
    assert_eq!(report.problems_total, 11, "{report:?}");
    assert_eq!(stage.everything(), before);
}

#[test]
fn a_check_reads_every_copy_and_names_what_is_wrong() {
    let (stage, _) = stage();
    let good = check::check(&stage.account()).unwrap();
    assert_eq!((good.proven.files, good.problems_total), (5, 0), "{good:?}");
    // Rot changes no stamp, and an earlier proof is no excuse.
    stage
        .twin
        .rot(format!("{STORAGE}/Photos/beach.jpg"), "brach")
        .unwrap();
    stage
        .twin
        .remove(format!("{STORAGE}/Contacts/bob.vcf"))
        .unwrap();
    stage
        .twin
        .write_durable(format!("{PHOTOS}/young.jpg"), "young")
        .unwrap();
    let report = check::check(&stage.account()).unwrap();
    let wrong: Vec<&[u8]> = report.problems.iter().map(|(path, _)| &path[..]).collect();
    assert_eq!(report.problems_total, 3, "{report:?}");
    for name in ["Photos/beach.jpg", "Contacts/bob.vcf", "Photos/young.jpg"] {
        assert!(
            wrong.iter().any(|path| path.ends_with(name.as_bytes())),
            "{name}"
        );
    }
}

/// A check that finds rot takes the proof back: no sign-out goes by it.
#[test]
fn what_a_check_found_rotten_is_uploaded_before_the_original_goes() {
    let (stage, _) = stage();
    let copy = format!("{STORAGE}/Photos/beach.jpg");
    let good = stage.twin.read(&copy).unwrap();
    check::check(&stage.account()).unwrap();
    stage.twin.rot(&copy, "brach").unwrap();
    let report = check::check(&stage.account()).unwrap();
    assert_eq!(report.problems_total, 1, "{report:?}");
    let account = stage.account();
    let (_, removed) = drain_verify_remove(&account, &[], "receipt-x").unwrap();
    assert_eq!(removed.remaining, 0);
    assert_eq!(stage.twin.read(&copy).unwrap(), good);
}

#[test]
fn why_says_how_a_file_stands() {
    let (stage, _) = stage();
    let asked = |name: &str| {
        let file = Path::new(PHOTOS).join(name);
        why::why(&stage.account(), &file).unwrap()
    };
    let beach = asked("beach.jpg");
    assert_eq!(beach.state, "in-step");
    assert_eq!(beach.copies.len(), 2);
    assert!(beach.read_back_at > 0);
    assert_eq!(asked("link").state, "skipped");
    assert_eq!(asked("trip").state, "skipped");
    assert_eq!(asked(".mooring-collection").state, "skipped");
    assert_eq!(asked("../elsewhere").state, "not-of-any-account");
    stage
        .twin
        .write_durable(format!("{PHOTOS}/young.jpg"), "young")
        .unwrap();
    assert_eq!(asked("young.jpg").state, "waiting-to-upload");
    stage
        .twin
        .write_durable(format!("{PHOTOS}/beach.jpg"), "edited")
        .unwrap();
    assert_eq!(asked("beach.jpg").state, "changed");
    stage
        .twin
        .remove(format!("{STORAGE}/Photos/trip/new\nline"))
        .unwrap();
    assert_eq!(asked("trip/new\nline").state, "held");
    assert_eq!(asked("never there").state, "not-of-any-account");
    stage
        .twin
        .write_durable(format!("{STORAGE}/Photos/trip.jpg/in it"), "theirs")
        .unwrap();
    stage
        .twin
        .write_durable(format!("{PHOTOS}/trip.jpg"), "ours")
        .unwrap();
    let clash = asked("trip.jpg");
    assert_eq!(clash.state, "skipped");
    assert!(clash.next.contains("Rename one"), "{clash:?}");
    stage
        .twin
        .configure(stage.nas, |disk| disk.capacity = Some(1));
    let young = asked("young.jpg");
    assert_eq!(young.state, "waiting-to-upload");
    assert!(young.reason.contains("has 0 MB free"), "{young:?}");
}

#[test]
fn abilities_are_asked_of_the_target() {
    let (stage, stick) = stage();
    // Where syncing everything at once is not enough, each file and folder is made durable alone.
    stage.twin.configure(stick, |disk| {
        disk.known_good = false;
        disk.no_replace = true;
    });
    let stick_dir = stage.twin.open_root(Path::new(STICK)).unwrap();
    assert!(!stage.twin.abilities(&stick_dir).unwrap().known_good);
    take(&stage).unwrap();
    let mut stage = stage;
    stage.twin.restart(0);
    assert_whole(&stage, "after a power loss");
}

/// Folder in folder, a path has no bound: no list of hashes ends a line too early.
#[test]
fn a_path_of_any_length_is_backed_up_and_comes_back() {
    let (stage, _) = stage();
    let mut folder = PathBuf::from(PHOTOS);
    for nr in 0..100 {
        folder.push(format!("{nr:0>220}"));
    }
    stage
        .twin
        .write_durable(folder.join("deep.jpg"), "deep")
        .unwrap();
    stage.twin.advance(10_000_000_000);
    signin::sync_now(&stage.account(), true).unwrap();
    let taken = take(&stage).unwrap();
    assert_eq!(
        (taken.files.files, taken.missing_total),
        (6, 0),
        "{taken:?}"
    );
    stage.twin.remove(folder.join("deep.jpg")).unwrap();
    let back = bring_back(&stage).unwrap();
    assert_eq!(
        (back.restored.files, back.problems_total),
        (1, 0),
        "{back:?}"
    );
    assert_eq!(stage.twin.read(folder.join("deep.jpg")).unwrap(), b"deep");
}
