//! Where the broker keeps things, by the way it runs.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Folders of the broker's state: for the person who runs it, and for nobody else.
const PRIVATE: u32 = 0o700;

/// The ways to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For one person, on the session bus, without privileges. Policy is advice there.
    Session,
}

impl Mode {
    /// The name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
        }
    }

    /// Whether policy binds the person, or is advice to the owner of the daemon.
    pub fn enforced(self) -> bool {
        match self {
            Self::Session => false,
        }
    }
}

/// The broker's folders, all absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// `mooring.toml`, `mooring.d/` and `policy.d/`.
    pub config: PathBuf,
    /// `broker.db`, `lock` and `receipts/`.
    pub state: PathBuf,
    /// The person's home, where accounts' folders are by default.
    pub home: PathBuf,
}

/// There is no home folder.
#[derive(Debug, thiserror::Error)]
#[error("HOME is not set to an absolute path")]
pub struct Homeless;

impl Folders {
    /// The folders of session mode, by the XDG Base Directory Specification: a variable that is
    /// not an absolute path is as good as unset.
    ///
    /// # Errors
    /// [`Homeless`].
    pub fn session(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Homeless> {
        let absolute = |name: &str| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = absolute("HOME").ok_or(Homeless)?;
        let config = absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let state = absolute("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state"));
        Ok(Self {
            config: config.join("mooring"),
            state: state.join("mooring"),
            home,
        })
    }

    /// The folder of receipts.
    pub fn receipts(&self) -> PathBuf {
        self.state.join("receipts")
    }

    /// The folder of policy files.
    pub fn policy(&self) -> PathBuf {
        self.config.join("policy.d")
    }

    /// Makes the folders of the state, for this person alone.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make(&self) -> io::Result<()> {
        make_private(&self.state)?;
        make_private(&self.receipts())
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(path)?;
    // The folder may be older than this rule.
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(PRIVATE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn folders(variables: &[(&str, &str)]) -> Result<Folders, Homeless> {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| OsString::from(value))
        };
        Folders::session(find)
    }

    #[test]
    fn relative_variables_count_as_unset() {
        let found = folders(&[("HOME", "/home/a"), ("XDG_STATE_HOME", "state")]).unwrap();
        assert_eq!(found.state, Path::new("/home/a/.local/state/mooring"));
        let found = folders(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/c")]).unwrap();
        assert_eq!(found.config, Path::new("/c/mooring"));
        assert!(folders(&[("HOME", "home")]).is_err());
        assert!(folders(&[]).is_err());
    }
}
