//! Facts about the device and its person that rules can ask for. What cannot be found out is not
//! known, and is told once in the log: then every rule holds that asks for it.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use mooring_core::policy::Circumstances;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist, gethostname};

/// Where os-release(5) is, the first that is there.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
/// The most that is read of it, in bytes.
const MAX_OS_RELEASE: u64 = 64 * 1024;

/// The facts as they are now, of this user.
pub fn gather(uid: u32) -> Circumstances {
    let (person, groups) = person(uid);
    let release = os_release();
    Circumstances {
        person,
        groups,
        host: known("the host's name", gethostname().map_err(io::Error::from))
            .and_then(|name| name.into_string().ok()),
        system: release.as_deref().and_then(|text| field(text, "ID")),
        system_version: release
            .as_deref()
            .and_then(|text| field(text, "VERSION_ID")),
        // Follows the network, and so is asked for with each question.
        metered: None,
    }
}

fn known<T>(what: &str, found: io::Result<T>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(error) => {
            tracing::warn!(%error, "{what} cannot be found out: every rule that asks for it holds");
            None
        }
    }
}

/// The names of a user, and those of their groups.
fn person(uid: u32) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let user = User::from_uid(Uid::from_raw(uid)).map_err(io::Error::from);
    let user = known("who the person is", user);
    match user {
        Some(Some(user)) => {
            let groups = known("the person's groups", groups(&user));
            (Some(vec![user.name, uid.to_string()]), groups)
        }
        // Gone from the system: of their names only the number is sure, and it does not say who
        // they are.
        Some(None) | None => (None, None),
    }
}

fn groups(user: &User) -> io::Result<Vec<String>> {
    let name = CString::new(user.name.as_bytes())?;
    let gids = getgrouplist(&name, user.gid)?;
    gids.into_iter().map(group).collect()
}

/// A group's name; its number where it has none.
fn group(gid: Gid) -> io::Result<String> {
    let found = Group::from_gid(gid)?;
    Ok(found.map_or_else(|| gid.to_string(), |group| group.name))
}

fn os_release() -> Option<String> {
    let mut last = None;
    for path in OS_RELEASE {
        match read(Path::new(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => last = Some(error),
            found => return known("the operating system", found),
        }
    }
    known("the operating system", Err(last?))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_OS_RELEASE)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// A field of os-release(5), unquoted. `ID` and `VERSION_ID` have nothing that is escaped.
fn field(text: &str, key: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let bare = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    (!bare.is_empty()).then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn fields_are_read_with_and_without_quotes() {
        let text = "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\nID_LIKE=x\nEMPTY=\n";
        assert_eq!(field(text, "ID").unwrap(), "debian");
        assert_eq!(field(text, "VERSION_ID").unwrap(), "12");
        assert_eq!(field(text, "EMPTY"), None);
        assert_eq!(field(text, "BUILD_ID"), None);
    }

    #[test]
    fn the_administrator_has_names_and_groups() {
        let found = gather(0);
        assert_eq!(found.person.unwrap(), ["root", "0"]);
        assert!(found.groups.unwrap().contains(&"root".to_owned()));
        assert!(found.host.is_some());
    }

    #[test]
    fn who_is_not_known_to_the_system_is_not_known_to_rules() {
        let found = gather(3_999_999_999);
        assert_eq!((found.person, found.groups), (None, None));
    }
}
