//! Deletions of a sync: gathered while both sides are looked at, and carried over at its end, or
//! held as a question when they are more than a person would delete on a day.

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
    /// None yet; `begun` were carried over earlier in this sync.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn new<F: Files>(account: &Account<F>, begun: u64) -> Result<Self> {
        let mut files = 0;
        for (collection, _) in &account.spec.collections {
            files += account.state.tally(*collection)?.files;
        }
        let entries = book(account)?;
        let used = entries
            .iter()
            .fold(begun, |all, (_, n)| all.saturating_add(*n));
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
        let wanted = self.wanted.len();
        enter(account, &before, wanted as u64)?;
        let mut refused = 0;
        let all = [self.wanted, self.answered].concat();
        for (first, batch) in all.chunks(BATCH).enumerate().map(|(nr, b)| (nr * BATCH, b)) {
            begin(account, batch)?;
            let mut gone = Vec::new();
            for (nr, deletion) in (first..).zip(batch) {
                account.check_stop()?;
                let Deletion { key, item, way } = deletion;
                let buried = match way {
                    Way::Up => trash::bury_remote(account, place, &storage, key, item),
                    Way::Down => trash::bury_local(account, place, &storage, key, item),
                };
                match buried {
                    Ok(()) => gone.push(key.clone()),
                    Err(Failed::One(FileTrouble(why))) => {
                        refused += u64::from(nr < wanted);
                        ledger.pending(place.shown_key(key), FileTrouble(why));
                    }
                    Err(Failed::Stopped) => return Err(Error::Cancelled),
                    Err(Failed::All(e)) => {
                        return Err(Error::io("delete", path(&place.shown_key(key)), e));
                    }
                }
            }
            ledger.deleted += gone.len() as u64;
            account.state.forget(&gone)?;
            account.tell("deleting", (ledger.deleted, 0), (0, 0));
        }
        // What stays will be wanted again, and is no deletion until then.
        if refused > 0 {
            enter(account, &before, wanted as u64 - refused)?;
        }
        Ok(())
    }
}

/// Remembers which files are about to go, so that whoever dies in the middle does not take away
/// what somebody brought back meanwhile.
fn begin<F: Files>(account: &Account<F>, batch: &[Deletion]) -> Result<()> {
    let going = |deletion: &Deletion| {
        let item = Item {
            burying: true,
            ..deletion.item.clone()
        };
        (deletion.key.clone(), item)
    };
    account
        .state
        .record(&batch.iter().map(going).collect::<Vec<_>>(), &[])
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
