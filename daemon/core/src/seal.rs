//! Texts that carry the hash of what they are, where they stand, and themselves. A bit that turned
//! over on a disk is found by it, whatever the text means now. It is no protection from people: who
//! can write the text can write its hash.

/// Digits of a hash, and the space behind it.
const HEAD: usize = 65;

/// Why a sealed text is not the one that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not what was written")]
pub struct Broken;

/// The hash of a text of a kind, which stands under a key.
pub fn sum(kind: &str, key: &str, text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [kind, key, text] {
        // With its length, so that no two triples are one text.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// A text with its hash in front.
pub fn seal(kind: &str, key: &str, text: &str) -> String {
    format!("{} {text}", sum(kind, key, text))
}

/// The text of a sealed one.
///
/// # Errors
/// [`Broken`] when anything of it, its kind or its key is another than was sealed.
pub fn open<'a>(kind: &str, key: &str, sealed: &'a str) -> Result<&'a str, Broken> {
    let (head, text) = sealed.split_at_checked(HEAD).ok_or(Broken)?;
    match head.strip_suffix(' ') {
        Some(hash) if hash == sum(kind, key, text) => Ok(text),
        _ => Err(Broken),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn any_bit_that_turns_over_is_found() {
        let sealed = seal("account", "a1", "{\"state\":\"active\"}");
        assert_eq!(open("account", "a1", &sealed), Ok("{\"state\":\"active\"}"));
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(text) = String::from_utf8(bytes) {
                assert_eq!(open("account", "a1", &text), Err(Broken), "bit {bit}");
            }
        }
        assert_eq!(open("account", "a3", &sealed), Err(Broken));
        assert_eq!(open("job", "a1", &sealed), Err(Broken));
        assert_eq!(open("account", "a1", ""), Err(Broken));
    }
}
