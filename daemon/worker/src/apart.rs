//! Which folders may be roots: none is, contains or lies in another, the storage, or a folder of
//! another account, whatever links and mounts lead there.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mooring_core::collection::Collection;
use mooring_core::receipt::readable;

use crate::account::Account;
use crate::error::{Error, Result};
use crate::files::Files;

/// Refuses roots that are, contain or lie in one another or the storage: by path, with all links
/// resolved, and by what the folders on the way really are (bind mounts).
///
/// # Errors
/// [`Error::Refused`] naming both.
pub fn check_roots<F: Files>(
    files: &F,
    storage: &Path,
    roots: &[(Collection, PathBuf)],
) -> Result<()> {
    let mut places = vec![("the storage".to_owned(), storage)];
    for (collection, root) in roots {
        places.push((format!("the folder for {collection}"), root));
    }
    for (name, path) in &places {
        let normal = path.is_absolute()
            && path.components().all(|c| {
                matches!(
                    c,
                    std::path::Component::RootDir | std::path::Component::Normal(_)
                )
            });
        if !normal || path.parent().is_none() {
            return Err(Error::Refused(format!(
                "{name}, {}, must be an absolute path below / without . and ..",
                readable(path.as_os_str().as_bytes())
            )));
        }
    }
    let real = places
        .iter()
        .map(|(_, path)| resolved(files, path))
        .collect::<Result<Vec<_>>>()?;
    for (nr, (name, path)) in places.iter().enumerate() {
        for (other_nr, (other_name, other)) in places.iter().enumerate().skip(nr + 1) {
            let (real, real_other) = (&real[nr], &real[other_nr]);
            let related = path.starts_with(other)
                || other.starts_with(path)
                || are_related(files, real, real_other)?;
            if related {
                return Err(refused((name, path), (other_name, other)));
            }
        }
    }
    Ok(())
}

/// Refuses a folder that is, contains or lies in one of `others`, as [`check_roots`] does.
///
/// # Errors
/// [`Error::Refused`] naming both.
pub fn check_apart<F: Files>(
    files: &F,
    (name, path): (&str, &Path),
    others: &[(String, &Path)],
) -> Result<()> {
    let real = resolved(files, path)?;
    for (other_name, other) in others {
        let real_other = resolved(files, other)?;
        if are_related(files, &real, &real_other)? {
            return Err(refused((name, path), (other_name, other)));
        }
    }
    Ok(())
}

/// Whether two places, as resolved, are one or lie in one another, by whatever way.
fn are_related<F: Files>(files: &F, a: &Path, b: &Path) -> Result<bool> {
    Ok(a.starts_with(b)
        || b.starts_with(a)
        || lies_in(files, a, b)?
        || lies_in(files, b, a)?
        || truly_overlap(files, a, b)?)
}

fn refused((name, path): (&str, &Path), (other_name, other): (&str, &Path)) -> Error {
    Error::Refused(format!(
        "{name} ({}) and {other_name} ({}) must not be the same folder or lie in one another: \
         choose another folder",
        readable(path.as_os_str().as_bytes()),
        readable(other.as_os_str().as_bytes())
    ))
}

/// Refuses roots that are, contain or lie in a folder of another account.
///
/// # Errors
/// [`Error::Refused`] naming both.
pub fn check_others<F: Files>(account: &Account<F>, others: &[(String, PathBuf)]) -> Result<()> {
    let others: Vec<_> = others
        .iter()
        .map(|(name, path)| (name.clone(), path.as_path()))
        .collect();
    for (collection, root) in &account.spec.collections {
        let name = format!("the folder for {collection}");
        check_apart(&account.files, (&name, root), &others)?;
    }
    Ok(())
}

/// A path with the links resolved in that part of it that exists.
fn resolved<F: Files>(files: &F, path: &Path) -> Result<PathBuf> {
    for ancestor in path.ancestors() {
        match files.resolve(ancestor) {
            Ok(real) => {
                return Ok(path
                    .strip_prefix(ancestor)
                    .map_or(real.clone(), |rest| real.join(rest)));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("look at", ancestor, e)),
        }
    }
    Ok(path.to_owned())
}

/// Whether two paths are, or lie in, one another on the filesystem itself: a part of one may be
/// mounted as the other.
fn truly_overlap<F: Files>(files: &F, a: &Path, b: &Path) -> Result<bool> {
    let place = |path: &Path| {
        files
            .true_place(path)
            .map_err(|e| Error::io("find out what is mounted at", path, e))
    };
    let places = place(a)?.zip(place(b)?);
    Ok(places.is_some_and(|(a, b)| a.overlaps(&b)))
}

/// Whether `inner`, or a folder on the way to it, is the very folder `outer`.
fn lies_in<F: Files>(files: &F, inner: &Path, outer: &Path) -> Result<bool> {
    let identity = |path: &Path| match files.open_root(path) {
        Ok(dir) => files.stat_dir(&dir).map(|s| Some((s.dev, s.ino))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    };
    let outer_is = identity(outer).map_err(|e| Error::io("look at", outer, e))?;
    let Some(outer_is) = outer_is else {
        return Ok(false);
    };
    for ancestor in inner.ancestors() {
        match identity(ancestor) {
            Ok(Some(is)) if is == outer_is => return Ok(true),
            Ok(_) => {}
            // That one could be opened, so this is another.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(e) => return Err(Error::io("look at", ancestor, e)),
        }
    }
    Ok(false)
}
