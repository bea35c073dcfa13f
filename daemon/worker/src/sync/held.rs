//! Deletions found by a run: carried over at its end, held as a question, or answered.

use std::mem;

use mooring_core::sync::{Held, Op, Phase};

use super::Run;
use crate::carry::{Load, Way};
use crate::change::Change;
use crate::delete::{Answer, Deletion};
use crate::error::Result;
use crate::files::Files;
use crate::look::FolderLook;
use crate::partial;
use crate::state::{Item, Key, Stamp, join};

impl<F: Files> Run<'_, F> {
    /// Does nothing about a deletion but remember that it waits for an answer.
    pub(super) fn hold(&mut self, change: &Change, held: Held) {
        if let Some(item) = &change.seen.item {
            self.hold_item(&change.key, item, held);
        }
    }

    fn hold_item(&mut self, key: &Key, item: &Item, held: Held) {
        let mut noted = item.clone();
        match held {
            Held::DeletedHere => {
                self.ledger.held_here += 1;
                noted.local = None;
            }
            Held::DeletedThere => self.ledger.held_there.add(
                self.place.shown_key(key),
                "was deleted in the storage and is still here",
            ),
        }
        // What is held because the account leaves is no question of its own.
        noted.held |= self.phase != Phase::Leaving;
        if noted != *item {
            self.noted.push((key.clone(), noted));
        }
    }

    /// A file that both sides have again is not in question any more, and does not go.
    pub(super) fn let_go(&mut self, change: &Change) {
        let going = |item: &&Item| item.held || item.burying;
        if let Some(item) = change.seen.item.as_ref().filter(going) {
            let noted = Item {
                held: false,
                burying: false,
                ..item.clone()
            };
            self.noted.push((change.key.clone(), noted));
        }
    }

    /// Wants a deletion; what is too many by now is held.
    fn want(&mut self, deletion: Deletion) {
        for held in self.deletions.add(deletion) {
            self.hold_item(&held.key, &held.item, held.held());
        }
    }

    /// Remembers a file of rules that is new in the storage: a person who writes down what stays on
    /// each device, and takes it out of the storage, means what is here, too.
    pub(super) fn look_for_rules(&mut self, look: &FolderLook<F>) {
        let Some(file) = look.new_rules() else {
            return;
        };
        let known = file.item.as_ref().and_then(|item| item.remote);
        let there = file.remote.as_ref().map(Stamp::from);
        let news = there.filter(|there| known.is_none_or(|known| known.stamp != *there));
        self.rules_to_come.extend(news.map(|stamp| {
            let key = Key {
                collection: self.place.collection,
                folder: look.path.clone(),
                name: file.name.clone(),
            };
            (key, stamp)
        }));
    }

    fn has_rules_to_come(&self, folder: &[u8]) -> bool {
        self.rules_to_come.iter().any(|(key, _)| {
            let top = &key.folder;
            top.is_empty() || top == folder || folder.starts_with(&join(top, b""))
        })
    }

    /// Takes the deletions that waited for rules. Those that the rules are about are none, and
    /// where some did not come, the next sync knows.
    pub(super) fn take_deferred(&mut self) -> Result<()> {
        let deferred = mem::take(&mut self.deferred);
        for (key, stamp) in mem::take(&mut self.rules_to_come) {
            let item = self.account.state.item(&key)?;
            let known = item.and_then(|item| item.remote);
            if known.is_none_or(|known| known.stamp != stamp) {
                self.rules_to_come.push((key, stamp));
            }
        }
        for deletion in deferred {
            let waits = self.has_rules_to_come(&deletion.key.folder);
            if !waits && !partial::is_let_be(self.account, self.place, &deletion.key)? {
                self.want(deletion);
            }
        }
        Ok(())
    }

    /// Carries a deletion over, holds it, or brings the file back, as was answered.
    pub(super) fn delete(&mut self, change: &Change, op: Op) -> Option<Load> {
        let item = change.item_now()?;
        let held = item.held;
        let way = if op == Op::DeleteRemote {
            Way::Up
        } else {
            Way::Down
        };
        let deletion = Deletion {
            key: change.key.clone(),
            item,
            way,
        };
        match (held, self.answer) {
            (true, None) => self.hold(change, deletion.held()),
            (true, Some(Answer::Delete)) => self.deletions.add_answered(deletion),
            (true, Some(Answer::Keep)) => {
                let back = if way == Way::Up { Way::Down } else { Way::Up };
                return Some(change.load(back));
            }
            (false, _) if way == Way::Down && self.has_rules_to_come(&deletion.key.folder) => {
                self.deferred.push(deletion);
            }
            (false, _) => self.want(deletion),
        }
        None
    }
}
