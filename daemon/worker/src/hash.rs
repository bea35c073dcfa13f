//! Reading a file's bytes once, and knowing that they were one version of it.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use mooring_core::sync::Hash;

use crate::error::{FileTrouble, about_one_file, about_one_source};
use crate::files::{Files, Lease, Stat};
use crate::sparse::Writer;
use crate::state::{Proof, Stamp};

/// How much is read at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// The bits of a mode that are carried. A storage that others can write must not be able to give a
/// person's device programs that run as that person (set-user-ID, set-group-ID).
pub const CARRIED_MODE: u32 = 0o777;

/// What was read of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The hash of its bytes.
    pub hash: Hash,
    /// The file, and when the reading began.
    pub proof: Proof,
    /// What the system says about it.
    pub stat: Stat,
}

/// Why a file could not be read.
#[derive(Debug)]
pub enum Failed {
    /// It concerns this file only.
    One(FileTrouble),
    /// Nothing can go on.
    All(io::Error),
    /// It was asked to stop.
    Stopped,
}

impl From<io::Error> for Failed {
    fn from(e: io::Error) -> Self {
        match about_one_file(&e) {
            Some(trouble) => Self::One(trouble),
            None => Self::All(e),
        }
    }
}

impl Failed {
    /// A file that cannot be read. A bad place on its disk concerns it alone.
    pub fn reading(e: io::Error) -> Self {
        about_one_source(&e).map_or(Self::All(e), Self::One)
    }

    /// A reason that concerns one file.
    pub fn one(reason: &str) -> Self {
        Self::One(FileTrouble(reason.to_owned()))
    }
}

/// How a file is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Cached pages will do.
    Cache,
    /// From the storage itself: cached pages are dropped first. Only those go that are durable, so
    /// with `sync` the file is made so; without, the caller has done that for all.
    Storage {
        /// Whether the file may not be durable yet.
        sync: bool,
    },
    /// Cached pages will do, and the caller knows about writers.
    Staged,
}

/// Reads a whole file into `sink`, which also gets what the system said about the file at first,
/// and hashes it.
///
/// # Errors
/// [`Failed::One`] when the file changed while it was read, or somebody is writing to it.
pub fn read_into<F: Files>(
    files: &F,
    dir: &F::Dir,
    name: &OsStr,
    from: Source,
    stop: &AtomicBool,
    mut sink: impl FnMut(&Stat, &[u8]) -> io::Result<()>,
) -> Result<Reading, Failed> {
    let mut file = files.open(dir, name).map_err(Failed::reading)?;
    let at = files.now();
    let before = files.stat_file(&file)?;
    match from {
        Source::Storage { sync } => {
            if sync {
                files.sync_file(&file).map_err(Failed::All)?;
            }
            files.uncache(&file);
        }
        // Whoever writes now is not done: half a photo is no version of it. The lease is given
        // back at once, so that nobody waits for us.
        Source::Cache => match files.lease(&file)? {
            Lease::InUse => return Err(Failed::one("a program has it open for writing")),
            Lease::Held => files.release(&file),
            Lease::Unsupported => {}
        },
        Source::Staged => {}
    }
    let mut hasher = blake3::Hasher::new();
    let mut left = before.size;
    let mut buffer = vec![0; CHUNK.min(usize::try_from(before.size).unwrap_or(CHUNK) + 1)];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Failed::Stopped);
        }
        let n = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failed::reading(e)),
        };
        hasher.update(&buffer[..n]);
        sink(&before, &buffer[..n]).map_err(Failed::All)?;
        left = left.saturating_sub(n as u64);
        if left == 0 && n < buffer.len() {
            // As long as it was said to be, and no byte more although there was room for one: the
            // end, for which no other read is needed.
            break;
        }
    }
    if stop.load(Ordering::Relaxed) {
        return Err(Failed::Stopped);
    }
    let stat = files.stat_file(&file)?;
    if Stamp::from(&stat) != Stamp::from(&before) {
        return Err(Failed::one("changed while it was read"));
    }
    let proof = Proof {
        stamp: Stamp::from(&stat),
        at,
    };
    Ok(Reading {
        hash: hasher.finalize().into(),
        proof,
        stat,
    })
}

/// Hashes a whole file.
///
/// # Errors
/// As [`read_into`].
pub fn hash<F: Files>(
    files: &F,
    dir: &F::Dir,
    name: &OsStr,
    from: Source,
    stop: &AtomicBool,
) -> Result<Reading, Failed> {
    read_into(files, dir, name, from, stop, |_, _| Ok(()))
}

/// Writes what is read into a new file of another folder. The new file is not durable yet.
///
/// # Errors
/// As [`read_into`]; the new file is removed again where that is possible.
pub fn copy<F: Files>(
    files: &F,
    (dir, name): (&F::Dir, &OsStr),
    (to_dir, to_name): (&F::Dir, &OsStr),
    sync: bool,
    stop: &AtomicBool,
) -> Result<(Reading, Stat), Failed> {
    let out = files.create(to_dir, to_name).map_err(Failed::All)?;
    let mut out = Writer::new(files, out);
    let copied = read_into(files, dir, name, Source::Cache, stop, |source, chunk| {
        out.write(source, chunk)
    })
    .and_then(|read| Ok((read, end(files, out, &read, sync).map_err(Failed::All)?)));
    if copied.is_err() {
        // What is left of it is swept up before the next sync.
        let _ = files.unlink(to_dir, to_name);
    }
    copied
}

/// Gives a copy whose bytes are written the mode and the time of its source.
///
/// # Errors
/// As the system says.
pub fn end<F: Files>(
    files: &F,
    out: Writer<'_, F>,
    read: &Reading,
    sync: bool,
) -> io::Result<Stat> {
    let out = out.finish()?;
    files.set_meta(&out, read.stat.mode & CARRIED_MODE, read.stat.mtime)?;
    if sync {
        files.sync_file(&out)?;
    }
    files.stat_file(&out)
}
