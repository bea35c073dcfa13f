//! `sign-in`: makes an identity or proves one, and brings its files.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::Args;
use mooring_api::{AccountFound, CollectionSpec, JobOutcome, SignInOptions};
use serde_json::{Value, json};
use zbus::OwnedObjectPath;

use crate::commands::{Context, collection, password};
use crate::exit::{Exit, Failure, Result};
use crate::job::answer::list;
use crate::job::follow::{End, follow};
use crate::json;
use crate::secret::{Password, RecoveryPipe};
use crate::terminal::{Tone, tty_line};
use crate::text::{self, count, number};

/// Options of `sign-in`.
#[derive(Debug, Args)]
pub struct SignIn {
    /// The kind of account; `local`: a folder, a disk or a network share holds the files
    #[arg(value_parser = ["local"])]
    provider: String,
    /// Who signs in; may be left out when the storage knows
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// The folder that keeps the account's files
    #[arg(long, value_name = "FOLDER")]
    storage: OsString,
    /// A collection to bring, and its folder here: photos, videos, documents or contacts
    ///
    /// May be given more than once. Without it all four are brought, to ~/Accounts/NAME.
    #[arg(long = "collection", value_name = "NAME[=FOLDER]")]
    collections: Vec<OsString>,
    /// What this device is called; the host's name by default
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Take up folders that have files already; nothing in them is overwritten
    #[arg(long)]
    adopt: bool,
    /// Answer yes to every question; never stands for a password
    #[arg(long)]
    yes: bool,
    /// Read the password from this descriptor, up to the end of the line
    #[arg(long, value_name = "N")]
    pub password_fd: Option<u32>,
}

/// What was asked for, with absolute paths.
struct Request {
    storage: Vec<u8>,
    collections: Vec<CollectionSpec>,
    identity: String,
    create: bool,
    adopt: bool,
}

impl Request {
    fn options(&self) -> SignInOptions {
        SignInOptions {
            storage: Some(self.storage.clone()),
            collections: (!self.collections.is_empty()).then(|| self.collections.clone()),
            ..SignInOptions::default()
        }
    }
}

/// Signs in.
///
/// # Errors
/// [`Exit::Failed`] when files named by the receipt of the last sign-out did not come back; else
/// what the daemon answers.
pub async fn run(context: &Context<'_>, args: SignIn, given: Option<Password>) -> Result<Value> {
    let terminal = context.terminal;
    password::need(context, given.as_ref())?;
    let request = terminal.patient(prepare(context, &args)).await?;
    let chosen = match given {
        None if request.create => Some(password::choose(context, &request.identity).await?),
        given => given,
    };
    let (job, code) = start(context, &args, &request, chosen.as_ref()).await?;
    if request.create {
        show_code(context, &args, &request, code.as_deref()).await?;
    }
    let answers = context.answers(&request.identity, chosen);
    match follow(context.daemon, terminal, &job, &answers).await? {
        End::Left => Ok(document(&job, &request, None)),
        End::Done(outcome) => {
            let document = document(&job, &request, Some(&outcome));
            summary(context, &request, &outcome);
            returned(context, &outcome, document)
        }
    }
}

fn document(job: &OwnedObjectPath, request: &Request, outcome: Option<&JobOutcome>) -> Value {
    json!({
        "identity": request.identity,
        "created": request.create,
        "job": json::job_ref(job),
        "outcome": outcome.map(json::outcome),
    })
}

/// Looks, explains, and asks for consent.
async fn prepare(context: &Context<'_>, args: &SignIn) -> Result<Request> {
    let mut request = Request {
        storage: absolute(&args.storage)?,
        collections: args
            .collections
            .iter()
            .map(|c| spec(c))
            .collect::<Result<_>>()?,
        identity: String::new(),
        create: false,
        adopt: args.adopt,
    };
    let found = context
        .daemon
        .manager
        .inspect(&args.provider, request.options())
        .await?;
    request.create = !found.exists;
    request.identity = identity(args, &found)?;
    found
        .warnings
        .iter()
        .for_each(|warning| context.warn(warning));
    if request.create {
        consent_to_create(context, args, &request, &found).await?;
    }
    if !found.not_empty.is_empty() && !args.adopt {
        consent_to_adopt(context, args, &found).await?;
        request.adopt = true;
    }
    Ok(request)
}

fn identity(args: &SignIn, found: &AccountFound) -> Result<String> {
    let there = text::path(found.identity.as_bytes());
    match &args.identity {
        Some(wanted) if found.exists && *wanted != found.identity => {
            let wanted = text::path(wanted.as_bytes());
            Err(Failure::new(
                Exit::Failed,
                format!("This storage belongs to {there}, not {wanted}."),
            )
            .kind("InvalidArgument")
            .hint(format!(
                "Use --identity {there}, or another folder as --storage."
            )))
        }
        Some(wanted) => Ok(wanted.clone()),
        None if found.exists => Ok(found.identity.clone()),
        None => Err(
            Failure::usage("This storage has no account yet: say who it is for.")
                .hint("Add --identity NAME."),
        ),
    }
}

async fn consent_to_create(
    context: &Context<'_>,
    args: &SignIn,
    request: &Request,
    found: &AccountFound,
) -> Result<()> {
    let terminal = context.terminal;
    let who = text::path(request.identity.as_bytes());
    let storage = text::path(&request.storage);
    terminal.line(&format!(
        "{storage} has no account yet. A new one is made for {who}:"
    ));
    terminal.line("");
    context.field("Storage", &storage);
    for c in &found.collections {
        context.field(&collection(&c.name), &text::path(&c.root));
    }
    terminal.line("");
    terminal.line("You choose a password, and get a recovery code for the day it is forgotten.");
    terminal.line("The password opens the account; it does not encrypt the files.");
    if args.yes || ask(context, &format!("Make the account {who}?")).await? {
        return Ok(());
    }
    Err(nothing_changed())
}

async fn consent_to_adopt(
    context: &Context<'_>,
    args: &SignIn,
    found: &AccountFound,
) -> Result<()> {
    let terminal = context.terminal;
    terminal.line("These folders have files already:");
    for c in &found.not_empty {
        context.field(&collection(&c.name), &text::path(&c.root));
    }
    terminal
        .line("They become part of the account. Nothing is overwritten: what is equal is matched,");
    terminal
        .line("and where two versions differ both are kept. A later sign-out removes them, too,");
    terminal.line("once a copy was read back from the storage.");
    if args.yes || ask(context, "Take these files up into the account?").await? {
        return Ok(());
    }
    Err(nothing_changed().hint("Choose other folders with --collection NAME=FOLDER."))
}

async fn ask(context: &Context<'_>, question: &str) -> Result<bool> {
    if !context.terminal.interactive() {
        return Err(
            Failure::usage(format!("{question} There is no terminal to answer on."))
                .hint("Add --yes to agree in advance."),
        );
    }
    context.terminal.confirm(question).await
}

fn nothing_changed() -> Failure {
    Failure::new(Exit::Cancelled, "Nothing was changed.")
}

/// Starts the job. Answers it, and the recovery code when a new identity was made.
async fn start(
    context: &Context<'_>,
    args: &SignIn,
    request: &Request,
    given: Option<&Password>,
) -> Result<(OwnedObjectPath, Option<zeroize::Zeroizing<String>>)> {
    let pipe = std::cell::RefCell::new(None);
    let started = password::call(context, &request.identity, given, async |fd| {
        let mut options = request.options();
        options.password = Some(fd);
        options.adopt = Some(request.adopt);
        options.create = Some(request.create);
        options.device = args.device.clone();
        if request.create {
            let (ours, theirs) =
                RecoveryPipe::new().map_err(|f| mooring_api::Error::Failed(f.message))?;
            pipe.replace(Some(ours));
            options.recovery_code = Some(theirs);
        }
        context
            .daemon
            .manager
            .sign_in(&args.provider, &request.identity, options)
            .await
    })
    .await;
    let code = match pipe.take() {
        Some(pipe) => pipe.code().await,
        None => None,
    };
    match started {
        Ok(job) => Ok((job, code)),
        Err(failure) => {
            // The identity may stand although the rest failed: then this is its only code.
            if let Some(code) = code {
                print_code(context, request, &code);
            }
            Err(failure)
        }
    }
}

async fn show_code(
    context: &Context<'_>,
    args: &SignIn,
    request: &Request,
    code: Option<&String>,
) -> Result<()> {
    let Some(code) = code else {
        context.warn(
            "No recovery code arrived. If the password is forgotten, nothing opens this account: \
             sign out and make it anew before you rely on it.",
        );
        return Ok(());
    };
    print_code(context, request, code);
    if context.terminal.interactive() && !args.yes {
        match context
            .terminal
            .ask("Press Enter when you have written it down. ")
            .await
        {
            Err(f) if f.exit != Exit::Cancelled => return Err(f),
            _ => {}
        }
    }
    Ok(())
}

/// To a person, and never into a log by accident: on the terminal itself.
fn print_code(context: &Context<'_>, request: &Request, code: &str) {
    let who = text::path(request.identity.as_bytes());
    tty_line("");
    tty_line(
        &context
            .terminal
            .paint(Tone::Strong, &format!("  Recovery code for {who}")),
    );
    tty_line("");
    tty_line(&format!("      {code}"));
    tty_line("");
    tty_line("  Write it down and keep it in a safe place. It sets a new password when yours is");
    tty_line("  forgotten. It is shown this once, and kept nowhere.");
    tty_line("");
}

fn summary(context: &Context<'_>, request: &Request, outcome: &JobOutcome) {
    let terminal = context.terminal;
    let who = text::path(request.identity.as_bytes());
    terminal.line("");
    terminal.line(&terminal.paint(Tone::Strong, &format!("Signed in as {who}.")));
    context.carried(outcome);
}

/// Whether all that left this device came back.
fn returned(context: &Context<'_>, outcome: &JobOutcome, document: Value) -> Result<Value> {
    let check = &outcome.returned;
    if check.expected == 0 {
        return Ok(document);
    }
    let of = format!(
        "{} of {} checked",
        number(check.checked),
        number(check.expected)
    );
    let changed = match check.changed_since {
        0 => String::new(),
        n => format!(", {} changed in the storage since", number(n)),
    };
    if check.missing_total == 0 {
        let mark = context.terminal.paint(Tone::Good, "✓");
        context.terminal.line(&format!(
            "{mark} {of}{changed}: all that left this device is back."
        ));
        return Ok(document);
    }
    let missing = count(check.missing_total, "file");
    context.terminal.line(&format!("{of}{changed}. Not there:"));
    for line in list(&check.missing, check.missing_total) {
        context.terminal.line(&line);
    }
    let mut failure = Failure::new(Exit::Failed, format!("{missing} did not come back."))
        .kind("Missing")
        .hint(format!(
            "The receipt names what was there: `mooringctl receipts show {}`.",
            text::path(check.receipt.as_bytes())
        ));
    if let Value::Object(map) = document {
        failure.document = map;
    }
    Err(failure)
}

/// `NAME` or `NAME=FOLDER`.
fn spec(text: &OsStr) -> Result<CollectionSpec> {
    let bytes = text.as_bytes();
    let (name, root) = match bytes.iter().position(|&b| b == b'=') {
        Some(i) => (&bytes[..i], absolute(OsStr::from_bytes(&bytes[i + 1..]))?),
        None => (bytes, Vec::new()),
    };
    let name = String::from_utf8(name.to_vec()).map_err(|_| {
        Failure::usage(format!(
            "--collection {}: not a collection's name.",
            text::path(bytes)
        ))
    })?;
    Ok(CollectionSpec { name, root })
}

/// An absolute path. A leading `~/` is the home folder, as the shell does not see it after a `=`.
fn absolute(path: &OsStr) -> Result<Vec<u8>> {
    let shown = text::path(path.as_bytes());
    let path = match (
        path.as_bytes().strip_prefix(b"~/"),
        std::env::var_os("HOME"),
    ) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(OsStr::from_bytes(rest)),
        _ => PathBuf::from(path),
    };
    let absolute = std::path::absolute(path)
        .map_err(|e| Failure::usage(format!("The folder \"{shown}\" cannot be used: {e}.")))?;
    Ok(absolute.into_os_string().into_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn collections_are_names_with_folders() {
        let plain = spec(OsStr::new("photos")).unwrap();
        assert_eq!(
            (plain.name.as_str(), plain.root.as_slice()),
            ("photos", &b""[..])
        );
        let odd = spec(OsStr::from_bytes(b"photos=/a=\xff")).unwrap();
        assert_eq!(
            (odd.name.as_str(), odd.root.as_slice()),
            ("photos", &b"/a=\xff"[..])
        );
        assert_eq!(spec(OsStr::new("photos=")).unwrap_err().exit, Exit::Usage);
        assert_eq!(
            spec(OsStr::from_bytes(b"\xff=/a")).unwrap_err().exit,
            Exit::Usage
        );
    }
}
