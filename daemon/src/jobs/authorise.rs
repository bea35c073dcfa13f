//! Waits for a person to prove who they are.

use std::time::Duration;

use mooring_api::Blocked;
use mooring_core::account::State;
use mooring_core::identity::{Password, Record};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Command, Job, Kind, at_work, blocked_by, cancelled_by_person, waits_for_nothing};
use crate::failure::Failure;
use crate::terms;

/// How many of the longest delays after wrong passwords a job waits for the right one before it
/// gives up: so nobody is timed out by waiting as told, and wrong ones do not keep it waiting.
const PATIENCE: u64 = 2;

type Reply = oneshot::Sender<Result<(), Failure>>;

/// What became of a password.
enum Tried {
    Right(Box<Record>),
    /// The job waits, for this.
    Wrong(Blocked),
}

impl Job {
    /// Checks passwords until one is right, and answers the record that it was right for. Nothing
    /// has been done before this, so it can always be cancelled.
    ///
    /// # Errors
    /// [`Failure::Cancelled`], also when nobody gives a password in time; or that passwords cannot
    /// be checked at all.
    pub(super) async fn authorise(
        &mut self,
        identity: &str,
        first: Option<Password>,
    ) -> Result<Record, Failure> {
        self.show(|view| view.cancellable = true);
        let mut blocked = Blocked {
            error: "ReauthRequired".to_owned(),
            message: format!("the password of {identity} is needed"),
            ..Blocked::default()
        };
        let delay = terms::slowing(&self.broker.rules, identity).max_delay_seconds;
        let deadline = Instant::now() + Duration::from_secs(delay.saturating_mul(PATIENCE));
        let mut given = first.map(|password| (password, None));
        loop {
            if let Some((password, reply)) = given {
                match self.try_password(password, reply).await? {
                    Tried::Right(record) => return Ok(*record),
                    Tried::Wrong(wrong) => blocked = wrong,
                }
            }
            self.show_blocked(blocked.clone());
            given = Some(self.wait_for_password(deadline).await?);
        }
    }

    /// One try, by the record that holds now: another device, or a reset in the middle of this job,
    /// may have changed it.
    async fn try_password(
        &mut self,
        password: Password,
        reply: Option<Reply>,
    ) -> Result<Tried, Failure> {
        let (answer, next) = match self.check(password).await {
            Ok(record) => {
                self.show_running();
                (Ok(()), Ok(Tried::Right(Box::new(record))))
            }
            Err(
                failure @ (Failure::IncorrectPassword { .. } | Failure::TooManyAttempts { .. }),
            ) => {
                if self.is_sign_out() {
                    self.broker.count_refusal(&failure);
                }
                let mut blocked = blocked_by(&failure);
                blocked.message.push_str(&self.way_out());
                // Shown before it is answered: whoever is told looks here next.
                self.show_blocked(blocked.clone());
                (Err(failure), Ok(Tried::Wrong(blocked)))
            }
            Err(failure) => (Err(failure.again()), Err(failure)),
        };
        if let Some(reply) = reply {
            // Whoever asked may be gone.
            let _ = reply.send(answer);
        }
        next
    }

    async fn check(&self, password: Password) -> Result<Record, Failure> {
        let record = self.broker.known_record(&self.account).await?.record;
        self.broker.passwords.check(&record, password).await?;
        Ok(record)
    }

    fn is_sign_out(&self) -> bool {
        let published = self.broker.published.borrow();
        let job = published.jobs.get(&self.number);
        job.is_some_and(|view| view.kind == Kind::SignOut)
    }

    /// What to do without the password, where the account is on this device already.
    fn way_out(&self) -> String {
        let published = self.broker.published.borrow();
        match published.accounts.get(&self.account).map(|v| &v.account) {
            Some(account) if matches!(account.state, State::SigningOut(_)) => format!(
                "; if it is forgotten, `mooringctl password forgot {}` sets a new one",
                account.identity
            ),
            _ => String::new(),
        }
    }

    async fn wait_for_password(
        &mut self,
        deadline: Instant,
    ) -> Result<(Password, Option<Reply>), Failure> {
        loop {
            let Ok(request) = tokio::time::timeout_at(deadline, self.request()).await else {
                return Err(Failure::Cancelled("nobody gave the password".to_owned()));
            };
            let request = request?;
            match request.command {
                Command::Authenticate(password) => return Ok((password, Some(request.reply))),
                Command::Cancel => {
                    self.show_running();
                    request.answer(Ok(()));
                    return Err(cancelled_by_person());
                }
                Command::Retry { .. } => request.answer(Err(waits_for_nothing())),
                Command::GiveUp(_) => request.answer(Err(at_work())),
            }
        }
    }
}
