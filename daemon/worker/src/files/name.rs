//! What a name and a relative path may be, the same for every form of the seam.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Lets one component pass: not empty, not `.` or `..`, no `/`, no NUL. Its length is the
/// filesystem's business (ENAMETOOLONG).
///
/// # Errors
/// `InvalidInput`.
pub(super) fn check(name: &OsStr) -> io::Result<()> {
    let bytes = name.as_bytes();
    let dots = matches!(bytes, b"" | b"." | b"..");
    if dots || bytes.iter().any(|&b| b == b'/' || b == 0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the name of one entry",
        ));
    }
    Ok(())
}

/// The components of a relative path of names only; none for the empty path. No leading,
/// trailing or doubled `/`.
///
/// # Errors
/// `InvalidInput`.
pub(super) fn components(path: &Path) -> io::Result<Vec<&OsStr>> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&OsStr> = bytes.split(|&b| b == b'/').map(OsStr::from_bytes).collect();
    names.iter().try_for_each(|name| check(name))?;
    Ok(names)
}

/// Lets an absolute path without `..` and NUL pass.
///
/// # Errors
/// `InvalidInput`.
pub(super) fn check_root(path: &Path) -> io::Result<()> {
    let climbs = path
        .components()
        .any(|c| c == std::path::Component::ParentDir);
    if !path.is_absolute() || climbs || path.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not an absolute path without \"..\"",
        ));
    }
    Ok(())
}
