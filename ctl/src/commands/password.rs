//! Calls that need the account's password: given once on a descriptor, or asked for until it is
//! right or the person stops.

use mooring_api::Error;
use zbus::OwnedFd;

use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::secret::{self, Password};
use crate::terminal::Tone;
use crate::text;

/// How often a password is asked for before the command gives up.
const MAX_PROMPTS: u8 = 5;

/// A usage failure when there is neither a password nor anybody to ask for it. Called before
/// anything is started.
///
/// # Errors
/// [`Exit::Usage`].
pub fn need(context: &Context<'_>, given: Option<&Password>) -> Result<()> {
    if given.is_some() || context.terminal.interactive() {
        return Ok(());
    }
    Err(
        Failure::usage("There is no terminal to ask for the password.")
            .hint("Give it on a descriptor: --password-fd 3 3< FILE."),
    )
}

/// Makes a call that takes a password; answers what the call answers, a job for example.
///
/// # Errors
/// [`Exit::Cancelled`] when the person stops; else what the daemon answers.
pub async fn call<T>(
    context: &Context<'_>,
    identity: &str,
    given: Option<&Password>,
    call: impl AsyncFn(OwnedFd) -> mooring_api::Result<T>,
) -> Result<T> {
    let mut prompts = 0;
    loop {
        let typed;
        let password = match given {
            Some(password) => password,
            None => {
                typed = ask(context, identity).await?;
                &typed
            }
        };
        prompts += 1;
        let fd = secret::sealed("password", password)?;
        let called = async { Ok(call(fd).await) };
        let answer = context.terminal.patient(called).await.map_err(|f| {
            f.hint("The daemon may have begun already: `mooringctl jobs` shows what is under way.")
        })?;
        match answer {
            Ok(answer) => return Ok(answer),
            Err(Error::IncorrectPassword(message) | Error::TooManyAttempts(message))
                if given.is_none() && prompts < MAX_PROMPTS =>
            {
                let mark = context.terminal.paint(Tone::Bad, "✗");
                context
                    .terminal
                    .line(&format!("  {mark} {}", text::full(&message)));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Asks for the password that holds.
///
/// # Errors
/// [`Exit::Cancelled`] when the person stops.
pub async fn ask(context: &Context<'_>, identity: &str) -> Result<Password> {
    let who = text::path(identity.as_bytes());
    match context
        .terminal
        .password(&format!("Password for {who}: "))
        .await?
    {
        Some(password) => Ok(password),
        None => Err(Failure::new(
            Exit::Cancelled,
            "No password was given. Nothing was changed.",
        )),
    }
}

/// Asks for a new password, twice.
///
/// # Errors
/// [`Exit::Cancelled`] when the person stops.
pub async fn choose(context: &Context<'_>, identity: &str) -> Result<Password> {
    let who = text::path(identity.as_bytes());
    for _ in 0..MAX_PROMPTS {
        let Some(first) = context
            .terminal
            .password(&format!("New password for {who}: "))
            .await?
        else {
            break;
        };
        match context.terminal.password("The same once more: ").await? {
            Some(second) if second == first => return Ok(first),
            _ => context
                .terminal
                .line("The two are not the same. Once again:"),
        }
    }
    Err(Failure::new(
        Exit::Cancelled,
        "No password was chosen. Nothing was changed.",
    ))
}
