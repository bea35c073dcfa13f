//! The watched folders on their way from one worker to the next. The descriptor brings the kernel's
//! watches and what they heard meanwhile; what they are called is written down beside it.
//!
//! Nothing of it is believed: what is watched is held to the kernel's own list, each folder by its
//! inode. A watch that is written down and not in that list has to be one whose end was heard.

use std::collections::HashSet;
use std::os::fd::AsRawFd;

use super::{
    Arc, BTreeMap, Event, Folder, HashMap, Lost, MAX_WATCHES, MetadataExt, OsStr, OsStrExt,
    OwnedFd, Path, PathBuf, Spot, Told, Tree, fs, ignored, io, rules_in,
};
use crate::state::split;
use crate::watch::bytes::{In, Out};

/// The most roots of a watch: both sides of every collection, and a few.
const MAX_ROOTS: usize = 64;
/// The most that is heard before the watch goes on, in events; more is heard on the way.
const MAX_HEARD: usize = 1024 * 1024;

/// The inode and the filesystem of each watch, as the kernel has them.
type Marks = HashMap<i32, (u64, u64)>;

/// A watch as it was written down.
struct Written {
    wd: i32,
    mark: (u64, u64),
    root: usize,
    below: Vec<u8>,
    rules: bool,
}

impl Tree {
    /// Writes down what is watched; `None` when it cannot be told, for good.
    pub fn write(&self, roots: &[PathBuf], out: &mut Out) -> Option<()> {
        out.count(roots.len());
        for root in roots {
            out.bytes(root.as_os_str().as_bytes());
            let there = fs::metadata(root);
            let (dev, ino) = there.map_or((0, 0), |there| (there.dev(), there.ino()));
            out.number(dev);
            out.number(ino);
        }
        let marks = marks(&self.inotify).ok()?;
        let mut folders: Vec<(&i32, &Folder)> = self.folders.iter().collect();
        // Parents before children.
        folders.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        out.count(folders.len());
        for (wd, folder) in folders {
            out.number(u64::try_from(*wd).ok()?);
            // One that has just ended has none, and its end is still to be heard.
            let (ino, dev) = marks.get(wd).copied().unwrap_or_default();
            out.number(ino);
            out.number(dev);
            let root = roots.iter().position(|root| **root == *folder.root_path)?;
            out.count(root);
            out.bytes(&folder.below);
            out.number(ignored::is_of(&folder.rules, &folder.below).into());
        }
        Some(())
    }

    /// Takes up what another process watched, and hears what happened since; answers the roots.
    ///
    /// # Errors
    /// When it is not what it says, or something was missed.
    pub fn take_up(
        inotify: OwnedFd,
        written: &mut In<'_>,
        told: &mut Told,
    ) -> Result<(Self, Vec<PathBuf>), Lost> {
        let (roots, devs) = roots(written)?;
        let mut tree = Self {
            inotify,
            folders: HashMap::new(),
            paths: BTreeMap::new(),
        };
        let failed = |error| Lost::Io(PathBuf::new(), error);
        let shared: Vec<Arc<Path>> = roots.iter().map(|root| root.as_path().into()).collect();
        let marks = marks(&tree.inotify).map_err(failed)?;
        let count = written
            .count(MAX_WATCHES)
            .ok_or(Lost::HandedOver("it cannot be read"))?;
        let mut ended = HashSet::new();
        for _ in 0..count {
            let one = folder(written, roots.len()).ok_or(Lost::HandedOver("a folder is none"))?;
            match marks.get(&one.wd) {
                Some(mark) if *mark == one.mark => {}
                Some(_) => return Err(Lost::HandedOver("another folder is watched")),
                None => drop(ended.insert(one.wd)),
            }
            tree.put(&one, &shared[one.root], devs[one.root])?;
        }
        if marks.len() + ended.len() != tree.folders.len() {
            return Err(Lost::HandedOver("more is watched"));
        }
        let heard = tree.hear(&mut ended).map_err(failed)?;
        if !ended.is_empty() {
            return Err(Lost::HandedOver("less is watched"));
        }
        for event in heard {
            tree.take(event, told)?;
        }
        Ok((tree, roots))
    }

    /// Everything that waits to be heard; takes those whose end was from `ended`.
    fn hear(&self, ended: &mut HashSet<i32>) -> io::Result<Vec<Event>> {
        let mut heard = Vec::new();
        while heard.len() < MAX_HEARD {
            let more = self.read()?;
            if more.is_empty() {
                break;
            }
            for event in &more {
                if event.mask.contains(super::ReadFlags::IGNORED) {
                    ended.remove(&event.wd);
                }
            }
            heard.extend(more);
        }
        Ok(heard)
    }

    /// A folder that is watched already.
    fn put(&mut self, one: &Written, root: &Arc<Path>, dev: u64) -> Result<(), Lost> {
        let above = match one.below.is_empty() {
            true => None,
            false => {
                let parent = root.join(OsStr::from_bytes(split(&one.below).0));
                let parent = self.paths.get(&parent).and_then(|wd| self.folders.get(wd));
                let parent = parent.ok_or(Lost::HandedOver("a folder lies nowhere"))?;
                parent.rules.clone()
            }
        };
        let path = match one.below.is_empty() {
            true => root.to_path_buf(),
            false => root.join(OsStr::from_bytes(&one.below)),
        };
        let spot = Spot {
            root: one.below.is_empty(),
            root_path: root.clone(),
            dev,
            below: one.below.clone(),
            above,
        };
        // Elsewhere there were none; a file that came since was heard.
        let rules = match one.rules {
            true => rules_in(&path, &spot),
            false => spot.above.clone(),
        };
        if one.rules && !ignored::is_of(&rules, &spot.below) {
            return Err(Lost::Rules(path));
        }
        let folder = Folder {
            path: path.clone(),
            root: spot.root,
            root_path: spot.root_path,
            dev,
            below: spot.below,
            rules,
        };
        if self.folders.insert(one.wd, folder).is_some() {
            return Err(Lost::HandedOver("a watch is there twice"));
        }
        self.paths.insert(path, one.wd);
        Ok(())
    }
}

/// The roots, with the filesystem each is still on.
fn roots(written: &mut In<'_>) -> Result<(Vec<PathBuf>, Vec<u64>), Lost> {
    let unreadable = || Lost::HandedOver("its roots cannot be read");
    let count = written.count(MAX_ROOTS).ok_or_else(unreadable)?;
    let (mut roots, mut devs) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let path = written.bytes().ok_or_else(unreadable)?;
        let root = PathBuf::from(OsStr::from_bytes(path));
        let dev = written.number().ok_or_else(unreadable)?;
        let ino = written.number().ok_or_else(unreadable)?;
        let there = match fs::metadata(&root) {
            Ok(there) => (there.dev(), there.ino()),
            // It was not there either.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, 0),
            Err(error) => return Err(Lost::Io(root, error)),
        };
        if there != (dev, ino) || roots.contains(&root) {
            return Err(Lost::Root(root));
        }
        roots.push(root);
        devs.push(dev);
    }
    Ok((roots, devs))
}

/// One folder; `None` when it is none that a watch could have.
fn folder(written: &mut In<'_>, roots: usize) -> Option<Written> {
    let wd = i32::try_from(written.number()?).ok().filter(|wd| *wd > 0)?;
    let mark = (written.number()?, written.number()?);
    let root = written.count(roots.checked_sub(1)?)?;
    let below = written.bytes()?.to_vec();
    let is_plain = |part: &[u8]| !part.is_empty() && !matches!(part, b"." | b"..");
    let plain = below.is_empty() || below.split(|byte| *byte == b'/').all(is_plain);
    let rules = written.flag()?;
    (plain && !below.contains(&0)).then_some(Written {
        wd,
        mark,
        root,
        below,
        rules,
    })
}

/// The kernel's own list of what is watched (proc_pid_fdinfo(5)).
fn marks(inotify: &OwnedFd) -> io::Result<Marks> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", inotify.as_raw_fd()))?;
    let mark = |line: &str| {
        let mut fields = line.strip_prefix("inotify ")?.split(' ');
        let mut field = |name: &str| fields.next()?.strip_prefix(name);
        let wd = i32::from_str_radix(field("wd:")?, 16).ok()?;
        let ino = u64::from_str_radix(field("ino:")?, 16).ok()?;
        let dev = u64::from_str_radix(field("sdev:")?, 16).ok()?;
        Some((wd, (ino, dev)))
    };
    let lines = text.lines().filter(|line| line.starts_with("inotify "));
    lines
        .map(|line| mark(line).ok_or_else(|| io::Error::other("the kernel's list is another")))
        .collect()
}
