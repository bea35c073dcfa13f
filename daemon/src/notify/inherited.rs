//! Descriptors that the service manager kept for this process (`sd_listen_fds(3)`): watches and their
//! maps, by the person and the account. Each is looked at before anything is done with it.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// The most that are taken: those of every account of many people.
const MOST: usize = 16 * 1024;
/// What a watch is called; its person and its account follow.
const WATCH: &str = "watch";
/// What its map is called.
const MAP: &str = "map";

/// What a descriptor is, as far as it can be told without using it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Watches of the kernel.
    Inotify,
    /// Memory that a worker wrote.
    Map,
}

/// A watch and its map.
pub type Pair = (OwnedFd, OwnedFd);

/// By the person's number and the account's ID.
type Found = BTreeMap<(u32, String), Pair>;

/// What an account's watch and map are called.
pub fn names(uid: u32, account: &str) -> [String; 2] {
    [WATCH, MAP].map(|what| format!("{what}-{uid}-{account}"))
}

/// Takes what was kept for a person. The process's environment is read once.
pub fn take(uid: u32) -> BTreeMap<String, Pair> {
    static FOUND: OnceLock<Mutex<Found>> = OnceLock::new();
    let found = FOUND.get_or_init(|| Mutex::new(from_env()));
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    let all = std::mem::take(&mut *found).into_iter();
    let (ours, others) = all.partition(|((of, _), _)| *of == uid);
    *found = others;
    let ours: Found = ours;
    ours.into_iter()
        .map(|((_, account), pair)| (account, pair))
        .collect()
}

/// What a descriptor is; nothing that anybody here uses, when it is none of the two.
pub fn kind(descriptor: &OwnedFd) -> Option<Kind> {
    let link = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    let what = std::fs::read_link(link).ok()?;
    let what = what.to_str()?;
    if what == "anon_inode:inotify" {
        return Some(Kind::Inotify);
    }
    let memory = what.strip_prefix("/memfd:")?.strip_suffix(" (deleted)")?;
    (memory == mooring_wire::WATCH_MAP).then_some(Kind::Map)
}

fn from_env() -> Found {
    let variable = |name: &str| std::env::var(name).ok();
    let number = |name: &str| variable(name)?.parse::<usize>().ok();
    let own = usize::try_from(std::process::id()).ok();
    // Set for another process that happened to leave it to us, or not set at all.
    if own.is_none() || number("LISTEN_PID") != own {
        return Found::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).min(MOST);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut single = BTreeMap::new();
    for (number, name) in (FIRST..).zip(names.split(':')).take(count) {
        match own_it(number) {
            // The last one of a name counts: it was kept last.
            Ok(descriptor) => drop(single.insert(name.to_owned(), descriptor)),
            Err(error) => tracing::warn!(%error, name, "a kept descriptor cannot be taken"),
        }
    }
    tracing::info!(count, "descriptors were kept");
    paired(single)
}

/// Passes an inherited number through a socket to ourselves: it comes out as a descriptor of our
/// own, closed in children, and the number is free.
fn own_it(number: RawFd) -> io::Result<OwnedFd> {
    let (from, to) = UnixDatagram::pair()?;
    let passed = [number];
    let passed = [ControlMessage::ScmRights(&passed)];
    let (byte, none) = ([IoSlice::new(b"f")], MsgFlags::empty());
    sendmsg::<UnixAddr>(from.as_raw_fd(), &byte, &passed, none, None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    recvmsg(&to, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut received = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let descriptor = received.next();
    nix::unistd::close(number)?;
    descriptor.ok_or_else(|| io::Error::other("it did not come through"))
}

/// The person and the account of a watch, by its name; none when it is nothing that [`names`] says.
fn whose(name: &str) -> Option<(u32, &str)> {
    let (uid, account) = name
        .strip_prefix(WATCH)?
        .strip_prefix('-')?
        .split_once('-')?;
    let uid = uid.parse().ok()?;
    let [watch, _] = names(uid, account);
    (watch == name).then_some((uid, account))
}

/// Watches with their maps; what has no other half, or is something else, is closed.
fn paired(mut single: BTreeMap<String, OwnedFd>) -> Found {
    let mut found = Found::new();
    let all: Vec<String> = single.keys().cloned().collect();
    for name in all {
        let Some((uid, account)) = whose(&name) else {
            continue;
        };
        let [watch, map] = names(uid, account).map(|name| single.remove(&name));
        if let (Some(watch), Some(map)) = (watch, map)
            && kind(&watch) == Some(Kind::Inotify)
            && kind(&map) == Some(Kind::Map)
        {
            found.insert((uid, account.to_owned()), (watch, map));
        }
    }
    for name in single.keys() {
        tracing::warn!(name, "a kept descriptor is of no use");
    }
    found
}

/// Names with colons between, as a service manager gives them, each for a watch, a map or something
/// else: what is taken are pairs of the two, under their own names.
#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::expect_used)]
pub(crate) fn fuzzed(bytes: &[u8]) {
    use nix::sys::inotify::{InitFlags, Inotify};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let Ok(all) = std::str::from_utf8(bytes) else {
        return;
    };
    let descriptor = |name: &str| -> OwnedFd {
        let flags = MFdFlags::MFD_CLOEXEC;
        match (name.len() % 7, name.starts_with(MAP)) {
            (0, _) => memfd_create("other", flags).expect("memory"),
            (_, true) => memfd_create(mooring_wire::WATCH_MAP, flags).expect("memory"),
            (_, false) => Inotify::init(InitFlags::IN_CLOEXEC)
                .expect("an inotify")
                .into(),
        }
    };
    let names: Vec<&str> = all.split(':').take(16).collect();
    let single = names.iter().map(|n| ((*n).to_owned(), descriptor(n)));
    for ((uid, account), (watch, map)) in paired(single.collect()) {
        let [watch_name, map_name] = self::names(uid, &account);
        assert!(names.contains(&watch_name.as_str()) && names.contains(&map_name.as_str()));
        assert_eq!(kind(&watch), Some(Kind::Inotify));
        assert_eq!(kind(&map), Some(Kind::Map));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    fn memory(name: &str) -> OwnedFd {
        memfd_create(name, MFdFlags::MFD_CLOEXEC).unwrap()
    }

    #[test]
    fn a_number_becomes_a_descriptor_of_our_own() {
        let number = memory(mooring_wire::WATCH_MAP).into_raw_fd();
        let own = own_it(number).unwrap();
        assert_eq!(kind(&own), Some(Kind::Map));
        assert!(own_it(RawFd::MAX).is_err());
    }

    #[test]
    fn a_number_has_one_name() {
        let [watch, _] = names(1000, "a-1");
        assert_eq!(whose(&watch), Some((1000, "a-1")));
        for other in ["watch-+7-a", "watch-007-a", "watch-7", "map-7-a", "watch"] {
            assert_eq!(whose(other), None, "{other}");
        }
    }

    #[test]
    fn nothing_but_a_watch_with_its_map_is_taken() {
        let [watch, map] = names(1000, "a1");
        let file: OwnedFd = File::open("/dev/null").unwrap().into();
        assert_eq!(kind(&file), None);
        assert_eq!(kind(&memory("other")), None);
        let map_alone = BTreeMap::from([(map.clone(), memory(mooring_wire::WATCH_MAP))]);
        assert!(paired(map_alone).is_empty());
        let wrong = BTreeMap::from([(watch, file), (map, memory(mooring_wire::WATCH_MAP))]);
        assert!(paired(wrong).is_empty());
    }
}
