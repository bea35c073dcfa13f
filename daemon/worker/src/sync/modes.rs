//! Permissions of folders that both sides have: whoever changes those of one, changes the other's.
//! What was agreed on is a pair, because some filesystems have no modes of their own and answer the
//! same whatever was set.

use mooring_core::sync::Phase;

use super::Run;
use crate::durable::FOLDER_MODE;
use crate::error::{Error, Result, about_one_file};
use crate::files::Files;
use crate::hash::CARRIED_MODE;
use crate::look::FolderLook;
use crate::place::path;
use crate::state::{Folder, Modes};

/// The permission bits that stay as they are on either side.
const KEPT_MODE: u32 = 0o7000;

/// What is to be set on either side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wanted {
    here: Option<u32>,
    there: Option<u32>,
}

impl<F: Files> Run<'_, F> {
    /// Carries a changed mode of a folder over. One that cannot be set is tried again by the next
    /// sync, and keeps nothing else waiting.
    pub(super) fn match_modes(&mut self, look: &FolderLook<F>, known: Folder) -> Result<()> {
        let (Some(here), Some(there)) = (&look.local, &look.remote) else {
            return Ok(());
        };
        match self.carry_modes(here, there, &known) {
            Ok(modes) if known.modes == Some(modes) => Ok(()),
            Ok(modes) => {
                let modes = Some(modes);
                let folder = Folder { modes, ..known };
                self.folders.push((self.place.collection, folder));
                Ok(())
            }
            Err(e) => {
                let shown = self.place.shown(&look.path, b"");
                let why = about_one_file(&e)
                    .ok_or_else(|| Error::io("set the permissions of", path(&shown), e))?;
                tracing::debug!(
                    folder = mooring_core::receipt::readable(&shown),
                    why = why.0,
                    "its permissions are not carried over"
                );
                Ok(())
            }
        }
    }

    /// Sets what has to be set, durably. Answers the modes that both sides have then.
    fn carry_modes(&self, here: &F::Dir, there: &F::Dir, known: &Folder) -> std::io::Result<Modes> {
        let files = &self.account.files;
        let modes = || modes(files, here, there);
        let wanted = wanted(modes()?, known.modes, self.phase);
        for (dir, mode) in [(here, wanted.here), (there, wanted.there)] {
            if let Some(mode) = mode {
                let kept = files.stat_dir(dir)?.mode & KEPT_MODE;
                files.set_dir_mode(dir, kept | mode)?;
                // Recorded before it is durable, it would look changed back after a power loss.
                files.sync_dir(dir)?;
            }
        }
        modes()
    }
}

/// The permissions of a folder on both sides.
pub(super) fn modes<F: Files>(files: &F, here: &F::Dir, there: &F::Dir) -> std::io::Result<Modes> {
    let mode = |dir| files.stat_dir(dir).map(|stat| stat.mode & CARRIED_MODE);
    Ok(Modes {
        here: mode(here)?,
        there: mode(there)?,
    })
}

/// What is to be set. With both changed, nobody is let in whom one side keeps out. The owner's own
/// bits always, or nothing could be put into it.
fn wanted(now: Modes, agreed: Option<Modes>, phase: Phase) -> Wanted {
    // Found for the first time: how it is, is how it stays until somebody changes it.
    let Some(agreed) = agreed else {
        return Wanted::default();
    };
    let mode = match (now.here != agreed.here, now.there != agreed.there) {
        (false, false) => return Wanted::default(),
        (true, false) => now.here,
        (false, true) => now.there,
        (true, true) => now.here & now.there,
    } | FOLDER_MODE;
    let unless_it_is = |is: u32| (is | FOLDER_MODE != mode).then_some(mode);
    Wanted {
        // A leaving account changes nothing here.
        here: unless_it_is(now.here).filter(|_| phase != Phase::Leaving),
        there: unless_it_is(now.there),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(here: u32, there: u32) -> Modes {
        Modes { here, there }
    }

    fn set(here: Option<u32>, there: Option<u32>) -> Wanted {
        Wanted { here, there }
    }

    #[test]
    fn who_changed_it_decides() {
        let agreed = Some(pair(0o755, 0o755));
        let on = |here, there| wanted(pair(here, there), agreed, Phase::Active);
        assert_eq!(on(0o755, 0o755), Wanted::default());
        assert_eq!(on(0o700, 0o755), set(None, Some(0o700)));
        assert_eq!(on(0o755, 0o750), set(Some(0o750), None));
        assert_eq!(on(0o750, 0o750), Wanted::default());
        assert_eq!(on(0o770, 0o705), set(Some(0o700), Some(0o700)));
        // Only the owner's own bits differ: those stay.
        assert_eq!(on(0o555, 0o755), Wanted::default());
        assert_eq!(
            wanted(pair(0o700, 0o755), None, Phase::Active),
            Wanted::default()
        );
    }

    #[test]
    fn a_side_without_modes_is_left_alone_until_the_other_changes() {
        let agreed = Some(pair(0o700, 0o777));
        let on = |here| wanted(pair(here, 0o777), agreed, Phase::Active);
        assert_eq!(on(0o700), Wanted::default());
        assert_eq!(on(0o750), set(None, Some(0o750)));
    }

    #[test]
    fn a_leaving_account_changes_nothing_here() {
        let agreed = Some(pair(0o755, 0o755));
        let on = |here, there| wanted(pair(here, there), agreed, Phase::Leaving);
        assert_eq!(on(0o755, 0o700), Wanted::default());
        assert_eq!(on(0o700, 0o755), set(None, Some(0o700)));
    }
}
