//! Watches the files of configuration and policy, whether they are there yet or not.
//!
//! An inotify watch needs a folder. Where one of ours is missing, the nearest folder above it that
//! exists is watched instead; after every event the watches are set anew, so a folder that appears
//! is watched from then on. What can be missed in between is found by reading after that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::bundle;
use crate::folders::Folders;

/// An editor writes a file in several steps: changes are taken up after this much quiet.
const QUIET: Duration = Duration::from_millis(100);
/// ...but not later than this after the first.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the watches are set anew for folders that appear meanwhile.
const MAX_ROUNDS: u32 = 8;

/// Tells when the files may have changed.
pub struct Watch {
    wanted: Vec<PathBuf>,
    watched: BTreeSet<PathBuf>,
    watcher: RecommendedWatcher,
    events: mpsc::Receiver<()>,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the system gives no inotify instance.
    pub fn start(folders: &Folders) -> notify::Result<Self> {
        let mut wanted = vec![folders.config.clone(), folders.config.join("mooring.d")];
        wanted.extend_from_slice(&folders.policies);
        wanted.push(bundle::folder(folders));
        wanted.push(bundle::key_folder(folders));
        let (sender, events) = mpsc::channel(1);
        let concerned = wanted.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if concerns(&concerned, &event) {
                // One pending word is enough: everything is read.
                let _ = sender.try_send(());
            }
        })?;
        let mut watch = Self {
            wanted,
            watched: BTreeSet::new(),
            watcher,
            events,
        };
        watch.arm();
        Ok(watch)
    }

    /// Waits for a change, and then for quiet. Answers false when watching has ended.
    pub async fn changed(&mut self) -> bool {
        if self.events.recv().await.is_none() {
            return false;
        }
        let quiet = async {
            while let Ok(Some(())) = tokio::time::timeout(QUIET, self.events.recv()).await {}
        };
        // Patience at an end is as good as quiet.
        let _ = tokio::time::timeout(PATIENCE, quiet).await;
        self.arm();
        true
    }

    /// Watches what exists now, and nothing else.
    fn arm(&mut self) {
        self.forget_watches();
        for _ in 0..MAX_ROUNDS {
            let needed = self.needed();
            for path in needed.difference(&self.watched.clone()) {
                match self.watcher.watch(path, RecursiveMode::NonRecursive) {
                    Ok(()) => {
                        self.watched.insert(path.clone());
                    }
                    Err(error) => tracing::warn!(%error, path = %path.display(), "cannot watch"),
                }
            }
            // A folder that was made before its parent was watched has told nobody.
            if self.needed() == needed {
                return;
            }
        }
        tracing::warn!("folders of the configuration come and go too fast to watch them all");
    }

    /// All watches go, even those still needed: by now it may be another folder of that name.
    fn forget_watches(&mut self) {
        for path in std::mem::take(&mut self.watched) {
            // The kernel dropped the watch itself when the folder went; nothing is lost then.
            let _ = self.watcher.unwatch(&path);
        }
    }

    fn needed(&self) -> BTreeSet<PathBuf> {
        self.wanted
            .iter()
            .filter_map(|path| nearest(path))
            .map(Path::to_owned)
            .collect()
    }
}

/// The folder itself, or the nearest one above it that exists.
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|folder| folder.is_dir())
}

/// Whether an event may change what we read, or what we have to watch.
fn concerns(wanted: &[PathBuf], event: &notify::Result<Event>) -> bool {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            tracing::warn!(%error, "watching the configuration");
            return true;
        }
    };
    if event.need_rescan() {
        return true;
    }
    let changes = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    changes
        && event.paths.iter().any(|path| {
            // In a folder of ours, or a missing one appears (a part of the way to it).
            wanted
                .iter()
                .any(|folder| path.parent() == Some(folder.as_path()) || folder.starts_with(path))
        })
}
