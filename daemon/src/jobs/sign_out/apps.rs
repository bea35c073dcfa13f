//! Apps and a sign-out: they are told once it is authorised, may delay it for a bounded time, and
//! may hold it as long as nothing was removed.

use std::time::Duration;

use mooring_api::Blocked;
use mooring_core::signout::{Removal, Step};
use tokio::time::Instant;

use super::Run;
use crate::devices::word;
use crate::failure::Failure;
use crate::inhibitors::Mode;
use crate::jobs::{Command, Job, at_work, blocked_by, cancelled_by_person, waits_for_nothing};

/// What progress says while apps are waited for.
const WAITING: &str = "waiting for apps";

impl Run {
    /// Before a step of a sign-out that can still be undone and that was authorised: tells apps,
    /// once, and gives them time; then waits for those that block. Answers whether nothing had to
    /// be waited for; otherwise the facts are to be looked at again.
    pub(super) async fn heed_apps(&mut self, job: &mut Job, step: Step) -> Result<bool, Failure> {
        let begins = matches!(
            step,
            Step::Drain | Step::AskAboutUnsynced | Step::BackUp | Step::Verify | Step::Remove
        );
        if !begins || self.journaled.removal != Removal::NotBegun {
            return Ok(true);
        }
        if !self.apps_told {
            self.apps_told = true;
            self.tell_apps(job, true);
            self.give_time(job).await?;
            return Ok(false);
        }
        match job.broker.inhibitors.blocked(self.uid) {
            None => Ok(true),
            Some(why) => {
                self.tell_asker(job, word::BLOCKED, &why).await?;
                self.wait_for_release(job, Failure::Inhibited(why)).await?;
                Ok(false)
            }
        }
    }

    /// Tells apps that a sign-out begins, or that it will not happen after all.
    pub(super) fn tell_apps(&self, job: &Job, begins: bool) {
        job.broker.announcements.add(&job.account, begins);
        // Whoever tells is woken by a change.
        job.broker.update(|_| ());
    }

    /// Waits for the apps that delay, up to the bound that settings give.
    async fn give_time(&self, job: &mut Job) -> Result<(), Failure> {
        let broker = job.broker.clone();
        let delaying = broker.inhibitors.delaying(self.uid);
        if delaying.is_empty() {
            return Ok(());
        }
        let bound = broker.rules.in_force().settings.inhibit_delay_seconds;
        let deadline = Instant::now() + Duration::from_secs(u64::from(bound));
        job.show(|view| {
            view.cancellable = true;
            view.progress.activity = WAITING.to_owned();
        });
        tracing::info!(job = self.number, ?delaying, "waits for apps");
        loop {
            tokio::select! {
                () = broker.inhibitors.released(self.uid, Mode::Delay) => break,
                () = tokio::time::sleep_until(deadline) => {
                    let late = broker.inhibitors.delaying(self.uid);
                    tracing::warn!(job = self.number, ?late, "does not wait any longer");
                    break;
                }
                request = job.request() => {
                    let request = request?;
                    match request.command {
                        Command::Cancel => {
                            request.answer(Ok(()));
                            return Err(cancelled_by_person());
                        }
                        Command::Retry { .. } | Command::Authenticate(_) => {
                            request.answer(Err(waits_for_nothing()));
                        }
                        Command::GiveUp(_) => request.answer(Err(at_work())),
                    }
                }
            }
        }
        job.show(|view| view.progress = mooring_api::Progress::default());
        Ok(())
    }

    /// Shows who blocks, until they do not, or until a person cancels or wants to look again.
    async fn wait_for_release(&self, job: &mut Job, why: Failure) -> Result<(), Failure> {
        let blocked: Blocked = blocked_by(&why);
        let broker = job.broker.clone();
        tokio::select! {
            answer = job.block(blocked, self.cancellable()) => answer.map(|_| ()),
            () = broker.inhibitors.released(self.uid, Mode::Block) => {
                job.show_running();
                Ok(())
            }
        }
    }
}
