//! Files like a person's own, the same ones at every run: photos, a video, contacts, texts, and the
//! names, permissions and times that programs tend to lose.

mod avi;
mod jpeg;

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How many photos there are.
pub const PHOTOS: u32 = 200;
/// How many contacts there are.
pub const CONTACTS: u32 = 60;
/// How many notes there are.
pub const NOTES: u32 = 40;

const PHOTO_SIZE: (u16, u16) = (320, 214);
const FRAME_SIZE: (u16, u16) = (160, 120);
const FRAMES: u32 = 20;
/// 2019-06-15T08:00:00Z: when the first photo was taken.
const FIRST_DAY: u64 = 1_560_585_600;
const DAY: u64 = 86_400;

/// Names that programs tend to trip over.
const AWKWARD_NAMES: [&[u8]; 12] = [
    b"-rf",
    b"--help.txt",
    b"two  spaces and a trailing one ",
    b"line\nbreak.txt",
    b"tab\tand \x1b[31mcolour.txt",
    b"quote ' double \" dollar $(id) back`tick`.txt",
    b".hidden",
    b"semi;colon & ampersand | star *.txt",
    "naïve café – 日本語 – 🐚.txt".as_bytes(),
    "cafe\u{301} decomposed.txt".as_bytes(),
    b"latin-1 \xe9t\xe9.txt",
    b"back\\slash.txt",
];

/// Writes the files into `Photos`, `Videos`, `Contacts` and `Documents` below `folder`; answers how
/// many there are.
///
/// # Errors
/// When a file is there already or cannot be written.
pub fn write(folder: &Path) -> io::Result<u64> {
    let mut made = Maker { files: 0 };
    photos(&mut made, &folder.join("Photos"))?;
    video(&mut made, &folder.join("Videos"))?;
    contacts(&mut made, &folder.join("Contacts"))?;
    documents(&mut made, &folder.join("Documents"))?;
    Ok(made.files)
}

struct Maker {
    files: u64,
}

impl Maker {
    fn file(
        &mut self,
        folder: &Path,
        name: &[u8],
        content: &[u8],
        mode: u32,
        modified: SystemTime,
    ) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = File::create_new(folder.join(OsStr::from_bytes(name)))?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.set_times(FileTimes::new().set_modified(modified))?;
        self.files += 1;
        Ok(())
    }
}

/// A day in the life of the samples, to the nanosecond.
fn day(n: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH
        + Duration::new(
            FIRST_DAY + u64::from(n) * DAY,
            n.wrapping_mul(7_654_321) % 1_000_000_000,
        )
}

fn photos(made: &mut Maker, folder: &Path) -> io::Result<()> {
    let (width, height) = PHOTO_SIZE;
    for n in 0..PHOTOS {
        let album = folder.join(format!("{} Summer", 2019 + n * 4 / PHOTOS));
        let photo = jpeg::encode(width, height, |x, y| landscape(n, x, y));
        made.file(
            &album,
            format!("IMG_{n:04}.jpg").as_bytes(),
            &photo,
            0o644,
            day(n),
        )?;
    }
    Ok(())
}

/// A sky, a sun that wanders, hills, and a little grain.
fn landscape(n: u32, x: u16, y: u16) -> [u8; 3] {
    let (fx, fy) = (f32::from(x), f32::from(y));
    let phase = n as f32 * 0.37;
    let hill = 110.0 + 18.0 * (fx * 0.03 + phase).sin() + 7.0 * (fx * 0.11 - phase).sin();
    let sun = ((fx - 120.0 - 90.0 * phase.cos()).powi(2) + (fy - 50.0).powi(2)).sqrt();
    let grain = (((u32::from(x) * 73) ^ (u32::from(y) * 151) ^ (n * 199)) % 9) as f32;
    let colour = if fy > hill {
        [
            40.0 + grain * 3.0,
            110.0 - (fy - hill) * 0.6 + grain,
            50.0 + grain,
        ]
    } else if sun < 18.0 {
        [250.0, 225.0, 130.0]
    } else {
        [110.0 + fy * 0.7, 160.0 + fy * 0.4, 235.0 - grain]
    };
    colour.map(|c| c.clamp(0.0, 255.0) as u8)
}

fn video(made: &mut Maker, folder: &Path) -> io::Result<()> {
    let (width, height) = FRAME_SIZE;
    let frames: Vec<_> = (0..FRAMES)
        .map(|n| jpeg::encode(width, height, |x, y| landscape(n, x, y)))
        .collect();
    let film = avi::encode(width, height, &frames);
    made.file(folder, b"Waves.avi", &film, 0o640, day(30))
}

fn contacts(made: &mut Maker, folder: &Path) -> io::Result<()> {
    const GIVEN: [&str; 6] = ["Ada", "Björn", "Chloé", "Dmitri", "Eun-ji", "Fatima"];
    const FAMILY: [&str; 5] = ["Lovelace", "Åström", "Dupont", "Ivanov", "Kim"];
    for n in 0..CONTACTS {
        let (given, family) = (
            GIVEN[n as usize % GIVEN.len()],
            FAMILY[n as usize % FAMILY.len()],
        );
        let card = format!(
            "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:00000000-0000-4000-8000-{n:012x}\r\n\
             FN:{given} {family}\r\nN:{family};{given};;;\r\n\
             TEL;TYPE=cell:+49 30 555 {n:04}\r\nEND:VCARD\r\n"
        );
        made.file(
            folder,
            format!("{n:012x}.vcf").as_bytes(),
            card.as_bytes(),
            0o600,
            day(n),
        )?;
    }
    Ok(())
}

fn documents(made: &mut Maker, folder: &Path) -> io::Result<()> {
    for n in 0..NOTES {
        let text = format!(
            "Note {n}\n\n{}",
            "The tide comes in, the tide goes out.\n".repeat(n as usize)
        );
        let below = folder.join(if n % 2 == 0 { "Notes" } else { "Notes/older" });
        made.file(
            &below,
            format!("note {n}.txt").as_bytes(),
            text.as_bytes(),
            0o644,
            day(n),
        )?;
    }
    let awkward = folder.join("Awkward names");
    for name in AWKWARD_NAMES {
        made.file(&awkward, name, name, 0o644, day(1))?;
    }
    made.file(
        &awkward,
        "x".repeat(255).as_bytes(),
        b"the longest name there is",
        0o644,
        day(2),
    )?;

    let odd = folder.join("Odd ones");
    made.file(&odd, b"empty", b"", 0o644, day(3))?;
    made.file(&odd, b"read only", b"look, don't touch\n", 0o444, day(4))?;
    made.file(&odd, b"script.sh", b"#!/bin/sh\nexit 0\n", 0o755, day(5))?;
    made.file(&odd, b"for me alone", b"secret\n", 0o400, day(6))?;
    made.file(&odd, b"for the group", b"shared\n", 0o664, day(7))?;
    made.file(&odd, b"twin 1", b"the same bytes\n", 0o644, day(8))?;
    made.file(&odd, b"twin 2", b"the same bytes\n", 0o600, day(9))?;
    made.file(
        &odd,
        b"before 1970",
        b"old\n",
        0o644,
        SystemTime::UNIX_EPOCH - Duration::new(DAY, 5),
    )?;
    made.file(&odd, b"from the future", b"new\n", 0o644, day(20_000))?;
    made.file(&odd, b"one mebibyte", &pattern(1 << 20), 0o644, day(10))
}

/// Bytes without a short period.
fn pattern(length: u32) -> Vec<u8> {
    (0..length)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}
