//! The recovery code: 128 random bits as twelve English words, the last with a checksum (BIP 39's
//! list of words and encoding; nothing else of it).

use std::fmt;

use bip39::{Error as WordError, Language, Mnemonic};
use zeroize::Zeroizing;

use super::Error;

/// Random bytes of a recovery code.
pub const ENTROPY_BYTES: usize = 16;
/// Words of a recovery code.
const WORDS: usize = 12;
/// The longest text that is taken for a recovery code, in bytes: twelve words have at most 107.
const MAX_TEXT_BYTES: usize = 512;

/// A recovery code. Never shown by accident, and wiped from memory when dropped.
pub struct RecoveryCode(Zeroizing<String>);

impl RecoveryCode {
    /// Makes a code of random bytes.
    ///
    /// # Errors
    /// None for [`ENTROPY_BYTES`] bytes; the list of words answers with a `Result`.
    pub fn from_entropy(bytes: [u8; ENTROPY_BYTES]) -> Result<Self, Error> {
        let bytes = Zeroizing::new(bytes);
        let words = Mnemonic::from_entropy_in(Language::English, bytes.as_ref())
            .map_err(|_| Error::RecoveryCode("the random bytes do not fit"))?;
        Ok(Self(written(&words)))
    }

    /// Reads a code as a person types it: any case, any white space.
    ///
    /// # Errors
    /// [`Error::RecoveryCode`] says which rule of the code is broken, but never quotes it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::RecoveryCode("this is longer"));
        }
        let text = Zeroizing::new(text.to_lowercase());
        if text.split_whitespace().count() != WORDS {
            return Err(Error::RecoveryCode("these are not twelve"));
        }
        match Mnemonic::parse_in_normalized(Language::English, &text) {
            Ok(words) => Ok(Self(written(&words))),
            Err(WordError::UnknownWord(_)) => Err(Error::RecoveryCode("one is not on the list")),
            Err(_) => Err(Error::RecoveryCode("one of them is wrong")),
        }
    }

    /// The words, to be shown once to the person.
    pub fn words(&self) -> &str {
        &self.0
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

fn written(words: &Mnemonic) -> Zeroizing<String> {
    // Enough room from the start: a growing string would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_TEXT_BYTES));
    for (i, word) in words.words().enumerate() {
        if i > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_code_is_read_as_a_person_types_it() {
        let code = RecoveryCode::from_entropy(*b"sixteen bytes!!!").unwrap();
        assert_eq!(code.words().split(' ').count(), WORDS);
        let typed = format!("  {}\n", code.words().to_uppercase().replace(' ', "  \t"));
        assert_eq!(RecoveryCode::parse(&typed).unwrap().words(), code.words());
    }

    #[test]
    fn a_mistyped_code_is_told_without_being_quoted() {
        let code = RecoveryCode::from_entropy([0; ENTROPY_BYTES]).unwrap();
        let mut words: Vec<&str> = code.words().split(' ').collect();
        words[0] = "zoo";
        assert!(RecoveryCode::parse(&words.join(" ")).is_err());
        words[0] = "qqqq";
        let error = RecoveryCode::parse(&words.join(" ")).unwrap_err();
        assert!(!format!("{error}{error:?}{code:?}").contains(words[1]));
        assert!(RecoveryCode::parse(&words[..11].join(" ")).is_err());
        assert!(RecoveryCode::parse(&"a ".repeat(4096)).is_err());
    }
}
