//! The checker's own book: all that was ever written, and what has to be somewhere because of it.
//! It knows what people did and where bytes lie, and nothing of how Mooring decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How long what was deleted is kept, in hours.
const KEPT: u64 = 30 * 24;

/// Why some content must still be somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// Somebody wrote it, and nobody deleted it or wrote over it.
    Written,
    /// Somebody deleted it at this hour, and others had it under this name.
    Deleted(u64, PathBuf),
}

/// What is owed to people.
#[derive(Debug, Default)]
pub struct Owed {
    contents: BTreeMap<Vec<u8>, Why>,
    /// Somebody wrote over it once. Written again, it may be the old version of somebody's edit.
    old: BTreeSet<Vec<u8>>,
}

impl Owed {
    pub fn written(&mut self, content: &[u8]) {
        if !content.is_empty() && !self.old.contains(content) {
            self.contents.insert(content.to_vec(), Why::Written);
        }
    }

    /// Somebody wrote over it: nothing promises an old version.
    pub fn replaced(&mut self, content: &[u8]) {
        self.contents.remove(content);
        self.old.insert(content.to_vec());
    }

    /// Somebody deleted a file with this content. What nobody else had went with it.
    pub fn deleted(
        &mut self,
        content: &[u8],
        (hour, name): (u64, &Path),
        elsewhere: &BTreeSet<Vec<u8>>,
    ) {
        if !elsewhere.contains(content) {
            self.contents.remove(content);
        } else if let Some(why) = self.contents.get_mut(content)
            && *why == Why::Written
        {
            *why = Why::Deleted(hour, name.to_owned());
        }
    }

    /// Somebody wrote something else under a name. For all who had what was deleted under it, that
    /// is a newer version.
    pub fn named_anew(&mut self, name: &Path) {
        self.contents
            .retain(|_, why| !matches!(why, Why::Deleted(_, of) if of == name));
    }

    /// It was taken out of the trash.
    pub fn brought_back(&mut self, content: &[u8]) {
        if let Some(why) = self.contents.get_mut(content) {
            *why = Why::Written;
        }
    }

    /// What is owed and not there.
    pub fn missing(&mut self, hour: u64, there: &BTreeSet<Vec<u8>>) -> Vec<String> {
        self.contents.retain(|_, why| match why {
            Why::Written => true,
            Why::Deleted(when, _) => *when + KEPT > hour,
        });
        self.contents
            .iter()
            .filter(|(content, _)| !there.contains(*content))
            .map(|(content, why)| format!("{:?} ({why:?})", String::from_utf8_lossy(content)))
            .collect()
    }
}
