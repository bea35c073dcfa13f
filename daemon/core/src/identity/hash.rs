//! Argon2id hashes (RFC 9106) in the PHC string format, with bounds on what a hash may cost.

use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHash, Version};
use zeroize::Zeroizing;

use super::Error;

/// The most memory that checking a hash may take, in KiB: 256 MiB.
pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
/// The most passes over that memory.
pub const MAX_PASSES: u32 = 10;
/// The most lanes.
pub const MAX_LANES: u32 = 16;
/// Bytes of a salt that we make.
pub const SALT_BYTES: usize = 16;
/// Bytes of the hash itself.
const OUTPUT_BYTES: usize = 32;

/// A password. Never shown, and wiped from memory when dropped.
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// The longest password, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Takes the bytes of a password, whatever their encoding.
    ///
    /// # Errors
    /// [`Error::PasswordLength`] when there are none, or more than [`Password::MAX_BYTES`].
    pub fn new(bytes: impl Into<Zeroizing<Vec<u8>>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        if (1..=Self::MAX_BYTES).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(Error::PasswordLength)
        }
    }

    /// How long it is for a person: characters of text, bytes of anything else.
    pub fn characters(&self) -> usize {
        match std::str::from_utf8(&self.0) {
            Ok(text) => text.chars().count(),
            Err(_) => self.0.len(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What a new hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// What a real record costs: 64 MiB and three passes, RFC 9106's second recommendation with
    /// one lane, because a device checks one password at a time.
    pub const REAL: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    fn params(self) -> Result<Params, String> {
        let Self {
            memory_kib,
            passes,
            lanes,
        } = self;
        if memory_kib > MAX_MEMORY_KIB {
            return Err(format!("m={memory_kib} is beyond {MAX_MEMORY_KIB} KiB"));
        }
        if passes > MAX_PASSES {
            return Err(format!("t={passes} is beyond {MAX_PASSES}"));
        }
        if lanes > MAX_LANES {
            return Err(format!("p={lanes} is beyond {MAX_LANES}"));
        }
        Params::new(memory_kib, passes, lanes, Some(OUTPUT_BYTES)).map_err(|e| e.to_string())
    }
}

/// A hash whose cost is within the bounds.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    phc: String,
    cost: Cost,
    salt: Salt,
    output: Output,
}

impl Hash {
    pub(super) fn new(secret: &[u8], salt: &[u8; SALT_BYTES], cost: Cost) -> Result<Self, Error> {
        let failed = |e: String| Error::Argon2(e);
        let salt = Salt::new(salt).map_err(|e| failed(e.to_string()))?;
        let output = compute(secret, &salt, cost)?;
        let mut params = ParamsString::new();
        for (name, value) in [
            ("m", cost.memory_kib),
            ("t", cost.passes),
            ("p", cost.lanes),
        ] {
            params
                .add_decimal(name, value)
                .map_err(|e| failed(e.to_string()))?;
        }
        let phc = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params,
            salt: Some(salt),
            hash: Some(output),
        };
        Ok(Self {
            phc: phc.to_string(),
            cost,
            salt,
            output,
        })
    }

    /// Reads a hash; refuses everything but argon2id v19 with known, bounded parameters.
    pub(super) fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        Self::parse_phc(text).map_err(|what| Error::Hash { field, what })
    }

    fn parse_phc(text: &str) -> Result<Self, String> {
        let phc = PasswordHash::new(text).map_err(|_| "it is no PHC string".to_owned())?;
        if phc.algorithm != ARGON2ID_IDENT {
            return Err("it is not argon2id".to_owned());
        }
        if phc.version != Some(Version::V0x13.into()) {
            return Err("it is not argon2 version 19".to_owned());
        }
        let mut cost = Cost {
            memory_kib: 0,
            passes: 0,
            lanes: 0,
        };
        for (name, value) in phc.params.iter() {
            let value = value
                .decimal()
                .map_err(|_| format!("{name} is no number"))?;
            match name.as_str() {
                "m" => cost.memory_kib = value,
                "t" => cost.passes = value,
                "p" => cost.lanes = value,
                other => return Err(format!("the parameter {other} is unknown")),
            }
        }
        cost.params()?;
        let salt = phc.salt.ok_or("it has no salt")?;
        let output = phc.hash.ok_or("it has no hash")?;
        if output.len() != OUTPUT_BYTES {
            return Err(format!(
                "the hash has {} bytes, not {OUTPUT_BYTES}",
                output.len()
            ));
        }
        if AsRef::<[u8]>::as_ref(&salt).len() < argon2::MIN_SALT_LEN {
            return Err("the salt is too short".to_owned());
        }
        Ok(Self {
            phc: text.to_owned(),
            cost,
            salt,
            output,
        })
    }

    pub(super) fn phc(&self) -> &str {
        &self.phc
    }

    /// Whether the secret has this hash; compared in constant time.
    pub(super) fn matches(&self, secret: &[u8]) -> Result<bool, Error> {
        Ok(compute(secret, &self.salt, self.cost)? == self.output)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

fn compute(secret: &[u8], salt: &Salt, cost: Cost) -> Result<Output, Error> {
    let params = cost.params().map_err(Error::Argon2)?;
    let mut out = Zeroizing::new([0; OUTPUT_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret, salt.as_ref(), out.as_mut())
        .map_err(|e| Error::Argon2(e.to_string()))?;
    // `Output` compares in constant time.
    Output::new(out.as_ref()).map_err(|e| Error::Argon2(e.to_string()))
}
