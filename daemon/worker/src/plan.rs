//! What a sign-out would do: a look at the files that changes nothing.

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;
use mooring_core::sync::{Held, Op, Phase, Side, is_conflict_copy};
use mooring_wire::{CollectionFacts, PlanFacts};
use std::os::unix::ffi::OsStrExt;

use crate::account::Account;
use crate::change::Change;
use crate::error::{Error, FileTrouble, Result, too_little_room};
use crate::files::{Extras, Files, seconds};
use crate::hash::CARRIED_MODE;
use crate::look::{FolderLook, Odd, Seen, walk};
use crate::offline;
use crate::place::{self, Place, os};
use crate::pool;
use crate::readback::proven_lately;
use crate::state::Key;
use crate::trouble::Named;

/// How many skipped names a plan shows.
const SHOWN: usize = 20;
/// How many lines of `.mooringignore` files that do not count are told, of a collection.
const BAD_LINES: usize = 20;

/// What a sign-out would do now.
///
/// # Errors
/// When a local folder is gone or the state is damaged; a storage that is gone is a blocker.
pub fn plan<F: Files>(account: &Account<F>, keep: &[Collection]) -> Result<PlanFacts> {
    plan_since(account, keep, 0)
}

/// [`plan`], with the number of files that came or changed since then (seconds since the Unix epoch).
///
/// # Errors
/// As [`plan`].
pub fn plan_since<F: Files>(
    account: &Account<F>,
    keep: &[Collection],
    since: u64,
) -> Result<PlanFacts> {
    account.leaving(keep)?;
    let mut facts = PlanFacts::default();
    let mut upload = 0;
    for (collection, _) in &account.spec.collections {
        let place = match place::open(account, *collection) {
            Ok(place) => place,
            Err(Error::StorageGone(why)) => {
                facts.blockers = vec![("Offline".to_owned(), why)];
                facts.collections = from_state(account)?;
                let of = account.spec.collections.iter().map(|(of, _)| *of);
                for (found, of) in facts.collections.iter_mut().zip(of) {
                    let here = offline::count(account, of)?;
                    (found.items, found.unsynced) = (here.items, here.unsynced);
                }
                return Ok(facts);
            }
            Err(e) => return Err(e),
        };
        let mut run = Run::new(account, &place, since);
        walk(account, &place, |look| run.take(look))?;
        if !keep.contains(collection) {
            upload += run.upload_bytes;
            facts.since += run.later;
            run.blockers(&mut facts.blockers);
            questions(account, *collection, &mut facts.blockers)?;
            warnings(&place, run.same_disk, &mut facts.warnings);
            facts.warnings.extend(run.ignored.as_deref().map(|first| {
                format!(
                    "What is ignored by .mooringignore stays on this device, {} for one.",
                    readable(first)
                )
            }));
            if upload > place.there.free {
                facts.blockers.push((
                    "Failed".to_owned(),
                    format!(
                        "for what has to be uploaded, {}",
                        too_little_room(upload, &account.spec.storage, place.there.free)
                    ),
                ));
            }
        }
        facts.collections.push(run.into_facts());
    }
    facts.warnings.sort_unstable();
    facts.warnings.dedup();
    Ok(facts)
}

/// How the collections stand, without a look at the files.
///
/// # Errors
/// When the state cannot be read.
pub fn from_state<F: Files>(account: &Account<F>) -> Result<Vec<CollectionFacts>> {
    let mut all = Vec::new();
    for (collection, _) in &account.spec.collections {
        let tally = account.state.tally(*collection)?;
        let [unsynced, held, conflicts, skipped] = crate::sync::numbers(account, *collection)?;
        let mut bad_lines = crate::sync::bad_lines(account, *collection)?;
        bad_lines.truncate(BAD_LINES);
        all.push(CollectionFacts {
            name: collection.to_string(),
            items: mooring_wire::Counts {
                files: tally.files,
                bytes: tally.bytes,
            },
            unsynced,
            held,
            conflicts,
            verified: tally.verified,
            here_before: tally.here_before,
            skipped,
            bad_lines,
            ..CollectionFacts::default()
        });
    }
    Ok(all)
}

/// Deletions that wait for an answer: signing out would answer it.
fn questions<F: Files>(
    account: &Account<F>,
    collection: Collection,
    blockers: &mut Vec<(String, String)>,
) -> Result<()> {
    let waiting = account.state.questions(collection)?;
    if waiting > 0 {
        blockers.push((
            "UnsyncedData".to_owned(),
            format!(
                "{waiting} deleted files of {collection} wait for your answer: `mooringctl resolve` \
                 with --delete or --keep"
            ),
        ));
    }
    Ok(())
}

fn warnings<F: Files>(place: &Place<F>, same_disk: bool, warnings: &mut Vec<String>) {
    if same_disk {
        warnings.push(
            "The copies are on the same disk as the originals: they do not survive that disk."
                .to_owned(),
        );
    }
    let here = &place.here.filesystem;
    if matches!(here.as_str(), "btrfs" | "zfs" | "bcachefs") {
        warnings.push(format!(
            "Snapshots of {} ({here}), if there are any, keep what is removed.",
            readable(place.local_path.as_os_str().as_bytes())
        ));
    }
    if !place.there.known_good {
        warnings.push(format!(
            "The storage's filesystem ({}) tells little about changes: every copy is read back \
             once more right before its original is removed.",
            place.there.filesystem
        ));
    }
}

struct Run<'a, F: Files> {
    account: &'a Account<F>,
    place: &'a Place<F>,
    facts: CollectionFacts,
    upload_bytes: u64,
    /// In seconds since the Unix epoch.
    since: u64,
    /// Files that came or changed since then.
    later: u64,
    unreadable: Named,
    held: Named,
    xattrs: u64,
    acls: u64,
    holes: u64,
    special_modes: u64,
    /// Files whose copy has another mode, although it was carried.
    lost_modes: u64,
    /// A name that is ignored, if there is one.
    ignored: Option<Vec<u8>>,
    same_disk: bool,
}

impl<'a, F: Files> Run<'a, F> {
    fn new(account: &'a Account<F>, place: &'a Place<F>, since: u64) -> Self {
        let facts = CollectionFacts {
            name: place.collection.to_string(),
            ..CollectionFacts::default()
        };
        Self {
            account,
            place,
            facts,
            upload_bytes: 0,
            since,
            later: 0,
            unreadable: Named::default(),
            held: Named::default(),
            xattrs: 0,
            acls: 0,
            holes: 0,
            special_modes: 0,
            lost_modes: 0,
            ignored: None,
            same_disk: false,
        }
    }

    fn take(&mut self, look: FolderLook<F>) -> Result<()> {
        for (name, odd) in look.odd {
            match odd {
                Odd::Stays(_) => {
                    self.facts.skipped += 1;
                    if self.facts.skipped_names.len() < SHOWN {
                        self.facts
                            .skipped_names
                            .push(crate::state::join(&look.path, &name));
                    }
                }
                Odd::Trouble(FileTrouble(why)) => {
                    self.unreadable
                        .add(self.place.shown(&look.path, &name), &why);
                }
            }
        }
        for ignored in look.ignored.iter().filter(|ignored| ignored.here) {
            self.facts.skipped += 1;
            let name = crate::state::join(&look.path, &ignored.name);
            if self.ignored.is_none() {
                self.ignored = Some(self.place.shown(b"", &name));
            }
            if self.facts.skipped_names.len() < SHOWN {
                self.facts.skipped_names.push(name);
            }
        }
        if let Some(dir) = &look.local {
            self.look_closer(dir, &look.path, &look.names)?;
        }
        for seen in look.names {
            let key = Key {
                collection: self.place.collection,
                folder: look.path.clone(),
                name: seen.name.clone(),
            };
            self.count(key, seen);
        }
        Ok(())
    }

    /// What a copy would not carry. Opening each file also tells which cannot be read.
    fn look_closer(&mut self, dir: &F::Dir, folder: &[u8], names: &[Seen]) -> Result<()> {
        let files = &self.account.files;
        let here: Vec<_> = names.iter().filter(|seen| seen.local.is_some()).collect();
        let extras = pool::map(files.parallelism(), &here, |seen| {
            files
                .open(dir, os(&seen.name))
                .and_then(|file| files.extras(&file))
        });
        for (seen, extras) in here.iter().zip(extras) {
            match extras {
                Ok(Extras { xattrs, acl, holes }) => {
                    self.xattrs += u64::from(xattrs);
                    self.acls += u64::from(acl);
                    self.holes += u64::from(holes);
                }
                Err(e) => {
                    let shown = self.place.shown(folder, &seen.name);
                    match crate::error::about_one_file(&e) {
                        Some(FileTrouble(why)) => self.unreadable.add(shown, &why),
                        None => return Err(Error::io("look at", place::path(&shown), e)),
                    }
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, key: Key, seen: Seen) {
        let facts = &mut self.facts;
        let Some(local) = seen.local else {
            // Deleted here, still there: nothing to remove.
            let held = seen.item.is_some() && seen.remote_side() == Side::AsAgreed;
            facts.held += u64::from(held);
            return;
        };
        facts.items.files += 1;
        facts.items.bytes += local.size;
        // When it was last changed or, moved here with its folder, first read.
        let read = seen.item.as_ref().and_then(|item| item.local);
        let times = [
            Some(local.mtime),
            Some(local.ctime),
            read.map(|proof| proof.at),
        ];
        let last = times.into_iter().flatten().map(seconds).max();
        self.later += u64::from(last.is_some_and(|last| last > self.since));
        facts.hard_links += u64::from(local.nlink > 1);
        self.special_modes += u64::from(local.mode & !CARRIED_MODE != 0);
        facts.conflicts += u64::from(is_conflict_copy(&seen.name));
        facts.here_before += u64::from(seen.item.as_ref().is_some_and(|i| i.here_before));
        self.lost_modes += u64::from(mode_was_lost(&seen));
        self.same_disk |= seen.remote.is_some_and(|remote| remote.dev == local.dev);
        let proven = match (&seen.item, &seen.remote) {
            (Some(item), Some(remote)) => {
                let now = self.account.files.now();
                proven_lately(item, remote, self.place.there.known_good, now)
            }
            _ => false,
        };
        facts.verified += u64::from(proven);
        let change = Change::new(key, seen);
        match change.decide(Phase::Leaving) {
            // The same file by its stamp, only too young to be sure: it will be hashed again.
            Some(Op::Hash) if change.stamps_are_known() => {}
            // Its bytes are not known yet: counted as if it had to be uploaded.
            Some(Op::Upload | Op::SetAside | Op::Hash) => {
                facts.unsynced += 1;
                self.upload_bytes += local.size;
            }
            Some(Op::Hold(Held::DeletedThere)) => {
                facts.held += 1;
                let why = "was deleted in the storage and is still here";
                self.held.add(self.place.shown_key(&change.key), why);
            }
            _ => {}
        }
    }

    fn blockers(&self, blockers: &mut Vec<(String, String)>) {
        for (named, what) in [
            (&self.unreadable, "cannot be uploaded"),
            (&self.held, "held"),
        ] {
            if let Some((first, why)) = named.some.first() {
                let more = match named.total {
                    1 => String::new(),
                    n => format!(", and {} more", n - 1),
                };
                blockers.push((
                    "UnsyncedData".to_owned(),
                    format!("{what}: {} ({why}){more}", readable(first)),
                ));
            }
        }
    }

    fn into_facts(self) -> CollectionFacts {
        let mut facts = self.facts;
        let losses = [
            (self.xattrs, "extended attributes"),
            (self.acls, "access control lists (ACLs)"),
            (
                self.holes,
                "holes (those below 64 KiB come back filled with zeros)",
            ),
            (
                self.special_modes,
                "set-user-ID, set-group-ID and sticky bits",
            ),
            (
                self.lost_modes,
                "permissions (modes), where the storage has its own,",
            ),
        ];
        for (files, what) in losses {
            if files > 0 {
                // Without the number: one file more does not change what was consented to.
                facts
                    .losses
                    .push(format!("{what} are not kept with the copies"));
            }
        }
        facts
    }
}

/// Whether a file that was carried over has another mode there: its filesystem has its own.
fn mode_was_lost(seen: &Seen) -> bool {
    let (Some(local), Some(remote), Some(item)) = (&seen.local, &seen.remote, &seen.item) else {
        return false;
    };
    let carried = |mode: u32| mode & CARRIED_MODE;
    let in_step = seen.local_side() == Side::AsAgreed && seen.remote_side() == Side::AsAgreed;
    in_step && !item.here_before && carried(local.mode) != carried(remote.mode)
}
