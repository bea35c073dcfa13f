//! Signed bundles of policy, made and signed as an organisation would, on the real binaries: what
//! counts, what does not, what is remembered over a restart, and what the audit says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use mooring_api::ManagerProxy;
use mooring_tests::{PATIENCE, World};

use crate::stage::{Client, belongings, sign_out, signed_in};

const DENY: &str = "[organisation]\nname = \"Harbour Lights Ltd\"\ncontact = \"it@harbour.example\"\n\n\
    [[rule]]\nname = \"audit\"\nreason = \"The auditors are here.\"\nsign-out = \"deny\"\n";
const DAY: u64 = 24 * 3_600;

/// An organisation with a key, and a device that trusts it.
struct Organisation<'a> {
    world: &'a World,
    folder: PathBuf,
}

#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; install it: apt-get install minisign")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

/// So many seconds from now; before now when negative.
fn at(seconds: i64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let then = now.as_secs().checked_add_signed(seconds).unwrap();
    let said = run(Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d"])
        .arg(format!("@{then}")));
    String::from_utf8(said).unwrap().trim().to_owned()
}

fn made_key(folder: &Path, name: &str) {
    run(Command::new("minisign")
        .args(["-G", "-W", "-f", "-p"])
        .arg(folder.join(format!("{name}.pub")))
        .arg("-s")
        .arg(folder.join(format!("{name}.key"))));
}

impl<'a> Organisation<'a> {
    fn new(world: &'a World) -> Self {
        let folder = world.folder().join("organisation");
        fs::create_dir_all(&folder).unwrap();
        made_key(&folder, "harbour");
        made_key(&folder, "stranger");
        fs::create_dir_all(world.config().join("policy-keys.d")).unwrap();
        let this = Self { world, folder };
        fs::copy(this.folder.join("harbour.pub"), this.trusted_key()).unwrap();
        this
    }

    fn trusted_key(&self) -> PathBuf {
        self.world.config().join("policy-keys.d/harbour.pub")
    }

    /// Where the fetcher of a session would put it.
    fn place(&self) -> PathBuf {
        self.world.state().join("policy/policy.bundle")
    }

    /// A bundle that this key signed, not in its place yet.
    fn signed(&self, version: u32, expires: &str, rules: &str, key: &str) -> PathBuf {
        let file = self.folder.join("50-audit.toml");
        fs::write(&file, rules).unwrap();
        let maker = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/make-bundle");
        let text = run(Command::new(maker)
            .args(["Harbour Lights Ltd", &version.to_string(), expires])
            .arg(file));
        let bundle = self.folder.join("policy.bundle");
        fs::write(&bundle, text).unwrap();
        run(Command::new("minisign")
            .args(["-S", "-s"])
            .arg(self.folder.join(format!("{key}.key")))
            .arg("-m")
            .arg(&bundle));
        bundle
    }

    /// Puts a bundle and its signature into their place, as the fetcher does.
    fn put(&self, bundle: &Path) {
        for (from, to) in [
            (signature(bundle), signature(&self.place())),
            (bundle.to_owned(), self.place()),
        ] {
            let new = to.with_extension("new");
            fs::copy(from, &new).unwrap();
            fs::rename(new, to).unwrap();
        }
    }

    fn give(&self, version: u32, expires: &str, rules: &str) {
        self.put(&self.signed(version, expires, rules, "harbour"));
    }
}

fn signature(bundle: &Path) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

async fn expect(manager: &ManagerProxy<'_>, state: &str, version: u64, said: &str) {
    manager.reload().await.unwrap();
    let policy = manager.show_policy().await.unwrap();
    assert_eq!(
        (policy.state.as_str(), policy.bundle_version),
        (state, version),
        "{policy:?}"
    );
    let told = policy.problems.iter().any(|problem| problem.contains(said));
    assert!(
        told || said.is_empty(),
        "no {said:?} in {:?}",
        policy.problems
    );
}

#[tokio::test]
async fn a_signed_bundle_counts_and_nothing_older_broken_or_strange_takes_its_place() {
    let world = World::new();
    let organisation = Organisation::new(&world);
    let (daemon, before) = signed_in(&world).await;
    let (mut client, manager) = (Client::new(&world).await, world.manager().await);
    let later = at(DAY as i64);

    // It is noticed by itself.
    organisation.give(7, &later, DENY);
    client
        .until("a bundle in force", async || {
            (manager.policy_state().await.unwrap() == "in-force").then_some(())
        })
        .await;
    let refused = sign_out(&world, &[]).await.expect_code(3);
    assert!(
        refused.stderr.contains("policy.bundle:50-audit.toml:5"),
        "{}",
        refused.stderr
    );
    let log = daemon.log();
    assert!(
        log.contains("sign-out of alice by person denied: audit ("),
        "{log}"
    );

    let allow = DENY.replace("deny", "allow");
    organisation.give(6, &later, &allow);
    expect(&manager, "last-good", 7, "never comes back").await;
    organisation.give(8, &at(-60), &allow);
    expect(&manager, "last-good", 7, "expired at").await;
    organisation.put(&organisation.signed(9, &later, &allow, "stranger"));
    expect(&manager, "last-good", 7, "none of the keys").await;
    organisation.give(9, &later, &allow);
    let whole = fs::read(organisation.place()).unwrap();
    fs::write(organisation.place(), &whole[..whole.len() / 2]).unwrap();
    expect(&manager, "last-good", 7, "cut short").await;
    fs::write(organisation.place(), vec![b'#'; 1024 * 1024 + 1]).unwrap();
    expect(&manager, "last-good", 7, "larger than 1 MiB").await;
    organisation.give(9, &later, "[[rule]\n");
    expect(&manager, "last-good", 7, "50-audit.toml:").await;
    fs::remove_file(organisation.place()).unwrap();
    expect(&manager, "last-good", 7, "the bundle is gone").await;

    // What was remembered outlives the process.
    organisation.give(6, &later, &allow);
    assert!(daemon.terminate().await.success());
    let _daemon = world.daemon().await;
    let manager = world.manager().await;
    expect(&manager, "last-good", 7, "never comes back").await;
    let _ = sign_out(&world, &[]).await.expect_code(3);
    before.assert_same(&belongings(&world));
    organisation.give(9, &later, &allow);
    expect(&manager, "in-force", 9, "").await;
    let _ = sign_out(&world, &[]).await.expect_code(0);
}

#[tokio::test]
async fn an_expired_bundle_stays_in_force_and_says_so() {
    let world = World::new();
    let organisation = Organisation::new(&world);
    let _daemon = world.daemon().await;
    let manager = world.manager().await;
    organisation.give(1, &at(2), DENY);
    expect(&manager, "in-force", 1, "").await;
    let expired = async {
        loop {
            if manager.policy_state().await.unwrap() == "expired" {
                return;
            }
            // It is the clock that has to go on.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, expired).await.unwrap();
    expect(&manager, "expired", 1, "stays in force").await;
    let shown = world.ctl(&["policy", "show"]).run().await.expect_code(0);
    assert!(
        shown.stdout.contains("expired. It stays in force"),
        "{}",
        shown.stdout
    );
}

#[tokio::test]
async fn the_first_bundle_has_to_count_and_the_last_is_given_up_with_its_keys() {
    let world = World::new();
    let organisation = Organisation::new(&world);
    let (daemon, _) = signed_in(&world).await;
    let manager = world.manager().await;
    // Nothing was ever good: nobody knows what is forbidden.
    organisation.put(&organisation.signed(3, &at(DAY as i64), DENY, "stranger"));
    expect(&manager, "invalid", 0, "none of the keys").await;
    let _ = sign_out(&world, &[]).await.expect_code(3);
    organisation.give(3, &at(DAY as i64), DENY);
    expect(&manager, "in-force", 3, "").await;

    fs::remove_file(organisation.trusted_key()).unwrap();
    expect(&manager, "last-good", 3, "no key that may sign it").await;
    fs::remove_file(organisation.place()).unwrap();
    expect(&manager, "none", 0, "").await;
    let log = daemon.log();
    assert!(
        log.contains("the bundle of Harbour Lights Ltd, version 3, was given up"),
        "{log}"
    );
    let _ = sign_out(&world, &[]).await.expect_code(0);
}

#[tokio::test]
async fn a_bundle_is_checked_and_the_report_names_it() {
    let world = World::new();
    let organisation = Organisation::new(&world);
    let (_daemon, _) = signed_in(&world).await;
    let bundle = organisation.signed(4, &at(DAY as i64), DENY, "harbour");
    let path = bundle.to_str().unwrap();
    let checked = world
        .ctl(&["policy", "check", path])
        .run()
        .await
        .expect_code(0);
    assert!(
        checked.stdout.contains("version 4, signed by harbour.pub"),
        "{}",
        checked.stdout
    );
    let json = world
        .ctl(&["--json", "policy", "check", path])
        .run()
        .await
        .expect_code(0)
        .json();
    assert_eq!(
        (&json["version"], &json["key"]),
        (&4.into(), &"harbour.pub".into())
    );
    let simulated = world.ctl(&["policy", "simulate", path]).run().await;
    let simulated = simulated.expect_code(0).stdout;
    for word in ["alice", "→ denied", "Harbour Lights Ltd"] {
        assert!(simulated.contains(word), "no {word} in {simulated}");
    }
    fs::write(&bundle, "changed").unwrap();
    let simulated = world.ctl(&["policy", "simulate", path]).run().await;
    let simulated = simulated.expect_code(1).stdout;
    assert!(simulated.contains("does not fit"), "{simulated}");
    let checked = world
        .ctl(&["policy", "check", path])
        .run()
        .await
        .expect_code(1);
    assert!(
        checked.stdout.contains("does not fit"),
        "{}",
        checked.stdout
    );

    organisation.give(4, &at(DAY as i64), DENY);
    expect(&world.manager().await, "in-force", 4, "").await;
    // An older one would not come into force, and changes nothing.
    let older = organisation.signed(3, &at(DAY as i64), DENY, "harbour");
    let simulated = world
        .ctl(&["policy", "simulate", older.to_str().unwrap()])
        .run()
        .await;
    let simulated = simulated.expect_code(1).stdout;
    assert!(simulated.contains("never comes back"), "{simulated}");
    let older = ["policy", "check", older.to_str().unwrap()];
    let checked = world.ctl(&older).run().await.expect_code(1).stdout;
    assert!(checked.contains("never comes back"), "{checked}");
    let metrics = world.folder().join("mooring.prom");
    let report = world
        .ctl(&["--json", "report", "--metrics", metrics.to_str().unwrap()])
        .run()
        .await
        .expect_code(0)
        .json();
    assert_eq!(report["policy"]["bundle"]["version"], 4);
    assert_eq!(report["accounts"][0]["identity"], "alice");
    assert_eq!(report["accounts"][0]["waiting"], 0);
    let metrics = fs::read_to_string(metrics).unwrap();
    for line in [
        "mooring_accounts{state=\"active\"} 1",
        "mooring_policy_state{state=\"in-force\"} 1",
        "mooring_policy_bundle_version 4",
        "mooring_files_waiting 0",
        "mooring_sign_outs_refused_total{reason=\"policy\"} 0",
        "mooring_policy_problems 0",
        "mooring_accounts_paused 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "no {line} in {metrics}");
    }
}
