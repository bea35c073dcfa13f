//! The kinds of data an account brings.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of data with a local folder and a place in the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Collection {
    /// Pictures.
    Photos,
    /// Films.
    Videos,
    /// Everything else a person writes.
    Documents,
    /// A vdir: one vCard (RFC 6350) a file.
    Contacts,
}

/// No collection has this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no collection {0:?}: use photos, videos, documents or contacts")]
pub struct UnknownCollection(String);

impl Collection {
    /// Every collection, in the order in which a person sees them.
    pub const ALL: [Self; 4] = [Self::Photos, Self::Videos, Self::Documents, Self::Contacts];

    /// The name on the bus and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Photos => "photos",
            Self::Videos => "videos",
            Self::Documents => "documents",
            Self::Contacts => "contacts",
        }
    }

    /// The folder's name, both below `~/Accounts/IDENTITY` and in the storage.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Photos => "Photos",
            Self::Videos => "Videos",
            Self::Documents => "Documents",
            Self::Contacts => "Contacts",
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Collection {
    type Err = UnknownCollection;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|c| c.name() == s)
            .ok_or_else(|| UnknownCollection(s.to_owned()))
    }
}
