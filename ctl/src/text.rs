//! Turning values into text for a person: numbers, sizes, times, and above all names.
//!
//! Names come from files, and a file's name may hold anything. Nothing that leaves this module
//! holds a control character, invalid UTF-8 or a sign that reorders the line it stands in.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A path or name as one line: control and reordering characters, backslashes and whatever is
/// not UTF-8 as `\xNN`, so that the exact bytes can be read off.
pub fn path(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || is_unsafe(c) {
                escape(&mut out, c);
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            // Writing into a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// A sentence from the daemon as one line. Names in it are escaped already, so backslashes stay.
pub fn sentence(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            escape(&mut out, c)
        } else {
            out.push(c)
        }
    }
    out
}

/// A sentence that stands alone: with its full stop, where the daemon left that to us.
pub fn full(text: &str) -> String {
    let mut out = sentence(text.trim_end());
    if !out.is_empty() && !out.ends_with(['.', '!', '?', ':']) {
        out.push('.');
    }
    out
}

/// Whether a character must not reach a terminal: it controls the terminal, ends the line, or
/// reorders what stands around it.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(out: &mut String, c: char) {
    let mut buffer = [0; 4];
    for byte in c.encode_utf8(&mut buffer).bytes() {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// A number with thousands separators.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun, `1 file` or `1,204 files`.
pub fn count(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(n))
}

/// A size in decimal units, as file managers show it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // 999.95 would be shown as 1000.0.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// How long ago a time (seconds since the Unix epoch) was.
pub fn ago(then: u64, now: u64) -> String {
    match now.checked_sub(then) {
        // The clock was turned back, or differs a little between two machines.
        None => timestamp(then),
        Some(s) if s < MINUTE => "just now".to_owned(),
        Some(s) if s < HOUR => format!("{} ago", count(s / MINUTE, "minute")),
        Some(s) if s < DAY => format!("{} ago", count(s / HOUR, "hour")),
        Some(s) if s < 60 * DAY => format!("{} ago", count(s / DAY, "day")),
        Some(_) => timestamp(then),
    }
}

/// A waiting time in words.
pub fn wait(seconds: u64) -> String {
    if seconds < 2 * MINUTE {
        count(seconds, "second")
    } else if seconds < 2 * HOUR {
        count(seconds.div_ceil(MINUTE), "minute")
    } else {
        count(seconds.div_ceil(HOUR), "hour")
    }
}

/// A time as RFC 3339 in UTC, to the second.
pub fn timestamp(seconds: u64) -> String {
    // Beyond the year 9999 the format has no digits left: clamp rather than fail.
    const LAST: u64 = 253_402_300_799;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Seconds since the Unix epoch, now; 0 when the clock stands before it.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// The name of a job kind or a stage as words: `backed-up` becomes `Backed up`.
pub fn title(name: &str) -> String {
    let words = sentence(name).replace('-', " ");
    let mut chars = words.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => words,
    }
}

/// A path for messages about what the person named on the command line.
pub fn os(name: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    path(name.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_shown_and_not_obeyed() {
        assert_eq!(path(b"plain name.jpg"), "plain name.jpg");
        assert_eq!(path(b"\x1b[2J\n\xff\\"), "\\x1b[2J\\x0a\\xff\\x5c");
        assert_eq!(
            path("caf\u{e9}\u{202e}gpj.exe".as_bytes()),
            "caf\u{e9}\\xe2\\x80\\xaegpj.exe"
        );
        assert_eq!(path("\u{9b}31m".as_bytes()), "\\xc2\\x9b31m");
        assert_eq!(sentence("a \\xff \r b"), "a \\xff \\x0d b");
        assert_eq!(full("the storage is full"), "the storage is full.");
        assert_eq!(full(""), "");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1204), "1,204");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(1204, "file"), "1,204 files");
    }

    #[test]
    fn sizes_never_show_a_thousand_of_a_unit() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1000), "1.0 kB");
        assert_eq!(size(999_999), "1.0 MB");
        assert_eq!(size(3_100_000_000), "3.1 GB");
        assert_eq!(size(u64::MAX), "18.4 EB");
    }

    #[test]
    fn times_are_told_in_words() {
        assert_eq!(ago(100, 130), "just now");
        assert_eq!(ago(100, 100 + 3 * 60), "3 minutes ago");
        assert_eq!(ago(100, 100 + 2 * 86400), "2 days ago");
        assert_eq!(ago(u64::MAX, 0), "9999-12-31T23:59:59Z");
        assert_eq!(wait(1), "1 second");
        assert_eq!(wait(600), "10 minutes");
    }
}
