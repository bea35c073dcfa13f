//! `undelete`: lists the trash, or brings a file back from it.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::commands::Context;
use crate::exit::{Failure, Result};
use crate::text;

/// Options of `undelete`.
#[derive(Debug, Args)]
pub struct Undelete {
    /// The file, by the path it had; without one, the trash is listed
    file: Option<PathBuf>,
    /// Bring it back even if its bytes are not those that were deleted; its name then says so
    #[arg(long, requires = "file")]
    damaged: bool,
    /// The identity or the ID; may be left out when there is one account
    #[arg(long)]
    account: Option<String>,
}

/// Lists the trash, or brings a file back and follows the sync that does it.
///
/// # Errors
/// What the sync ended in; that the trash has no such file.
pub async fn run(context: &Context<'_>, args: Undelete) -> Result<Value> {
    let terminal = context.terminal;
    let find = context.daemon.account(args.account.as_deref());
    let account = terminal.patient(find).await?;
    let Some(file) = args.file else {
        let files = terminal
            .patient(context.daemon.files_proxy(&account))
            .await?;
        let list = async { Ok(files.list_trash().await?) };
        return Ok(list_trash(context, &terminal.patient(list).await?));
    };
    // By the name alone: the file is not there, so nothing can be resolved.
    let file = std::path::absolute(&file).map_err(|e| {
        Failure::usage(format!(
            "{} is no path: {e}.",
            text::path(file.as_os_str().as_bytes())
        ))
    })?;
    let start = async {
        let files = context.daemon.files_proxy(&account).await?;
        let file = file.into_os_string().into_vec();
        Ok(match args.damaged {
            true => files.undelete_damaged(&file).await?,
            false => files.undelete(&file).await?,
        })
    };
    let job = terminal.patient(start).await?;
    let document = context.follow_sync(&account, &job).await?;
    let told = |key: &str| {
        let told = document.pointer(key).and_then(Value::as_str);
        told.filter(|told| !told.is_empty())
    };
    if let Some(path) = told("/outcome/path") {
        let path = text::path(path.as_bytes());
        terminal.line(&format!("It is there again: {path}"));
    }
    if let Some(message) = told("/outcome/message") {
        terminal.line(&text::sentence(message));
    }
    Ok(document)
}

fn list_trash(context: &Context<'_>, trash: &[(Vec<u8>, String)]) -> Value {
    if trash.is_empty() {
        context.terminal.line("The trash is empty.");
    }
    for (path, day) in trash {
        let (day, path) = (text::path(day.as_bytes()), text::path(path));
        context.terminal.line(&format!("  {day}   {path}"));
    }
    let entry = |(path, day): &(Vec<u8>, String)| json!({ "path": String::from_utf8_lossy(path), "deleted-on": day });
    json!({ "trash": trash.iter().map(entry).collect::<Vec<_>>() })
}
