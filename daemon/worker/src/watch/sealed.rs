//! A piece of memory that can be passed on and never changed again: `memfd_create(2)` with every
//! seal.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::bytes::MAX;

/// What nobody can do with it any more, sealing it otherwise included.
const SEALS: SealFlag = SealFlag::F_SEAL_WRITE
    .union(SealFlag::F_SEAL_SHRINK)
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SEAL);

/// Seals these bytes. The broker knows such memory by its name.
///
/// # Errors
/// When there is no memory, or no descriptor.
pub fn seal(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(mooring_wire::WATCH_MAP, flags)?);
    file.write_all(bytes)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
    Ok(file.into())
}

/// Reads what was sealed.
///
/// # Errors
/// When it is not sealed, too large, or no memory at all.
pub fn open(sealed: OwnedFd) -> io::Result<Vec<u8>> {
    // Only sealable memory answers this.
    let seals = SealFlag::from_bits_truncate(fcntl(&sealed, FcntlArg::F_GET_SEALS)?);
    if !seals.contains(SEALS) {
        return Err(io::Error::other("it can still be changed"));
    }
    let file = File::from(sealed);
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length > MAX {
        return Err(io::Error::other("it is too large"));
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_what_is_sealed_is_read_and_it_stays_as_it_is() {
        let sealed = seal(b"map").unwrap();
        let writer = File::from(sealed.try_clone().unwrap());
        assert!(writer.write_all_at(b"MAP", 0).is_err());
        assert!(writer.set_len(1).is_err());
        assert_eq!(open(sealed).unwrap(), b"map");
        let loose = memfd_create("loose", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert!(open(loose).is_err());
        assert!(open(tempfile::tempfile().unwrap().into()).is_err());
    }
}
