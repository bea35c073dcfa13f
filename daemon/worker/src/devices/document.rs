//! The two kinds of documents, written as they are read: whole, small, and by strangers.

use serde::{Deserialize, Serialize};

use super::is_id;

/// The version that is written and read.
const VERSION: u32 = 1;
/// The longest name of a device or an identity that is shown, in characters.
const MAX_NAME: usize = 64;
/// The longest sentence that is shown, in characters.
const MAX_SENTENCE: usize = 1000;
/// The most collections that are shown.
const MAX_COLLECTIONS: usize = 32;
/// What a device is called that has no name that can be shown.
const NAMELESS: &str = "a device without a name";

/// How a sign-in stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Presence {
    /// Of the format.
    pub version: u32,
    /// The name of the device.
    pub device: String,
    /// The random ID of its sign-in, as in the file's name.
    pub sign_in_id: String,
    /// Who is signed in.
    pub identity: String,
    /// The collections it has.
    pub collections: Vec<String>,
    /// Files there without a copy in the storage.
    pub pending: u64,
    /// Deletions there that wait for an answer.
    pub held: u64,
    /// When this was written, in seconds since the Unix epoch.
    pub last_seen: u64,
    /// What became of the last request to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// The request's ID.
    pub request: String,
    /// `signing-out`, `blocked`, `denied`, `cancelled` or `waiting`.
    pub state: String,
    /// A sentence: why, and what to do.
    pub message: String,
}

/// A request to sign out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    /// Of the format.
    pub version: u32,
    /// The request's ID, as in the file's name.
    pub request_id: String,
    /// The sign-in ID of the device that is asked.
    pub target: String,
    /// The name of the device that asks, for people to see.
    pub device: String,
    /// Its sign-in ID, likewise.
    pub sign_in_id: String,
    /// When it asks, in seconds since the Unix epoch, likewise.
    pub asked_at: u64,
}

impl Presence {
    /// A document of the version that is written.
    pub(super) const VERSION: u32 = VERSION;

    /// Reads the document under this name.
    pub(crate) fn parse(text: &str, id: &str) -> Result<Self, String> {
        let mut found: Self = parsed(text)?;
        expect(found.version, &found.sign_in_id, id)?;
        found.device = name(&found.device);
        found.identity = name(&found.identity);
        found.collections.truncate(MAX_COLLECTIONS);
        for collection in &mut found.collections {
            *collection = name(collection);
        }
        found.answer = found.answer.filter(Answer::is_one).map(|answer| Answer {
            message: clean(&answer.message, MAX_SENTENCE),
            ..answer
        });
        Ok(found)
    }

    /// Whether this says the same, but for the time.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        let timeless = |presence: &Self| Self {
            last_seen: 0,
            ..presence.clone()
        };
        timeless(self) == timeless(other)
    }
}

impl Answer {
    /// The words for a state.
    const STATES: [&str; 5] = [
        "signing-out",
        "blocked",
        "denied",
        "cancelled",
        Self::WAITING,
    ];
    /// The word for a request that is to be looked at again: it stays open.
    const WAITING: &str = "waiting";

    /// Whether it can be one.
    pub(super) fn is_one(&self) -> bool {
        is_id(&self.request) && Self::STATES.contains(&self.state.as_str())
    }

    /// Whether the request stays open.
    pub(crate) fn is_to_wait(&self) -> bool {
        self.state == Self::WAITING
    }

    /// With a message of a bounded length.
    pub(super) fn bounded(self) -> Self {
        Self {
            message: clean(&self.message, MAX_SENTENCE),
            ..self
        }
    }
}

impl Request {
    /// A document of the version that is written.
    pub(super) const VERSION: u32 = VERSION;

    /// Reads the document under this name.
    pub(crate) fn parse(text: &str, id: &str) -> Result<Self, String> {
        let mut found: Self = parsed(text)?;
        expect(found.version, &found.request_id, id)?;
        if !is_id(&found.target) {
            return Err("names no device that can be one".to_owned());
        }
        found.device = name(&found.device);
        if !is_id(&found.sign_in_id) {
            found.sign_in_id.clear();
        }
        Ok(found)
    }
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|e| format!("cannot be understood: {}", clean(e.message(), 200)))
}

fn expect(version: u32, id: &str, wanted: &str) -> Result<(), String> {
    if version != VERSION {
        return Err(format!(
            "is of version {version}, and this Mooring reads {VERSION}"
        ));
    }
    if id != wanted {
        return Err("says another ID than its name".to_owned());
    }
    Ok(())
}

pub(super) fn name(text: &str) -> String {
    let cleaned = clean(text, MAX_NAME);
    if cleaned.is_empty() {
        NAMELESS.to_owned()
    } else {
        cleaned
    }
}

/// One line of at most `most` characters, without what drives a terminal or turns text around.
fn clean(text: &str, most: usize) -> String {
    let invisible = |c: char| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{61c}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    let shown: String = text
        .chars()
        .filter(|c| !c.is_control() && !invisible(*c))
        .take(most)
        .collect();
    shown.trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const REQUEST: &str = "version = 1\nrequest-id = \"r1\"\ntarget = \"t1\"\ndevice = \"phone\"\n\
                           sign-in-id = \"p1\"\nasked-at = 7\n";

    #[test]
    fn a_request_is_what_its_name_says() {
        let request = Request::parse(REQUEST, "r1").unwrap();
        assert_eq!((request.target.as_str(), request.asked_at), ("t1", 7));
        assert!(Request::parse(REQUEST, "r2").unwrap_err().contains("ID"));
        let later = REQUEST.replace("version = 1", "version = 2");
        assert!(
            Request::parse(&later, "r1")
                .unwrap_err()
                .contains("version")
        );
        for target in ["", "../t1", "t/1", &"x".repeat(65)] {
            let bad = REQUEST.replace("\"t1\"", &format!("{target:?}"));
            assert!(Request::parse(&bad, "r1").is_err(), "{target}");
        }
        assert!(Request::parse("\u{1b}[2J = [", "r1").is_err());
    }

    #[test]
    fn names_are_one_short_line() {
        let hostile = "ph\u{1b}[2Jone\u{202e}\n\tx".to_owned() + &"y".repeat(500);
        let text = REQUEST.replace("\"phone\"", &toml::Value::String(hostile).to_string());
        let device = Request::parse(&text, "r1").unwrap().device;
        assert!(device.starts_with("ph[2Jonex"), "{device}");
        assert_eq!(device.chars().count(), MAX_NAME);
        assert_eq!(name(" \u{200b}\u{7f} "), NAMELESS);
    }
}
