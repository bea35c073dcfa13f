//! A state that is damaged or missing: what is wrong with it, and putting it aside.
//!
//! Nothing of it is needed to be safe: without an inventory there is no deletion, and equal bytes on
//! both sides are taken up by hash. So a new, empty one takes its place, and the old one stays beside
//! it until the account's whole state is erased.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use mooring_core::wal::{self, Standing};
use rusqlite::ErrorCode;

use super::{Epoch, State};
use crate::error::{Error, Result};

/// The files of a database.
const FILES: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];
/// How the folders begin that damaged states are put into.
const ASIDE: &str = "damaged-";
/// The most damaged states that are kept of one account. More than a few mean a bad disk.
const MAX_ASIDE: u32 = 100;

impl State {
    /// What SQLite's own check finds wrong; `None` when all is well.
    ///
    /// # Errors
    /// [`Error::State`] when it is too damaged to be checked.
    pub fn flaw(&self) -> Result<Option<String>> {
        let said: String =
            self.read(|c| c.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)))?;
        Ok((said != "ok").then_some(said))
    }

    /// The error of a state that holds nothing although the account is in use.
    pub fn missing(&self) -> Error {
        let home = self.home.as_deref().unwrap_or(Path::new("memory"));
        Error::StateMissing(format!(
            "the account's state in {} is missing; nothing is removed meanwhile, and `mooringctl doctor \
             --repair` builds it anew from both sides",
            home.display()
        ))
    }

    /// Passes when the database is whole. Before files are removed: a damaged inventory must not say
    /// which.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn expect_whole(&self) -> Result<()> {
        match self.flaw()? {
            None => Ok(()),
            Some(said) => Err(self.damaged(rusqlite::Error::InvalidParameterName(said))),
        }
    }
}

/// Passes when SQLite's log has all that was committed. Before SQLite opens it: it would take what went
/// bad for never written, and make room.
///
/// # Errors
/// [`Error::State`] when it has not.
pub(super) fn expect_sound_log(home: &Path) -> Result<()> {
    let path = home.join(FILES[1]);
    let fail = |e| Error::io("read", &path, e);
    let log = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.map_err(fail)?,
    };
    match wal::look(BufReader::new(log)).map_err(fail)? {
        Standing::Whole => Ok(()),
        Standing::Torn => {
            tracing::warn!(log = %path.display(), "{}", wal::TORN);
            Ok(())
        }
        Standing::Rotten(frame) => Err(super::damaged(
            Some(home),
            rusqlite::Error::InvalidParameterName(wal::rotten(frame)),
        )),
    }
}

/// What is wrong with the state in a folder, of an account that is in use.
///
/// # Errors
/// When that cannot be found out: a disk that fails is no damage.
pub fn damage(home: &Path) -> Result<Option<String>> {
    let there = home.join(FILES[0]).try_exists();
    if !there.map_err(|e| Error::io("look at", home, e))? {
        return Ok(Some("it is missing".to_owned()));
    }
    let looked = State::open(home).and_then(|state| match state.flaw()? {
        None if state.epoch()? == Epoch::New => Ok(Some("it is empty".to_owned())),
        flaw => Ok(flaw),
    });
    match looked {
        Err(Error::State { source, .. }) if is_damage(&source) => Ok(Some(source.to_string())),
        looked => looked,
    }
}

/// Whether an error is about what is in the database, and not about reaching it.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(e, _) => matches!(
            e.code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown
        ),
        _ => true,
    }
}

/// Moves the database into a folder of its own beside; answers which.
///
/// # Errors
/// When it cannot be moved durably. What was moved stays where it is, and the next try goes on.
pub fn put_aside(home: &Path) -> Result<PathBuf> {
    let aside = new_folder(home)?;
    // The journal beside goes first: without its database nobody takes it for another one's.
    for name in FILES.iter().rev() {
        match fs::rename(home.join(name), aside.join(name)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("put aside", &home.join(name), e)),
        }
    }
    for folder in [&aside, home] {
        let durable = File::open(folder).and_then(|f| f.sync_all());
        durable.map_err(|e| Error::io("make durable", folder, e))?;
    }
    Ok(aside)
}

fn new_folder(home: &Path) -> Result<PathBuf> {
    for nr in 1..=MAX_ASIDE {
        let aside = home.join(format!("{ASIDE}{nr}"));
        match DirBuilder::new().mode(0o700).create(&aside) {
            Ok(()) => return Ok(aside),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("make the folder", &aside, e)),
        }
    }
    Err(Error::Refused(format!(
        "{} holds {MAX_ASIDE} damaged states: look at its disk, then take them away",
        home.display()
    )))
}

/// Erases what was put aside, names of files that it is, with the account's state.
pub(super) fn erase_aside(home: &Path) -> Result<()> {
    let fail = |e| Error::io("remove the damaged states in", home, e);
    for entry in fs::read_dir(home).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(ASIDE.as_bytes())
        {
            fs::remove_dir_all(entry.path()).map_err(fail)?;
        }
    }
    Ok(())
}
