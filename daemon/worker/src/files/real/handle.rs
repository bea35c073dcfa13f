//! An open file of [`super::RealFiles`].

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open file. Reading and writing are never interrupted; a lease ends when it is dropped.
#[derive(Debug)]
pub struct RealFile(File);

impl From<OwnedFd> for RealFile {
    fn from(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

impl AsFd for RealFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Repeats what a signal interrupted, which happens on network filesystems.
fn uninterrupted<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match act() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl io::Read for RealFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.read(buf))
    }
}

impl io::Write for RealFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
