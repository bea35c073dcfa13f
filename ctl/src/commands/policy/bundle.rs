//! `policy check FILE.bundle`: whether a signed bundle is sound, and who signed it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zbus::OwnedFd;

use super::{findings, handed_over};
use crate::commands::Context;
use crate::exit::Result;
use crate::text;

/// The longest bundle, in bytes.
const MAX_BUNDLE_BYTES: u64 = 1024 * 1024;
/// The longest signature, in bytes.
const MAX_SIGNATURE_BYTES: u64 = 4 * 1024;

/// Whether the file is a bundle, by its name.
pub fn is_one(file: &Path) -> bool {
    file.extension().is_some_and(|e| e == "bundle")
}

/// Asks, and shows the answer.
///
/// # Errors
/// [`crate::exit::Exit::Failed`] when the bundle has findings; whatever the daemon answers.
pub async fn check(context: &Context<'_>, file: &Path) -> Result<Value> {
    let shown = text::os(file);
    let (name, bundle, signature) = with_signature(file)?;
    let manager = &context.daemon.manager;
    let found = manager.check_bundle(&name, bundle, signature).await?;
    let said = words(
        &found.organisation,
        found.version,
        found.expires,
        &found.key,
    );
    if !found.findings.is_empty() {
        let failure = findings(context, &shown, &found.findings);
        if found.version > 0 {
            context.terminal.line(&said);
        }
        return Err(failure);
    }
    context
        .terminal
        .line(&format!("{shown}: nothing to remark."));
    context.terminal.line(&said);
    Ok(json!({
        "findings": [],
        "organisation": found.organisation,
        "version": found.version,
        "expires": found.expires,
        "key": found.key,
        "files": found.files,
    }))
}

/// The bundle's name, and the bundle and its signature, opened.
///
/// # Errors
/// As [`handed_over`].
pub fn with_signature(file: &Path) -> Result<(String, OwnedFd, OwnedFd)> {
    let (name, bundle) = handed_over(file, MAX_BUNDLE_BYTES)?;
    let mut signature = file.as_os_str().to_owned();
    signature.push(".minisig");
    let (_, signature) = handed_over(&PathBuf::from(signature), MAX_SIGNATURE_BYTES)?;
    Ok((name, bundle, signature))
}

/// A bundle in a sentence.
pub fn words(organisation: &str, version: u64, expires: u64, key: &str) -> String {
    format!(
        "Bundle of {}, version {version}, signed by {}, to be renewed before {}.",
        text::sentence(organisation),
        text::sentence(key),
        text::timestamp(expires)
    )
}
