//! `password`: another password for an account, by the one that holds or by the recovery code.

use clap::{Args, Subcommand};
use mooring_api::{ChangePasswordOptions, Error};
use serde_json::{Value, json};

use crate::bus::Account;
use crate::commands::{Context, password};
use crate::exit::{Exit, Failure, Result};
use crate::reset;
use crate::secret::{self, Password};
use crate::terminal::Tone;
use crate::text;

/// How often the person may correct what they typed.
const MAX_CORRECTIONS: u8 = 5;

/// What `password` can do.
#[derive(Debug, Subcommand)]
pub enum NewPassword {
    /// Change the password; asks for the old one and, twice, for the new one
    Change(Change),
    /// Set a new password by the recovery code, and get the next recovery code
    Forgot(Forgot),
}

/// Options of `password change`.
#[derive(Debug, Args)]
pub struct Change {
    /// The identity or the ID
    account: String,
    /// Read the old password from this descriptor, up to the end of the line
    #[arg(long, value_name = "N")]
    pub password_fd: Option<u32>,
    /// Read the new password from this descriptor, up to the end of the line
    #[arg(long, value_name = "M")]
    new_password_fd: Option<u32>,
}

/// Options of `password forgot`.
#[derive(Debug, Args)]
pub struct Forgot {
    /// The identity or the ID
    account: String,
    /// Read the recovery code from this descriptor, up to the end of the line
    #[arg(long, value_name = "N")]
    recovery_code_fd: Option<u32>,
    /// Read the new password from this descriptor, up to the end of the line
    #[arg(long, value_name = "M")]
    new_password_fd: Option<u32>,
    /// Do not wait until the next recovery code is written down
    #[arg(long)]
    yes: bool,
}

/// Secrets from descriptors besides the password that holds.
#[derive(Default)]
pub struct Given {
    new_password: Option<Password>,
    recovery_code: Option<Password>,
}

impl NewPassword {
    /// Reads the secrets that come on descriptors; before anything else opens one.
    ///
    /// # Errors
    /// [`Exit::Usage`] for one that cannot be read, and for two secrets on one descriptor.
    pub fn read_further(&self) -> Result<Given> {
        let (first, code, new) = match self {
            Self::Change(a) => (a.password_fd, None, a.new_password_fd),
            Self::Forgot(a) => (a.recovery_code_fd, a.recovery_code_fd, a.new_password_fd),
        };
        if first.is_some() && first == new {
            return Err(Failure::usage(
                "Each secret needs a descriptor of its own, and here two have the same number.",
            ));
        }
        let read = |option, number: Option<u32>| {
            number
                .map(|number| secret::from_option(option, number))
                .transpose()
        };
        Ok(Given {
            recovery_code: read("--recovery-code-fd", code)?,
            new_password: read("--new-password-fd", new)?,
        })
    }
}

/// Sets another password.
///
/// # Errors
/// [`Exit::NotAuthorized`] for a wrong password or code; else what the daemon answers.
pub async fn run(
    context: &Context<'_>,
    command: NewPassword,
    old: Option<Password>,
    given: Given,
) -> Result<Value> {
    match command {
        NewPassword::Change(args) => change(context, args, old, given).await,
        NewPassword::Forgot(args) => forgot(context, args, given).await,
    }
}

async fn change(
    context: &Context<'_>,
    args: Change,
    old: Option<Password>,
    given: Given,
) -> Result<Value> {
    password::need(context, old.as_ref())?;
    need(context, given.new_password.is_some(), "--new-password-fd")?;
    let account = context.daemon.account(Some(&args.account));
    let account = context.terminal.patient(account).await?;
    call_change(context, &account, old, given.new_password).await?;
    done(context, &account)
}

async fn call_change(
    context: &Context<'_>,
    account: &Account,
    old: Option<Password>,
    new: Option<Password>,
) -> Result<()> {
    let identity = &account.state.identity;
    let proxy = context.daemon.account_proxy(account).await?;
    let asks = (old.is_none(), new.is_none());
    let (mut old, mut new) = (old, new);
    for _ in 0..MAX_CORRECTIONS {
        let held = match old.take() {
            Some(held) => held,
            None => password::ask(context, identity).await?,
        };
        let wanted = match new.take() {
            Some(wanted) => wanted,
            None => password::choose(context, identity).await?,
        };
        let options = ChangePasswordOptions {
            password: Some(secret::sealed("password", &held)?),
            new_password: Some(secret::sealed("new password", &wanted)?),
        };
        let called = async { Ok(proxy.change_password(options).await) };
        match context.terminal.patient(called).await.map_err(unsure)? {
            Ok(()) => return Ok(()),
            Err(Error::IncorrectPassword(said) | Error::TooManyAttempts(said)) if asks.0 => {
                wrong(context, &said);
                new = Some(wanted);
            }
            Err(Error::InvalidArgument(said)) if asks.1 => {
                wrong(context, &said);
                old = Some(held);
            }
            Err(e) => return Err(refused(e)),
        }
    }
    Err(Failure::new(Exit::NotAuthorized, "Nothing was changed.").kind("IncorrectPassword"))
}

async fn forgot(context: &Context<'_>, args: Forgot, given: Given) -> Result<Value> {
    need(context, given.recovery_code.is_some(), "--recovery-code-fd")?;
    need(context, given.new_password.is_some(), "--new-password-fd")?;
    let account = context.daemon.account(Some(&args.account));
    let account = context.terminal.patient(account).await?;
    let secrets = reset::Secrets {
        code: given.recovery_code,
        new_password: given.new_password,
    };
    let (path, identity) = (&account.path, &account.state.identity);
    reset::reset(context, path, identity, secrets, !args.yes).await?;
    done(context, &account)
}

/// A usage failure when there is neither the secret nor anybody to ask for it.
fn need(context: &Context<'_>, given: bool, option: &str) -> Result<()> {
    if given || context.terminal.interactive() {
        return Ok(());
    }
    Err(
        Failure::usage(format!("There is no terminal to ask on, and no {option}."))
            .hint(format!("Give it on a descriptor: {option} 4 4< FILE.")),
    )
}

fn done(context: &Context<'_>, account: &Account) -> Result<Value> {
    let who = text::path(account.state.identity.as_bytes());
    let mark = context.terminal.paint(Tone::Good, "✓");
    context.terminal.line(&format!(
        "{mark} The new password of {who} holds, here and on every other device of the account."
    ));
    Ok(json!({
        "id": account.state.id,
        "identity": account.state.identity,
        "changed": true,
    }))
}

/// What the person typed is refused, and may be typed again.
pub fn wrong(context: &Context<'_>, said: &str) {
    let mark = context.terminal.paint(Tone::Bad, "✗");
    context
        .terminal
        .line(&format!("  {mark} {}", text::full(said)));
}

/// The call was left before its answer.
pub fn unsure(failure: Failure) -> Failure {
    failure.hint("The password may be changed already: try the new one first.")
}

/// What the daemon refused, with what to do where that differs from other commands.
pub fn refused(error: Error) -> Failure {
    match error {
        busy @ Error::Busy(_) => Failure::from(busy).hint("Start again."),
        other => other.into(),
    }
}
