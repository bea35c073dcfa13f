//! What `backup`, `restore`, `verify` and `why` share.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use mooring_api::JobOutcome;
use serde_json::{Value, json};
use zbus::OwnedObjectPath;

use crate::bus::Account;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::job::follow::follow as follow_job;
use crate::json;

/// A path as the bus wants it: absolute, without `.`; `..` is resolved, because what it means
/// depends on links.
///
/// # Errors
/// When the folder on the way to a `..` is not there.
pub fn absolute(path: &Path) -> Result<Vec<u8>> {
    let fail = |e: std::io::Error| {
        let shown = crate::text::os(path);
        Failure::new(Exit::Failed, format!("{shown} cannot be found: {e}."))
    };
    let mut all = std::path::absolute(path).map_err(fail)?;
    if all.components().any(|part| part == Component::ParentDir) {
        all = std::fs::canonicalize(&all).map_err(fail)?;
    }
    let plain: PathBuf = all.components().collect();
    Ok(plain.as_os_str().as_bytes().to_vec())
}

/// Follows a job to its end and says what came of it.
///
/// # Errors
/// What the job ended in.
pub async fn follow(
    context: &Context<'_>,
    account: &Account,
    job: &OwnedObjectPath,
    say: impl FnOnce(&JobOutcome) -> Vec<String>,
) -> Result<Value> {
    let answers = context.answers(&account.state.identity, None);
    let outcome = follow_job(context.daemon, context.terminal, job, &answers).await?;
    for line in say(&outcome) {
        context.terminal.line(&line);
    }
    Ok(json!({ "job": json::job_ref(job), "outcome": json::outcome(&outcome) }))
}
