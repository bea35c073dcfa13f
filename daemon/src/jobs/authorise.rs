//! Waits for a person to prove who they are.

use std::time::Duration;

use mooring_api::Blocked;
use mooring_core::identity::{Password, Record};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Command, Job, blocked_by, cancelled_by_person, waits_for_nothing};
use crate::failure::Failure;

/// How long a job waits for a password before it gives up: twice the longest delay after wrong
/// ones, so that nobody is timed out by waiting as told.
const PATIENCE: Duration = Duration::from_secs(2 * mooring_core::attempts::MAX_DELAY_SECONDS);

type Reply = oneshot::Sender<Result<(), Failure>>;

impl Job {
    /// Checks passwords until one is right. Nothing has been done before this, so it can always
    /// be cancelled.
    ///
    /// # Errors
    /// [`Failure::Cancelled`], also when nobody gives a password in time; or that passwords cannot
    /// be checked at all.
    pub(super) async fn authorise(
        &mut self,
        record: &Record,
        first: Option<Password>,
    ) -> Result<(), Failure> {
        self.show(|view| view.cancellable = true);
        let mut blocked = Blocked {
            error: "ReauthRequired".to_owned(),
            message: format!("the password of {} is needed", record.identity),
            ..Blocked::default()
        };
        let mut given = first.map(|password| (password, None));
        loop {
            if let Some((password, reply)) = given {
                match self.try_password(record, password, reply).await? {
                    None => return Ok(()),
                    Some(wrong) => blocked = wrong,
                }
            }
            self.show_blocked(blocked.clone());
            given = Some(self.wait_for_password().await?);
        }
    }

    /// One try: nothing when the password is right, otherwise what the job waits for.
    async fn try_password(
        &mut self,
        record: &Record,
        password: Password,
        reply: Option<Reply>,
    ) -> Result<Option<Blocked>, Failure> {
        let checked = self.broker.passwords.check(record, password).await;
        let (answer, next) = match checked {
            Ok(()) => {
                self.show_running();
                (Ok(()), Ok(None))
            }
            Err(
                failure @ (Failure::IncorrectPassword { .. } | Failure::TooManyAttempts { .. }),
            ) => {
                let blocked = blocked_by(&failure);
                // Shown before it is answered: whoever is told looks here next.
                self.show_blocked(blocked.clone());
                (Err(failure), Ok(Some(blocked)))
            }
            Err(failure) => {
                let told = Failure::Internal(failure.to_string());
                (Err(told), Err(failure))
            }
        };
        if let Some(reply) = reply {
            // Whoever asked may be gone.
            let _ = reply.send(answer);
        }
        next
    }

    async fn wait_for_password(&mut self) -> Result<(Password, Option<Reply>), Failure> {
        let deadline = Instant::now() + PATIENCE;
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
            }
        }
    }
}
