//! A person calls the service.

use std::io::Write;
use std::process::{ChildStdin, Stdio};

use mooring_tests::{PATIENCE, Process};

use crate::device::{Printed, as_person};

/// A call that is made with [`Call::go`]: until then its process is there, and can be given an agent.
pub struct Call {
    pub process: Process,
    go: Option<ChildStdin>,
    said: Printed,
}

/// What a person wants.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    pub uid: u32,
    /// The last part of an action's name.
    pub what: &'a str,
    pub why: &'a str,
    /// Whether the call can wait for a password.
    pub interactive: bool,
}

impl Wish<'_> {
    pub fn call(self) -> Call {
        // The shell waits for a line and becomes busctl: one process ID, whatever it runs.
        let script = "read go; exec busctl --system --timeout=300 \
             --allow-interactive-authorization=$1 call org.mooring1 /org/mooring1 \
             org.mooring1.Manager Inhibit ssss \"$2\" alice \"$3\" delay 2>&1";
        let mut command = as_person(self.uid, "sh");
        command.args(["-c", script, "sh"]);
        command.args([
            if self.interactive { "yes" } else { "no" },
            self.what,
            self.why,
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start("busctl", &mut command);
        let said = Printed::by(process.stdout().unwrap());
        let go = process.stdin();
        Call { process, go, said }
    }

    /// Whether it is let in, or what it is told.
    pub async fn answer(self) -> Result<(), String> {
        let mut call = self.call();
        call.go();
        call.answer().await
    }
}

impl Call {
    pub fn go(&mut self) {
        self.go.take().unwrap().write_all(b"go\n").unwrap();
    }

    pub async fn answer(mut self) -> Result<(), String> {
        let status = self.process.wait(PATIENCE).await;
        if status.success() {
            return Ok(());
        }
        let said = self.said.whole().await;
        let said = said.strip_prefix("Call failed: ").map(str::to_owned);
        Err(said.expect("what it was told"))
    }
}

/// Nobody can be asked.
pub fn quiet(uid: u32, what: &str) -> Wish<'_> {
    Wish {
        uid,
        what,
        why: "",
        interactive: false,
    }
}
