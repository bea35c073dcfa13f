//! Where the broker keeps things, by the way it runs.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Folders of the broker's state: for the person who runs it, and for nobody else.
const PRIVATE: u32 = 0o700;

/// The state of system mode: a folder for each person, named by the user's number.
pub const STATE: &str = "/var/lib/mooring";
/// The settings of system mode.
const CONFIG: &str = "/etc/mooring";
/// The folders of policy of system mode: united, and none masks another.
const POLICIES: [&str; 3] = [
    "/usr/lib/mooring/policy.d",
    "/etc/mooring/policy.d",
    "/run/mooring/policy.d",
];
/// The home of who is not known to the system (any more).
const NO_HOME: &str = "/nonexistent";

/// The ways to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For one person, on the session bus, without privileges. Policy is advice there.
    Session,
    /// For all people of a device, on the system bus, as a user of its own. Policy binds.
    System,
}

impl Mode {
    /// The name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::System => "system",
        }
    }

    /// Whether policy binds the person, or is advice to the owner of the daemon.
    pub fn enforced(self) -> bool {
        match self {
            Self::Session => false,
            Self::System => true,
        }
    }
}

/// The broker's folders, all absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// `mooring.toml` and `mooring.d/`.
    pub config: PathBuf,
    /// The folders of policy files.
    pub policies: Vec<PathBuf>,
    /// Whether files of settings and policy must be the administrator's, and writable by nobody
    /// else.
    pub trusted: bool,
    /// `broker.db` and `lock`.
    pub state: PathBuf,
    /// Receipts.
    pub receipts: PathBuf,
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
        Ok(Self::below(
            &config.join("mooring"),
            &state.join("mooring"),
            &home,
        ))
    }

    /// The folders of one person who owns all of them.
    pub fn below(config: &Path, state: &Path, home: &Path) -> Self {
        Self {
            config: config.to_owned(),
            policies: vec![config.join("policy.d")],
            trusted: false,
            state: state.to_owned(),
            receipts: state.join("receipts"),
            home: home.to_owned(),
        }
    }

    /// The folders of a person in system mode.
    pub fn system(uid: u32) -> Self {
        Self::system_below(Path::new(STATE), uid)
    }

    /// The folders of a person in system mode, with everybody's state in a folder.
    pub fn system_below(state: &Path, uid: u32) -> Self {
        Self {
            config: PathBuf::from(CONFIG),
            policies: POLICIES.map(PathBuf::from).to_vec(),
            trusted: true,
            state: state.join(uid.to_string()),
            receipts: state.join("receipts").join(uid.to_string()),
            home: home(uid),
        }
    }

    /// Those of another person on the same device, with everybody's state in a folder.
    pub fn of_person(&self, state: &Path, uid: u32) -> Self {
        Self {
            config: self.config.clone(),
            policies: self.policies.clone(),
            trusted: self.trusted,
            ..Self::system_below(state, uid)
        }
    }

    /// Makes the folders of the state, for this person alone.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make(&self) -> io::Result<()> {
        make_private(&self.state)?;
        if !self.trusted {
            // Where a person's own fetcher puts a signed bundle.
            make_private(&self.state.join("policy"))?;
        }
        make_private(&self.receipts)
    }
}

/// Where the system says that a user's home is. Nothing is looked at there.
fn home(uid: u32) -> PathBuf {
    match nix::unistd::User::from_uid(uid.into()) {
        Ok(Some(user)) => user.dir,
        Ok(None) => {
            tracing::warn!(uid, "this user is not known to the system");
            PathBuf::from(NO_HOME)
        }
        Err(error) => {
            tracing::warn!(uid, %error, "who this user is cannot be found out");
            PathBuf::from(NO_HOME)
        }
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
