//! Seals small secrets, so that a copy of the broker's state gives none of them away.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with a random nonce of 192 bits: as many may be
//! sealed by one key as will ever be. What is sealed is bound to its account, its kind and its key,
//! so that one row cannot stand in for another.

use std::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize, Zeroizing};

use crate::failure::Failure;
use crate::random;

/// The longest secret that is sealed, in bytes: as long as an identity record may be.
pub const MAX_SECRET_BYTES: usize = mooring_core::identity::MAX_RECORD_BYTES;
/// The bytes of a key.
pub const KEY_BYTES: usize = 32;
/// The bytes of a key's ID, which is written in hexadecimal digits.
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What a key's ID is a hash for (BLAKE3's key derivation): it says nothing about the key.
const ID_CONTEXT: &str = "mooring 2026-11-24 ID of a sealing key";
/// The form of what is sealed; in front of everything that it is bound to.
const FORM: &[u8] = b"mooring sealed 1";

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is longer than [`MAX_SECRET_BYTES`].
    #[error("a secret has {0} bytes; at most {MAX_SECRET_BYTES} are kept")]
    TooLong(usize),
    /// What is sealed was changed, or belongs to another account or key.
    #[error("it was changed, or put into the place of another")]
    Damaged,
    /// It is sealed by a key that is not here.
    #[error("it is sealed by the key {wanted}, and this is the key {given}")]
    OtherKey {
        /// The ID of the key that it is sealed by.
        wanted: String,
        /// The ID of the key that is here.
        given: String,
    },
    /// The bytes are no key.
    #[error("a key has {KEY_BYTES} bytes, and this has {0}")]
    NoKey(usize),
    /// There is no randomness for a nonce.
    #[error("{0}")]
    Random(String),
}

/// What a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An account's identity record: the hashes of its password and of its recovery code.
    IdentityRecord,
}

impl Kind {
    /// The name in the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::IdentityRecord => "identity-record",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        (name == Self::IdentityRecord.name()).then_some(Self::IdentityRecord)
    }
}

/// A key that seals. Wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Key {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    id: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.id).finish()
    }
}

impl Key {
    /// A new one, from the system's generator.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> Result<Self, Failure> {
        Ok(Self::new(Zeroizing::new(random::bytes()?)))
    }

    /// The key of these bytes.
    ///
    /// # Errors
    /// [`Error::NoKey`] when they are not [`KEY_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(Error::NoKey(bytes.len()));
        }
        key.copy_from_slice(bytes);
        Ok(Self::new(key))
    }

    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let mut hash = blake3::derive_key(ID_CONTEXT, &*bytes);
        let id = mooring_core::identity::hex(&hash[..ID_BYTES]);
        hash.zeroize();
        Self { bytes, id }
    }

    /// Its ID, which is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its bytes, for the place that keeps it.
    pub fn bytes(&self) -> &[u8] {
        &*self.bytes
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }

    /// Seals a secret: nonce, tag, and the bytes themselves.
    ///
    /// # Errors
    /// [`Error::TooLong`]; [`Error::Random`].
    pub fn seal(&self, account: &str, kind: Kind, secret: &[u8]) -> Result<Vec<u8>, Error> {
        if secret.len() > MAX_SECRET_BYTES {
            return Err(Error::TooLong(secret.len()));
        }
        let nonce: [u8; NONCE_BYTES] =
            random::bytes().map_err(|failure| Error::Random(failure.to_string()))?;
        // At its full size from the start: a growing buffer would leave the secret behind.
        let mut sealed = Vec::with_capacity(NONCE_BYTES + TAG_BYTES + secret.len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&[0; TAG_BYTES]);
        sealed.extend_from_slice(secret);
        let (head, body) = sealed.split_at_mut(NONCE_BYTES + TAG_BYTES);
        let bound = bound_to(account, kind, &self.id);
        let tag = self
            .cipher()
            .encrypt_inout_detached(&XNonce::from(nonce), &bound, body.into())
            .map_err(|_| Error::TooLong(secret.len()))?;
        head[NONCE_BYTES..].copy_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`Key::seal`] made for the same account and kind.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn open(
        &self,
        account: &str,
        kind: Kind,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (nonce, rest) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(Error::Damaged)?;
        let (tag, body) = rest
            .split_first_chunk::<TAG_BYTES>()
            .ok_or(Error::Damaged)?;
        let mut secret = Zeroizing::new(body.to_vec());
        let bound = bound_to(account, kind, &self.id);
        self.cipher()
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                &bound,
                secret.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .map_err(|_| Error::Damaged)?;
        Ok(secret)
    }
}

/// No part can be taken for a piece of another: none of them contains a zero byte.
fn bound_to(account: &str, kind: Kind, key: &str) -> Vec<u8> {
    let parts = [
        FORM,
        account.as_bytes(),
        kind.name().as_bytes(),
        key.as_bytes(),
    ];
    parts.join(&0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const KIND: Kind = Kind::IdentityRecord;

    fn key(byte: u8) -> Key {
        Key::from_bytes(&[byte; KEY_BYTES]).unwrap()
    }

    #[test]
    fn what_is_sealed_can_be_opened_and_says_nothing() {
        for secret in [&b""[..], b"x", &[b'x'; MAX_SECRET_BYTES]] {
            let sealed = key(1).seal("a1", KIND, secret).unwrap();
            assert_eq!(*key(1).open("a1", KIND, &sealed).unwrap(), secret);
            assert!(secret.len() < 2 || !sealed.windows(8).any(|w| w == &secret[..8]));
            assert_ne!(
                sealed,
                key(1).seal("a1", KIND, secret).unwrap(),
                "a new nonce"
            );
        }
        let long = [0; MAX_SECRET_BYTES + 1];
        let error = key(1).seal("a1", KIND, &long).unwrap_err();
        assert_eq!(error, Error::TooLong(long.len()));
    }

    #[test]
    fn any_bit_counts_and_so_do_the_account_and_the_key() {
        let sealed = key(1).seal("a1", KIND, b"secret").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut other = sealed.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(1).open("a1", KIND, &other), Err(Error::Damaged));
        }
        for end in 0..sealed.len() {
            assert_eq!(key(1).open("a1", KIND, &sealed[..end]), Err(Error::Damaged));
        }
        assert_eq!(key(1).open("a2", KIND, &sealed), Err(Error::Damaged));
        assert_eq!(key(2).open("a1", KIND, &sealed), Err(Error::Damaged));
    }

    #[test]
    fn a_key_is_named_and_not_shown() {
        let bytes = [0x5a; KEY_BYTES];
        let key = Key::from_bytes(&bytes).unwrap();
        assert_eq!(key.id().len(), 2 * ID_BYTES);
        assert!(!format!("{key:?}").contains("5a5a") && !format!("{key:?}").contains("90, 90"));
        assert_ne!(key.id(), Key::random().unwrap().id());
        for wrong in [0, KEY_BYTES - 1, KEY_BYTES + 1] {
            assert!(Key::from_bytes(&vec![0; wrong]).is_err());
        }
    }

    /// What libsodium sealed (`crypto_aead_xchacha20poly1305_ietf`, with the ID by b3sum) is opened.
    #[test]
    fn an_independent_sealing_is_opened() {
        let tag = [
            0x38, 0x11, 0x3d, 0xad, 0x97, 0x2d, 0x53, 0x03, 0x8e, 0x9d, 0x7d, 0x8f, 0xd4, 0x91,
            0xce, 0x42,
        ];
        let body = [0xbf, 0x03, 0x55, 0x9d, 0xcf, 0x03];
        let sealed = [&[2; NONCE_BYTES][..], &tag, &body].concat();
        assert_eq!(key(1).id(), "adc826ac06bc7ef7");
        assert_eq!(*key(1).open("a1", KIND, &sealed).unwrap(), b"secret");
    }
}
