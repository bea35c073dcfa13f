//! A batch of a run: hashed where needed, sorted by what is to be done, carried, recorded.

use std::{io, mem};

use mooring_core::sync::{Op, Side};

use super::Run;
use crate::carry::{self, LastFolder, Load, Way};
use crate::change::Change;
use crate::conflict;
use crate::error::{Error, FileTrouble, Result, about_one_file};
use crate::files::Files;
use crate::hash::{self, Failed, Source};
use crate::older;
use crate::place::{End, os, path};
use crate::pool;
use crate::rot::{self, Verdict};
use crate::state::{Item, Key};

impl<F: Files> Run<'_, F> {
    /// Does everything that was gathered.
    pub(super) fn flush(&mut self) -> Result<()> {
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
        let agreed = self.make_durable(work.agreed)?;
        self.account.state.record(&agreed, &[])?;
        self.account.state.forget(&work.forgotten)
    }

    /// Makes files durable that nobody carried now: a predecessor that died, or a program that never
    /// asked for it, may have put them there. Recorded before that, one that a power loss takes would
    /// look deleted. Answers those that may be recorded.
    fn make_durable(&mut self, agreed: Vec<(Key, Item)>) -> Result<Vec<(Key, Item)>> {
        if agreed.is_empty() {
            return Ok(agreed);
        }
        let place = self.place;
        let mut agreed = agreed;
        for way in [Way::Up, Way::Down] {
            let End {
                root, known_good, ..
            } = place.end(way);
            if known_good {
                carry::sync_all(self.account, place, way)?;
                continue;
            }
            let mut durable = Vec::with_capacity(agreed.len());
            for (key, item) in agreed {
                match sync_one(&self.account.files, root, &key) {
                    Ok(()) => durable.push((key, item)),
                    Err(e) => match about_one_file(&e) {
                        Some(why) => self.ledger.pending(place.shown_key(&key), why),
                        None => {
                            let shown = place.shown_key(&key);
                            return Err(Error::io("make durable", path(&shown), e));
                        }
                    },
                }
            }
            agreed = durable;
        }
        Ok(agreed)
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
        let mut failed = self.hash_sides(&mut changes, &needed)?.into_iter();
        changes.retain(|_| !failed.next().unwrap_or(false));
        Ok(changes)
    }

    /// Hashes sides of changes, named by their place in the list. Answers which changes have one
    /// that could not be read now; that is told already.
    pub(super) fn hash_sides(
        &mut self,
        changes: &mut [Change],
        needed: &[(usize, Way)],
    ) -> Result<Vec<bool>> {
        let (account, place) = (self.account, self.place);
        let folders = [LastFolder::default(), LastFolder::default()];
        let hashed = pool::map(account.files.parallelism(), needed, |(nr, way)| {
            let (root, folders) = match way {
                Way::Up => (&place.local, &folders[0]),
                Way::Down => (&place.remote, &folders[1]),
            };
            let key = &changes[*nr].key;
            let dir = folders.get(&key.folder, || {
                account.files.open_dir(root, path(&key.folder))
            })?;
            let from = match way {
                // What went bad on the disk may still be good in the cache.
                Way::Down if rot::is_suspect(&changes[*nr]) => Source::Storage { sync: true },
                _ => Source::Cache,
            };
            hash::hash(&account.files, &dir, os(&key.name), from, &account.stop)
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
        Ok(failed)
    }

    /// Puts a change where its operation belongs.
    fn sort(&mut self, change: Change, work: &mut Work) -> Result<()> {
        if rot::is_no_copy(&change) {
            work.ups.push(change.load(Way::Up));
            return Ok(());
        }
        match change.decide(self.phase) {
            Some(op @ (Op::Download | Op::SetAside)) => match (op, rot::judge(&change)) {
                (_, Verdict::Rot) => self.heal(&change, work)?,
                (Op::SetAside, _) | (_, Verdict::Unclear) => conflict::set_aside(
                    self.account,
                    self.place,
                    self.phase,
                    change,
                    work,
                    self.ledger,
                )?,
                _ => self.carry_over(&change, Way::Down, work)?,
            },
            // Same bytes, other stamps: remember those, and carry a new time or mode over.
            None if change.looks_new() => work.ups.push(change.load(Way::Up)),
            None => work.agreed.extend(change.agree(false)),
            Some(Op::Adopt) => {
                self.ledger.adopted += 1;
                work.agreed.extend(change.agree(self.adopting));
            }
            Some(Op::Upload) => self.carry_over(&change, Way::Up, work)?,
            Some(Op::Hold(held)) => self.hold(&change, held),
            Some(op @ (Op::DeleteLocal | Op::DeleteRemote)) => {
                let deleted = self.half_of_a_move(op, change);
                if let Some(load) = deleted.and_then(|change| self.delete(&change, op)) {
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

impl<F: Files> Run<'_, F> {
    /// Carries a version over; where it is older than the one it replaces, once that one is kept.
    fn carry_over(&mut self, change: &Change, way: Way, work: &mut Work) -> Result<()> {
        let kept = if older::goes_back(change, way) {
            let kept = older::keep_newer(self.account, self.place, change, way)?;
            self.is_kept((change, way), kept)?
        } else {
            true
        };
        if kept {
            work.add(change.load(way));
        }
        Ok(())
    }

    /// Uploads the good bytes over rotten ones, once those are kept.
    fn heal(&mut self, change: &Change, work: &mut Work) -> Result<()> {
        let kept = rot::keep_rot(self.account, self.place, change)?;
        if self.is_kept((change, Way::Up), kept)? {
            work.ups.push(change.load(Way::Up));
        }
        Ok(())
    }

    /// Whether what is about to be replaced lies in the trash; if not, that is told, and it waits.
    fn is_kept(
        &mut self,
        (change, way): (&Change, Way),
        kept: std::result::Result<(), Failed>,
    ) -> Result<bool> {
        match kept {
            Ok(()) => Ok(true),
            Err(Failed::One(why)) => {
                self.ledger.pending(self.place.shown_key(&change.key), why);
                Ok(false)
            }
            Err(Failed::Stopped) => Err(Error::Cancelled),
            Err(Failed::All(e)) => {
                let End { shown, .. } = self.place.end(way);
                let shown = shown.join(path(&change.key.path()));
                Err(Error::io("keep the version before of", &shown, e))
            }
        }
    }
}

/// Makes a file and its entry durable, where there is no way for all of them at once.
fn sync_one<F: Files>(files: &F, root: &F::Dir, key: &Key) -> io::Result<()> {
    let dir = files.open_dir(root, path(&key.folder))?;
    files.sync_file(&files.open(&dir, os(&key.name))?)?;
    files.sync_dir(&dir)
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
