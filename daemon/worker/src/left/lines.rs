//! The list of what is left, held to a length that a receipt can have.

use std::collections::BTreeMap;

use mooring_core::receipt::readable;
use mooring_wire::Left;

/// The most that one list takes in a receipt, in bytes: some thousand names. Beyond it, what lies
/// deepest is told by its folder, with how many names that are.
const MAX_BYTES: usize = 256 * 1024;
/// What a line takes besides its path and its reason, in bytes.
const AROUND: usize = 48;

/// A line: a path, whether it stands for names below it, and the reason.
type Line = (Vec<u8>, bool, String);

/// Lines of a list, and how many names each stands for.
pub(super) struct Lines {
    lines: BTreeMap<Line, u64>,
    bytes: usize,
    /// The folder that all lie below.
    root: Vec<u8>,
    /// Names that lie deeper are told by their folder.
    deepest: usize,
}

impl Lines {
    /// An empty list of what lies below a folder.
    pub(super) fn below(root: &[u8]) -> Self {
        Self {
            lines: BTreeMap::new(),
            bytes: 0,
            root: root.to_vec(),
            deepest: usize::MAX,
        }
    }

    /// Names what is left, and why.
    pub(super) fn add(&mut self, path: Vec<u8>, reason: impl Into<String>) {
        self.insert((path, false, reason.into()), 1);
        while self.bytes > MAX_BYTES && self.deepest > depth(&self.root) {
            self.fold();
        }
    }

    fn insert(&mut self, (mut path, mut folded, reason): Line, names: u64) {
        if depth(&path) > self.deepest {
            let end = path.iter().enumerate().filter(|(_, b)| **b == b'/');
            let end = end.map(|(at, _)| at).nth(self.deepest);
            path.truncate(end.unwrap_or(path.len()));
            folded = true;
        }
        let line = (path, folded, reason);
        match self.lines.get_mut(&line) {
            Some(count) => *count += names,
            None => {
                self.bytes += length(&line);
                self.lines.insert(line, names);
            }
        }
    }

    /// Tells the deepest lines by their folders.
    fn fold(&mut self) {
        let deepest = self.lines.keys().map(|(path, ..)| depth(path)).max();
        self.deepest = deepest
            .unwrap_or_default()
            .saturating_sub(1)
            .max(depth(&self.root));
        self.bytes = 0;
        for (line, names) in std::mem::take(&mut self.lines) {
            self.insert(line, names);
        }
    }

    /// The list, in the order of the paths.
    pub(super) fn into_left(self) -> Vec<Left> {
        let told = |((path, folded, reason), names): (Line, u64)| Left {
            path,
            reason: match (folded, names) {
                (false, _) => reason,
                (true, 1) => format!("1 name in this folder: {reason}"),
                (true, _) => format!("{names} names in this folder and below it: {reason}"),
            },
        };
        self.lines.into_iter().map(told).collect()
    }
}

fn depth(path: &[u8]) -> usize {
    path.iter().filter(|b| **b == b'/').count()
}

/// The bytes of a line in a receipt, where bytes other than UTF-8, backslashes and quotes take more.
fn length((path, _, reason): &Line) -> usize {
    let path = readable(path);
    let escaped = path.chars().filter(|c| matches!(c, '\\' | '"')).count();
    AROUND + path.len() + escaped + reason.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(left: &[Left]) -> usize {
        let line = |l: &Left| length(&(l.path.clone(), false, l.reason.clone()));
        left.iter().map(line).sum()
    }

    #[test]
    fn a_short_list_names_everything() {
        let mut lines = Lines::below(b"/home/a/Photos");
        lines.add(b"/home/a/Photos/z".to_vec(), "a link");
        lines.add(b"/home/a/Photos/trip/a".to_vec(), "a FIFO");
        let left = lines.into_left();
        let told: Vec<_> = left.iter().map(|l| (&l.path[..], &*l.reason)).collect();
        let expected: [(&[u8], &str); 2] = [
            (b"/home/a/Photos/trip/a", "a FIFO"),
            (b"/home/a/Photos/z", "a link"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_long_list_tells_folders_and_loses_no_name() {
        let mut lines = Lines::below(b"/home/a/Photos");
        lines.add(b"/home/a/Photos/near".to_vec(), "a link");
        for nr in 0..200_000 {
            let folder = nr % 7;
            lines.add(
                format!("/home/a/Photos/deep/{folder}/\\{nr}\"").into_bytes(),
                "a link",
            );
        }
        let left = lines.into_left();
        assert!(total(&left) <= MAX_BYTES + AROUND, "{}", total(&left));
        assert!(left.iter().any(|l| l.path == b"/home/a/Photos/near"));
        let names: u64 = left
            .iter()
            .map(|l| match l.reason.split_once(' ') {
                Some((count, _)) => count.parse().unwrap_or(1),
                None => 1,
            })
            .sum();
        assert_eq!(names, 200_001, "{left:?}");
    }

    #[test]
    fn at_worst_one_line_a_reason_is_left() {
        let mut lines = Lines::below(b"/r");
        for nr in 0..100_000 {
            lines.add(format!("/r/{nr}/x").into_bytes(), "a link");
        }
        let left = lines.into_left();
        assert_eq!(left.len(), 1, "{}", left.len());
        assert_eq!(left[0].path, b"/r");
        assert_eq!(
            left[0].reason,
            "100000 names in this folder and below it: a link"
        );
    }
}
