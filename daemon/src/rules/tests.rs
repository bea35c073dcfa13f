#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::fs;
use std::time::Duration;

use mooring_core::policy::State;

use super::files::read_folder;
use super::*;

const GOOD: &str = "[organisation]\nname = \"Example\"\ncontact = \"help@example.org\"\n\
    [[rule]]\nname = \"stay\"\nsign-out = \"deny\"\nreason = \"Exams.\"\n";

/// Some Tuesday of 2026.
const NOW: u64 = 1_795_543_200;

struct Place {
    _folder: tempfile::TempDir,
    folders: Folders,
    store: Arc<Store>,
}

impl Place {
    fn rules(&self) -> Rules {
        let device = Device::load(self.folders.clone(), self.store.clone(), NOW);
        Rules::new(device.unwrap(), 0)
    }
}

fn reload(rules: &Rules) {
    rules.device().reload(NOW).unwrap();
    rules.take_up();
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_owned();
    let folders = Folders::below(&home.join("config/mooring"), &home.join("state"), &home);
    folders.make().unwrap();
    let store = Arc::new(Store::open(&folders.state.join("broker.db")).unwrap());
    Place {
        _folder: folder,
        folders,
        store,
    }
}

#[test]
fn no_files_are_no_policy() {
    let place = place();
    let rules = place.rules();
    assert_eq!(rules.in_force().standing.state(), State::None);
}

#[test]
fn a_bad_file_keeps_the_last_good_policy_over_a_restart() {
    let place = place();
    fs::create_dir_all(&place.folders.policies[0]).unwrap();
    let file = place.folders.policies[0].join("10-school.toml");
    fs::write(&file, GOOD).unwrap();
    let rules = place.rules();
    assert_eq!(
        rules.in_force().standing.state(),
        State::InForce,
        "{:?}",
        rules.in_force()
    );
    fs::write(&file, "[[rule]\n").unwrap();
    reload(&rules);
    assert_eq!(rules.in_force().standing.state(), State::LastGood);
    let again = place.rules();
    assert_eq!(again.in_force().standing.state(), State::LastGood);
    assert_eq!(again.in_force().standing.policy().rules().len(), 1);
}

#[test]
fn what_is_no_file_is_a_problem_and_not_an_absence() {
    let place = place();
    fs::create_dir_all(&place.folders.policies[0]).unwrap();
    let path = place.folders.policies[0].join("a.toml");
    let rules = place.rules();
    let state = || {
        reload(&rules);
        rules.in_force().standing.state()
    };
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    assert_eq!(state(), State::Invalid);
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(state(), State::Invalid);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(state(), State::Invalid);
    fs::remove_dir(&path).unwrap();
    fs::write(place.folders.policies[0].join(".#b.toml"), "junk").unwrap();
    fs::write(place.folders.policies[0].join("b.toml~"), "junk").unwrap();
    assert_eq!(state(), State::None);
}

#[test]
fn bad_settings_keep_the_ones_before() {
    let place = place();
    fs::create_dir_all(&place.folders.config).unwrap();
    let file = place.folders.config.join("mooring.toml");
    fs::write(&file, "[jobs]\nkeep-finished = 3\n").unwrap();
    let rules = place.rules();
    assert_eq!(rules.in_force().settings.keep_finished, 3);
    fs::write(&file, "[jobs]\nkeep-finished = \"x\"\n").unwrap();
    reload(&rules);
    assert_eq!(rules.in_force().settings.keep_finished, 3);
    assert_eq!(rules.in_force().settings_problems.len(), 1);
    assert_eq!(check(&place.folders, NOW).len(), 1);
    // Who starts with them has nothing to keep, and says so.
    assert!(rules.device().settings_were_read());
    assert!(!place.rules().device().settings_were_read());
}

/// As long as a daemon runs and nobody writes a file, only time tells that a bundle expired.
#[tokio::test(start_paused = true)]
async fn a_bundle_that_expires_is_seen_then() {
    const BUNDLE: &[u8] = include_bytes!("../../core/tests/policy/bundle/policy.bundle");
    const SIGNATURE: &[u8] = include_bytes!("../../core/tests/policy/bundle/policy.bundle.minisig");
    const KEY: &[u8] = include_bytes!("../../core/tests/policy/bundle/example.pub");
    /// As in the bundle.
    const EXPIRES: u64 = 1_801_353_600;
    let place = place();
    let began = tokio::time::Instant::now();
    let now = || NOW + began.elapsed().as_secs();
    let rules = place.rules();
    let device = rules.device();
    // Without a bundle nothing is waited for, and one that comes is noticed.
    let comes = async {
        tokio::time::sleep(Duration::from_secs(5_000)).await;
        let keys = place.folders.config.join("policy-keys.d");
        let folder = place.folders.state.join("policy");
        fs::create_dir_all(&keys).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(keys.join("example.pub"), KEY).unwrap();
        fs::write(folder.join("policy.bundle"), BUNDLE).unwrap();
        fs::write(folder.join("policy.bundle.minisig"), SIGNATURE).unwrap();
        device.reload(now()).unwrap();
        std::future::pending().await
    };
    tokio::select! {
        () = device.bundle_expires(now) => {}
        never = comes => never,
    }
    assert_eq!(now(), EXPIRES);
    let state = || {
        rules.take_up();
        rules.in_force().standing.state()
    };
    assert_eq!(state(), State::InForce);
    device.reload(now()).unwrap();
    assert_eq!(state(), State::Expired);
    // A clock that was set back takes that back.
    let earlier = || EXPIRES - 5;
    device.bundle_expires(earlier).await;
    device.reload(earlier()).unwrap();
    assert_eq!(state(), State::InForce);
    device.bundle_expires(now).await;
    // Where a reload cannot tell it, nobody spins: it is tried again after an hour.
    let memory = place.folders.state.join("policy/accepted.json");
    let good = fs::read(&memory).unwrap();
    fs::write(&memory, "junk").unwrap();
    let hour = Duration::from_secs(60 * 60);
    for _ in 0..2 {
        device.reload(now()).unwrap_err();
        let began = tokio::time::Instant::now();
        device.bundle_expires(now).await;
        assert!(began.elapsed() >= hour);
    }
    fs::write(&memory, good).unwrap();
    device.reload(now()).unwrap();
    assert_eq!(state(), State::Expired);
    // It is seen once.
    let year = Duration::from_secs(366 * 24 * 60 * 60);
    let again = tokio::time::timeout(year, device.bundle_expires(now)).await;
    assert!(again.is_err());
}

#[tokio::test]
async fn folders_that_appear_later_are_watched_from_then_on() {
    let place = place();
    let mut watch = Watch::start(&place.folders).unwrap();
    let bound = Duration::from_secs(10);
    let changed = async |watch: &mut Watch| {
        assert!(tokio::time::timeout(bound, watch.changed()).await.unwrap());
    };
    fs::create_dir_all(&place.folders.policies[0]).unwrap();
    changed(&mut watch).await;
    let file = place.folders.policies[0].join("a.toml");
    fs::write(&file, GOOD).unwrap();
    changed(&mut watch).await;
    // As editors do it.
    let new = place.folders.policies[0].join(".a.toml.new");
    fs::write(&new, GOOD).unwrap();
    fs::rename(&new, &file).unwrap();
    changed(&mut watch).await;
    fs::remove_dir_all(&place.folders.config).unwrap();
    changed(&mut watch).await;
    fs::create_dir_all(&place.folders.policies[0]).unwrap();
    changed(&mut watch).await;
}

#[test]
fn a_folder_that_others_can_write_to_is_no_place_for_policy() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), GOOD).unwrap();
    let mode = |mode| {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        read_folder(folder.path(), true)
    };
    for open in [0o777, 0o775, 0o757] {
        let problems = mode(open).unwrap_err();
        assert!(
            problems[0]
                .file
                .ends_with(folder.path().file_name().unwrap().to_str().unwrap())
        );
    }
    assert_eq!(mode(0o755).is_ok(), nix::unistd::geteuid().is_root());
    assert!(read_folder(folder.path(), false).is_ok());
    assert!(
        read_folder(&folder.path().join("none"), true)
            .unwrap()
            .is_empty()
    );
}
