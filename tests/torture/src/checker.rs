//! The promise, checked from outside: every content that is owed lies somewhere, what was nobody's
//! business was left alone, and a receipt says what happened. Shares no code with the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mooring_tests::Manifest;

use crate::device::Device;
use crate::ledger::{Hash, Ledger};
use crate::person::{FOLDERS, is_mooring};
use crate::scan::Scanner;

/// At most so many lost contents are told.
const MAX_TOLD: usize = 10;

/// What is found wrong, as a text.
pub type Violation = String;

/// Looks at everything.
#[derive(Debug)]
pub struct Checker {
    scanner: Scanner,
    ledger: Arc<Mutex<Ledger>>,
    decoys: Vec<(PathBuf, Manifest)>,
}

/// What lies in the collections: the path below them, and the bytes.
pub type Content = BTreeMap<PathBuf, Hash>;

impl Checker {
    /// A checker of what this ledger says. The decoys must never change.
    pub fn new(ledger: Arc<Mutex<Ledger>>, decoys: Vec<PathBuf>) -> Self {
        let manifest = |path: PathBuf| {
            let manifest = Manifest::of(&path);
            (path, manifest)
        };
        Self {
            scanner: Scanner::default(),
            ledger,
            decoys: decoys.into_iter().map(manifest).collect(),
        }
    }

    /// Looks at both devices and the storage while everything stands still.
    ///
    /// # Errors
    /// With what is lost or touched.
    pub fn nothing_is_lost(&mut self, devices: &[Device], storage: &Path) -> Result<(), Violation> {
        let ledger = self.ledger.clone();
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let _still: Vec<_> = devices.iter().map(Device::freeze).collect();
        let mut here = BTreeSet::new();
        let homes = devices
            .iter()
            .map(|device| (device.world.home(), device.root()));
        for (all, root) in homes.chain([(storage.to_owned(), storage.to_owned())]) {
            let files = self.scanner.files(&all).map_err(|e| unread(&all, &e))?;
            for (path, hash) in files {
                here.insert(*hash.as_bytes());
                if let Ok(below) = path.strip_prefix(&root) {
                    ledger.is_now(below, &hash);
                }
            }
        }
        let lost: Vec<_> = ledger
            .owed()
            .filter(|(hash, _)| !here.contains(hash.as_bytes()))
            .collect();
        if !lost.is_empty() {
            let mut text = format!("{} contents are nowhere:\n", lost.len());
            for (hash, content) in lost.iter().take(MAX_TOLD) {
                text.push_str(&format!(
                    "  {}: {:?}\n{}",
                    hash.to_hex(),
                    content.fate,
                    content.history
                ));
            }
            return Err(text);
        }
        for (path, before) in &self.decoys {
            let differences = before.differences(&Manifest::of(path));
            if !differences.is_empty() {
                return Err(format!("touched in {}: {differences:?}", path.display()));
            }
        }
        Ok(())
    }

    /// What the collections below a folder hold, Mooring's own names aside.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn content(&mut self, root: &Path) -> Result<Content, Violation> {
        let mut content = Content::new();
        for folder in FOLDERS {
            let files = self
                .scanner
                .files(&root.join(folder))
                .map_err(|e| unread(root, &e))?;
            for (path, hash) in files {
                let below = path.strip_prefix(root).unwrap_or(&path).to_owned();
                if !below.iter().any(is_mooring) {
                    content.insert(below, hash);
                }
            }
        }
        Ok(content)
    }

    /// Both sides hold the same, and nothing that nobody wrote; unless `strictly`, but for conflict
    /// copies that were changed on both.
    ///
    /// # Errors
    /// With the differences.
    pub fn in_step(
        &mut self,
        device: &Device,
        storage: &Path,
        strictly: bool,
    ) -> Result<(), Violation> {
        let (here, there) = (self.content(&device.root())?, self.content(storage)?);
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.reached(there.values());
        let strange = there.iter().find(|(_, hash)| !ledger.knows(hash));
        if let Some((path, hash)) = strange {
            let shown = path.display();
            return Err(format!("nobody ever wrote the bytes of {shown} ({hash})"));
        }
        let differs = |path: &&PathBuf| here.get(*path) != there.get(*path);
        let paths: BTreeSet<_> = here.keys().chain(there.keys()).collect();
        let mut different: Vec<_> = paths.into_iter().filter(differs).collect();
        if !strictly {
            // A copy is never copied: where both sides changed one, a person has to choose.
            let both = |path: &&PathBuf| here.contains_key(*path) && there.contains_key(*path);
            different.retain(|path| !(is_conflict_copy(path) && both(path)));
        }
        if different.is_empty() {
            return Ok(());
        }
        let side = |content: &Content, path: &PathBuf| {
            content
                .get(path)
                .map_or("nothing".to_owned(), |hash| hash.to_hex()[..8].to_owned())
        };
        let shown = different.iter().take(MAX_TOLD).map(|path| {
            let (a, b) = (side(&here, path), side(&there, path));
            format!("\n  {}: {a} here, {b} in the storage", path.display())
        });
        Err(format!(
            "{} and the storage differ in {} names:{}",
            device.name,
            different.len(),
            shown.collect::<String>()
        ))
    }
}

/// A receipt against what was seen: `before` and `after` are the device's collections around a
/// sign-out in which nobody else touched anything.
///
/// # Errors
/// With what it says wrongly.
pub fn receipt_is_true(
    device: &Device,
    storage: &Path,
    before: &Content,
    after: &Content,
) -> Result<(), Violation> {
    let (path, receipt) = newest_receipt(&device.world.state().join("receipts"))?;
    let shown = path.display();
    let number = |entry: &toml::Value, key: &str| entry.get(key).and_then(toml::Value::as_integer);
    let collections = list(&receipt, "collection");
    let sum = |key: &str| -> i64 { collections.iter().filter_map(|c| number(c, key)).sum() };
    let gone = before
        .keys()
        .filter(|path| !after.contains_key(*path))
        .count();
    if usize::try_from(sum("removed-files")) != Ok(gone) {
        let says = sum("removed-files");
        return Err(format!("{shown} says {says} removed, and {gone} are gone"));
    }
    let kept = usize::try_from(sum("kept-files")).unwrap_or(usize::MAX);
    let left = list(&receipt, "left");
    if kept + left.len() < after.len() {
        let stays = after.len();
        let named = left.len();
        return Err(format!(
            "{shown} names {kept} kept and {named} left, and {stays} are here"
        ));
    }
    let proof = receipt
        .get("proof")
        .ok_or(format!("{shown} has no proof"))?;
    let text = |key: &str| {
        proof
            .get(key)
            .and_then(toml::Value::as_str)
            .unwrap_or_default()
    };
    let base = storage
        .join(".mooring/receipts")
        .join(base_name(text("base")));
    let bytes = fs::read(&base).map_err(|e| unread(&base, &e))?;
    if blake3::hash(&bytes).to_hex().as_str() != text("base-blake3") {
        return Err(format!(
            "{} is not the base that {shown} names",
            base.display()
        ));
    }
    base_is_true(&base, &bytes, before)
}

/// The base lists what was here, with its bytes.
fn base_is_true(base: &Path, bytes: &[u8], before: &Content) -> Result<(), Violation> {
    let text = String::from_utf8_lossy(bytes);
    let listed: BTreeSet<&str> = text
        .lines()
        .skip(1)
        .filter_map(|l| l.split(' ').next())
        .collect();
    let missing = before
        .iter()
        .find(|(_, hash)| !listed.contains(hash.to_hex().as_str()));
    match missing {
        None => Ok(()),
        Some((path, _)) => {
            let (base, path) = (base.display(), path.display());
            Err(format!(
                "{base} does not list {path} with the bytes that it had"
            ))
        }
    }
}

fn is_conflict_copy(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name.windows(11).any(|part| part == b" (conflict ")
}

fn base_name(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

fn list<'a>(receipt: &'a toml::Table, key: &str) -> &'a [toml::Value] {
    let list = receipt.get(key).and_then(toml::Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn newest_receipt(folder: &Path) -> Result<(PathBuf, toml::Table), Violation> {
    let mut newest: Option<(i64, PathBuf, toml::Table)> = None;
    for entry in fs::read_dir(folder).map_err(|e| unread(folder, &e))? {
        let path = entry.map_err(|e| unread(folder, &e))?.path();
        if path.as_os_str().as_bytes().ends_with(b".toml") {
            let text = fs::read_to_string(&path).map_err(|e| unread(&path, &e))?;
            let receipt: toml::Table =
                toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
            let sequence = receipt
                .get("sequence")
                .and_then(toml::Value::as_integer)
                .unwrap_or(0);
            if newest.as_ref().is_none_or(|(last, ..)| *last < sequence) {
                newest = Some((sequence, path, receipt));
            }
        }
    }
    let (_, path, receipt) = newest.ok_or(format!("no receipt in {}", folder.display()))?;
    Ok((path, receipt))
}

fn unread(path: &Path, e: &io::Error) -> Violation {
    format!("{} cannot be read: {e}", path.display())
}
