//! Deletions of a sync: gathered while both sides are looked at, and carried over at its end, or
//! held as a question when they are more than a person would delete on a day.

use std::collections::HashSet;

use mooring_core::sync::{Held, deletions_allowed};

use crate::account::Account;
use crate::carry::Way;
use crate::error::{Error, FileTrouble, Result};
use crate::files::{Files, seconds};
use crate::hash::Failed;
use crate::place::{Place, open_storage, path};
use crate::state::{Item, Key};
use crate::trash;
use crate::trouble::Ledger;

/// A rolling day, in seconds.
const DAY: u64 = 86_400;
/// The state's key for the deletions of the last day: `SECONDS:COUNT` words.
const BOOK: &str = "deletions";
/// Deletions carried over between two commits.
const BATCH: usize = 256;

/// What a person said about held deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Carry them over.
    Delete,
    /// Bring the files back where they were deleted.
    Keep,
}

/// A deletion to be carried over.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// Which file.
    pub key: Key,
    /// What was agreed on.
    pub item: Item,
    /// Up: it was deleted here and goes there; down: the reverse.
    pub way: Way,
}

impl Deletion {
    /// What it is while it is not carried over.
    pub fn held(&self) -> Held {
        match self.way {
            Way::Up => Held::DeletedHere,
            Way::Down => Held::DeletedThere,
        }
    }
}

/// The deletions of one run.
#[derive(Debug, Default)]
pub struct Deletions {
    wanted: Vec<Deletion>,
    answered: Vec<Deletion>,
    allowed: u64,
    over: bool,
}

impl Deletions {
    /// None yet. The day's book has those of the collections before, too.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn new<F: Files>(account: &Account<F>) -> Result<Self> {
        let mut files = 0;
        for (collection, _) in &account.spec.collections {
            files += account.state.tally(*collection)?.files;
        }
        let entries = book(account)?;
        let used = entries
            .iter()
            .fold(0_u64, |all, (_, n)| all.saturating_add(*n));
        let allowed = deletions_allowed(files).saturating_sub(used);
        Ok(Self {
            wanted: Vec::new(),
            answered: Vec::new(),
            allowed,
            over: false,
        })
    }

    /// Adds a deletion. Answers those that have to be held, because they are too many by now.
    pub fn add(&mut self, deletion: Deletion) -> Vec<Deletion> {
        self.wanted.push(deletion);
        self.over |= self.wanted.len() as u64 > self.allowed;
        if self.over {
            std::mem::take(&mut self.wanted)
        } else {
            Vec::new()
        }
    }

    /// Adds a deletion that a person agreed to.
    pub fn add_answered(&mut self, deletion: Deletion) {
        self.answered.push(deletion);
    }

    /// Carries them over. Files that cannot go stay, and are told.
    ///
    /// # Errors
    /// What stops the whole.
    pub fn carry_over<F: Files>(
        self,
        account: &Account<F>,
        place: &Place<F>,
        ledger: &mut Ledger,
    ) -> Result<()> {
        if self.wanted.is_empty() && self.answered.is_empty() {
            return Ok(());
        }
        let storage = open_storage(account)?;
        // Counted before they happen: a crash must not give a second day's worth.
        let before = book(account)?;
        enter(account, &before, self.wanted.len() as u64)?;
        let mut run = |deletions: &[Deletion]| {
            let mut went = 0;
            for batch in deletions.chunks(BATCH) {
                let mut gone = Vec::new();
                begin(account, batch)?;
                let ended = bury(account, place, &storage, batch, &mut gone, ledger);
                end(account, batch, &gone)?;
                went += gone.len() as u64;
                ledger.deleted += gone.len() as u64;
                account.tell("deleting", (ledger.deleted, 0), (0, 0));
                if ended.is_err() {
                    return Ok((went, ended));
                }
            }
            Ok((went, Ok(())))
        };
        let (went, ended) = run(&self.wanted)?;
        // What stays will be wanted again, and is no deletion until then.
        if went < self.wanted.len() as u64 {
            enter(account, &before, went)?;
        }
        ended?;
        run(&self.answered)?.1
    }
}

/// Buries a batch; what went is added to `gone`.
fn bury<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    storage: &F::Dir,
    batch: &[Deletion],
    gone: &mut Vec<Key>,
    ledger: &mut Ledger,
) -> Result<()> {
    for Deletion { key, item, way } in batch {
        account.check_stop()?;
        let buried = match way {
            Way::Up => trash::bury_remote(account, place, storage, key, item),
            Way::Down => trash::bury_local(account, place, storage, key, item),
        };
        match buried {
            Ok(()) => gone.push(key.clone()),
            Err(Failed::One(FileTrouble(why))) => {
                ledger.pending(place.shown_key(key), FileTrouble(why));
            }
            Err(Failed::Stopped) => return Err(Error::Cancelled),
            Err(Failed::All(e)) => {
                return Err(Error::io("delete", path(&place.shown_key(key)), e));
            }
        }
    }
    Ok(())
}

/// Remembers which files are about to go, so that whoever dies in the middle does not take away
/// what somebody brought back meanwhile.
fn begin<F: Files>(account: &Account<F>, batch: &[Deletion]) -> Result<()> {
    let going = batch.iter().map(|deletion| {
        let burying = true;
        let item = deletion.item.clone();
        (deletion.key.clone(), Item { burying, ..item })
    });
    account.state.record(&going.collect::<Vec<_>>(), &[])
}

/// Forgets what went. What did not is what it was before.
fn end<F: Files>(account: &Account<F>, batch: &[Deletion], gone: &[Key]) -> Result<()> {
    let went: HashSet<_> = gone.iter().collect();
    let stays = batch
        .iter()
        .filter(|deletion| !went.contains(&deletion.key));
    let stays = stays.map(|deletion| {
        let burying = false;
        let item = deletion.item.clone();
        (deletion.key.clone(), Item { burying, ..item })
    });
    account.state.record(&stays.collect::<Vec<_>>(), &[])?;
    account.state.forget(gone)
}

/// More than any day allows.
const TOO_MANY: u64 = 1 << 32;

/// The entries of the last day. One in the future counts: the clock was turned back. One that cannot
/// be read stands for more than is allowed: a guard that is damaged does not open.
fn book<F: Files>(account: &Account<F>) -> Result<Vec<(u64, u64)>> {
    let now = seconds(account.files.now());
    let text = account.state.meta(BOOK)?.unwrap_or_default();
    let read = |word: &str| {
        let (when, count) = word.split_once(':')?;
        Some((when.parse().ok()?, count.parse().ok()?))
    };
    let entries = text
        .split_whitespace()
        .map(|word| read(word).unwrap_or((now, TOO_MANY)));
    Ok(entries
        .filter(|(when, _): &(u64, u64)| when.saturating_add(DAY) > now)
        .collect())
}

/// Writes down what a day had before, and how many more there are now.
fn enter<F: Files>(account: &Account<F>, before: &[(u64, u64)], count: u64) -> Result<()> {
    let now = [(seconds(account.files.now()), count)];
    let entries = before.iter().chain(now.iter().filter(|(_, n)| *n > 0));
    let words: Vec<_> = entries
        .map(|(when, count)| format!("{when}:{count}"))
        .collect();
    account.state.set_meta(BOOK, &words.join(" "))
}
