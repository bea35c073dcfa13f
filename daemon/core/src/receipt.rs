//! The receipt of a sign-out: TOML that a person can read, and that needs no Mooring.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// The version of the format that is written.
pub const VERSION: u32 = 1;

/// The level of a receipt that proves nothing: the account was forgotten.
pub const FORGOTTEN: &str = "none";

/// What a sign-out did and left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Receipt {
    /// The format's version.
    pub version: u32,
    /// The receipt's name.
    pub id: String,
    /// Who signed out.
    pub identity: String,
    /// The kind of provider.
    pub provider: String,
    /// The device that was left.
    pub device: String,
    /// When, as RFC 3339 in UTC.
    pub signed_out_at: String,
    /// The how-manieth sign-out of this device it is; a clock may be set back, and this is not.
    #[serde(default)]
    pub sequence: u64,
    /// How the person proved who they are.
    pub authorised_by: String,
    /// What policy said.
    pub policy: String,
    /// Sentences about weaker guarantees of the filesystems that were met; empty is good.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// Where the copies are.
    pub storage: Storage,
    /// How it was proved that they are there.
    pub proof: Proof,
    /// What was told to the provider.
    pub revocation: Revocation,
    /// The last backup before it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// What somebody else took off the device before Mooring could.
    #[serde(default, skip_serializing_if = "GoneBefore::is_none")]
    pub gone_before: GoneBefore,
    /// What happened to each collection.
    #[serde(default, rename = "collection")]
    pub collections: Vec<CollectionEntry>,
    /// Everything that Mooring knows it left on the device.
    #[serde(default, rename = "left")]
    pub left: Vec<LeftEntry>,
}

/// Where the copies are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Storage {
    /// The folder, readable; other bytes than UTF-8 are escaped as `\xNN`.
    pub path: String,
    /// The storage's random ID.
    pub id: String,
}

/// How it was proved that the copies are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proof {
    /// `read-back`: every copy was read from the storage and compared. `none`: the account was
    /// forgotten, nothing was proved, and nothing was removed for it.
    pub level: String,
    /// Whether programs that might have written to a file were excluded while it was removed.
    pub writers_excluded: bool,
    /// The list of names and hashes, in the storage below `.mooring/receipts/`.
    pub base: String,
    /// That list's BLAKE3.
    pub base_blake3: String,
}

/// The last backup that was taken before a sign-out. It was read back when it was taken; whether it is
/// there still is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Backup {
    /// When it was begun, as RFC 3339 in UTC. What came later is not in it.
    pub taken_at: String,
    /// Its folder, readable.
    pub path: String,
    /// Files in it.
    pub files: u64,
    /// Files that could not be taken.
    pub missing: u64,
}

/// What was told to the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Revocation {
    /// `done`, `pending` or `not-needed`.
    pub state: String,
    /// A sentence.
    pub detail: String,
}

/// Files with a verified copy that were gone before Mooring came to remove them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GoneBefore {
    /// How many.
    pub files: u64,
    /// Their absolute paths, readable; at most 100.
    pub named: Vec<String>,
}

impl GoneBefore {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.files == 0
    }
}

/// What happened to a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CollectionEntry {
    /// Its name.
    pub name: String,
    /// Its local folder, readable.
    pub root: String,
    /// Files removed.
    pub removed_files: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Files kept in place.
    pub kept_files: u64,
    /// Their bytes.
    pub kept_bytes: u64,
}

/// Something that stays on the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftEntry {
    /// The absolute path, readable; other bytes than UTF-8 are escaped as `\xNN`.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl Receipt {
    /// The text of the receipt.
    ///
    /// # Errors
    /// When a value cannot be expressed in TOML (a count above 2^63).
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let head = "# A receipt of Mooring: what left this device, and how it was proved that a \
                    copy exists.\n# The copies are listed, name by name, in the base beside the \
                    storage's copy of this receipt.\n\n";
        Ok(format!("{head}{}", toml::to_string_pretty(self)?))
    }

    /// Reads a receipt.
    ///
    /// # Errors
    /// When the text is not a receipt of a version up to [`VERSION`].
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        let receipt: Self = toml::from_str(text)?;
        if receipt.version > VERSION {
            return Err(serde::de::Error::custom(format!(
                "a receipt of version {}; this Mooring reads up to {VERSION}",
                receipt.version
            )));
        }
        Ok(receipt)
    }
}

/// A path as text: UTF-8 as it is, control characters, backslashes and other bytes as `\xNN`.
/// Reversible, one line, safe to print on a terminal.
pub fn readable(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() {
                let mut bytes = [0; 4];
                for b in c.encode_utf8(&mut bytes).bytes() {
                    out.push_str(&format!("\\x{b:02x}"));
                }
            } else {
                out.push(c);
            }
        }
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out
}

/// The bytes behind [`readable`]; `None` when the text has a broken escape.
pub fn unreadable(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'\\' {
            let (escape, tail) = tail.split_at_checked(3)?;
            let digits = std::str::from_utf8(escape).ok()?.strip_prefix('x')?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail;
        } else {
            out.push(first);
            rest = tail;
        }
    }
    Some(out)
}

/// A time as RFC 3339 in UTC, to the second.
pub fn timestamp(seconds_since_epoch: u64) -> String {
    // Beyond the year 9999 the format has no digits left; clamp rather than fail.
    const LAST: u64 = 253_402_300_799;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds_since_epoch.min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The time behind [`timestamp`], in seconds since the Unix epoch; `None` for any other text.
pub fn seconds(timestamp: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(timestamp).ok()?;
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .map(|d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_being_made_readable() {
        let names: [&[u8]; 5] = [
            b"plain.jpg",
            b"new\nline",
            b"\xff\xfe",
            "caf\u{e9} \u{202e}".as_bytes(),
            b"a\\x41",
        ];
        for name in names {
            let text = readable(name);
            assert!(!text.contains('\n'));
            assert_eq!(unreadable(&text).as_deref(), Some(name));
        }
        assert_eq!(unreadable("\\x4"), None);
        assert_eq!(unreadable("\\q41"), None);
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(u64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(seconds(&timestamp(1_795_446_000)), Some(1_795_446_000));
        assert_eq!(seconds("yesterday"), None);
    }
}
