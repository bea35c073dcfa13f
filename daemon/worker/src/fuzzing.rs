//! Everything of the worker that reads what others wrote, for the fuzzer (`tests/fuzz`) and for the
//! inputs that it found: each target takes any bytes, and panics where a promise does not hold.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::ffi::OsStrExt;

use crate::backup::About;
use crate::devices::document::{Presence, Request};
use crate::ignored;
use crate::place::{Marker, path};
use crate::sums;
use crate::{base, trash};

/// A target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder in `tests/fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("marker", marker),
    ("presence", presence),
    ("request", request),
    ("base", base_lines),
    ("sums", sums_lines),
    ("names", names),
    ("about", about),
    ("ignore", ignore),
    ("days", days),
    ("handing", crate::watch::fuzzed),
];

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// A marker that is understood is written as it is understood.
fn marker(bytes: &[u8]) {
    let Some(marker) = text(bytes).and_then(|t| toml::from_str::<Marker>(t).ok()) else {
        return;
    };
    let again: Marker = toml::from_str(&marker.to_toml()).expect("what is written can be read");
    assert_eq!(marker, again);
}

/// What another device says is short, on one line, and cannot drive a terminal.
fn presence(bytes: &[u8]) {
    let Some(found) = text(bytes).and_then(|t| Presence::parse(t, "0123456789abcdef").ok()) else {
        return;
    };
    let answer = found.answer.iter().map(|answer| answer.message.as_str());
    let names = [found.device.as_str(), &found.identity].into_iter();
    for shown in names
        .chain(found.collections.iter().map(String::as_str))
        .chain(answer)
    {
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(shown.chars().count() <= 1000);
    }
}

/// A request names a device that can be one.
fn request(bytes: &[u8]) {
    let Some(found) = text(bytes).and_then(|t| Request::parse(t, "0123456789abcdef").ok()) else {
        return;
    };
    let plain = |id: &str| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    assert!(plain(&found.target) && plain(&found.sign_in_id));
    assert!(!found.device.contains(char::is_control));
}

/// A base that does not have its hash counts for nothing, and its names are no detours.
fn base_lines(bytes: &[u8]) {
    let hash = blake3::hash(bytes).to_hex();
    let mut lines = Vec::new();
    let read = base::read(bytes, &hash, |line| {
        lines.push(line);
        Ok(())
    });
    let other = blake3::hash(b"another").to_hex();
    assert!(base::read(bytes, &other, |_| Ok(())).is_err());
    if read.is_err() {
        return;
    }
    for line in lines {
        assert_plain(&line.key.path());
    }
}

/// A line of hashes is written as it is read, and names nothing outside of the backup.
fn sums_lines(bytes: &[u8]) {
    let fail = |e| crate::error::Error::io("read", "list".as_ref(), e);
    let each = |batch: Vec<sums::Line>| {
        for line in batch {
            let written = line.text();
            let read = sums::Line::parse(written.strip_suffix(b"\n").expect("a line has an end"));
            assert_eq!(read.as_ref(), Some(&line));
            let (folder, name) = line.place();
            assert!(folder.len() + name.len() <= line.path.len());
        }
        Ok(())
    };
    // That it is no list is an answer, too.
    let _ = sums::read_batches(bytes, each, fail);
}

/// A mapped name comes back, and names that b3sum can take stay what they are.
fn names(bytes: &[u8]) {
    if let Some((stored, real)) = text(bytes).and_then(sums::parse_name) {
        let line = sums::name_line(&stored, &real);
        let again = sums::parse_name(line.strip_suffix('\n').expect("a line has an end"));
        assert_eq!(again, Some((stored, real)));
    }
    let stored = sums::stored_name(bytes);
    assert!(std::str::from_utf8(&stored).is_ok());
    assert_eq!(sums::stored_name(&stored) == stored, stored == bytes);
}

/// What a backup says about itself may be anything.
fn about(bytes: &[u8]) {
    if let Some(about) = text(bytes).and_then(|t| toml::from_str::<About>(t).ok()) {
        let written = toml::to_string(&about).expect("what was read can be written");
        assert!(toml::from_str::<About>(&written).is_ok());
    }
}

/// Rules never ignore the file that holds them, and say which line it was.
fn ignore(bytes: &[u8]) {
    let Ok((rules, bad)) = ignored::parse(b"a", bytes, &None) else {
        return;
    };
    let lines = bytes.split(|b| *b == b'\n').count() as u64;
    assert!(
        bad.iter()
            .all(|line| (1..=lines + 1).contains(&line.at.line))
    );
    let last = bytes.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    let name = last.rsplit(|b| *b == b'/').next().unwrap_or_default();
    for (folder, name) in [
        (&b"a"[..], &b"b.jpg"[..]),
        (b"a/c", b"\xff"),
        (b"ab", b"b.jpg"),
        (b"a", name),
    ] {
        if name.is_empty() || name.contains(&0) {
            continue;
        }
        for is_dir in [false, true] {
            let found = ignored::ignores(&rules, folder, name, is_dir);
            assert!(found.is_none() || is_dir || name != ignored::FILE.as_bytes());
            assert!(found.is_none() || folder != b"ab");
            assert!(found.is_none_or(|origin| (1..=lines).contains(&origin.line)));
        }
    }
}

/// The folder of a day is a name of ten digits and strokes.
fn days(bytes: &[u8]) {
    let Some(name) = text(bytes) else { return };
    if trash::is_day(name) {
        assert_plain(name.as_bytes());
        assert_eq!(name.len(), "2026-01-31".len());
    }
}

/// A path below a root, without detours.
fn assert_plain(bytes: &[u8]) {
    let shown = path(bytes);
    for part in bytes.split(|b| *b == b'/') {
        assert!(
            !matches!(part, b"" | b"." | b"..") && !part.contains(&0),
            "{:?} is no plain path",
            shown.as_os_str().as_bytes()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzzer begins with, and every input that once went wrong.
    #[test]
    fn the_corpus_holds() {
        let corpus =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for entry in std::fs::read_dir(corpus.join(name)).unwrap() {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                inputs += 1;
            }
            assert!(inputs > 0, "{name} has nothing to begin with");
        }
    }
}
