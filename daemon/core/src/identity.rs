//! The identity record of a `local` account: `identity.toml`, in the storage itself.
//!
//! The record says who the storage belongs to and lets a device check a password. It authorises
//! and does not encrypt: whoever can read the storage can read the files in it.
//!
//! It comes from a folder that others may write to, so [`Record::parse`] promises that no text,
//! however made, costs more than [`MAX_MEMORY_KIB`] of memory and [`MAX_PASSES`] passes to check.

mod change;
mod hash;
mod recovery;

use serde::{Deserialize, Serialize};

pub use change::Standing;
pub use hash::{Cost, Hash, MAX_LANES, MAX_MEMORY_KIB, MAX_PASSES, Password, SALT_BYTES};
pub use recovery::{ENTROPY_BYTES, RecoveryCode};

/// The version of the format that is written.
pub const VERSION: u32 = 1;
/// The longest record that is read, in bytes.
pub const MAX_RECORD_BYTES: usize = 16 * 1024;
/// The longest name of an identity, in characters.
pub const MAX_NAME_CHARS: usize = 64;
/// Random bytes of a storage's ID.
pub const STORAGE_ID_BYTES: usize = 16;

/// What can be wrong with a record, a password or a name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The record is longer than [`MAX_RECORD_BYTES`].
    #[error("the identity record has {0} bytes; at most {MAX_RECORD_BYTES} are read")]
    TooLong(usize),
    /// The record is not TOML, or a key is missing, unknown or of the wrong kind.
    #[error("the identity record cannot be read: {0}")]
    Syntax(String),
    /// The record is of another version.
    #[error("the identity record is of version {0}; this Mooring reads version {VERSION}")]
    Version(u32),
    /// The storage ID is not 32 hexadecimal digits.
    #[error("the identity record's storage-id is not 32 hexadecimal digits")]
    StorageId,
    /// The name is not one that an identity can have.
    #[error(
        "an identity is 1 to {MAX_NAME_CHARS} letters, digits or . _ - @ +, and does not begin \
         with . or -"
    )]
    Name,
    /// A hash is not argon2id in version 19, or its parameters are beyond the bounds.
    #[error("the identity record's {field} cannot be used: {what}")]
    Hash {
        /// `password` or `recovery-code`.
        field: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A password is empty or too long.
    #[error("a password is 1 to {} bytes long", Password::MAX_BYTES)]
    PasswordLength,
    /// The record was changed as often as a record can be.
    #[error("the identity record has had its last change: its generation cannot grow")]
    Generation,
    /// The text is not a recovery code.
    #[error("a recovery code is twelve words; {0}")]
    RecoveryCode(&'static str),
    /// Argon2 could not run, e.g. for lack of memory.
    #[error("the password cannot be checked now: {0}")]
    Argon2(String),
}

/// The random bytes that go into a new record; all from the system's generator.
#[derive(Clone)]
pub struct Randomness {
    /// The storage's ID.
    pub storage_id: [u8; STORAGE_ID_BYTES],
    /// The salt of the password.
    pub password_salt: [u8; SALT_BYTES],
    /// The salt of the recovery code.
    pub recovery_salt: [u8; SALT_BYTES],
}

/// Who a storage belongs to, and how a password is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The storage's random ID, 32 hexadecimal digits.
    pub storage_id: String,
    /// The identity, e.g. `alice`.
    pub identity: String,
    /// Moves by one with every change of the record.
    pub generation: u64,
    password: Hash,
    recovery_code: Hash,
}

/// The record as it is written; hashes still unchecked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    version: u32,
    storage_id: String,
    identity: String,
    generation: u64,
    password: String,
    recovery_code: String,
}

/// Only the version, so that a newer record is refused for being newer and not for a new key.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl Record {
    /// Makes the record of a new storage. Runs argon2 twice: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`Error::Name`] for a name that no identity can have, [`Error::Argon2`] when it cannot run.
    pub fn new(
        identity: &str,
        password: &Password,
        recovery_code: &RecoveryCode,
        random: &Randomness,
        cost: Cost,
    ) -> Result<Self, Error> {
        check_name(identity)?;
        Ok(Self {
            storage_id: hex(&random.storage_id),
            identity: identity.to_owned(),
            generation: 1,
            password: Hash::new(password.bytes(), &random.password_salt, cost)?,
            recovery_code: Hash::new(recovery_code.bytes(), &random.recovery_salt, cost)?,
        })
    }

    /// Reads a record that may be hostile.
    ///
    /// # Errors
    /// Says what is wrong with it; never quotes the hashes.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_RECORD_BYTES {
            return Err(Error::TooLong(text.len()));
        }
        let head: Head = toml::from_str(text).map_err(syntax)?;
        if head.version != VERSION {
            return Err(Error::Version(head.version));
        }
        let written: Written = toml::from_str(text).map_err(syntax)?;
        check_name(&written.identity)?;
        if !is_storage_id(&written.storage_id) {
            return Err(Error::StorageId);
        }
        Ok(Self {
            password: Hash::parse("password", &written.password)?,
            recovery_code: Hash::parse("recovery-code", &written.recovery_code)?,
            storage_id: written.storage_id,
            identity: written.identity,
            generation: written.generation,
        })
    }

    /// The text of the record.
    ///
    /// # Errors
    /// [`Error::Syntax`] when the generation cannot be expressed in TOML (beyond 2^63).
    pub fn to_toml(&self) -> Result<String, Error> {
        let written = Written {
            version: VERSION,
            storage_id: self.storage_id.clone(),
            identity: self.identity.clone(),
            generation: self.generation,
            password: self.password.phc().to_owned(),
            recovery_code: self.recovery_code.phc().to_owned(),
        };
        let body = toml::to_string(&written).map_err(|e| Error::Syntax(e.to_string()))?;
        Ok(format!(
            "# Who this storage belongs to. Written by Mooring; do not edit.\n{body}"
        ))
    }

    /// Whether this is the password. Runs argon2: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`Error::Argon2`] when it cannot run.
    pub fn check_password(&self, password: &Password) -> Result<bool, Error> {
        self.password.matches(password.bytes())
    }

    /// Whether this is the recovery code. Runs argon2: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`Error::Argon2`] when it cannot run.
    pub fn check_recovery_code(&self, code: &RecoveryCode) -> Result<bool, Error> {
        self.recovery_code.matches(code.bytes())
    }
}

/// Checks the name of an identity. The name is also a folder's name, below `~/Accounts`.
///
/// # Errors
/// [`Error::Name`].
pub fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    // A name of letters beyond ASCII can be four bytes a letter, still below NAME_MAX (255).
    let count = name.chars().count();
    if (1..=MAX_NAME_CHARS).contains(&count)
        && name.len() < 255
        && name.chars().all(allowed)
        && !name.starts_with(['.', '-'])
    {
        Ok(())
    } else {
        Err(Error::Name)
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn is_storage_id(text: &str) -> bool {
    text.len() == 2 * STORAGE_ID_BYTES
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What TOML says, without the line it quotes: that line may be a hash. A key that it names is
/// whatever somebody wrote there.
fn syntax(error: toml::de::Error) -> Error {
    let mut said = String::new();
    for c in error.message().chars() {
        match c.is_control() {
            true => said.extend(c.escape_default()),
            false => said.push(c),
        }
    }
    Error::Syntax(said)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn random() -> Randomness {
        Randomness {
            storage_id: [7; 16],
            password_salt: [1; 16],
            recovery_salt: [2; 16],
        }
    }

    fn record() -> (Record, RecoveryCode) {
        let code = RecoveryCode::from_entropy([3; ENTROPY_BYTES]).unwrap();
        let password = Password::new(b"correct horse".to_vec()).unwrap();
        (
            Record::new("alice", &password, &code, &random(), CHEAP).unwrap(),
            code,
        )
    }

    #[test]
    fn a_record_survives_being_written() {
        let (record, code) = record();
        let again = Record::parse(&record.to_toml().unwrap()).unwrap();
        assert_eq!(again, record);
        assert!(
            again
                .check_password(&Password::new(b"correct horse".to_vec()).unwrap())
                .unwrap()
        );
        assert!(
            !again
                .check_password(&Password::new(b"correct hors".to_vec()).unwrap())
                .unwrap()
        );
        assert!(again.check_recovery_code(&code).unwrap());
        let other = RecoveryCode::from_entropy([4; ENTROPY_BYTES]).unwrap();
        assert!(!again.check_recovery_code(&other).unwrap());
    }

    #[test]
    fn a_hostile_record_is_refused_before_it_costs_anything() {
        let (record, _) = record();
        let good = record.to_toml().unwrap();
        let swaps = [
            ("m=8,", "m=4294967295,"),
            ("m=8,", "m=262145,"),
            ("m=8,", "m=1,"),
            ("t=1,", "t=11,"),
            ("t=1,", "t=0,"),
            ("p=1$", "p=17$"),
            ("p=1$", "p=0$"),
            ("p=1$", "p=2$"),
            ("p=1$", "p=1,keyid=AAAA$"),
            ("p=1$", "p=1,data=AAAA$"),
            ("argon2id", "argon2i"),
            ("argon2id", "argon2d"),
            ("v=19", "v=16"),
            ("$v=19", ""),
            ("storage-id = \"07", "storage-id = \"0G"),
            ("storage-id = \"07", "storage-id = \"07/"),
            ("identity = \"alice\"", "identity = \"../x\""),
            ("identity = \"alice\"", "identity = \"\""),
            ("version = 1", "version = 2"),
            ("version = 1", "version = 1\nmore = 1"),
            ("generation = 1", "generation = -1"),
        ];
        for (from, to) in swaps {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            assert!(Record::parse(&bad).is_err(), "{from} -> {to}");
        }
        assert!(Record::parse(&"#".repeat(MAX_RECORD_BYTES + 1)).is_err());
        assert!(Record::parse("").is_err());
    }

    #[test]
    fn an_error_does_not_quote_a_hash() {
        let (record, _) = record();
        let bad = record
            .to_toml()
            .unwrap()
            .replace("generation = 1", "generation = {");
        let error = Record::parse(&bad).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("argon2id$"));
    }

    #[test]
    fn an_error_is_one_line_whatever_a_key_is() {
        let (record, _) = record();
        let good = record.to_toml().unwrap();
        let bad = format!("\"a\\nb\\u001b[2J\" = 1\n{good}");
        let error = Record::parse(&bad).unwrap_err().to_string();
        assert!(error.contains(r"a\nb\u{1b}[2J"), "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }

    #[test]
    fn names_are_safe_as_folders() {
        for good in [
            "a",
            "alice",
            "alice@example.org",
            "a.b_c-d+e",
            "zoë",
            &"x".repeat(64),
        ] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".a",
            "-a",
            "a/b",
            "a b",
            "a\0",
            "a\n",
            &"x".repeat(65),
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
