//! Coming back: what the newest receipt of this device says, compared with what is here now.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use mooring_core::receipt::Receipt;
use mooring_core::sync::Hash;
use mooring_wire::ReturnCheck;

use crate::account::Account;
use crate::base::{self, Line};
use crate::durable;
use crate::error::{Error, Result, about_one_file};
use crate::files::Files;
use crate::ignored;
use crate::place::{self, STORE, os, path};
use crate::state::{Item, Key};
use crate::sync::adopted_key;
use crate::trash::Trash;
use crate::trouble::NAMED;

/// Items recorded between two commits, or looked up at once.
const BATCH: usize = 2048;
/// Absent files that are looked for under other names and in the trash.
const LOOKED_FOR: usize = 65_536;

/// Compares what is here with the newest receipt of this device for this identity.
///
/// # Errors
/// When the storage is gone, or fails. A damaged receipt or base counts as none.
pub fn check<F: Files>(account: &Account<F>) -> Result<ReturnCheck> {
    let Some(receipt) = newest_receipt(account)? else {
        return Ok(without_receipt(account));
    };
    let mut check = ReturnCheck {
        receipt: receipt.id.clone(),
        ..ReturnCheck::default()
    };
    let (mut absent, mut batch) = (Absent::default(), Vec::new());
    let read = read_base(account, &receipt, |line| {
        if account.spec.root(line.key.collection).is_err() {
            // Not brought this time, so it is not missed.
            return Ok(());
        }
        batch.push(line);
        if batch.len() < BATCH {
            return Ok(());
        }
        compare(account, std::mem::take(&mut batch), &mut check, &mut absent)
    });
    if !pass_over_damage(&receipt, read)? {
        return Ok(ReturnCheck::default());
    }
    compare(account, batch, &mut check, &mut absent)?;
    absent.explain(account, &mut check)?;
    Ok(check)
}

/// Counts lines of the base by what became of their files.
fn compare<F: Files>(
    account: &Account<F>,
    lines: Vec<Line>,
    check: &mut ReturnCheck,
    absent: &mut Absent,
) -> Result<()> {
    check.expected += lines.len() as u64;
    let items = account.state.items_at(lines.iter().map(|line| &line.key))?;
    for (line, item) in lines.into_iter().zip(items) {
        match item {
            Some(item) if item.local.is_some() && item.agreed.local == line.agreed.local => {
                check.checked += 1;
            }
            // Deleted on one side since: a question for a person, and no loss.
            Some(item) if item.held => check.held += 1,
            Some(item) if item.agreed.remote != line.agreed.remote => check.changed_since += 1,
            _ => absent.add(line),
        }
    }
    Ok(())
}

/// A storage that lacks the receipt of this device's last sign-out may be older than it, and so lack
/// files, too: what is missed is then the receipt.
fn without_receipt<F: Files>(account: &Account<F>) -> ReturnCheck {
    let left_with = &account.spec.left_with;
    if left_with.is_empty() {
        return ReturnCheck::default();
    }
    let lost = shown(account, &format!("{left_with}.toml"));
    ReturnCheck {
        receipt: left_with.clone(),
        missing: vec![lost.into_os_string().into_vec()],
        missing_total: 1,
        ..ReturnCheck::default()
    }
}

/// The path of a receipt, or of its base, in the storage, for messages.
fn shown<F: Files>(account: &Account<F>, name: &str) -> PathBuf {
    account.spec.storage.join(STORE).join("receipts").join(name)
}

/// Files of the base that are not here under their names.
#[derive(Default)]
struct Absent {
    lines: Vec<(Key, Hash)>,
    /// More than that, which are not looked for.
    more: u64,
}

impl Absent {
    fn add(&mut self, line: Line) {
        if self.lines.len() < LOOKED_FOR {
            self.lines.push((line.key, line.agreed.local));
        } else {
            self.more += 1;
        }
    }

    /// What another device moved or deleted meanwhile did not get lost; the rest is missing.
    fn explain<F: Files>(self, account: &Account<F>, check: &mut ReturnCheck) -> Result<()> {
        check.missing_total = self.more;
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut moved: HashMap<Hash, bool> =
            self.lines.iter().map(|(_, hash)| (*hash, false)).collect();
        for (collection, _) in &account.spec.collections {
            account.state.each_item(*collection, |_, item| {
                if let Some(found) = moved.get_mut(&item.agreed.local) {
                    *found |= item.local.is_some();
                }
                Ok(())
            })?;
        }
        let trash = Trash::open(account)?;
        for (key, hash) in self.lines {
            if moved.get(&hash) == Some(&true) || is_ignored(account, &key)? {
                check.changed_since += 1;
            } else if trash.has(&key)? {
                check.deleted_since += 1;
            } else {
                check.missing_total += 1;
                if check.missing.len() < NAMED {
                    let root = account.spec.root(key.collection)?.as_os_str().as_bytes();
                    check.missing.push(crate::state::join(root, &key.path()));
                }
            }
        }
        Ok(())
    }
}

/// Whether a name is in the storage still and was not brought because somebody has it ignored by now.
fn is_ignored<F: Files>(account: &Account<F>, key: &Key) -> Result<bool> {
    let place = place::open(account, key.collection)?;
    let (files, roots) = (&account.files, [&place.local, &place.remote]);
    let fail = |e| Error::io("look at", &place.remote_path, e);
    let there = files
        .open_dir(&place.remote, path(&key.folder))
        .and_then(|dir| files.stat(&dir, os(&key.name)));
    match there {
        Ok(_) => {
            let by = ignored::on_path(files, roots, &key.path(), false);
            by.map(|by| by.is_some()).map_err(fail)
        }
        Err(e) if about_one_file(&e).is_some() => Ok(false),
        Err(e) => Err(fail(e)),
    }
}

/// A damaged base is no reason to keep a person from their data: then there is nothing to compare
/// with. Answers whether it was whole.
fn pass_over_damage(receipt: &Receipt, read: Result<()>) -> Result<bool> {
    match read {
        Err(Error::Io { source, .. })
            if source.kind() == io::ErrorKind::InvalidData || about_one_file(&source).is_some() =>
        {
            tracing::warn!(
                receipt = receipt.id,
                "its base is missing or damaged: {source}"
            );
            Ok(false)
        }
        read => read.map(|()| true),
    }
}

/// After a sign-out that kept a collection's files, the receipt's base tells what both sides
/// agreed on. Taken into the inventory, it makes a file that was deleted since on one side a held
/// one, instead of one that is quietly brought back.
///
/// # Errors
/// As [`check`].
pub fn remember_kept<F: Files>(account: &Account<F>) -> Result<()> {
    let Some(receipt) = newest_receipt(account)? else {
        return Ok(());
    };
    let mut batch: Vec<(Key, Item)> = Vec::new();
    let read = read_base(account, &receipt, |Line { agreed, kept, key }| {
        if !kept {
            return Ok(());
        }
        // Only where the files were left in the same folder as now.
        let entry = receipt
            .collections
            .iter()
            .find(|c| c.name == key.collection.name());
        let same_root = account.spec.root(key.collection).is_ok_and(|root| {
            let shown = mooring_core::receipt::readable(root.as_os_str().as_bytes());
            entry.is_some_and(|entry| entry.root == shown)
        });
        // A device that was never here may have the same name and the same folders: where nothing
        // was kept, nothing was deleted, and bringing it all is safe.
        let holds_files = || account.state.meta(&adopted_key(key.collection));
        if same_root && holds_files()?.is_some() {
            let item = Item {
                name: key.name.clone(),
                agreed,
                local: None,
                mode: 0o600,
                remote: None,
                verified: None,
                here_before: false,
                gone: false,
                held: false,
                burying: false,
            };
            batch.push((key, item));
        }
        if batch.len() >= BATCH {
            account.state.record(&std::mem::take(&mut batch), &[])?;
        }
        Ok(())
    });
    if pass_over_damage(&receipt, read)? {
        account.state.record(&batch, &[])?;
    }
    Ok(())
}

fn read_base<F: Files>(
    account: &Account<F>,
    receipt: &Receipt,
    mut each: impl FnMut(Line) -> Result<()>,
) -> Result<()> {
    let dir = base::receipts_dir(account)?;
    let shown = shown(account, &receipt.proof.base);
    let fail = |e| Error::io("read the base", &shown, e);
    let name = std::ffi::OsStr::new(&receipt.proof.base);
    let pass = |each: &mut dyn FnMut(Line) -> Result<()>| {
        let mut trouble = None;
        let file = account.files.open(&dir, name).map_err(fail)?;
        let read = base::read(file, &receipt.proof.base_blake3, |line| {
            each(line).map_err(|e| {
                trouble = Some(e);
                io::Error::other("stopped")
            })
        });
        trouble.map_or_else(|| read.map_err(fail), Err)
    };
    // Once for its hash, before anything in it is believed.
    pass(&mut |_| Ok(()))?;
    pass(&mut each)
}

/// The receipt that this device keeps of its last sign-out; of a device that keeps none (it was set
/// up anew), the newest of this device's name for this identity in this storage. Receipts that
/// cannot be read are passed over: they are somebody else's, or damaged, and the check then says
/// that there is none.
fn newest_receipt<F: Files>(account: &Account<F>) -> Result<Option<Receipt>> {
    let dir = base::receipts_dir(account)?;
    let fail = |e| Error::io("list the receipts of", &account.spec.storage, e);
    let left_with = &account.spec.left_with;
    let mut newest: Option<((String, i64), Receipt)> = None;
    for entry in account.files.list(&dir).map_err(fail)? {
        let Some(id) = entry.name.to_str().and_then(|n| n.strip_suffix(".toml")) else {
            continue;
        };
        if !base::is_receipt_id(id) {
            continue;
        }
        let name = format!("{id}.toml");
        let text = match durable::read(&account.files, &dir, &name, base::MAX_RECEIPT) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(e) => {
                tracing::warn!(receipt = id, "cannot be read: {e}");
                continue;
            }
        };
        let receipt = match std::str::from_utf8(&text).map(Receipt::from_toml) {
            Ok(Ok(receipt)) => receipt,
            _ => {
                tracing::warn!(receipt = id, "is damaged");
                continue;
            }
        };
        let same = receipt.identity == account.spec.identity
            && receipt.storage.id == account.spec.storage_id
            && receipt.proof.base == format!("{id}.base");
        if same && receipt.id == *left_with {
            return Ok(Some(receipt));
        }
        // Another one would speak of a sign-out before it.
        let ours = left_with.is_empty() && same && receipt.device == account.spec.device;
        // Two sign-outs of one second are told apart by when their receipts were written.
        let when = (receipt.signed_out_at.clone(), entry.stat.mtime);
        if ours && newest.as_ref().is_none_or(|(latest, _)| *latest < when) {
            newest = Some((when, receipt));
        }
    }
    Ok(newest.map(|(_, receipt)| receipt))
}
