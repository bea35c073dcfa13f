//! What is asked of a sign-in, and whether it fits what is there.

use std::path::Path;

use mooring_core::collection::Collection;
use mooring_core::identity::{Password, Record};
use zbus::OwnedFd;

use super::Proof;
use crate::account::Chosen;
use crate::failure::Failure;
use crate::random;

/// A collection, and its folder, absolute, or none for the default.
pub type Asked = (Collection, Option<Vec<u8>>);

/// An account as a person wants it, with its bounds checked.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The kind of provider.
    pub provider: String,
    /// The identity; a mere look does without.
    pub identity: Option<String>,
    /// The storage's folder, absolute.
    pub storage: Vec<u8>,
    /// The collections.
    pub collections: Vec<Asked>,
}

impl Wanted {
    /// The collections with their folders. The default ones are named by the identity; before
    /// anybody said who, the folder above stands for them.
    pub(super) fn chosen(&self, identity: Option<&str>, home: &Path) -> Vec<Chosen> {
        let above = home.join("Accounts").join(identity.unwrap_or_default());
        let default = |collection: Collection| {
            above
                .join(collection.folder())
                .into_os_string()
                .into_encoded_bytes()
        };
        let chosen = |(collection, root): &Asked| Chosen {
            collection: *collection,
            root: root.clone().unwrap_or_else(|| default(*collection)),
        };
        self.collections.iter().map(chosen).collect()
    }
}

/// A sign-in as a person wants it.
#[derive(Debug)]
pub struct Request {
    /// The account.
    pub wanted: Wanted,
    /// Folders with files in them may be taken up.
    pub adopt: bool,
    /// A new identity may be made.
    pub create: bool,
    /// The password, if it was given.
    pub password: Option<Password>,
    /// Where a new recovery code goes.
    pub recovery_code: Option<OwnedFd>,
    /// The name of this device.
    pub device: Option<String>,
}

/// What a look found.
#[derive(Debug)]
pub struct Found {
    /// The storage's record, if it has one.
    pub record: Option<Record>,
    /// The collections with the folders that would be used.
    pub collections: Vec<Chosen>,
    /// Those of them whose folder holds files.
    pub not_empty: Vec<Chosen>,
    /// Sentences a person should know.
    pub warnings: Vec<String>,
}

impl Request {
    /// Checks that the person agreed to what they have to agree to.
    pub(super) fn expect_consent(&self, found: &Found) -> Result<(), Failure> {
        if found.not_empty.is_empty() || self.adopt {
            return Ok(());
        }
        let folders: Vec<String> = found
            .not_empty
            .iter()
            .map(|c| mooring_core::receipt::readable(&c.root))
            .collect();
        Err(invalid(format!(
            "there are files already in {}: agree to take them up (--adopt), or choose other \
             folders",
            folders.join(", ")
        )))
    }

    /// How the person proves who they are.
    pub(super) fn into_proof(self, found: Found) -> Result<Proof, Failure> {
        let identity = self.wanted.identity.as_deref().unwrap_or_default();
        match found.record {
            Some(record) if record.identity != identity => Err(invalid(format!(
                "this storage belongs to {}, not to {identity}",
                record.identity
            ))),
            Some(record) => Ok(Proof::Record(Box::new(record), self.password)),
            None if !self.create => Err(invalid(format!(
                "this storage has no identity yet: agree to make {identity} (--create)"
            ))),
            None => {
                let password = self
                    .password
                    .ok_or_else(|| invalid("a new identity needs a password".to_owned()))?;
                let recovery_code = self.recovery_code.ok_or_else(|| {
                    invalid("a new identity needs a place to write its recovery code to".to_owned())
                })?;
                Ok(Proof::New {
                    password,
                    recovery_code,
                    storage_id: random::bytes()?,
                })
            }
        }
    }
}

fn invalid(message: String) -> Failure {
    Failure::InvalidArgument(message)
}
