//! What a run does about names that a person does not want to be synced: nothing, but to let go of
//! what was agreed on about them. Both sides then keep what they have: a file that was synced before
//! and is ignored now stays here, and its copy stays in the storage. When it is ignored no longer,
//! both are looked at as if they had never met.

use std::collections::BTreeSet;
use std::io;

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;

use super::Run;
use crate::account::Account;
use crate::error::Result;
use crate::files::Files;
use crate::ignored::BadLine;
use crate::look::Ignored;
use crate::place::{os, path};
use crate::remove;
use crate::state::{Key, join};
use crate::trouble::NAMED;

/// Names that are let go of between two commits.
const BATCH: usize = 2048;

/// What was passed over so far.
#[derive(Default)]
pub(super) struct Passed {
    folders: Vec<Vec<u8>>,
    bad_lines: Vec<BadLine>,
}

impl<F: Files> Run<'_, F> {
    pub(super) fn pass_over(
        &mut self,
        folder: &[u8],
        ignored: Vec<Ignored>,
        bad_lines: Vec<BadLine>,
    ) -> Result<()> {
        let room = NAMED.saturating_sub(self.ignored.bad_lines.len());
        self.ignored
            .bad_lines
            .extend(bad_lines.into_iter().take(room));
        let mut known = Vec::new();
        for Ignored {
            name,
            is_dir,
            here,
            item,
            ..
        } in ignored
        {
            self.ledger.skipped += u64::from(here);
            if is_dir {
                self.ignored.folders.push(join(folder, &name));
            }
            // What this sign-out removed is part of its account.
            if item.is_some_and(|item| !item.gone) {
                known.push(Key {
                    collection: self.place.collection,
                    folder: folder.to_vec(),
                    name,
                });
            }
        }
        if self.removing {
            known = self.settle_removed(known)?;
        }
        for keys in known.chunks(BATCH) {
            self.account.state.forget(keys)?;
        }
        Ok(())
    }

    /// What a dead predecessor removed, and could not say so, is told before it is let go of.
    /// Answers what is here still.
    fn settle_removed(&self, known: Vec<Key>) -> Result<Vec<Key>> {
        let (account, place) = (self.account, self.place);
        let (mut here, mut missing) = (Vec::new(), Vec::new());
        for key in known {
            let found = account
                .files
                .open_dir(&place.local, path(&key.folder))
                .and_then(|dir| account.files.stat(&dir, os(&key.name)));
            match found {
                Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(key),
                // Whatever it is, it stays.
                _ => here.push(key),
            }
        }
        let gone = remove::settle_missing(account, missing)?;
        account
            .state
            .mark_gone(place.collection, &gone, &BTreeSet::new())?;
        Ok(here)
    }

    /// Forgets ignored folders and those below them, so that no sign-out removes them, and keeps
    /// the lines that do not count for whoever asks.
    pub(super) fn let_go_of_ignored_folders(&mut self) -> Result<()> {
        let collection = self.place.collection;
        let (account, passed) = (self.account, std::mem::take(&mut self.ignored));
        if !passed.folders.is_empty() {
            let is_below = |path: &[u8], top: &Vec<u8>| {
                path.strip_prefix(top.as_slice())
                    .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
            };
            let mut known = account.state.folders_deepest_first(collection)?;
            known.retain(|folder| passed.folders.iter().any(|top| is_below(&folder.path, top)));
            let known: Vec<_> = known.into_iter().map(|folder| folder.path).collect();
            account.state.forget_folders(collection, &known)?;
        }
        if self.told.is_some() {
            // A file of rules that changed is looked at with everything.
            return Ok(());
        }
        let lines = passed.bad_lines.iter().map(|BadLine { at, why }| {
            let file = readable(&self.place.shown(b"", &at.file));
            format!("{file}:{}: {why}", at.line)
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let key = bad_lines_key(collection);
        if account.state.meta(&key)?.unwrap_or_default() != text {
            account.state.set_meta(&key, &text)?;
        }
        Ok(())
    }
}

fn bad_lines_key(collection: Collection) -> String {
    format!("ignore-lines.{collection}")
}

/// The lines of `.mooringignore` files that the last sync could not use, as `FILE:LINE: WHY`.
///
/// # Errors
/// When the state cannot be read.
pub fn bad_lines<F: Files>(account: &Account<F>, collection: Collection) -> Result<Vec<String>> {
    let text = account.state.meta(&bad_lines_key(collection))?;
    let text = text.unwrap_or_default();
    Ok(text.lines().map(str::to_owned).collect())
}
