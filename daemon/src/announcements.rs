//! What apps are told of sign-outs: each word, in order. State may be told as a difference, and
//! then what came and went in between is never seen; an app that has something to save must not
//! miss the one word it waits for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most words that wait to be told. A sign-out makes two, and each is asked for by a person.
const MAX_WAITING: usize = 1024;

/// A sign-out begins, or will not happen after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The account's ID.
    pub account: String,
    /// Whether it begins.
    pub begins: bool,
}

/// The words that were not told yet.
#[derive(Debug, Default)]
pub struct Announcements(Mutex<VecDeque<Announcement>>);

impl Announcements {
    /// Adds a word. Change what clients see afterwards, which wakes whoever tells.
    pub fn add(&self, account: &str, begins: bool) {
        let mut waiting = self.waiting();
        if waiting.len() >= MAX_WAITING {
            tracing::error!(account, begins, "apps are not told: nobody tells any more");
            return;
        }
        waiting.push_back(Announcement {
            account: account.to_owned(),
            begins,
        });
    }

    /// Takes all that wait, oldest first.
    pub fn take(&self) -> VecDeque<Announcement> {
        std::mem::take(&mut *self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Announcement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_kept_in_order_and_not_too_many() {
        let words = Announcements::default();
        for begins in [true, false, true] {
            words.add("a1", begins);
        }
        let begins = |words: VecDeque<Announcement>| -> Vec<bool> {
            words.into_iter().map(|word| word.begins).collect()
        };
        assert_eq!(begins(words.take()), [true, false, true]);
        assert!(words.take().is_empty());
        (0..=MAX_WAITING).for_each(|_| words.add("a1", true));
        assert_eq!(words.take().len(), MAX_WAITING);
    }
}
