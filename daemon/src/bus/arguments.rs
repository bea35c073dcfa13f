//! Arguments of methods: every bound is here, and nothing that is out of bounds gets further.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mooring_api::{
    ChangePasswordOptions, CollectionSpec, ResetPasswordOptions, SignInOptions, SignOutOptions,
};
use mooring_core::collection::Collection;
use mooring_core::identity::{self, Password, RecoveryCode};
use zbus::OwnedFd;

use crate::account::Account;
use crate::failure::Failure;
use crate::inhibitors::{self, Inhibitor};
use crate::jobs::{sign_in, sign_out};
use crate::terms::LOCAL;
use crate::{new_password, secret};

/// The longest path, in bytes (Linux's PATH_MAX).
const MAX_PATH_BYTES: usize = 4096;
/// The most collections of an account.
const MAX_COLLECTIONS: usize = 16;
/// The longest name of a collection that is looked at, in bytes.
const MAX_COLLECTION_BYTES: usize = 64;
/// The most names in a list of collections to keep.
const MAX_KEEP: usize = 16;
/// The longest digest, in bytes.
const MAX_DIGEST_BYTES: usize = 64;
/// The length of a sign-in ID.
const SIGN_IN_ID_DIGITS: usize = 32;

/// Reads the arguments of `Inspect`.
pub(super) fn inspect(provider: &str, options: &SignInOptions) -> Result<sign_in::Wanted, Failure> {
    if let Some(identity) = &options.identity {
        identity::check_name(identity)?;
    }
    wanted(provider, options.identity.as_deref(), options)
}

/// Reads those arguments of `SignIn` that say what is to be signed in to.
pub(super) fn sign_in_to(
    provider: &str,
    identity: &str,
    options: &SignInOptions,
) -> Result<sign_in::Wanted, Failure> {
    identity::check_name(identity)?;
    wanted(provider, Some(identity), options)
}

/// Reads the others, the password too.
pub(super) async fn sign_in(
    wanted: sign_in::Wanted,
    mut options: SignInOptions,
) -> Result<sign_in::Request, Failure> {
    let device = options.device.take().map(device).transpose()?;
    Ok(sign_in::Request {
        wanted,
        adopt: options.adopt.unwrap_or(false),
        create: options.create.unwrap_or(false),
        recovery_code: options.recovery_code.take(),
        password: password(options.password.take()).await?,
        device,
    })
}

/// Reads the arguments of `SignOut`, the password too.
pub(super) async fn sign_out(
    digest: &str,
    options: SignOutOptions,
    account: &Account,
) -> Result<sign_out::Request, Failure> {
    if digest.len() > MAX_DIGEST_BYTES {
        return Err(invalid("this is no digest of a plan"));
    }
    Ok(sign_out::Request {
        digest: digest.to_owned(),
        keep: keep(options.keep, account)?,
        password: password(options.password).await?,
    })
}

/// Reads the argument of `Devices.SignOut`.
pub(super) fn sign_in_id(device: &str) -> Result<String, Failure> {
    let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if device.len() == SIGN_IN_ID_DIGITS && device.bytes().all(digits) {
        Ok(device.to_owned())
    } else {
        Err(invalid(
            "a device is named by its sign-in ID, 32 hexadecimal digits",
        ))
    }
}

/// Reads the arguments of `Inhibit`, for a process of a user.
pub(super) fn inhibit(
    (what, who, why, mode): (&str, &str, &str, &str),
    uid: u32,
    pid: u32,
) -> Result<Inhibitor, Failure> {
    if what != inhibitors::SIGN_OUT {
        return Err(invalid("only `sign-out` can be inhibited"));
    }
    let mode = match mode {
        "delay" => inhibitors::Mode::Delay,
        "block" => inhibitors::Mode::Block,
        _ => return Err(invalid("the mode is `delay` or `block`")),
    };
    Ok(Inhibitor {
        who: sentence("who", who, inhibitors::MAX_WHO_BYTES)?,
        why: sentence("why", why, inhibitors::MAX_WHY_BYTES)?,
        mode,
        uid,
        pid,
    })
}

/// A text for people, on one line.
fn sentence(what: &str, text: &str, most: usize) -> Result<String, Failure> {
    let text = text.trim();
    if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(invalid(format!(
            "`{what}` is 1 to {most} bytes of text on one line"
        )));
    }
    Ok(text.to_owned())
}

/// Reads the arguments of `ChangePassword`.
pub(super) async fn change_password(
    options: ChangePasswordOptions,
) -> Result<new_password::Change, Failure> {
    Ok(new_password::Change {
        password: needed("password", password(options.password).await?)?,
        new_password: new_password(options.new_password).await?,
    })
}

/// Reads the argument of `Reauthenticate`.
pub(super) async fn held_password(fd: OwnedFd) -> Result<Password, Failure> {
    needed("password", password(Some(fd)).await?)
}

/// Reads the arguments of `ResetPassword`.
pub(super) async fn reset_password(
    options: ResetPasswordOptions,
) -> Result<new_password::Reset, Failure> {
    let new_code = needed("new-recovery-code", options.new_recovery_code)?;
    let code = needed("recovery-code", options.recovery_code)?;
    let code = secret::read("recovery code", code.into()).await?;
    let text = std::str::from_utf8(&code)
        .map_err(|_| invalid("a recovery code is twelve words, and this is no text"))?;
    Ok(new_password::Reset {
        code: RecoveryCode::parse(text)?,
        new_password: new_password(options.new_password).await?,
        new_code,
    })
}

async fn new_password(fd: Option<OwnedFd>) -> Result<Password, Failure> {
    let secret = secret::read("new password", needed("new-password", fd)?.into()).await?;
    Ok(Password::new(secret)?)
}

fn needed<T>(name: &str, value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| invalid(format!("`{name}` is missing")))
}

/// The answer to the question about held deletions: whether they are carried over.
pub(super) fn answer(answer: &str) -> Result<bool, Failure> {
    match answer {
        "delete" => Ok(true),
        "keep" => Ok(false),
        _ => Err(invalid("the answer is `delete` or `keep`")),
    }
}

/// An absolute path of a file.
pub(super) fn file(file: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if file.len() > MAX_PATH_BYTES || !file.starts_with(b"/") || file.contains(&0) {
        return Err(invalid("a file is named by its absolute path"));
    }
    Ok(file)
}

/// The collections to keep; `all` stands for every one.
pub(super) fn keep(
    names: Option<Vec<String>>,
    account: &Account,
) -> Result<Vec<Collection>, Failure> {
    let names = names.unwrap_or_default();
    if names.len() > MAX_KEEP {
        return Err(invalid(format!(
            "at most {MAX_KEEP} collections can be named"
        )));
    }
    let own = || account.collections.iter().map(|chosen| chosen.collection);
    let mut keep = Vec::new();
    for name in names {
        if name == "all" {
            keep.extend(own());
            continue;
        }
        let collection = collection(&name)?;
        if !own().any(|has| has == collection) {
            return Err(invalid(format!(
                "{} has no collection {name} here",
                account.identity
            )));
        }
        keep.push(collection);
    }
    keep.sort_unstable();
    keep.dedup();
    Ok(keep)
}

fn wanted(
    provider: &str,
    identity: Option<&str>,
    options: &SignInOptions,
) -> Result<sign_in::Wanted, Failure> {
    if provider != LOCAL {
        return Err(invalid("the only kind of provider is `local`"));
    }
    let storage = options
        .storage
        .as_deref()
        .ok_or_else(|| invalid("`storage` is missing: the folder that is the storage"))?;
    let all = || {
        Collection::ALL.map(|c| CollectionSpec {
            name: c.name().into(),
            root: vec![],
        })
    };
    let specs = options
        .collections
        .clone()
        .unwrap_or_else(|| all().to_vec());
    Ok(sign_in::Wanted {
        provider: provider.to_owned(),
        identity: identity.map(str::to_owned),
        storage: path("storage", storage)?,
        collections: collections(specs)?,
    })
}

fn collections(specs: Vec<CollectionSpec>) -> Result<Vec<sign_in::Asked>, Failure> {
    if specs.is_empty() || specs.len() > MAX_COLLECTIONS {
        return Err(invalid(format!(
            "an account has 1 to {MAX_COLLECTIONS} collections"
        )));
    }
    let mut wanted: Vec<sign_in::Asked> = Vec::with_capacity(specs.len());
    for spec in specs {
        let collection = collection(&spec.name)?;
        if wanted.iter().any(|(other, _)| *other == collection) {
            return Err(invalid(format!(
                "the collection {collection} is named twice"
            )));
        }
        let root = match spec.root.as_slice() {
            b"" => None,
            root => Some(path("folder", root)?),
        };
        wanted.push((collection, root));
    }
    Ok(wanted)
}

fn collection(name: &str) -> Result<Collection, Failure> {
    if name.len() > MAX_COLLECTION_BYTES {
        return Err(invalid("this is no name of a collection"));
    }
    name.parse().map_err(|error| invalid(format!("{error}")))
}

/// Reads the path of a folder or file that a person named.
pub(super) fn folder(what: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    path(what, bytes)
}

/// Reads the arguments of `Restore`.
pub(super) fn restore(
    from: &[u8],
    options: mooring_api::RestoreOptions,
) -> Result<crate::jobs::copies::Copies, Failure> {
    let only = options.path.unwrap_or_default();
    let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    if only.len() > MAX_PATH_BYTES || !only.is_empty() && !only.split(|b| *b == b'/').all(plain) {
        return Err(invalid("what to restore is no path below a backup"));
    }
    let to = options.to.map(|to| path("folder to restore to", &to));
    Ok(crate::jobs::copies::Copies::Restore {
        from: path("backup", from)?,
        only,
        to: to.transpose()?.unwrap_or_default(),
    })
}

/// An absolute path without detours; trailing slashes go.
fn path(what: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let shown = || mooring_core::receipt::readable(&bytes[..bytes.len().min(MAX_PATH_BYTES)]);
    if bytes.len() > MAX_PATH_BYTES {
        return Err(invalid(format!(
            "the path of the {what} is longer than {MAX_PATH_BYTES} bytes"
        )));
    }
    if bytes.contains(&0) {
        return Err(invalid(format!("the path of the {what} has a NUL in it")));
    }
    if bytes.first() != Some(&b'/') {
        return Err(invalid(format!(
            "the {what} needs an absolute path, not {:?}",
            shown()
        )));
    }
    if bytes
        .split(|b| *b == b'/')
        .any(|part| part == b"." || part == b"..")
    {
        return Err(invalid(format!(
            "the path of the {what} has . or .. in it: {}",
            shown()
        )));
    }
    let path: std::path::PathBuf = Path::new(std::ffi::OsStr::from_bytes(bytes))
        .components()
        .collect();
    if path == Path::new("/") {
        return Err(invalid(format!(
            "the {what} cannot be the root of everything"
        )));
    }
    Ok(path.into_os_string().into_encoded_bytes())
}

/// The name of this device; held to what settings would allow, for it becomes part of file names.
fn device(name: String) -> Result<String, Failure> {
    let long = name.chars().count() > mooring_core::settings::MAX_DEVICE_NAME;
    let bad = name.trim() != name
        || name.is_empty()
        || name.starts_with('.')
        || name.chars().any(|c| c.is_control() || c == '/');
    if long || bad {
        return Err(invalid(format!(
            "a device's name is 1 to {} characters, without / and control characters, and does \
             not begin with a dot or a space",
            mooring_core::settings::MAX_DEVICE_NAME
        )));
    }
    Ok(name)
}

async fn password(fd: Option<OwnedFd>) -> Result<Option<Password>, Failure> {
    let Some(fd) = fd else { return Ok(None) };
    let secret = secret::read("password", fd.into()).await?;
    Ok(Some(Password::new(secret)?))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::InvalidArgument(message.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn options(storage: &[u8]) -> SignInOptions {
        SignInOptions {
            storage: Some(storage.to_vec()),
            ..SignInOptions::default()
        }
    }

    fn look(options: &SignInOptions) -> Result<sign_in::Wanted, Failure> {
        wanted("local", Some("alice"), options)
    }

    #[test]
    fn all_collections_with_default_folders_are_meant_when_none_is_named() {
        let wanted = look(&options(b"/mnt/nas/")).unwrap();
        assert_eq!(wanted.storage, b"/mnt/nas");
        assert_eq!(
            wanted.collections,
            Collection::ALL.map(|collection| (collection, None))
        );
    }

    #[test]
    fn hostile_paths_get_no_further() {
        let long = [b"/".as_slice(), &[b'x'; MAX_PATH_BYTES]].concat();
        for bad in [
            &b""[..],
            b"/",
            b"//",
            b"relative",
            b"/a\0b",
            b"/a/../b",
            b"/a/./b",
            b"/..",
            &long,
        ] {
            assert!(
                look(&options(bad)).is_err(),
                "{:?}",
                String::from_utf8_lossy(bad)
            );
        }
        assert!(look(&SignInOptions::default()).is_err());
        assert!(look(&options(b"/caf\xe9")).is_ok());
    }

    #[test]
    fn collections_are_few_known_and_different() {
        let with = |names: &[&str]| {
            let specs = names
                .iter()
                .map(|name| CollectionSpec {
                    name: (*name).to_owned(),
                    root: vec![],
                })
                .collect();
            look(&SignInOptions {
                collections: Some(specs),
                ..options(b"/mnt")
            })
        };
        assert_eq!(with(&["photos", "contacts"]).unwrap().collections.len(), 2);
        assert!(with(&[]).is_err());
        assert!(with(&["photos", "photos"]).is_err());
        assert!(with(&["Photos"]).is_err());
        assert!(with(&["photos"; 17]).is_err());
    }

    #[test]
    fn devices_have_names_that_fit_into_file_names() {
        for good in ["laptop", "Alice's laptop", "ä"] {
            assert!(device(good.to_owned()).is_ok());
        }
        for bad in ["", " a", ".a", "a/b", "a\nb", &"x".repeat(65)] {
            assert!(device(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
