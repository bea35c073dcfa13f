//! The kinds of jobs: what each is called on the bus and in the journal, and its stages.

use mooring_core::signout::Stage;

use super::journal::{Copies, Work};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Brings an account to this device.
    SignIn,
    /// Brings both sides in step.
    Sync,
    /// Takes an account off this device.
    SignOut,
    /// Takes a backup.
    Backup,
    /// Restores from one.
    Restore,
    /// Reads every copy back.
    Verify,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::SignIn,
        Self::Sync,
        Self::SignOut,
        Self::Backup,
        Self::Restore,
        Self::Verify,
    ];

    /// The name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Sync => "sync",
            Self::SignOut => "sign-out",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Verify => "verify",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The stages that it goes through, in order.
    pub fn stages(self) -> Vec<&'static str> {
        match self {
            Self::SignIn => vec!["authorised", "brought"],
            Self::Sync => vec!["synced"],
            Self::SignOut => Stage::ALL.into_iter().map(Stage::name).collect(),
            Self::Backup => vec!["backed-up"],
            Self::Restore => vec!["restored"],
            Self::Verify => vec!["verified"],
        }
    }

    /// The stage of a job that has done all of it.
    pub fn last_stage(self) -> &'static str {
        self.stages().last().copied().unwrap_or_default()
    }

    /// Whether it may take the account off this device.
    pub fn ends_accounts(self) -> bool {
        matches!(self, Self::SignIn | Self::SignOut)
    }
}

impl Copies {
    /// The kind of a job that does this.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Backup { .. } => Kind::Backup,
            Self::Restore { .. } => Kind::Restore,
            Self::Verify => Kind::Verify,
        }
    }
}

impl Work {
    /// The kind of a job that does this.
    pub fn kind(&self) -> Kind {
        match self {
            Self::SignIn { .. } => Kind::SignIn,
            Self::Sync => Kind::Sync,
            Self::SignOut(_) => Kind::SignOut,
            Self::Copies(copies) => copies.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_and_has_stages() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
            assert_eq!(kind.stages().last(), Some(&kind.last_stage()));
        }
        assert_eq!(Kind::named("other"), None);
    }
}
