//! The arguments of every method, for the fuzzer (`tests/fuzz`) and for the inputs that it found:
//! any bytes as the body of a call, read as zbus reads them, and checked as the objects check them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::fd::OwnedFd;

use mooring_api::{
    ChangePasswordOptions, PlanOptions, ResetPasswordOptions, RestoreOptions, RetryOptions,
    SignInOptions, SignOutOptions,
};
use mooring_core::account::State;
use mooring_core::collection::Collection;
use mooring_core::policy::{Actor, Verb};
use zbus::export::serde::de::DeserializeOwned;
use zbus::wire::LE;
use zbus::wire::serialized::{Context, Data};
use zbus::{OwnedFd as Fd, Type};

use super::arguments;
use crate::account::{Account, Chosen};

/// The name of the folder in `tests/fuzz/corpus`.
pub const CORPUS: &str = "arguments";
/// The longest list that gets through, and the longest path.
const MOST: usize = 4096;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
}

/// Calls the method that the first byte chooses with the rest as its body.
pub fn call(bytes: &[u8]) {
    let Some((method, body)) = bytes.split_first() else {
        return;
    };
    RUNTIME.with(|runtime| runtime.block_on(checked(*method, body)));
}

async fn checked(method: u8, body: &[u8]) {
    match method % 17 {
        0 => sign_in(body).await,
        1 => inspect(body),
        2 => sign_out(body).await,
        3 => plan(body),
        4 => {
            if let Some((what, who, why, mode)) = read::<(String, String, String, String)>(body)
                && let Ok(lock) = arguments::inhibit((&what, &who, &why, &mode), 1000, 1)
            {
                assert!(!lock.who.contains(char::is_control) && lock.why.len() <= MOST);
            }
        }
        5 => {
            if let Some(options) = read::<ChangePasswordOptions>(body) {
                let _ = arguments::change_password(options).await;
            }
        }
        6 => {
            if let Some(options) = read::<ResetPasswordOptions>(body) {
                let _ = arguments::reset_password(options).await;
            }
        }
        7 => {
            if let Some(fd) = read::<Fd>(body) {
                let _ = arguments::held_password(fd).await;
            }
        }
        8 => restore(body),
        9 => {
            if let Some(path) = read::<Vec<u8>>(body) {
                if let Ok(path) = arguments::folder("folder", &path) {
                    assert_plain(&path);
                }
                let _ = arguments::file(path);
            }
        }
        10 => {
            let _ = read::<String>(body).map(|text| arguments::answer(&text));
        }
        11 => {
            let _ = read::<String>(body).map(|text| arguments::sign_in_id(&text));
        }
        12 => {
            let _ = read::<RetryOptions>(body);
        }
        13 => {
            let _ = read::<(String, Fd)>(body);
        }
        14 => {
            if let Some((verb, _, actor)) = read::<(String, String, String)>(body) {
                let _ = (verb.parse::<Verb>(), actor.parse::<Actor>());
            }
        }
        15 => {
            let _ = read::<(String, String, String)>(body);
        }
        _ => {
            let _ = read::<zbus::OwnedVariant>(body);
        }
    }
}

/// The body as zbus reads it, with a few descriptors that are no secrets.
fn read<T: DeserializeOwned + Type>(body: &[u8]) -> Option<T> {
    let fds = (0..2).map(|_| OwnedFd::from(ended()));
    let data = Data::new_fds(body.to_vec(), Context::new(LE, 0), fds);
    data.deserialize::<T>().ok().map(|(value, _)| value)
}

/// A pipe that is at its end, so that nothing waits.
fn ended() -> std::io::PipeReader {
    std::io::pipe().expect("a pipe").0
}

async fn sign_in(body: &[u8]) {
    let Some((provider, identity, options)) = read::<(String, String, SignInOptions)>(body) else {
        return;
    };
    let Ok(wanted) = arguments::sign_in_to(&provider, &identity, &options) else {
        return;
    };
    if let Ok(request) = arguments::sign_in(wanted, options).await {
        assert_plain(&request.wanted.storage);
        for root in request
            .wanted
            .collections
            .iter()
            .filter_map(|c| c.1.as_ref())
        {
            assert_plain(root);
        }
        assert!(
            request
                .device
                .is_none_or(|name| !name.contains(['/', '\n']))
        );
    }
}

fn inspect(body: &[u8]) {
    if let Some((provider, options)) = read::<(String, SignInOptions)>(body)
        && let Ok(wanted) = arguments::inspect(&provider, &options)
    {
        assert_plain(&wanted.storage);
        assert!(!wanted.collections.is_empty());
    }
}

async fn sign_out(body: &[u8]) {
    if let Some((digest, options)) = read::<(String, SignOutOptions)>(body) {
        let _ = arguments::sign_out(&digest, options, &account()).await;
    }
}

fn plan(body: &[u8]) {
    if let Some(options) = read::<PlanOptions>(body)
        && let Ok(keep) = arguments::keep(options.keep, &account())
    {
        assert!(keep.len() <= account().collections.len());
    }
}

fn restore(body: &[u8]) {
    if let Some((from, options)) = read::<(Vec<u8>, RestoreOptions)>(body)
        && let Ok(crate::jobs::copies::Copies::Restore { from, only, to }) =
            arguments::restore(&from, options)
    {
        assert_plain(&from);
        assert!(only.is_empty() || !only.starts_with(b"/") && only.len() <= MOST);
        assert!(to.is_empty() || to.starts_with(b"/"));
    }
}

/// An absolute path without detours.
fn assert_plain(path: &[u8]) {
    assert!(path.len() <= MOST && path.starts_with(b"/") && path.len() > 1);
    let parts = path[1..].split(|b| *b == b'/');
    for part in parts {
        assert!(!matches!(part, b"" | b"." | b"..") && !part.contains(&0));
    }
}

fn account() -> Account {
    Account {
        id: "a".to_owned(),
        provider: "local".to_owned(),
        identity: "alice".to_owned(),
        storage: b"/mnt".to_vec(),
        storage_id: String::new(),
        sign_in_id: String::new(),
        device: String::new(),
        left_with: String::new(),
        collections: vec![Chosen {
            collection: Collection::Photos,
            root: b"/home/alice/Photos".to_vec(),
        }],
        adopt: false,
        record: String::new(),
        signed_in_at: 0,
        state: State::Active,
        message: String::new(),
        paused: false,
        last_backup: None,
        backup_begun: 0,
        forgetting: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzzer begins with, and every input that once went wrong.
    #[test]
    fn the_corpus_holds() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
        let mut inputs = 0;
        for entry in std::fs::read_dir(corpus.join(CORPUS)).unwrap() {
            call(&std::fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0);
    }
}
