//! What is asked of a sign-in, and whether it fits what is there.

use mooring_core::identity::{Password, Record};
use zbus::OwnedFd;

use super::Proof;
use crate::account::Chosen;
use crate::failure::Failure;
use crate::random;

/// An account as a person wants it: bounds checked, defaults filled in.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The kind of provider.
    pub provider: String,
    /// The identity; empty for a mere look.
    pub identity: String,
    /// The storage's folder, absolute.
    pub storage: Vec<u8>,
    /// The collections.
    pub collections: Vec<Chosen>,
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
    /// The collections whose folder holds files.
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
        let folders: Vec<String> =
            found.not_empty.iter().map(|c| mooring_core::receipt::readable(&c.root)).collect();
        Err(invalid(format!(
            "there are files already in {}: agree to take them up (--adopt), or choose other \
             folders",
            folders.join(", ")
        )))
    }

    /// How the person proves who they are.
    pub(super) fn into_proof(self, found: Found) -> Result<Proof, Failure> {
        let identity = &self.wanted.identity;
        match found.record {
            Some(record) if record.identity != *identity => Err(invalid(format!(
                "this storage belongs to {}, not to {identity}",
                record.identity
            ))),
            Some(record) => Ok(Proof::Record(Box::new(record), self.password)),
            None if !self.create => Err(invalid(format!(
                "this storage has no identity yet: agree to make {identity} (--create)"
            ))),
            None => {
                let password = self.password.ok_or_else(|| {
                    invalid("a new identity needs a password".to_owned())
                })?;
                let recovery_code = self.recovery_code.ok_or_else(|| {
                    invalid("a new identity needs a place to write its recovery code to".to_owned())
                })?;
                Ok(Proof::New { password, recovery_code, storage_id: random::bytes()? })
            }
        }
    }
}

fn invalid(message: String) -> Failure {
    Failure::InvalidArgument(message)
}
