//! Deletions found by a run: carried over at its end, held as a question, or answered.

use mooring_core::sync::{Held, Op, Phase};

use super::Run;
use crate::carry::{Load, Way};
use crate::change::Change;
use crate::delete::{Answer, Deletion};
use crate::files::Files;
use crate::state::{Item, Key};

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
            (false, _) => {
                for held in self.deletions.add(deletion) {
                    self.hold_item(&held.key, &held.item, held.held());
                }
            }
        }
        None
    }
}
