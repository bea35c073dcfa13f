//! Devices that share a storage, the people who use them, and the powers that take them down.

mod people;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_worker::delete::Answer;
use mooring_worker::error::{Error, Result};
use mooring_worker::files::Kind;
use mooring_worker::files::twin::{Node, TwinFiles};
use mooring_worker::state::Epoch;
use mooring_worker::{leave, signin, trash};

use crate::act::{Act, At, DEVICES, Disks, Keep};
use crate::owed::Owed;
use crate::stage::{STORAGE, Stage};

const HOUR: i64 = 3_600_000_000_000;
/// So long between two steps, in nanoseconds: more than any step of a filesystem's time.
const PAUSE: i64 = 10_000_000_000;
/// What links lead to, and nothing may touch.
const OUTSIDE: &str = "/srv/secret";
const BOTH: [Collection; 2] = [Collection::Photos, Collection::Contacts];
const MACHINES: [(&str, &str); DEVICES] = [
    ("laptop", "/home/laptop"),
    ("desktop", "/home/desktop"),
    ("phone", "/home/phone"),
    ("tablet", "/home/tablet"),
];

/// How far an account is on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Out,
    Coming,
    In,
    Leaving,
}

pub struct Device {
    pub stage: Stage,
    pub home: &'static str,
    stand: Stand,
}

pub struct World {
    pub twin: TwinFiles,
    pub devices: Vec<Device>,
    pub owed: Owed,
    links: BTreeSet<PathBuf>,
    /// Hours that passed, whatever clocks say; and a day for each time a clock was set, because
    /// that is what one may cost.
    hour: u64,
    written: u32,
    doom: Option<(u64, u64)>,
    /// How often all power went. Deletions that were not durable come undone then.
    cuts: u32,
}

/// A held file: its place on the one side that has it, its bytes, and the side that has not.
type HeldFile = (PathBuf, Vec<u8>, PathBuf);

impl World {
    pub fn new(disks: Disks) -> Self {
        let twin = TwinFiles::new();
        let nas = twin.add_disk();
        twin.mount(nas, STORAGE).unwrap();
        let mut all = vec![nas];
        for (_, home) in MACHINES {
            let disk = twin.add_disk();
            twin.mount(disk, home).unwrap();
            all.push(disk);
        }
        if disks == Disks::Weak {
            twin.set_granularity(2_000_000_000);
            for disk in all {
                twin.configure(disk, |o| {
                    o.filesystem = "nfs".to_owned();
                    (o.known_good, o.leases, o.exchange) = (false, false, false);
                    o.no_replace = false;
                });
            }
        }
        twin.write_durable(OUTSIDE, "secret").unwrap();
        twin.settle();
        let device = |(name, home)| Device {
            stage: Stage::on(twin.clone(), nas, name, home),
            home,
            stand: Stand::Out,
        };
        let mut world = Self {
            devices: MACHINES.into_iter().map(device).collect(),
            twin,
            owed: Owed::default(),
            links: BTreeSet::new(),
            hour: 0,
            written: 0,
            doom: None,
            cuts: 0,
        };
        world.devices[0].stage.create_identity().unwrap();
        world.act(Act::SignIn(0));
        world.act(Act::SignIn(1));
        world
    }

    /// Does one step, and looks whether all is well after it.
    pub fn act(&mut self, act: Act) {
        self.twin.advance(PAUSE);
        match act {
            Act::Doom(at, seed) => self.doom = Some((u64::from(at), seed)),
            Act::Wait(hours) => {
                self.hour += u64::from(hours);
                self.twin.advance(i64::from(hours) * HOUR);
            }
            Act::SetClock(hours) => {
                self.hour += 24;
                self.twin.advance(i64::from(hours) * HOUR);
            }
            Act::Sync(_) | Act::SignIn(_) | Act::SignOut(..) => self.mooring(act),
            Act::Answer(..) | Act::Undelete(..) => self.mooring(act),
            _ => self.person(act),
        }
        self.check(&format!("after {act:?}"));
    }

    fn check(&mut self, when: &str) {
        let missing = self.owed.missing(self.hour, &self.everywhere(false));
        assert_eq!(missing, [] as [String; 0], "{when}: lost");
        for link in &self.links {
            let kind = self.twin.stat_path(link).map(|stat| stat.kind).ok();
            assert_eq!(kind, Some(Kind::Symlink), "{when}: {link:?} was touched");
        }
        assert_eq!(self.twin.read(OUTSIDE).unwrap(), b"secret", "{when}");
    }

    /// All contents that lie anywhere, but for copies under way; `settled` ones only, if asked:
    /// not those that may be swept up.
    pub fn everywhere(&self, settled: bool) -> BTreeSet<Vec<u8>> {
        let swept = |path: &Path| {
            let on_its_way = path.components().any(|c| {
                [".mooring-staging", "uploads"].contains(&c.as_os_str().to_str().unwrap_or(""))
            });
            let name = path.file_name().unwrap().as_bytes();
            on_its_way && (settled || name.starts_with(b"new-"))
        };
        let files = self.twin.tree("/").unwrap().into_iter();
        files
            .filter(|(path, _)| !swept(path))
            .filter_map(|(_, node)| match node {
                Node::File(bytes) => Some(bytes),
                _ => None,
            })
            .collect()
    }

    pub fn root(&self, at: At) -> PathBuf {
        match at {
            At::Device(nr) => Path::new(self.devices[nr].home).join("Accounts/alice"),
            At::Storage => STORAGE.into(),
        }
    }

    fn path(&self, at: At, name: &[u8]) -> PathBuf {
        self.root(at).join(OsStr::from_bytes(name))
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        self.twin.stat_path(path).map(|stat| stat.kind).ok()
    }

    /// Whether a file could be made at a path: no file and no link on the way.
    fn reachable(&self, at: At, path: &Path) -> bool {
        let root = self.root(at);
        let above = path.ancestors().skip(1);
        above
            .take_while(|above| above.starts_with(&root))
            .all(|above| matches!(self.kind(above), None | Some(Kind::Dir)))
    }

    fn mooring(&mut self, act: Act) {
        let (Act::Sync(nr)
        | Act::SignIn(nr)
        | Act::SignOut(nr, _)
        | Act::Answer(nr, _)
        | Act::Undelete(nr, _)) = act
        else {
            unreachable!("{act:?} is a person's");
        };
        let held = match act {
            Act::Answer(..) => Vec::new(),
            _ => self.held(nr),
        };
        let cuts = self.cuts;
        match (self.devices[nr].stand, act) {
            (Stand::Out, Act::SignIn(_)) | (Stand::Coming, _) => self.sign_in(nr),
            (Stand::Out, _) | (Stand::In, Act::SignIn(_)) => {}
            (Stand::Leaving, _) => self.sign_out(nr),
            (Stand::In, Act::SignOut(_, keep)) => {
                self.devices[nr].stand = Stand::Leaving;
                self.devices[nr].stage.journal.keep = match keep {
                    Keep::Nothing => Vec::new(),
                    Keep::Photos => vec![Collection::Photos],
                    Keep::Everything => BOTH.to_vec(),
                };
                self.sign_out(nr);
            }
            (Stand::In, Act::Answer(_, delete)) => {
                let answer = if delete { Answer::Delete } else { Answer::Keep };
                self.run(nr, |stage| {
                    signin::sync_answering(&stage.account(), true, Some(answer)).map(drop)
                });
            }
            (Stand::In, Act::Undelete(_, which)) => self.undelete(nr, usize::from(which)),
            (Stand::In, _) => {
                self.run(nr, |stage| {
                    signin::sync_now(&stage.account(), true).map(drop)
                });
            }
        }
        for (path, bytes, absent) in held {
            let there = self.twin.read(&path).ok();
            assert_eq!(there, Some(bytes), "{act:?}: {path:?} was held");
            let none = self.kind(&absent).is_none() || self.cuts > cuts;
            assert!(none, "{act:?}: {absent:?} was held");
        }
    }

    fn sign_in(&mut self, nr: usize) {
        self.devices[nr].stand = Stand::Coming;
        if self.run(nr, |stage| stage.sign_in(true).map(drop)) {
            self.devices[nr].stand = Stand::In;
        }
    }

    fn sign_out(&mut self, nr: usize) {
        let mut refused = false;
        let done = self.run(nr, |stage| match stage.sign_out() {
            Err(Error::Refused(_)) => {
                refused = true;
                let account = stage.account();
                match account.state.epoch()? {
                    Epoch::Removing => Ok(()),
                    _ => leave::stay(&account),
                }
            }
            result => result,
        });
        let removing = self.devices[nr].stage.account().state.epoch().unwrap() == Epoch::Removing;
        match (done, refused) {
            (true, false) => self.devices[nr].stand = Stand::Out,
            (true, true) if !removing => self.devices[nr].stand = Stand::In,
            _ => {}
        }
    }

    fn undelete(&mut self, nr: usize, which: usize) {
        let before = self.trashed();
        self.run(nr, |stage| {
            let account = stage.account();
            let all = trash::list(&account)?;
            if let Some(buried) = all.get(which % all.len().max(1)) {
                match trash::undelete(&account, &buried.key, trash::Damaged::Stays) {
                    // Something is in its way.
                    Ok(_) | Err(Error::Refused(_)) => {}
                    Err(e) => return Err(e),
                }
            }
            // Its very last steps, after the file is back, may fail and change nothing.
            match stage.twin.fuse().alive() {
                Ok(_) => Ok(()),
                Err(_) => Err(Error::Cancelled),
            }
        });
        let after = self.trashed();
        for (path, content) in before {
            if !after.contains_key(&path) {
                self.owed.brought_back(&content);
            }
        }
    }

    fn trashed(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let trash = Path::new(STORAGE).join(".mooring/trash");
        let nodes = self.twin.tree(trash).unwrap_or_default().into_iter();
        nodes
            .filter_map(|(path, node)| match node {
                Node::File(bytes) => Some((path, bytes)),
                _ => None,
            })
            .collect()
    }

    /// Lets Mooring do something on a device, perhaps to die in it. Answers whether it was done.
    fn run(&mut self, nr: usize, act: impl FnOnce(&mut Stage) -> Result<()>) -> bool {
        self.twin.fuse().reset();
        let doom = self.doom.take();
        self.twin.fuse().set(doom.map(|(at, _)| at));
        let done = act(&mut self.devices[nr].stage);
        let dead = self.twin.fuse().alive().is_err();
        self.twin.fuse().set(None);
        if let (true, Some((_, seed))) = (dead, doom) {
            assert!(done.is_err(), "it died and says it is done");
            self.twin.restart(seed);
            self.cuts += u32::from(seed != 1);
            for device in &mut self.devices {
                device.stage.twin = self.twin.clone();
            }
            return false;
        }
        done.unwrap_or_else(|e| panic!("{}: {e:?}", self.devices[nr].home));
        true
    }

    /// The files of a device that are held and whose bytes are those that were agreed on.
    fn held(&self, nr: usize) -> Vec<HeldFile> {
        let account = self.devices[nr].stage.account();
        let mut held = Vec::new();
        for collection in BOTH {
            let found = account.state.each_item(collection, |key, item| {
                if !item.held || item.gone {
                    return Ok(());
                }
                let mut name = collection.folder().as_bytes().to_vec();
                name.push(b'/');
                name.extend(key.path());
                let here = self.path(At::Device(nr), &name);
                let there = self.path(At::Storage, &name);
                let agreed = [
                    (&here, &there, item.agreed.local),
                    (&there, &here, item.agreed.remote),
                ];
                for (has, has_not, hash) in agreed {
                    let bytes = self.twin.read(has).ok();
                    let bytes = bytes.filter(|b| *blake3::hash(b).as_bytes() == hash);
                    if let (Some(bytes), None) = (bytes, self.kind(has_not)) {
                        held.push((has.clone(), bytes, has_not.clone()));
                    }
                }
                Ok(())
            });
            found.unwrap();
        }
        held
    }

    /// Devices with the account.
    pub fn signed_in(&self) -> Vec<usize> {
        (0..DEVICES)
            .filter(|nr| self.devices[*nr].stand == Stand::In)
            .collect()
    }

    /// Lets what was begun come to its end.
    pub fn finish(&mut self) {
        self.doom = None;
        for nr in 0..DEVICES {
            for _ in 0..3 {
                if matches!(self.devices[nr].stand, Stand::Coming | Stand::Leaving) {
                    self.act(Act::Sync(nr));
                }
            }
        }
    }
}
