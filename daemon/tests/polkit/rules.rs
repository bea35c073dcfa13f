//! The defaults of each action, an administrator's rules, and what the daemon may ask of systemd.

use std::process::{Command, Stdio};

use mooring_tests::{PATIENCE, Process};
use mooringd::bus::actions::Action;

use crate::calls::quiet;
use crate::device::{ANNA, BERT, Device, MOORING, Printed, as_person};

/// What the actions are open to without a password: to callers in no session (`any`), which these
/// are, as there is no logind here.
fn open_to_any(action: Action) -> bool {
    match action {
        Action::Read
        | Action::Sync
        | Action::Backup
        | Action::Restore
        | Action::ManageJobs
        | Action::Inhibit => true,
        Action::SignIn
        | Action::SignOut
        | Action::ManageDevices
        | Action::ChangePassword
        | Action::Administer => false,
    }
}

fn name(action: Action) -> &'static str {
    action.id().rsplit('.').next().unwrap()
}

#[tokio::test]
async fn each_action_has_its_default() {
    let device = Device::new(&[]).await;
    for action in Action::ALL {
        let answer = quiet(ANNA, name(action)).answer().await;
        if open_to_any(action) {
            assert_eq!(answer, Ok(()), "{action:?}");
        } else {
            let why = answer.expect_err(action.id());
            assert!(why.contains("this call cannot wait for one"), "{why}");
            assert!(why.contains(action.id()), "{why}");
        }
        // Root is asked nothing.
        assert_eq!(quiet(0, name(action)).answer().await, Ok(()), "{action:?}");
    }
    // What polkit read, in the three cases.
    let pkaction = Command::new("pkaction").arg("--verbose").output().unwrap();
    let text = String::from_utf8(pkaction.stdout).unwrap();
    for (id, any, inactive, active) in [
        ("read", "yes", "yes", "yes"),
        ("sign-in", "auth_self", "auth_self", "yes"),
        ("sign-out", "auth_self", "auth_self", "yes"),
        ("sync", "yes", "yes", "yes"),
        ("backup", "yes", "yes", "yes"),
        ("restore", "yes", "yes", "yes"),
        ("manage-jobs", "yes", "yes", "yes"),
        ("manage-devices", "auth_self", "auth_self", "auth_self_keep"),
        ("change-password", "auth_self", "auth_self", "yes"),
        ("inhibit", "yes", "yes", "yes"),
        ("administer", "auth_admin", "auth_admin", "auth_admin_keep"),
    ] {
        let section = text
            .split("\n\n")
            .find(|section| section.starts_with(&format!("org.mooring1.{id}:")));
        let section = section.unwrap_or_else(|| panic!("no {id} in {text}"));
        for (key, value) in [("any", any), ("inactive", inactive), ("active", active)] {
            let line = section
                .lines()
                .find(|line| line.trim().starts_with(&format!("implicit {key}:")));
            let line = line.unwrap_or_else(|| panic!("{section}"));
            assert_eq!(line.rsplit(' ').next(), Some(value), "{id} {key}");
        }
    }
    assert_eq!(text.matches("org.mooring1.").count(), Action::ALL.len());
    drop(device);
}

#[tokio::test]
async fn an_administrators_rules_decide_first() {
    let rules = r#"
        polkit.addRule(function (action, subject) {
            if (action.id === "org.mooring1.sync" && subject.user === "anna") {
                return polkit.Result.NO;
            }
            if (action.id === "org.mooring1.sign-out" && subject.user === "bert" &&
                action.lookup("identity") === "alice") {
                return polkit.Result.YES;
            }
        });"#;
    let device = Device::new(&[("10-ours.rules", rules)]).await;
    let why = quiet(ANNA, "sync").answer().await.unwrap_err();
    assert!(why.contains("the rules of this device say no"), "{why}");
    assert_eq!(quiet(BERT, "sync").answer().await, Ok(()));
    assert_eq!(quiet(BERT, "sign-out").answer().await, Ok(()));
    assert!(quiet(ANNA, "sign-out").answer().await.is_err());
    let told = device.told.text();
    assert!(!told.to_lowercase().contains("error"), "{told}");
}

#[tokio::test]
async fn without_polkit_everything_is_refused() {
    let mut device = Device::new(&[]).await;
    assert_eq!(quiet(ANNA, "read").answer().await, Ok(()));
    device.polkitd.kill();
    for what in ["read", "sign-out", "administer"] {
        let why = quiet(ANNA, what).answer().await.unwrap_err();
        assert!(why.contains("systemctl start polkit"), "{why}");
    }
    // Nobody is let in past it, root neither: who may do what is not known.
    assert!(quiet(0, "read").answer().await.is_err());
}

/// A process of somebody, for as long as it is asked about.
struct Somebody(Process);

impl Somebody {
    async fn new(uid: u32) -> Self {
        let mut command = as_person(uid, "sh");
        command.args([
            "-c",
            &format!("echo here; exec sleep {}", PATIENCE.as_secs()),
        ]);
        let mut process = Process::start("sleep", command.stdout(Stdio::piped()));
        // Before, it may still be root's.
        Printed::by(process.stdout().unwrap())
            .wait_for("here")
            .await;
        Self(process)
    }

    /// Whether it may do this to a unit, asked as systemd asks.
    fn may(&self, action: &str, unit: &str, verb: &str) -> bool {
        let output = Command::new("pkcheck")
            .args(["--action-id", action])
            .args(["--process", &self.0.pid().to_string()])
            .args(["--detail", "unit", unit, "--detail", "verb", verb])
            .output()
            .unwrap();
        match output.status.code() {
            Some(0) => true,
            // No; or only with a password.
            Some(1..=3) => false,
            _ => panic!("{output:?}"),
        }
    }
}

#[tokio::test]
async fn the_daemon_may_start_and_stop_workers_and_nothing_else() {
    let device = Device::new(&[]).await;
    let (mooring, anna) = (Somebody::new(MOORING).await, Somebody::new(ANNA).await);
    let units = "org.freedesktop.systemd1.manage-units";
    let worker = "mooring-worker@61001.service";
    for verb in ["start", "stop", "restart"] {
        assert!(mooring.may(units, worker, verb), "{verb}");
        assert!(!anna.may(units, worker, verb), "{verb}");
        for unit in [
            "mooring-worker@0.service",
            "mooring-worker@.service",
            "mooring-worker@61001.servicex",
            "x-mooring-worker@61001.service",
            "mooring-worker@61001\n.service",
            "mooring-worker@anna.service",
            "mooring-worker@-1.service",
            "mooring-worker@61001.socket",
            "mooringd.service",
            "dbus.service",
        ] {
            assert!(!mooring.may(units, unit, verb), "{verb} {unit}");
        }
    }
    for verb in ["reload", "try-restart", "kill", "set-property", "", "Start"] {
        assert!(!mooring.may(units, worker, verb), "{verb}");
    }
    for action in ["manage-unit-files", "reload-daemon", "set-environment"] {
        let action = format!("org.freedesktop.systemd1.{action}");
        assert!(!mooring.may(&action, worker, "start"), "{action}");
    }
    device.told.wait_for("Finished loading").await;
    let told = device.told.text();
    assert!(!told.to_lowercase().contains("error"), "{told}");
}
