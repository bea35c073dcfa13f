//! Signing out: walks [`signout::next`] from facts to the end, and asks where it cannot go on.
//!
//! Intent goes into the journal before an effect, the result after it. What a process proved dies
//! with it, the broker's as well as the worker's: then it is drained and verified again, and
//! policy is asked again. Nothing is removed here but by a worker that holds the proof.

mod apps;
mod asked;
mod steps;

use std::sync::Arc;

use mooring_core::account::Event;
use mooring_core::collection::Collection;
use mooring_core::identity::Password;
use mooring_core::policy::Actor;
use mooring_core::signout::{self, Facts, Removal, Stage, Step};
use mooring_wire::{Attached, Error as WireError};

use super::journal::{Asked, Entry, SignOut, Work};
use super::{Job, Kind, MAX_OPEN_JOBS, Opening, blocked_by, ending};
use crate::account::Account;
use crate::broker::Broker;
use crate::devices::word;
use crate::failure::Failure;
use crate::published::Holder;
use crate::workers::{Live, MAX_DEATHS};
use crate::{random, receipts};

/// The kind of the blocker of a plan whose storage is not there.
const OFFLINE: &str = "Offline";

/// A sign-out as a person wants it.
#[derive(Debug)]
pub struct Request {
    /// The plan's digest.
    pub digest: String,
    /// The collections whose files stay.
    pub keep: Vec<Collection>,
    /// The password, if it was given.
    pub password: Option<Password>,
}

impl Broker {
    /// Makes a plan of a sign-out.
    ///
    /// # Errors
    /// [`Failure::Busy`] when a job is under way; otherwise when the worker cannot look.
    pub async fn plan_sign_out(
        &self,
        id: &str,
        keep: &[Collection],
    ) -> Result<mooring_api::Plan, Failure> {
        let looking = self.looking(id).await?;
        let plan = self.plan(&looking.account, keep).await;
        drop(looking);
        match plan {
            Ok(plan) => {
                // A plan tells of a missing storage, too, and then nothing has been put right.
                match plan
                    .blockers
                    .iter()
                    .find(|blocker| blocker.error == OFFLINE)
                {
                    None => self.recovered(id),
                    Some(blocker) => {
                        let gone = WireError::StorageGone(blocker.message.clone());
                        self.trouble(id, &gone.into());
                    }
                }
                Ok(plan)
            }
            Err(failure) => {
                self.trouble(id, &failure);
                Err(failure)
            }
        }
    }

    /// Begins a sign-out.
    ///
    /// # Errors
    /// [`Failure::PolicyDenied`] and [`Failure::BackupRequired`] before anything else; [`Failure::PlanStale`] when the digest is
    /// not the one of a plan made now; [`Failure::Inhibited`]; [`Failure::Busy`].
    pub async fn sign_out(
        self: &Arc<Self>,
        id: &str,
        request: Request,
        uid: u32,
    ) -> Result<u64, Failure> {
        let begun = self.begin_agreed(id, request, uid).await;
        begun.inspect_err(|failure| self.count_refusal(failure))
    }

    async fn begin_agreed(
        self: &Arc<Self>,
        id: &str,
        request: Request,
        uid: u32,
    ) -> Result<u64, Failure> {
        let account = self.published.borrow().account(id)?.account.clone();
        self.expect_to_begin(&account, Actor::Person, &request.keep)?;
        self.published.borrow().expect_room(MAX_OPEN_JOBS)?;
        let plan = self.plan_sign_out(id, &request.keep).await?;
        if plan.digest != request.digest {
            return Err(Failure::PlanStale(
                "what would happen is no longer what was agreed to: look at a new plan".to_owned(),
            ));
        }
        if let Some(why) = self.inhibitors.blocked(uid) {
            return Err(Failure::Inhibited(why));
        }
        let agreed = (request.digest, request.keep);
        self.begin_sign_out(id, agreed, request.password, None, uid)
            .await
    }

    /// Begins a sign-out that is agreed to, by its digest and what is kept, or `asked` for by
    /// another device.
    async fn begin_sign_out(
        self: &Arc<Self>,
        id: &str,
        (digest, keep): (String, Vec<Collection>),
        password: Option<Password>,
        asked: Option<Asked>,
        uid: u32,
    ) -> Result<u64, Failure> {
        let number = self.next_job();
        let mut account = self.hold(id, Holder::Job(number)).await?;
        account.apply(Event::SignOutReached(Stage::Planned), "");
        let receipt = receipts::new_id(self.clock.now(), &account.identity, random::bytes()?);
        let facts = SignOut {
            digest,
            keep,
            receipt,
            // Write access to the storage is the authority of a device.
            authorised: asked.is_some(),
            undoing: None,
            removal: Removal::NotBegun,
            policy: String::new(),
            base_blake3: String::new(),
            removed: None,
            erased: None,
            sequence: 0,
            asked,
        };
        let opening = Opening {
            number,
            kind: Kind::SignOut,
            account: id.to_owned(),
            uid,
        };
        let run = Run::new(account, facts, number, uid, password);
        if let Err(failure) = run.save(self) {
            self.change_account(id, |view| view.holder = Holder::Free);
            return Err(failure);
        }
        let job = Job::open(self, opening);
        self.spawn(run.finish(job));
        Ok(number)
    }
}

/// Goes on with a sign-out after a restart.
pub(super) async fn resume(job: Job, account: Account, facts: SignOut, uid: u32) {
    let run = Run::new(account, facts, job.number, uid, None);
    run.finish(job).await;
}

/// Whether there is more to do.
pub(super) enum Turn {
    /// Look at the facts again.
    Again,
    /// The job has ended this way.
    Ended(Box<mooring_api::JobOutcome>),
}

/// A sign-out under way. What is in `journaled` is durable; the rest dies with the process.
pub(super) struct Run {
    pub(super) account: Account,
    pub(super) journaled: SignOut,
    number: u64,
    uid: u32,
    password: Option<Password>,
    drained: bool,
    proven: bool,
    /// What the device that asked was told last.
    asker_told: Option<(&'static str, String)>,
    /// Apps know, and those that delay had their time.
    apps_told: bool,
    rounds: u8,
    deaths: u32,
    /// The farthest step that was passed since; a death before it counts on.
    farthest: u8,
    /// The worker that `drained` and `proven` are about.
    generation: u64,
    /// The files that stand in the way, with reasons, and how many in all.
    files: Vec<(Vec<u8>, String)>,
    files_total: u64,
}

impl Run {
    pub(in crate::jobs) fn new(
        account: Account,
        journaled: SignOut,
        number: u64,
        uid: u32,
        password: Option<Password>,
    ) -> Self {
        Self {
            account,
            journaled,
            number,
            uid,
            password,
            drained: false,
            proven: false,
            asker_told: None,
            apps_told: false,
            rounds: 0,
            deaths: 0,
            farthest: 0,
            generation: 0,
            files: Vec::new(),
            files_total: 0,
        }
    }

    /// Makes what is journaled durable.
    pub(super) fn save(&self, broker: &Broker) -> Result<(), Failure> {
        let entry = Entry {
            number: self.number,
            account: self.account.id.clone(),
            uid: self.uid,
            work: Work::SignOut(Box::new(self.journaled.clone())),
        };
        broker.store.save(&self.account, &entry)?;
        Ok(())
    }

    pub(super) fn keep(&self) -> Vec<String> {
        self.journaled
            .keep
            .iter()
            .map(|c| c.name().to_owned())
            .collect()
    }

    /// Before the first unlink; from then on, forward only.
    fn cancellable(&self) -> bool {
        self.journaled.removal == Removal::NotBegun && self.journaled.undoing.is_none()
    }

    async fn finish(mut self, mut job: Job) {
        loop {
            match self.turn(&mut job).await {
                Ok(Turn::Again) => {}
                Ok(Turn::Ended(outcome)) => return job.finish(*outcome),
                Err(Failure::GivenUp) => return,
                // Another job's doing, and no sign of trouble.
                Err(Failure::WorkerReplaced) => {}
                Err(failure) if failure.calls_for_another_worker() && self.deaths < MAX_DEATHS => {
                    self.deaths += 1;
                }
                Err(failure) => {
                    if self.stuck(&mut job, failure).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for a person; an error only when the job is closed.
    async fn stuck(&mut self, job: &mut Job, failure: Failure) -> Result<(), Failure> {
        self.deaths = 0;
        self.farthest = 0;
        let failure = match failure {
            Failure::Cancelled(_) => failure,
            other => match self.wait_for_person(job, &other).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
        };
        match failure {
            Failure::Cancelled(_) if self.cancellable() => {
                self.begin_undo(&job.broker, &failure);
                Ok(())
            }
            // A worker's own `Cancelled`, when nobody cancelled: it goes on.
            Failure::Cancelled(_) => Ok(()),
            closed => Err(closed),
        }
    }

    /// Blocks on a failure, which the device that asked is told of.
    async fn wait_for_person(&mut self, job: &mut Job, failure: &Failure) -> Result<(), Failure> {
        job.broker.count_refusal(failure);
        // It can be long; whoever comes then gives it again.
        self.password = None;
        let blocked = blocked_by(failure);
        // Only the person's word counts here: without a worker the other device is told later.
        match self.tell_asker(job, word::BLOCKED, &blocked.message).await {
            Err(cancelled @ Failure::Cancelled(_)) => return Err(cancelled),
            Err(failure) => tracing::debug!(job = self.number, %failure, "the asker is not told"),
            Ok(()) => {}
        }
        job.block(blocked, self.cancellable()).await.map(drop)
    }

    fn begin_undo(&mut self, broker: &Broker, why: &Failure) {
        self.journaled.undoing = Some(ending(why));
        if let Err(error) = self.save(broker) {
            // After a restart it goes on, and can be cancelled again.
            tracing::error!(%error, job = self.number, "a cancellation is not durable");
        }
    }

    /// One step.
    async fn turn(&mut self, job: &mut Job) -> Result<Turn, Failure> {
        if let Some(ending) = self.journaled.undoing.clone() {
            return self.undo(job, ending).await;
        }
        let live = self.look(job).await?;
        self.tell_asker(job, word::SIGNING_OUT, "").await?;
        let denied =
            job.broker
                .expect_allowed_for(&self.account, self.actor(), &self.journaled.keep);
        let facts = self.facts(denied.is_ok());
        self.show(job, &facts);
        let step = signout::next(&facts);
        if !self.heed_apps(job, step).await? {
            return Ok(Turn::Again);
        }
        match (step, denied) {
            (Step::Deny, Err(denial)) => {
                job.broker.count_refusal(&denial);
                self.begin_undo(&job.broker, &denial);
            }
            // The two agree: `allowed` is what `denied` is not.
            (Step::Deny, Ok(_)) => return Err(out_of_place("a denial that nobody gave")),
            (Step::Authorise, _) => self.authorise(job).await?,
            (Step::Drain, _) => self.drain(job, &live).await?,
            (Step::AskAboutUnsynced, _) => self.ask_about_unsynced(job).await?,
            // No backup is asked for in a `local` account's sign-out.
            (Step::BackUp, _) => return Err(out_of_place("a backup")),
            (Step::Verify, _) => self.verify(job, &live).await?,
            (Step::Remove, decision) => {
                let policy = decision
                    .map(|d| d.explanation.join(" "))
                    .unwrap_or_default();
                self.remove(job, &live, policy).await?;
            }
            // Nothing holds a session of a `local` account: `revoked` is a fact from the start.
            (Step::Revoke, _) => return Err(out_of_place("a revocation")),
            (Step::Forget, _) => return self.forget(job).await,
            (Step::Done, _) => return self.forgotten(job),
        }
        self.passed(step);
        Ok(Turn::Again)
    }

    /// What was passed for the first time shows that it goes on. A worker that dies at the same step
    /// again and again is none to be waited for, however well the steps before it go.
    fn passed(&mut self, step: Step) {
        let far = match step {
            Step::Authorise => 1,
            Step::Drain => 2,
            Step::Verify => 3,
            Step::Remove => 4,
            _ => 0,
        };
        if far > self.farthest {
            self.farthest = far;
            self.deaths = 0;
        }
    }

    /// Finds out where the worker stands.
    async fn look(&mut self, job: &mut Job) -> Result<Arc<Live>, Failure> {
        let broker = job.broker.clone();
        if self.journaled.removal == Removal::Done {
            // The state may be gone already, and is not needed any more.
            return job.drive(false, broker.workers.live()).await;
        }
        let spec = self.account.spec();
        let attach = broker.workers.attach(&spec);
        let (live, attached) = job.drive(self.cancellable(), attach).await?;
        if live.generation != self.generation {
            self.generation = live.generation;
            self.drained = false;
            self.proven = false;
        }
        self.journaled.removal = removal(&attached)?;
        Ok(live)
    }

    fn facts(&self, allowed: bool) -> Facts {
        Facts {
            allowed,
            authorised: self.journaled.authorised,
            drained: self.drained,
            backup_missing: false,
            proven: self.proven,
            removal: self.journaled.removal,
            revoked: true,
            forgotten: false,
            rounds: self.rounds,
        }
    }

    fn show(&mut self, job: &Job, facts: &Facts) {
        let stage = signout::stage(facts);
        self.account.apply(Event::SignOutReached(stage), "");
        let account = self.account.clone();
        job.broker
            .change_account(&job.account, |view| view.account = account);
        let cancellable = self.cancellable();
        job.show(|view| {
            view.stage = stage.name();
            view.cancellable = cancellable;
        });
    }
}

/// A step that the facts of a `local` account never lead to.
fn out_of_place(what: &str) -> Failure {
    Failure::Internal(format!(
        "the sign-out came to {what}, which it has no use for"
    ))
}

/// How far the removal is, by the worker's own latch.
fn removal(attached: &Attached) -> Result<Removal, Failure> {
    match attached.epoch.as_str() {
        "removing" => Ok(Removal::Begun),
        "active" | "leaving" => Ok(Removal::NotBegun),
        other => Err(WireError::StateDamaged(format!(
            "the worker's state of this account is gone or unknown ({other}): nothing can be \
             proved, and so nothing is removed"
        ))
        .into()),
    }
}
