//! Large files: carried so that an interruption costs what was not yet written, and not all.
//!
//! An unfinished copy lies beside its place (`part-…`), named after the file alone. The next try
//! reads it from its disk, byte by byte against the source, which has to be read and hashed in any
//! case; what is the same stays, and the copy goes on behind it. So neither a record nor a stamp
//! has to be trusted, and a source that changed meanwhile only costs what is behind the change.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::AtomicBool;

use mooring_core::collection::Collection;

use crate::account::Account;
use crate::beside::{self, Waits, half};
use crate::carry::Way;
use crate::durable;
use crate::error::{Error, Result};
use crate::files::{Files, Kind, Stat};
use crate::hash::{self, Failed, Reading, Source};
use crate::place::{End, Place};
use crate::sparse::Writer;
use crate::state::Key;

/// The permission without which an unfinished copy cannot be taken up.
const OWNER_WRITES: u32 = 0o200;

fn prefix_of<F: Files>(account: &Account<F>, collection: Collection) -> String {
    format!("{}{collection}-", beside::prefix(account, Waits::Part))
}

/// The name of a file's unfinished copy.
pub fn part_name<F: Files>(account: &Account<F>, key: &Key) -> OsString {
    let path = half(blake3::hash(&key.path()).as_bytes());
    OsString::from(format!("{}{path}", prefix_of(account, key.collection)))
}

/// Takes away unfinished copies of a collection that nobody will go on with: after a sync that
/// left nothing waiting there is none that anybody would.
///
/// # Errors
/// When the filesystem fails.
pub fn sweep<F: Files>(account: &Account<F>, place: &Place<F>) -> Result<()> {
    let files = &account.files;
    let prefix = prefix_of(account, place.collection);
    for way in [Way::Down, Way::Up] {
        let End {
            waiting: dir,
            shown,
            ..
        } = place.end(way);
        let fail = |e| Error::io("tidy up in", shown, e);
        for entry in files.list(dir).map_err(fail)? {
            if entry.name.as_bytes().starts_with(prefix.as_bytes()) {
                durable::remove_if_there(files, dir, &entry.name).map_err(fail)?;
            }
        }
    }
    Ok(())
}

/// Copies a large file, going on with what `to` already has. Now and then `tell` is told how many
/// more bytes are there. When it is asked to stop, or dies, what was written stays for the next
/// try; after any other failure it is taken away where that is possible.
///
/// # Errors
/// As [`hash::copy`].
pub fn copy<F: Files>(
    files: &F,
    (dir, name): (&F::Dir, &OsStr),
    to: (&F::Dir, &OsStr),
    sync: bool,
    stop: &AtomicBool,
    tell: &dyn Fn(u64),
) -> std::result::Result<(Reading, Stat), Failed> {
    let mut copy = Copy {
        files,
        to,
        out: begin(files, to).map_err(Failed::All)?,
        there: 0,
        untold: 0,
        named: false,
        tell,
    };
    let copied = hash::read_into(files, dir, name, Source::Cache, stop, |source, chunk| {
        copy.take(source, chunk)
    })
    .and_then(|read| {
        let out = copy.into_writer().map_err(Failed::All)?;
        let stat = hash::end(files, out, &read, sync).map_err(Failed::All)?;
        Ok((read, stat))
    });
    if let Err(Failed::One(_) | Failed::All(_)) = copied {
        // The failure is the one to tell; what is left of it is swept up after the next sync.
        let _ = durable::remove_if_there(files, to.0, to.1);
    }
    copied
}

/// What becomes of the bytes.
enum Out<'a, F: Files> {
    /// They are compared with those of an earlier try.
    Compare(F::File),
    /// They are written.
    Write(Writer<'a, F>),
}

struct Copy<'a, F: Files> {
    files: &'a F,
    to: (&'a F::Dir, &'a OsStr),
    /// `None` only while one becomes the other.
    out: Option<Out<'a, F>>,
    /// Bytes of the source that the copy has.
    there: u64,
    /// How many of them nobody was told of, or made durable.
    untold: u64,
    /// Its name is durable, too.
    named: bool,
    tell: &'a dyn Fn(u64),
}

/// Opens what an earlier try left, or begins.
fn begin<'a, F: Files>(
    files: &'a F,
    (dir, name): (&F::Dir, &OsStr),
) -> io::Result<Option<Out<'a, F>>> {
    match files.stat(dir, name) {
        Ok(stat)
            if stat.kind == Kind::File
                && stat.nlink == 1
                && stat.size > 0
                && stat.mode & OWNER_WRITES != 0 =>
        {
            let file = files.open(dir, name)?;
            // What only the cache has may never arrive: the disk itself is asked.
            files.sync_file(&file)?;
            files.uncache(&file);
            return Ok(Some(Out::Compare(file)));
        }
        Ok(_) => files.unlink(dir, name)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let file = files.create(dir, name)?;
    Ok(Some(Out::Write(Writer::new(files, file))))
}

impl<'a, F: Files> Copy<'a, F> {
    fn take(&mut self, source: &Stat, chunk: &[u8]) -> io::Result<()> {
        let step = self.files.large().step;
        let piece = usize::try_from(step).unwrap_or(usize::MAX).max(1);
        for bytes in chunk.chunks(piece) {
            self.take_piece(source, bytes)?;
            self.untold += bytes.len() as u64;
            if self.untold >= step {
                if let Some(Out::Write(writer)) = &mut self.out {
                    writer.sync()?;
                    if !std::mem::replace(&mut self.named, true) {
                        self.files.sync_dir(self.to.0)?;
                    }
                }
                (self.tell)(std::mem::take(&mut self.untold));
            }
        }
        Ok(())
    }

    fn take_piece(&mut self, source: &Stat, bytes: &[u8]) -> io::Result<()> {
        let mut same = 0;
        if let Some(Out::Compare(file)) = &mut self.out {
            same = common(file, bytes);
            self.there += same as u64;
            if same == bytes.len() {
                return Ok(());
            }
            self.go_on()?;
        }
        if let Some(Out::Write(writer)) = &mut self.out {
            writer.write(source, &bytes[same..])?;
            self.there += (bytes.len() - same) as u64;
        }
        Ok(())
    }

    /// Cuts off what differs; from here on it is written.
    fn go_on(&mut self) -> io::Result<()> {
        // The reader goes first: there is one handle at a time.
        self.out = None;
        let file = self.files.resume(self.to.0, self.to.1, self.there)?;
        self.out = Some(Out::Write(Writer::new(self.files, file)));
        Ok(())
    }

    fn into_writer(mut self) -> io::Result<Writer<'a, F>> {
        (self.tell)(self.untold);
        if !matches!(self.out, Some(Out::Write(_))) {
            self.go_on()?;
        }
        match self.out {
            Some(Out::Write(writer)) => Ok(writer),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// How many of these bytes a file has where it is read. What cannot be read is not there.
fn common(file: &mut impl Read, bytes: &[u8]) -> usize {
    let mut there = vec![0; bytes.len()];
    let mut length = 0;
    while length < there.len() {
        match file.read(&mut there[length..]) {
            Ok(0) | Err(_) => break,
            Ok(n) => length += n,
        }
    }
    if length == bytes.len() && there == bytes {
        return length;
    }
    let same = there[..length].iter().zip(bytes);
    same.take_while(|(a, b)| a == b).count()
}
