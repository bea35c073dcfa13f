//! A configuration file as text, and what is wrong in it, to the line and column.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::receipt::readable;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 64 * 1024;
/// The most problems told of one file; one more says how many there are besides.
pub const MAX_PROBLEMS: usize = 50;

/// The byte order mark that some editors put before the text.
const BOM: char = '\u{feff}';

/// A file of policy or settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where it lies, for people to find it.
    pub path: String,
    /// All of its text.
    pub text: String,
}

impl Source {
    /// A source from the bytes of a file.
    ///
    /// Read at least one byte more than [`MAX_FILE_BYTES`], so that a longer file is noticed.
    ///
    /// # Errors
    /// When there are more than [`MAX_FILE_BYTES`], or they are not UTF-8.
    pub fn from_bytes(path: &str, bytes: &[u8]) -> Result<Self, Problem> {
        let within = &bytes[..bytes.len().min(MAX_FILE_BYTES)];
        let text = match std::str::from_utf8(within) {
            Ok(text) => text,
            // A character that the bound cuts in two is the fault of the size.
            Err(error) if bytes.len() > MAX_FILE_BYTES && error.error_len().is_none() => {
                return Err(too_large(path, &String::from_utf8_lossy(within)));
            }
            Err(error) => {
                let valid = String::from_utf8_lossy(&within[..error.valid_up_to()]);
                let message = "this is not UTF-8: save the file as UTF-8 text".to_owned();
                return Err(Problem::at(path, &valid, valid.len(), message));
            }
        };
        if bytes.len() > MAX_FILE_BYTES {
            return Err(too_large(path, text));
        }
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
        })
    }

    /// A problem at a byte of this source.
    pub(crate) fn problem(&self, offset: usize, message: String) -> Problem {
        Problem::at(&self.path, &self.text, offset, message)
    }

    /// The line that a byte is in, counted from 1.
    pub(crate) fn line(&self, offset: usize) -> u32 {
        position(&self.text, offset).0
    }

    /// The problem of a text beyond the bound, if it is.
    pub(crate) fn oversize(&self) -> Option<Problem> {
        (self.text.len() > MAX_FILE_BYTES).then(|| too_large(&self.path, &self.text))
    }
}

fn too_large(path: &str, text: &str) -> Problem {
    let message = format!(
        "the file is larger than {} KiB, which is all that is read: split it",
        MAX_FILE_BYTES / 1024
    );
    Problem::at(path, text, MAX_FILE_BYTES.min(text.len()), message)
}

/// Something wrong in a file: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as [`Source::path`] named it.
    pub file: String,
    /// The line, counted from 1; 0 when it concerns the whole file.
    pub line: u32,
    /// The column in characters, counted from 1; 0 when it concerns the whole file.
    pub column: u32,
    /// What is wrong and what to do, on one line.
    pub message: String,
}

impl Problem {
    /// A problem of a file as a whole: it cannot be opened, it has the wrong owner.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message: message.into(),
        }
    }

    fn at(file: &str, text: &str, offset: usize, message: String) -> Self {
        let (line, column) = position(text, offset);
        Self {
            file: file.to_owned(),
            line,
            column,
            message,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = readable(self.file.as_bytes());
        match self.line {
            0 => write!(f, "{file}: {}", self.message),
            line => write!(f, "{file}:{line}:{}: {}", self.column, self.message),
        }
    }
}

impl std::error::Error for Problem {}

/// Line and column of a byte, both counted from 1, the column in characters.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    // No editor shows the mark, so it is no column.
    let column = before[start..].chars().filter(|c| *c != BOM).count() + 1;
    (
        u32::try_from(line).unwrap_or(u32::MAX),
        u32::try_from(column).unwrap_or(u32::MAX),
    )
}

/// A text of a file as it is quoted in a message: short, on one line, without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 40;
    let short: String = text.chars().take(MOST).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{rest}`", short.escape_debug())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "\u{feff}aé\nb\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 3), (1, 1));
        assert_eq!(position(text, 6), (1, 3));
        assert_eq!(position(text, 7), (2, 1));
        assert_eq!(position(text, 500), (3, 1));
        assert_eq!(position("é", 1), (1, 1));
        assert_eq!(position("", 0), (1, 1));
    }

    #[test]
    fn bytes_are_refused_where_they_stop_being_text() {
        let problem = Source::from_bytes("p.toml", b"ok\nab\xff").unwrap_err();
        assert_eq!((problem.line, problem.column), (2, 3));
        let problem = Source::from_bytes("p.toml", b"cut \xc3").unwrap_err();
        assert!(problem.message.contains("not UTF-8"), "{problem}");
    }

    #[test]
    fn the_bound_is_on_the_byte() {
        let fits = vec![b'#'; MAX_FILE_BYTES];
        assert_eq!(Source::from_bytes("p", &fits).unwrap().oversize(), None);
        let mut over = fits;
        over.push(b'#');
        let problem = Source::from_bytes("p", &over).unwrap_err();
        assert!(
            problem
                .to_string()
                .starts_with("p:1:65537: the file is larger than 64 KiB")
        );
        // A character across the bound is still the size's fault.
        let mut across = vec![b'#'; MAX_FILE_BYTES - 1];
        across.extend("é".as_bytes());
        let problem = Source::from_bytes("p", &across).unwrap_err();
        assert!(problem.message.contains("larger"), "{problem}");
    }

    #[test]
    fn a_problem_is_one_line_whatever_the_path() {
        let problem = Problem::of_file("/etc/a\nb", "cannot be opened");
        assert_eq!(problem.to_string(), "/etc/a\\x0ab: cannot be opened");
    }

    #[test]
    fn quotes_are_short_and_plain() {
        assert_eq!(quoted("a\u{1b}[2J\n"), "`a\\u{1b}[2J\\n`");
        assert!(quoted(&"x".repeat(1000)).chars().count() < 50);
    }
}
