//! One module for each command.

pub mod audit;
pub mod backup;
pub mod conflicts;
pub mod copies;
pub mod devices;
pub mod doctor;
pub mod forget;
pub mod inhibit;
pub mod jobs;
pub mod monitor;
pub mod new_password;
pub mod overview;
pub mod pages;
pub mod password;
pub mod pause;
pub mod policy;
pub mod reauthenticate;
pub mod receipts;
pub mod report;
pub mod resolve;
pub mod restore;
pub mod resume;
pub mod show;
pub mod sign_in;
pub mod sign_out;
pub mod sync;
pub mod undelete;
pub mod verify;
pub mod why;

use std::time::Duration;

use mooring_api::JobOutcome;

use crate::bus::Daemon;
use crate::job::answer::list;
use crate::job::follow::Answers;
use crate::secret::Password;
use crate::terminal::{Terminal, Tone};
use crate::text::{self, count};

/// What every command works with.
pub struct Context<'a> {
    /// The daemon.
    pub daemon: &'a Daemon,
    /// The person.
    pub terminal: &'a Terminal,
    /// How long a vanished daemon is waited for.
    pub daemon_wait: Duration,
}

impl Context<'_> {
    /// Answers for a job that was told nothing in advance.
    fn answers<'b>(&self, identity: &'b str, password: Option<Password>) -> Answers<'b> {
        Answers {
            identity,
            password,
            keep_here: false,
            begun_here: true,
            keeps_all: false,
            daemon_wait: self.daemon_wait,
        }
    }

    /// A line with a label in front.
    fn field(&self, label: &str, value: &str) {
        self.terminal.line(&format!("  {label:<13}{value}"));
    }

    /// A warning, as one line.
    pub fn warn(&self, sentence: &str) {
        let mark = self.terminal.paint(Tone::Warning, "!");
        self.terminal
            .line(&format!("  {mark} {}", text::full(sentence)));
    }

    /// What a sync or a sign-in carried, and what it could not.
    fn carried(&self, outcome: &JobOutcome) {
        let counts = [
            (outcome.uploaded, "uploaded"),
            (outcome.downloaded, "downloaded"),
            (outcome.moved, "moved without a transfer"),
            (outcome.adopted, "equal on both sides"),
            (outcome.deleted, "deleted, and in the trash for 30 days"),
        ];
        let said: Vec<String> = counts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{} {what}", count(*n, "file")))
            .collect();
        match said.is_empty() {
            true => self.terminal.line("Nothing had to be carried over."),
            false => self.terminal.line(&format!("{}.", said.join(", "))),
        }
        if outcome.conflicts > 0 {
            let n = count(outcome.conflicts, "conflict copy").replace("copys", "copies");
            self.warn(&format!("{n} made: both versions are kept, side by side."));
        }
        if outcome.held > 0 {
            let n = count(outcome.held, "file");
            self.warn(&format!(
                "{n} held: gone on one side, and not deleted on the other. `mooringctl resolve` \
                 with --delete or --keep answers for all of them."
            ));
        }
        if outcome.pending_total > 0 {
            self.warn(&format!(
                "{} could not be synced now:",
                count(outcome.pending_total, "file")
            ));
            for line in list(&outcome.pending, outcome.pending_total) {
                self.terminal.line(&line);
            }
            if !outcome.message.is_empty() {
                self.terminal
                    .line(&format!("    {}", text::full(&outcome.message)));
            }
        }
    }
}

/// The name of a collection as a heading.
fn collection(name: &str) -> String {
    text::title(name)
}

/// The words for an account's state.
fn state_words(state: &str) -> &str {
    match state {
        "active" => "signed in",
        "signing-in" => "signing in",
        "signing-out" => "signing out",
        "signed-out" => "signed out",
        "needs-attention" => "needs attention",
        _ => "in a state that this version does not know",
    }
}
