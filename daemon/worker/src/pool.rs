//! The same work on many things, on a few threads. With one thread everything happens in order,
//! on the caller's own: a simulation can count on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// Does `work` on each item and answers the results in the items' order.
pub fn map<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                let mut own = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    own.push((index, work(item)));
                }
                results
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .append(&mut own);
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Does `after` on what `first` hands over, one thing at a time and in order, while `first` goes on
/// with the next one.
///
/// # Errors
/// The first of `after`, which `first` is told of when it hands the next one over; else that of
/// `first`.
pub fn behind<T: Send>(
    threads: usize,
    mut after: impl FnMut(T) -> Result<()> + Send,
    first: impl FnOnce(&mut dyn FnMut(T) -> Result<()>) -> Result<()>,
) -> Result<()> {
    if threads <= 1 {
        return first(&mut after);
    }
    // Nothing is kept in between: whoever hands over waits until the one before is done.
    let (hand, taken) = sync_channel(0);
    std::thread::scope(|scope| {
        let behind = scope.spawn(move || taken.into_iter().try_for_each(after));
        // It ends early only with an error, which is the one to tell.
        let ended = first(&mut |item| hand.send(item).map_err(|_| Error::Cancelled));
        drop(hand);
        match behind.join() {
            Ok(done) => done.and(ended),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_handed_over_is_done_in_order_and_before_the_end() {
        for threads in [1, 2] {
            let mut done = Vec::new();
            let after = |nr| {
                done.push(nr);
                Ok(())
            };
            behind(threads, after, |hand| (0..5).try_for_each(hand)).unwrap();
            assert_eq!(done, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn an_error_behind_is_the_one_to_tell_and_ends_the_rest() {
        for threads in [1, 2] {
            let mut done = 0;
            let after = |nr| {
                done += 1;
                if nr == 1 {
                    Err(Error::NotVerified("one".to_owned()))
                } else {
                    Ok(())
                }
            };
            let e = behind(threads, after, |hand| (0..5).try_for_each(hand)).unwrap_err();
            assert!(matches!(e, Error::NotVerified(_)), "{e}");
            assert_eq!(done, 2);
        }
    }

    #[test]
    fn an_error_in_front_lets_what_was_handed_over_end() {
        let mut done = 0;
        let after = |()| {
            done += 1;
            Ok(())
        };
        let e = behind(2, after, |hand| {
            hand(())?;
            Err(Error::Cancelled)
        });
        e.unwrap_err();
        assert_eq!(done, 1);
    }
}
