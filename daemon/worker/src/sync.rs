//! Bringing both sides of the collections in step: look, decide, carry, record, in batches.

use std::collections::{BTreeSet, HashSet};
use std::mem;

use mooring_core::collection::Collection;
use mooring_core::sync::{Held, Op, Phase, Side, is_conflict_copy};

use crate::account::Account;
use crate::carry::{self, Load, Way};
use crate::change::Change;
use crate::conflict;
use crate::delete::{Answer, Deletion, Deletions};
use crate::durable::{self, FOLDER_MODE};
use crate::error::{Error, FileTrouble, Result, about_one_file};
use crate::files::Files;
use crate::hash::{self, CARRIED_MODE, Failed, Source};
use crate::look::{FolderLook, Odd, walk};
use crate::place::{self, Place, os, path};
use crate::pool;
use crate::staging;
use crate::state::{Epoch, Folder, Item, Key, split};
use crate::trouble::Ledger;

/// Files in a batch, at most.
const BATCH_FILES: usize = 16 * 1024;
/// Bytes in a batch, about; a larger file is a batch of its own.
const BATCH_BYTES: u64 = 1024 * 1024 * 1024;

/// Brings every collection of a list in step.
///
/// # Errors
/// What stops the whole: a missing side, a full disk, a wish to stop, an account that leaves
/// while `phase` is [`Phase::Active`].
pub fn sync<F: Files>(
    account: &Account<F>,
    collections: &[Collection],
    phase: Phase,
) -> Result<Ledger> {
    sync_with(account, collections, phase, None)
}

/// [`sync`], with an answer to the question about held deletions.
///
/// # Errors
/// As [`sync`].
pub fn sync_with<F: Files>(
    account: &Account<F>,
    collections: &[Collection],
    phase: Phase,
    answer: Option<Answer>,
) -> Result<Ledger> {
    let epoch = account.state.epoch()?;
    if phase != Phase::Leaving && epoch >= Epoch::Leaving {
        return Err(Error::Refused(
            "the account is signing out: nothing is downloaded".to_owned(),
        ));
    }
    let mut ledger = Ledger::default();
    // Every side is opened before anything is done: all of the storage is there, or nothing moves.
    let places = collections
        .iter()
        .map(|collection| place::open(account, *collection))
        .collect::<Result<Vec<_>>>()?;
    for place in &places {
        let before = (
            ledger.waiting.total,
            ledger.held_here + ledger.held_there.total,
        );
        let before = (before, ledger.copies_here, ledger.skipped);
        sync_place(account, place, phase, answer, &mut ledger)?;
        let numbers = [
            ledger.waiting.total - before.0.0,
            ledger.held_here + ledger.held_there.total - before.0.1,
            ledger.copies_here - before.1,
            ledger.skipped - before.2,
        ];
        remember_numbers(account, place.collection, numbers)?;
    }
    Ok(ledger)
}

/// Set in the state when a collection's folder had files before the account came.
pub fn adopted_key(collection: Collection) -> String {
    format!("adopted.{collection}")
}

/// Keeps what only a look at the files tells: unsynced, held, conflict copies, skipped.
fn remember_numbers<F: Files>(
    account: &Account<F>,
    collection: Collection,
    numbers: [u64; 4],
) -> Result<()> {
    let key = format!("numbers.{collection}");
    let text = numbers.map(|n| n.to_string()).join(" ");
    if account.state.meta(&key)?.as_deref() == Some(&text) {
        return Ok(());
    }
    account.state.set_meta(&key, &text)
}

/// The numbers of the last look: unsynced, held, conflict copies, skipped.
///
/// # Errors
/// When the state cannot be read.
pub fn numbers<F: Files>(account: &Account<F>, collection: Collection) -> Result<[u64; 4]> {
    let text = account
        .state
        .meta(&format!("numbers.{collection}"))?
        .unwrap_or_default();
    let mut numbers = text.split(' ').map(|n| n.parse().unwrap_or(0));
    Ok(std::array::from_fn(|_| numbers.next().unwrap_or(0)))
}

/// Work that was gathered, and the books.
struct Run<'a, F: Files> {
    account: &'a Account<F>,
    place: &'a Place<F>,
    phase: Phase,
    removing: bool,
    /// The account is being brought to a folder that had files: what both sides have was here.
    adopting: bool,
    ledger: &'a mut Ledger,
    changes: Vec<Change>,
    bytes: u64,
    folders: Vec<(Collection, Folder)>,
    /// The sides on which folders were made since the last flush.
    unsynced_folders: BTreeSet<Way>,
    /// Items of which something is to be remembered without moving bytes.
    noted: Vec<(Key, Item)>,
    answer: Option<Answer>,
    /// Files that come back, because that was the answer.
    answered: Vec<Load>,
    deletions: Deletions,
    /// Folders that both sides had, and the side that still has them.
    gone_folders: Vec<(Vec<u8>, Way)>,
    seen_folders: HashSet<Vec<u8>>,
}

fn sync_place<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    phase: Phase,
    answer: Option<Answer>,
    ledger: &mut Ledger,
) -> Result<()> {
    staging::tidy(account, place)?;
    let deletions = Deletions::new(account, ledger.deleted)?;
    let mut run = Run {
        account,
        place,
        phase,
        removing: account.state.epoch()? == Epoch::Removing,
        adopting: account.state.epoch()? == Epoch::New
            && account
                .state
                .meta(&adopted_key(place.collection))?
                .is_some(),
        ledger,
        changes: Vec::new(),
        bytes: 0,
        folders: Vec::new(),
        unsynced_folders: BTreeSet::new(),
        noted: Vec::new(),
        answer,
        answered: Vec::new(),
        deletions,
        gone_folders: Vec::new(),
        seen_folders: HashSet::new(),
    };
    walk(account, place, |look| run.take(look))?;
    run.flush()?;
    run.end()
}

impl<F: Files> Run<'_, F> {
    fn take(&mut self, look: FolderLook<F>) -> Result<()> {
        self.match_folder(&look)?;
        for (name, odd) in look.odd {
            match odd {
                Odd::Stays(_) => self.ledger.skipped += 1,
                Odd::Trouble(why) => self
                    .ledger
                    .pending(self.place.shown(&look.path, &name), why),
            }
        }
        for seen in look.names {
            self.ledger.seen += 1;
            // What this sign-out removed is not missed, and what arrives now stays and is named.
            if self.removing && seen.item.as_ref().is_none_or(|item| item.gone) {
                continue;
            }
            self.ledger.copies_here +=
                u64::from(seen.local.is_some() && is_conflict_copy(&seen.name));
            let key = Key {
                collection: self.place.collection,
                folder: look.path.clone(),
                name: seen.name.clone(),
            };
            let size = [seen.local, seen.remote]
                .into_iter()
                .flatten()
                .map(|s| s.size)
                .max();
            let change = Change::new(key, seen);
            match change.decide(self.phase) {
                None => {
                    self.let_go(&change);
                    continue;
                }
                Some(Op::Hold(held)) => {
                    self.hold(&change, held);
                    continue;
                }
                Some(op @ (Op::DeleteLocal | Op::DeleteRemote)) => {
                    let load = self.delete(&change, op);
                    self.answered.extend(load);
                    continue;
                }
                Some(_) => {}
            }
            self.bytes += size.unwrap_or(0);
            self.changes.push(change);
            if self.changes.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Does nothing about a deletion but remember that it waits for an answer.
    fn hold(&mut self, change: &Change, held: Held) {
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

    /// A held file that both sides have again is not in question any more.
    fn let_go(&mut self, change: &Change) {
        if let Some(item) = change.seen.item.as_ref().filter(|item| item.held) {
            let noted = Item {
                held: false,
                ..item.clone()
            };
            self.noted.push((change.key.clone(), noted));
        }
    }

    /// Carries a deletion over, holds it, or brings the file back, as was answered.
    fn delete(&mut self, change: &Change, op: Op) -> Option<Load> {
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

    /// The end of a run: deletions, and the folders that they leave empty. Creation comes first.
    fn end(mut self) -> Result<()> {
        let deletions = mem::take(&mut self.deletions);
        deletions.carry_over(self.account, self.place, self.ledger)?;
        if self.phase != Phase::Active {
            return Ok(());
        }
        let files = &self.account.files;
        self.gone_folders.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        for (folder, way) in &self.gone_folders {
            let root = if *way == Way::Up {
                &self.place.remote
            } else {
                &self.place.local
            };
            let (parent, name) = split(folder);
            let removed = files.open_dir(root, path(parent)).and_then(|dir| {
                files
                    .remove_dir(&dir, os(name))
                    .and_then(|()| files.sync_dir(&dir))
            });
            match removed {
                Ok(()) => self
                    .account
                    .state
                    .forget_folder(self.place.collection, folder)?,
                // Something in it stays; so does the folder.
                Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
                Err(e) if about_one_file(&e).is_some() => {}
                Err(e) => {
                    let shown = self.place.shown(folder, b"");
                    return Err(Error::io("remove the folder", path(&shown), e));
                }
            }
        }
        self.forget_unseen_folders()
    }

    /// Folders that neither side has any more; one that is made anew is a new one.
    fn forget_unseen_folders(&self) -> Result<()> {
        let files = &self.account.files;
        let is_gone = |root, folder: &[u8]| {
            files
                .open_dir(root, path(folder))
                .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        };
        for folder in self
            .account
            .state
            .folders_deepest_first(self.place.collection)?
        {
            let seen = self.seen_folders.contains(&folder.path);
            if !seen
                && is_gone(&self.place.local, &folder.path)
                && is_gone(&self.place.remote, &folder.path)
            {
                self.account
                    .state
                    .forget_folder(self.place.collection, &folder.path)?;
            }
        }
        Ok(())
    }

    /// A folder on one side only is made on the other, unless both once had it.
    fn match_folder(&mut self, look: &FolderLook<F>) -> Result<()> {
        let (collection, folder) = (self.place.collection, &look.path);
        if folder.is_empty() {
            return Ok(());
        }
        self.seen_folders.insert(folder.clone());
        if self.account.state.knows_folder(collection, folder)? {
            match (&look.local, &look.remote) {
                (Some(_), None) => self.gone_folders.push((folder.clone(), Way::Down)),
                (None, Some(_)) => self.gone_folders.push((folder.clone(), Way::Up)),
                _ => {}
            }
            return Ok(());
        }
        let made = match (&look.local, &look.remote) {
            (Some(here), None) => self.make_folder(Way::Up, folder, here)?,
            (None, Some(there)) if self.phase != Phase::Leaving => {
                self.make_folder(Way::Down, folder, there)?
            }
            (Some(_), Some(_)) => true,
            _ => false,
        };
        if made {
            let here_before = self.adopting && look.local.is_some() && look.remote.is_some();
            self.folders.push((
                collection,
                Folder {
                    path: folder.clone(),
                    ours: !here_before,
                },
            ));
        }
        Ok(())
    }

    /// Makes a folder like `model` on the side a way leads to; `false` when it has to wait.
    fn make_folder(&mut self, way: Way, folder: &[u8], model: &F::Dir) -> Result<bool> {
        let (root, shown, known_good) = match way {
            Way::Up => (
                &self.place.remote,
                &self.place.remote_path,
                self.place.there.known_good,
            ),
            Way::Down => (
                &self.place.local,
                &self.place.local_path,
                self.place.here.known_good,
            ),
        };
        let files = &self.account.files;
        let made = files.stat_dir(model).and_then(|model| {
            // The owner's own bits always, or nothing could be put into it.
            let mode = model.mode & CARRIED_MODE | FOLDER_MODE;
            durable::ensure_dir_with(files, root, path(folder), mode, !known_good)
        });
        match made {
            Ok(_) => {
                // Recorded before it is durable, it would look deleted after a power loss.
                self.unsynced_folders.extend(known_good.then_some(way));
                Ok(true)
            }
            Err(e) => match about_one_file(&e) {
                Some(why) => {
                    self.ledger.pending(self.place.shown(folder, b""), why);
                    Ok(false)
                }
                None => Err(Error::io("make the folder", &shown.join(path(folder)), e)),
            },
        }
    }

    /// Does everything that was gathered.
    fn flush(&mut self) -> Result<()> {
        self.account.check_stop()?;
        self.bytes = 0;
        let changes = mem::take(&mut self.changes);
        let mut work = Work::default();
        mem::take(&mut self.answered)
            .into_iter()
            .for_each(|load| work.add(load));
        for change in self.hash_where_needed(changes)? {
            self.sort(change, &mut work)?;
        }
        for way in mem::take(&mut self.unsynced_folders) {
            carry::sync_all(self.account, self.place, way)?;
        }
        self.account
            .state
            .record(&mem::take(&mut self.noted), &mem::take(&mut self.folders))?;
        self.ledger.uploaded += self.carry(Way::Up, &work.ups)?;
        self.ledger.downloaded += self.carry(Way::Down, &work.downs)?;
        self.account.state.record(&work.agreed, &[])?;
        self.account.state.forget(&work.forgotten)
    }

    /// Carries a batch one way and records it once it is durable. Dying before that costs a look
    /// at both files and nothing else: equal bytes are adopted.
    fn carry(&mut self, way: Way, loads: &[Load]) -> Result<u64> {
        self.tell(way, loads.len() as u64);
        let items = carry::carry(self.account, self.place, way, loads, self.ledger)?;
        if !items.is_empty() {
            carry::sync_all(self.account, self.place, way)?;
        }
        self.account.state.record(&items, &[])?;
        Ok(items.len() as u64)
    }

    fn tell(&self, way: Way, more: u64) {
        let activity = if way == Way::Up {
            "uploading"
        } else {
            "downloading"
        };
        let done = self.ledger.uploaded + self.ledger.downloaded;
        self.account.tell(activity, (done, 0), (done + more, 0));
    }

    fn hash_where_needed(&mut self, mut changes: Vec<Change>) -> Result<Vec<Change>> {
        let needed: Vec<_> = changes
            .iter()
            .enumerate()
            .filter(|(_, change)| change.decide(self.phase) == Some(Op::Hash))
            .flat_map(|(nr, c)| {
                let want = |side, way| (side == Side::Unhashed).then_some((nr, way));
                [want(c.local, Way::Up), want(c.remote, Way::Down)]
                    .into_iter()
                    .flatten()
            })
            .collect();
        let (account, place) = (self.account, self.place);
        let hashed = pool::map(account.files.parallelism(), &needed, |(nr, way)| {
            let root = if *way == Way::Up {
                &place.local
            } else {
                &place.remote
            };
            let key = &changes[*nr].key;
            let dir = account.files.open_dir(root, path(&key.folder))?;
            hash::hash(
                &account.files,
                &dir,
                os(&key.name),
                Source::Cache,
                &account.stop,
            )
        });
        let mut failed = vec![false; changes.len()];
        for ((nr, way), result) in needed.iter().zip(hashed) {
            match result {
                Ok(reading) => changes[*nr].learn(*way, reading),
                Err(Failed::One(why)) => {
                    failed[*nr] = true;
                    self.ledger.pending(place.shown_key(&changes[*nr].key), why);
                }
                Err(Failed::Stopped) => return Err(Error::Cancelled),
                Err(Failed::All(e)) => {
                    let shown = place.shown_key(&changes[*nr].key);
                    return Err(Error::io("read", path(&shown), e));
                }
            }
        }
        let mut failed = failed.into_iter();
        changes.retain(|_| !failed.next().unwrap_or(false));
        Ok(changes)
    }

    /// Puts a change where its operation belongs.
    fn sort(&mut self, change: Change, work: &mut Work) -> Result<()> {
        match change.decide(self.phase) {
            // Same bytes, other stamps: remember those, and carry a new time or mode over.
            None if change.looks_new() => work.ups.push(change.load(Way::Up)),
            None => work.agreed.extend(change.agree(false)),
            Some(Op::Adopt) => {
                self.ledger.adopted += 1;
                work.agreed.extend(change.agree(self.adopting));
            }
            Some(Op::Upload) => work.ups.push(change.load(Way::Up)),
            Some(Op::Download) => work.downs.push(change.load(Way::Down)),
            Some(Op::SetAside) => conflict::set_aside(
                self.account,
                self.place,
                self.phase,
                change,
                work,
                self.ledger,
            )?,
            Some(Op::Hold(held)) => self.hold(&change, held),
            Some(op @ (Op::DeleteLocal | Op::DeleteRemote)) => {
                if let Some(load) = self.delete(&change, op) {
                    work.add(load);
                }
            }
            Some(Op::Forget) => work.forgotten.push(change.key),
            // Hashed above; a file that changes faster than it is read waits.
            Some(Op::Hash) => self.ledger.pending(
                self.place.shown_key(&change.key),
                FileTrouble("changed while it was read".to_owned()),
            ),
        }
        Ok(())
    }
}

/// A batch, sorted.
#[derive(Default)]
pub(crate) struct Work {
    /// To be uploaded.
    pub ups: Vec<Load>,
    /// To be downloaded.
    pub downs: Vec<Load>,
    /// Agreed on without a transfer.
    pub agreed: Vec<(Key, Item)>,
    /// Let go of by both sides.
    pub forgotten: Vec<Key>,
}

impl Work {
    fn add(&mut self, load: Load) {
        match load.way {
            Way::Up => self.ups.push(load),
            Way::Down => self.downs.push(load),
        }
    }
}
