//! A signed bundle: the policy files of an organisation in one document, beside a minisign signature.
//!
//! ```toml
//! [bundle]
//! organisation = "Example GmbH"
//! version = 12
//! expires = "2027-01-31T00:00:00Z"
//!
//! [[file]]
//! name = "10-office.toml"
//! text = "…"
//! ```
//!
//! Nothing of a document is read before one of the trusted keys has verified all of its bytes. Its
//! files are united with the drop-ins of the device and mask none of them. [`hold`] says which
//! bundle is in force when others come, go back in time, expire or break.

mod hold;

use std::collections::BTreeSet;

use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};

use super::source::{Problem, Source, quoted};
use super::{MAX_FILES, MAX_TEXT, unite};

pub use hold::{Held, Holding, Memory, Offer, hold, refusal};

/// The largest bundle, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 1024 * 1024;
/// The largest signature or public key, in bytes.
pub const MAX_SIGNATURE_BYTES: usize = 4 * 1024;
/// The most keys that are trusted at once.
pub const MAX_KEYS: usize = 16;
/// The longest name of a file in a bundle, in bytes.
const MAX_FILE_NAME: usize = 100;

/// A key that may sign bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name of its file, for people.
    pub name: String,
    /// The key itself as minisign writes it, which tells it from others: as [`Bundle::signer`].
    pub text: String,
    key: PublicKey,
}

impl Key {
    /// Reads a public key as minisign writes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(path: &str, bytes: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(bytes).ok();
        let key = text.and_then(|text| PublicKey::decode(text).ok());
        let Some(key) = key else {
            let message =
                "this is no public key of minisign: put the file that `minisign -G` made here";
            return Err(Problem::of_file(path, message));
        };
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        // The line that counts, behind the comment.
        let line = text.and_then(|text| text.lines().nth(1));
        let text = line.unwrap_or_default().trim().to_owned();
        Ok(Self { name, text, key })
    }
}

/// A bundle that a trusted key signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Where it lay.
    pub path: String,
    /// Whose it is.
    pub organisation: String,
    /// Counts up with every bundle.
    pub version: u64,
    /// When it has to have been renewed, in seconds since the Unix epoch.
    pub expires: u64,
    /// The key that signed it, by the name of its file.
    pub key: String,
    /// That key itself; empty where an earlier version of the program took the bundle.
    #[serde(default)]
    pub signer: String,
    /// Its policy files.
    pub files: Vec<Source>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    bundle: Header,
    #[serde(default)]
    file: Vec<File>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    organisation: String,
    version: u64,
    expires: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    text: String,
}

impl Bundle {
    /// A bundle from its bytes and those of its signature.
    ///
    /// Read at least one byte more than the bounds, so that longer files are noticed.
    ///
    /// # Errors
    /// Everything that is wrong with it; nothing of what no key vouches for is quoted.
    pub fn open(
        path: &str,
        bytes: &[u8],
        signature: &[u8],
        keys: &[Key],
    ) -> Result<Self, Vec<Problem>> {
        let key = verified(path, bytes, signature, keys).map_err(|problem| vec![problem])?;
        let Ok(text) = std::str::from_utf8(bytes) else {
            let message = "the signed bundle is not UTF-8: make it anew and sign that";
            return Err(vec![Problem::of_file(path, message)]);
        };
        let bundle = Self::read(path, text, key).map_err(|problem| vec![problem])?;
        // Its files are sound by themselves, or the bundle is as good as none.
        unite(&bundle.files)?;
        Ok(bundle)
    }

    /// Reads the text of a bundle that this key signed.
    pub(crate) fn read(path: &str, text: &str, key: &Key) -> Result<Self, Problem> {
        let whole = Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let document: Document = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let said: String = error.message().escape_debug().collect();
            whole.problem(
                offset,
                format!("the signed bundle is not as it should be: {said}"),
            )
        })?;
        let wrong = |message: String| Problem::of_file(path, message);
        let Header {
            organisation,
            version,
            expires,
        } = document.bundle;
        if organisation.trim().is_empty()
            || organisation.chars().any(char::is_control)
            || organisation.chars().count() > MAX_TEXT
        {
            return Err(wrong(
                "`organisation` of the bundle is one line with a name".to_owned(),
            ));
        }
        if version == 0 {
            return Err(wrong("`version` of the bundle counts from 1".to_owned()));
        }
        let Some(expires) = crate::receipt::seconds(&expires) else {
            let expires = quoted(&expires);
            return Err(wrong(format!(
                "`expires` of the bundle is {expires}: write a time such as \"2027-01-31T00:00:00Z\""
            )));
        };
        Ok(Self {
            files: files(path, document.file).map_err(wrong)?,
            path: path.to_owned(),
            organisation,
            version,
            expires,
            key: key.name.clone(),
            signer: key.text.clone(),
        })
    }

    /// Whether it should have been renewed by now.
    pub fn expired(&self, now: u64) -> bool {
        now >= self.expires
    }
}

/// The files of a bundle, named so that a rule's place says which bundle and which file in it.
fn files(path: &str, files: Vec<File>) -> Result<Vec<Source>, String> {
    let mut names = BTreeSet::new();
    let mut sources = Vec::new();
    for File { name, text } in files {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let stem = name.strip_suffix(".toml").unwrap_or_default();
        if stem.is_empty()
            || stem.starts_with('.')
            || name.len() > MAX_FILE_NAME
            || !name.chars().all(plain)
        {
            return Err(format!(
                "the bundle's file {} needs another name: letters, digits, `-`, `_` and `.`, and \
                 `.toml` at the end",
                quoted(&name)
            ));
        }
        if !names.insert(name.clone()) {
            return Err(format!(
                "the bundle has two files {}: rename one",
                quoted(&name)
            ));
        }
        // With a colon: no drop-in of the same name can be taken for it.
        sources.push(Source {
            path: format!("{path}:{name}"),
            text,
        });
    }
    if sources.len() > MAX_FILES {
        return Err(format!("a bundle has at most {MAX_FILES} files: join some"));
    }
    Ok(sources)
}

/// The key that signed these bytes.
fn verified<'k>(
    path: &str,
    bytes: &[u8],
    signature: &[u8],
    keys: &'k [Key],
) -> Result<&'k Key, Problem> {
    let refuse = |message: &str| Err(Problem::of_file(path, message));
    if bytes.len() > MAX_BUNDLE_BYTES {
        return refuse(
            "the bundle is larger than 1 MiB, which is all that is read: nothing of it counts",
        );
    }
    if signature.len() > MAX_SIGNATURE_BYTES {
        return refuse(
            "the bundle's .minisig is too large to be a signature: sign the bundle again",
        );
    }
    if keys.is_empty() {
        return refuse(
            "there is a bundle, and no key that may sign it: put the organisation's key into policy-keys.d, \
             or remove the bundle",
        );
    }
    if signature.is_empty() {
        return refuse("the bundle's signature, the file of its name with .minisig, is missing");
    }
    let text = std::str::from_utf8(signature).ok();
    let Some(signature) = text.and_then(|text| Signature::decode(text).ok()) else {
        return refuse("the bundle's .minisig is no signature of minisign: sign the bundle again");
    };
    let mut ours = false;
    for key in keys {
        match key.key.verify(bytes, &signature, false) {
            Ok(()) => return Ok(key),
            Err(minisign_verify::Error::UnexpectedKeyId) => {}
            Err(_) => ours = true,
        }
    }
    if ours {
        return refuse(
            "the signature does not fit the bundle: it was changed or cut short after it was signed, or is \
             being replaced just now",
        );
    }
    refuse("the bundle is signed by none of the keys in policy-keys.d: nothing of it counts")
}
