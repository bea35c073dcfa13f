//! How a job looks while it runs: a line for each stage that is reached and, on a terminal, one
//! moving line below for what is being done now.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mooring_api::Progress;

use crate::bus::JobState;
use crate::terminal::{Terminal, Tone};
use crate::text;

const TICK: Duration = Duration::from_millis(120);

/// The lines of one job.
pub struct View<'a> {
    terminal: &'a Terminal,
    shown: usize,
    /// A sign-out that takes no file off this device does not claim to.
    keeps_all: bool,
    bar: Option<ProgressBar>,
}

impl<'a> View<'a> {
    /// A view that has shown nothing yet.
    pub fn new(terminal: &'a Terminal, keeps_all: bool) -> Self {
        Self {
            terminal,
            shown: 0,
            keeps_all,
            bar: None,
        }
    }

    /// Shows what is new in a state of the job.
    pub fn show(&mut self, state: &JobState) {
        let reached = match state.stages.iter().position(|s| *s == state.stage) {
            Some(last) => last + 1,
            None => 0,
        };
        let finished = state.state == "finished";
        // Files that wait, for an answer too, were not brought in step, and the job says how far it
        // came.
        let outcome = &state.outcome;
        let whole = outcome.success && outcome.pending_total == 0 && outcome.held == 0;
        let reached = if finished && whole {
            state.stages.len()
        } else {
            reached
        };
        for stage in state.stages.iter().take(reached).skip(self.shown) {
            if self.keeps_all && stage == "removed" {
                continue;
            }
            if let Some(words) = done(&state.kind, stage) {
                let mark = self.terminal.paint(Tone::Good, "✓");
                self.line(&format!("  {mark} {words}"));
            }
        }
        self.shown = self.shown.max(reached);
        if finished || state.state == "blocked" {
            self.pause();
        } else {
            let next = state.stages.get(reached).map_or("", String::as_str);
            self.draw(&doing(next, &state.progress.activity), &state.progress);
        }
    }

    /// Shows a line among the stages.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.terminal.line(text)),
            None => self.terminal.line(text),
        }
    }

    /// Takes the moving line away, so that something can be asked.
    pub fn pause(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn draw(&mut self, what: &str, progress: &Progress) {
        if !self.terminal.shows_bars() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(TICK);
            bar
        });
        let (done, total) = match progress.total_bytes {
            0 => (progress.done, progress.total),
            bytes => (progress.done_bytes, bytes),
        };
        let template = match total {
            0 => "  {spinner} {prefix}",
            _ => "  {spinner} {prefix:<22} {bar:24} {msg}",
        };
        // The templates are constant and correct; a plain bar would do, too.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        }
        bar.set_prefix(what.to_owned());
        bar.set_length(total);
        bar.set_position(done.min(total));
        bar.set_message(amount(progress));
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        self.pause();
    }
}

/// `812 of 1,204 files, 1.2 of 3.1 GB`.
pub fn amount(progress: &Progress) -> String {
    let mut parts = Vec::new();
    if progress.total > 0 {
        let noun = if progress.total == 1 { "file" } else { "files" };
        let done = text::number(progress.done);
        parts.push(format!("{done} of {} {noun}", text::number(progress.total)));
    }
    if progress.total_bytes > 0 {
        let done = text::size(progress.done_bytes);
        parts.push(format!("{done} of {}", text::size(progress.total_bytes)));
    }
    parts.join(", ")
}

/// What is true once a stage is reached; nothing for a stage that a person need not hear of.
fn done(kind: &str, stage: &str) -> Option<String> {
    let text = match stage {
        "planned" => "Plan agreed",
        "authorised" => "Identity proved",
        "drained" => "Everything uploaded",
        "verified" if kind == "verify" => return None,
        "backed-up" if kind == "backup" => "Backup whole and read back",
        // Passed also where no backup was asked for.
        "backed-up" => return None,
        "restored" => "Restored",
        "verified" => "Every copy read back from the storage and compared",
        "removed" => "Files removed from this device",
        "revoked" => "Session ended",
        "brought" => "Files brought to this device",
        "synced" => "Both sides in step",
        "forgotten" if kind == "sign-out" => "Account forgotten, receipt written",
        other => return Some(text::title(other)),
    };
    Some(text.to_owned())
}

/// What is being done on the way to the next stage. The job knows best; without a word from it,
/// the stage tells.
fn doing(next: &str, activity: &str) -> String {
    if !activity.is_empty() {
        return text::title(activity);
    }
    let text = match next {
        "authorised" => "Checking the identity",
        "brought" => "Bringing files",
        "synced" => "Syncing",
        "drained" => "Uploading",
        "backed-up" => "Backing up",
        "verified" => "Reading back",
        "removed" => "Removing",
        "revoked" => "Ending the session",
        "forgotten" => "Writing the receipt",
        _ => "Working",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_leave_out_what_is_not_known() {
        let mut progress = Progress {
            done: 812,
            total: 1204,
            ..Progress::default()
        };
        assert_eq!(amount(&progress), "812 of 1,204 files");
        progress.total_bytes = 3_100_000_000;
        assert_eq!(amount(&progress), "812 of 1,204 files, 0 B of 3.1 GB");
        assert_eq!(amount(&Progress::default()), "");
    }

    #[test]
    fn unknown_stages_are_shown_as_words() {
        assert_eq!(
            done("sign-in", "files-brought").as_deref(),
            Some("Files brought")
        );
        assert_eq!(done("sign-in", "\x1b[2J").as_deref(), Some("\\x1b[2J"));
    }
}
