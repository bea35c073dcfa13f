//! What to do about one name that two sides have, and that they once agreed on.
//!
//! [`decide`] is pure: it looks at what is known and answers one operation, or asks for a hash it
//! needs to know first. No answer ever destroys content that exists on one side only.

/// A BLAKE3 hash of a file's bytes.
pub type Hash = [u8; 32];

/// What both sides last agreed on. A pair, because servers may rewrite what they store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The bytes here.
    pub local: Hash,
    /// The bytes there.
    pub remote: Hash,
}

/// What one side has under the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nothing. The listing was complete: a failed or partial listing is no reason to decide.
    Absent,
    /// The very file that was agreed on, by its stamp.
    AsAgreed,
    /// A file of which only its presence is known so far.
    Unhashed,
    /// A file with these bytes.
    Content(Hash),
}

/// Which operations are allowed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The account is being brought: both ways, and no deletion. What was here or there before
    /// and is not any more is a question for a person.
    Arriving,
    /// The account is in use: both ways.
    Active,
    /// The account is leaving: nothing is downloaded or deleted here any more.
    Leaving,
}

/// Why a name is held: it is neither uploaded nor deleted until a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Deleted here, still there.
    DeletedHere,
    /// Deleted there, still here.
    DeletedThere,
}

/// What to do about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Find out the bytes of the sides that are [`Side::Unhashed`], and ask again.
    Hash,
    /// Record that both sides agree; move no bytes.
    Adopt,
    /// Carry the local bytes over. The remote side must still be absent, or as agreed.
    Upload,
    /// Carry the remote bytes over. The local side must still be absent, or as agreed.
    Download,
    /// Both sides have content of their own: give the local file the name of a conflict copy.
    /// Both names are ordinary files from then on.
    SetAside,
    /// Carry the deletion that happened there over: the local file goes into the trash.
    DeleteLocal,
    /// Carry the deletion that happened here over: the remote file goes into the trash.
    DeleteRemote,
    /// Do nothing and tell the person.
    Hold(Held),
    /// Both sides let go of it: forget the agreement.
    Forget,
}

/// What to do about a name; `None` when nothing is to be done.
pub fn decide(local: Side, remote: Side, agreed: Option<Agreed>, phase: Phase) -> Option<Op> {
    let local = settle(local, agreed.map(|a| a.local));
    let remote = settle(remote, agreed.map(|a| a.remote));
    let op = match (local, remote) {
        (Side::Absent, Side::Absent) => return agreed.map(|_| Op::Forget),
        (Side::AsAgreed, Side::AsAgreed) => return None,

        (Side::Absent, Side::AsAgreed) => Op::DeleteRemote,
        (Side::AsAgreed, Side::Absent) => Op::DeleteLocal,

        // Only a hash tells an edit from a touch, and equality from a conflict. A name that one
        // side alone ever had needs none: carrying it over finds the hash.
        (Side::Unhashed, Side::Absent) | (Side::Absent, Side::Unhashed) if agreed.is_none() => {
            if local == Side::Absent {
                Op::Download
            } else {
                Op::Upload
            }
        }
        (Side::Unhashed, _) | (_, Side::Unhashed) => Op::Hash,

        (Side::Content(_), Side::Absent | Side::AsAgreed) => Op::Upload,
        (Side::Absent | Side::AsAgreed, Side::Content(_)) => Op::Download,
        (Side::Content(here), Side::Content(there)) => {
            if here == there {
                Op::Adopt
            } else {
                Op::SetAside
            }
        }
    };
    match phase {
        Phase::Arriving => Some(held(op)),
        Phase::Active => Some(op),
        Phase::Leaving => leaving(held(op), local),
    }
}

/// The operation with its deletion, if it is one, held.
pub fn held(op: Op) -> Op {
    match op {
        Op::DeleteRemote => Op::Hold(Held::DeletedHere),
        Op::DeleteLocal => Op::Hold(Held::DeletedThere),
        op => op,
    }
}

/// How many deletions may be carried over in a rolling day without a question: the larger of 20
/// and a tenth of the files, but never more than 200.
pub fn deletions_allowed(files: u64) -> u64 {
    const LEAST: u64 = 20;
    const MOST: u64 = 200;
    (files / 10).clamp(LEAST, MOST)
}

/// A file whose bytes turn out to be the agreed ones was merely touched.
fn settle(side: Side, agreed: Option<Hash>) -> Side {
    match (side, agreed) {
        (Side::Content(hash), Some(agreed)) if hash == agreed => Side::AsAgreed,
        (side, _) => side,
    }
}

/// The operations of a leaving account: none that writes or deletes here.
fn leaving(op: Op, local: Side) -> Option<Op> {
    match op {
        Op::Download if local == Side::Absent => None,
        // The storage has newer bytes, so ours have no copy any more: they need a name of their
        // own before they can be uploaded.
        Op::Download => Some(Op::SetAside),
        // Nothing is here to be removed, so nothing has to be done.
        Op::Hold(Held::DeletedHere) => None,
        op => Some(op),
    }
}

/// What a conflict copy's name contains, behind the file's own.
const CONFLICT_MARK: &str = " (conflict ";
/// The longest name that Linux filesystems take, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;
/// The longest part of a device's name that goes into a conflict copy's name, in bytes.
const DEVICE_MAX: usize = 32;

/// Whether a name is that of a conflict copy. A copy is never copied again.
pub fn is_conflict_copy(name: &[u8]) -> bool {
    name.windows(CONFLICT_MARK.len())
        .any(|w| w == CONFLICT_MARK.as_bytes())
}

/// What a conflict copy's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictName {
    /// The name of the file it is a version of; cut short where it was long.
    pub original: Vec<u8>,
    /// The device that kept it.
    pub device: String,
    /// The day it was kept, `YYYY-MM-DD`.
    pub date: String,
}

/// Takes a conflict copy's name apart; `None` when it is another name.
pub fn conflict_parts(name: &[u8]) -> Option<ConflictName> {
    let mark = CONFLICT_MARK.as_bytes();
    let start = name.windows(mark.len()).position(|w| w == mark)?;
    let (stem, rest) = (&name[..start], &name[start + mark.len()..]);
    let end = rest.iter().position(|b| *b == b')')?;
    let inner = std::str::from_utf8(&rest[..end]).ok()?;
    let mut words = inner.split(' ');
    let (device, date, hash) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some(ConflictName {
        original: [stem, &rest[end + 1..]].concat(),
        device: device.to_owned(),
        date: date.to_owned(),
    })
}

/// The name of a conflict copy: `stem (conflict DEVICE DATE HASH).ext`, at most 255 bytes.
///
/// `date` is `YYYY-MM-DD`; `digits` is how much of the hash goes in, 8 where it suffices.
pub fn conflict_name(name: &[u8], device: &str, date: &str, hash: &Hash, digits: usize) -> Vec<u8> {
    let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    let device: String = device
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '-' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .scan(0, |used, c| {
            *used += c.len_utf8();
            (*used <= DEVICE_MAX).then_some(c)
        })
        .collect();
    let mark = format!(
        "{CONFLICT_MARK}{device} {date} {})",
        &hex[..digits.min(hex.len())]
    );
    marked_name(name, &mark)
}

/// A name with a mark behind its stem, `stemMARK.ext`, at most 255 bytes.
pub fn marked_name(name: &[u8], mark: &str) -> Vec<u8> {
    // A leading dot is part of the stem: `.profile` has no extension.
    let dot = name
        .iter()
        .rposition(|&b| b == b'.')
        .filter(|&at| at > 0)
        .unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let room = NAME_MAX.saturating_sub(mark.len());
    let extension = &extension[..extension.len().min(room / 2)];
    let mut out = shorten(stem, room - extension.len()).to_vec();
    out.extend_from_slice(mark.as_bytes());
    out.extend_from_slice(extension);
    out
}

/// At most `max` bytes of a name, not cutting through a UTF-8 character.
fn shorten(name: &[u8], max: usize) -> &[u8] {
    if name.len() <= max {
        return name;
    }
    let mut end = max;
    while end > 0 && name[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const A: Hash = [1; 32];
    const B: Hash = [2; 32];
    const C: Hash = [3; 32];
    const PAIR: Option<Agreed> = Some(Agreed {
        local: A,
        remote: A,
    });

    fn active(local: Side, remote: Side, agreed: Option<Agreed>) -> Option<Op> {
        decide(local, remote, agreed, Phase::Active)
    }

    #[test]
    fn the_table() {
        use Side::{Absent, AsAgreed, Content, Unhashed};
        let table = [
            (Content(B), Content(B), None, Some(Op::Adopt)),
            (Content(B), Content(B), PAIR, Some(Op::Adopt)),
            (Unhashed, Absent, None, Some(Op::Upload)),
            (Absent, Unhashed, None, Some(Op::Download)),
            (Unhashed, AsAgreed, PAIR, Some(Op::Hash)),
            (Unhashed, Unhashed, None, Some(Op::Hash)),
            (Content(B), AsAgreed, PAIR, Some(Op::Upload)),
            (Content(A), AsAgreed, PAIR, None),
            (AsAgreed, Content(B), PAIR, Some(Op::Download)),
            (Content(B), Content(C), PAIR, Some(Op::SetAside)),
            (Content(B), Content(C), None, Some(Op::SetAside)),
            (Content(B), Absent, PAIR, Some(Op::Upload)),
            (Absent, Content(B), PAIR, Some(Op::Download)),
            (Content(A), Absent, PAIR, Some(Op::DeleteLocal)),
            (Absent, AsAgreed, PAIR, Some(Op::DeleteRemote)),
            (Absent, Absent, PAIR, Some(Op::Forget)),
            (Absent, Absent, None, None),
        ];
        for (local, remote, agreed, expected) in table {
            assert_eq!(
                active(local, remote, agreed),
                expected,
                "{local:?} {remote:?} {agreed:?}"
            );
        }
    }

    #[test]
    fn deletions_are_carried_only_by_an_account_in_use() {
        let gone_here = (Side::Absent, Side::AsAgreed);
        let gone_there = (Side::AsAgreed, Side::Absent);
        let ask = |(local, remote), phase| decide(local, remote, PAIR, phase);
        let hold = |held| Some(Op::Hold(held));
        assert_eq!(ask(gone_here, Phase::Arriving), hold(Held::DeletedHere));
        assert_eq!(ask(gone_there, Phase::Arriving), hold(Held::DeletedThere));
        assert_eq!(ask(gone_here, Phase::Leaving), None);
        assert_eq!(ask(gone_there, Phase::Leaving), hold(Held::DeletedThere));
        assert_eq!(deletions_allowed(0), 20);
        assert_eq!(deletions_allowed(1_000), 100);
        assert_eq!(deletions_allowed(u64::MAX), 200);
    }

    #[test]
    fn conflict_names_fit_and_keep_the_extension() {
        let name = conflict_name(b"beach.jpg", "laptop", "2026-11-24", &A, 8);
        assert_eq!(name, b"beach (conflict laptop 2026-11-24 01010101).jpg");
        assert!(is_conflict_copy(&name) && !is_conflict_copy(b"beach.jpg"));

        let long = "ä".repeat(127).into_bytes();
        let name = conflict_name(&long, "a/b\n", "2026-11-24", &A, 8);
        assert!(name.len() <= NAME_MAX && std::str::from_utf8(&name).is_ok());
        assert!(!name.contains(&b'/') && !name.contains(&b'\n'));

        let parts = conflict_parts(b"beach (conflict laptop 2026-11-24 01010101).jpg").unwrap();
        assert_eq!(parts.original, b"beach.jpg");
        assert_eq!((&*parts.device, &*parts.date), ("laptop", "2026-11-24"));
        for other in ["beach.jpg", "a (conflict b", "a (conflict of interest).odt"] {
            assert_eq!(conflict_parts(other.as_bytes()), None, "{other}");
        }

        let only_extension = [b".".to_vec(), vec![b'x'; 254]].concat();
        assert!(conflict_name(&only_extension, "d", "2026-11-24", &A, 64).len() <= NAME_MAX);
        let long_extension = [b"a.".to_vec(), vec![b'x'; 253]].concat();
        assert!(conflict_name(&long_extension, "d", "2026-11-24", &A, 8).len() <= NAME_MAX);
    }
}
