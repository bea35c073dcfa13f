//! Names that a person does not want to be synced: `.mooringignore`, in the root of a collection or
//! in any folder below it, written like `.gitignore`.
//!
//! What it names is neither uploaded, downloaded, deleted nor removed: not here, not in the storage.
//! The file itself is synced like any other, so that it says the same on every device; until it
//! has come here, the storage's counts. A line that cannot be understood is told and passed over;
//! a file that cannot be read keeps its folder as it is, because nobody knows what it would say.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::{FileTrouble, about_one_file};
use crate::files::{Files, Kind, Lease};
use crate::place::{os, path};
use crate::state::{Stamp, join, split};

/// The name of the file.
pub const FILE: &str = ".mooringignore";
/// How much of a file is read, in bytes.
pub const MAX_BYTES: u64 = 64 * 1024;
/// How many patterns of a file count.
const MAX_PATTERNS: usize = 1024;
/// The longest line that counts, in bytes.
const MAX_LINE: usize = 1024;
/// How many lines of one file are complained about.
const MAX_TROUBLES: usize = 16;

/// What the files of a folder and of those above it say; `None` where there are none.
pub type Rules = Option<Arc<Level>>;

/// One file, and those above it.
#[derive(Debug)]
pub struct Level {
    /// The folder it lies in, below the collection's root.
    folder: Vec<u8>,
    patterns: Gitignore,
    above: Rules,
}

/// The line that ignores a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, below the collection's root.
    pub file: Vec<u8>,
    /// Its line, from 1; 0 when it is not known.
    pub line: u64,
}

/// A line that does not count, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Where it stands.
    pub at: Origin,
    /// What is wrong with it.
    pub why: String,
}

/// Whether a file in this very folder says anything, and not only those above it.
pub fn is_of(rules: &Rules, folder: &[u8]) -> bool {
    rules.as_ref().is_some_and(|level| level.folder == folder)
}

/// The line that ignores a name of a folder, if one does. What lies below an ignored folder is
/// ignored with it.
pub fn ignores(rules: &Rules, folder: &[u8], name: &[u8], is_dir: bool) -> Option<Origin> {
    if name == FILE.as_bytes() && !is_dir {
        return None;
    }
    let whole = join(folder, name);
    let mut rules = rules.as_ref();
    // The nearest file that says something decides, and in it the last line.
    while let Some(level) = rules {
        let below = match level.folder.as_slice() {
            [] => Some(whole.as_slice()),
            folder => whole
                .strip_prefix(folder)
                .and_then(|rest| rest.strip_prefix(b"/")),
        };
        match below.map(|below| level.patterns.matched(path(below), is_dir)) {
            Some(Match::Ignore(glob)) => {
                let line = glob.from().and_then(|from| from.to_str()?.parse().ok());
                return Some(Origin {
                    file: join(&level.folder, FILE.as_bytes()),
                    line: line.unwrap_or(0),
                });
            }
            Some(Match::Whitelist(_)) => return None,
            Some(Match::None) | None => rules = level.above.as_ref(),
        }
    }
    None
}

/// Reads the file of a folder. Answers the rules from there on, and the lines that do not count.
///
/// # Errors
/// When the disk fails; a trouble when this file cannot be read.
pub fn read<F: Files>(
    files: &F,
    dir: &F::Dir,
    folder: &[u8],
    above: &Rules,
) -> io::Result<Result<(Rules, Vec<BadLine>), FileTrouble>> {
    let trouble = |why: &str| Ok(Err(FileTrouble(format!("{why}: {KEEPS_STILL}"))));
    match read_whole(files, dir) {
        Ok(Some(bytes)) => Ok(parse(folder, &bytes, above)),
        Ok(None) => trouble("a program is writing it"),
        // Gone since it was seen there, too: whoever saves by renaming has it back in a moment.
        Err(e) => match about_one_file(&e) {
            Some(FileTrouble(why)) => trouble(&why),
            None => Err(e),
        },
    }
}

/// The bytes of a folder's file that count, and one more where there are more; `None` while
/// somebody writes to it: half of the rules let go what the other half holds back.
fn read_whole<F: Files>(files: &F, dir: &F::Dir) -> io::Result<Option<Vec<u8>>> {
    let mut file = files.open(dir, OsStr::new(FILE))?;
    let before = files.stat_file(&file)?;
    match files.lease(&file)? {
        Lease::InUse => return Ok(None),
        Lease::Held => files.release(&file),
        Lease::Unsupported => {}
    }
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    let after = files.stat_file(&file)?;
    Ok((Stamp::from(&before) == Stamp::from(&after)).then_some(bytes))
}

/// What a file that cannot be used means.
const KEEPS_STILL: &str = "until it can be read, nothing in its folder is synced or removed";

/// The rules of a file's bytes.
///
/// # Errors
/// When its patterns cannot be used at all.
pub fn parse(
    folder: &[u8],
    bytes: &[u8],
    above: &Rules,
) -> Result<(Rules, Vec<BadLine>), FileTrouble> {
    let file = join(folder, FILE.as_bytes());
    let mut bad = Vec::new();
    let mut complain = |line: usize, why: String| {
        if bad.len() < MAX_TROUBLES {
            let at = Origin {
                file: file.clone(),
                line: line as u64,
            };
            bad.push(BadLine { at, why });
        }
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (text, cut) = bounded(bytes);
    let mut builder = GitignoreBuilder::new("");
    let mut patterns = 0;
    let mut lines = 0;
    for (nr, line) in text
        .split(|b| *b == b'\n')
        .enumerate()
        .map(|(n, l)| (n + 1, l))
    {
        lines = nr;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if line.len() > MAX_LINE {
            complain(nr, format!("longer than {MAX_LINE} bytes"));
            continue;
        }
        let Ok(line) = std::str::from_utf8(line) else {
            complain(nr, "no UTF-8 text".to_owned());
            continue;
        };
        if patterns == MAX_PATTERNS {
            complain(nr, format!("only the first {MAX_PATTERNS} patterns count"));
            break;
        }
        patterns += 1;
        // The number of the line goes where a file's path would: it comes back with a match.
        if let Err(e) = builder.add_line(Some(PathBuf::from(nr.to_string())), line) {
            complain(nr, said(&e));
        }
    }
    if cut {
        complain(lines + 1, format!("only the first {MAX_BYTES} bytes count"));
    }
    let patterns = builder
        .build()
        .map_err(|e| FileTrouble(format!("cannot be used ({}): {KEEPS_STILL}", said(&e))))?;
    let level = Level {
        folder: folder.to_vec(),
        patterns,
        above: above.clone(),
    };
    Ok((Some(Arc::new(level)), bad))
}

/// The whole lines among the bytes that count, and whether there are more.
fn bounded(bytes: &[u8]) -> (&[u8], bool) {
    let max = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
    if bytes.len() <= max {
        return (bytes, false);
    }
    let end = bytes[..max].iter().rposition(|b| *b == b'\n').unwrap_or(0);
    (&bytes[..end], true)
}

/// What is wrong, without the place: that is told by us.
fn said(e: &ignore::Error) -> String {
    match e {
        ignore::Error::WithLineNumber { err, .. }
        | ignore::Error::WithPath { err, .. }
        | ignore::Error::WithDepth { err, .. } => said(err),
        ignore::Error::Glob { err, .. } => err.clone(),
        e => e.to_string(),
    }
}

/// The rules of a folder that is open on one side or both: the file here counts where there is one,
/// else the storage's.
///
/// # Errors
/// As [`read`].
pub fn of_folder<F: Files>(
    files: &F,
    folder: &[u8],
    sides: [Option<&F::Dir>; 2],
    above: &Rules,
) -> io::Result<Result<(Rules, Vec<BadLine>), FileTrouble>> {
    for dir in sides.into_iter().flatten() {
        match files.stat(dir, OsStr::new(FILE)) {
            Ok(stat) if stat.kind == Kind::File => return read(files, dir, folder, above),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return about_one_file(&e).map(Err).ok_or(e),
        }
    }
    Ok(Ok((above.clone(), Vec::new())))
}

/// The line that ignores a path below the roots, or a folder above it. A folder whose rules cannot
/// be read ignores nothing here: a sync tells.
///
/// # Errors
/// When the disk fails.
pub fn on_path<F: Files>(
    files: &F,
    [local, remote]: [&F::Dir; 2],
    below: &[u8],
    is_dir: bool,
) -> io::Result<Option<Origin>> {
    let mut rules = None;
    let ends = below.iter().enumerate().filter(|(_, b)| **b == b'/');
    for end in ends.map(|(at, _)| at).chain([below.len()]) {
        let (folder, name) = split(&below[..end]);
        let [here, there] = [local, remote].map(|root| files.open_dir(root, path(folder)).ok());
        if let Ok((now, _)) = of_folder(files, folder, [here.as_ref(), there.as_ref()], &rules)? {
            rules = now;
        }
        let found = ignores(&rules, folder, name, end < below.len() || is_dir);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Whether a name below an open folder is a folder on either side.
pub fn is_dir<F: Files>(files: &F, [local, remote]: [&F::Dir; 2], below: &[u8]) -> bool {
    let (folder, name) = split(below);
    [local, remote].into_iter().any(|root| {
        files
            .open_dir(root, path(folder))
            .and_then(|dir| files.stat(&dir, os(name)))
            .is_ok_and(|stat| stat.kind == Kind::Dir)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn rules(folder: &str, text: &str, above: &Rules) -> Rules {
        let (rules, bad) = parse(folder.as_bytes(), text.as_bytes(), above).unwrap();
        assert_eq!(bad, []);
        rules
    }

    fn line(rules: &Rules, below: &str, is_dir: bool) -> Option<u64> {
        let (folder, name) = split(below.as_bytes());
        ignores(rules, folder, name, is_dir).map(|origin| origin.line)
    }

    #[test]
    fn patterns_mean_what_they_mean_to_git() {
        let rules = rules("", "# raw\n*.tmp\n!keep.tmp\n/top\nbuild/\r\n", &None);
        assert_eq!(line(&rules, "a.tmp", false), Some(2));
        assert_eq!(line(&rules, "deep/er/a.tmp", false), Some(2));
        assert_eq!(line(&rules, "keep.tmp", false), None);
        assert_eq!(line(&rules, "top", false), Some(4));
        assert_eq!(line(&rules, "deep/top", false), None);
        assert_eq!(line(&rules, "build", false), None);
        assert_eq!(line(&rules, "x/build", true), Some(5));
    }

    #[test]
    fn the_nearest_file_decides_and_never_about_itself() {
        let top = rules("", "*\n", &None);
        assert_eq!(line(&top, FILE, false), None);
        let below = rules("trip", "!*.jpg\n", &top);
        assert_eq!(line(&below, "trip/a.jpg", false), None);
        assert_eq!(line(&below, "trip/a.raw", false), Some(1));
        let origin = ignores(&rules("trip", "/x\n", &None), b"trip", b"x", false).unwrap();
        assert_eq!(origin.file, b"trip/.mooringignore");
        assert_eq!(line(&rules("trip", "/x\n", &None), "trip/y/x", false), None);
    }

    #[test]
    fn names_may_be_any_bytes() {
        let rules = rules("", "*.tmp\n", &None);
        assert!(ignores(&rules, b"\xff", b"\xfe\n.tmp", false).is_some());
    }

    #[test]
    fn a_bad_line_is_named_and_stops_no_other() {
        let (rules, bad) = parse(b"d", b"[z-a]\n\xff\n*.tmp\n", &None).unwrap();
        let at: Vec<_> = bad.iter().map(|bad| bad.at.line).collect();
        assert_eq!(at, [1, 2]);
        assert_eq!(bad[0].at.file, b"d/.mooringignore");
        assert_eq!(line(&rules, "d/x.tmp", false), Some(3));
    }

    #[test]
    fn a_huge_file_is_bounded() {
        let (_, bad) = parse(b"", &b"x\n".repeat(64 * 1024), &None).unwrap();
        assert!(
            bad.iter().any(|bad| bad.why.contains("patterns")),
            "{bad:?}"
        );
        assert!(bad.iter().any(|bad| bad.why.contains("bytes")), "{bad:?}");
        let (_, bad) = parse(b"", &vec![b'x'; 128 * 1024], &None).unwrap();
        assert_eq!(bad.len(), 1);
        let (_, bad) = parse(b"", &b"[z-a]\n".repeat(1000), &None).unwrap();
        assert_eq!(bad.len(), MAX_TROUBLES);
    }
}
