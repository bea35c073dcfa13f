//! What people and other programs do to files, and what of it is owed to them from then on.

use std::path::{Path, PathBuf};

use mooring_worker::files::twin::Node;
use mooring_worker::files::{Files, Kind};

use super::{HOUR, OUTSIDE, World};
use crate::act::{Act, At, DEVICES, FOLDERS, HOW_MANY, MANY, NAMES, Name, Words};

impl World {
    pub(super) fn person(&mut self, act: Act) {
        match act {
            Act::Write(at, Name(name), words) => self.write(at, NAMES[name], words),
            Act::WriteMany(at) => {
                for nr in 0..HOW_MANY {
                    let name = [MANY, format!("/{nr}").as_bytes()].concat();
                    self.write(at, &name, Words::New);
                }
            }
            Act::Touch(at, Name(name), minutes) => {
                let path = self.path(at, NAMES[name]);
                if self.kind(&path) == Some(Kind::File) && self.reachable(at, &path) {
                    let mtime = self.twin.now() - i64::from(minutes) * (HOUR / 60);
                    self.twin.set_mtime(path, mtime).unwrap();
                    self.twin.settle();
                }
            }
            Act::Chmod(at, Name(name), bits) => {
                let path = self.path(at, NAMES[name]);
                if self.kind(&path) == Some(Kind::File) && self.reachable(at, &path) {
                    let mode = 0o600 | u32::from(bits) & 0o177;
                    self.twin.chmod(path, mode).unwrap();
                    self.twin.settle();
                }
            }
            Act::Delete(at, Name(name)) => {
                let path = self.path(at, NAMES[name]);
                if self.kind(&path) == Some(Kind::File) && self.reachable(at, &path) {
                    self.remove(&path);
                }
            }
            Act::Rename(at, Name(from), Name(to)) => {
                let (from, to) = (self.path(at, NAMES[from]), self.path(at, NAMES[to]));
                if self.kind(&from) == Some(Kind::File) {
                    self.rename(at, &from, &to);
                }
            }
            Act::RenameFolder(at, from, to) => {
                let (from, to) = (self.path(at, FOLDERS[from]), self.path(at, FOLDERS[to]));
                if self.kind(&from) == Some(Kind::Dir) && self.kind(&to).is_none() {
                    self.rename(at, &from, &to);
                }
            }
            Act::MakeFolder(at, folder) => {
                let path = self.path(at, FOLDERS[folder]);
                if self.kind(&path).is_none() && self.reachable(at, &path) {
                    self.twin.mkdir(path).unwrap();
                }
            }
            Act::RemoveFolder(at, folder) => {
                let path = self.path(at, FOLDERS[folder]);
                if self.kind(&path) == Some(Kind::Dir) {
                    self.remove(&path);
                }
            }
            Act::Link(at, Name(name)) => {
                let path = self.path(at, NAMES[name]);
                if self.kind(&path).is_none() && self.reachable(at, &path) {
                    self.twin.symlink(OUTSIDE, &path).unwrap();
                    self.twin.settle();
                    self.links.insert(path);
                }
            }
            _ => unreachable!("{act:?} is Mooring's"),
        }
    }

    fn write(&mut self, at: At, name: &[u8], words: Words) {
        let path = self.path(at, name);
        let free = matches!(self.kind(&path), None | Some(Kind::File));
        if !free || !self.reachable(at, &path) {
            return;
        }
        self.written += 1;
        let content = match words {
            Words::New => format!("text {} of {at:?}", self.written),
            Words::Known(nr) => format!("known text {nr}"),
            Words::Nothing => String::new(),
        };
        if let Ok(old) = self.twin.read(&path) {
            self.owed.replaced(&old);
        }
        self.twin.write_durable(&path, &content).unwrap();
        let name = self.name(&path).to_owned();
        self.owed.named_anew(&name);
        self.owed.written(content.as_bytes());
    }

    /// The path of a file below whatever root it is in.
    fn name<'a>(&self, path: &'a Path) -> &'a Path {
        self.roots()
            .iter()
            .find_map(|root| path.strip_prefix(root).ok())
            .unwrap()
    }

    fn roots(&self) -> Vec<PathBuf> {
        let devices = (0..DEVICES).map(At::Device);
        devices
            .chain([At::Storage])
            .map(|at| self.root(at))
            .collect()
    }

    /// Removes a name and what is below it.
    fn remove(&mut self, path: &Path) {
        let gone = self.below(path);
        self.links.retain(|link| !link.starts_with(path));
        self.twin.remove(path).unwrap();
        let elsewhere = self.everywhere(true);
        for (path, content) in gone {
            let name = self.name(&path).to_owned();
            self.owed.deleted(&content, (self.hour, &name), &elsewhere);
            let other = self.roots().into_iter().any(|root| {
                let there = self.twin.read(root.join(&name));
                there.is_ok_and(|there| there != content)
            });
            if other {
                self.owed.named_anew(&name);
            }
        }
    }

    /// The files at or below a path.
    fn below(&self, path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        if self.kind(path) == Some(Kind::File) {
            return vec![(path.to_owned(), self.twin.read(path).unwrap())];
        }
        let files = self.twin.tree(path).unwrap().into_iter();
        files
            .filter_map(|(below, node)| match node {
                Node::File(bytes) => Some((path.join(below), bytes)),
                _ => None,
            })
            .collect()
    }

    fn rename(&mut self, at: At, from: &Path, to: &Path) {
        let into_itself = from == to || to.starts_with(from);
        if into_itself || !self.reachable(at, from) || !self.reachable(at, to) {
            return;
        }
        match self.kind(to) {
            None => {}
            Some(Kind::File) => {
                let old = self.twin.read(to).unwrap();
                self.owed.replaced(&old);
            }
            Some(_) => return,
        }
        self.twin.mkdir(to.parent().unwrap()).unwrap();
        self.twin.rename(from, to).unwrap();
        self.twin.settle();
        for (path, _) in self.below(to) {
            let name = self.name(&path).to_owned();
            self.owed.named_anew(&name);
        }
        let moved: Vec<_> = self
            .links
            .iter()
            .filter(|l| l.starts_with(from))
            .cloned()
            .collect();
        for link in moved {
            self.links.remove(&link);
            self.links.insert(to.join(link.strip_prefix(from).unwrap()));
        }
    }
}
