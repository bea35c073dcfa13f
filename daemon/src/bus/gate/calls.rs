//! How many calls may be under way. One that waits keeps its descriptors, its memory and its place:
//! whoever makes too many is told so at once, and takes nothing from anybody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use zbus::message::Header;

use crate::failure::Failure;

/// The most calls of one client that are under way.
pub const MAX_CALLS_OF_CLIENT: usize = 32;
/// The most calls of one user, over all connections, where several people share a daemon.
pub const MAX_CALLS_OF_USER: usize = 48;
/// The most calls of all clients.
pub const MAX_CALLS: usize = 128;
/// Of these, how many are kept for clients that have none under way: a few that make many leave
/// room for whoever makes one.
pub const KEPT_FOR_FIRST: usize = 32;
/// The longest body of a call, in bytes: no method takes more than a few paths.
pub const MAX_BODY_BYTES: u32 = 128 * 1024;
/// The most descriptors that come with a call: no method takes more than three.
pub const MAX_DESCRIPTORS: u32 = 4;

/// What a call brings.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    descriptors: u32,
    body: u32,
}

impl Size {
    /// That of a message.
    pub(super) fn of(header: &Header<'_>) -> Self {
        Self {
            descriptors: header.unix_fds().unwrap_or(0),
            body: header.primary().body_len(),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.descriptors > MAX_DESCRIPTORS {
            return Err(Failure::InvalidArgument(format!(
                "at most {MAX_DESCRIPTORS} file descriptors come with a call, not {}",
                self.descriptors
            )));
        }
        if self.body > MAX_BODY_BYTES {
            return Err(Failure::InvalidArgument(format!(
                "the arguments of a call are at most {MAX_BODY_BYTES} bytes, not {}",
                self.body
            )));
        }
        Ok(())
    }
}

/// The calls under way, by whoever makes them.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    open: Arc<Mutex<BTreeMap<String, usize>>>,
    /// The most of each.
    most: usize,
    /// What each is, for people.
    whose: &'static str,
}

/// A call under way; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Underway {
    calls: Calls,
    client: String,
}

impl Calls {
    fn bounded(most: usize, whose: &'static str) -> Self {
        let open = Arc::default();
        Self { open, most, whose }
    }

    /// Those of clients.
    pub(super) fn of_clients() -> Self {
        Self::bounded(MAX_CALLS_OF_CLIENT, "client")
    }

    /// Those of users: one with many connections takes no more than its part.
    pub(super) fn of_users() -> Self {
        Self::bounded(MAX_CALLS_OF_USER, "user")
    }

    /// Counts a call of a client (its unique name).
    ///
    /// # Errors
    /// [`Failure::Busy`] when there are too many, [`Failure::InvalidArgument`] for one that brings
    /// too much.
    pub(super) fn begin(&self, client: &str, size: Size) -> Result<Underway, Failure> {
        size.check()?;
        self.count(client)
    }

    /// Counts a call of whoever makes it.
    ///
    /// # Errors
    /// [`Failure::Busy`] when there are too many.
    pub(super) fn count(&self, client: &str) -> Result<Underway, Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.get(client).copied().unwrap_or(0);
        if own >= self.most {
            return Err(Failure::Busy(format!(
                "{own} calls of this {} are under way, which is the most: wait for an answer",
                self.whose
            )));
        }
        let all: usize = open.values().sum();
        let most = if own == 0 {
            MAX_CALLS
        } else {
            MAX_CALLS - KEPT_FOR_FIRST
        };
        if all >= most {
            return Err(Failure::Busy(format!(
                "{all} calls are under way, which is the most: try again in a moment"
            )));
        }
        open.insert(client.to_owned(), own + 1);
        Ok(Underway {
            calls: self.clone(),
            client: client.to_owned(),
        })
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut open = self
            .calls
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let left = open
            .get(&self.client)
            .map_or(0, |own| own.saturating_sub(1));
        if left == 0 {
            open.remove(&self.client);
        } else {
            open.insert(std::mem::take(&mut self.client), left);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn most() -> Size {
        Size {
            descriptors: MAX_DESCRIPTORS,
            body: MAX_BODY_BYTES,
        }
    }

    #[test]
    fn one_client_takes_nothing_from_another() {
        let calls = Calls::of_clients();
        let mut open: Vec<Underway> = (0..MAX_CALLS_OF_CLIENT)
            .map(|_| calls.begin(":1.1", Size::default()).unwrap())
            .collect();
        assert!(matches!(
            calls.begin(":1.1", Size::default()),
            Err(Failure::Busy(_))
        ));
        let other = calls.begin(":1.2", most()).unwrap();
        open.pop();
        open.push(calls.begin(":1.1", Size::default()).unwrap());
        drop((open, other));
        assert!(
            calls.open.lock().unwrap().is_empty(),
            "nobody is remembered"
        );
    }

    #[test]
    fn all_together_are_bounded() {
        let calls = Calls::of_clients();
        let open: Vec<Underway> = (0..MAX_CALLS)
            .map(|n| calls.begin(&format!(":1.{n}"), Size::default()).unwrap())
            .collect();
        assert!(matches!(
            calls.begin(":2.1", Size::default()),
            Err(Failure::Busy(_))
        ));
        drop(open);
        assert!(calls.begin(":2.1", Size::default()).is_ok());
    }

    #[test]
    fn a_few_with_many_calls_leave_room_for_one_with_its_first() {
        let calls = Calls::of_clients();
        let clients = MAX_CALLS / MAX_CALLS_OF_CLIENT;
        let open: Vec<Underway> = (0..MAX_CALLS)
            .filter_map(|n| {
                calls
                    .begin(&format!(":1.{}", n % clients), Size::default())
                    .ok()
            })
            .collect();
        assert_eq!(open.len(), MAX_CALLS - KEPT_FOR_FIRST);
        assert!(calls.begin(":2.1", Size::default()).is_ok());
    }

    #[test]
    fn one_user_with_many_connections_takes_nothing_from_another() {
        let (clients, users) = (Calls::of_clients(), Calls::of_users());
        let call = |client: &str, uid: &str| {
            let of_client = clients.begin(client, Size::default())?;
            Ok::<_, Failure>((of_client, users.count(uid)?))
        };
        let flood: Vec<_> = (0..2 * MAX_CALLS)
            .filter_map(|n| call(&format!(":1.{n}"), "1000").ok())
            .collect();
        assert_eq!(flood.len(), MAX_CALLS_OF_USER);
        let other: Vec<_> = (0..MAX_CALLS_OF_CLIENT)
            .map(|_| call(":2.1", "1001").unwrap())
            .collect();
        drop((flood, other));
        assert!(
            users.open.lock().unwrap().is_empty(),
            "nobody is remembered"
        );
    }

    #[test]
    fn what_a_call_brings_is_bounded() {
        let answer = Calls::of_clients().begin(
            ":1.1",
            Size {
                descriptors: MAX_DESCRIPTORS + 1,
                ..most()
            },
        );
        assert!(matches!(answer, Err(Failure::InvalidArgument(_))));
        let body = MAX_BODY_BYTES + 1;
        let answer = Calls::of_clients().begin(":1.1", Size { body, ..most() });
        assert!(matches!(answer, Err(Failure::InvalidArgument(_))));
    }
}
