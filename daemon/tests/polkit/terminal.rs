//! `mooringctl` at a terminal, with polkit's own agent and a password of the device; and how it
//! finds the bus.

use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use mooring_tests::{PATIENCE, Process, binary};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::device::{ANNA, Device, PASSWORD, Printed, as_person};

/// A terminal tells nobody when its modes change.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// `mooringctl` at a terminal of its own.
struct AtTerminal {
    process: Process,
    keys: ChildStdin,
    screen: Printed,
}

impl AtTerminal {
    fn run(options: &str) -> Self {
        let ctl = binary("mooringctl");
        assert!(
            ctl.exists(),
            "{} is missing; run: make debug",
            ctl.display()
        );
        let line = format!(
            "exec setpriv --reuid={ANNA} --regid={ANNA} --clear-groups {} {options} \
             inhibit --why test -- echo LET IN",
            ctl.display()
        );
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
            .env_remove("XDG_RUNTIME_DIR")
            .env("SHELL", "/bin/sh");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start("script", &mut command);
        let keys = process.stdin().unwrap();
        let screen = Printed::by(process.stdout().unwrap());
        Self {
            process,
            keys,
            screen,
        }
    }

    /// Types a password, once one is read: what was typed before is thrown away with the echo.
    async fn types(&mut self, text: &str) {
        let (ctl, _) = children(self.process.pid()).remove(0);
        let terminal = std::fs::read_link(format!("/proc/{ctl}/fd/2")).unwrap();
        let silent = async {
            loop {
                let mut stty = Command::new("stty");
                stty.arg("--file").arg(&terminal).arg("--all");
                let modes = stty.output().unwrap().stdout;
                if String::from_utf8_lossy(&modes).contains(" -echo ") {
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, silent).await;
        assert!(waited.is_ok(), "echo stays on:\n{}", self.screen.text());
        self.keys.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    async fn ends(&mut self) -> (Option<i32>, String) {
        let ended = tokio::time::timeout(PATIENCE, self.process.ended()).await;
        assert!(ended.is_ok(), "no end:\n{}", self.screen.text());
        let status = self.process.wait(PATIENCE).await;
        (status.code(), self.screen.whole().await)
    }
}

/// The processes that have this parent, with their names.
fn children(parent: Pid) -> Vec<(Pid, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has gone meanwhile is nobody's child.
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((front, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        if rest.split(' ').nth(1) == Some(&parent.to_string()) {
            let name = front.split_once('(').map_or("", |(_, name)| name);
            found.push((Pid::from_raw(pid), name.to_owned()));
        }
    }
    found
}

#[tokio::test]
async fn the_password_of_the_device_lets_in() {
    let _device = Device::new(&[]).await;
    let mut ctl = AtTerminal::run("--system");
    ctl.screen.wait_for("Authentication is required").await;
    ctl.screen.wait_for("Password: ").await;
    ctl.types(PASSWORD).await;
    let (code, screen) = ctl.ends().await;
    assert!(code == Some(0) && screen.contains("LET IN"), "{screen}");
    assert!(!screen.contains(PASSWORD), "{screen}");
}

#[tokio::test]
async fn a_wrong_one_does_not() {
    let _device = Device::new(&[]).await;
    let mut ctl = AtTerminal::run("--system");
    ctl.screen.wait_for("Password: ").await;
    ctl.types("something else").await;
    let (code, screen) = ctl.ends().await;
    assert!(code == Some(4) && !screen.contains("LET IN"), "{screen}");
    assert!(screen.contains("you may not sign out"), "{screen}");
}

#[tokio::test]
async fn whoever_does_not_want_to_be_asked_is_not() {
    let _device = Device::new(&[]).await;
    let mut ctl = AtTerminal::run("--system --no-ask-password");
    let (code, screen) = ctl.ends().await;
    assert!(code == Some(4) && !screen.contains("Password"), "{screen}");
    assert!(screen.contains("nobody to ask for one"), "{screen}");
}

#[tokio::test]
async fn the_agent_and_the_question_go_with_a_killed_ctl() {
    let device = Device::new(&[]).await;
    let ctl = AtTerminal::run("--system");
    ctl.screen.wait_for("Password: ").await;
    let [(pid, name)] = &children(ctl.process.pid())[..] else {
        panic!("not one child")
    };
    assert_eq!(name, "mooringctl");
    let agents = children(*pid);
    let [(_, agent)] = &agents[..] else {
        panic!("{agents:?}")
    };
    assert_eq!(agent, "pkttyagent");
    kill(*pid, Signal::SIGKILL).unwrap();
    // Whichever is missed first, the caller or its agent.
    let verdict = device.verdicts.wait_for("verdict sign-out").await;
    assert!(!verdict.ends_with("yes"), "{verdict}");
    // The end of the screen is that of everybody who has it open, the agent among them.
    ctl.screen.whole().await;
}

/// A call that needs no password, at no terminal.
async fn quiet(options: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = as_person(0, binary("mooringctl").to_str().unwrap());
    command.envs(environment.iter().copied()).args(options);
    command.args(["inhibit", "--why", "test", "--", "echo", "LET IN"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = Process::start("mooringctl", command.stderr(Stdio::piped()));
    let said = Printed::by(process.stderr().unwrap());
    let status = process.wait(PATIENCE).await;
    (status.code(), said.whole().await)
}

#[tokio::test]
async fn the_bus_is_found_or_named() {
    let mut device = Device::new(&[]).await;
    let no_session = ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    for (options, bus, code) in [
        (&[][..], "", 0),
        (&["--system"], "session", 0),
        (&[], "system", 0),
        (&[], "auto", 0),
        (&["--session"], "system", 6),
        (&[], "session", 6),
        (&[], "sytem", 2),
        (&["--system", "--session"], "", 2),
    ] {
        let (ended, said) = quiet(options, &[no_session, ("MOORING_BUS", bus)]).await;
        assert_eq!(ended, Some(code), "{options:?} {bus}: {said}");
        let names_session = said.contains("There is no session bus");
        assert_eq!(names_session, code == 6, "{said}");
    }
    device.kill_service();
    let (code, said) = quiet(&[], &[no_session]).await;
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("not on the system bus"), "{said}");
    let nowhere = ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
    let (code, said) = quiet(&["--system"], &[nowhere]).await;
    assert!(code == Some(6) && said.contains("no system bus"), "{said}");
}
