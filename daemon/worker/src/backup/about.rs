//! What a backup says about itself: `BACKUP.toml`, for people, and for the next attempt.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_core::receipt::{readable, unreadable};
use mooring_wire::{BackupReport, Counts};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::trouble::Named;

/// What a backup says about itself.
pub const ABOUT: &str = "BACKUP.toml";
/// The longest `BACKUP.toml` that is read, in bytes.
const MAX_ABOUT: u64 = 64 * 1024 * 1024;

/// What a backup says about itself, for people and for the next attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    pub(super) version: u32,
    pub(super) identity: String,
    pub(super) device: String,
    pub(super) sign_in_id: String,
    /// When it was taken, RFC 3339.
    pub taken_at: String,
    /// Whether nothing is missing.
    #[serde(default)]
    pub(super) complete: bool,
    /// What a person should know about it.
    #[serde(default)]
    pub(super) remarks: Vec<String>,
    /// What could not be taken.
    #[serde(default)]
    pub(super) not_backed_up: Vec<Entry>,
    /// What is never taken: links, sockets and the like.
    #[serde(default)]
    pub(super) left_out: Vec<Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) reason: String,
}

impl Entry {
    pub(super) fn new(path: &[u8], reason: &str) -> Self {
        Self {
            path: readable(path),
            reason: reason.to_owned(),
        }
    }
}

/// What a backup says about itself, if it does.
///
/// # Errors
/// When it cannot be read.
pub fn about<F: Files>(
    account: &Account<F>,
    backup: &F::Dir,
    shown: &Path,
) -> Result<Option<About>> {
    let bytes = durable::read(&account.files, backup, ABOUT, MAX_ABOUT)
        .map_err(|e| Error::io("read", &shown.join(ABOUT), e))?;
    Ok(bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| toml::from_str(&text).ok()))
}

pub(super) fn report(shown: &Path, files: Counts, about: &About) -> BackupReport {
    let mut missing = Named::default();
    for Entry { path, reason } in &about.not_backed_up {
        let bytes = unreadable(path).unwrap_or_else(|| path.as_bytes().to_vec());
        missing.add(bytes, reason);
    }
    BackupReport {
        path: shown.as_os_str().as_bytes().to_vec(),
        files,
        left_out: about.left_out.len() as u64,
        missing: missing.some,
        missing_total: missing.total,
        remarks: about.remarks.clone(),
    }
}
