//! A new password by the recovery code, and the next recovery code: as a command of its own, and
//! in the middle of a job that waits for a password nobody remembers.

use mooring_api::{Error, ResetPasswordOptions};
use zbus::OwnedObjectPath;

use crate::commands::new_password::{refused, unsure, wrong};
use crate::commands::{Context, password, sign_in};
use crate::exit::{Exit, Failure, Result};
use crate::secret::{self, Password, RecoveryPipe};

/// How often the person may correct what they typed.
const MAX_CORRECTIONS: u8 = 5;

/// What was given in advance; the rest is asked for.
#[derive(Default)]
pub struct Secrets {
    /// The recovery code.
    pub code: Option<Password>,
    /// The new password.
    pub new_password: Option<Password>,
}

/// Resets the password of the account at `path`, shows the next recovery code, with `wait` until
/// the person has written it down, and answers the new password.
///
/// # Errors
/// [`Exit::Cancelled`] when the person stops; else what the daemon answers.
pub async fn reset(
    context: &Context<'_>,
    path: &OwnedObjectPath,
    identity: &str,
    given: Secrets,
    wait: bool,
) -> Result<Password> {
    let asks = (given.code.is_none(), given.new_password.is_none());
    let (mut code, mut new) = (given.code, given.new_password);
    for _ in 0..MAX_CORRECTIONS {
        let known = match code.take() {
            Some(known) => known,
            None => ask_code(context).await?,
        };
        let wanted = match new.take() {
            Some(wanted) => wanted,
            None => password::choose(context, identity).await?,
        };
        match call(context, path, identity, &known, &wanted).await? {
            Ok(()) => {
                if wait {
                    sign_in::written_down(context).await?;
                }
                return Ok(wanted);
            }
            Err(Error::IncorrectPassword(said) | Error::TooManyAttempts(said)) if asks.0 => {
                wrong(context, &said);
                new = Some(wanted);
            }
            // The code or the password cannot be one; the sentence says which.
            Err(Error::InvalidArgument(said)) if asks.0 && asks.1 => wrong(context, &said),
            Err(e) => return Err(refused(e)),
        }
    }
    Err(Failure::new(Exit::NotAuthorized, "Nothing was changed.").kind("IncorrectPassword"))
}

/// One call. The next code is shown as soon as it comes, whatever becomes of the call.
async fn call(
    context: &Context<'_>,
    path: &OwnedObjectPath,
    identity: &str,
    code: &Password,
    new: &Password,
) -> Result<mooring_api::Result<()>> {
    let proxy = context.daemon.account_at(path).await?;
    let (ours, theirs) = RecoveryPipe::new()?;
    let options = ResetPasswordOptions {
        recovery_code: Some(secret::sealed("recovery code", code)?),
        new_password: Some(secret::sealed("new password", new)?),
        new_recovery_code: Some(theirs),
    };
    let shown = async {
        if let Some(next) = ours.code().await {
            sign_in::print_code(context, identity, &next);
        }
    };
    let calling = proxy.reset_password(options);
    let both = async { Ok(tokio::join!(calling, shown).0) };
    context.terminal.patient(both).await.map_err(unsure)
}

async fn ask_code(context: &Context<'_>) -> Result<Password> {
    let prompt = "Recovery code (twelve words, not shown): ";
    match context.terminal.password(prompt).await? {
        Some(code) => Ok(code),
        None => Err(Failure::new(
            Exit::Cancelled,
            "No recovery code was given. Nothing was changed.",
        )),
    }
}
