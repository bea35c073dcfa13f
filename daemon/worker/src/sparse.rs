//! Copies keep the holes of their source: where that takes less space than it has bytes, whole
//! blocks of zeros are left out instead of written. Bytes are never different for it, and a file
//! of 200 GB with nothing in it does not fill a disk.

use std::io::{self, Write};

use crate::files::{Files, Stat};

/// The smallest hole that is kept, in bytes; smaller ones are not worth a call of their own.
const BLOCK: usize = 64 * 1024;
/// The unit of [`Stat::blocks`], in bytes.
const UNIT: u64 = 512;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Whether a file takes less space than it has bytes.
pub fn has_holes(stat: &Stat) -> bool {
    stat.blocks.saturating_mul(UNIT) < stat.size
}

/// The space that a copy of a file needs, in bytes.
pub fn space(stat: &Stat) -> u64 {
    stat.size.min(stat.blocks.saturating_mul(UNIT))
}

/// A file that is being written.
pub struct Writer<'a, F: Files> {
    files: &'a F,
    file: F::File,
    /// Zeros that are still to be left out.
    hole: u64,
}

impl<'a, F: Files> Writer<'a, F> {
    /// Writes behind what the file has.
    pub fn new(files: &'a F, file: F::File) -> Self {
        Self {
            files,
            file,
            hole: 0,
        }
    }

    /// Writes the next bytes of `source`.
    ///
    /// # Errors
    /// As the system says.
    pub fn write(&mut self, source: &Stat, bytes: &[u8]) -> io::Result<()> {
        if !has_holes(source) {
            return self.file.write_all(bytes);
        }
        for block in bytes.chunks(BLOCK) {
            if block == &ZEROS[..block.len()] {
                self.hole += block.len() as u64;
            } else {
                self.settle()?;
                self.file.write_all(block)?;
            }
        }
        Ok(())
    }

    /// Makes what was written so far durable.
    ///
    /// # Errors
    /// As the system says.
    pub fn sync(&mut self) -> io::Result<()> {
        self.settle()?;
        self.files.sync_file(&self.file)
    }

    /// The file, as long as it is to be.
    ///
    /// # Errors
    /// As the system says.
    pub fn finish(mut self) -> io::Result<F::File> {
        self.settle()?;
        Ok(self.file)
    }

    fn settle(&mut self) -> io::Result<()> {
        if self.hole > 0 {
            self.files.write_hole(&mut self.file, self.hole)?;
            self.hole = 0;
        }
        Ok(())
    }
}
