//! How many calls may be under way. One that waits keeps its descriptors, its memory and its place:
//! whoever makes too many is told so at once, and takes nothing from anybody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Failure;

/// The most calls of one client that are under way.
pub const MAX_CALLS_OF_CLIENT: usize = 32;
/// The most calls of all clients.
pub const MAX_CALLS: usize = 128;
/// The most descriptors that come with a call: no method takes more than three.
pub const MAX_DESCRIPTORS: u32 = 4;

/// The calls under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<BTreeMap<String, usize>>>);

/// A call under way; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Underway {
    calls: Calls,
    client: String,
}

impl Calls {
    /// Counts a call of a client (its unique name), which brings so many descriptors.
    ///
    /// # Errors
    /// [`Failure::Busy`] when there are too many, [`Failure::InvalidArgument`] for too many
    /// descriptors.
    pub(super) fn begin(&self, client: &str, descriptors: u32) -> Result<Underway, Failure> {
        if descriptors > MAX_DESCRIPTORS {
            return Err(Failure::InvalidArgument(format!(
                "at most {MAX_DESCRIPTORS} file descriptors come with a call, not {descriptors}"
            )));
        }
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.get(client).copied().unwrap_or(0);
        if own >= MAX_CALLS_OF_CLIENT {
            return Err(Failure::Busy(format!(
                "{own} calls of this client are under way, which is the most: wait for an answer"
            )));
        }
        let all: usize = open.values().sum();
        if all >= MAX_CALLS {
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
        let mut open = self.calls.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    #[test]
    fn one_client_takes_nothing_from_another() {
        let calls = Calls::default();
        let mut open: Vec<Underway> = (0..MAX_CALLS_OF_CLIENT)
            .map(|_| calls.begin(":1.1", 0).unwrap())
            .collect();
        assert!(matches!(calls.begin(":1.1", 0), Err(Failure::Busy(_))));
        let other = calls.begin(":1.2", MAX_DESCRIPTORS).unwrap();
        open.pop();
        open.push(calls.begin(":1.1", 0).unwrap());
        drop((open, other));
        assert!(calls.0.lock().unwrap().is_empty(), "nobody is remembered");
    }

    #[test]
    fn all_together_are_bounded() {
        let calls = Calls::default();
        let open: Vec<Underway> = (0..MAX_CALLS)
            .map(|n| calls.begin(&format!(":1.{n}"), 0).unwrap())
            .collect();
        assert!(matches!(calls.begin(":2.1", 0), Err(Failure::Busy(_))));
        drop(open);
        assert!(calls.begin(":2.1", 0).is_ok());
    }

    #[test]
    fn descriptors_of_a_call_are_few() {
        let answer = Calls::default().begin(":1.1", MAX_DESCRIPTORS + 1);
        assert!(matches!(answer, Err(Failure::InvalidArgument(_))));
    }
}
