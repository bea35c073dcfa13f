//! What looks found in which folder, of what is not in the inventory: conflict copies, and names
//! that are passed over. Kept in memory from one look to the next, so that a look at a few folders
//! can tell the numbers of all.

use std::collections::BTreeMap;

use mooring_core::collection::Collection;

use crate::watch::Folders;
use crate::watch::bytes::{In, Out};

/// The most folders of which something is kept; with more, every look is one at everything.
const MAX_FOLDERS: usize = 16 * 1024;

/// What was found by folder, where it is anything: conflict copies, and names passed over.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    folders: BTreeMap<(Collection, Vec<u8>), [u64; 2]>,
    /// Of what is not kept by folder.
    more: BTreeMap<Collection, [u64; 2]>,
}

impl Looked {
    /// Whether a look at a few folders can be told apart from the rest.
    pub fn is_complete(&self) -> bool {
        self.more.is_empty()
    }

    /// Writes it down for another process; it has to be complete.
    pub fn write(&self, out: &mut Out) {
        out.count(self.folders.len());
        for ((collection, folder), numbers) in &self.folders {
            out.bytes(collection.name().as_bytes());
            out.bytes(folder);
            numbers.iter().for_each(|number| out.number(*number));
        }
    }

    /// Reads what was written down; `None` when it is not that.
    pub fn read(written: &mut In<'_>) -> Option<Self> {
        let mut looked = Self::default();
        for _ in 0..written.count(MAX_FOLDERS)? {
            let name = written.bytes()?;
            let collection = Collection::ALL
                .into_iter()
                .find(|collection| collection.name().as_bytes() == name)?;
            let folder = written.bytes()?.to_vec();
            let numbers = [written.number()?, written.number()?];
            looked.folders.insert((collection, folder), numbers);
        }
        Some(looked)
    }

    /// What a look at a folder found.
    pub(super) fn found(&mut self, collection: Collection, folder: Vec<u8>, numbers: [u64; 2]) {
        if numbers == [0, 0] {
            return;
        }
        let sum = match self.folders.len() < MAX_FOLDERS {
            true => self.folders.entry((collection, folder)).or_default(),
            false => self.more.entry(collection).or_default(),
        };
        *sum = [sum[0] + numbers[0], sum[1] + numbers[1]];
    }

    /// Forgets what was found in folders that are looked at anew.
    pub(super) fn forget(&mut self, collection: Collection, told: &Folders) {
        for (top, deep) in told.iter() {
            self.folders.remove(&(collection, top.to_vec()));
            if deep {
                let below = [top, b"/"].concat();
                let gone: Vec<_> = self
                    .folders
                    .range((collection, below.clone())..)
                    .map(|(key, _)| key)
                    .take_while(|(c, folder)| *c == collection && folder.starts_with(&below))
                    .cloned()
                    .collect();
                for key in &gone {
                    self.folders.remove(key);
                }
            }
        }
    }

    /// The numbers over a collection.
    pub(super) fn numbers(&self, collection: Collection) -> [u64; 2] {
        let folders = self.folders.range((collection, Vec::new())..);
        folders
            .take_while(|((c, _), _)| *c == collection)
            .map(|(_, numbers)| numbers)
            .chain(self.more.get(&collection))
            .fold([0, 0], |sum, more| [sum[0] + more[0], sum[1] + more[1]])
    }
}
