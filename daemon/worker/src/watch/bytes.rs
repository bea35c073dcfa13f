//! The bytes that one worker leaves to the next: numbers, and byte strings with their lengths.
//! Whoever reads them trusts nothing: a length is no more than what is there.

/// The most that is left; a watch that needs more stays with its worker.
pub const MAX: usize = 64 * 1024 * 1024;

/// Bytes that are being written.
#[derive(Debug, Default)]
pub struct Out(Vec<u8>);

impl Out {
    /// A number.
    pub fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// How many of something follow.
    pub fn count(&mut self, count: usize) {
        // No machine has an address space of more than 64 bits.
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// All of it; `None` when it is too much.
    pub fn finish(self) -> Option<Vec<u8>> {
        (self.0.len() <= MAX).then_some(self.0)
    }
}

/// Bytes that are being read; `None` from anything when they are not what they should be.
#[derive(Debug)]
pub struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    /// Reads from the start of these.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    /// How many follow: no more than `most`.
    pub fn count(&mut self, most: usize) -> Option<usize> {
        usize::try_from(self.number()?)
            .ok()
            .filter(|count| *count <= most)
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count(self.0.len())?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Yes or no.
    pub fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Checks that nothing follows.
    pub fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lengths_and_flags_are_held_to_what_is_there() {
        let mut out = Out::default();
        out.bytes(b"path");
        out.number(2);
        out.count(7);
        let bytes = out.finish().unwrap();
        let mut all = In::new(&bytes);
        assert_eq!(all.bytes(), Some(&b"path"[..]));
        assert_eq!(all.flag(), None);
        assert_eq!(all.count(6), None);
        all.end().unwrap();
        for cut in 0..12 {
            assert_eq!(In::new(&bytes[..cut]).bytes(), None);
        }
        assert_eq!(In::new(&[0xff; 8]).bytes(), None);
        assert!(In::new(b"more").end().is_none());
        assert!(Out(vec![0; MAX + 1]).finish().is_none());
    }
}
