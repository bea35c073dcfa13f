//! The system calls of a step, as strace(1) lists them between the two marks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::step::MARKS;

/// System calls that wait for the disk to have everything.
const DURABLE: [&str; 4] = ["fsync", "fdatasync", "syncfs", "sync"];

/// How often each system call was made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Calls(BTreeMap<String, u64>);

impl Calls {
    /// Reads what `strace -f -o FILE` wrote.
    pub fn read(file: &Path) -> Self {
        let text = fs::read(file).expect("what strace wrote");
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Self {
        let mut calls = Self::default();
        let inside = text
            .lines()
            .skip_while(|line| !line.contains(MARKS[0]))
            .skip(1)
            .take_while(|line| !line.contains(MARKS[1]));
        for line in inside {
            // `PID  name(arguments…`; a resumed call was counted when it began.
            let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            let Some((name, _)) = call.split_once('(') else {
                continue;
            };
            if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                *calls.0.entry(name.to_owned()).or_default() += 1;
            }
        }
        calls
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Those that wait for the disk.
    pub fn durable(&self) -> u64 {
        DURABLE.iter().filter_map(|name| self.0.get(*name)).sum()
    }

    /// The most frequent, for a person.
    pub fn most(&self, files: usize) -> String {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown = all.iter().take(12).map(|(name, count)| {
            let each = **count as f64 / files as f64;
            format!("{name} {each:.2}")
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_marks_counts_and_once() {
        let text = format!(
            "1 openat(AT_FDCWD, \"x\") = 3\n\
             1 statx(AT_FDCWD, \"{}\", 0) = -1\n\
             1 syncfs(4 <unfinished ...>\n\
             2 read(3, \"(\", 1) = 1\n\
             1 <... syncfs resumed>) = 0\n\
             2 --- SIGIO {{si_signo=SIGIO}} ---\n\
             1 statx(AT_FDCWD, \"{}\", 0) = -1\n\
             1 close(3) = 0\n",
            MARKS[0], MARKS[1]
        );
        let calls = Calls::parse(&text);
        assert_eq!((calls.total(), calls.durable()), (2, 1));
        assert_eq!(calls.most(1), "read 1.00, syncfs 1.00");
    }
}
