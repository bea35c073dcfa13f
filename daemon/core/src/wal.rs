//! A look at SQLite's write-ahead log (https://www.sqlite.org/fileformat2.html#walformat) before
//! SQLite looks. It believes the log up to the first frame whose checksum is wrong and says nothing of
//! the rest, so that one bit could take back what was committed. A power cut makes such an end, too,
//! but only within the last commit: each is durable before the next one begins.

use std::io::{self, Read};

/// Bytes of the log's head.
const HEAD: usize = 32;
/// Bytes of a frame's head.
const FRAME_HEAD: usize = 24;
/// The first bytes of a log, but for the last bit: that says how its checksums are counted.
const MAGIC: u32 = 0x377f_0682;
/// The only version there is.
const VERSION: u32 = 3_007_000;
/// The largest page of SQLite, in bytes; a smaller one is a power of two.
const MAX_PAGE: usize = 65_536;
const MIN_PAGE: usize = 512;

/// How a log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// All that was committed is there.
    Whole,
    /// Its last commit is not whole, as a power cut leaves it: SQLite takes it for never made.
    Torn,
    /// What was committed and durable is not there any more, from this frame on; 0 for the head.
    Rotten(u64),
}

/// What is to be said of a log that is [`Standing::Torn`].
pub const TORN: &str = "the last change of the state was not durable when the machine went down; it \
                        counts as never made";

/// What is to be said of a log that is [`Standing::Rotten`] from this frame on.
pub fn rotten(frame: u64) -> String {
    format!("its log has changes that went bad, from number {frame} on")
}

/// Reads a log to its end.
///
/// # Errors
/// Those of the reading.
pub fn look(mut log: impl Read) -> io::Result<Standing> {
    let mut head = [0; HEAD];
    if !fill(&mut log, &mut head)? {
        return Ok(Standing::Whole);
    }
    let Some((mut chain, page)) = Chain::begin(&head) else {
        // The head was durable before any frame was written.
        let more = log.read(&mut [0; 1])? > 0;
        return Ok(if more {
            Standing::Rotten(0)
        } else {
            Standing::Whole
        });
    };
    let mut frame = vec![0; FRAME_HEAD + page];
    let mut number = 0;
    // The frame from which on nothing is believed, and whether a commit ended there or later.
    let mut broken = None;
    let mut ended = false;
    while fill(&mut log, &mut frame)? {
        number += 1;
        if broken.is_none() && chain.continues_with(&frame) {
            continue;
        }
        let first = *broken.get_or_insert(number);
        if !is_of(&head, &frame) {
            // One of the log's life before.
            continue;
        }
        if ended {
            return Ok(Standing::Rotten(first));
        }
        ended = word(&frame, 4) != 0;
    }
    Ok(if ended {
        Standing::Torn
    } else {
        Standing::Whole
    })
}

/// The checksum so far.
struct Chain {
    sum: (u32, u32),
    big_endian: bool,
    salts: [u8; 8],
}

impl Chain {
    /// Nothing where the head is none.
    fn begin(head: &[u8; HEAD]) -> Option<(Self, usize)> {
        let magic = word(head, 0);
        let page = usize::try_from(word(head, 8)).ok()?;
        let sound = magic & !1 == MAGIC
            && word(head, 4) == VERSION
            && (MIN_PAGE..=MAX_PAGE).contains(&page)
            && page.is_power_of_two();
        let mut chain = Self {
            sum: (0, 0),
            big_endian: magic & 1 == 1,
            salts: head[16..24].try_into().ok()?,
        };
        chain.add(&head[..24]);
        (sound && chain.is_sum(&head[24..])).then_some((chain, page))
    }

    fn continues_with(&mut self, frame: &[u8]) -> bool {
        let before = self.sum;
        self.add(&frame[..8]);
        self.add(&frame[FRAME_HEAD..]);
        let valid = frame[8..16] == self.salts && word(frame, 0) != 0 && self.is_sum(&frame[16..]);
        if !valid {
            self.sum = before;
        }
        valid
    }

    fn add(&mut self, bytes: &[u8]) {
        let read = |bytes: &[u8]| match self.big_endian {
            true => word(bytes, 0),
            false => word(bytes, 0).swap_bytes(),
        };
        let (mut one, mut two) = self.sum;
        for pair in bytes.chunks_exact(8) {
            one = one.wrapping_add(read(pair)).wrapping_add(two);
            two = two.wrapping_add(read(&pair[4..])).wrapping_add(one);
        }
        self.sum = (one, two);
    }

    fn is_sum(&self, bytes: &[u8]) -> bool {
        (word(bytes, 0), word(bytes, 4)) == self.sum
    }
}

/// Whether a frame is of this life of the log. Both salts change from one to the next, and a bit that
/// turned over is in one of them.
fn is_of(head: &[u8; HEAD], frame: &[u8]) -> bool {
    head[16..20] == frame[8..12] || head[20..24] == frame[12..16]
}

/// Four bytes as a number; the log's own are big-endian.
fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    four.map_or(0, u32::from_be_bytes)
}

/// Fills the whole buffer; `false` where the log ends before.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_log_is_rotten_and_none_is_whole() -> io::Result<()> {
        assert_eq!(look(&b""[..])?, Standing::Whole);
        assert_eq!(look(&[7; HEAD][..])?, Standing::Whole);
        assert_eq!(look(&[7; 5000][..])?, Standing::Rotten(0));
        Ok(())
    }
}
