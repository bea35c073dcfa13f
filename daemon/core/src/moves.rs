//! Files that were moved or renamed on one side: a name that is gone and a new name with the same
//! bytes. Pure: what is known goes in, pairs come out.
//!
//! Size, time and mode only say which new names are worth a look; the bytes decide. Where several
//! files have the same bytes, any pairing is right.

use std::collections::{HashMap, HashSet};

use crate::sync::Hash;

/// What tells a file that was moved from others, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    /// Bytes.
    pub size: u64,
    /// Modification time, in nanoseconds.
    pub mtime: i64,
    /// The permission bits that are carried.
    pub mode: u32,
}

/// A new name, and what is known about its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Its bytes are these.
    Read(Trace, Hash),
    /// It could not be read now.
    Unreadable(Trace),
    /// It was not worth a look.
    Other,
}

/// What becomes of names that are gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// A name that is gone, and the new name that has its bytes, by their places in the lists.
    pub moved: Vec<(usize, usize)>,
    /// Names that are gone and may be what could not be read: neither moved nor deleted now.
    pub waiting: HashSet<usize>,
}

/// The new names that may be one of those that are gone, by their places in the list.
pub fn worth_reading(lost: &[Option<(Trace, Hash)>], found: &[Trace]) -> Vec<usize> {
    let known: HashSet<Trace> = lost.iter().flatten().map(|(trace, _)| *trace).collect();
    (0..found.len())
        .filter(|nr| known.contains(&found[*nr]))
        .collect()
}

/// Pairs names that are gone with new names of the same bytes. No name is in two pairs.
pub fn pairs(lost: &[Option<(Trace, Hash)>], found: &[Found]) -> Pairs {
    let mut by_bytes: HashMap<(Trace, Hash), Vec<usize>> = HashMap::new();
    let mut unreadable = HashSet::new();
    // From the last to the first, so that `pop` gives the first.
    for (nr, found) in found.iter().enumerate().rev() {
        match found {
            Found::Read(trace, hash) => by_bytes.entry((*trace, *hash)).or_default().push(nr),
            Found::Unreadable(trace) => {
                unreadable.insert(*trace);
            }
            Found::Other => {}
        }
    }
    let mut pairs = Pairs::default();
    for (nr, lost) in lost.iter().enumerate() {
        let Some((trace, hash)) = lost else { continue };
        match by_bytes.get_mut(&(*trace, *hash)).and_then(Vec::pop) {
            Some(found) => pairs.moved.push((nr, found)),
            None if unreadable.contains(trace) => {
                pairs.waiting.insert(nr);
            }
            None => {}
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Hash = [1; 32];
    const B: Hash = [2; 32];

    fn trace(size: u64) -> Trace {
        Trace {
            size,
            mtime: 7,
            mode: 0o644,
        }
    }

    #[test]
    fn only_equal_bytes_are_a_pair() {
        let lost = [Some((trace(1), A)), Some((trace(1), B)), None];
        let found = [Found::Other, Found::Read(trace(1), B)];
        assert_eq!(pairs(&lost, &found).moved, [(1, 1)]);
        assert!(pairs(&lost, &[Found::Read(trace(2), A)]).moved.is_empty());
    }

    #[test]
    fn no_name_is_in_two_pairs() {
        let lost = [Some((trace(1), A)), Some((trace(1), A))];
        let one = [Found::Read(trace(1), A)];
        assert_eq!(pairs(&lost, &one).moved, [(0, 0)]);
        let three = [Found::Read(trace(1), A); 3];
        assert_eq!(pairs(&lost, &three).moved, [(0, 0), (1, 1)]);
    }

    #[test]
    fn what_cannot_be_read_keeps_its_likes_waiting() {
        let lost = [Some((trace(1), A)), Some((trace(2), B))];
        let pairs = pairs(&lost, &[Found::Unreadable(trace(1))]);
        assert_eq!(pairs.waiting, HashSet::from([0]));
        assert!(pairs.moved.is_empty());
    }

    #[test]
    fn what_differs_in_size_time_or_mode_is_not_read() {
        let lost = [Some((trace(1), A))];
        let other_time = Trace {
            mtime: 8,
            ..trace(1)
        };
        let other_mode = Trace {
            mode: 0o600,
            ..trace(1)
        };
        let found = [trace(2), other_time, trace(1), other_mode];
        assert_eq!(worth_reading(&lost, &found), [2]);
    }
}
