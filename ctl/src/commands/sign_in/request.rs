//! What is asked for: with absolute paths, looked at, explained and agreed to.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use mooring_api::{AccountFound, CollectionSpec, SignInOptions};

use super::SignIn;
use crate::commands::{Context, collection};
use crate::exit::{Exit, Failure, Result};
use crate::text;

/// What was asked for, with absolute paths.
pub(super) struct Request {
    pub(super) storage: Vec<u8>,
    pub(super) collections: Vec<CollectionSpec>,
    pub(super) identity: String,
    pub(super) create: bool,
    pub(super) adopt: bool,
}

impl Request {
    /// The options that both calls need.
    pub(super) fn options(&self) -> SignInOptions {
        SignInOptions {
            storage: Some(self.storage.clone()),
            collections: (!self.collections.is_empty()).then(|| self.collections.clone()),
            ..SignInOptions::default()
        }
    }
}

/// Looks, explains, and asks for consent.
pub(super) async fn prepare(context: &Context<'_>, args: &SignIn) -> Result<Request> {
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
    let options = SignInOptions {
        identity: args.identity.clone(),
        ..request.options()
    };
    let found = context
        .daemon
        .manager
        .inspect(&args.provider, options)
        .await?;
    request.create = !found.exists;
    request.identity = identity(args, &found)?;
    // In full from here on, so that what the person agrees to is what happens.
    request.collections = found.collections.clone();
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
