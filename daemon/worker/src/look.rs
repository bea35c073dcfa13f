//! Looking at a collection: both sides and the inventory, folder by folder, side by side. Nothing
//! is changed here, and memory is bounded by the largest folder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};

use mooring_core::sync::{Agreed, Side};

use crate::account::Account;
use crate::error::{Error, FileTrouble, Result, about_one_file};
use crate::files::{Files, Kind, Stat};
use crate::ignored::{self, BadLine, Origin, Rules};
use crate::names;
use crate::place::{Place, is_own, path};
use crate::state::{Item, Proof, Stamp, join, split};

/// How many looked-at folders may wait for their consumer.
const AHEAD: usize = 16;
/// A file modified later than this before it was hashed (ns) may have changed unseen: filesystems
/// count time in steps of up to two seconds.
pub const RACY: i64 = 2_000_000_000;

/// A name on either side or in the inventory.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The name.
    pub name: Vec<u8>,
    /// The regular file here.
    pub local: Option<Stat>,
    /// The regular file there.
    pub remote: Option<Stat>,
    /// What was agreed on.
    pub item: Option<Item>,
}

impl Seen {
    /// The local side, as far as stamps tell.
    pub fn local_side(&self) -> Side {
        side(
            self.local.as_ref(),
            self.item.as_ref().and_then(|i| i.local),
        )
    }

    /// The remote side, as far as stamps tell.
    pub fn remote_side(&self) -> Side {
        side(
            self.remote.as_ref(),
            self.item.as_ref().and_then(|i| i.remote),
        )
    }

    /// The agreement.
    pub fn agreed(&self) -> Option<Agreed> {
        self.item.as_ref().map(|i| i.agreed)
    }
}

fn side(stat: Option<&Stat>, known: Option<Proof>) -> Side {
    match (stat, known) {
        (None, _) => Side::Absent,
        (Some(stat), Some(known)) if same_file(stat, &known) => Side::AsAgreed,
        (Some(_), _) => Side::Unhashed,
    }
}

/// Whether a file is the one that was hashed. Stamps only ever mean "hash again".
pub fn same_file(stat: &Stat, known: &Proof) -> bool {
    Stamp::from(stat) == known.stamp && known.stamp.mtime <= known.at.saturating_sub(RACY)
}

/// Why a name is neither synced nor removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Odd {
    /// Of a kind that is never touched: it stays, and that is all.
    Stays(&'static str),
    /// It should be synced and cannot be, now.
    Trouble(FileTrouble),
}

/// A name that a person does not want to be synced.
#[derive(Debug, Clone)]
pub struct Ignored {
    /// The name.
    pub name: Vec<u8>,
    /// Whether it is a folder: what lies below it is not looked at.
    pub is_dir: bool,
    /// Whether it is here.
    pub here: bool,
    /// The line that says so.
    pub by: Origin,
    /// What was agreed on before.
    pub item: Option<Item>,
}

/// A folder as both sides have it.
pub struct FolderLook<F: Files> {
    /// Its path below the root.
    pub path: Vec<u8>,
    /// The folder here, if it is here.
    pub local: Option<F::Dir>,
    /// The folder there, if it is there.
    pub remote: Option<F::Dir>,
    /// Its regular files, ordered by name.
    pub names: Vec<Seen>,
    /// Local names that are passed over, and why.
    pub odd: Vec<(Vec<u8>, Odd)>,
    /// Names that only the storage has and that are passed over, and why.
    pub odd_remote: Vec<(Vec<u8>, Odd)>,
    /// Names that a person does not want to be synced.
    pub ignored: Vec<Ignored>,
    /// Lines of its `.mooringignore` that do not count.
    pub bad_lines: Vec<BadLine>,
}

/// Looks at every folder of a collection, parents before children, and hands each to `consume`;
/// last come folders that only the inventory knows.
///
/// # Errors
/// The first error of `consume`, or of a listing that failed for more than one folder's reasons.
/// After an error nothing may be concluded from what was not seen.
pub fn walk<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    mut consume: impl FnMut(FolderLook<F>) -> Result<()>,
) -> Result<()> {
    let mut visited = HashSet::new();
    let mut passed_over = HashMap::new();
    let mut visit = |look: FolderLook<F>| {
        account.check_stop()?;
        visited.insert(look.path.clone());
        let folders = look.ignored.iter().filter(|ignored| ignored.is_dir);
        passed_over.extend(folders.map(|f| (join(&look.path, &f.name), f.by.clone())));
        consume(look)
    };
    match account.files.parallelism() {
        0 | 1 => walk_in_order(account, place, &mut visit)?,
        threads => walk_in_parallel(account, place, threads, &mut visit)?,
    }
    let unvisited: Vec<_> = account
        .state
        .item_folders(place.collection)?
        .into_iter()
        .filter(|folder| !visited.contains(folder))
        .collect();
    for folder in unvisited {
        if let Some(by) = above(&folder).find_map(|folder| passed_over.get(folder)) {
            consume(look_at_ignored(account, place, &folder, by)?)?;
            continue;
        }
        // A folder behind an unreadable or odd one was not seen: that is not the same as gone.
        if let Some(look) = look_at_vanished(account, place, folder)? {
            consume(look)?;
        }
    }
    Ok(())
}

fn walk_in_order<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    consume: &mut impl FnMut(FolderLook<F>) -> Result<()>,
) -> Result<()> {
    let mut folders = vec![(Vec::new(), None)];
    while let Some((folder, rules)) = folders.pop() {
        let (look, below) = look_at(account, place, folder, &rules)?;
        folders.extend(below.into_iter().rev());
        consume(look)?;
    }
    Ok(())
}

/// A folder to be looked at, and the rules of those above it.
pub(crate) type Waiting = (Vec<u8>, Rules);

/// Folders to look at, and how many are being looked at.
struct Queue {
    folders: Vec<Waiting>,
    busy: usize,
    over: bool,
}

fn walk_in_parallel<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    threads: usize,
    consume: &mut impl FnMut(FolderLook<F>) -> Result<()>,
) -> Result<()> {
    let queue = Mutex::new(Queue {
        folders: vec![(Vec::new(), None)],
        busy: 0,
        over: false,
    });
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        let (looks, arriving) = sync_channel(AHEAD);
        for _ in 0..threads {
            let looks = looks.clone();
            let (queue, changed) = (&queue, &changed);
            scope.spawn(move || look_on(account, place, queue, changed, &looks));
        }
        drop(looks);
        let mut outcome = Ok(());
        for look in arriving {
            if outcome.is_ok() {
                outcome = look.and_then(&mut *consume);
            }
            if outcome.is_err() {
                queue.lock().unwrap_or_else(PoisonError::into_inner).over = true;
                changed.notify_all();
            }
        }
        outcome
    })
}

fn look_on<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    queue: &Mutex<Queue>,
    changed: &Condvar,
    looks: &SyncSender<Result<FolderLook<F>>>,
) {
    loop {
        let mut waiting = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (folder, rules) = loop {
            if waiting.over || (waiting.folders.is_empty() && waiting.busy == 0) {
                return;
            }
            if let Some(folder) = waiting.folders.pop() {
                break folder;
            }
            waiting = changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        };
        waiting.busy += 1;
        drop(waiting);
        let (look, below) = match look_at(account, place, folder, &rules) {
            Ok((look, below)) => (Ok(look), below),
            Err(e) => (Err(e), Vec::new()),
        };
        // Sent before its children are looked at: parents arrive first.
        let sent = looks.send(look);
        let mut waiting = queue.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.busy -= 1;
        waiting.folders.extend(below.into_iter().rev());
        waiting.over |= sent.is_err();
        drop(waiting);
        changed.notify_all();
    }
}

/// One name, gathered from both listings.
#[derive(Default)]
struct Both {
    local: Option<Stat>,
    remote: Option<Stat>,
}

/// Looks at one folder. Answers those in it as well.
pub(crate) fn look_at<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folder: Vec<u8>,
    above: &Rules,
) -> Result<(FolderLook<F>, Vec<Waiting>)> {
    let mut look = empty_look(folder);
    let shown = |root: &std::path::Path| root.join(path(&look.path));
    let here = open_and_list(&account.files, &place.local, &look.path)
        .map_err(|e| Error::io("list", &shown(&place.local_path), e))?;
    let there = open_and_list(&account.files, &place.remote, &look.path)
        .map_err(|e| Error::io("list", &shown(&place.remote_path), e))?;
    let there = match there {
        Ok(Some(_)) if !place.there.known_good && !is_listed(account, place, &look.path)? => {
            Err(FileTrouble(names::REWRITTEN.to_owned()))
        }
        there => there,
    };
    let (here, there) = match (here, there) {
        (Ok(here), Ok(there)) => (here, there),
        // One side cannot be listed: nothing below it may be decided.
        (Err(trouble), _) => {
            look.odd.push((Vec::new(), Odd::Trouble(trouble)));
            return Ok((look, Vec::new()));
        }
        (_, Err(FileTrouble(why))) => {
            let why = FileTrouble(format!("in the storage: {why}"));
            look.odd.push((Vec::new(), Odd::Trouble(why)));
            return Ok((look, Vec::new()));
        }
    };
    let mut both: BTreeMap<Vec<u8>, Both> = BTreeMap::new();
    if let Some((dir, entries)) = here {
        look.local = Some(dir);
        for entry in entries {
            both.entry(entry.name.as_bytes().to_vec())
                .or_default()
                .local = Some(entry.stat);
        }
    }
    if let Some((dir, entries)) = there {
        look.remote = Some(dir);
        for entry in entries {
            both.entry(entry.name.as_bytes().to_vec())
                .or_default()
                .remote = Some(entry.stat);
        }
    }
    let rules = match rules_of(account, &look, &both, above) {
        Ok(Ok((rules, bad_lines))) => {
            look.bad_lines = bad_lines;
            rules
        }
        // What it would say is not known: nothing here or below may be decided.
        Ok(Err(trouble)) => {
            let name = ignored::FILE.as_bytes().to_vec();
            look.odd.push((name, Odd::Trouble(trouble)));
            return Ok((look, Vec::new()));
        }
        Err(e) => return Err(Error::io("read", path(&shown_rules(place, &look.path)), e)),
    };
    let items = account.state.items(place.collection, &look.path)?;
    let below = sort_out(&mut look, both, items, &rules);
    let below = below.into_iter().map(|folder| (folder, rules.clone()));
    Ok((look, below.collect()))
}

/// What `.mooringignore` says in a folder: the one here counts where there is one, else the
/// storage's.
fn rules_of<F: Files>(
    account: &Account<F>,
    look: &FolderLook<F>,
    both: &BTreeMap<Vec<u8>, Both>,
    above: &Rules,
) -> io::Result<std::result::Result<(Rules, Vec<BadLine>), FileTrouble>> {
    let Some(Both { local, remote }) = both.get(ignored::FILE.as_bytes()) else {
        return Ok(Ok((above.clone(), Vec::new())));
    };
    let is_file = |stat: &Option<Stat>| stat.is_some_and(|stat| stat.kind == Kind::File);
    let dir = match (is_file(local), is_file(remote)) {
        (true, _) => look.local.as_ref(),
        (false, true) => look.remote.as_ref(),
        (false, false) => None,
    };
    match dir {
        Some(dir) => ignored::read(&account.files, dir, &look.path, above),
        None => Ok(Ok((above.clone(), Vec::new()))),
    }
}

fn shown_rules<F: Files>(place: &Place<F>, folder: &[u8]) -> Vec<u8> {
    place.shown(folder, ignored::FILE.as_bytes())
}

pub(crate) fn empty_look<F: Files>(path: Vec<u8>) -> FolderLook<F> {
    FolderLook {
        path,
        local: None,
        remote: None,
        names: Vec::new(),
        odd: Vec::new(),
        odd_remote: Vec::new(),
        ignored: Vec::new(),
        bad_lines: Vec::new(),
    }
}

/// Whether the storage has a folder under exactly this name.
fn is_listed<F: Files>(account: &Account<F>, place: &Place<F>, folder: &[u8]) -> Result<bool> {
    match names::is_listed(&account.files, &place.remote, folder) {
        // Gone since: the next look tells.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        listed => {
            listed.map_err(|e| Error::io("list", &place.remote_path.join(path(folder)), e))
        }
    }
}

/// A listing, or nothing where there is no such folder.
type Listing<D> = Option<(D, Vec<crate::files::Entry>)>;

fn open_and_list<F: Files>(
    files: &F,
    root: &F::Dir,
    folder: &[u8],
) -> io::Result<std::result::Result<Listing<F::Dir>, FileTrouble>> {
    let listed = files.open_dir(root, path(folder)).and_then(|dir| {
        let entries = files.list(&dir)?;
        Ok((dir, entries))
    });
    match listed {
        Ok(listing) => Ok(Ok(Some(listing))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Ok(None)),
        // The root itself must be there: its marker was.
        Err(e) if folder.is_empty() => Err(e),
        Err(e) => about_one_file(&e).map(Err).ok_or(e),
    }
}

/// Sorts names into files, folders below and odd ones. Answers the folders below.
fn sort_out<F: Files>(
    look: &mut FolderLook<F>,
    both: BTreeMap<Vec<u8>, Both>,
    items: Vec<Item>,
    rules: &Rules,
) -> Vec<Vec<u8>> {
    let mut below = Vec::new();
    let mut items = items.into_iter().peekable();
    for (name, Both { local, remote }) in both {
        while let Some(item) = items.next_if(|item| item.name < name) {
            look.names.push(Seen {
                name: item.name.clone(),
                local: None,
                remote: None,
                item: Some(item),
            });
        }
        let item = items.next_if(|item| item.name == name);
        if is_own(&look.path, &name) {
            continue;
        }
        let kinds = (local.map(|s| s.kind), remote.map(|s| s.kind));
        let is_dir = kinds.0.or(kinds.1) == Some(Kind::Dir);
        if let Some(by) = ignored::ignores(rules, &look.path, &name, is_dir) {
            look.ignored.push(Ignored {
                name,
                is_dir,
                here: local.is_some(),
                by,
                item,
            });
            continue;
        }
        match kinds {
            (Some(Kind::Symlink), _) => look.odd.push((name, Odd::Stays("symbolic link"))),
            (Some(Kind::Special), _) => {
                look.odd
                    .push((name, Odd::Stays("no regular file (socket, FIFO or device)")));
            }
            (None, Some(Kind::Symlink | Kind::Special)) => {
                look.odd_remote
                    .push((name, Odd::Stays("no regular file in the storage")));
            }
            (Some(Kind::Dir), Some(Kind::Dir) | None) | (None, Some(Kind::Dir)) => {
                below.push(join(&look.path, &name));
            }
            (Some(Kind::File) | None, Some(Kind::File) | None) => {
                look.names.push(Seen {
                    name,
                    local,
                    remote,
                    item,
                });
            }
            (Some(_), Some(_)) => look.odd.push((
                name,
                Odd::Trouble(FileTrouble(
                    "has another kind in the storage (a folder, a link) than here".to_owned(),
                )),
            )),
        }
    }
    for item in items {
        look.names.push(Seen {
            name: item.name.clone(),
            local: None,
            remote: None,
            item: Some(item),
        });
    }
    below
}

/// A folder of the inventory that the walk did not come to: gone on both sides, or hidden behind
/// something that could not be listed (then `None`).
pub(crate) fn look_at_vanished<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folder: Vec<u8>,
) -> Result<Option<FolderLook<F>>> {
    for root in [&place.local, &place.remote] {
        match account.files.open_dir(root, path(&folder)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            _ => return Ok(None),
        }
    }
    let items = account.state.items(place.collection, &folder)?;
    let names = items
        .into_iter()
        .map(|item| Seen {
            name: item.name.clone(),
            local: None,
            remote: None,
            item: Some(item),
        })
        .collect();
    Ok(Some(FolderLook {
        names,
        ..empty_look(folder)
    }))
}

/// A folder of the inventory that lies below an ignored one. Its names are told as ignored; the
/// folder itself was.
fn look_at_ignored<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folder: &[u8],
    by: &Origin,
) -> Result<FolderLook<F>> {
    let items = account.state.items(place.collection, folder)?;
    let ignored = items.into_iter().map(|item| Ignored {
        name: item.name.clone(),
        is_dir: false,
        here: false,
        by: by.clone(),
        item: Some(item),
    });
    Ok(FolderLook {
        ignored: ignored.collect(),
        ..empty_look(folder.to_vec())
    })
}

/// A folder and those above it, the root left out.
fn above(folder: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(folder), |folder| Some(split(folder).0))
        .take_while(|folder| !folder.is_empty())
}
