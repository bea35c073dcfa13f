//! One folder: both listings and the inventory's items, put side by side by name.

use std::cmp::Ordering;
use std::io;
use std::os::unix::ffi::OsStringExt;

use super::{FolderLook, Ignored, Odd, Seen, Waiting};
use crate::account::Account;
use crate::error::{Error, FileTrouble, Result, about_one_file};
use crate::files::{Entry, Files, Kind, Stat};
use crate::ignored::{self, BadLine, Origin, Rules};
use crate::names;
use crate::place::{Place, is_own, path};
use crate::state::{Item, join};

/// Both listings of a folder, each ordered by name.
#[derive(Default)]
struct Listed {
    here: Vec<Entry>,
    there: Vec<Entry>,
}

impl Listed {
    /// Each name once, in order, as it is here and there.
    fn by_name(self) -> impl Iterator<Item = (Vec<u8>, Option<Stat>, Option<Stat>)> {
        let mut here = self.here.into_iter().peekable();
        let mut there = self.there.into_iter().peekable();
        std::iter::from_fn(move || {
            let order = match (here.peek(), there.peek()) {
                (Some(one), Some(other)) => one.name.cmp(&other.name),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let local = here.next_if(|_| order.is_le());
            let remote = there.next_if(|_| order.is_ge());
            let stats = (
                local.as_ref().map(|e| e.stat),
                remote.as_ref().map(|e| e.stat),
            );
            let name = local.or(remote)?.name.into_vec();
            Some((name, stats.0, stats.1))
        })
    }
}

/// Ordered by name; a name that a filesystem lists twice is there once.
fn ordered(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    entries.dedup_by(|one, other| one.name == other.name);
    entries
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
    let here = match here {
        Ok(Some((dir, entries))) => of_one_disk(account, place, &look.path, dir)
            .map_err(|e| Error::io("look at", &shown(&place.local_path), e))?
            .map(|dir| Some((dir, entries))),
        here => here,
    };
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
    let mut listed = Listed::default();
    if let Some((dir, entries)) = here {
        look.local = Some(dir);
        listed.here = ordered(entries);
    }
    if let Some((dir, entries)) = there {
        look.remote = Some(dir);
        listed.there = ordered(entries);
    }
    let rules = match rules_of(account, &look, &listed, above) {
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
    let below = sort_out(&mut look, listed, items, place.stable(), &rules);
    let below = below.into_iter().map(|folder| (folder, rules.clone()));
    Ok((look, below.collect()))
}

/// A folder, unless it is a subvolume of its own (btrfs): it is no mount, and yet nothing can be
/// moved out of it into the staging folder, so what is in it could never be removed.
fn of_one_disk<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    folder: &[u8],
    dir: F::Dir,
) -> io::Result<std::result::Result<F::Dir, FileTrouble>> {
    if folder.is_empty() || account.files.stat_dir(&dir)?.dev == place.device {
        return Ok(Ok(dir));
    }
    Ok(Err(FileTrouble(
        "is a subvolume of its own, which Mooring cannot remove files from: make it an ordinary \
         folder, or have it ignored (.mooringignore)"
            .to_owned(),
    )))
}

/// What `.mooringignore` says in a folder: the one here counts where there is one, else the
/// storage's.
fn rules_of<F: Files>(
    account: &Account<F>,
    look: &FolderLook<F>,
    listed: &Listed,
    above: &Rules,
) -> io::Result<std::result::Result<(Rules, Vec<BadLine>), FileTrouble>> {
    let is_file = |entries: &[Entry]| {
        let found =
            entries.binary_search_by(|entry| entry.name.as_os_str().cmp(ignored::FILE.as_ref()));
        found.is_ok_and(|at| entries[at].stat.kind == Kind::File)
    };
    let dir = match (is_file(&listed.here), is_file(&listed.there)) {
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
        listed => listed.map_err(|e| Error::io("list", &place.remote_path.join(path(folder)), e)),
    }
}

/// A listing, or nothing where there is no such folder.
type Listing<D> = Option<(D, Vec<Entry>)>;

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
    listed: Listed,
    items: Vec<Item>,
    stable: [bool; 2],
    rules: &Rules,
) -> Vec<Vec<u8>> {
    let mut below = Vec::new();
    // A large folder is the most that is in memory: the names take what they need and no more.
    let most = listed.here.len().max(listed.there.len()).max(items.len());
    look.names.reserve_exact(most);
    let mut items = items.into_iter().peekable();
    for (name, local, remote) in listed.by_name() {
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
                let item =
                    item.filter(|item| !item.came_back(local.as_ref(), remote.as_ref(), stable));
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
pub(super) fn look_at_ignored<F: Files>(
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
